"""Gradient penalties against closed forms, and their second derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zerosum.core.errors import BadOption
from zerosum.objectives.penalties import gradient_penalty, r1, r2, refuse_batch_norm, squared_gradient_norm

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
Y = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
MIX = torch.rand(6, 1, generator=torch.Generator().manual_seed(2))


def linear(weight: list[float]) -> nn.Linear:
    layer = nn.Linear(3, 1)
    layer.weight.data = torch.tensor([weight])
    return layer


def test_gradient_penalty_of_a_linear_critic() -> None:
    critic = linear([2.0, 2.0, 1.0])  # of norm 3
    assert gradient_penalty(critic, X, Y, MIX).item() == pytest.approx((3.0 - 1.0) ** 2)
    assert gradient_penalty(critic, X, Y, MIX, target=0.0).item() == pytest.approx(9.0)


def test_gradient_penalty_of_a_constant_critic_has_a_finite_gradient() -> None:
    critic = linear([0.0, 0.0, 0.0])
    penalty = gradient_penalty(critic, X, Y, MIX)
    penalty.backward()
    assert penalty.item() == pytest.approx(1.0, abs=1e-5)
    assert torch.isfinite(critic.weight.grad).all()


def test_gradient_penalty_looks_between_the_samples() -> None:
    seen = []

    def critic(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach())
        return x.sum(1)

    gradient_penalty(critic, X, Y, MIX)
    torch.testing.assert_close(seen[0], MIX * X + (1 - MIX) * Y)


def test_r1_and_r2_of_a_quadratic() -> None:
    # D(x) = 1/2 |x|^2 has the gradient x.
    def critic(x: torch.Tensor) -> torch.Tensor:
        return 0.5 * x.square().sum(1)

    torch.testing.assert_close(squared_gradient_norm(critic, X), X.square().sum(1))
    assert r1(critic, X).item() == pytest.approx(0.5 * X.square().sum(1).mean().item())
    assert r2(critic, Y).item() == pytest.approx(0.5 * Y.square().sum(1).mean().item())


@pytest.mark.parametrize("penalty", [r1, r2, lambda critic, x: gradient_penalty(critic, x, Y.double(), MIX.double())])
def test_second_derivatives_against_finite_differences(penalty) -> None:
    weight = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True)

    def value(weight: torch.Tensor) -> torch.Tensor:
        # The norm is computed in single precision: scale up, so that differences are seen.
        return penalty(lambda x: torch.tanh(x @ weight).sum(1), X.double())

    (gradient,) = torch.autograd.grad(value(weight), weight)
    step = 1e-2 * torch.ones_like(weight)
    difference = (value(weight + step) - value(weight - step)) / 2
    assert difference.item() == pytest.approx((gradient * step).sum().item(), rel=5e-3)


def test_images_and_bfloat16() -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(8 * 16, 1))
    x = torch.randn(4, 3, 8, 8)
    full = r1(critic, x)
    with torch.autocast("cpu", torch.bfloat16):
        half = r1(critic, x)
    assert half.item() == pytest.approx(full.item(), rel=0.03)
    assert half.dtype == torch.float32


def test_batch_normalisation_is_refused() -> None:
    refuse_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    with pytest.raises(BadOption, match="without batch normalisation"):
        refuse_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
