"""Dates and times of day that are written as text: in which format, read and written exactly so."""

from __future__ import annotations

import datetime
import re
import sys
from typing import Any

import numpy as np
import pandas as pd

from zerosum.core.errors import BadData

DATE = re.compile(r"(\d{1,4}|[A-Za-z]{3,9})[-/. ](\d{1,2}|[A-Za-z]{3,9})[-/., ]+\d{1,4}|\d{8}T")
DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%-d.%-m.%Y",
    "%-d/%-m/%Y", "%-m/%-d/%Y", "%d %b %Y", "%-d %b %Y", "%d-%b-%Y", "%d %B %Y", "%-d %B %Y", "%b %d, %Y", "%B %d, %Y",
    "%B %-d, %Y", "%d/%m/%y", "%m/%d/%y", "%-m/%-d/%y",
)  # fmt: skip
TIMES = (
    "", " %H:%M:%S", "T%H:%M:%S", " %H:%M", "T%H:%M:%SZ", "T%H:%M", " %H:%M:%S.%f", "T%H:%M:%S.%f", "T%H:%M:%S.%fZ",
    " %H:%M:%S.%3f", "T%H:%M:%S.%3f", "T%H:%M:%S.%3fZ", " %-H:%M", " %I:%M:%S %p", " %I:%M %p", " %-I:%M:%S %p",
    " %-I:%M %p",
)  # fmt: skip
FORMATS = tuple(date + time for time in TIMES for date in DATES) + ("%Y%m%dT%H%M%S",)
"""Formats of dates in the language of `strftime`; %-d is the day without a leading zero, %3f milliseconds. An offset
from UTC may follow them, as it is written: %Y-%m-%dT%H:%M:%S+02:00. Cells of other offsets are read all the same."""
OFFSET = re.compile(r"(?<=\d:\d\d)(?P<parts>[:.\d]*)(?P<offset> ?[+-]\d\d:?\d\d)$")
ENDING = re.compile(r"(?P<gap> ?)(?P<offset>[+-]\d\d:?\d\d)$")
CLOCK = re.compile(r"\d{1,2}:\d\d")
CLOCKS = (
    "%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%H:%M:%S.%3f", "%-H:%M:%S", "%-H:%M", "%I:%M:%S %p", "%I:%M %p",
    "%-I:%M:%S %p", "%-I:%M %p",
)  # fmt: skip
"""Formats of times of day."""
MIDNIGHT = pd.Timestamp("1900-01-01")
"""Where times of day are counted from, as pandas does."""


def date_format(texts: np.ndarray, codes: np.ndarray, name: Any) -> str:
    """The format that distinct texts are dates in, exactly as written; "" where they are no dates.

    Raises:
        BadData: most are dates of one format, the others are not.
    """
    if not _mostly(DATE, texts):
        return ""
    if apart := _offsets(texts):
        form = date_format(np.array([OFFSET.sub(r"\g<parts>", text) for text in texts], dtype=object), codes, name)
        return form and form + (apart[0] if len(apart) == 1 else re.sub("[+-]", "+", re.sub(r"\d", "0", apart[0])))
    sample = _sample(texts)
    shares = {form: share for form in FORMATS if (share := _written_so(sample, form).mean()) >= 0.5}
    if not shares:
        return ""
    form = max(shares, key=lambda form: shares[form])
    good = {other: _written_so(texts, other) for other in shares if shares[other] == shares[form]}
    form = max(good, key=lambda form: good[form].mean())
    if good[form].all():
        return form
    bad = texts[~good[form]][0]
    raise BadData(
        f"column {name!r} has dates in several formats: {texts[good[form]][0]!r} is {form}, but {bad!r} "
        f"(cell {int(np.argmax(~good[form][codes])) + 1} of those that are there) is not. Write all in one way, or use "
        f"them as names: --data.kinds {name}=categorical."
    )


def clock_format(texts: np.ndarray) -> str:
    """The format that all of distinct texts are times of day in; "" where they are none."""
    if not _mostly(CLOCK, texts):
        return ""
    likely = (form for form in CLOCKS if _written_so(_sample(texts), form).all())
    return next((form for form in likely if _written_so(texts, form).all()), "")


def is_clock(form: str) -> bool:
    """Whether it is the format of times of day, of no date."""
    return bool(form) and not re.search("%-?[dmbByYj]", form)


def offset(form: str) -> datetime.tzinfo | None:
    """The offset from UTC with which a format ends, if any."""
    found = ENDING.search(form)
    return datetime.datetime.strptime(found["offset"], "%z").tzinfo if found else None


def bare(form: str) -> str:
    """A format without the offset."""
    return ENDING.sub("", form)


def _sample(texts: np.ndarray) -> np.ndarray:
    return texts[:: max(1, len(texts) // 100)]


def _mostly(pattern: re.Pattern[str], texts: np.ndarray) -> bool:
    return bool(np.mean([bool(pattern.match(text)) for text in _sample(texts)]) >= 0.5)


def _offsets(texts: np.ndarray) -> list[str]:
    """The offsets from UTC that follow the times in all texts; nothing where some have none."""
    found = [OFFSET.search(text) for text in texts]
    return sorted({one["offset"] for one in found if one}) if all(found) else []


def _written_so(texts: np.ndarray, form: str) -> np.ndarray:
    """Which texts are dates written in exactly this format: bool (n,)."""
    times = parse(texts, form, "coerce")
    good = times.notna().to_numpy(copy=True)
    if good.any():
        good[good] = spell(times[good], form) == texts[good]
    return good


def parse(texts: np.ndarray, form: str, errors: str = "raise") -> pd.Series:
    """Points in time (n,) that texts of a format tell, at its offset from UTC.

    Raises ValueError for text of another format.
    """
    cells, zone = pd.Series(texts, dtype=object), offset(form)
    if zone is None:
        return pd.to_datetime(cells, format=parsing(form), errors=errors)  # type: ignore[call-overload, no-any-return]
    times = pd.to_datetime(cells, format=ENDING.sub(r"\g<gap>%z", parsing(form)), errors=errors, utc=True)  # type: ignore[call-overload]
    return times.dt.tz_convert(zone).dt.tz_localize(None)  # type: ignore[no-any-return]


def parsing(form: str) -> str:
    """The format as pandas reads it."""
    return form.replace("%-", "%").replace("%3f", "%f")


def spell(times: pd.Series, form: str) -> np.ndarray:
    """Points in time as text (n,) of objects."""
    form = form.replace("%-", "%#") if sys.platform == "win32" else form
    texts = times.dt.strftime(form.replace("%3f", "%f")).to_numpy(dtype=object)
    if "%3f" in form:
        texts = np.array([re.sub(r"(\.\d{3})\d{3}(Z?)$", r"\1\2", text) for text in texts], dtype=object)
    return texts
