"""Which kind a column is of, from what is in it."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
import pandas as pd

from zerosum.core.errors import BadData
from zerosum.data.tables.cells import Cells, first
from zerosum.data.tables.dates import clock_format, date_format
from zerosum.data.tables.identifiers import NAMED, UUID, of_texts

Kind = Literal[
    "continuous", "integer", "categorical", "ordinal", "boolean", "datetime", "identifier", "text", "constant"
]
"""Kinds of columns. Text is left out; constants and identifiers are made again without being learned."""
FEW = 20
"""Numbers with at most this many distinct values are categories in order, where each occurs about `OFTEN` times."""
OFTEN = 5
ENOUGH = 20
"""Rows below which nothing is taken for an identifier or for free text."""
CODES = re.compile(r"(^|[_\W])(zip|post|postal)[ _-]?codes?$|^zip$|^plz$", re.IGNORECASE)
"""Names of columns whose whole numbers are names of places."""
WORDS = 6
"""Words a cell from which rarely repeated text is free text."""


def infer(series: pd.Series, missing: np.ndarray, cells: Cells, name: Any) -> tuple[Kind, str]:
    """The kind of a column, and the format of dates that are written as text (else "").

    Raises:
        BadData: numbers or dates that some cells spoil.
    """
    present = series[~missing]
    codes, distinct = pd.factorize(present)
    if len(distinct) == 0 or (len(distinct) == 1 and not missing.any()):
        return "constant", ""
    if isinstance(series.dtype, pd.CategoricalDtype):
        return ("ordinal" if series.dtype.ordered else "categorical"), ""
    if cells.form == "time" and len(distinct) <= FEW:
        return "categorical", ""
    if cells.measure in ("time", "span") or isinstance(series.dtype, pd.PeriodDtype):
        return "datetime", ""
    if cells.measure != "none":
        return _of_numbers(present, distinct, cells, name), ""
    if not cells.text and cells.form != "uuid":
        return "boolean", ""
    return _of_texts(codes, distinct.astype(str), name)


def _of_numbers(present: pd.Series, distinct: Any, cells: Cells, name: Any) -> Kind:
    values = np.asarray(distinct.astype("float64"))
    whole = bool((values == np.rint(values)).all())
    if whole and cells.measure == "int" and len(values) == len(present) >= ENOUGH:
        ordered = np.asarray(present.astype("float64"))
        counted = bool((np.diff(ordered) == 1).all()) and (ordered[0] in (0, 1) or len(values) > 200)
        if counted or NAMED.search(str(name)):
            return "identifier"
    if len(values) <= FEW and len(present) >= OFTEN * len(values):
        return "ordinal" if len(values) > 2 else "categorical"
    if whole and CODES.search(str(name)) and len(present) >= OFTEN * len(values):
        return "categorical"
    return "integer" if whole else "continuous"


def _of_texts(codes: np.ndarray, distinct: Any, name: Any) -> tuple[Kind, str]:
    texts = np.asarray(distinct, dtype=object)
    if form := date_format(texts, codes, name) or (clock_format(texts) if len(texts) > FEW else ""):
        return "datetime", form
    different = len(texts) == len(codes) >= ENOUGH
    if different and of_texts(texts.tolist()):
        return "identifier", ""
    if len(texts) >= ENOUGH and all(UUID.fullmatch(text) for text in texts):
        return "identifier", ""
    _unmixed(texts, codes, name)
    rare = len(texts) > max(50, len(codes) / 2)
    words = np.mean([text.count(" ") + 1 for text in texts[:1000]])
    if different or rare or (words >= WORDS and len(texts) > max(50, len(codes) / 10)):
        return "text", ""
    return "categorical", ""


def _unmixed(texts: np.ndarray, codes: np.ndarray, name: Any) -> None:
    """Refuse columns of numbers in which a few texts stand: a defect of the file, most of the time."""
    sample = texts[:2000]
    if np.mean([text[-1:].isdigit() for text in sample]) < 0.5:
        return
    parsed = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").notna().to_numpy()
    if FEW < parsed.sum() < len(texts) and parsed.mean() > 0.5:
        row = first(~parsed[codes])
        raise BadData(
            f"column {name!r} mixes {int(parsed.sum()):,} different numbers with text, such as {texts[~parsed][0]!r} "
            f"(cell {row} of those that are there). If it means a missing cell: --data.missing {texts[~parsed][0]!r}; "
            f"if the numbers are names: --data.kinds {name}=categorical."
        )
