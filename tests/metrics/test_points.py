"""Modes of ring and grid on clouds made by hand."""

from __future__ import annotations

import math

import pytest
import torch

from tests.metrics.fakes import Replay, point_data
from zerosum.core.errors import BadData
from zerosum.metrics.points import MODES, SAMPLES, point_scores
from zerosum.metrics.scores import evaluate


def test_all_modes_exactly() -> None:
    for name, k in [("ring", 8), ("grid", 25)]:
        found = point_scores(MODES[name].centres.repeat(4, 1), MODES[name])
        assert found == {"modes": k, "high_quality": 1, "mode_kl": pytest.approx(0)}


def test_one_mode_of_eight() -> None:
    found = point_scores(MODES["ring"].centres[:1].repeat(100, 1), MODES["ring"])
    assert found == {"modes": 1, "high_quality": 1, "mode_kl": pytest.approx(math.log(8))}


def test_a_point_far_from_its_mode_is_neither_good_nor_a_mode() -> None:
    ring = MODES["ring"]
    off = ring.centres[1] * (1 + 3.1 * ring.std / 2)
    near = ring.centres[2] * (1 + 2.9 * ring.std / 2)
    found = point_scores(torch.stack([ring.centres[0], off, near, torch.zeros(2, dtype=torch.float64)]), ring)
    assert found["modes"] == 2
    assert found["high_quality"] == 0.5


def test_only_the_first_2500_points_count() -> None:
    ring = MODES["ring"]
    points = torch.cat([ring.centres[:1].repeat(SAMPLES, 1), ring.centres])
    assert point_scores(points, ring)["modes"] == 1


def test_no_points() -> None:
    with pytest.raises(BadData, match="no points"):
        point_scores(torch.zeros(0, 2), MODES["ring"])


def test_evaluate_takes_points_as_they_are() -> None:
    draw = torch.Generator().manual_seed(0)
    ring = MODES["ring"]
    cloud = ring.centres[torch.randint(8, (1500,), generator=draw)] + ring.std * torch.randn(1500, 2, generator=draw)
    data = point_data("ring", cloud[:500].float(), cloud[500:1000].float())
    scores = evaluate(Replay(cloud[1000:].float(), data.spec), data, n=500)  # type: ignore[arg-type]
    assert scores.values["modes"] == scores.floor["modes"] == 8
    assert scores.values["high_quality"] > 0.97
    assert scores.protocol["extractor"] == "coordinates"
    assert scores.protocol["quantised"] == "no"
    assert scores.printed("fd") == "FD (coordinates)"
