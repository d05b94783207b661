"""Column by column: is every value as frequent in a synthetic table as in the real one?

Defined as in SDMetrics (KSComplement, TVComplement), so that figures can be compared: cells that are missing are left
out, and their share is compared apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zerosum.metrics.tables.sheet import Sheet


@dataclass(frozen=True)
class Shape:
    """How well one column agrees."""

    score: float
    """KS complement of numbers, total-variation complement of categories, in [0, 1]; 1 = equally distributed."""
    missing: float
    """1 - the difference between the shares of missing cells."""
    variation: float | None
    """Total variation distance of the frequencies of categories, "missing" one of them; None for numbers."""


def column_shapes(real: Sheet, synthetic: Sheet) -> list[Shape]:
    """How well each column of two sheets (n, d) and (m, d) agrees.

    Where every cell of just one of the two is missing, the score is 0: SDMetrics leaves such columns out.
    """
    shapes = []
    for place, field in enumerate(real.fields):
        absent = [sheet.missing(place) for sheet in (real, synthetic)]
        cells = [sheet.cells[place] for sheet in (real, synthetic)]
        present = [own[~gone] for own, gone in zip(cells, absent)]
        variation = None if field.levels is None else total_variation(cells[0], cells[1], len(field.levels))
        if min(map(len, present)) == 0:
            score = float(len(present[0]) == len(present[1]))
        elif field.levels is None:
            score = ks_complement(present[0], present[1])
        else:
            score = 1.0 - total_variation(present[0], present[1], len(field.levels))
        shapes.append(Shape(score, 1.0 - abs(float(absent[0].mean() - absent[1].mean())), variation))
    return shapes


def ks_complement(a: np.ndarray, b: np.ndarray) -> float:
    """1 - the largest difference between the distribution functions of numbers (n,) and (m,), without NaN."""
    a, b = np.sort(a), np.sort(b)
    at = np.concatenate([a, b])
    below = [np.searchsorted(own, at, side="right") / len(own) for own in (a, b)]
    return 1.0 - float(np.abs(below[0] - below[1]).max())


def total_variation(a: np.ndarray, b: np.ndarray, levels: int) -> float:
    """Half the summed differences of the frequencies of codes (n,) and (m,), -1 (missing) one of them; in [0, 1]."""
    shares = [np.bincount(own + 1, minlength=levels + 1) / max(len(own), 1) for own in (a, b)]
    return 0.5 * float(np.abs(shares[0] - shares[1]).sum())
