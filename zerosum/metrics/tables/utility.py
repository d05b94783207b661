"""Is a synthetic table good for learning? Models are trained on it and tested on real rows that nobody has seen.

"Train on synthetic, test on real" (Esteban et al. 2017, arXiv:1706.02633, section 4.3), beside the same models trained
on the real rows: the ceiling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

from zerosum.core.errors import BadOption
from zerosum.data.tables.columns import Name
from zerosum.data.tables.numeric import UNITS, unit
from zerosum.metrics.tables.models import Inputs, boosted_trees, fit, linear_model
from zerosum.metrics.tables.sheet import Sheet

ROWS = 50_000
"""Rows that models are trained on at most, drawn at random."""
CLASSES = 30
"""Classes that are told apart; of more, the rarest among the test rows are one."""
Family = Callable[[Inputs, bool, int], Any]
FAMILIES: dict[str, Family] = {
    "": boosted_trees,
    "linear_": lambda inputs, classify, seed: linear_model(inputs, classify),
}
"""Prefix of the scores' names -> what makes a model."""


@dataclass(frozen=True)
class Utility:
    """What models reach on the real rows."""

    values: dict[str, float]
    """"auc", "f1", "accuracy" of trees, or "r2", "rmse"; of linear models with "linear_" in front."""
    notes: tuple[str, ...] = ()
    """Where there was nothing to learn from."""


def utility(train: Sheet, test: Sheet, target: Name, seed: int = 0) -> Utility:
    """Trains models on one sheet, tests them on another.

    A target of categories is classified, one of numbers is regressed. Rows without a target are left out.

    - "auc": area under the ROC curve; of several classes the mean over them, one against the rest, of those that the
      test rows have. "f1": of the class that is rarer in the test rows; of several classes the mean over them.
    - "r2": coefficient of determination; below 0 is worse than the mean of the test rows. "rmse": root mean squared
      error, in the target's unit, of points in time and durations in seconds.

    Where all training rows have one class, it is the prediction for every row: the AUC is 0.5. Where no row has a
    target, accuracy and F1 are 0, the AUC is 0.5, and numbers are predicted as 0.

    Raises:
        BadOption: the target is not learned, or fewer than 2 classes (2 values) of it are among the test rows.
    """
    place = train.place(target)
    field = train.fields[place]
    train, test = (sheet.rows(~sheet.missing(place)) for sheet in (train, test))
    notes: list[str] = []
    if field.levels is not None and len(field.levels) > CLASSES:
        train, test = (_fewer(sheet, place, test.cells[place]) for sheet in (train, test))
        notes.append(f"{target}: of {len(field.levels)} classes the rarest are taken for one, so that {CLASSES} remain")
    truth = test.cells[place]
    if len(np.unique(truth)) < 2:
        what = "value" if field.number else "class"
        raise BadOption(f"the {len(test)} test rows have a single {what} of {target!r}: nothing can be told apart.")
    train = train.sample(ROWS, seed, "utility")
    inputs = Inputs.of(train, without=place)
    known = train.cells[place]
    if not field.number and len(np.unique(known)) < 2:
        found = "no row has a class" if not len(known) else "all rows have the same class"
        notes.append(f"{target}: {found}, so that nothing can be learned from it")
    if field.number and not len(known):
        notes.append(f"{target}: no row has a value, so that nothing can be learned from it")
    values: dict[str, float] = {}
    for prefix, family in FAMILIES.items():
        if field.number:
            guess = _regress(family, inputs, train, test, known, seed)
            cells = field.column.cells
            tick = 1.0 / UNITS[unit(cells)] if cells.measure in ("time", "span") else 1.0
            scores = regression_scores(truth * tick, guess * tick)
        else:
            assert field.levels is not None
            chances = class_probabilities(family, inputs, train, test, known, len(field.levels), seed)
            scores = classification_scores(truth, chances)
        values |= {f"{prefix}{name}": value for name, value in scores.items()}
    return Utility(values, tuple(notes))


def _fewer(sheet: Sheet, place: int, truth: np.ndarray) -> Sheet:
    """A sheet with the classes that are rarest in `truth` (n,) put together."""
    levels = sheet.fields[place].levels
    assert levels is not None
    order = np.argsort(-np.bincount(truth, minlength=len(levels)), kind="stable")
    kept = np.arange(len(levels))
    kept[order[CLASSES - 1 :]] = order[CLASSES - 1]
    cells = list(sheet.cells)
    cells[place] = kept[cells[place]]
    return Sheet(sheet.fields, tuple(cells))


def class_probabilities(
    family: Family, inputs: Inputs, train: Sheet, test: Sheet, known: np.ndarray, levels: int, seed: int
) -> np.ndarray:
    """Probabilities (m, levels) of classes that a model trained on codes `known` (n,) gives to the rows of `test`."""
    chances = np.zeros((len(test), levels))
    classes = np.unique(known)
    if len(classes) == 1:
        chances[:, classes[0]] = 1.0
    elif len(classes) > 1 and inputs.places:
        model = fit(family(inputs, True, seed), inputs.matrix(train), known)
        chances[:, model.classes_] = model.predict_proba(inputs.matrix(test))
    elif len(classes):
        chances[:, classes] = np.bincount(known)[classes] / len(known)
    return chances


def _regress(family: Family, inputs: Inputs, train: Sheet, test: Sheet, known: np.ndarray, seed: int) -> np.ndarray:
    """Predictions (m,) for the rows of `test`; linear models give nothing outside the values that were trained on."""
    if not len(known) or not inputs.places or known.min() == known.max():
        return np.full(len(test), known.mean() if len(known) else 0.0)
    centre, scale = known.mean(), known.std()
    model = fit(family(inputs, False, seed), inputs.matrix(train), (known - centre) / scale)
    return (model.predict(inputs.matrix(test)) * scale + centre).clip(known.min(), known.max())


def classification_scores(truth: np.ndarray, chances: np.ndarray) -> dict[str, float]:
    """Scores "auc", "f1" and "accuracy" of probabilities (n, classes) for true classes (n,)."""
    classes, counts = np.unique(truth, return_counts=True)
    sure = chances.sum(axis=1) > 0
    guess = np.where(sure, chances.argmax(axis=1), -1)
    two = len(classes) == 2
    positive = [classes[np.argmin(counts)]] if two else classes
    areas = [roc_auc_score(truth == own, chances[:, own]) for own in positive]
    return {
        "auc": float(np.mean(areas)),
        "f1": float(f1_score(truth, guess, labels=positive, average="macro", zero_division=0.0)),
        "accuracy": float((guess == truth).mean()),
    }


def regression_scores(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    """Scores "r2" and "rmse" of predictions (n,)."""
    error = float(((truth - guess) ** 2).mean())
    return {"r2": 1.0 - error / float(truth.var()), "rmse": error**0.5}
