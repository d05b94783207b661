"""Tables as arrays: what all measures of synthetic tables start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from zerosum.core.errors import BadData, BadOption
from zerosum.core.randomness import derive
from zerosum.data.tables.cells import Plain, absent, plain
from zerosum.data.tables.columns import Categories, Column, Name, Numbers, steps
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.frames import as_frame
from zerosum.data.tables.numeric import read


@dataclass(frozen=True)
class Field:
    """A column that is learned, and so compared."""

    column: Column
    levels: tuple[Plain, ...] | None = None
    """The categories that occur in any of the tables, in the encoding's order; None: numbers."""

    @property
    def name(self) -> Name:
        """The column's name."""
        return self.column.name

    @property
    def number(self) -> bool:
        """Whether it holds numbers, points in time or durations; else categories."""
        return self.levels is None

    @property
    def ordered(self) -> bool:
        """Whether it holds categories in order."""
        return not self.number and self.column.kind == "ordinal"


@dataclass(frozen=True)
class Sheet:
    """A table as arrays, comparable with every sheet that was read together with it."""

    fields: tuple[Field, ...]
    cells: tuple[np.ndarray, ...]
    """Of each field (n,): float64, NaN where a cell is missing (whole numbers, ticks of points in time and durations
    counted from `Numbers.origin`); or int64 places in `levels`, -1 where missing.
    """

    def __len__(self) -> int:
        return len(self.cells[0])

    def rows(self, indices: np.ndarray) -> Sheet:
        """The rows at `indices`: int64 (m,), or bool (n,)."""
        return Sheet(self.fields, tuple(cells[indices] for cells in self.cells))

    def missing(self, field: int) -> np.ndarray:
        """Which cells of a field are missing: bool (n,)."""
        cells = self.cells[field]
        return np.isnan(cells) if self.fields[field].number else cells < 0

    def sample(self, most: int, *seed: int | str) -> Sheet:
        """At most `most` rows, drawn without repetition; all of them, in order, where there are no more."""
        if len(self) <= most:
            return self
        draw = np.random.default_rng(derive(*seed))
        return self.rows(np.sort(draw.choice(len(self), most, replace=False)))

    def shuffled(self, *seed: int | str) -> Sheet:
        """The rows in another order."""
        return self.rows(np.random.default_rng(derive(*seed)).permutation(len(self)))

    def place(self, name: Name) -> int:
        """Which field a column is. Raises BadOption where it is not learned."""
        for place, field in enumerate(self.fields):
            if field.name == name:
                return place
        raise BadOption(
            f"column {name!r} is not learned; there are {', '.join(str(field.name) for field in self.fields[:20])}."
        )

    def group(self) -> np.ndarray:
        """Equal rows get equal numbers: int64 (n,)."""
        if len(self) == 0:
            return np.zeros(0, dtype=np.int64)
        return group(self.cells)


def group(cells: Sequence[np.ndarray]) -> np.ndarray:
    """Equal rows of columns (n,) get equal numbers: int64 (n,). Missing cells are equal to each other."""
    total = np.zeros(len(cells[0]), dtype=np.int64)
    for column in cells:
        _, codes = np.unique(column, return_inverse=True)
        _, total = np.unique(total * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
    return total


def read_sheets(encoding: TableEncoding, tables: dict[str, Any]) -> dict[str, Sheet]:
    """Tables as sheets that can be compared with each other.

    Args:
        encoding: says what the columns are. Constants, identifiers and free text are left out.
        tables: a word for each table -> its frame. Columns that the encoding does not know are ignored.

    Raises:
        BadData: a table has no rows, lacks columns, or holds what a column cannot hold; the message uses its word.
    """
    frames = {word: as_frame(table) for word, table in tables.items()}
    learned = [column for column in encoding.columns if isinstance(column.content, Numbers | Categories)]
    if not learned:
        raise BadData("the table has nothing to compare: every column is constant, an identifier or free text.")
    for word, frame in frames.items():
        lacking = [column.name for column in learned if column.name not in frame.columns]
        if lacking:
            raise BadData(f"the {word} table lacks the columns {', '.join(map(repr, lacking[:10]))}.")
        if not len(frame):
            raise BadData(f"the {word} table has no rows: there is nothing to compare.")
    fields, cells = [], []
    for column in learned:
        series = {word: frame[column.name] for word, frame in frames.items()}
        if isinstance(column.content, Numbers):
            fields.append(Field(column))
            cells.append([_numbers(own, column, word) for word, own in series.items()])
        else:
            levels, codes = _codes(series, column)
            fields.append(Field(column, levels))
            cells.append(codes)
    own = tuple(fields)
    return {word: Sheet(own, tuple(column[i] for column in cells)) for i, word in enumerate(frames)}


def _numbers(series: pd.Series, column: Column, word: str) -> np.ndarray:
    """Cells as `Sheet.cells` holds them: float64 (n,)."""
    assert isinstance(column.content, Numbers)
    missing, counted = absent(series), column.cells.measure != "float"
    try:
        if isinstance(series.dtype, np.dtype) and series.dtype.kind == "f":  # also broken numbers for whole ones
            values = series.to_numpy(dtype=np.float64) - (column.content.origin if counted else 0)
        else:
            exact = read(series, column.cells, missing)
            values = steps(exact, column.content.origin, 1) if counted else exact
    except (ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadData(f"column {column.name!r} of the {word} table is not {column.kind} ({reason}).") from error
    if (wrong := np.isinf(values) & ~missing).any():
        raise BadData(f"column {column.name!r} of the {word} table has {int(wrong.sum()):,} infinite cells.")
    return np.where(missing, np.nan, values.astype(np.float64))


def _codes(series: dict[str, pd.Series], column: Column) -> tuple[tuple[Plain, ...], list[np.ndarray]]:
    """All categories that there are, and of each table which ones its cells are: int64 (n,), -1 where missing."""
    assert isinstance(column.content, Categories)
    levels: dict[Plain, int] = {}
    for value in (*column.content.values, *column.content.others):
        levels.setdefault(value, len(levels))
    found = []
    for own in series.values():
        codes, distinct = pd.factorize(own)
        places = [levels.setdefault(plain(value, column.name), len(levels)) for value in distinct]
        found.append(np.array([*places, -1], dtype=np.int64)[codes])
    return tuple(levels), found
