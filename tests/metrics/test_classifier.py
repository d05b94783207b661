"""The data's own classifier: accurate, cached, deterministic, and quiet about the caller's random numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.metrics.fakes import image_data, point_data
from zerosum.core.errors import BadData, BadFile
from zerosum.data import Data, Dataset, load
from zerosum.metrics import classifier


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path))
    yield tmp_path


def tiny(classes: int = 3) -> Dataset:
    """Images whose brightness is their class."""
    labels = torch.arange(90) % classes
    noise = torch.randint(0, 40, (90, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    images = (labels.view(-1, 1, 1, 1) * 80 + noise).to(torch.uint8)
    data = image_data(images, None, labels, classes)
    return data


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "length", lambda dataset: 640)


def test_digits_are_learned() -> None:
    _, facts = classifier.cached(load("digits"))
    assert facts.accuracy is not None
    assert facts.accuracy >= 0.97
    assert facts.n_test > 100


@pytest.mark.slow
@pytest.mark.skipif("ZEROSUM_DATA" not in os.environ, reason="reads MNIST from ZEROSUM_DATA")
def test_a_part_of_mnist_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "length", lambda dataset: 15_000)
    _, facts, _ = classifier.fit(load("mnist", Data(limit=5_000)))
    assert facts.accuracy is not None
    assert facts.accuracy > 0.95


def test_the_second_time_it_is_read(own_cache: Path, short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny()
    first, facts = classifier.cached(data)
    monkeypatch.setattr(classifier, "fit", lambda *_: pytest.fail("trained again"))
    second, again = classifier.cached(data)
    assert again == facts
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))
    assert sorted(path.suffix for path in own_cache.rglob("*") if path.is_file()) == [".json", ".safetensors"]
    assert data.fingerprint in classifier.cache_path(data).name


def test_same_seed_same_weights_and_random_state_untouched(own_cache: Path, short: None) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, other = classifier.fit(tiny())[1], classifier.fit(tiny())[1]
    assert torch.equal(torch.get_rng_state(), before)
    assert one.weights_sha256 == other.weights_sha256 != classifier.fit(tiny(), seed=1)[1].weights_sha256


def test_trains_inside_no_grad(own_cache: Path, short: None) -> None:
    with torch.no_grad():
        network, _, _ = classifier.fit(tiny())
    data = tiny()
    assert classifier.accuracy(network, data.train) > 0.9
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_damaged_cache_says_so(own_cache: Path, short: None) -> None:
    data = tiny()
    classifier.cached(data)
    path = classifier.cache_path(data)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadFile, match="cannot be read .* delete it"):
        classifier.cached(data)


def test_weights_of_another_training_are_not_taken(own_cache: Path, short: None) -> None:
    data = tiny()
    classifier.cached(data)
    classifier.cache_path(data).write_bytes(classifier.fit(data, seed=1)[2])
    with pytest.raises(BadFile, match="is not the one"):
        classifier.cached(data)


def test_what_it_cannot_learn() -> None:
    with pytest.raises(BadData, match="needs labels of at least 2 classes; this data has 0"):
        classifier.cached(image_data(torch.zeros(20, 1, 8, 8, dtype=torch.uint8), None))
    with pytest.raises(BadData, match="these are points"):
        classifier.cached(point_data("ring", torch.zeros(20, 2), None))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (4, 5, 7), (3, 200, 100), (1, 1, 1)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    network = classifier.Network(shape, 4).eval()
    images = torch.zeros(2, *shape)
    assert network.vectors(images).shape == (2, 128)
    assert network(images).shape == (2, 4)
    assert max(network.input_size) <= classifier.LARGEST


def test_shift_moves_each_image_by_itself() -> None:
    images = torch.zeros(64, 1, 16, 16)
    images[:, :, 8, 8] = 1
    moved = classifier.shift(images, torch.Generator().manual_seed(0))
    places = moved.flatten(1).argmax(1)
    assert moved.sum() == 64
    assert len(places.unique()) > 10
    assert set((places // 16).tolist()) <= set(range(6, 11))
