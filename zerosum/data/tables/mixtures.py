"""Gaussian mixtures of many columns of numbers at once, each with as many Gaussians as it needs.

A column is reduced to a few hundred weighted points first, so that a million rows cost no more than a thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

POINTS = 512
"""Weighted points that a column is reduced to."""
AT_MOST = 20_000
"""Rows that the points count as at most; more would keep Gaussians that hardly matter."""


PRIOR = 1e-3
"""The share of a column's variance that counts as one more row of each Gaussian."""


def reduce(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, counts and variances (POINTS,) of sorted values: of each distinct one, or else of about equal shares.

    A distinct value stands for those that were rounded to it: as far as halfway to the nearest other one.
    """
    starts = np.flatnonzero(np.concatenate(([True], y[1:] != y[:-1])))
    rounded = np.zeros(len(starts))
    if 1 < len(starts) <= POINTS:
        gaps = np.diff(y[starts])
        rounded = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf)) ** 2 / 12
    elif len(starts) > POINTS:
        # Cuts at the widest gaps as well: else a share could lie in two clusters, and seem to be one between them.
        gaps = np.argpartition(np.diff(y), -POINTS // 4)[-POINTS // 4 :] + 1
        starts = np.union1d(np.linspace(0, len(y), POINTS * 3 // 4 + 1)[:-1].astype(np.int64), gaps)
    counts = np.diff(np.append(starts, len(y))).astype(np.float64)
    means = np.add.reduceat(y, starts) / counts
    variances = np.add.reduceat((y - np.repeat(means, counts.astype(np.int64))) ** 2, starts) / counts
    variances += rounded if len(rounded) == len(starts) else 0.0
    empty = POINTS - len(starts)
    return np.pad(means, (0, empty)), np.pad(counts, (0, empty)), np.pad(variances, (0, empty))


def fit_mixtures(
    points: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], most: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Means, sds and weights of a Gaussian mixture of weighted points, for each column.

    EM starts with `most` Gaussians; then the pair that costs least is merged, again and again (Runnalls 2007,
    Kullback-Leibler Approach to Gaussian Mixture Reduction, equation 21), with EM in between. Of these mixtures the one
    with the best BIC is kept: a normal distribution keeps one Gaussian, not ten that overlap.
    """
    x, counts, within = (np.stack(part)[:, :, None] for part in zip(*points, strict=True))  # (columns, points, 1)
    counts = counts * np.minimum(1.0, AT_MOST / counts.sum(1, keepdims=True))
    total = counts.sum(1, keepdims=True)
    mean = (counts * x).sum(1, keepdims=True) / total
    prior = PRIOR * np.maximum((counts * ((x - mean) ** 2 + within)).sum(1, keepdims=True) / total, 1e-12)
    shares = _near(x, counts, most)
    best = np.full(len(x), np.inf)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = [(np.empty(0),) * 3] * len(x)
    for k in range(most, 0, -1):
        for _ in range(40 if k == most else 15):
            mixture = _maximise(x, counts, within, prior, shares)
            shares, likelihood = _expect(x, counts, within, *mixture)
        score = (3 * k - 1) * np.log(total[:, 0, 0]) - 2 * likelihood
        for column in np.flatnonzero(score < best):
            found[column] = tuple(part[column, 0] for part in mixture)
        best = np.minimum(best, score)
        if k > 1:
            shares, _ = _expect(x, counts, within, *_merged(*mixture))
    return found


def _maximise(x: np.ndarray, counts: np.ndarray, within: np.ndarray, prior: np.ndarray, shares: np.ndarray) -> Any:
    """Means, sds and weights (columns, 1, k), sorted by mean. `prior` is a variance that counts as one more row, so
    that a Gaussian on a single value does not shrink to nothing.
    """
    weights = counts * shares
    N = weights.sum(1, keepdims=True)
    means = (weights * x).sum(1, keepdims=True) / np.maximum(N, 1e-12)
    variances = ((weights * ((x - means) ** 2 + within)).sum(1, keepdims=True) + prior) / (N + 1.0)
    order = np.argsort(means, 2)
    parts = (means, np.sqrt(variances), np.maximum(N / N.sum(2, keepdims=True), 1e-9))
    return tuple(np.take_along_axis(part, order, 2) for part in parts)


def _expect(
    x: np.ndarray, counts: np.ndarray, within: np.ndarray, means: np.ndarray, sds: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each Gaussian's share in each point (columns, points, k), and the logarithm of the likelihood (columns,)."""
    shares = np.log(weights / sds) - ((x - means) ** 2 + within) / (2 * sds**2)
    top = shares.max(2, keepdims=True)
    shares -= top
    np.exp(shares, out=shares)
    total = shares.sum(2, keepdims=True)
    shares /= total
    return shares, (counts * (np.log(total) + top)).sum((1, 2)) - counts.sum((1, 2)) * np.log(2 * np.pi) / 2


def _merged(means: np.ndarray, sds: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mixtures (columns, 1, k) with those two neighbours merged whose merging costs least: (columns, 1, k - 1)."""
    left, right = (slice(None), slice(None), slice(None, -1)), (slice(None), slice(None), slice(1, None))
    weight = weights[left] + weights[right]
    share = weights[right] / weight
    variance = (1 - share) * sds[left] ** 2 + share * sds[right] ** 2
    variance += share * (1 - share) * (means[right] - means[left]) ** 2
    mean = (1 - share) * means[left] + share * means[right]
    cost = weight * np.log(variance) / 2 - weights[left] * np.log(sds[left]) - weights[right] * np.log(sds[right])
    chosen = cost.argmin(2)[:, :, None]
    place = np.arange(cost.shape[2])
    merged = []
    for whole, new in ((means, mean), (sds, np.sqrt(variance)), (weights, weight)):
        merged.append(np.where(place < chosen, whole[left], np.where(place > chosen, whole[right], new)))
    return merged[0], merged[1], merged[2]


def _near(x: np.ndarray, counts: np.ndarray, most: int) -> np.ndarray:
    """Which of `most` centres each point is nearest to (columns, points, most), after a few rounds of k-means that
    start at equal shares of the values.
    """
    shares = counts.cumsum(1) / counts.sum(1, keepdims=True)
    places = (np.arange(most) + 0.5) / most
    centres = np.take_along_axis(x, (shares[:, :, 0, None] < places).sum(1)[:, :, None].clip(0, x.shape[1] - 1), 1)
    centres = centres.transpose(0, 2, 1)  # (columns, 1, most)
    for _ in range(10):
        nearest = np.abs(x - centres).argmin(2)[:, :, None] == np.arange(most)
        weight = (counts * nearest).sum(1, keepdims=True)
        centres = np.where(
            weight > 0, (counts * nearest * x).sum(1, keepdims=True) / np.maximum(weight, 1e-12), centres
        )
    return nearest.astype(np.float64)
