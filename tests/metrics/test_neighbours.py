"""Neighbour scores against the published formulas written out, and on sets whose scores are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zerosum.core.errors import BadData
from zerosum.core.vision import load
from zerosum.metrics import neighbours
from zerosum.metrics.neighbours import copies, nearest, neighbourhoods, radii


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def by_the_book(real: Tensor, fake: Tensor, k_precision: int, k_density: int) -> tuple[float, float, float, float]:
    """Kynkaanniemi et al. eq. 1-2 and Naeem et al. eq. 5-6, one sample at a time."""

    def distance(a: Tensor, b: Tensor) -> float:
        return float(((a.double() - b.double()) ** 2).sum().sqrt())

    def radius(points: Tensor, i: int, k: int) -> float:
        return sorted(distance(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]

    real3, fake3 = ([radius(x, i, k_precision) for i in range(len(x))] for x in (real, fake))
    real5 = [radius(real, i, k_density) for i in range(len(real))]
    apart = [[distance(r, f) for f in fake] for r in real]
    n, m = len(real), len(fake)
    precision = sum(any(apart[i][j] <= real3[i] for i in range(n)) for j in range(m)) / m
    recall = sum(any(apart[i][j] <= fake3[j] for j in range(m)) for i in range(n)) / n
    density = sum(apart[i][j] < real5[i] for i in range(n) for j in range(m)) / (k_density * m)
    coverage = sum(any(apart[i][j] < real5[i] for j in range(m)) for i in range(n)) / n
    return precision, recall, density, coverage


@pytest.mark.parametrize("entries", [10_000_000, 130])
def test_as_published(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ENTRIES", entries)  # small: several blocks, the last one not full
    real, fake = normal(47, 3, 0), normal(61, 3, 1) * 0.8 + 0.4
    found = neighbourhoods(real, fake)
    expected = by_the_book(real, fake, 3, 5)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(expected, abs=1e-12)


def test_precision_and_recall_are_torch_fidelitys() -> None:
    real, fake = normal(300, 8, 0), normal(250, 8, 1) * 0.7
    theirs = load("torch_fidelity.metric_prc").prc_features_to_metric(fake, real, prc_neighborhood=3, verbose=False)
    found = neighbourhoods(real, fake)
    assert (found.precision, found.recall) == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)


def test_identical_sets_score_one() -> None:
    real = normal(100, 4, 0)
    found = neighbourhoods(real, real.clone())
    assert (found.precision, found.recall, found.density, found.coverage) == (1, 1, 1, 1)


def test_distant_sets_score_zero() -> None:
    found = neighbourhoods(normal(100, 4, 0), normal(100, 4, 1) + 1000)
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_a_real_outlier_inflates_precision_but_not_density() -> None:
    """Naeem et al. figure 2: generated samples around one real outlier lie in its large ball, and in no other's."""
    real = torch.cat([normal(100, 2, 0), torch.tensor([[30.0, 0.0]])])
    fake = normal(100, 2, 1) + torch.tensor([20.0, 0.0])
    found = neighbourhoods(real, fake)
    assert found.precision == 1
    assert found.density < 0.25


def test_a_generated_outlier_inflates_recall_but_not_coverage() -> None:
    """Naeem et al. section 3.2: a few far-flung generated samples span balls that hold everything real."""
    fake = torch.cat([normal(100, 2, 0) * 0.01 + torch.tensor([50.0, 0]), normal(3, 2, 1) + torch.tensor([-40.0, 0])])
    found = neighbourhoods(normal(100, 2, 2), fake)
    assert found.recall == 1
    assert found.coverage == 0


def test_dropped_modes_show_in_coverage() -> None:
    real = torch.cat([normal(100, 2, 0), normal(100, 2, 1) + 100])
    found = neighbourhoods(real, normal(200, 2, 2))
    assert found.coverage <= 0.5
    assert found.density == pytest.approx(1, abs=0.15)


def test_radii_leave_out_the_sample_itself() -> None:
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert radii(line, 1).tolist() == [1, 1, 2, 4]
    assert radii(line, 2).tolist() == [3, 2, 3, 6]
    with pytest.raises(BadData, match="the 4 nearest neighbours need more than 4 samples; there are 4"):
        radii(line, 4)


def test_nearest_finds_copies_far_from_the_origin() -> None:
    among = normal(50, 6, 0) + 1e4
    distance, index = nearest(among[[7, 3]], among)
    assert index.tolist() == [7, 3]
    assert distance.max() < 1e-4


def test_copies_are_found() -> None:
    train, held_out, honest = normal(500, 8, 0), normal(300, 8, 1), normal(300, 8, 2)
    fake = honest.clone()
    fake[[10, 20, 30]] = train[[400, 300, 200]]
    found = copies(fake, train, held_out, shown=3)
    assert dict(zip(found.suspects, found.sources)) == {10: 400, 20: 300, 30: 200}
    assert copies(honest, train, held_out).share < 0.03
    assert copies(honest, train, held_out).ratio == pytest.approx(1, abs=0.1)
    everything = copies(train[:300] + 1e-3, train, held_out)
    assert everything.share == 1
    assert everything.ratio < 0.01
