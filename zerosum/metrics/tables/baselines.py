"""What synthetic tables must be better than: columns drawn one by one, and a Gaussian copula."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from zerosum.core.errors import BadOption
from zerosum.core.randomness import derive
from zerosum.data.tables.constraints import repair
from zerosum.data.tables.encoding import TableEncoding
from zerosum.metrics.tables.pairs import correlations
from zerosum.metrics.tables.sheet import Sheet, read_sheets

LEAST_EIGENVALUE = 1e-4
ROWS = 200_000
"""Rows that correlations are computed from at most, drawn at random."""


class IndependentColumns:
    """Every cell is drawn by itself from the column's cells: all columns right, and nothing between them.

    Attributes:
        frame: the rows that it was fitted to.
        encoding: what their columns are.
    """

    frame: pd.DataFrame
    encoding: TableEncoding

    def fit(self, frame: pd.DataFrame, encoding: TableEncoding) -> IndependentColumns:
        """Keeps the rows, and returns itself."""
        self.frame, self.encoding = frame.reset_index(drop=True), encoding
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """n rows with the columns and dtypes of the frame, free text left out. Raises BadOption where n is below 1."""
        _positive(n)
        draw = np.random.default_rng(derive(seed, "independent columns"))
        names = [field.name for field in read_sheets(self.encoding, {"training": self.frame[:1]})["training"].fields]
        return _table(self, {name: draw.integers(len(self.frame), size=n) for name in names}, n, seed)


@dataclass(frozen=True)
class Margin:
    """One column as a normal variable: where it is high, so are the column's values."""

    order: np.ndarray
    """Rows in which the column is there, by their value, ascending; categories by frequency, descending."""
    missing: float
    """The share of missing cells; above 0, a second variable says which are missing."""
    empty: int
    """A row in which it is missing, or -1."""


class GaussianCopula:
    """Columns as they are, tied together by the correlations of normal variables behind them (Patki et al. 2016, The
    Synthetic Data Vault, DSAA, section III).

    Every column is a step function of a normal variable, with the steps where its cumulative frequencies are: those of
    numbers ascending, those of categories by how frequent these are. A second variable says which cells are missing.
    Values are those that occur in the training rows.

    Deviations: margins are empirical. A variable is estimated by its mean given the cell, and correlations are
    corrected, to first order, for how much of its variance that leaves; eigenvalues below 0.0001 are raised to it.

    Attributes:
        frame: the rows that it was fitted to.
        encoding: what their columns are.
        margins: column -> how it comes from its variables.
        root: (k, k), whose product with its transpose is the correlations of the variables.
    """

    frame: pd.DataFrame
    encoding: TableEncoding
    margins: dict[str | int, Margin]
    root: np.ndarray

    def fit(self, frame: pd.DataFrame, encoding: TableEncoding) -> GaussianCopula:
        """Fits it to a frame of n rows, and returns itself."""
        self.frame, self.encoding = frame.reset_index(drop=True), encoding
        sheet = read_sheets(encoding, {"training": self.frame})["training"]
        some = np.sort(np.random.default_rng(0).permutation(len(sheet))[:ROWS])
        self.margins, scores = {}, []
        for place, field in enumerate(sheet.fields):
            size, missing = _size(sheet, place), sheet.missing(place)
            there = np.flatnonzero(~missing)
            share = float(missing.mean())
            order = there[np.argsort(size[there], kind="stable")]
            self.margins[field.name] = Margin(order, share, int(missing.argmax()) if share else -1)
            scores.append(normal_scores(size)[some])
            if 0 < share < 1:
                scores.append(normal_scores(missing.astype(np.float64))[some])
        self.root = _root(np.stack(scores, axis=1))
        return self

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """n rows with the columns and dtypes of the frame, free text left out. Raises BadOption where n is below 1."""
        _positive(n)
        draw = np.random.default_rng(derive(seed, "gaussian copula"))
        u = ndtr(draw.standard_normal((n, len(self.root))) @ self.root.T)
        rows, variable = {}, 0
        for name, margin in self.margins.items():
            known = len(margin.order)
            place = np.minimum((u[:, variable] * known).astype(np.int64), known - 1)
            rows[name] = margin.order[place] if known else np.full(n, margin.empty)
            variable += 1
            if 0 < margin.missing < 1:
                rows[name] = np.where(u[:, variable] >= 1.0 - margin.missing, margin.empty, rows[name])
                variable += 1
        return _table(self, rows, n, seed)


def _size(sheet: Sheet, place: int) -> np.ndarray:
    """What the cells of a column are ordered by: float64 (n,), NaN where missing."""
    field, cells = sheet.fields[place], sheet.cells[place]
    if field.levels is None:
        return cells
    if field.ordered:
        return np.where(cells < 0, np.nan, cells)
    counts = np.bincount(cells[cells >= 0], minlength=len(field.levels))
    rank = np.argsort(np.argsort(-counts, kind="stable"))
    return np.where(cells < 0, np.nan, rank[cells])


def normal_scores(values: np.ndarray) -> np.ndarray:
    """The mean of a standard normal variable given in which step of the distribution function of values (n,) it is,
    divided by the variance of that mean; 0 where a value is NaN. (n,), NaN kept.
    """
    there = ~np.isnan(values)
    _, codes, counts = np.unique(values[there], return_inverse=True, return_counts=True)
    scores = np.full(len(values), np.nan)
    if not len(counts):
        return scores
    ends = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    ends[-1] = 1.0
    density = np.exp(-0.5 * ndtri(ends) ** 2) / np.sqrt(2 * np.pi)
    scores[there] = ((density[:-1] - density[1:]) * counts.sum() / counts)[codes]
    return scores


def _root(scores: np.ndarray) -> np.ndarray:
    """A root (k, k) of the correlations of the variables behind scores (n, k)."""
    found = correlations(scores)
    spread = np.nanstd(np.where(np.isnan(scores).all(axis=0), 0.0, scores), axis=0)
    # cov(E[a|.], E[b|.]) is to first order r var(E[a|.]) var(E[b|.]), and found = cov / (spread_a spread_b).
    scale = np.outer(spread, spread)
    found = np.divide(found, scale, out=np.zeros_like(found), where=scale > 0).clip(-0.99, 0.99)
    np.fill_diagonal(found, 1.0)
    values, vectors = np.linalg.eigh(found)
    root = vectors * np.sqrt(np.maximum(values, LEAST_EIGENVALUE))
    return root / np.sqrt((root**2).sum(axis=1, keepdims=True))


def _table(fitted: IndependentColumns | GaussianCopula, rows: dict, n: int, seed: int) -> pd.DataFrame:
    """Cells of the fitted rows at `rows`; constants and identifiers made anew; the constraints kept that can be."""
    cells = {}
    for column in fitted.encoding.decoded:
        if column.name in rows:
            cells[column.name] = fitted.frame[column.name].take(rows[column.name]).reset_index(drop=True)
        else:
            made = column.decode(n, None, np.zeros(n, dtype=np.int64), seed)
            cells[column.name] = pd.Series(made, dtype=made.dtype)
    table = pd.DataFrame(cells)
    for constraint in fitted.encoding.constraints:
        repair(table, constraint, fitted.encoding.by_name)
    return table


def _positive(n: int) -> None:
    if n < 1:
        raise BadOption(f"{n} rows were asked for; at least 1 can be made.")
