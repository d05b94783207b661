"""Pictures while training: the same latents, drawn again and again, as grids and at the end as an animation."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zerosum.core.errors import BadData
from zerosum.core.files import naming, write_bytes
from zerosum.data.encodings import ImageEncoding
from zerosum.data.pixels import change_bits, change_channels
from zerosum.data.spec import Store
from zerosum.data.stores import Part
from zerosum.training.callback import Callback
from zerosum.training.loop import Training
from zerosum.training.translator import Translator

SHEET, FEWEST, MOST = 1024, 3, 8
"""Pixels that the rows of sources are high together; the fewest rows, and the most."""
ANSWERS, LABELS, CELL = 4, 8, 96
"""Answers to each source, or classes that it is translated into, and the pixels a side that small ones are enlarged to.
"""


class Pictures(Callback):
    """samples/<samples>.png at each snapshot, samples.gif at the end. Translators show `strips` of held-out sources.

    Args:
        count: samples in a grid; a class-conditional generator fills one column a class, or several side by side where
            there are few classes, so that the grid is about square.
    """

    def __init__(self, count: int = 64):
        self.count = count

    def snapshot(self, training: Training) -> None:
        """Draw the grid."""
        generator = training.generator()
        given = None
        count, columns = self.count, None
        if isinstance(generator, Translator):
            data = training.dataset
            picture = strips(generator, data.train if data.test is None else data.test)
            save(picture, training.folder / "samples" / f"{training.samples:012d}.png")
            return
        if generator.conditional:
            classes = min(generator.spec.classes, 16)
            each = max(1, round(math.sqrt(self.count) / classes))
            columns = classes * each
            count = columns * max(2, self.count // columns)
            given = {"label": torch.arange(count).remainder(columns) // each}
        if generator.spec.kind == "points":
            real = (
                training.dataset.train.fetch(torch.arange(min(2500, len(training.dataset.train))))["image"]
                .cpu()
                .numpy()
            )
            picture = scatter(real, generator.sample(2500, seed=0))
        else:
            picture = grid(generator.sample(count, given=given, seed=0), columns)
        save(picture, training.folder / "samples" / f"{training.samples:012d}.png")

    def end(self, training: Training) -> None:
        """Put the grids together as an animation."""
        paths = sorted((training.folder / "samples").glob("[0-9]*.png"))
        if len(paths) > 1:
            animate(paths, training.folder / "samples" / "samples.gif")


def strips(generator: Translator, store: Store) -> Image.Image:
    """A row for each of a few sources, evenly chosen from a store: the source, what is made of it (into several
    classes, or with several z, where there are such), and the right answer where there is one.
    """
    height = generator.spec.shape[1]
    rows = min(max(SHEET // height, FEWEST), MOST, len(store))
    part = Part(store, torch.linspace(0, len(store) - 1, rows).round().long())
    generator.ask(part)
    columns = [generator.sources(0, rows)]
    if generator.conditional:
        asked = [{"label": label} for label in range(min(generator.spec.classes, LABELS))]
        columns += [torch.cat(list(generator.tensors(rows, given=given))) for given in asked]
    else:
        seeds = range(ANSWERS if generator.latent.size else 1)
        columns += [torch.cat(list(generator.tensors(rows, seed=seed))) for seed in seeds]
    if generator.paired:
        columns.append(part.fetch(torch.arange(rows))["image"])
    shown = [visible(column, generator) for column in columns]
    return grid([image for row in zip(*shown, strict=True) for image in row], len(columns), CELL * len(columns))


def visible(images: Tensor, generator: Translator) -> list[Image.Image]:
    """Sources or answers (n, c, h, w) as pictures in colour, as large as answers are: of holes with the mask left out,
    of others with more than 4 channels the first 3.
    """
    channels, height, width = generator.spec.shape
    masked = generator.fills_in and images.shape[1] == channels + 1
    kept = images[:, :-1] if masked else images[:, :3] if images.shape[1] not in (1, 3, 4) else images
    pixels = ImageEncoding(generator.spec).values(kept)
    pictures = [Image.fromarray(change_channels(one, 3)) for one in pixels]
    return [one.resize((width, height), Image.Resampling.NEAREST) for one in pictures]


def grid(images: list[Image.Image], columns: int | None = None, at_least: int = 640) -> Image.Image:
    """Images of one size side by side; small ones enlarged by a whole factor, so that pixels stay pixels."""
    columns = columns or math.ceil(math.sqrt(len(images)))
    width, height = images[0].size
    rows = math.ceil(len(images) / columns)
    factor = max(1, min(at_least // max(columns * width, 1), 8))
    mode = "RGBA" if images[0].mode == "RGBA" else "L" if images[0].mode in ("L", "I;16") else "RGB"
    sheet = Image.new(mode, (columns * (width * factor + 2) + 2, rows * (height * factor + 2) + 2), "white")
    for i, image in enumerate(images):
        tile = eight_bit(image).convert(mode).resize((width * factor, height * factor), Image.Resampling.NEAREST)
        sheet.paste(tile, (2 + (i % columns) * (width * factor + 2), 2 + (i // columns) * (height * factor + 2)))
    return sheet


def eight_bit(image: Image.Image) -> Image.Image:
    """A 16-bit grey image for the screen; others as they are."""
    if image.mode != "I;16":
        return image
    return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))


def scatter(real: np.ndarray, fake: np.ndarray, size: int = 480) -> Image.Image:
    """Generated points (orange) over real ones (grey); both (n, 2)."""
    picture = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(picture)
    reach = float(np.abs(real).max()) * 1.25
    for points, colour, radius in ((real, "#b8c0cc", 2), (fake, "#e8590c", 1)):
        for x, y in (points / reach * 0.5 + 0.5) * size:
            if 0 <= x < size and 0 <= y < size:
                draw.ellipse((x - radius, size - y - radius, x + radius, size - y + radius), fill=colour)
    return picture


def save(picture: Image.Image, path: Path, **options: Any) -> None:
    """Write a picture in one piece."""
    buffer = io.BytesIO()
    picture.save(buffer, format=path.suffix[1:].upper(), **options)
    write_bytes(path, buffer.getvalue())


FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP",
}  # fmt: skip
"""Of images that are written, by the ending of the file."""
OPAQUE, DEEP = ("JPEG", "BMP"), ("PNG", "TIFF")
"""Formats without transparency, and those with 16 bits."""
QUALITY: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}, "TIFF": {"compression": "tiff_adobe_deflate"},
}  # fmt: skip


def save_pixels(pixels: np.ndarray, path: Path, *, asked: bool = False) -> None:
    """Write an image (h, w, 1 | 3 | 4) of uint8 or uint16 in one piece. Pillow knows no 16-bit colour: it gets 8 bits.

    Args:
        asked: whether somebody has chosen the format, and so given up what it cannot hold.

    Raises:
        BadData: nobody has, and the format cannot hold the image's transparency or 16 bits.
    """
    form, clear = FORMATS[path.suffix.lower()], pixels.shape[2] == 4
    deep = pixels.dtype == np.uint16 and pixels.shape[2] == 1
    lost = "transparency" if clear and form in OPAQUE else "16 bits" if deep and form not in DEEP else None
    if lost and not asked:
        raise BadData(f"{path} cannot be written: {form} does not hold the image's {lost}. Give --format png.")
    made = change_channels(pixels, 3) if clear and form in OPAQUE else pixels
    made = made if deep and form in DEEP else change_bits(made, 8)
    buffer = io.BytesIO()
    picture = Image.fromarray(made[..., 0] if made.shape[2] == 1 else made)
    picture.save(buffer, form, **QUALITY.get(form, {}))
    write_bytes(path, buffer.getvalue())


def animate(paths: list[Path], target: Path, frames: int = 60) -> None:
    """A GIF of pictures, evenly chosen where there are more than `frames`; the last one stays longest."""
    chosen = [
        paths[round(i * (len(paths) - 1) / (min(frames, len(paths)) - 1))] for i in range(min(frames, len(paths)))
    ]
    with naming(target):
        pictures = []
        for path in chosen:
            with Image.open(path) as image:
                pictures.append(image.convert("RGB").quantize(64))
        save(
            pictures[0],
            target,
            save_all=True,
            append_images=pictures[1:],
            duration=[120] * (len(pictures) - 1) + [2000],
            loop=0,
        )
