"""Models that predict from the columns of a table: gradient-boosted trees, and linear ones."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from zerosum.metrics.tables.sheet import Sheet

LEVELS = 250
"""Categories of a column that a model tells apart; the others, the rarest, are one. (The trees can take 255.)"""
ALONE = 1_000_000
"""Cells up to which a model is fitted in one thread."""


@dataclass(frozen=True)
class Inputs:
    """What a model sees of sheets."""

    places: tuple[int, ...]
    """The fields that it sees."""
    codes: tuple[np.ndarray | None, ...]
    """Of each field with many categories: level -> code (levels,); None: numbers, or few categories."""
    categories: np.ndarray
    """Which inputs are categories: bool (d,)."""

    @classmethod
    def of(cls, sheet: Sheet, without: int | None = None) -> Inputs:
        """All fields but one (the target); their most frequent categories are those of this sheet."""
        places = tuple(place for place in range(len(sheet.fields)) if place != without)
        codes: list[np.ndarray | None] = []
        for place in places:
            levels = sheet.fields[place].levels
            if levels is None or len(levels) <= LEVELS:
                codes.append(None)
                continue
            cells = sheet.cells[place]
            counts = np.bincount(cells[cells >= 0], minlength=len(levels))
            own = np.full(len(levels), LEVELS - 1, dtype=np.int64)
            frequent = np.argsort(-counts, kind="stable")[: LEVELS - 1]
            own[frequent] = np.arange(LEVELS - 1)
            codes.append(own)
        categories = np.array([not sheet.fields[place].number for place in places], dtype=bool)
        return cls(places, tuple(codes), categories)

    def matrix(self, sheet: Sheet) -> np.ndarray:
        """float64 (n, d): numbers, and codes of categories; NaN where a cell is missing."""
        columns = []
        for place, codes, category in zip(self.places, self.codes, self.categories):
            cells = sheet.cells[place]
            if category:
                known = cells if codes is None else codes[cells]
                cells = np.where(cells < 0, np.nan, known)
            columns.append(cells)
        return np.stack(columns, axis=1) if columns else np.zeros((len(sheet), 0))


def boosted_trees(inputs: Inputs, classify: bool, seed: int, rounds: int = 100) -> Any:
    """Gradient-boosted trees over histograms, with the settings of scikit-learn but no early stopping."""
    made = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    mask = inputs.categories if inputs.categories.any() else None
    return made(max_iter=rounds, categorical_features=mask, early_stopping=False, random_state=seed)


def linear_model(inputs: Inputs, classify: bool) -> Any:
    """Logistic or ridge regression on standardised numbers and one-hots; missing numbers are the mean, and marked."""
    numbers, categories = np.flatnonzero(~inputs.categories), np.flatnonzero(inputs.categories)
    filled = SimpleImputer(add_indicator=True, keep_empty_features=True)
    steps: list[tuple[str, Any, np.ndarray]] = []
    if len(numbers):
        steps.append(("numbers", make_pipeline(filled, StandardScaler()), numbers))
    if len(categories):
        steps.append(("categories", OneHotEncoder(handle_unknown="ignore"), categories))
    final = LogisticRegression(max_iter=200) if classify else Ridge()
    return make_pipeline(ColumnTransformer(steps), final)


def fit(model: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """Fits a model to (n, d) and (n,), and returns it. An optimiser that stops at its limit is as far as it got."""
    # The threads of trees wait for each other by spinning: beside other work, that takes up to forty times as long.
    threads = 1 if x.shape[0] * x.shape[1] <= ALONE else None
    with warnings.catch_warnings(), threadpool_limits(threads, "openmp"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)
