"""Adversarial losses against closed forms and finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from zerosum.objectives import adversarial as a

ZERO = torch.zeros(4)
DISCRIMINATOR = [a.logistic_d, a.least_squares_d, a.wasserstein_d, a.hinge_d, a.relativistic_d]
GENERATOR = [a.saturating_g, a.nonsaturating_g, a.least_squares_g, a.wasserstein_g, a.hinge_g]


def test_values_where_the_discriminator_can_only_guess() -> None:
    assert a.logistic_d(ZERO, ZERO).item() == pytest.approx(2 * math.log(2))
    assert a.relativistic_d(ZERO, ZERO).item() == pytest.approx(math.log(2))
    assert a.relativistic_g(ZERO, ZERO).item() == pytest.approx(math.log(2))
    assert a.hinge_d(ZERO, ZERO).item() == 2.0
    assert a.wasserstein_d(ZERO, ZERO).item() == 0.0
    assert a.least_squares_d(ZERO + 0.5, ZERO + 0.5).item() == pytest.approx(0.25)


@pytest.mark.parametrize("loss", DISCRIMINATOR, ids=lambda loss: loss.__name__)
def test_a_discriminator_gains_by_telling_them_apart(loss) -> None:
    assert loss(ZERO + 0.5, ZERO - 0.5) < loss(ZERO, ZERO) < loss(ZERO - 0.5, ZERO + 0.5)


@pytest.mark.parametrize("loss", GENERATOR, ids=lambda loss: loss.__name__)
def test_a_generator_gains_by_being_taken_for_real(loss) -> None:
    assert loss(ZERO + 0.5) < loss(ZERO) < loss(ZERO - 0.5)


@pytest.mark.parametrize("loss", [*DISCRIMINATOR, a.relativistic_g], ids=lambda loss: loss.__name__)
def test_gradients_against_finite_differences(loss) -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(loss, (real, fake))


def test_cross_entropy_by_hand() -> None:
    real, fake = torch.tensor([0.3, -1.2]), torch.tensor([2.0, 0.1])
    log, sigmoid = torch.log, torch.sigmoid
    by_hand = -(log(sigmoid(real)).mean() + log(1 - sigmoid(fake)).mean())
    assert a.logistic_d(real, fake).item() == pytest.approx(by_hand.item())
    assert a.saturating_g(fake).item() == pytest.approx(log(1 - sigmoid(fake)).mean().item(), rel=1e-5)
    assert a.nonsaturating_g(fake).item() == pytest.approx(-log(sigmoid(fake)).mean().item())
    # One-sided smoothing: the target of real samples is 0.9, that of generated ones stays 0.
    smooth = -(0.9 * log(sigmoid(real)) + 0.1 * log(1 - sigmoid(real))).mean() - log(1 - sigmoid(fake)).mean()
    assert a.logistic_d(real, fake, 0.9).item() == pytest.approx(smooth.item())


def test_logistic_losses_are_stable_in_large_logits() -> None:
    huge = torch.tensor([1e4, -1e4])
    for value in (
        a.logistic_d(huge, huge),
        a.nonsaturating_g(huge),
        a.saturating_g(huge),
        a.relativistic_d(huge, -huge),
    ):
        assert torch.isfinite(value)


def test_relativistic_losses_pair_samples() -> None:
    real, fake = torch.tensor([1.0, 5.0]), torch.tensor([0.0, 4.0])
    assert a.relativistic_d(real, fake).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert a.relativistic_d(real, fake.flip(0)) != a.relativistic_d(real, fake)


def test_feature_matching_compares_means() -> None:
    real, fake = torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    assert a.feature_matching(real, fake).item() == pytest.approx(2.0**2 + 1.0**2)
    assert a.feature_matching(real, real.flip(0)).item() == 0.0
