"""Scores of synthetic tables while training: cheap ones at every snapshot, all of them at the end."""

from __future__ import annotations

import math

from zerosum.core.files import write_text
from zerosum.core.randomness import permutation
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.store import TableStore
from zerosum.metrics.callback import best_so_far, undisturbed
from zerosum.metrics.tables.scores import evaluate_tables, quick_scores
from zerosum.training.callback import Callback
from zerosum.training.generator import TrainedGenerator
from zerosum.training.loop import Training

ROWS = 10_000
"""Real and synthetic rows at a snapshot."""
FINAL = 30_000
"""Synthetic rows at the end, or as many as training rows where these are fewer."""


class TableScoring(Callback):
    """Scores the generator at snapshots, marks the best by its fidelity, and measures that one at the end.

    Fidelity is the mean of column shapes and pair trends, on training rows alone: 1 where both are as in these.

    Args:
        seed: of the samples; the same noise at every snapshot.
        choose: whether the best snapshot is kept; else the last one is. What is chosen by training rows has looked at
            them, which privacy forbids.
    """

    def __init__(self, seed: int = 0, choose: bool = True):
        self.seed, self.choose = seed, choose
        self.best = -math.inf

    def start(self, training: Training) -> None:
        """Choose the real rows, and after a resume recall the best score so far."""
        store = training.dataset.train
        assert isinstance(store, TableStore)
        self.real = store.frame(permutation(len(store), "scores")[:ROWS])
        self.best = best_so_far(training.folder / "metrics.jsonl", training.samples, "fidelity", highest=True)

    def snapshot(self, training: Training) -> None:
        """Set `training.scores`, and `training.better` where the fidelity is the highest so far."""
        encoding = training.dataset.encoding
        assert isinstance(encoding, TableEncoding)
        with undisturbed():
            made = training.generator().sample(len(self.real), seed=self.seed)
            values = quick_scores(self.real, made, encoding, self.seed)
        known = [values[name] for name in ("shapes", "pairs") if name in values]
        values["fidelity"] = sum(known) / len(known)
        training.scores = values
        if self.choose and values["fidelity"] > self.best:
            self.best, training.better = values["fidelity"], True
        training.note("scores", **values, n=len(self.real))

    def end(self, training: Training) -> None:
        """Measure the generator that is kept, against held-out rows too, and write scores.json."""
        kept, data = training.folder / "generator", training.dataset
        store, encoding = data.train, data.encoding
        assert isinstance(store, TableStore) and isinstance(encoding, TableEncoding)
        with undisturbed():
            generator = training.generator()
            if (kept / "config.json").exists():
                generator = TrainedGenerator.load(kept, generator.device)
            made = generator.sample(min(len(store), FINAL), seed=self.seed)
            test = data.test.frame() if isinstance(data.test, TableStore) else None
            scores = evaluate_tables(store.frame(), test, made, encoding, seed=self.seed)
        write_text(training.folder / "scores.json", scores.to_json())
