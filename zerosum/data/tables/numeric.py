"""Cells that count (numbers, points in time, durations) as NumPy arrays, and back as what they came as."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd

from zerosum.data.tables.cells import Cells, as_objects, dtype_from, is_object, take, typed
from zerosum.data.tables.dates import MIDNIGHT, parse, spell

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Ticks a second."""


def read(series: pd.Series, cells: Cells, missing: np.ndarray) -> np.ndarray:
    """The cells as float64, or as int64 or uint64 for whole numbers and ticks; anything where `missing` is set.

    Raises ValueError, TypeError or OverflowError for cells that are not what `cells` says.
    """
    if cells.measure == "float":
        return _dense(series, missing).astype("float64")
    if cells.measure in ("time", "span"):
        return _ticks(series, cells)
    if isinstance(series.dtype, pd.PeriodDtype):
        return series.array.asi8
    values = _dense(series, missing)
    if is_object(values.dtype):
        return np.array(values.tolist(), dtype="int64")
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.rint(values))).all():
        raise ValueError(f"{values[values != np.rint(values)][:1]} is not a whole number")
    return values.astype("uint64" if values.dtype == np.uint64 else "int64")


def _dense(series: pd.Series, missing: np.ndarray) -> np.ndarray:
    """NumPy's array of the cells, 0 where one is missing."""
    if missing.any():
        series = series.mask(missing, 0) if isinstance(series.dtype, np.dtype) else series.fillna(0)
    return series.to_numpy()


def _ticks(series: pd.Series, cells: Cells) -> np.ndarray:
    """Points in time or durations as int64 in the unit of `unit`; missing ones as the least int64."""
    if cells.format and (is_object(series.dtype) or isinstance(series.dtype, pd.StringDtype)):
        series = parse_dates(series, cells.format)
    elif cells.form == "date":
        return (
            np.array(series.where(series.notna(), None), dtype="datetime64[D]").astype("datetime64[us]").view("int64")
        )
    if cells.form == "time":
        series = series.map(lambda time: datetime.datetime.combine(MIDNIGHT, time), na_action="ignore")
    if cells.measure == "span":
        return series.astype(f"timedelta64[{unit(cells)}]").to_numpy().view("int64")
    times = pd.to_datetime(series)
    if times.dt.tz is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    return times.astype(f"datetime64[{unit(cells)}]").to_numpy().view("int64")


def unit(cells: Cells) -> str:
    """The tick of a column's times: s, ms, us or ns; microseconds for text and Python's objects."""
    if cells.text or cells.form:
        return "us"
    dtype = dtype_from(cells.dtype)
    if isinstance(dtype, pd.ArrowDtype):
        return getattr(dtype.pyarrow_dtype, "unit", "s")
    return getattr(dtype, "unit", None) or np.datetime_data(dtype)[0]


def parse_dates(series: pd.Series, form: str) -> pd.Series:
    """Dates written as text, each distinct text parsed once; NaT where one is missing.

    Raises ValueError for text of another format.
    """
    codes, texts = pd.factorize(series)
    times = parse(np.asarray(texts, dtype=object), form).astype("datetime64[us]")
    return pd.Series(times.array.take(codes, allow_fill=True))


def write(numbers: np.ndarray, missing: np.ndarray, cells: Cells, decimals: int | None) -> Any:
    """The array that `read` read: float64, or int64 (uint64) whole numbers and ticks, as the column's dtype.

    Args:
        numbers: (n,).
        missing: bool (n,), which cells are missing.
        cells: what they are to be.
        decimals: digits after the point of Decimal objects.
    """
    if cells.measure in ("time", "span"):
        return _times(numbers, missing, cells)
    dtype = dtype_from(cells.dtype)
    if cells.form:
        convert: Any = float if cells.measure == "float" else int
        if cells.form == "decimal":
            convert = lambda value: decimal.Decimal(f"{value:.{max(decimals or 0, 0)}f}")  # noqa: E731
        whole = cells.form == "mixed-integer-float"  # such as [1, 2.5]
        objects = [int(v) if whole and float(v).is_integer() else convert(v) for v in numbers.tolist()]
        return as_objects(objects, missing)
    if isinstance(dtype, pd.PeriodDtype):
        return pd.arrays.PeriodArray(np.where(missing, np.iinfo("int64").min, numbers), dtype=dtype)  # type: ignore[arg-type]
    if isinstance(dtype, np.dtype):
        values = numbers.astype(dtype)
        if missing.any():
            values[missing] = np.nan
        return values
    array = pd.array(numbers, dtype=dtype)
    array[missing] = pd.NA
    return array


def _times(ticks: np.ndarray, missing: np.ndarray, cells: Cells) -> Any:
    nothing = np.where(missing, np.iinfo("int64").min, ticks)
    if cells.measure == "span":
        spans = pd.Series(nothing.view(f"timedelta64[{unit(cells)}]"))
        if cells.form:
            return as_objects([span.to_pytimedelta() if span is not pd.NaT else None for span in spans], missing)
        return _cast(spans, cells)
    times = pd.Series(nothing.view(f"datetime64[{unit(cells)}]"))
    if cells.form in ("date", "time"):
        return as_objects(getattr(times.dt, cells.form).tolist(), missing)
    if cells.format:
        codes, distinct = pd.factorize(times)
        texts = spell(pd.Series(distinct), cells.format).tolist()
        return take(typed(tuple(texts), cells), codes)
    if cells.form:
        aware = times.dt.tz_localize("UTC").dt.tz_convert(cells.zone) if cells.zone else times
        return as_objects([time.to_pydatetime() if time is not pd.NaT else None for time in aware], missing)
    return _cast(times, cells)


def _cast(times: pd.Series, cells: Cells) -> Any:
    dtype = dtype_from(cells.dtype)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return times.dt.tz_localize("UTC").dt.tz_convert(dtype.tz).array
    zone = getattr(getattr(dtype, "pyarrow_dtype", None), "tz", None)
    return (times.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else times).astype(dtype).array
