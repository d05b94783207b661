"""Demographic parity against its definition: bounded, two-sided, blind to what it must not see."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.objectives.parity import parity


def rows(*counts: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What is favourable (n,) and groups (n, g), of (favourable rows, others) in each group."""
    good = [value for yes, no in counts for value in [1.0] * yes + [0.0] * no]
    group = [g for g, (yes, no) in enumerate(counts) for _ in range(yes + no)]
    return torch.tensor(good), F.one_hot(torch.tensor(group), len(counts)).float()


def test_two_groups_are_their_squared_difference() -> None:
    assert parity(*rows((3, 1), (1, 3))) == pytest.approx(0.5**2)
    assert parity(*rows((1, 3), (3, 1))) == pytest.approx(0.5**2)
    assert parity(*rows((30, 10), (1, 3))) == pytest.approx(0.5**2)


def test_it_is_bounded_and_zero_at_parity() -> None:
    assert parity(*rows((4, 0), (0, 2))) == pytest.approx(1.0)
    assert parity(*rows((4, 4), (1, 1))) == pytest.approx(0.0, abs=1e-12)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        good, logits = torch.rand(30, generator=generator), torch.randn(30, 4, generator=generator)
        assert 0.0 <= float(parity(good, logits.softmax(1))) <= 1.0


def test_several_groups_are_weighed_by_their_pairs_of_rows() -> None:
    good, groups = rows((6, 2), (1, 3), (0, 2))
    pairs = {(0, 1): 8 * 4 * 0.5**2, (0, 2): 8 * 2 * 0.75**2, (1, 2): 4 * 2 * 0.25**2}
    assert parity(good, groups) == pytest.approx(sum(pairs.values()) / (8 * 4 + 8 * 2 + 4 * 2))


def test_soft_groups_and_rows_of_none() -> None:
    good = torch.tensor([1.0, 0.5, 0.0])
    groups = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.25, 0.75]])
    assert parity(good, groups) == pytest.approx((0.5 / 0.75 - 0.5 / 1.25) ** 2)


def test_the_group_ahead_is_pulled_back_whichever_it_is() -> None:
    groups = rows((1, 1), (1, 1))[1]
    for ahead in (0, 1):
        good = (groups[:, ahead] * 0.4 + 0.3).requires_grad_(True)
        (gradient,) = torch.autograd.grad(parity(good, groups), good)
        assert (gradient[groups[:, ahead] == 1] > 0).all() and (gradient[groups[:, ahead] == 0] < 0).all()
    level = torch.full((4,), 0.3, requires_grad=True)
    assert not torch.autograd.grad(parity(level, groups), level)[0].any()


def test_gradients_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(1)
    good = torch.rand(6, generator=generator, dtype=torch.float64, requires_grad=True)
    groups = torch.rand(6, 3, generator=generator, dtype=torch.float64).softmax(1)
    assert torch.autograd.gradcheck(lambda x: parity(x, groups), good)


def test_a_group_without_rows_is_left_out() -> None:
    good, groups = rows((3, 1), (1, 3))
    empty = torch.cat([groups, torch.zeros(8, 1)], 1)
    assert parity(good, empty) == pytest.approx(0.25)
    assert parity(good, groups[:, :1]) == 0.0
