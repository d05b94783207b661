"""Pictures of edits: rows of images with captions, as PNG, GIF and MP4."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from zerosum.core.errors import BadOption
from zerosum.core.extras import require
from zerosum.core.files import write_bytes
from zerosum.training.pictures import save

CELL = 128
"""Pixels that small images are enlarged to, by a whole factor, so that pixels stay pixels."""
GAP, TEXT, INK, PAPER = 4, 14, "#222222", "#ffffff"


def strip(rows: Sequence[Sequence[Image.Image]], columns: Sequence[str] = (), names: Sequence[str] = ()) -> Image.Image:
    """Rows of images of one size, with captions above the columns and, left of the rows, names."""
    if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        raise BadOption("a picture needs rows of equally many images.")
    cells = [[shown(image) for image in row] for row in rows]
    width, height = cells[0][0].size
    left = GAP + max((_length(name) + GAP for name in names if name), default=0)
    top = GAP + (TEXT + GAP if any(columns) else 0)
    size = (left + len(cells[0]) * (width + GAP), top + len(cells) * (height + GAP))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for j, caption in enumerate(columns):
        place = (left + j * (width + GAP) + width // 2, GAP)
        draw.text(place, _fitted(caption, width), fill=INK, font_size=TEXT, anchor="ma")
    for i, row in enumerate(cells):
        y = top + i * (height + GAP)
        if i < len(names) and names[i]:
            draw.text((GAP, y + height // 2), names[i], fill=INK, font_size=TEXT, anchor="lm")
        for j, cell in enumerate(row):
            sheet.paste(cell, (left + j * (width + GAP), y))
    return sheet


def signed(strength: float) -> str:
    """A strength as a caption: -1, 0, +1.5."""
    return f"{strength:+.3g}" if strength else "0"


def shown(image: Image.Image) -> Image.Image:
    """An image as RGB, transparency over white, enlarged by a whole factor to about CELL pixels."""
    if image.mode == "RGBA":
        paper = Image.new("RGBA", image.size, PAPER)
        image = Image.alpha_composite(paper, image)
    factor = max(1, CELL // max(image.size))
    return image.convert("RGB").resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _length(text: str) -> int:
    return round(ImageDraw.Draw(Image.new("L", (1, 1))).textlength(text, font_size=TEXT))


def _fitted(text: str, width: int) -> str:
    """A text cut so that it is at most `width` pixels long."""
    while text and _length(text) > width:
        text = text.removesuffix("…")[:-1] + "…" if len(text) > 1 else ""
    return text


def table(images: Sequence[Image.Image], columns: int) -> list[list[Image.Image]]:
    """Images in rows of `columns`."""
    return [list(images[start : start + columns]) for start in range(0, len(images), columns)]


def back_and_forth(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """Frames forwards and backwards, each end once."""
    return [*frames, *frames[-2:0:-1]]


def animate(frames: Sequence[Image.Image], path: Path, *, rate: float = 12.0) -> None:
    """An endless GIF of RGB pictures of one size, `rate` a second, 256 colours each."""
    _checked(frames, rate)
    reduced = [frame.quantize(256, dither=Image.Dither.NONE) for frame in frames]
    duration = max(20, round(100 / rate) * 10)  # GIF counts hundredths of a second; viewers slow down below two
    save(reduced[0], path, save_all=True, append_images=reduced[1:], duration=duration, loop=0)


def film(frames: Sequence[Image.Image], path: Path, *, rate: float = 24.0) -> None:
    """An MP4 (H.264) of RGB pictures of one size, `rate` a second.

    Raises:
        MissingExtra: PyAV is not installed.
    """
    _checked(frames, rate)
    av = require("av", "video")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=round(rate))
        stream.width, stream.height = (side + side % 2 for side in frames[0].size)
        stream.pix_fmt = "yuv420p"  # what every player knows; needs even sides
        stream.options = {"crf": "16"}
        for picture in frames:
            pixels = np.asarray(picture)
            pixels = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    write_bytes(path, buffer.getvalue())


def _checked(frames: Sequence[Image.Image], rate: float) -> None:
    if not frames or not rate > 0:
        raise BadOption(f"an animation needs a frame or more and a rate above 0, not {len(frames)} and {rate:g}.")
