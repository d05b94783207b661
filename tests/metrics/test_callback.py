"""Scores while training, with a stand-in for the loop."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.metrics.fakes import Replay
from zerosum.data import Dataset, load
from zerosum.metrics.callback import Scoring, best_so_far, undisturbed
from zerosum.metrics.scores import Scores


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


class Loop(SimpleNamespace):
    """What `Scoring` uses of a Training."""

    def __init__(self, data: Dataset, folder: Path):
        super().__init__(dataset=data, folder=folder, samples=0, scores={}, better=False, lines=[], made=None)

    def generator(self) -> Any:
        torch.rand(3)  # a network may draw from the global generators
        return self.made

    def note(self, kind: str, **values: Any) -> None:
        self.lines.append({"kind": kind, "samples": self.samples, **values})
        json.dumps(self.lines[-1])


def states() -> tuple:
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


def test_snapshots_and_the_end(digits: Dataset, tmp_path: Path) -> None:
    good = Replay(digits.train.fetch(torch.arange(300))["image"], digits.spec)
    bad = Replay(torch.zeros(1, 1, 8, 8), digits.spec)
    training, scoring = Loop(digits, tmp_path), Scoring(n=200, final_n=250)
    before = states()
    scoring.start(training)  # type: ignore[arg-type]
    better = []
    for made in (bad, good, bad):
        training.made, training.better = made, False
        training.samples += 1000
        scoring.snapshot(training)  # type: ignore[arg-type]
        better.append(training.better)
    training.made = good
    scoring.end(training)  # type: ignore[arg-type]
    assert states() == before
    assert better == [True, True, False]
    line = training.lines[1]
    assert line["kind"] == "scores"
    assert {"fd", "coverage", "precision", "recall", "spread", "class_kl", "class_counts"} <= set(line)
    assert all(isinstance(value, float) for value in training.scores.values())
    assert line["floor"]["coverage"] > 0.8
    stored = Scores.from_json((tmp_path / "scores.json").read_text())
    assert stored.protocol["n_fake"] == 250


def test_after_a_resume_the_best_is_remembered(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    assert math.isinf(best_so_far(log, 100))
    lines = [{"kind": "scores", "samples": s, "fd": fd} for s, fd in [(100, 9.0), (200, 5.0), (300, 2.0)]]
    log.write_text("\n".join(json.dumps(line) for line in [*lines, {"kind": "log", "samples": 5}]) + '\n{"kind": "sco')
    assert best_so_far(log, 200) == 5.0  # what was noted after the checkpoint is played again


def test_undisturbed_after_an_error() -> None:
    before = states()
    with pytest.raises(KeyError), undisturbed():
        random.random(), np.random.rand(), torch.rand(1)
        raise KeyError
    assert states() == before
