"""Can a classifier tell synthetic rows from real ones?"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from zerosum.core.errors import BadData
from zerosum.core.randomness import derive
from zerosum.metrics.tables.models import Inputs, boosted_trees, fit
from zerosum.metrics.tables.sheet import Sheet, group

ROWS = 10_000
"""Rows of each of the two tables at most, drawn at random; of both equally many."""
FOLDS = 3
LEAST = 2 * FOLDS
"""Rows of each table below which there is nothing to learn from."""


def detection_auc(real: Sheet, synthetic: Sheet, seed: int = 0, rounds: int = 100, folds: int = FOLDS) -> float:
    """The area under the ROC curve of gradient-boosted trees that tell rows (n, d) from rows (m, d), each row judged by
    trees that were not shown it, or an equal one; the mean over the folds. 0.5: indistinguishable; 1: told apart
    without fail.

    Args:
        real: real rows.
        synthetic: synthetic ones.
        seed: of the rows that are drawn, and of the folds.
        rounds: trees.
        folds: parts that the rows are cut into.

    Raises:
        BadData: too few rows.
    """
    n = min(len(real), len(synthetic), ROWS)
    if n < max(LEAST, folds):
        raise BadData(f"{n} rows are too few to tell tables apart by; {max(LEAST, folds)} are needed.")
    sides = [sheet.sample(n, seed, "detection", word) for sheet, word in ((real, "real"), (synthetic, "synthetic"))]
    inputs = Inputs.of(real)
    x = np.concatenate([inputs.matrix(side) for side in sides])
    y = np.repeat([0, 1], n)
    part = _parts(sides, folds, seed)
    areas = []
    for fold in range(folds):
        own, other = part != fold, part == fold
        if min(len(np.unique(y[own])), len(np.unique(y[other]))) < 2:
            continue  # most rows are equal, and sit in another part
        model = fit(boosted_trees(inputs, True, seed, rounds), x[own], y[own])
        areas.append(roc_auc_score(y[other], model.predict_proba(x[other])[:, 1]))
    return float(np.mean(areas)) if areas else 0.5


def _parts(sides: list[Sheet], folds: int, seed: int) -> np.ndarray:
    """Which part each row of the sheets is in: int64 (rows,); equal rows are in the same."""
    rows = group([np.concatenate(cells) for cells in zip(*(side.cells for side in sides))])
    parts = np.random.default_rng(derive(seed, "detection", "parts")).permutation(int(rows.max()) + 1) % folds
    return parts[rows]


def detection_score(auc: float) -> float:
    """SDMetrics' score of a detection: 1 - (2 max(0.5, AUC) - 1), in [0, 1]; 1 = indistinguishable."""
    return 2.0 - 2.0 * max(0.5, auc)
