"""What a column is, found out from its cells: kind, format, rounding, categories."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args

import numpy as np
import pandas as pd

from zerosum.core.errors import BadData, BadOption
from zerosum.data.tables.cells import Cells, Plain, absent, as_levels, plain, recognise
from zerosum.data.tables.columns import Categories, Column, Constant, Name, Numbers
from zerosum.data.tables.dates import FORMATS, bare, clock_format, date_format, offset, parse
from zerosum.data.tables.identifiers import Identifier, of_numbers, of_texts
from zerosum.data.tables.kinds import Kind, infer
from zerosum.data.tables.modes import Modes
from zerosum.data.tables.numeric import UNITS, read, unit

CLOCK = (86_400, 3_600, 60, 1)
"""Seconds that points in time may be multiples of."""
MOST_DECIMALS = 10
SEEN = 30
"""Distinct values from which zeros at the end are taken for rounding."""


def describe(series: pd.Series, name: Name, asked: str | None = None, most: int = 256) -> tuple[Column, list[str]]:
    """What a column is, its modes not fitted yet, and what is worth a note.

    Args:
        series: its cells.
        name: its name.
        asked: the kind that the user says it is, for dates with their format: "datetime:%d/%m/%Y".
        most: categories beyond this number share one place, the rarest ones.

    Raises:
        BadData: cells that cannot be read, or are not of the kind that was asked for.
        BadOption: no such kind.
    """
    missing = absent(series)
    cells = recognise(series, name)
    kind, form = _asked(asked, cells, name) if asked else infer(series, missing, cells, name)
    if asked and kind == "datetime" and cells.measure == "none" and not form:
        texts, codes = _texts(series)
        form = date_format(texts, codes, name) or clock_format(texts)
    if form:
        cells = Cells(cells.dtype, "time", format=form, text=True)
    present = series[~missing]
    if kind != "text" and not len(present):
        return Column(name, "constant", cells, True, _constant(series, cells, name)), [f"{name}: no cell is filled"]
    content: Any = None
    notes: list[str] = []
    if kind == "constant":
        content = _constant(series, cells, name)
    elif kind == "identifier":
        content = _identifier(present, cells, name)
        notes = [f"{name}: identifiers, made anew, not learned"]
    elif kind in ("continuous", "integer", "datetime"):
        content = _numbers(series, missing, cells, kind, name)
        notes = (_ambiguous(present, form) if asked is None else []) + _converted(present, form) if form else []
        notes = [f"{name}: {note}" for note in notes]
    elif kind != "text":
        content = _categories(series, cells, name, kind, most)
        if content.others:
            notes = [f"{name}: {len(content.others):,} rare categories share one place, drawn by how often they occur"]
    else:
        notes = [f"{name}: free text, left out"]
    return Column(name, kind, cells, bool(missing.any()), content), notes


def _asked(asked: str, cells: Cells, name: Name) -> tuple[Kind, str]:
    """The kind and the format that were asked for."""
    kind, _, form = asked.partition(":")
    if kind not in get_args(Kind):
        near = difflib.get_close_matches(kind, get_args(Kind), n=1)
        raise BadOption(
            f"--data.kinds {name}={asked}: there is no kind {kind!r}; there are {', '.join(get_args(Kind))}."
            + (f" Did you mean {near[0]}?" if near else "")
        )
    if form and (kind != "datetime" or not cells.text):
        raise BadOption(f"--data.kinds {name}={asked}: only dates that are written as text have a format.")
    if kind in ("continuous", "integer") and cells.measure not in ("int", "float"):
        raise BadData(
            f"column {name!r} is to be {kind} (--data.kinds), but holds {cells.form or cells.dtype}: no numbers."
        )
    if kind == "datetime" and not (cells.measure in ("time", "span") or cells.text):
        raise BadData(f"column {name!r} is to be datetime (--data.kinds), but holds {cells.form or cells.dtype}.")
    return kind, form  # type: ignore[return-value]


def _texts(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    codes, texts = pd.factorize(series.dropna())
    return np.asarray(texts, dtype=object), codes


def _ambiguous(present: pd.Series, form: str) -> list[str]:
    """A word about dates that could be read otherwise, as months and days can be confused."""
    texts, _ = _texts(present)
    swapped = form.replace("d", "\0").replace("m", "d").replace("\0", "m")
    if swapped == form or bare(swapped) not in FORMATS or form.startswith("%Y"):
        return []
    if parse(texts, swapped, "coerce").isna().any():
        return []
    return [f"dates read as {form}; they could be {swapped} as well (--data.kinds NAME=datetime:{swapped})"]


def _converted(present: pd.Series, form: str) -> list[str]:
    """A word about dates of other offsets from UTC than that which they will be written with."""
    apart = form.removeprefix(bare(form))
    if offset(form) is None or present.astype(str).str.endswith(apart).all():
        return []
    return [f"dates of several offsets from UTC: learned and written as {apart.strip()}"]


# -- numbers ----------------------------------------------------------------------------------------------------------


def _numbers(series: pd.Series, missing: np.ndarray, cells: Cells, kind: Kind, name: Name) -> Numbers:
    try:
        values = read(series, cells, missing)[~missing]
    except (ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadData(f"column {name!r} is to be {kind}, and cells of it are not ({reason}).") from error
    if cells.measure == "float":
        if kind == "integer" and not (values == np.rint(values)).all():
            bad = values[values != np.rint(values)][0]
            raise BadData(f"column {name!r} is to be integer (--data.kinds), but has the value {bad}.")
        single = "float32" in cells.dtype.lower() or "float16" in cells.dtype.lower()
        decimals = rounding(values.astype(np.float32).astype(np.float64) if single else values, single)
        return Numbers(Modes(float(values.min()), float(values.max())), decimals=decimals)
    origin, step = int(values.min()), step_of(values, cells)
    return Numbers(Modes(0.0, float((int(values.max()) - origin) // step)), origin, step)


def rounding(values: np.ndarray, single: bool = False) -> int | None:
    """The digits after the point to which all values (n,) are rounded, below 0 for tens, hundreds ...; None: not."""

    def rounded(part: np.ndarray, digits: int) -> bool:
        with np.errstate(over="ignore", invalid="ignore"):
            near = np.round(part, digits)
            return bool((near.astype(np.float32) == part.astype(np.float32) if single else near == part).all())

    sample = values[:: max(1, len(values) // 2000)]
    digits = next((digits for digits in range(MOST_DECIMALS + 1) if rounded(sample, digits)), None)
    while digits is not None and not rounded(values, digits):
        digits = digits + 1 if digits < MOST_DECIMALS else None
    if digits == 0 and len(np.unique(sample)) >= SEEN:
        while digits > -9 and rounded(sample, digits - 1) and rounded(values, digits - 1):
            digits -= 1
    return digits


def step_of(values: np.ndarray, cells: Cells) -> int:
    """What whole numbers or ticks (n,) are multiples of, counted from the lowest: a power of ten; days, hours,
    minutes, seconds or parts of a second.
    """
    distances = (values - values.min()).view(np.uint64)
    common = int(np.gcd.reduce(distances))
    if cells.measure in ("time", "span"):
        second = UNITS[unit(cells)]
        parts = [second // part for part in (1_000, 1_000_000) if second >= part]
        return next(step for step in (*(second * unit for unit in CLOCK), *parts, 1) if common % step == 0)
    if len(np.unique(distances[:2000])) < SEEN:
        return 1
    return max(10**power for power in range(10) if common % 10**power == 0 and int(values.min()) % 10**power == 0)


# -- categories and identifiers ---------------------------------------------------------------------------------------


def _constant(series: pd.Series, cells: Cells, name: Name) -> Constant:
    distinct = [plain(value, name) for value in pd.unique(series.dropna())]
    if len(distinct) > 1 or (distinct and series.isna().any()):
        raise BadData(
            f"column {name!r} is to be constant (--data.kinds), but its cells differ: {distinct[0]!r} and others."
        )
    return Constant(tuple(distinct), *_levels(series, name))


def _levels(series: pd.Series, name: Name) -> tuple[tuple[Plain, ...], Cells | None, bool]:
    if not isinstance(series.dtype, pd.CategoricalDtype):
        return (), None, False
    levels, level = as_levels(series.dtype, name)
    return levels, level, bool(series.dtype.ordered)


def _categories(series: pd.Series, cells: Cells, name: Name, kind: Kind, most: int) -> Categories:
    codes, distinct = pd.factorize(series)
    values = [plain(value, name) for value in distinct]
    if kind == "boolean" and len(values) > 2:
        raise BadData(f"column {name!r} is to be boolean (--data.kinds), but has {len(values):,} different values.")
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    levels, level, ordered = _levels(series, name)
    places = {value: place for place, value in enumerate(levels)}
    try:
        order = sorted(range(len(values)), key=lambda index: places[values[index]] if places else values[index])  # type: ignore[arg-type, return-value]
    except TypeError as error:
        raise BadData(
            f"column {name!r} mixes types, such as {values[0]!r} and {values[-1]!r}; make it one type."
        ) from error
    rare: set[int] = set()
    if len(values) > most:
        rare = set(sorted(order, key=lambda index: -counts[index])[most - 1 :])
    kept, others = [i for i in order if i not in rare], [i for i in order if i in rare]
    own, shared = (tuple(values[index] for index in part) for part in (kept, others))
    return Categories(own, shared, tuple(int(counts[index]) for index in others), levels, level, ordered)


def _identifier(present: pd.Series, cells: Cells, name: Name) -> Identifier:
    values: Iterable[Any] = pd.unique(present)
    found = None
    if cells.measure == "int" and cells.form in ("", "integer"):
        found = of_numbers([int(value) for value in values])
    elif cells.form == "uuid":
        found = Identifier("uuid")
    elif cells.text:
        texts = [str(value) for value in values]
        found = of_texts(texts)
    if found is None:
        shape = "whole numbers, or text of one form such as C-0017 or a uuid"
        raise BadData(
            f"column {name!r} is to be an identifier (--data.kinds), but is not {shape}: leave it out "
            f"(--data.drop {name}), or use its values as they are (--data.kinds {name}=categorical)."
        )
    return found
