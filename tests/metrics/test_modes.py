"""Modes of stacked digits."""

from __future__ import annotations

import math

import pytest
import torch

from tests.metrics.fakes import Replay, image_data
from zerosum.core.errors import BadData, BadOption
from zerosum.data import Dataset, Spec, load
from zerosum.metrics.modes import count_modes, evaluate_modes, mode_scores


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


def stacked(digits: Dataset, numbers: list[int]) -> torch.Tensor:
    """(n, 3, 8, 8) in [-1, 1]: the first digit of the training split for each place of each three-digit number."""
    labels = digits.train.labels
    assert labels is not None
    first = [int((labels == digit).nonzero()[0]) for digit in range(10)]
    chosen = torch.tensor([[first[number // 100], first[number // 10 % 10], first[number % 10]] for number in numbers])
    return digits.train.fetch(chosen.flatten())["image"].view(-1, 3, 8, 8)


def test_numbers_are_read(digits: Dataset) -> None:
    from zerosum.metrics.classifier import cached

    counts = count_modes([stacked(digits, [0, 7, 123]), stacked(digits, [123, 999])], cached(digits)[0])
    assert counts.nonzero().flatten().tolist() == [0, 7, 123, 999]
    assert counts[123] == 2


def test_scores_of_counts() -> None:
    assert mode_scores(torch.ones(1000)) == {"modes": 1000, "mode_kl": pytest.approx(0)}
    half = torch.cat([torch.full((500,), 7), torch.zeros(500)])
    assert mode_scores(half) == {"modes": 500, "mode_kl": pytest.approx(math.log(2))}


def test_evaluate(digits: Dataset) -> None:
    images = stacked(digits, list(range(0, 1000, 10)))
    pixels = ((images + 1) * 127.5).round().to(torch.uint8)
    data = image_data(pixels, pixels[:40])
    found = evaluate_modes(Replay(images, data.spec), data, digits, n=300)  # type: ignore[arg-type]
    assert found.values["modes"] == 100
    assert found.values["mode_kl"] == pytest.approx(math.log(10))
    assert found.floor["modes"] == 100
    assert found.protocol["n_fake"] == 300
    assert found.table().row_count == 2


def test_what_does_not_fit(digits: Dataset) -> None:
    grey = Replay(torch.zeros(10, 1, 8, 8), digits.spec)
    with pytest.raises(BadOption, match="the generator has image"):
        evaluate_modes(grey, digits, digits)  # type: ignore[arg-type]
    colour = image_data(torch.zeros(10, 3, 8, 8, dtype=torch.uint8), None)
    with pytest.raises(BadData, match="has 3 channels"):
        evaluate_modes(Replay(torch.zeros(10, 3, 8, 8), Spec((3, 8, 8))), colour, colour)  # type: ignore[arg-type]
