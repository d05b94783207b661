"""Simple ways to fill in missing cells, to compare with: the mean, and chained regressions."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from zerosum.metrics.imputation import is_number

DONORS = 5_000
"""Rows that regressions are learned from, at most."""
ROUNDS = 3


class Numeric:
    """A holed table as numbers: columns of numbers scaled by their range, categories as one-hots; NaN where missing."""

    def __init__(self, frame: pd.DataFrame, levels: dict[str, list[str]] | None = None):
        self.frame, self.levels, columns, self.pieces, start = frame, dict[str, list[str]](), [], [], 0
        for name in frame.columns:
            if is_number(frame[name]):
                low, high = frame[name].min(), frame[name].max()
                columns.append(((frame[name] - low) / ((high - low) or 1.0)).to_numpy()[:, None])
            else:
                self.levels[name] = levels[name] if levels else sorted(frame[name].dropna().unique())
                hot = (frame[name].to_numpy()[:, None] == np.array(self.levels[name], dtype=object)).astype(float)
                columns.append(np.where(frame[name].isna().to_numpy()[:, None], np.nan, hot))
            self.pieces.append(slice(start, start := start + columns[-1].shape[1]))
        self.x = np.concatenate(columns, 1)

    def back(self, x: np.ndarray) -> pd.DataFrame:
        """The table with missing cells from numbers (n, d): of one-hots the largest."""
        made, start = self.frame.copy(), 0
        for name in made.columns:
            missing = made[name].isna().to_numpy()
            if name in self.levels:
                end = start + len(self.levels[name])
                own = np.array(self.levels[name], dtype=object)[x[:, start:end].argmax(1)]
            else:
                end, low, high = start + 1, made[name].min(), made[name].max()
                own = x[:, start].clip(0.0, 1.0) * ((high - low) or 1.0) + low
            made[name] = np.where(missing, own, made[name].to_numpy())
            made[name] = made[name].astype(self.frame[name].dtype)
            start = end
        return made


def mean(frame: pd.DataFrame) -> pd.DataFrame:
    """The mean, or the most frequent category."""
    numeric = Numeric(frame)
    return numeric.back(np.where(np.isnan(numeric.x), np.nanmean(numeric.x, 0), numeric.x))


def chained(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Chained equations (van Buuren and Groothuis-Oudshoorn 2011): Bayesian ridge for numbers, logistic regression for
    categories, each from all other columns, learned on `DONORS` rows, three rounds over the columns.

    Unlike scikit-learn's IterativeImputer on one-hots, which guesses each category from the other categories of the
    same, equally missing cell, and so never leaves the most frequent one.
    """
    from sklearn.linear_model import BayesianRidge, LogisticRegression

    start = Numeric(frame)
    x, missing = Numeric(mean(frame), start.levels).x, frame.isna().to_numpy()
    draw = np.random.default_rng(seed)
    for _ in range(ROUNDS):
        for j in np.argsort(missing.sum(0), kind="stable"):
            if not missing[:, j].any() or missing.shape[1] == 1:
                continue
            lost, own = missing[:, j], draw.permutation(np.flatnonzero(~missing[:, j]))[:DONORS]
            others, piece = np.delete(x, np.r_[start.pieces[j]], 1), start.pieces[j]
            if piece.stop - piece.start == 1:
                x[lost, piece.start] = BayesianRidge().fit(others[own], x[own, piece.start]).predict(others[lost])
                continue
            known = x[own, piece].argmax(1)
            if (known == known[0]).all():  # nothing to learn; and it is filled in already
                continue
            with warnings.catch_warnings(action="ignore"):  # that it has not converged
                fitted = LogisticRegression(max_iter=50).fit(others[own], known)
            x[lost, piece] = 0.0
            x[np.flatnonzero(lost), piece.start + fitted.predict(others[lost])] = 1.0
    return start.back(x)
