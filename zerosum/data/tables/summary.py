"""What every column of a table was taken for, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from zerosum.data.report import Taken
from zerosum.data.tables.cells import absent
from zerosum.data.tables.columns import Categories, Column, Constant, Numbers
from zerosum.data.tables.dialect import Dialect, as_text
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.numeric import write

NAMED = 4
"""Categories that are named; the others are counted."""


def summary(encoding: TableEncoding, frame: pd.DataFrame) -> list[Taken]:
    """Each column of the frame that the encoding was fitted to."""
    by_name, found = encoding.by_name, []
    for name in frame.columns:
        share = float(absent(frame[name]).mean())
        if name not in by_name:
            found.append(Taken(str(name), "dropped", "", share))
            continue
        column = by_name[name]
        kind = f"{column.kind}, the target" if name == encoding.target else column.kind
        found.append(Taken(str(name), kind, values(column, encoding.dialect or Dialect()), share))
    return found


def values(column: Column, dialect: Dialect) -> str:
    """What is in a column: its range, its categories, or what is done with it."""
    match column.content:
        case Numbers() as numbers:
            low, high = ends(column, numbers, dialect)
            count = len(numbers.modes)
            form = f", {column.cells.format}" if column.cells.format else ""
            return f"{low} to {high}{form}; {count} mode{'s' if count > 1 else ''}"
        case Categories() as categories:
            named = ", ".join(str(value).strip() for value in categories.values[:NAMED])
            more = len(categories.values) - NAMED
            rare = f"; {len(categories.others):,} rare ones share one place" if categories.others else ""
            return f"{named}{f' and {more:,} more' if more > 0 else ''}{rare}"
        case Constant(values=(value,)):
            return f"{value} in every row"
        case Constant():
            return "nothing in any row"
        case None:
            return "left out"
    return "made anew, not learned"


def ends(column: Column, numbers: Numbers, dialect: Dialect) -> list[str]:
    """The lowest and the highest cell, as a text file of this dialect has them."""
    extent: Any = np.array(numbers.extent)
    if column.cells.measure != "float":
        extent = np.rint(extent).astype("int64")
    elif numbers.decimals is not None:
        extent = extent.round(numbers.decimals)
    else:
        extent = np.array([float(f"{value:.6g}") for value in extent])
    cells = write(extent, np.zeros(2, dtype=bool), column.cells, numbers.decimals)
    own = replace(dialect, separator="\t", header=False)
    return as_text(pd.DataFrame({column.name: cells}), own).splitlines()
