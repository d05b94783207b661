"""All measures of one table in the place of the synthetic one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zerosum.core.errors import BadOption
from zerosum.core.randomness import derive
from zerosum.data.tables.columns import Name
from zerosum.metrics.tables.detection import LEAST, detection_auc, detection_score
from zerosum.metrics.tables.fairness import sheet_fairness
from zerosum.metrics.tables.pairs import PairTrends, pair_trends
from zerosum.metrics.tables.privacy import Closest, closest_records, distinct_rows, exact_copies
from zerosum.metrics.tables.rare import Rare, rare_categories
from zerosum.metrics.tables.shapes import Shape, column_shapes
from zerosum.metrics.tables.sheet import Sheet
from zerosum.metrics.tables.utility import utility

FEW = 20
"""Held-out rows (for privacy: different ones) below which nothing is measured against them."""
Progress = Callable[[str], None]


@dataclass
class Measured:
    """What was measured of one table."""

    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    trends: PairTrends | None = None
    rare: Rare | None = None
    closest: Closest | None = None


@dataclass(frozen=True)
class Truth:
    """The real rows, and what is asked of them."""

    train: Sheet
    test: Sheet | None
    target: Name | None
    fair: tuple[Name, tuple[Any, ...], Name] | None
    """(the label's column, its values that people want, the protected column)."""
    seed: int

    def measure(self, synthetic: Sheet, word: str, progress: Progress) -> Measured:
        """Measures a synthetic sheet; `word` names it in what `progress` is told."""
        found = Measured()
        progress(f"{word}: columns and pairs")
        fidelity(self.train, synthetic, found)
        progress(f"{word}: detection")
        detect(self.train, synthetic, self.seed, found)
        progress(f"{word}: usefulness")
        self.use(synthetic, found)
        progress(f"{word}: privacy")
        self.guard(self.train, synthetic, found)
        return found

    def measure_real(self, progress: Progress, n: int) -> Measured:
        """What a perfect generator of n rows would get: n training rows, drawn with repetition, are compared with all,
        and all are learned from. For privacy, half of the different rows are compared with the other half.
        """
        found = Measured()
        progress("real rows: columns and pairs")
        draw = np.random.default_rng(derive(self.seed, "real rows"))
        again = self.train.rows(draw.integers(len(self.train), size=n))
        fidelity(self.train, again, found)
        progress("real rows: detection")
        detect(self.train, again, self.seed, found)
        progress("real rows: usefulness")
        self.use(self.train, found)
        progress("real rows: privacy")
        groups = self.train.group()
        side = draw.permutation(int(groups.max()) + 1)[groups] % 2
        own, other = self.train.rows(side == 0), self.train.rows(side == 1)
        if len(own) and len(other):
            self.guard(own, other.sample(n, self.seed, "real rows"), found)
        return found

    def use(self, synthetic: Sheet, found: Measured) -> None:
        """Train on synthetic, test on real; fairness."""
        if self.target is None:
            found.notes.append("no target was named (--data.target): usefulness is not measured")
            if self.fair is None:
                return
        if self.test is None or len(self.test) < FEW:
            n = 0 if self.test is None else len(self.test)
            found.notes.append(f"{n} held-out rows are too few to test models on ({FEW} are needed)")
            return
        if self.target is not None:
            try:
                result = utility(synthetic, self.test, self.target, self.seed)
            except BadOption as error:
                found.notes.append(str(error))
                return
            found.values |= result.values
            found.notes += result.notes
        if self.fair is not None:
            fair = sheet_fairness(synthetic, self.test, *self.fair, self.seed)
            found.values |= {name: fair[name] for name in ("label_parity", "parity", "opportunity")}

    def guard(self, train: Sheet, synthetic: Sheet, found: Measured) -> None:
        """Privacy of the rows of `train`."""
        different = 0 if self.test is None else len(distinct_rows(train, self.test, self.seed)[0])
        if self.test is None or different < FEW:
            found.notes.append(
                f"{different} different rows of either real table are in it alone: too few to measure privacy "
                f"({FEW} are needed)"
            )
            return
        closest = found.closest = closest_records(train, self.test, synthetic, self.seed)
        copies = exact_copies(train, self.test, synthetic)
        found.values |= {
            "nearer_train": closest.nearer_train,
            "distance": float(np.median(closest.train)),
            "distance_test": float(np.median(closest.test)),
            "distance_5": float(np.quantile(closest.train, 0.05)),
            "distance_5_test": float(np.quantile(closest.test, 0.05)),
            "copies": copies.count / copies.synthetic,
            "copies_expected": copies.expected / copies.synthetic,
            "attack_auc": closest.attack.auc,
            "attack_tpr": closest.attack.tpr,
            "attack_epsilon": closest.attack.epsilon,
        }


def fidelity(real: Sheet, synthetic: Sheet, found: Measured) -> None:
    """Columns, pairs and rare categories."""
    found.shapes = column_shapes(real, synthetic)
    found.values["shapes"] = float(np.mean([shape.score for shape in found.shapes]))
    if len(found.shapes) > 1:
        found.trends = pair_trends(real, synthetic)
        found.values["pairs"] = found.trends.mean
    else:
        found.notes.append("a single column is learned: there are no pairs")
    found.values["missing"] = float(np.mean([shape.missing for shape in found.shapes]))
    variations = [shape.variation for shape in found.shapes if shape.variation is not None]
    if variations:
        found.values["variation"] = float(np.mean(variations))
    found.rare = rare_categories(real, synthetic)
    if found.rare.categories:
        found.values["rare_error"] = found.rare.error
        found.values["rare_vanished"] = float(found.rare.vanished)


def detect(real: Sheet, synthetic: Sheet, seed: int, found: Measured, rounds: int = 100, folds: int = 3) -> None:
    """A classifier that tells synthetic rows from real ones."""
    n = min(len(real), len(synthetic))
    if n < LEAST:
        found.notes.append(f"{n} rows are too few to tell tables apart by ({LEAST} are needed)")
        return
    auc = detection_auc(real, synthetic, seed, rounds, folds)
    found.values |= {"detection_auc": auc, "detection_score": detection_score(auc)}
