"""What the cells of a table's column are: their dtype, unit, zone, objects; and cells as JSON can hold them."""

from __future__ import annotations

import datetime
import decimal
import uuid
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from zerosum.core.errors import BadData

Plain = str | int | float | bool | tuple[float, float]
"""What JSON can hold of one cell; a pair is the two ends of an interval."""
Measure = Literal["float", "int", "time", "span", "none"]
"""How a column counts: floats; whole numbers (periods among them); points in time; durations; not at all."""
OBJECTS = {
    "string": "none", "boolean": "none", "integer": "int", "floating": "float", "mixed-integer-float": "float",
    "decimal": "float", "date": "time", "time": "time", "datetime": "time", "datetime64": "time",
    "timedelta": "span", "empty": "none",
}  # fmt: skip
"""What pandas calls the contents of a column of Python objects -> how it counts. Others are refused."""


@dataclass(frozen=True)
class Cells:
    """What the cells of a column are, so that the same can be given back."""

    dtype: str
    """The name of the pandas dtype, as `dtype_name` gives it."""
    measure: Measure = "none"
    form: str = ""
    """What objects a column of Python objects holds, in pandas' words, or "uuid"; "" for other dtypes."""
    format: str = ""
    """Points in time that are written as text: the format, in the language of `strftime`."""
    zone: str = ""
    """The time zone of datetime objects."""
    text: bool = False
    """Whether the cells are text."""


def dtype_name(dtype: Any) -> str:
    """A name from which `dtype_from` makes an equal dtype. Raises BadData where there is none."""
    if isinstance(dtype, pd.StringDtype):
        return f"string[{dtype.storage}]" if dtype.na_value is pd.NA else "str"
    if isinstance(dtype, pd.ArrowDtype):
        return f"arrow:{dtype.pyarrow_dtype}"
    return "category" if isinstance(dtype, pd.CategoricalDtype) else str(dtype)


def dtype_from(name: str) -> Any:
    """The dtype of that name. Raises BadData for Arrow types with parameters, such as decimals."""
    if not name.startswith("arrow:"):
        return pd.api.types.pandas_dtype(name)
    kind = name.removeprefix("arrow:")
    try:
        return (
            pd.api.types.pandas_dtype(f"{kind}[pyarrow]") if "tz=" in kind else pd.ArrowDtype(pa.type_for_alias(kind))
        )
    except (ValueError, TypeError, NotImplementedError) as error:
        raise BadData(f"the Arrow type {kind} is not known here; cast it to a simpler one.") from error


def recognise(series: pd.Series, name: Any) -> Cells:
    """What the cells of a column are.

    Raises:
        BadData: they are bytes, complex numbers, lists or of several types; a number is infinite or too large.
    """
    dtype = series.dtype
    kind = dtype_name(dtype)
    if isinstance(dtype, pd.SparseDtype):
        raise BadData(f"column {name!r} is sparse; make it dense: frame[{name!r}].sparse.to_dense().")
    dtype_from(kind)
    if isinstance(dtype, pd.CategoricalDtype):
        return Cells(kind)
    if is_object(dtype):
        return _objects(series, name)
    if pd.api.types.is_bool_dtype(dtype):
        return Cells(kind)
    if pd.api.types.is_complex_dtype(dtype):
        raise BadData(f"column {name!r} holds complex numbers; give real and imaginary parts as columns of their own.")
    if isinstance(dtype, pd.PeriodDtype) or pd.api.types.is_integer_dtype(dtype):
        return Cells(kind, "int")
    if pd.api.types.is_float_dtype(dtype):
        _finite(series, name)
        return Cells(kind, "float")
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return Cells(kind, "time")
    if pd.api.types.is_timedelta64_dtype(dtype):
        return Cells(kind, "span")
    if pd.api.types.is_string_dtype(dtype) and "binary" not in kind:
        return Cells(kind, text=True)
    raise BadData(f"column {name!r} holds {kind}; expected numbers, text, booleans, dates or categories.")


def _objects(series: pd.Series, name: Any) -> Cells:
    """What the Python objects of a column are. Raises BadData as `recognise`."""
    present = series[series.notna().to_numpy()]
    form = pd.api.types.infer_dtype(present, skipna=True)
    if form == "mixed" and all(isinstance(value, uuid.UUID) for value in present):
        return Cells("object", "none", "uuid")
    if form not in OBJECTS:
        raise BadData(f"column {name!r} {_mixture(present)}; make it one type, or leave it out: --data.drop {name}.")
    measure: Any = OBJECTS[form]
    if form == "integer" and any(not -(2**63) <= value < 2**63 for value in present):
        huge = next(value for value in present if not -(2**63) <= value < 2**63)
        raise BadData(
            f"column {name!r} holds whole numbers beyond 64 bits, such as {huge}: give them as text or floats."
        )
    if measure == "float":
        _finite(present.astype("float64"), name)
    zone = ""
    if form in ("datetime", "datetime64"):
        try:
            aware = pd.to_datetime(present)
            zone = str(aware.dt.tz or "")
        except (ValueError, AttributeError) as error:
            raise BadData(f"column {name!r} holds dates of several time zones; convert them to one.") from error
    return Cells("object", measure, "datetime" if form == "datetime64" else form, zone=zone, text=form == "string")


def _finite(series: pd.Series, name: Any) -> None:
    infinite = np.isinf(series.to_numpy(dtype="float64", na_value=np.nan))
    if infinite.any():
        raise BadData(
            f"column {name!r} has {int(infinite.sum()):,} infinite values, the first in row {first(infinite)}: "
            "replace them, or leave these cells empty."
        )


def _mixture(present: pd.Series) -> str:
    """What is the matter with a column of objects, in words."""
    types: dict[str, int] = {}
    for row, value in zip(range(len(present)), present, strict=False):
        types.setdefault(type(value).__name__, row)
    shown = [f"{value} ({present.iloc[row]!r:.40})" for value, row in list(types.items())[:3]]
    return f"mixes types: {', '.join(shown)}" if len(types) > 1 else f"holds values of the type {shown[0]}"


def is_object(dtype: Any) -> bool:
    """Whether a column of that dtype holds Python objects."""
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def first(mask: np.ndarray) -> int:
    """The row, counted from 1, in which a mask is first set."""
    return int(np.argmax(mask)) + 1


def absent(series: pd.Series) -> np.ndarray:
    """Which cells are missing: bool (n,)."""
    return series.isna().to_numpy(dtype=bool)


# -- plain values -----------------------------------------------------------------------------------------------------


def plain(value: Any, name: Any) -> Plain:
    """A cell as JSON can hold it. Raises BadData for what it cannot."""
    match value:
        case bool() | np.bool_():
            return bool(value)
        case np.timedelta64():  # an integer in NumPy's eyes
            return str(pd.Timedelta(value))
        case int() | np.integer():
            return int(value)
        case str():
            return str(value)
        case float() | np.floating():
            return float(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case np.datetime64():
            return pd.Timestamp(value).isoformat()
        case decimal.Decimal() | uuid.UUID() | pd.Period() | pd.Timedelta() | datetime.timedelta():
            return str(value)
        case pd.Interval() if isinstance(value.left, int | float | np.number):
            return (float(value.left), float(value.right))
    raise BadData(
        f"column {name!r} has the category {value!r}, a {type(value).__name__}, which cannot be kept as JSON."
    )


def typed(values: tuple[Plain, ...], cells: Cells) -> Any:
    """An array of the cells' dtype of what `plain` gave."""
    if cells.form in ("decimal", "uuid", "date", "time", "datetime", "timedelta"):
        make: Any = {
            "decimal": decimal.Decimal, "uuid": uuid.UUID, "date": datetime.date.fromisoformat,
            "time": datetime.time.fromisoformat, "datetime": datetime.datetime.fromisoformat,
            "timedelta": lambda text: pd.Timedelta(text).to_pytimedelta(),
        }[cells.form]  # fmt: skip
        return as_objects([make(value) for value in values], np.zeros(len(values), dtype=bool))
    dtype = dtype_from(cells.dtype)
    if is_object(dtype):
        return as_objects(list(values), np.zeros(len(values), dtype=bool))
    if isinstance(dtype, pd.IntervalDtype):
        return pd.arrays.IntervalArray.from_tuples(list(values), dtype=dtype)
    if cells.measure == "span":
        return pd.Series([pd.Timedelta(str(value)) for value in values]).astype(dtype).array
    return pd.array(list(values), dtype=dtype)


def take(values: Any, codes: np.ndarray) -> Any:
    """The values at `codes` (n,); missing where a code is -1."""
    if (codes >= 0).all():
        return values.take(codes)
    if isinstance(values, np.ndarray):
        if is_object(values.dtype):
            return as_objects(values.take(codes) if len(values) else None, codes < 0)
        return pd.Series(values).reindex(codes).to_numpy()
    return values.take(codes, allow_fill=True)


def as_levels(dtype: pd.CategoricalDtype, name: Any) -> tuple[tuple[Plain, ...], Cells]:
    """The levels of a categorical dtype and what they are. Raises BadData where they are of several types."""
    levels = dtype.categories
    if isinstance(levels.dtype, pd.IntervalDtype):
        return tuple(plain(value, name) for value in levels), Cells(str(levels.dtype))
    cells = recognise(pd.Series(levels), name)
    return tuple(plain(value, name) for value in levels), replace(cells, measure="none")


def as_objects(values: Any, missing: np.ndarray) -> np.ndarray:
    """An array (n,) of Python objects, None where one is missing."""
    array = np.empty(len(missing), dtype=object)
    array[:] = values
    array[missing] = None
    return array
