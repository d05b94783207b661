"""`zerosum translate`: files, folders, videos; resumed, never overwritten; broken and unfitting input named."""

# ruff: noqa: E501 (a case a line)

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.conftest import Result
from tests.cli.test_malformed import ROOTLESS, locked_for_writing
from tests.data.pictures import pixels
from tests.data.test_videos import close, damaged, frame, seen, video
from tests.training.test_translator import GREY, Pixels, translator
from zerosum import api
from zerosum.data import Data, load
from zerosum.training.translator import Translator

Command = Callable[..., Result]


@pytest.fixture
def using(monkeypatch: pytest.MonkeyPatch) -> Callable[[Translator], Translator]:
    """`using(translator)`: the one that the run folder RUN holds."""

    def use(generator: Translator) -> Translator:
        monkeypatch.setattr(api, "load", lambda path, device="cpu": generator.to(device))
        return generator

    return use


@pytest.fixture
def negative(using: Callable[[Translator], Translator]) -> Translator:
    """RUN makes negatives."""
    return using(translator())


def photo(path: Path, *shape: int, dtype: type = np.uint8, **options: Any) -> np.ndarray:
    """A random image, written; its pixels as they are read again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(*(shape or (20, 30, 3)), dtype=dtype)).save(path, **options)
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    """All files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# -- what is written --------------------------------------------------------------------------------------------------


def test_a_folder_keeps_its_sub_folders(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    inside, out = tmp_path / "in", tmp_path / "out"
    given = {name: photo(inside / name) for name in ("a.png", "é/b c.png", "é/deep/d.tiff", "e.webp")}
    (inside / "notes.txt").write_text("not an image")
    photo(inside / ".hidden" / "x.png")
    code, said, _ = zerosum("translate", "RUN", inside, "--out", out)
    assert code == 0 and f"wrote 4 files to {out}" in said and names(out) == sorted(given)
    for name in ("a.png", "é/b c.png", "é/deep/d.tiff"):
        assert np.array_equal(np.asarray(Image.open(out / name)), 255 - given[name])


def test_kinds_and_depths_are_kept(tmp_path: Path, using: Callable, zerosum: Command) -> None:
    using(translator(given=GREY, made=GREY))
    inside, out = tmp_path / "in", tmp_path / "out"
    deep = photo(inside / "deep.png", 9, 8, dtype=np.uint16)
    clear = photo(inside / "clear.png", 9, 8, 4)
    for name in ("photo.jpg", "old.gif", "plain.bmp", "more.JPEG", "one.pgm"):
        photo(inside / name, 9, 8)
    assert zerosum("translate", "RUN", inside, "--out", out).code == 0
    expected = ["clear.png", "deep.png", "more.JPEG", "old.png", "one.png", "photo.jpg", "plain.bmp"]
    assert names(out) == expected
    kinds = {name: (Image.open(out / name).format, Image.open(out / name).mode) for name in expected}
    assert kinds["deep.png"] == ("PNG", "I;16") and kinds["clear.png"] == ("PNG", "RGBA")
    assert kinds["more.JPEG"] == ("JPEG", "L") and kinds["plain.bmp"] == ("BMP", "L")
    assert np.array_equal(np.asarray(Image.open(out / "deep.png")), 65535 - deep)
    assert np.array_equal(np.asarray(Image.open(out / "clear.png"))[..., 3], clear[..., 3])


def test_what_an_image_has_beside_its_pixels_is_told(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    photo(tmp_path / "in" / "still.png")
    frames = [Image.fromarray(np.full((9, 8, 3), value, np.uint8)) for value in (0, 90, 200)]
    frames[0].save(tmp_path / "in" / "moving.gif", save_all=True, append_images=frames[1:])
    told = json.loads(zerosum("translate", "RUN", tmp_path / "in", "--out", tmp_path / "out", "--json").out)
    assert told["notes"] == {str(tmp_path / "in" / "moving.gif"): ["animated: first of 3 frames"]}


@pytest.mark.parametrize(("format", "kind"), [
    ("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP"), ("tiff", "TIFF"), ("bmp", "BMP"),
])  # fmt: skip
def test_a_format_of_ones_own(tmp_path: Path, format: str, kind: str, negative: Translator, zerosum: Command) -> None:
    given = photo(tmp_path / "in.png", 20, 30, 4)
    assert zerosum("translate", "RUN", tmp_path / "in.png", "--out", tmp_path / "out", "--format", format).code == 0
    with Image.open(tmp_path / "out" / f"in.{format}") as made:
        assert made.format == kind and made.mode == ("RGB" if kind in ("JPEG", "BMP") else "RGBA")
        if kind == "BMP":  # over white
            alpha = given[..., 3:] / 255
            expected = (255 - given[..., :3]) * alpha + 255 * (1 - alpha)
            assert np.abs(np.asarray(made) - expected).max() <= 1


def test_what_comes_out_transparent_is_png(tmp_path: Path, using: Callable, zerosum: Command) -> None:
    using(translator(lambda x: torch.cat([x[:, :3], 0 * x[:, :1]], 1), made=(4, 16, 16)))
    photo(tmp_path / "a.jpg")
    assert zerosum("translate", "RUN", tmp_path / "a.jpg", "--out", tmp_path / "out").code == 0
    assert Image.open(tmp_path / "out" / "a.png").mode == "RGBA"


def test_a_single_file_may_be_named(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    given = photo(tmp_path / "a.png")
    assert zerosum("translate", "RUN", tmp_path / "a.png", "--out", tmp_path / "new" / "b.png").code == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new" / "b.png")), 255 - given)
    Image.fromarray(pixels(9, 9, 4)).save(tmp_path / "clear.png")
    assert zerosum("translate", "RUN", tmp_path / "clear.png", "--out", tmp_path / "c.jpg").code == 0
    assert Image.open(tmp_path / "c.jpg").mode == "RGB"  # it was asked for


def test_equal_names_of_several_formats(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    for name in ("a.jpg", "a.png", "b.png"):
        photo(tmp_path / "in" / name)
    assert zerosum("translate", "RUN", tmp_path / "in", "--out", tmp_path / "out", "--format", "png").code == 0
    assert names(tmp_path / "out") == ["a.jpg.png", "a.png.png", "b.png"]


def test_enlarging_and_tiles(tmp_path: Path, using: Callable, zerosum: Command) -> None:
    network = Pixels(lambda x: torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest"))
    generator = using(translator(network, scale=2))
    given = photo(tmp_path / "a.png", 70, 50, 3)
    command = ["translate", "RUN", tmp_path / "a.png", "--out", tmp_path / "out", "--tile", "32", "--overlap", "8"]
    assert zerosum(*command).code == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), given.repeat(2, 0).repeat(2, 1))
    assert generator.network.seen == [(1, 3, 32, 32)] * 6


# -- labels, answers, the way back ------------------------------------------------------------------------------------


def test_labels(tmp_path: Path, using: Callable, zerosum: Command) -> None:
    generator = using(translator(lambda x, label: 0 * x + label[:, None, None, None] - 1, classes=3))
    generator.facts = {"data": {"class_names": ["autumn", "winter", "spring"]}}
    photo(tmp_path / "a.png")
    for label, grey in (("autumn", 0), ("winter", 128), ("2", 255)):
        out = tmp_path / f"{label}.png"
        assert zerosum("translate", "RUN", tmp_path / "a.png", "--label", label, "--out", out).code == 0
        assert np.asarray(Image.open(out))[0, 0, 0] == grey


def test_several_answers(tmp_path: Path, using: Callable, zerosum: Command) -> None:
    using(translator(lambda x, z: 0 * x + z[:, :1, None, None].tanh(), latent=2))
    photo(tmp_path / "in" / "a.png")
    out, command = tmp_path / "out", ["translate", "RUN", tmp_path / "in", "--out", tmp_path / "out", "--seed", "3"]
    assert zerosum(*command, "--answers", "3").code == 0
    assert names(out) == ["a-1.png", "a-2.png", "a-3.png"]
    greys = [int(np.asarray(Image.open(out / name))[0, 0, 0]) for name in names(out)]
    assert len(set(greys)) == 3
    assert zerosum(*command[:-1], "4").code == 0
    assert int(np.asarray(Image.open(out / "a.png"))[0, 0, 0]) == greys[1]  # the second answer is that of the next seed


def test_the_way_back(tmp_path: Path, using: Callable, zerosum: Command) -> None:
    network = Pixels(lambda x: x)
    network.back = Pixels(lambda x: -x)
    using(translator(network))
    given = photo(tmp_path / "a.png")
    for option, expected in (("--no-back", given), ("--back", 255 - given)):
        assert zerosum("translate", "RUN", tmp_path / "a.png", "--out", tmp_path / option, option).code == 0
        assert np.array_equal(np.asarray(Image.open(tmp_path / option / "a.png")), expected)


# -- once more --------------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_done_again(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    for name in ("a.png", "b.png", "c.png"):
        photo(tmp_path / "in" / name)
    command = ["translate", "RUN", tmp_path / "in", "--out", tmp_path / "out"]
    assert zerosum(*command).code == 0
    (tmp_path / "out" / "b.png").unlink()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    told = json.loads(zerosum(*command, "--json").out)
    assert told["files"] == [str(tmp_path / "out" / "b.png")] and len(told["there"]) == 2 and told["seed"] == 0
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert "wrote 0 files" in (said := zerosum(*command).out) and "3 were there already (--force" in said
    assert len(json.loads(zerosum(*command, "--json", "--force").out)["files"]) == 3


def test_an_interrupted_command_leaves_no_half_file(
    tmp_path: Path, negative: Translator, zerosum: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        photo(tmp_path / "in" / name)
    command, translate = ["translate", "RUN", tmp_path / "in", "--out", tmp_path / "out"], Translator.translate
    done: list[Any] = []

    def interrupted(self: Translator, images: Any, **options: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(images)
        return translate(self, images, **options)

    monkeypatch.setattr(Translator, "translate", interrupted)
    code, _, err = zerosum(*command)
    assert code == 130 and "interrupted" in err and names(tmp_path / "out") == ["a.png"]


def test_an_output_folder_inside_the_input_is_not_translated_itself(
    tmp_path: Path, negative: Translator, zerosum: Command
) -> None:
    photo(tmp_path / "a.png")
    for _ in range(2):
        assert zerosum("translate", "RUN", tmp_path, "--out", tmp_path / "new", "--force").code == 0
    assert names(tmp_path) == ["a.png", "new/a.png"]


def test_the_input_is_never_written_to(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    photo(tmp_path / "a.png")
    photo(tmp_path / "b.png")
    before = (tmp_path / "a.png").read_bytes()
    for input, out in ((tmp_path, tmp_path), (tmp_path / "a.png", tmp_path), (tmp_path / "a.png", tmp_path / "a.png")):
        code, _, err = zerosum("translate", "RUN", input, "--out", out, "--force")
        assert code == 2 and "over an image that is to be translated" in err and "a.png" in err
    assert (tmp_path / "a.png").read_bytes() == before and names(tmp_path) == ["a.png", "b.png"]


# -- broken files -----------------------------------------------------------------------------------------------------


def test_broken_files_are_named_and_left_out(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    for name in ("a.png", "b.png", "z.png"):
        photo(tmp_path / "in" / name, 40, 40, 3)
    cut = (tmp_path / "in" / "b.png").read_bytes()[:1500]
    (tmp_path / "in" / "b.png").write_bytes(cut)
    (tmp_path / "in" / "empty.jpg").write_bytes(b"")
    (tmp_path / "in" / "text.png").write_text("hello")
    code, said, err = zerosum("translate", "RUN", tmp_path / "in", "--out", tmp_path / "out")
    assert code == 1 and names(tmp_path / "out") == ["a.png", "z.png"]
    assert "wrote 2 files" in said and "3 could not be translated" in said
    for name, why in (("b.png", "truncated"), ("empty.jpg", "0 bytes"), ("text.png", "no image format")):
        assert any(name in line and why in line for line in err.splitlines()), err
    told = json.loads(zerosum("translate", "RUN", tmp_path / "in", "--out", tmp_path / "out", "--json").out)
    assert set(told["broken"]) == {str(tmp_path / "in" / name) for name in ("b.png", "empty.jpg", "text.png")}


def test_transparency_in_a_file_that_is_called_jpg(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    photo(tmp_path / "in" / "a.jpg", 9, 9, 4, format="PNG")
    command = ["translate", "RUN", tmp_path / "in", "--out", tmp_path / "out"]
    code, _, err = zerosum(*command)
    assert code == 1 and "JPEG does not hold the image's transparency. Give --format png" in err
    assert zerosum(*command, "--format", "png").code == 0 and names(tmp_path / "out") == ["a.png"]


# -- videos -----------------------------------------------------------------------------------------------------------


def test_videos_among_images(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    (tmp_path / "in" / "clips").mkdir(parents=True)
    video(tmp_path / "in" / "clips" / "one.mp4", 4)
    video(tmp_path / "in" / "clips" / "bad.mp4")
    damaged(tmp_path / "in" / "clips" / "bad.mp4")
    photo(tmp_path / "in" / "a.png")
    code, _, err = zerosum("translate", "RUN", tmp_path / "in", "--out", tmp_path / "out")
    assert code == 1 and "bad.mp4 has a damaged frame after the first" in err
    assert names(tmp_path / "out") == ["a.png", "clips/one.mp4"]
    made = seen(tmp_path / "out" / "clips" / "one.mp4")[0]
    assert len(made) == 4 and close(made[2], 255 - frame(2))
    assert (
        json.loads(zerosum("translate", "RUN", tmp_path / "in", "--out", tmp_path / "out", "--json").out)["files"] == []
    )


def test_one_video_and_sound_that_cannot_be_kept(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    video(tmp_path / "in.mkv", 3)
    code, said, _ = zerosum("translate", "RUN", tmp_path / "in.mkv", "--out", tmp_path / "out.webm")
    assert code == 0 and "in.mkv: its sound (aac) cannot be copied into .webm: left out" in said
    assert len(seen(tmp_path / "out.webm")[0]) == 3
    told = json.loads(zerosum("translate", "RUN", tmp_path / "in.mkv", "--out", tmp_path / "o", "--json").out)
    assert told["files"] == [str(tmp_path / "o" / "in.mkv")] and told["notes"] == {}


def test_every_frame_has_the_same_noise(tmp_path: Path, using: Callable, zerosum: Command) -> None:
    using(translator(lambda x, z: 0 * x + z[:, :1, None, None].tanh(), latent=2))
    video(tmp_path / "in.mp4", 3, sound=None)
    assert zerosum("translate", "RUN", tmp_path / "in.mp4", "--out", tmp_path / "o", "--answers", "2").code == 0
    assert names(tmp_path / "o") == ["in-1.mp4", "in-2.mp4"]
    first, second = (seen(tmp_path / "o" / name)[0] for name in names(tmp_path / "o"))
    assert close(first[0], first[2]) and not close(first[0], second[0])


# -- one clear message ------------------------------------------------------------------------------------------------


def text(path: Path, content: str | bytes = "hello") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def photos(path: Path) -> Path:
    photo(path / "a.png")
    return path


CASES: list[tuple[str, Callable[[Path], list[Any]], str]] = [
    ("missing input", lambda p: [p / "nowhere"], "nowhere does not exist: give an image, a video, or a folder of them"),
    ("empty folder", lambda p: [(p / "d").mkdir() or p / "d"], "d holds no images or videos: it is empty"),
    ("folder of texts", lambda p: [text(p / "a.txt").parent], "holds no images or videos (1 other files)"),
    ("a text as image", lambda p: [text(p / "a.png")], "a.png cannot be translated: no image format is recognised in it"),
    ("an empty image", lambda p: [text(p / "a.png", b"")], "a.png cannot be translated: the file has 0 bytes"),
    ("a text as video", lambda p: [text(p / "a.mp4")], "a.mp4 cannot be read as a video"),
    ("damaged video", lambda p: [damaged(video(p / "a.mp4"))], "a.mp4 has a damaged frame after the first"),
    ("output is a file", lambda p: [photos(p / "d"), "--out", text(p / "o")], "o: part of the path is a file, not a folder"),
    ("output in a file", lambda p: [photos(p / "d"), "--out", text(p / "o") / "x"], "part of the path is a file"),
    ("a file for a folder", lambda p: [photos(p / "d"), "--out", p / "o.png"], "o.png is for a single file of its kind"),
    ("an image for a video", lambda p: [video(p / "a.mp4", 2), "--out", p / "o.png"], "o.png is for a single file of its kind"),
    ("two formats", lambda p: [photos(p / "d") / "a.png", "--out", p / "o.png", "--format", "jpg"], "without --format"),
    ("unknown format", lambda p: [photos(p / "d"), "--format", "gif"], "gif"),
    ("label for none", lambda p: [photos(p / "d"), "--label", "x"], "label x: this generator knows no labels"),
    ("answers without noise", lambda p: [photos(p / "d"), "--answers", "2"], "--answers is 2; this generator has a single answer"),
    ("no answers", lambda p: [photos(p / "d"), "--answers", "0"], "--answers is 0; it must be 1 or more"),
    ("no way back", lambda p: [photos(p / "d"), "--back"], "translates one way only"),
    ("tile too small", lambda p: [photos(p / "d"), "--tile", "16"], "--tile 16: a tile has 32 pixels a side or more"),
    ("overlap too large", lambda p: [photos(p / "d"), "--tile", "64", "--overlap", "40"], "give --tile at least twice --overlap, here 80"),
    ("unknown device", lambda p: [photos(p / "d"), "--device", "tpu"], "--device tpu is not available on this machine: there is cpu"),
    ("no run", lambda p: [], "INPUT"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "says"), [pytest.param(c, s, id=name) for name, c, s in CASES])
def test_one_clear_message(
    command: Callable[[Path], list[Any]], says: str, tmp_path: Path, negative: Translator, zerosum: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, out, err = zerosum("translate", "RUN", *command(tmp_path))
    said = " ".join("".join(c if c not in "│║╭╰╮╯─" else " " for c in out + err).split())
    assert code == 2 and says in said and "Traceback" not in said, said
    assert err.count("error:") <= 1


def pairs(path: Path, *others: str, size: tuple[int, int] = (16, 16)) -> list[Any]:
    """Two folders of pairs, and further images without a partner or of another size."""
    for folder in ("photos", "maps"):
        for index in range(3):
            photo(path / folder / f"{index}.png", 16, 16, 3)
    for name in others:
        photo(path / name, *size, 3)
    return ["--data", path / "photos", "--data.source", path / "maps"]


TRAININGS: list[tuple[str, str, Callable[[Path], list[Any]], str]] = [
    ("unmatched pairs", "pix2pix", lambda p: pairs(p, "photos/lonely.png"), "1 of photos without a partner (lonely.png)"),
    ("different shapes", "pix2pix", lambda p: pairs(p, "maps/1.png", size=(16, 20)), "1.png is 16 x 16 pixels, its source 1.png 20 x 16"),
    ("no source", "pix2pix", lambda p: ["--data", photos(p / "d")], "the data tells no sources: give --data.source left or right"),
    ("a source that is not there", "pix2pix", lambda p: ["--data", photos(p / "d"), "--data.source", p / "e"], "e is neither left nor right, nor a file or folder"),
    ("unpaired without a source", "cyclegan", lambda p: ["--data", photos(p / "d"), "--data.unpaired"], "--data.unpaired says how images are translated, but nothing says from what"),
    ("a target without a source", "cyclegan", lambda p: ["--data", photos(p / "d"), "--data.target", "winter"], "--data.target says how images are translated, but nothing says from what"),
    ("unpaired for pairs", "pix2pix", lambda p: [*pairs(p), "--data.unpaired"], "pix2pix learns from pairs"),
    ("empty domain", "cyclegan", lambda p: ["--data", photos(p / "d"), "--data.source", (p / "e").mkdir() or p / "e", "--data.unpaired"], "e holds no images: it is empty"),
    ("two channels", "pix2pix", lambda p: [*pairs(p), "--data.channels", "2"], "--data.channels is 2; it must be 1 (grey), 3 (colour) or 4"),
    ("transparency", "srgan", lambda p: ["--data", photos(p / "d"), "--data.channels", "4"], "give --data.channels 3"),
]  # fmt: skip


@pytest.mark.parametrize(("system", "command", "says"), [pytest.param(*case[1:], id=case[0]) for case in TRAININGS])
def test_data_that_cannot_be_learned_from(
    system: str, command: Callable[[Path], list[Any]], says: str, tmp_path: Path, zerosum: Command
) -> None:
    code, out, err = zerosum("train", system, *command(tmp_path), "--run.samples", "8", "--run.folder", tmp_path / "r")
    said = " ".join((out + err).split())
    assert code == 2 and says in said and "Traceback" not in said, said
    assert err.count("error:") == 1 and not (tmp_path / "r").exists()


def test_unknown_and_missing_labels(tmp_path: Path, using: Callable, zerosum: Command) -> None:
    generator = using(translator(lambda x, label: x, classes=2))
    generator.facts = {"data": {"class_names": ["summer", "winter"]}}
    inside = photos(tmp_path / "d")
    assert (
        "Did you mean winter? The labels are summer, winter"
        in zerosum("translate", "RUN", inside, "--label", "wintr").err
    )
    code, _, err = zerosum("translate", "RUN", inside)
    assert code == 2 and "what is to be translated into? Give a label: summer, winter" in err


def test_a_run_that_translates_nothing(trained: Path, tmp_path: Path, zerosum: Command) -> None:
    code, _, err = zerosum("translate", trained, photos(tmp_path / "d"))
    assert code == 2 and f"{trained} holds gan, which translates no images" in err
    assert f"`zerosum sample {trained}`" in err
    assert "does not exist" in zerosum("translate", tmp_path / "none", photos(tmp_path / "d")).err


def test_sampling_from_a_translator(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    code, _, err = zerosum("sample", "RUN", "--out", tmp_path / "o")
    assert code == 2 and "`zerosum translate RUN in/ --out out/`" in err and "Traceback" not in err


def test_a_full_disk(tmp_path: Path, negative: Translator, zerosum: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    photo(tmp_path / "in" / "a.png")
    photo(tmp_path / "in" / "b.png")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = zerosum("translate", "RUN", tmp_path / "in", "--out", tmp_path / "out")
    assert code == 2 and "a.png: the disk is full: free some space" in err and names(tmp_path / "out") == []


@ROOTLESS
def test_a_folder_that_may_not_be_written_to(tmp_path: Path, negative: Translator, zerosum: Command) -> None:
    out = locked_for_writing(tmp_path / "locked")
    for place in (out, out / "new"):
        code, _, err = zerosum("translate", "RUN", photos(tmp_path / "d"), "--out", place)
        assert code == 2 and "permission denied: choose a place you may write to" in err


def test_a_folder_that_the_system_refuses(
    tmp_path: Path, negative: Translator, zerosum: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = photos(tmp_path / "d")
    monkeypatch.setattr(os, "access", lambda *_: False)
    code, _, err = zerosum("translate", "RUN", inside, "--out", tmp_path / "o")
    assert code == 2 and f"cannot write to {tmp_path / 'o'}: permission denied: choose a place you may write to" in err


def test_too_little_memory(
    tmp_path: Path, negative: Translator, zerosum: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Translator, "translate", large)
    code, _, err = zerosum("translate", "RUN", photos(tmp_path / "d"))
    assert code == 2 and "not enough memory to translate" in err and "give a smaller --tile" in err


def test_images_that_claim_to_be_enormous(
    tmp_path: Path, negative: Translator, zerosum: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zerosum.cli.translate.MOST_PIXELS", 500)
    code, _, err = zerosum("translate", "RUN", photos(tmp_path / "d") / "a.png")
    assert code == 2 and "a.png cannot be translated: it has more than 500 pixels" in err


def test_videos_without_pyav(
    tmp_path: Path, negative: Translator, zerosum: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    text(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    code, _, err = zerosum("translate", "RUN", tmp_path / "a.mp4")
    assert code == 2 and "pip install 'zerosum[video]'" in err


# -- from the beginning to the end ------------------------------------------------------------------------------------


def test_train_translate_evaluate(tmp_path: Path, zerosum: Command) -> None:
    for index in range(70):
        left = np.kron(pixels(4, 4, 3, seed=index), np.ones((4, 4, 1), np.uint8))
        path = tmp_path / "pairs" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.concatenate([left, 255 - left], 1)).save(path)
    run, small = tmp_path / "run", ["--width", "4", "--discriminator-width", "4", "--depth", "3", "--layers", "1"]
    small += ["--norm", "batch"]
    command = ["train", "pix2pix", "--data", tmp_path / "pairs", "--data.source", "left", *small]
    code, _, err = zerosum(*command, "--run.samples", "24", "--features", "none", "--run.folder", run)
    assert code == 0 and f"zerosum translate {run} in/ --out out/" in " ".join(err.split()), err
    assert "translate(Image.open(" in (run / "generator" / "README.md").read_text()
    assert [path.name for path in (run / "samples").iterdir()]
    # What batch norms go by is that of whole training sources without dropout, not the running averages of training.
    generator = api.load(run)
    kept = {name: value.clone() for name, value in generator.network.named_buffers()}
    assert kept
    generator.ask(load(tmp_path / "pairs", Data(source="left")).train).settle()
    for name, value in generator.network.named_buffers():
        torch.testing.assert_close(value, kept[name], msg=name)
    photo(tmp_path / "new.png", 37, 50, 3)
    for place in (run, run / "generator"):
        out = tmp_path / place.name
        assert zerosum("translate", place, tmp_path / "new.png", "--out", out / "made.png").code == 0
    assert Image.open(tmp_path / "generator" / "made.png").size == (50, 37)
    code, out, err = zerosum("evaluate", run, "--features", "pixels", "--n", "200", "--json")
    assert code == 0, err
    scores = json.loads(out)
    assert scores["values"].keys() >= {"fd", "psnr", "ssim", "l1", "psnr_source"}


def test_help_says_what_it_takes(zerosum: Command) -> None:
    shown = zerosum("translate", "--help").out
    assert "RUN" in shown and "Example: zerosum translate runs/" in " ".join(shown.split())
