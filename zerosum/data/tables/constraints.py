"""What the rows of a table obey: ranges, a <= b, sums, unique values, combinations that never occur; conditions."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from zerosum.core.errors import BadData, BadOption
from zerosum.data.tables.cells import Plain, absent, dtype_from, first, plain
from zerosum.data.tables.columns import Categories, Column, Name, Numbers
from zerosum.data.tables.dates import MIDNIGHT, is_clock, offset
from zerosum.data.tables.numeric import read, unit, write

Operator = Literal["<=", ">=", "<", ">", "=", "!="]
COMPARE: dict[str, Any] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """A column compared with a value: sex=Female, age>60."""

    column: Name
    operator: Operator
    value: str | int | float | bool

    def __str__(self) -> str:
        return f"{self.column}{self.operator}{self.value}"

    def holds(self, frame: pd.DataFrame, columns: Mapping[Name, Column]) -> np.ndarray:
        """The rows in which it does: bool (n,). A missing cell fulfils nothing but !=, as it is not that value.

        Raises:
            BadOption: the value is none of the column's, or categories without an order are to be compared.
        """
        series, column = frame[self.column], columns[self.column]
        missing = absent(series)
        if column.cells.measure != "none":
            result = COMPARE[self.operator](read(series, column.cells, missing), bound(self.value, column))
        else:
            codes, distinct = pd.factorize(series)
            good = [self._compare(plain(value, self.column), column) for value in distinct]
            result = np.array([*good, False])[codes]
        return np.where(missing, self.operator == "!=", result)

    def _compare(self, cell: Plain, column: Column) -> bool:
        """Whether a category fulfils it; they are compared by their order, which only ordered ones have."""
        if self.operator in ("=", "!="):
            return (spelled(cell) == spelled(self.value)) == (self.operator == "=")
        content = column.content
        order = content.levels if isinstance(content, Categories) and content.ordered else ()
        places = {spelled(level): place for place, level in enumerate(order)}
        if spelled(self.value) not in places:
            known = (
                f"the categories in order: {', '.join(places)}"
                if places
                else "no categories in order, but = and != can be asked for"
            )
            raise BadOption(f"{self}: column {self.column!r} has {known}.")
        return bool(COMPARE[self.operator](places[spelled(cell)], places[spelled(self.value)]))


def spelled(value: Plain) -> str:
    """A category as it is written in a condition: 1.0 as 1, True as true."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return text.lower() if text in ("True", "False") else text.strip()


def bound(value: Plain, column: Column) -> int | float:
    """A value of a condition as `read` gives the column's cells. Raises BadOption where it is no number, date ..."""
    cells = column.cells
    clock = cells.form == "time" or is_clock(cells.format)
    try:
        if cells.measure == "time":
            dtype = None if cells.form or cells.text else dtype_from(cells.dtype)
            zone = cells.zone or getattr(getattr(dtype, "pyarrow_dtype", dtype), "tz", None)
            time = pd.Timestamp(f"{MIDNIGHT.date()} {value}" if clock else value)  # type: ignore[arg-type]
            if time.tz is not None and (apart := offset(cells.format)):
                time = time.tz_convert(apart).tz_localize(None)
            time = time.tz_localize(zone) if zone and time.tz is None else time
            return int(time.as_unit(unit(cells))._value)
        if cells.measure == "span":
            return int(pd.Timedelta(value).as_unit(unit(cells))._value)  # type: ignore[arg-type]
        return value if isinstance(value, int) else float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        what = {"time": "times of day" if clock else "dates", "span": "durations"}.get(cells.measure, "numbers")
        raise BadOption(f"{value!r} is compared with column {column.name!r}, which holds {what}.") from error


@dataclass(frozen=True)
class Range:
    """low <= column <= high, where given; kept by moving values to the ends."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))


@dataclass(frozen=True)
class Order:
    """One column not above another (below it, where strict); kept by swapping the two, never where they are equal."""

    low: Name
    high: Name
    strict: bool = False

    def __str__(self) -> str:
        return f"{self.low} {'<' if self.strict else '<='} {self.high}"


@dataclass(frozen=True)
class Sum:
    """A column that is the sum of others; kept by adding these up."""

    total: Name
    parts: tuple[Name, ...]

    def __str__(self) -> str:
        return f"{self.total} = {' + '.join(map(str, self.parts))}"


@dataclass(frozen=True)
class Unique:
    """No two rows have the same value in the column."""

    column: Name

    def __str__(self) -> str:
        return f"unique {self.column}"


@dataclass(frozen=True)
class Never:
    """These conditions never hold together."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return "never " + ", ".join(map(str, self.conditions))


Constraint = Range | Order | Sum | Unique | Never


# -- keeping ----------------------------------------------------------------------------------------------------------


def broken(frame: pd.DataFrame, constraint: Constraint, columns: Mapping[Name, Column]) -> np.ndarray:
    """The rows that break a constraint: bool (n,). Rows in which a cell that it needs is missing do not."""
    match constraint:
        case Range():
            fine = [condition.holds(frame, columns) for condition in constraint.conditions]
            return ~np.logical_and.reduce(fine) & ~absent(frame[constraint.conditions[0].column])
        case Never():
            return np.logical_and.reduce([condition.holds(frame, columns) for condition in constraint.conditions])
        case Unique():
            return frame[constraint.column].duplicated().to_numpy() & ~absent(frame[constraint.column])
        case Order():
            (low, high), missing = _read(frame, (constraint.low, constraint.high), columns)
            return (low >= high if constraint.strict else low > high) & ~missing
    (total, *parts), missing = _read(frame, (constraint.total, *constraint.parts), columns)
    return ~np.isclose(total, sum(parts), rtol=1e-6, atol=_finest(columns[constraint.total])) & ~missing


def _finest(column: Column) -> float:
    """The rounding of a column's numbers, a sum of which may be off by as much."""
    decimals = column.content.decimals if isinstance(column.content, Numbers) else None
    return 1e-9 if decimals is None else 0.5 * 10.0**-decimals


def repair(frame: pd.DataFrame, constraint: Constraint, columns: Mapping[Name, Column]) -> None:
    """Change the cells of decoded rows so that they obey a range, an order or a sum; nothing else can be repaired."""
    match constraint:
        case Range():
            for condition in constraint.conditions:
                column = columns[condition.column]
                wrong = ~condition.holds(frame, columns) & ~absent(frame[column.name])
                if wrong.any():
                    (values,), _ = _read(frame, (column.name,), columns)
                    _put(frame, column, np.where(wrong, _nearest(condition, column), values))
        case Order():
            (low, high), missing = _read(frame, (constraint.low, constraint.high), columns)
            if ((low > high) & ~missing).any():
                swap = (low > high) & ~missing
                _put(frame, columns[constraint.low], np.where(swap, high, low))
                _put(frame, columns[constraint.high], np.where(swap, low, high))
        case Sum():
            (total, *parts), missing = _read(frame, (constraint.total, *constraint.parts), columns)
            _put(frame, columns[constraint.total], np.where(missing, total, sum(parts)))


def _nearest(condition: Condition, column: Column) -> int | float:
    """The value nearest to a bound that fulfils its condition."""
    edge = bound(condition.value, column)
    if condition.operator in ("<=", ">="):
        return edge
    sign = -1 if condition.operator == "<" else 1
    if column.cells.measure != "float":
        return edge + sign
    decimals = column.content.decimals if isinstance(column.content, Numbers) else None
    return float(np.nextafter(edge, sign * np.inf)) if decimals is None else edge + sign * 10.0**-decimals


def _read(
    frame: pd.DataFrame, names: Sequence[Name], columns: Mapping[Name, Column]
) -> tuple[list[np.ndarray], np.ndarray]:
    """The numbers of several columns, and in which rows one of them is missing."""
    missing = np.logical_or.reduce([absent(frame[name]) for name in names])
    return [read(frame[name], columns[name].cells, absent(frame[name])) for name in names], missing


def _put(frame: pd.DataFrame, column: Column, values: np.ndarray) -> None:
    missing = absent(frame[column.name])
    decimals = column.content.decimals if isinstance(column.content, Numbers) else None
    if column.cells.measure == "float" and decimals is not None:
        values = np.round(values, decimals)
    elif column.cells.measure != "float":
        values = np.rint(values).astype(np.int64) if values.dtype.kind == "f" else values
    made = write(values, missing, column.cells, decimals)
    frame[column.name] = pd.Series(made, dtype=made.dtype)


def check(frame: pd.DataFrame, constraint: Constraint, columns: Mapping[Name, Column]) -> None:
    """Refuse constraints that the columns cannot be under, or that the data breaks.

    Raises:
        BadOption: it compares or adds up columns that are no numbers, or not alike.
        BadData: rows break it.
    """
    named = {Order: "compared", Sum: "added up"}.get(type(constraint))
    if isinstance(constraint, Order | Sum) and named:
        names = (
            (constraint.low, constraint.high)
            if isinstance(constraint, Order)
            else (constraint.total, *constraint.parts)
        )
        measures = {
            "number" if columns[name].cells.measure in ("int", "float") else columns[name].cells.measure
            for name in names
        }
        times = {unit(columns[name].cells) for name in names if columns[name].cells.measure in ("time", "span")}
        if len(measures) > 1 or "none" in measures or len(times) > 1 or (named == "added up" and "time" in measures):
            kinds = ", ".join(f"{name} ({columns[name].kind}, {columns[name].cells.dtype})" for name in names)
            raise BadOption(f"--data.constraints {str(constraint)!r}: these columns cannot be {named}: {kinds}.")
    if (wrong := broken(frame, constraint, columns)).any():
        raise BadData(
            f"--data.constraints {str(constraint)!r} does not hold in {int(wrong.sum()):,} of {len(frame):,} rows, the "
            f"first is row {first(wrong)}: correct these rows, or leave the constraint out."
        )
