"""Cells that are filled in: from what a network guesses to what a column of a table holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from zerosum.core.errors import BadData
from zerosum.data.tables.cells import absent
from zerosum.data.tables.columns import Categories, Column, Name, Numbers
from zerosum.data.tables.constraints import repair
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.identifiers import Identifier
from zerosum.networks.imputation import Guess


def expected(column: Column, guess: Guess) -> np.ndarray:
    """The best guess of n cells of a column, float64 (n,): of numbers the mean, as `Column.numbers` gives them; of
    numbers with few values their mean; of other levels in order the number of the median; of categories that of the
    most likely.
    """
    chances = guess.chances.float().cpu().numpy().astype(np.float64)
    if isinstance(column.content, Numbers):
        assert guess.places is not None
        places = guess.places.expand(len(chances), -1) if guess.places.shape[0] > 1 else guess.places
        choices = guess.choices.cpu().numpy()
        flat = places.float().cpu().numpy().ravel()
        values = column.content.modes.join(flat, np.resize(choices, flat.shape)).reshape(places.shape)
        return (chances * values).sum(1) / chances.sum(1)
    assert isinstance(column.content, Categories)
    if (levels := numeric(column)) is not None:
        return chances @ levels / chances.sum(1)
    if column.kind == "ordinal":
        return (chances.cumsum(1) < 0.5 * chances.sum(1, keepdims=True)).sum(1).astype(np.float64)
    return chances.argmax(1).astype(np.float64)


def numeric(column: Column) -> np.ndarray | None:
    """The values of a column with few numbers, in their order; None for other columns."""
    content = column.content
    if column.kind != "ordinal" or not isinstance(content, Categories) or content.others or content.levels:
        return None
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in content.values):
        return None
    return np.array(content.values, dtype=np.float64)


def cells(column: Column, best: np.ndarray, rounded: bool, seed: int) -> Any:
    """The best guesses (n,) as an array of the column's cells."""
    if isinstance(column.content, Numbers):
        content = column.content if rounded else replace(column.content, decimals=None)
        places, modes = content.modes.split(best, np.full(len(best), 0.5))
        return replace(column, content=content).decode(len(best), places, modes, seed)
    levels = numeric(column)
    if levels is None:
        return column.decode(len(best), None, best.astype(np.int64), seed)
    if not rounded and column.cells.measure == "float" and not column.cells.form:
        return pd.array(best, dtype=column.cells.dtype)
    nearest = np.abs(best[:, None] - levels).argmin(1)
    return column.decode(len(best), None, nearest, seed)


def unlearned(column: Column, series: pd.Series, seed: int) -> tuple[Any] | None:
    """Cells (n,) of a column that nothing is learned of, in a tuple; None where there is nothing to fill in."""
    missing = absent(series)
    if not missing.any() or column.content is None or (column.kind == "constant" and not column.content.values):  # type: ignore[union-attr]
        return None
    if not isinstance(column.content, Identifier):
        return (column.decode(len(series), None, None, seed),)
    # As many new ones as there are rows and known ones, so that enough are left that nobody has.
    count = len(series) + int(missing.sum())
    made = pd.Series(column.decode(count, None, np.zeros(count, np.int64), seed))
    fresh = made[~made.isin(series[~missing])].iloc[: int(missing.sum())]
    filled = made.iloc[: len(series)].copy()
    filled[missing] = fresh.array
    return (filled.array,)


def put(series: pd.Series, missing: np.ndarray, cells: Any, name: Name) -> pd.Series:
    """The series with missing cells taken from `cells` (n,), in its own dtype; a column without any cell gets theirs.

    Raises:
        BadData: its dtype cannot hold them.
    """
    own = pd.Series(cells[missing])
    levels = series.dtype.categories if isinstance(series.dtype, pd.CategoricalDtype) else None
    try:
        if levels is not None and not own.isin(levels).all():
            raise ValueError(f"{name!r} has not all levels")  # pandas would make these cells missing
        made = series.copy()
        made[missing] = own.astype(series.dtype).array
        if not absent(made)[missing].any():
            return made
    except (ValueError, TypeError):
        pass
    if missing.all():
        return pd.Series(cells, index=series.index)
    raise BadData(
        f"column {name!r} is {series.dtype}, which cannot hold {own.iloc[0]!r}, one of the cells to be filled in: make "
        f"it {own.dtype}, as it was in training."
    )


def obey(frame: pd.DataFrame, lost: Mapping[Name, np.ndarray], table: TableEncoding) -> None:
    """Change cells that were lost, and no others, so that rows obey ranges, orders and sums where that is possible.

    Args:
        frame: the table, filled in.
        lost: of each column, which cells were missing: bool (n,).
        table: the encoding, whose constraints they are.
    """
    repaired = frame.copy()
    for constraint in table.constraints:
        repair(repaired, constraint, table.by_name)
    for name, missing in lost.items():
        if missing.any() and name in table.by_name:
            frame[name] = put(frame[name], missing, repaired[name].array, name)
