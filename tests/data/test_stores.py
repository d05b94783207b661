"""Stores, splits, limits and fingerprints."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.pictures import classes, folder, pixels, png
from zerosum.core.errors import BadData
from zerosum.data import Data, load
from zerosum.data.stores import MemoryStore, StreamingStore

TINY = Data(memory=1e-9)


@pytest.mark.parametrize("options", [Data(), Data(resolution="9x5"), Data(channels=4), Data(channels=1, bits=16)])
def test_streaming_equals_memory(tmp_path: Path, options: Data) -> None:
    root = classes(tmp_path)
    memory, streaming = load(root, options), load(root, replace(options, memory=1e-9))
    assert isinstance(memory.train, MemoryStore) and isinstance(streaming.train, StreamingStore)
    assert len(memory.train) == len(streaming.train) and memory.fingerprint == streaming.fingerprint
    indices = torch.tensor([3, 0, 7, 3])
    flip = torch.tensor([True, False, False, True])
    streaming.train.prefetch(torch.arange(8))
    one, other = memory.train.fetch(indices, flip), streaming.train.fetch(indices, flip)
    assert torch.equal(one["image"], other["image"]) and torch.equal(one["label"], other["label"])
    assert memory.test is not None and streaming.test is not None
    assert torch.equal(memory.test.fetch(torch.tensor([0]))["image"], streaming.test.fetch(torch.tensor([0]))["image"])


def test_prefetch_decodes_ahead_and_is_bounded() -> None:
    read: list[int] = []

    def reader(index: int) -> np.ndarray:
        read.append(index)
        return np.zeros((1, 2, 2), np.uint8)

    store = StreamingStore(reader, 100, threads=2, ahead=5)
    store.prefetch(torch.arange(50))
    deadline = time.monotonic() + 10
    while len(read) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(read) == [0, 1, 2, 3, 4]
    store.fetch(torch.tensor([2, 3]))
    assert len(read) == 5  # neither was decoded again
    with pytest.raises(IndexError):
        store.fetch(torch.tensor([100]))


def test_a_file_that_breaks_later_is_named(tmp_path: Path) -> None:
    data = load(folder(tmp_path, [f"{i}.png" for i in range(4)]), TINY)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(BadData, match=r"\d.png cannot be decoded: .* Run `zerosum check-data`"):
        data.train.fetch(torch.tensor([0]))


def test_flip_mirrors_left_to_right() -> None:
    values = torch.arange(6, dtype=torch.uint8).reshape(1, 1, 2, 3).repeat(2, 1, 1, 1)
    images = MemoryStore(values).fetch(torch.tensor([0, 1]), torch.tensor([False, True]))["image"]
    assert torch.equal(images[1], images[0].flip(-1)) and not torch.equal(images[1], images[0])


def test_fetch_does_not_change_the_store() -> None:
    points = MemoryStore(torch.ones(3, 2))
    points.fetch(torch.tensor([0]))["image"].mul_(5)
    assert torch.equal(points.values, torch.ones(3, 2))


def test_fetch_is_fast() -> None:
    store = MemoryStore(torch.from_numpy(pixels(5000, 3, 32, 32)), torch.zeros(5000, dtype=torch.int64))
    indices, flip = torch.randint(5000, (64,)), torch.rand(64) < 0.5
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        store.fetch(indices, flip)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1e-3  # about 0.1 ms; the margin is for busy machines


def test_split_is_a_tenth_and_does_not_depend_on_order() -> None:
    x = pixels(200, 4, 4)
    one, other = load(x), load(x[::-1].copy())
    assert one.test is not None and other.test is not None and len(one.test) == len(other.test) == 20
    sets = [
        {image.tobytes() for image in data.test.fetch(torch.arange(20))["image"].numpy()}
        for data in (one, other)
        if data.test is not None
    ]
    assert sets[0] == sets[1]
    assert load(x).fingerprint == one.fingerprint


def test_equal_images_are_never_on_both_sides() -> None:
    x = np.repeat(pixels(30, 4, 4), 5, axis=0)
    data = load(x)
    assert data.test is not None
    sides = [
        {image.tobytes() for image in store.fetch(torch.arange(len(store)))["image"].numpy()}
        for store in (data.train, data.test)
    ]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 30


def test_small_sets_have_no_test_split() -> None:
    assert load(pixels(9, 4, 4)).test is None


@pytest.mark.parametrize("own_split", [False, True])
def test_limit(tmp_path: Path, own_split: bool) -> None:
    prefixes = ("train/", "test/") if own_split else ("",)
    root = folder(tmp_path, [f"{prefix}{i}.png" for prefix in prefixes for i in range(30)])
    data = load(root, Data(limit=9))
    assert len(data.train) == 9 and data.test is not None and 1 <= len(data.test) <= 9
    assert load(root, Data(limit=9)).fingerprint == data.fingerprint
    assert data.report is not None and data.report.total <= 20  # no more files are read than it takes


def test_fingerprint_of_files(tmp_path: Path) -> None:
    root = classes(tmp_path)
    prints = [
        load(root).fingerprint,
        load(root, Data(resolution=5)).fingerprint,
        load(root, Data(channels=1)).fingerprint,
    ]
    prints.append(load(root, Data(unlabelled=True)).fingerprint)
    array = pixels(6, 6, 3, seed=0)
    array[2, 3, 1] ^= 1
    (root / "cats" / "cats 0é.png").write_bytes(png(array))
    prints.append(load(root).fingerprint)
    assert len(set(prints)) == len(prints)
    assert load(root, Data(flip=True)).fingerprint == load(root).fingerprint


def test_fingerprint_of_arrays() -> None:
    x, y = pixels(20, 4, 4), np.arange(20) % 2
    before = load((x, y)).fingerprint
    assert load((x, 1 - y)).fingerprint != before
    x[7, 1, 1] ^= 1
    assert load((x, y)).fingerprint != before


def test_flip_option_reaches_the_data_set() -> None:
    assert load(pixels(5, 4, 4), Data(flip=True)).flip and not load(pixels(5, 4, 4)).flip


def test_resized_arrays() -> None:
    data = load(pixels(5, 12, 12), Data(resolution="6x4", channels=3))
    assert data.spec.shape == (3, 6, 4) and data.train.fetch(torch.tensor([0]))["image"].shape == (1, 3, 6, 4)


def test_to_the_same_device_keeps_the_samples() -> None:
    store = load(pixels(5, 4, 4)).train
    assert torch.equal(store.to("cpu").fetch(torch.arange(5))["image"], store.fetch(torch.arange(5))["image"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_cuda_device() -> None:
    store = load((pixels(50, 8, 8, 3), np.arange(50) % 2)).train
    there = store.to("cuda")
    indices, flip = torch.arange(10), torch.arange(10) % 2 == 0
    one, other = store.fetch(indices, flip), there.fetch(indices, flip)
    assert other["image"].device.type == "cuda" and torch.equal(one["image"], other["image"].cpu())
    assert torch.equal(one["label"], other["label"].cpu())
