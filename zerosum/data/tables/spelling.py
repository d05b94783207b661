"""Numbers as text files spell them, read and written: decimal signs, digits, thousands, currencies, per cent."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from zerosum.data.tables.cells import absent

ZEROS = r"^[+-]?0[0-9]"
"""Numbers that begin with a zero are names, such as postal codes."""
COMMA = r"^-?[0-9]+(,[0-9]+)?$"
MARKED = re.compile(
    r"[+-]?(?P<before>(?:US|A|C|R|NZ|HK)?[$€£¥₹] ?)?[0-9](?:[0-9.,' \u00a0\u202f]*[0-9])?"
    r"(?P<after>[ \u00a0\u202f]?[%€£₽])?"
)
"""Numbers with what may stand around them: signs of currencies and per cent."""
GROUPED = ((",", r"\."), (".", ","), ("'", r"\."), (" ", "[.,]"), ("\u00a0", "[.,]"), ("\u202f", "[.,]"))
"""Signs between groups of three digits, and the decimal signs that go with them."""


@dataclass(frozen=True)
class Marks:
    """What the numbers of a column are written with."""

    before: str = ""
    """Such as $; a minus stands before it."""
    after: str = ""
    """Such as %, and a space before it where there is one."""
    thousands: str = ""
    """Between groups of three digits."""


@dataclass(frozen=True)
class Typed:
    """A column of a text file, and its habits."""

    series: pd.Series
    digits: int | None = None
    """After the point, as `Dialect` counts them; None: no habit."""
    comma: bool = False
    """Whether the decimal sign is a comma."""
    marks: Marks = Marks()


def numbers(texts: pa.ChunkedArray, separator: str) -> Typed | None:
    """A column of text that holds numbers alone; None: it holds others too, or names that look like numbers."""
    plain, marks = _unmarked(texts, separator)
    comma = separator != "," and every(plain, COMMA) and _any(plain, ",")
    plain = pc.replace_substring(plain, ",", ".") if comma else plain
    if pc.any(pc.match_substring_regex(plain, ZEROS)).as_py():
        return None
    for kind in (pa.int64(), pa.float64()):
        try:
            plain.slice(0, 1000).cast(kind)  # to fail early: it takes as long as to succeed
            values = plain.cast(kind)
        except pa.ArrowInvalid:
            continue
        if kind == pa.float64() and every(plain, r"^[+-]?[0-9]+$"):
            return None  # whole numbers beyond 64 bits, which floats would round: names
        digits = None if kind == pa.int64() else _digits(plain)
        mapper: Any = {pa.int64(): pd.Int64Dtype()}.get if values.null_count and kind == pa.int64() else None
        return Typed(values.to_pandas(types_mapper=mapper), digits, comma, marks)
    return None


def _unmarked(texts: pa.ChunkedArray, separator: str) -> tuple[pa.ChunkedArray, Marks]:
    """Numbers without what stands around and within them, if all are written so."""
    found = MARKED.fullmatch(texts.drop_null()[0].as_py())
    if not found:
        return texts, Marks()
    numbers, before, after = texts, found["before"] or "", found["after"] or ""
    if before or after:
        if not every(texts, rf"^[+-]?{_literal(before)}[0-9]([0-9.,' \x{{00a0}}\x{{202f}}]*[0-9])?{_literal(after)}$"):
            return texts, Marks()
        for mark in (before, after):
            numbers = pc.replace_substring(numbers, mark, "") if mark else numbers
    for sign, decimal in GROUPED:
        group = _literal(sign)
        if not _any(numbers, sign) or not every(numbers, rf"^[+-]?[0-9]{{1,3}}({group}[0-9]{{3}})*({decimal}[0-9]+)?$"):
            continue
        if sign == "," == separator or (_told(numbers, sign, decimal) and _uneven(numbers)):
            return pc.replace_substring(numbers, sign, ""), Marks(before, after, sign)
    return numbers, Marks(before, after)


def _literal(text: str) -> str:
    """A pattern of exactly this text."""
    return "".join(f"[{sign}]" for sign in text)


def _told(numbers: pa.ChunkedArray, sign: str, decimal: str) -> bool:
    """Whether groups cannot be fractions, as in 1,234 alone; 1,234,567 and 1,234.5 are none."""
    group = _literal(sign)
    return sign not in ",." or bool(
        pc.any(pc.match_substring_regex(numbers, rf"{group}[0-9]{{3}}({group}|{decimal})")).as_py()
    )


def _uneven(texts: pa.ChunkedArray) -> bool:
    """Whether cells differ in length; those of telephone numbers and the like do not."""
    span = pc.min_max(pc.utf8_length(texts)).as_py()
    return bool(span["min"] < span["max"])


def _any(texts: pa.ChunkedArray, sign: str) -> bool:
    """Whether a sign is in any cell."""
    return bool(pc.any(pc.match_substring(texts, sign)).as_py())


def every(texts: pa.ChunkedArray, pattern: str) -> bool:
    """Whether all cells that are there match."""
    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _digits(texts: pa.ChunkedArray) -> int | None:
    """How many digits after the point all numbers have; 0: some have no point; None: neither."""
    lengths = pc.utf8_length(pc.replace_substring_regex(texts, r"^[+-]?[0-9]*\.", ""))
    span = pc.min_max(lengths).as_py()
    if span["min"] == span["max"] and every(texts, r"^[+-]?[0-9]*\.[0-9]+$"):
        return int(span["min"])
    return 0 if bool(pc.any(pc.match_substring_regex(texts, "^[+-]?[0-9]+$")).as_py()) else None


def spell(series: pd.Series, digits: int | None, marks: Marks, decimal: str) -> np.ndarray:
    """Numbers as text (n,) of objects, None where one is missing."""
    missing = absent(series)
    whole = pd.api.types.is_integer_dtype(series.dtype)
    values = series.to_numpy(dtype="int64", na_value=0) if whole else series.to_numpy(dtype="float64", na_value=np.nan)
    form = ("," if marks.thousands else "") + (f".{digits}f" if digits else "")
    signs = str.maketrans({",": marks.thousands, ".": decimal})

    def one(value: float) -> str:
        text = format(abs(value), form)
        text = text.removesuffix(".0") if digits == 0 else text
        minus = "-" if math.copysign(1, value) < 0 else ""
        return f"{minus}{marks.before}{text.translate(signs)}{marks.after}"

    texts = np.array([one(value) for value in values.tolist()], dtype=object)
    texts[missing] = None
    return texts
