"""What the probe measures, against values known beforehand."""

from __future__ import annotations

import math

import pytest
import torch

from zerosum.health.probe import accuracy, auc, compact, copied, overfitting


def test_auc_of_two_normal_distributions() -> None:
    random = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2000, generator=random) + 1, torch.randn(2000, generator=random)
    expected = 0.5 * (1 + math.erf(1 / 2))  # P(x > y) with x - y normal, mean 1, variance 2
    assert auc(real, fake) == pytest.approx(expected, abs=0.02)
    assert auc(torch.exp(real), torch.exp(fake)) == pytest.approx(auc(real, fake), abs=1e-6), "only the order counts"
    assert accuracy(real, fake) == pytest.approx(0.5 * (1 + math.erf(0.5 / math.sqrt(2))), abs=0.02)


def test_ties_and_extremes() -> None:
    same = torch.ones(10)
    assert auc(same, same) == 0.5
    assert accuracy(same, same) == 0.5
    assert auc(same, same - 1) == accuracy(same, same - 1) == 1.0
    assert auc(same - 1, same) == 0.0
    assert accuracy(same - 1, same) == 0.5, "a judgement the wrong way round is not turned round"


def test_chance_gives_an_accuracy_little_above_one_half() -> None:
    random = torch.Generator().manual_seed(1)
    found = [accuracy(torch.randn(512, generator=random), torch.randn(512, generator=random)) for _ in range(50)]
    assert 0.51 < sum(found) / len(found) < 0.55
    assert max(found) < 0.6


def test_overfitting_is_the_ratio_of_ada() -> None:
    def at(*logits: float) -> float:
        return overfitting(*(torch.tensor([logit]) for logit in logits))

    assert at(2.0, 2.0, -2.0) == 0
    assert at(2.0, 0.0, -2.0) == 0.5
    assert at(2.0, -2.0, -2.0) == 1
    assert at(2.0, -20.0, -2.0) == 2, "limited"
    assert at(0.0, -1.0, 0.5) == 2, "training samples below generated ones and above held-out ones"
    assert at(0.0, 1.0, 0.5) == 0


def test_copies_are_nearest_by_far() -> None:
    random = torch.Generator().manual_seed(2)
    train, fresh = torch.randn(400, 8, generator=random), torch.randn(400, 8, generator=random)
    assert copied(train[:100], train) == 1.0
    assert copied(train[:100] + 1e-3, train) == 1.0
    assert copied(fresh, train) < 0.02
    assert copied(fresh * 0.1, train) < 0.05, "blurred samples near the mean are no copies"
    assert math.isnan(copied(fresh, train[:1]))


def test_large_images_are_averaged_down() -> None:
    assert compact(torch.ones(2, 3, 64, 48)).shape == (2, 3 * 16 * 16)
    assert compact(torch.ones(2, 1, 8, 8)).shape == (2, 64)
    assert compact(torch.ones(2, 2)).shape == (2, 2)
