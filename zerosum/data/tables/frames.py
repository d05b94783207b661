"""Tables that are in memory already: pandas and polars frames and Arrow tables, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from zerosum.core.errors import BadData
from zerosum.data.tables.cells import absent

MOST_COLUMNS = 5_000
INTEGERS = {
    pa.int8(): "Int8", pa.int16(): "Int16", pa.int32(): "Int32", pa.int64(): "Int64",
    pa.uint8(): "UInt8", pa.uint16(): "UInt16", pa.uint32(): "UInt32", pa.uint64(): "UInt64",
}  # fmt: skip


def is_frame(value: Any) -> bool:
    """Whether an object is a pandas frame, a polars frame (lazy, too) or an Arrow table."""
    if isinstance(value, pd.DataFrame | pa.Table):
        return True
    return type(value).__module__.partition(".")[0] == "polars" and type(value).__name__ in ("DataFrame", "LazyFrame")


def as_frame(value: Any) -> pd.DataFrame:
    """A pandas frame, numbered from 0. Raises BadData for anything that is no table."""
    if isinstance(value, pd.DataFrame):
        return value.reset_index(drop=True)
    if isinstance(value, pa.Table):
        return from_arrow(value)
    if is_frame(value):
        frame = value.collect() if type(value).__name__ == "LazyFrame" else value
        return from_arrow(frame.to_arrow())
    raise BadData(
        f"a {type(value).__name__} was given as a table; expected a pandas or polars frame or an Arrow table."
    )


def from_arrow(table: pa.Table, where: str = "the table") -> pd.DataFrame:
    """An Arrow table as a pandas frame; whole numbers with missing cells stay whole (Int64 and its like).

    Raises:
        BadData: a column holds bytes, or lists, maps or structures of values; or two have the same name.
    """
    refuse_repeated(table.column_names, where)
    for field in table.schema:
        if pa.types.is_nested(field.type):
            raise BadData(
                f"column {field.name!r} of {where} holds {field.type}, several values in a cell: make each a column of "
                "its own, or take the column out."
            )
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            raise BadData(f"column {field.name!r} of {where} holds bytes; a table holds numbers, text and dates.")
    frame = table.to_pandas()
    if list(frame.columns) != table.column_names and frame.index.names != [None]:
        frame = frame.reset_index()  # a column that pandas had as its index when it wrote the file
    for field in table.schema:
        kind = INTEGERS.get(field.type)
        if kind and field.name in frame and frame[field.name].dtype.kind == "f":
            frame[field.name] = table[field.name].to_pandas(
                types_mapper={field.type: pd.api.types.pandas_dtype(kind)}.get
            )
    return frame.reset_index(drop=True)


def checked(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The frame, if a table can be learned from it.

    Raises:
        BadData: names that are no names or not unique, too many columns, fewer than two rows, or no filled cell.
    """
    if isinstance(frame.columns, pd.MultiIndex):
        raise BadData(f"{where} has names of columns in {frame.columns.nlevels} levels; join them to one.")
    for name in frame.columns:
        if not isinstance(name, str | int | np.integer) or isinstance(name, bool):
            raise BadData(f"{where} has a column called {name!r}, a {type(name).__name__}; names are text.")
    refuse_repeated(list(frame.columns), where)
    if not len(frame.columns):
        raise BadData(f"{where} has no columns.")
    if len(frame.columns) > MOST_COLUMNS:
        raise BadData(
            f"{where} has {len(frame.columns):,} columns, at most {MOST_COLUMNS:,} can be learned together: give those "
            "that matter, or give it the other way round if its rows are columns."
        )
    if len(frame) < 2:
        what = "one row" if len(frame) else "no rows, only names of columns"
        raise BadData(f"{where} has {what}; there must be two at least, and hundreds to learn from.")
    if all(absent(frame[name]).all() for name in frame.columns):
        raise BadData(f"{where} has no filled cell: all {len(frame):,} rows are missing in every column.")
    return frame


def refuse_repeated(names: list[Any], where: str) -> None:
    """Raise BadData if two columns have the same name."""
    seen: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        if str(name) in seen:
            raise BadData(
                f"{where} has two columns called {name!r}, the {seen[str(name)]}. and the {place}.: rename one."
            )
        seen[str(name)] = place
