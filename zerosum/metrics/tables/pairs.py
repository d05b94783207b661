"""Pair by pair: do two columns hang together in a synthetic table as they do in the real one?

Defined as in SDMetrics: two columns of numbers are compared by Pearson's correlation (CorrelationSimilarity), all
others by their joint frequencies, numbers in 10 bins of equal width between the real extremes, the outer ones open
(ContingencySimilarity). Two differences to its report "Column Pair Trends": that one bins either table between its own
extremes, and leaves out pairs in which a column is constant; here a constant correlates with nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from zerosum.metrics.tables.sheet import Sheet

BINS = 10
DENSE = 1_000_000
"""Cells up to which a contingency table is counted as a whole; of a larger one only what occurs."""


@dataclass(frozen=True)
class PairTrends:
    """How the columns of two tables hang together: all (d, d), symmetric, 1 on the diagonal."""

    similarity: np.ndarray
    """Per pair in [0, 1]; 1 = as in the real table."""
    real: np.ndarray
    """Pearson's correlation of two columns of numbers; Cramér's V, corrected for bias (Bergsma 2013), of others."""
    synthetic: np.ndarray
    """The same of the synthetic table."""

    @property
    def mean(self) -> float:
        """The mean similarity of all pairs of different columns; 1 where there is one column only."""
        own = self.similarity[np.triu_indices(len(self.similarity), 1)]
        return float(own.mean()) if len(own) else 1.0


def pair_trends(real: Sheet, synthetic: Sheet) -> PairTrends:
    """Compares every pair of columns of two sheets (n, d) and (m, d)."""
    d = len(real.fields)
    similarity, own, made = np.eye(d), np.eye(d), np.eye(d)
    numbers = [place for place, field in enumerate(real.fields) if field.number]
    if numbers:
        square = np.ix_(numbers, numbers)
        own[square], made[square] = (
            correlations(np.stack([sheet.cells[place] for place in numbers], axis=1)) for sheet in (real, synthetic)
        )
        similarity[square] = 1.0 - np.abs(own[square] - made[square]) / 2
    codes = [_codes(real, synthetic, place) for place in range(d)]
    for i, j in combinations(range(d), 2):
        if real.fields[i].number and real.fields[j].number:
            continue
        first, second, size = _joint(codes[i], codes[j])
        similarity[i, j] = similarity[j, i] = 1.0 - 0.5 * float(np.abs(first - second).sum())
        own[i, j] = own[j, i] = cramers_v(first * len(real), size)
        made[i, j] = made[j, i] = cramers_v(second * len(synthetic), size)
    return PairTrends(similarity, own, made)


def correlations(values: np.ndarray) -> np.ndarray:
    """Pearson's correlations (d, d) of columns (n, d), each pair over the rows in which both are there (not NaN). Where
    one of them is constant in these, the correlation is 0.
    """
    there = ~np.isnan(values)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, values, 0.0).sum(axis=0) / count
    centred = np.where(there, values - mean, 0.0)
    centred /= np.maximum(np.abs(centred).max(axis=0, initial=0.0), 1e-300)
    mask = there.astype(np.float64)
    n = np.maximum(mask.T @ mask, 1.0)
    sums, squares = centred.T @ mask, (centred**2).T @ mask
    covariance = centred.T @ centred - sums * sums.T / n
    variance = np.maximum(squares - sums**2 / n, 0.0)
    scale = np.sqrt(variance * variance.T)
    found = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 1e-12 * n)
    np.fill_diagonal(found, 1.0)
    return found.clip(-1.0, 1.0)


Codes = tuple[np.ndarray, np.ndarray, int]
"""Codes (n,) of the real cells, (m,) of the synthetic ones, and how many different codes there may be."""


def _codes(real: Sheet, synthetic: Sheet, place: int) -> Codes:
    """The cells of one column as codes from 0; missing is one of them."""
    field = real.fields[place]
    own, made = real.cells[place], synthetic.cells[place]
    if field.levels is not None:
        return own + 1, made + 1, len(field.levels) + 1
    there = own[~np.isnan(own)]
    edges = np.linspace(there.min(), there.max(), BINS + 1)[1:-1] if len(there) else np.zeros(0)
    binned = (np.where(np.isnan(cells), BINS, np.digitize(cells, edges)) for cells in (own, made))
    return next(binned), next(binned), BINS + 1


def _joint(a: Codes, b: Codes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joint frequencies of two columns in the real and the synthetic table, both (cells,), and the codes (2, cells)."""
    keys = [first * b[2] + second for first, second in zip(a[:2], b[:2])]
    if a[2] * b[2] <= DENSE:
        counts = [np.bincount(own, minlength=a[2] * b[2]) for own in keys]
        occurring = np.flatnonzero(counts[0] + counts[1])
        counts = [own[occurring] for own in counts]
    else:
        occurring, places = np.unique(np.concatenate(keys), return_inverse=True)
        split = (places[: len(keys[0])], places[len(keys[0]) :])
        counts = [np.bincount(own, minlength=len(occurring)) for own in split]
    return counts[0] / len(keys[0]), counts[1] / len(keys[1]), np.stack(np.divmod(occurring, b[2]))


def cramers_v(counts: np.ndarray, codes: np.ndarray) -> float:
    """Cramér's V of joint counts (cells,) at codes (2, cells), corrected for bias (Bergsma 2013); 0 of constants."""
    n = counts.sum()
    rows, columns = (np.bincount(own, weights=counts) for own in codes)
    r, c = int((rows > 0).sum()), int((columns > 0).sum())
    if min(r, c) < 2 or n < 2:
        return 0.0
    there = counts > 0
    expected = rows[codes[0][there]] * columns[codes[1][there]]
    phi = float((counts[there] ** 2 / expected).sum()) - 1.0
    phi = max(0.0, phi - (r - 1) * (c - 1) / (n - 1))
    limit = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1.0
    return min(1.0, (phi / limit) ** 0.5) if limit > 0 else 0.0
