"""Batches: what comes next is a function of (seed, samples so far) alone."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from zerosum.core.errors import BadOption
from zerosum.core.latents import Categorical, Joined, Normal, Uniform
from zerosum.data import load
from zerosum.data.spec import Batch, Dataset
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches

NOISE = {"z": Normal(3), "mix": Joined((Uniform(1, 0.0, 1.0), Categorical(4)))}


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Images of 1 x 2 pixels whose values tell which they are."""
    values = np.arange(101, dtype=np.uint8)
    return load(np.stack([values, values // 2], 1)[:, None, :, None])


def stream(data: Dataset, **options: object) -> Batches:
    defaults = {"batch_size": 8, "noise": NOISE, "seed": (0, 0), "arena": Arena()}
    return Batches(data.train, **(defaults | options))  # type: ignore[arg-type]


def equal(one: Batch, other: Batch) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_order_and_noise_depend_on_seed_and_position_alone(data: Dataset) -> None:
    first = list(islice(stream(data), 40))
    for start in (0, 7, 20, 33):
        again = stream(data, samples=8 * start)
        assert all(equal(one, other) for one, other in zip(first[start:], again, strict=False))
    assert not equal(first[0], next(stream(data, seed=(1, 0))))
    assert not equal(first[0], next(stream(data, seed=(0, 1))))
    assert not torch.equal(first[0]["z"], first[1]["z"])


def test_every_sample_once_an_epoch(data: Dataset) -> None:
    n = len(data.train)
    batches = stream(data)
    for epoch in range(3):
        assert sorted(batches.order(epoch * n, n).tolist()) == list(range(n))
    assert batches.order(0, n).tolist() != batches.order(n, n).tolist()


def test_batches_straddle_epochs(data: Dataset) -> None:
    n = len(data.train)
    batches = stream(data)
    joined = torch.cat([batches.order(start, 8) for start in range(0, 8 * n, 8)])
    assert torch.equal(joined.reshape(8, n), torch.stack([batches.order(epoch * n, n) for epoch in range(8)]))


def test_a_batch_larger_than_the_data_wraps_around(data: Dataset) -> None:
    n = len(data.train)
    batch = next(stream(data, batch_size=2 * n + 5))
    _, counts = batch["image"][:, 0, 0, 0].unique(return_counts=True)
    assert len(batch["image"]) == 2 * n + 5 and set(counts.tolist()) == {2, 3}


@pytest.mark.parametrize("flip", [False, True])
def test_slices_of_the_ranks_join_to_the_batch_of_one(data: Dataset, flip: bool) -> None:
    one = stream(data, flip=flip)
    ranks = [stream(data, flip=flip, arena=Arena(rank=rank, world=2)) for rank in range(2)]
    for _ in range(20):
        whole, halves = next(one), [next(rank) for rank in ranks]
        assert equal(whole, {name: torch.cat([half[name] for half in halves]) for name in whole})
    assert all(rank.arena.samples == 160 for rank in ranks)


def test_half_the_images_are_flipped(data: Dataset) -> None:
    plain, flipped = stream(data, batch_size=80), stream(data, batch_size=80, flip=True)
    mirrored = total = 0
    for _ in range(20):
        one, other = next(plain)["image"], next(flipped)["image"]
        turned = (one != other).flatten(1).any(1)
        assert torch.equal(other[turned], one[turned].flip(-1))
        distinct = (one != one.flip(-1)).flatten(1).any(1)
        mirrored, total = mirrored + int(turned.sum()), total + int(distinct.sum())
    assert 0.45 < mirrored / total < 0.55


def test_a_batch_must_share_out(data: Dataset) -> None:
    with pytest.raises(BadOption, match=r"--run.batch-size 7 cannot be shared equally by 2 processes"):
        stream(data, batch_size=7, arena=Arena(world=2))
    batches = stream(data, arena=Arena(world=2))
    batches.batch_size = 7  # a later phase's
    with pytest.raises(BadOption, match="cannot be shared equally"):
        next(batches)


def test_labels_come_along() -> None:
    values = np.arange(100, dtype=np.uint8)
    labelled = load((values[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8), values % 7))
    batch = next(stream(labelled))
    shown = ((batch["image"][:, 0, 0, 0] + 1) * 127.5).round().long()
    assert torch.equal(shown % 7, batch["label"])
