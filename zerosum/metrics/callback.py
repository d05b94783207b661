"""Scores while training: cheap ones at every snapshot, all of them at the end."""

from __future__ import annotations

import contextlib
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from zerosum.core.files import write_text
from zerosum.metrics.reference import compare, generated, reference
from zerosum.metrics.scores import evaluate
from zerosum.training.callback import Callback
from zerosum.training.generator import TrainedGenerator

if TYPE_CHECKING:
    from zerosum.training.loop import Training


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """The global generators of Python, NumPy and PyTorch (all devices) are afterwards as they were before."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


class Scoring(Callback):
    """Scores the generator at snapshots, marks the best (lowest Fréchet distance), and measures that one at the end.

    Args:
        features: which extractor; see `zerosum.metrics.features.choose`.
        n: generated and real samples at a snapshot.
        final_n: the same for the evaluation at the end, which goes to scores.json.
        seed: of the samples; the same noise at every snapshot, so that the curve moves with the networks alone.
        weights: a local weights file for inception or dinov2.
    """

    def __init__(
        self, features: str = "auto", n: int = 2_000, final_n: int = 10_000, seed: int = 0, weights: Path | None = None
    ):
        self.features, self.n, self.final_n, self.seed, self.weights = features, n, final_n, seed, weights
        self.best = math.inf

    def start(self, training: Training) -> None:
        """Compute the real side before the first round, and after a resume recall the best score so far."""
        with undisturbed():
            real = reference(training.dataset, self.features, self.n, self.seed, self.weights)
            _ = real.train, real.floor
        self.best = best_so_far(training.folder / "metrics.jsonl", training.samples)

    def snapshot(self, training: Training) -> None:
        """Set `training.scores`, and `training.better` where the Fréchet distance is the lowest so far."""
        with undisturbed(), torch.no_grad():
            real = reference(training.dataset, self.features, self.n, self.seed, self.weights)
            generator = training.generator()
            fake = generated(generator, real, self.n)
            values = compare(real.train, fake, full=False, seed=self.seed)
            class_values, details = real.class_values(fake, generator.labels(self.n, seed=self.seed))
            values |= class_values | real.mode_values(fake)
        training.scores = values
        if values["fd"] < self.best:
            self.best, training.better = values["fd"], True
        training.note("scores", **values, **details, features=real.extractor.name, floor=real.floor, n=self.n)

    def end(self, training: Training) -> None:
        """Measure the generator that is kept, the best one where there is one, and write scores.json."""
        kept = training.folder / "generator"
        with undisturbed():
            generator = training.generator()
            if (kept / "config.json").exists():
                generator = TrainedGenerator.load(kept, generator.device)
            data, n, seed = training.dataset, self.final_n, self.seed
            scores = evaluate(generator, data, features=self.features, n=n, seed=seed, weights=self.weights)
        write_text(training.folder / "scores.json", scores.to_json())


def best_so_far(log: Path, samples: int, score: str = "fd", highest: bool = False) -> float:
    """The lowest (or highest) value of a score noted in metrics.jsonl up to `samples`; infinite where there is none."""
    found = []
    for text in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):  # a line that a crash cut short
            line = json.loads(text)
            if line.get("kind") == "scores" and line.get("samples", 0) <= samples and score in line:
                found.append(float(line[score]))
    return max(found, default=-math.inf) if highest else min(found, default=math.inf)
