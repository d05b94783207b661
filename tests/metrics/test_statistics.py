"""Distances against torch-fidelity's own functions and against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from zerosum.core.errors import BadData
from zerosum.core.vision import load
from zerosum.metrics import statistics


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_frechet_is_torch_fidelitys() -> None:
    real, fake = normal(500, 16, 0), normal(400, 16, 1) * 1.3 + 0.2
    fid = load("torch_fidelity.metric_fid")
    theirs = fid.fid_statistics_to_metric(
        fid.fid_features_to_statistics(real), fid.fid_features_to_statistics(fake), verbose=False
    )
    assert statistics.frechet(real, fake) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)


def test_frechet_of_gaussians_in_closed_form() -> None:
    """Independent components: (m1 - m2)^2 + (s1 - s2)^2, summed."""
    real, fake = (
        normal(200_000, 3, 0),
        normal(200_000, 3, 1) * torch.tensor([1.0, 2.0, 0.5]) + torch.tensor([3.0, 0, 0]),
    )
    assert statistics.frechet(real, fake) == pytest.approx(9 + 1 + 0.25, rel=0.01)
    assert statistics.frechet(real, real) == pytest.approx(0, abs=1e-6)


def test_frechet_needs_two_samples() -> None:
    with pytest.raises(BadData, match="at least 2 generated samples; there are 1"):
        statistics.frechet(normal(10, 2, 0), normal(1, 2, 0))


def test_kernel_is_torch_fidelitys_and_depends_on_the_seed_alone() -> None:
    real, fake = normal(600, 8, 0), normal(600, 8, 1) + 0.3
    theirs = load("torch_fidelity.metric_kid").kid_features_to_metric(
        fake, real, kid_subsets=100, kid_subset_size=300, rng_seed=5, verbose=False
    )
    mean, deviation = statistics.kernel(real, fake, seed=5)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert deviation == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)
    assert (mean, deviation) == statistics.kernel(real, fake, seed=5) != statistics.kernel(real, fake, seed=6)


def test_kernel_is_about_zero_for_equal_distributions() -> None:
    mean, deviation = statistics.kernel(normal(600, 4, 0), normal(600, 4, 1))
    assert abs(mean) < 2 * deviation


def test_class_score_is_torch_fidelitys_and_bounded() -> None:
    logits = normal(500, 10, 0) * 3
    theirs = load("torch_fidelity.metric_isc").isc_features_to_metric(logits, splits=10, rng_seed=3)
    mean, deviation = statistics.class_score(logits.softmax(1), seed=3)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-5)
    assert deviation == pytest.approx(theirs["inception_score_std"], rel=1e-3)
    sure = torch.eye(10).repeat(100, 1)
    assert 9 < statistics.class_score(sure)[0] <= 10
    assert statistics.class_score(torch.full((100, 10), 0.1))[0] == pytest.approx(1)


def test_spread_is_the_mean_distance_of_pairs() -> None:
    assert statistics.spread(torch.tensor([[0.0, 0], [3, 4], [0, 0]])) == pytest.approx(10 / 3)


def test_divergence_by_hand() -> None:
    assert statistics.divergence(torch.tensor([1, 1]), torch.tensor([3, 1])) == pytest.approx(
        0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    )
    assert statistics.divergence(torch.tensor([4, 0]), torch.tensor([1, 1])) == pytest.approx(math.log(2))
    assert math.isinf(statistics.divergence(torch.tensor([1, 1]), torch.tensor([1, 0])))
