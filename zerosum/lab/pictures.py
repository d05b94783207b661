"""Pictures of a lab, drawn with Pillow: samples over real points, grids of images, curves over the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from zerosum.core.files import naming

SCALE = 2
"""Everything is drawn so much larger and then reduced, which smooths the edges."""
INK, FAINT, REAL, FAKE = "#222222", "#d8d8d8", (170, 178, 189), (200, 60, 30)
COLOURS = ("#c83c1e", "#1f6fb2", "#2a8f5b", "#8a4fb0", "#b0851c", "#4a4a4a")


def save(picture: Image.Image, path: Path) -> None:
    """Write a PNG in one piece."""
    temporary = path.with_name(f".{path.name}")
    with naming(path):
        picture.save(temporary, "PNG")
        temporary.replace(path)


def scatter(sets: Tensor, real: Tensor, titles: Sequence[str], *, size: int = 300, limit: float = 5.2) -> Image.Image:
    """A panel per set of samples, over the real points.

    Args:
        sets: (panels, n, 2).
        real: (m, 2).
        titles: of each panel.
        size: of a panel in pixels.
        limit: the panels show [-limit, limit] in both directions.
    """
    side, head = size * SCALE, 18 * SCALE
    whole = Image.new("RGB", (side * len(sets), side + head), "white")
    draw = ImageDraw.Draw(whole)
    for index, (points, title) in enumerate(zip(sets, titles, strict=True)):
        panel = np.full((side, side, 3), 255, np.uint8)
        for where, colour, radius in ((real, REAL, 0), (points, FAKE, 1)):
            _stamp(panel, where, colour, radius, limit)
        whole.paste(Image.fromarray(panel), (index * side, head))
        draw.rectangle([index * side, head, (index + 1) * side - 1, head + side - 1], outline=FAINT, width=SCALE)
        draw.text((index * side + 4 * SCALE, 2 * SCALE), title, fill=INK, font_size=11 * SCALE)
    return whole.reduce(SCALE)


def _stamp(panel: np.ndarray, points: Tensor, colour: tuple[int, int, int], radius: int, limit: float) -> None:
    """Colour a square of 2 radius + 1 pixels around each point that lies inside."""
    side = len(panel)
    places = np.rint((points.numpy() / limit * [1, -1] + 1) / 2 * (side - 1)).astype(int)
    inside = ((places >= radius) & (places < side - radius)).all(axis=1)
    x, y = places[inside].T
    for dx in range(-radius, radius + 1):
        for dy in range(-radius, radius + 1):
            panel[y + dy, x + dx] = colour


def image_grid(images: Tensor, columns: int = 20, zoom: int = 2) -> Image.Image:
    """Images (n, 3, h, w) in [-1, 1] in rows of `columns`, enlarged `zoom` times."""
    n, channels, height, width = images.shape
    rows = n // columns
    pixels = images[: rows * columns].add(1).mul(127.5).round().clamp(0, 255).byte().numpy()
    tiled = pixels.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    picture = Image.fromarray(np.ascontiguousarray(tiled.reshape(rows * height, columns * width, channels)))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


Curve = Sequence[tuple[float, float]]


def curves(
    lines: Mapping[str, Sequence[Curve]], *, top: float, title: str, size: tuple[int, int] = (640, 320)
) -> Image.Image:
    """Curves over samples shown, one colour per name, from 0 to `top`.

    Args:
        lines: name -> one curve per seed, each a sequence of (samples, value).
    """
    width, height = size[0] * SCALE, size[1] * SCALE
    left, right, above, below = 48 * SCALE, width - 110 * SCALE, 28 * SCALE, height - 26 * SCALE
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    last = max((x for family in lines.values() for curve in family for x, _ in curve), default=1.0) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x / last * (right - left), below - min(y / top, 1.0) * (below - above)

    draw.text((left, 6 * SCALE), title, fill=INK, font_size=12 * SCALE)
    for share in (0, 0.25, 0.5, 0.75, 1):
        draw.line([place(0, share * top), place(last, share * top)], fill=FAINT, width=SCALE)
        x, y = place(share * last, 0)[0], place(0, share * top)[1]
        draw.text((left - 6 * SCALE, y), f"{share * top:g}", fill=INK, font_size=10 * SCALE, anchor="rm")
        text = f"{share * last / 1000:.0f}k"
        draw.text((x, below + 6 * SCALE), text, fill=INK, font_size=10 * SCALE, anchor="ma")
    for index, (name, family) in enumerate(lines.items()):
        colour = COLOURS[index % len(COLOURS)]
        for curve in family:
            draw.line([place(x, y) for x, y in curve], fill=colour, width=2 * SCALE, joint="curve")
        draw.text((right + 10 * SCALE, above + index * 16 * SCALE), name, fill=colour, font_size=11 * SCALE)
    return picture.reduce(SCALE)
