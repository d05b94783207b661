"""Pictures of edits: sizes, captions, animations that can be read again."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zerosum.core.errors import BadOption, MissingExtra
from zerosum.editing import strips


def images(n: int, mode: str = "RGB", side: int = 16) -> list[Image.Image]:
    return [Image.new(mode, (side, side), 40 * i if mode == "L" else (40 * i, 0, 0)) for i in range(n)]


def test_a_strip_has_rows_columns_and_captions() -> None:
    plain = strips.strip(strips.table(images(6), 3))
    assert plain.size == (4 + 3 * 132, 4 + 2 * 132)  # 16 px are enlarged 8 times
    captioned = strips.strip(strips.table(images(6), 3), ["-1", "0", "+1"], ["first", "second row"])
    assert captioned.height == plain.height + strips.TEXT + strips.GAP and captioned.width > plain.width
    pixels = np.asarray(captioned)
    assert (pixels[: strips.TEXT] < 128).any() and (pixels[:, : captioned.width - plain.width] < 128).any()
    assert tuple(pixels[-20, -20]) == (200, 0, 0)  # the last image's colour


def test_long_captions_are_cut() -> None:
    width = strips.strip([images(1)], ["a photo with a very long name indeed.png"]).width
    assert width == strips.strip([images(1)], ["x"]).width


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_every_mode_is_shown_as_rgb(mode: str) -> None:
    image = Image.new(mode, (200, 100), (0,) * len(mode) if mode != "L" else 0)
    shown = strips.shown(image)
    assert shown.mode == "RGB" and shown.size == (200, 100)
    assert shown.getpixel((0, 0)) == ((255, 255, 255) if mode == "RGBA" else (0, 0, 0))


def test_rows_must_be_equally_long() -> None:
    with pytest.raises(BadOption, match="rows of equally many images"):
        strips.strip([images(2), images(3)])
    with pytest.raises(BadOption, match="rows of equally many images"):
        strips.strip([])


def test_gif(tmp_path: Path) -> None:
    frames = [strips.shown(image) for image in strips.back_and_forth(images(4))]
    assert len(frames) == 6
    strips.animate(frames, tmp_path / "a.gif", rate=10)
    with Image.open(tmp_path / "a.gif") as read:
        assert read.n_frames == 6 and read.size == (128, 128) and read.info["duration"] == 100
        read.seek(3)
        assert read.convert("RGB").getpixel((5, 5))[0] == 120
    with pytest.raises(BadOption, match="a frame or more and a rate above 0, not 0 and 10"):
        strips.animate([], tmp_path / "b.gif", rate=10)


def test_mp4(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs the extra video")
    frames = [image.resize((33, 51)) for image in images(5)]  # odd sides
    strips.film(frames, tmp_path / "a.mp4", rate=24)
    with av.open(str(tmp_path / "a.mp4")) as container:
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(read) == 5 and read[0].shape == (52, 34, 3)
    assert abs(int(read[3][20, 20, 0]) - 120) < 12


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"av is needed here and is not installed: pip install 'zerosum\[video\]'"):
        strips.film(images(2), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())
