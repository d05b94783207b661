"""Distances between rows of mixed columns, and the closest records by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from zerosum.metrics.tables.sheet import Sheet

CHUNK = 300_000
"""Distances that are computed at a time, float32: what fits into a cache."""


@dataclass(frozen=True)
class Points:
    """Rows as the distance sees them."""

    ranks: np.ndarray
    """float32 (columns, n): how large numbers are, in [0, 1]; 2 where a cell is missing."""
    codes: np.ndarray
    """int32 (columns, n): categories, -1 where missing."""

    def __len__(self) -> int:
        return self.ranks.shape[1]


@dataclass(frozen=True)
class Space:
    """Gower's (1971) distance with ranks for numbers (Podani 1999).

    It is the mean over the columns of

    - numbers and categories in order: the share of the reference rows between the two;
    - other categories: 0 where they are equal, else 1;
    - missing cells: 0 where both are missing, 1 where one is.

    Ranks, unlike Gower's ranges, let a few enormous values not make all others equal.
    """

    ranked: tuple[tuple[int, np.ndarray, np.ndarray], ...]
    """Of each ranked field its place, and the values (k,) ascending with their mean ranks (k,) in [0, 1]."""
    named: tuple[int, ...]
    """The places of the other fields."""

    @classmethod
    def of(cls, reference: Sheet) -> Space:
        """The distance whose ranks are those among the rows of a sheet."""
        ranked = []
        for place, field in enumerate(reference.fields):
            if field.number or field.ordered:
                values, ranks = np.zeros(1), np.zeros(1)
                there = reference.cells[place][~reference.missing(place)].astype(np.float64)
                if len(there):
                    values, first = np.unique(there, return_index=True)
                    ranks = ((rankdata(there) - 0.5) / len(there))[first]
                ranked.append((place, values, ranks))
        own = {place for place, _, _ in ranked}
        return cls(tuple(ranked), tuple(place for place in range(len(reference.fields)) if place not in own))

    def points(self, sheet: Sheet) -> Points:
        """The rows of a sheet; values between those of the reference have ranks between theirs."""
        ranks = np.zeros((len(self.ranked), len(sheet)), dtype=np.float32)
        for row, (place, values, known) in enumerate(self.ranked):
            missing = sheet.missing(place)
            cells = np.where(missing, values[0], sheet.cells[place])
            ranks[row] = np.where(missing, 2.0, np.interp(cells, values, known))
        codes = np.zeros((len(self.named), len(sheet)), dtype=np.int32)
        for row, place in enumerate(self.named):
            codes[row] = sheet.cells[place]
        return Points(ranks, codes)


def mutual_nearest(a: Points, b: Points) -> tuple[np.ndarray, np.ndarray]:
    """The distance of each of n points to the closest of m, and of each of m to the closest of n: (n,) and (m,), in
    [0, 1]. Computed in pieces: O(n + m) memory. Infinite where the other side has no points.
    """
    columns = max(len(a.ranks) + len(a.codes), 1)
    nearest_a = np.full(len(a), np.inf, dtype=np.float32)
    nearest_b = np.full(len(b), np.inf, dtype=np.float32)
    if not len(a) or not len(b):
        return nearest_a, nearest_b
    size = max(1, CHUNK // len(b))
    for start in range(0, len(a), size):
        rows = slice(start, min(start + size, len(a)))
        total = np.zeros((rows.stop - start, len(b)), dtype=np.float32)
        for own, other in zip(a.ranks, b.ranks):
            apart = np.abs(own[rows, None] - other[None])
            total += np.minimum(apart, 1.0, out=apart)
        for own, other in zip(a.codes, b.codes):
            total += own[rows, None] != other[None]
        total /= columns
        nearest_a[rows] = total.min(axis=1)
        np.minimum(nearest_b, total.min(axis=0), out=nearest_b)
    return nearest_a, nearest_b
