"""The pool of earlier images: filled first, then every other image exchanged for one of them, and the same after a
restart.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zerosum.training.pool import DRAWS, Pool

SHAPE = (1, 1, 1)


def numbered(start: int, count: int) -> Tensor:
    """Images of one pixel that are told apart by their value."""
    return torch.arange(start, start + count).float().view(-1, *SHAPE)


def draws(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, DRAWS, generator=torch.Generator().manual_seed(seed))


def test_the_first_images_fill_it() -> None:
    pool = Pool(4, SHAPE)
    assert torch.equal(pool(numbered(0, 3), torch.zeros(3, DRAWS)), numbered(0, 3))
    assert pool.count == 3
    shown = pool(numbered(3, 2), torch.zeros(2, DRAWS))  # the second of them finds it full
    assert shown.flatten().tolist() == [3, 0]
    assert pool.images.flatten().tolist() == [4, 1, 2, 3]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_as_a_list_would_do_it(size: int) -> None:
    pool, held, expected = Pool(size, SHAPE), list[float](), list[float]()
    numbers = draws(60)
    for value, (exchange, which) in enumerate(numbers.tolist()):
        if len(held) < size:
            held.append(value)
            expected.append(value)
        elif exchange < 0.5:
            place = int(which * size)
            expected.append(held[place])
            held[place] = value
        else:
            expected.append(value)
    found = torch.cat([pool(images, part) for images, part in zip(numbered(0, 60).split(7), numbers.split(7))])
    assert found.flatten().tolist() == expected
    assert pool.images.flatten().tolist() == held


def test_half_are_exchanged_for_any_of_those_held() -> None:
    pool, n = Pool(10, SHAPE), 4000
    shown = pool(numbered(0, n), draws(n)).flatten()
    old = shown != torch.arange(n)
    assert old.float().mean().item() == pytest.approx(0.5, abs=0.03)
    # An image that is held waits for one exchange in ten, so 20 rounds: half are exchanged.
    age = (torch.arange(n) - shown)[old & (torch.arange(n) > 500)]
    assert age.mean().item() == pytest.approx(20, rel=0.15)
    assert pool.images.unique().numel() == 10


def test_a_restart_changes_nothing() -> None:
    whole, images, numbers = Pool(3, (2, 4, 5)), torch.randn(20, 2, 4, 5), draws(20)
    first, expected = whole(images[:8], numbers[:8]), whole(images[8:], numbers[8:])
    before = Pool(3, (2, 4, 5))
    assert torch.equal(before(images[:8], numbers[:8]), first)
    after = Pool(3, (2, 4, 5))
    after.load_state_dict(before.state_dict())
    assert torch.equal(after(images[8:], numbers[8:]), expected)
    assert not torch.equal(Pool(3, (2, 4, 5))(images[8:], numbers[8:]), expected)


def test_precision_and_gradients() -> None:
    pool = Pool(2, SHAPE)
    image = numbered(1, 1).bfloat16().requires_grad_()
    shown = pool(image, draws(1))
    assert shown.dtype == torch.float32 and not shown.requires_grad and shown.item() == 1
