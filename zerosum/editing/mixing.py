"""Style mixing: some layers' w from one image, the others' from another (Karras et al. 2019, arXiv:1812.04948, 3.1)."""

from __future__ import annotations

import re

from zerosum.core.errors import BadOption
from zerosum.editing.points import Points, layers_of
from zerosum.training.generator import TrainedGenerator

THIRDS = ("coarse", "middle", "fine")
"""Pose and shape; parts; colours and small structure. (The paper's ranges at 1024 px are 4, 4 and 10 of 18 layers.)"""


def layers_named(generator: TrainedGenerator, text: str) -> list[int]:
    """The layers that a text names: all, coarse, middle or fine (a third each), or numbers such as 0-3,5.

    Raises:
        BadOption: there are no such layers, or the generator has none at all.
    """
    count = layers_of(generator)
    if count is None:
        raise BadOption(
            f"--layers {text}: this generator has no layers with a w of their own; stylegan2 and stylegan3 have."
        )
    if text == "all":
        return list(range(count))
    if text in THIRDS:
        third = THIRDS.index(text)
        return list(range(round(count * third / 3), round(count * (third + 1) / 3)))
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if match is None:
            raise BadOption(f"--layers {text}: give all, coarse, middle, fine, or numbers such as 0-3,5.")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last or last >= count:
            raise BadOption(f"--layers {text}: {part.strip()} is not among the layers 0 to {count - 1}.")
        found |= set(range(first, last + 1))
    return sorted(found)


def mix(rows: Points, columns: Points, layers: list[int]) -> Points:
    """Every row's image with `layers` taken from every column's: row by row, len(rows) * len(columns) points.

    Label and noise are the row's: a label has entered w already.
    """
    if rows.w.dim() != 3 or rows.w.shape[1:] != columns.w.shape[1:]:
        raise BadOption("style mixing needs points of one generator with layers (stylegan2, stylegan3).")
    if not layers or max(layers) >= rows.w.shape[1]:
        raise BadOption(f"layers {layers} were asked for; there are layers 0 to {rows.w.shape[1] - 1}.")
    mixed = rows.repeat(len(columns))
    w = mixed.w.clone()
    w[:, layers] = columns.w.repeat(len(rows), 1, 1)[:, layers]
    return mixed.at(w)
