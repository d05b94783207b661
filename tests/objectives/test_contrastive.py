"""Contrast of patches against its definition, and where the patches lie."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.objectives.contrastive import at, patch_nce, places


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


@pytest.mark.parametrize(("patches", "positions"), [(4, 17), (16, 17), (17, 17), (256, 34 * 34), (256, 17956)])
def test_no_place_comes_twice(patches: int, positions: int) -> None:
    draws = uniform(50, patches)
    draws[0], draws[1] = 0.0, 1 - 2**-24  # the least and the largest that a generator draws
    found = places(draws, positions)
    assert found.shape == (50, patches) and found.dtype == torch.int64
    assert (found.diff(dim=1) > 0).all() and found.min() == 0 and found.max() == positions - 1


def test_every_place_is_as_likely() -> None:
    counts = torch.bincount(places(uniform(20_000, 4), 12).flatten(), minlength=12)
    assert counts.sum() == 80_000
    torch.testing.assert_close(counts / 20_000, torch.full((12,), 1 / 3), rtol=0.05, atol=0)


def test_small_maps_are_taken_whole() -> None:
    assert places(uniform(2, 256), 9).tolist() == [list(range(9))] * 2


def test_vectors_are_read_row_by_row() -> None:
    features = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    found = at(features, torch.tensor([[0, 7], [19, 3]]))
    assert torch.equal(found[0, 1], features[0, :, 1, 2]) and torch.equal(found[1, 0], features[1, :, 3, 4])
    assert found.shape == (2, 2, 3)
    last = features.contiguous(memory_format=torch.channels_last)
    assert torch.equal(at(last, torch.tensor([[0, 7], [19, 3]])), found)


def test_contrast_by_its_equation() -> None:
    query, key, tau = unit(2, 5, 3), unit(2, 5, 3, seed=1), 0.3
    for n in range(2):
        by_hand = 0.0
        for s in range(5):
            likeness = [math.exp(float(query[n, s] @ key[n, t]) / tau) for t in range(5)]
            by_hand -= math.log(likeness[s] / sum(likeness)) / 5
        assert patch_nce(query, key, tau)[n].item() == pytest.approx(by_hand, rel=1e-5)


def test_contrast_where_nothing_or_everything_is_told_apart() -> None:
    same = unit(1, 1, 4).expand(3, 64, 4)
    torch.testing.assert_close(patch_nce(same, same), torch.full((3,), math.log(64)))
    different = torch.eye(8)[None]
    assert patch_nce(different, different).item() < 1e-4
    assert patch_nce(different, different.flip(1)).item() == pytest.approx(1 / 0.07, abs=0.01)


def test_gradients_go_to_the_query_alone() -> None:
    query, key = unit(2, 4, 3).requires_grad_(), unit(2, 4, 3, seed=1).requires_grad_()
    patch_nce(query, key).sum().backward()
    assert query.grad is not None and query.grad.abs().sum() > 0 and key.grad is None


def test_contrast_is_computed_in_full_precision() -> None:
    query, key = unit(2, 16, 8).float(), unit(2, 16, 8, seed=1).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = patch_nce(query, key)
    torch.testing.assert_close(found, patch_nce(query, key), rtol=0, atol=0)
