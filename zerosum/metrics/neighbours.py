"""Scores from nearest neighbours: precision and recall, density and coverage, and copies of training samples.

Distances are computed in float64 a block of rows at a time, so that memory stays bounded and copies are at distance 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.core.errors import BadData

ENTRIES = 10_000_000
"""Distances held at once: 80 MB."""
PRECISION_NEIGHBOURS = 3
DENSITY_NEIGHBOURS = 5


def blocks(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Euclidean distances from rows of `a` (n, d) to all of `b` (m, d), as (rows, (r, m) float64)."""
    centre = b.double().mean(dim=0)  # differences are small beside the norms; centring keeps their digits
    a, b = a.double() - centre, b.double() - centre
    size = max(1, ENTRIES // max(1, len(b)))
    for start in range(0, len(a), size):
        rows = slice(start, min(start + size, len(a)))
        yield rows, torch.cdist(a[rows], b, compute_mode="use_mm_for_euclid_dist")


def radii(features: Tensor, k: int) -> Tensor:
    """(n,) distance from each sample to its k-th nearest other sample of (n, d). Raises BadData unless n > k."""
    if len(features) <= k:
        raise BadData(f"the {k} nearest neighbours need more than {k} samples; there are {len(features)}.")
    found = []
    for rows, distances in blocks(features, features):
        index = torch.arange(rows.start, rows.stop)
        distances[torch.arange(len(index)), index] = torch.inf  # itself
        found.append(distances.topk(k, dim=1, largest=False).values[:, -1])  # ten times faster than kthvalue
    return torch.cat(found)


@dataclass(frozen=True)
class Neighbourhoods:
    """How the samples of one set lie among those of another; each between 0 and 1, but density, which may exceed 1."""

    precision: float
    """Share of generated samples within the k-th neighbour's distance (k = 3) of some real sample."""
    recall: float
    """Share of real samples within the k-th neighbour's distance (k = 3) of some generated sample."""
    density: float
    """Real neighbourhoods (k = 5) that a generated sample lies in, on average, over k. 1 where the sets agree."""
    coverage: float
    """Share of real samples whose neighbourhood (k = 5) holds a generated sample."""


def neighbourhoods(
    real: Tensor, fake: Tensor, k_precision: int = PRECISION_NEIGHBOURS, k_density: int = DENSITY_NEIGHBOURS
) -> Neighbourhoods:
    """Precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 1-2), density and coverage (Naeem et al.
    2020, arXiv:2002.09797, eq. 5-6) of `fake` (m, d) with respect to `real` (n, d).

    As in the authors' code, a sample on the border counts as inside for the first two and as outside for the others.
    """
    real_ball, real_ball_density = radii(real, k_precision), radii(real, k_density)
    fake_ball = radii(fake, k_precision)
    recalled, covered = [], []
    precise = torch.zeros(len(fake), dtype=torch.bool)
    inside = torch.zeros(len(fake), dtype=torch.float64)
    for rows, distances in blocks(real, fake):
        within = distances < real_ball_density[rows, None]
        precise |= (distances <= real_ball[rows, None]).any(dim=0)
        inside += within.sum(dim=0)
        covered.append(within.any(dim=1))
        recalled.append((distances <= fake_ball).any(dim=1))
    return Neighbourhoods(
        precision=float(precise.double().mean()),
        recall=float(torch.cat(recalled).double().mean()),
        density=float(inside.mean() / k_density),
        coverage=float(torch.cat(covered).double().mean()),
    )


def nearest(queries: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest of `among` (m, d) to each of `queries` (n, d): distances (n,) float64 and indices (n,) int64."""
    found = [distances.min(dim=1) for _, distances in blocks(queries, among)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


@dataclass(frozen=True)
class Copies:
    """Generated samples beside the training samples nearest to them."""

    share: float
    """Share of generated samples nearer to training samples than 99 % of held-out ones: 0.01 if nothing is copied."""
    ratio: float
    """Median distance to the nearest training sample over that of held-out samples: near 1; near 0 means copies."""
    suspects: list[int]
    """The generated samples nearest to a training sample, the nearest first."""
    sources: list[int]
    """Indices in the training split of the samples that the suspects are nearest to."""


def copies(fake: Tensor, train: Tensor, held_out: Tensor, shown: int = 16) -> Copies:
    """How near `fake` (m, d) comes to the training samples `train` (n, d), measured by what `held_out` (h, d) does.

    `suspects` and `sources` are positions in `fake` and `train`, at most `shown` of them.
    """
    distance, index = nearest(fake, train)
    honest, _ = nearest(held_out, train)
    threshold = torch.quantile(honest, 0.01)
    order = distance.argsort(stable=True)[:shown]
    return Copies(
        share=float((distance < threshold).double().mean()),
        ratio=float(distance.median() / honest.median().clamp_min(1e-12)),
        suspects=order.tolist(),
        sources=index[order].tolist(),
    )
