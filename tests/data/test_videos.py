"""Videos: frames changed one by one; times, sound, orientation and colours kept; damage named."""

from __future__ import annotations

import errno
import os
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zerosum.core.errors import BadData, BadFile, BadOption, MissingExtra
from zerosum.data.videos import frame_count, rewrite

SIZE = (64, 48)
NTSC = Fraction(30000, 1001)


def frame(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Red to the left, green to the right, and in the corner a grey that counts."""
    pixels = np.full((size[1], size[0], 3), (30, 150, 60), np.uint8)
    pixels[:, : size[0] // 2] = (170, 40, 90)
    pixels[:16, :16] = 20 + 10 * index
    return pixels


def video(
    path: Path, frames: int = 12, rate: Fraction = NTSC, sound: str | None = "aac", colours: int | None = None,
    times: list[int] | None = None,
) -> Path:  # fmt: skip
    """A film of `frames`, with a second of sound; `times` in hundredths of a second for frames that come unevenly."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=rate)
        (picture.width, picture.height), picture.pix_fmt, picture.options = SIZE, "yuv420p", {"crf": "4"}
        if colours is not None:
            context = picture.codec_context
            context.colorspace = context.color_primaries = context.color_trc = colours
            context.color_range = 1
        if times is not None:
            picture.codec_context.time_base = Fraction(1, 100)
        heard = container.add_stream(sound, rate=44100) if sound else None
        for index in range(frames):
            shown = av.VideoFrame.from_ndarray(frame(index), format="rgb24")
            shown = shown.reformat(format="yuv420p", dst_colorspace=colours)
            if times is not None:
                shown.pts, shown.time_base = times[index], Fraction(1, 100)
            container.mux(picture.encode(shown))
        container.mux(picture.encode(None))
        for start in range(0, 44100, 1024) if heard else ():
            wave = (np.sin(np.arange(start, min(start + 1024, 44100)) / 16) * 9000).astype(np.int16)[None]
            piece = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            piece.sample_rate, piece.pts = 44100, start
            container.mux(heard.encode(piece))
        if heard:
            container.mux(heard.encode(None))
    return path


def seen(path: Path) -> tuple[list[np.ndarray], list[Fraction], Fraction, int]:
    """All frames, their times, the rate and the colour space: read while the file is open, whose memory they are."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [one.pts * one.time_base for one in frames]
        known = [None if one.colorspace == 2 else one.colorspace for one in frames]
        shown = [one.reformat(format="rgb24", src_colorspace=space, dst_colorspace=2)
                 for one, space in zip(frames, known, strict=True)]  # fmt: skip
        return [one.to_ndarray() for one in shown], times, stream.average_rate, stream.codec_context.colorspace


def packets(path: Path, kind: str = "video") -> list[Any]:
    """(place, size, content) of the packets of a stream."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        streams = getattr(container.streams, kind)
        return [(p.pos, p.size, bytes(p)) for p in container.demux(streams[0]) if p.size] if streams else []


def close(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the colours are about the same, away from edges, which compression blurs."""
    places = np.s_[20:40, [8, 24, 40, 56]]
    return bool(np.abs(one[places].astype(int) - other[places]).max() <= 6)


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".webm"])
def test_frames_are_changed_and_keep_their_times(tmp_path: Path, ending: str) -> None:
    source, told = video(tmp_path / "in.mp4"), list[tuple[int, int | None]]()
    lost = rewrite(source, tmp_path / "new" / f"out{ending}", lambda f: 255 - f, lambda n, of: told.append((n, of)))
    frames, times, rate, _ = seen(tmp_path / "new" / f"out{ending}")
    assert len(frames) == 12 and all(close(made, 255 - frame(index)) for index, made in enumerate(frames))
    assert [int(made[8, 8, 0]) for made in frames] == pytest.approx([235 - 10 * index for index in range(12)], abs=4)
    gaps = np.diff([float(time) for time in times])
    assert np.allclose(gaps, 1001 / 30000, atol=1e-3) and rate == NTSC
    assert told == [(n, 12) for n in range(1, 13)] and frame_count(source) == 12
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"out{ending}"]
    if ending == ".webm":
        assert lost == ["its sound (aac) cannot be copied into .webm: left out"]
    else:
        assert not lost
        heard = [[content for _, _, content in packets(path, "audio")]
                 for path in (source, tmp_path / "new" / f"out{ending}")]  # fmt: skip
        assert heard[0] == heard[1] and len(heard[0]) > 40  # bit for bit


def test_the_rounding_of_a_container_is_undone(tmp_path: Path) -> None:
    rewrite(video(tmp_path / "in.mkv", sound=None), tmp_path / "out.mp4", lambda f: f)  # which counts milliseconds
    _, times, rate, _ = seen(tmp_path / "out.mp4")
    assert rate == NTSC and times == [index / NTSC for index in range(12)]


def test_frames_that_come_unevenly(tmp_path: Path) -> None:
    given = [0, 3, 4, 10, 30, 31, 50, 90]
    rewrite(video(tmp_path / "in.mp4", 8, times=given, rate=Fraction(25)), tmp_path / "out.mp4", lambda f: f)
    assert [round(float(time) * 100, 1) for time in seen(tmp_path / "out.mp4")[1]] == given


@pytest.mark.parametrize("colours", [None, 1, 6])
def test_colours_stay_what_they_mean(tmp_path: Path, colours: int | None) -> None:
    source = video(tmp_path / "in.mp4", 3, colours=colours, sound=None)
    rewrite(source, tmp_path / "out.mp4", lambda f: f)
    frames, _, _, space = seen(tmp_path / "out.mp4")
    assert close(frames[1], frame(1)) and space == (colours or 2)


def test_larger_frames_and_odd_sizes(tmp_path: Path) -> None:
    source = video(tmp_path / "in.mp4", 3)
    rewrite(source, tmp_path / "large.mp4", lambda f: f.repeat(3, 0).repeat(3, 1))
    assert seen(tmp_path / "large.mp4")[0][0].shape == (144, 192, 3)
    rewrite(source, tmp_path / "odd.mp4", lambda f: f[:31, :33])
    assert seen(tmp_path / "odd.mp4")[0][0].shape == (32, 34, 3)


def test_grey_deep_and_transparent_answers(tmp_path: Path) -> None:
    source = video(tmp_path / "in.mp4", 2, sound=None)
    rewrite(source, tmp_path / "grey.mp4", lambda f: f[..., :1])
    assert close(seen(tmp_path / "grey.mp4")[0][0], np.repeat(frame(0)[..., :1], 3, 2))
    rewrite(source, tmp_path / "deep.mp4", lambda f: f.astype(np.uint16) * 257)
    assert close(seen(tmp_path / "deep.mp4")[0][0], frame(0))
    rewrite(source, tmp_path / "clear.mp4", lambda f: np.concatenate([f, 0 * f[..., :1]], 2))
    assert seen(tmp_path / "clear.mp4")[0][0].min() > 245


def test_phones_turn_their_videos(tmp_path: Path) -> None:
    source = video(tmp_path / "in.mp4", 2)
    content = bytearray(source.read_bytes())
    matrix = content.index(b"tkhd") + 44
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, SIZE[1] << 16, 0, 1 << 30)
    content[matrix : matrix + 36] = turned  # shown a quarter turn clockwise
    source.write_bytes(content)
    shapes = list[tuple[int, ...]]()
    rewrite(source, tmp_path / "out.mp4", lambda f: (shapes.append(f.shape), f)[1])
    upright = seen(tmp_path / "out.mp4")[0][0]
    assert shapes == [(64, 48, 3)] * 2 and upright.shape == (64, 48, 3)
    assert np.abs(upright[8, -8].astype(int) - frame(0)[8, 8]).max() < 8  # the upper left corner is at the right
    assert np.abs(upright[-8, 24].astype(int) - (30, 150, 60)).max() < 8


def damaged(path: Path, number: int = 6) -> Path:
    """The video with a packet overwritten."""
    content = bytearray(path.read_bytes())
    place, size, _ = packets(path)[number]
    content[place : place + size] = b"\xff" * size
    path.write_bytes(content)
    return path


def test_a_damaged_frame_is_named(tmp_path: Path) -> None:
    source = damaged(video(tmp_path / "in.mp4"))
    with pytest.raises(BadData, match=r"in.mp4 has a damaged frame after the first \d+, at 0.\d\d s: Invalid data"):
        rewrite(source, tmp_path / "out.mp4", lambda f: f)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(("make", "says"), [
    (lambda p: p.write_bytes(b"no video" * 99), "x.mp4 cannot be read as a video: Invalid data"),
    (lambda p: p.write_bytes(b""), "x.mp4 cannot be read as a video"),
    (lambda p: None, "x.mp4 cannot be read as a video: No such file"),
    (lambda p: p.mkdir(), "x.mp4 cannot be read as a video"),
    (lambda p: video(p).write_bytes(p.read_bytes()[:999]), "x.mp4 cannot be read as a video: Invalid data"),
])  # fmt: skip
def test_what_is_no_video(tmp_path: Path, make: Any, says: str) -> None:
    pytest.importorskip("av")
    make(tmp_path / "x.mp4")
    with pytest.raises(BadData, match=says):
        rewrite(tmp_path / "x.mp4", tmp_path / "out.mp4", lambda f: f)
    assert not (tmp_path / "out.mp4").exists()


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "x.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        piece = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        piece.sample_rate = 44100
        container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    with pytest.raises(BadData, match="x.mp4 has no video frames"):
        rewrite(tmp_path / "x.mp4", tmp_path / "out.mp4", lambda f: f)


def test_a_video_without_frames(tmp_path: Path) -> None:
    video(tmp_path / "x.mkv", frames=0)
    with pytest.raises(BadData, match=r"x.mkv (has no video frames|cannot be read as a video)"):
        rewrite(tmp_path / "x.mkv", tmp_path / "out.mp4", lambda f: f)
    assert [path.name for path in tmp_path.iterdir()] == ["x.mkv"]


def test_answers_of_several_sizes(tmp_path: Path) -> None:
    sizes = iter((48, 40))
    with pytest.raises(BadData, match="frame 2 is made 64 x 40 pixels, those before 64 x 48"):
        rewrite(video(tmp_path / "in.mp4", 2), tmp_path / "out.mp4", lambda f: f[: next(sizes)])
    assert not (tmp_path / "out.mp4").exists()


def test_endings_that_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"out.avi: videos are written as .mp4, .m4v, .mov, .mkv, .webm"):
        rewrite(video(tmp_path / "in.mp4", 2), tmp_path / "out.avi", lambda f: f)


@pytest.mark.parametrize("place", ["fsync", "open"])
def test_a_full_disk(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = video(tmp_path / "in.mp4", 2)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os if place == "fsync" else Path, place, full)
    with pytest.raises(BadFile, match=r"cannot write .*out.mp4: the disk is full"):
        rewrite(source, tmp_path / "out.mp4", lambda f: f)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_disk_that_becomes_full_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, open_file = video(tmp_path / "in.mp4"), Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: open_file(Path("/dev/full"), mode, 0))
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    with pytest.raises(BadFile, match=r"cannot write .*out.mp4: the disk is full"):
        rewrite(source, tmp_path / "out.mp4", lambda f: f)


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"zerosum\[video\]"):
        rewrite(tmp_path / "in.mp4", tmp_path / "out.mp4", lambda f: f)
