"""How cells come to be missing, and how far what was filled in is from what was there.

The three mechanisms are Rubin's (1976): a cell is lost whatever is in the table (MCAR), for what is in columns that
nobody lost anything of (MAR), or for what was in the cell itself (MNAR). MAR and MNAR are logistic, as in Muzellec et
al. 2020 (Missing Data Imputation using Optimal Transport, arXiv:2002.03860, section 4); here columns may be of any
kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import expit, ndtri

from zerosum.core.errors import BadData, BadOption
from zerosum.data.tables.cells import absent

Mechanism = Literal["mcar", "mar", "mnar"]
OBSERVED = 0.3
"""The share of columns that lose nothing under MAR."""


def is_number(series: pd.Series) -> bool:
    """Whether the cells of a column are numbers, whose errors have a size."""
    return pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_bool_dtype(series.dtype)


def hide(frame: pd.DataFrame, mechanism: Mechanism = "mcar", share: float = 0.2, *, seed: int = 0) -> np.ndarray:
    """Which cells are lost: bool (n, columns), of cells that are there.

    Args:
        frame: the table.
        mechanism: "mcar": each cell with the same probability. "mar": 30 % of the columns, drawn at random, lose
            nothing; a cell of the others is lost with a probability that is logistic in a random combination of these
            (of variance 1). "mnar": with a probability that is logistic in what the cell holds: rising or falling with
            the rank of a number, at random for each category.
        share: of the cells that can be lost, how many are, on average.
        seed: of all that is random.

    Raises:
        BadOption: the share is not between 0 and 1, there is no such mechanism, or MAR has only one column.

    Example:
        >>> holed = frame.mask(hide(frame, "mnar", seed=1))
    """
    if not 0.0 < share < 1.0:
        raise BadOption(f"{share} of the cells are to be lost; it is a share between 0 and 1.")
    draw = np.random.default_rng([seed, ("mcar", "mar", "mnar").index(mechanism) if mechanism in _LOGITS else 9])
    if mechanism not in _LOGITS:
        raise BadOption(f"there is no mechanism {mechanism!r}; there are {', '.join(_LOGITS)}.")
    known = np.stack([~absent(frame[name]) for name in frame.columns], 1)
    logits = _LOGITS[mechanism](frame, draw)
    probability = np.zeros(known.shape)
    for j in range(known.shape[1]):
        if not np.isnan(logits[:, j]).any() and known[:, j].any():
            probability[:, j] = expit(logits[:, j] + _offset(logits[known[:, j], j], share))
    return (draw.random(known.shape) < probability) & known


def _mcar(frame: pd.DataFrame, draw: np.random.Generator) -> np.ndarray:
    return np.zeros(frame.shape)


def _mar(frame: pd.DataFrame, draw: np.random.Generator) -> np.ndarray:
    columns = frame.shape[1]
    if columns < 2:
        raise BadOption("cells can be lost for what is in other columns (mar) only where there are two at least.")
    observed = draw.permutation(columns)[: max(round(OBSERVED * columns), 1)]
    scores = np.stack([_scores(frame.iloc[:, j], draw) for j in observed], 1)
    logits = scores @ draw.standard_normal((len(observed), columns))
    logits /= logits.std(0).clip(1e-12)
    logits[:, observed] = np.nan  # nothing is lost of these
    return logits


def _mnar(frame: pd.DataFrame, draw: np.random.Generator) -> np.ndarray:
    signs = draw.choice([-1.0, 1.0], frame.shape[1])
    return np.stack([signs[j] * _scores(frame.iloc[:, j], draw) for j in range(frame.shape[1])], 1)


_LOGITS = {"mcar": _mcar, "mar": _mar, "mnar": _mnar}


def _scores(series: pd.Series, draw: np.random.Generator) -> np.ndarray:
    """Cells as numbers (n,) of mean 0 and variance 1: ranks of numbers as normal quantiles, a random number for each
    category; 0 where a cell is missing.
    """
    missing = absent(series)
    if is_number(series):
        ranks = series.astype("float64").rank().to_numpy()
        scores = ndtri((ranks - 0.5) / max((~missing).sum(), 1))
    else:
        codes, distinct = pd.factorize(series, sort=False)
        scores = draw.standard_normal(len(distinct) + 1)[codes]
    scores = np.where(missing, np.nan, scores)
    spread = np.nanstd(scores) if (~missing).any() else 0.0
    return np.nan_to_num((scores - np.nanmean(scores)) / spread) if spread > 0 else np.zeros(len(scores))


def _offset(logits: np.ndarray, share: float) -> float:
    """What to add to logits for a mean probability of `share`, by bisection."""
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(logits + middle).mean() < share else (low, middle)
    return (low + high) / 2


def errors(
    truth: pd.DataFrame, filled: pd.DataFrame, lost: np.ndarray, categorical: Sequence[str] = ()
) -> dict[str, float]:
    """How far filled-in cells are from the true ones.

    Args:
        truth: the table as it was.
        filled: the same rows and columns, without missing cells among those that were lost.
        lost: bool (n, columns), which cells were.
        categorical: columns of numbers that are names of categories; text, booleans and the like are anyway.

    Returns:
        "rmse": the root of the mean squared error of all lost numbers, each column scaled by its true range to [0, 1]
        (Yoon et al. 2018, section 5); "error": the share of lost categories that are wrong. Each only where the table
        has such columns.

    Raises:
        BadData: the tables do not belong together, or a lost cell is still missing.
    """
    if list(truth.columns) != list(filled.columns) or len(truth) != len(filled) or lost.shape != truth.shape:
        raise BadData(f"tables of {truth.shape} and {filled.shape} cells and a mask of {lost.shape} are not of one.")
    squares, wrong = [], []
    for j, name in enumerate(truth.columns):
        own, made = truth[name][lost[:, j]], filled[name][lost[:, j]]
        if absent(made).any():
            raise BadData(
                f"column {name!r} still has {int(absent(made).sum()):,} missing cells that were to be filled."
            )
        if is_number(truth[name]) and name not in categorical:
            values = truth[name].astype("float64")
            span = float(values.max() - values.min()) or 1.0
            difference = made.astype("float64").to_numpy() - own.astype("float64").to_numpy()
            squares.append((difference / span) ** 2)
        else:
            wrong.append((made.astype(object).to_numpy() != own.astype(object).to_numpy()).astype(np.float64))
    found = {}
    if squares and len(pooled := np.concatenate(squares)):
        found["rmse"] = float(np.sqrt(pooled.mean()))
    if wrong and len(pooled := np.concatenate(wrong)):
        found["error"] = float(pooled.mean())
    return found


def realism(
    truth: pd.DataFrame, filled: pd.DataFrame, lost: np.ndarray, categorical: Sequence[str] = (), *, seed: int = 0
) -> dict[str, float]:
    """How well filled-in cells keep the distribution of the true ones, whatever the single errors.

    Returns:
        "shape": the mean over columns of how far the distribution of filled-in cells is from that of the lost ones
        (Kolmogorov-Smirnov statistic of numbers, total variation of categories; 0 is best). "detection": the area
        under the curve of gradient-boosted trees that tell rows with filled-in cells from true rows, learned on one
        half of the rows and measured on the other (0.5 is best).
    """
    return {"shape": shape(truth, filled, lost, categorical), "detection": _detection(truth, filled, lost, seed)}


def shape(truth: pd.DataFrame, filled: pd.DataFrame, lost: np.ndarray, categorical: Sequence[str] = ()) -> float:
    """The first of `realism`."""
    from scipy.stats import ks_2samp

    shapes = []
    for j, name in enumerate(truth.columns):
        own, made = truth[name][lost[:, j]], filled[name][lost[:, j]]
        if not len(own):
            continue
        if is_number(truth[name]) and name not in categorical:
            shapes.append(float(ks_2samp(own.astype("float64"), made.astype("float64"), method="asymp").statistic))
        else:
            shares = [part.astype(object).value_counts(normalize=True) for part in (own, made)]
            shapes.append(float(shares[0].sub(shares[1], fill_value=0.0).abs().sum() / 2))
    return float(np.mean(shapes))


def _detection(truth: pd.DataFrame, filled: pd.DataFrame, lost: np.ndarray, seed: int) -> float:
    """Of rows that lost something, one half is shown as it was, the other as it was filled in; twice, with the halves
    swapped, so that what is learned from one pair of quarters is measured on the other.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    from zerosum.metrics.tables.models import fit

    rows = np.random.default_rng(seed).permutation(np.flatnonzero(lost.any(1)))
    quarters = np.array_split(rows, 4)
    numbers = _as_numbers(pd.concat([truth, filled], ignore_index=True))
    halves = []
    for true, made in (quarters[:2], quarters[2:]):
        answer = np.repeat([0, 1], [len(true), len(made)])
        halves.append((numbers[np.concatenate([true, made + len(truth)])], answer))
    areas = []
    for (x, y), (other, answer) in (halves, halves[::-1]):
        model = fit(HistGradientBoostingClassifier(max_iter=100, random_state=seed), x, y)
        areas.append(roc_auc_score(answer, model.predict_proba(other)[:, 1]))
    return float(np.mean(areas))


def _as_numbers(frame: pd.DataFrame) -> np.ndarray:
    """Numbers as they are, categories as codes: float64 (n, columns), NaN where a cell is missing."""
    columns = []
    for name in frame.columns:
        if is_number(frame[name]):
            columns.append(frame[name].to_numpy(dtype="float64", na_value=np.nan))
        else:
            codes = pd.factorize(frame[name], sort=False)[0]
            columns.append(np.where(codes < 0, np.nan, codes))
    return np.stack(columns, 1)
