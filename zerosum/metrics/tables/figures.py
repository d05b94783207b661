"""What a page draws of a table: histograms of real and synthetic cells, and distances to the closest records."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

from zerosum.data.tables.columns import Column, Numbers
from zerosum.data.tables.constraints import spelled
from zerosum.data.tables.numeric import UNITS, unit
from zerosum.metrics.tables.sheet import Sheet

BINS = 24
BARS = 10
"""Categories that are drawn of a column, the most frequent real ones; the rest is one bar."""
TAIL = 0.005
"""The share of the real cells at either end that the outer bins hold with all that lies beyond."""


def histogram(real: Sheet, synthetic: Sheet, place: int) -> dict[str, Any]:
    """Shares of a column's cells in bins or categories.

    Returns:
        "real" and "synthetic": shares among all cells; "missing": the two shares of missing ones; "labels": names of
        the bars of a category, or "edges": one more than bins of numbers, with "times" where these are seconds since
        1970, "spans" where they are seconds, "whole" where they lie between whole numbers.
    """
    sheets = (real, synthetic)
    missing = [float(sheet.missing(place).mean()) for sheet in sheets]
    found = _bars(sheets, place) if real.fields[place].levels is not None else _bins(sheets, place)
    return found | {"missing": [round(share, 6) for share in missing]}


def _bars(sheets: tuple[Sheet, Sheet], place: int) -> dict[str, Any]:
    field = sheets[0].fields[place]
    assert field.levels is not None
    shares = [_shares(sheet.cells[place], len(field.levels)) for sheet in sheets]
    order = np.argsort(-shares[0], kind="stable")
    shown = order if len(order) <= BARS + 1 else order[:BARS]
    if field.ordered:
        shown = np.sort(shown)
    labels = [spelled(field.levels[level]) for level in shown]
    heights = [share[shown].tolist() for share in shares]
    if len(shown) < len(order):
        labels.append(f"{len(order) - len(shown):,} others")
        for own, share in zip(heights, shares):
            own.append(float(share.sum() - share[shown].sum()))
    return {"labels": labels, "real": _rounded(heights[0]), "synthetic": _rounded(heights[1])}


def _bins(sheets: tuple[Sheet, Sheet], place: int) -> dict[str, Any]:
    column = sheets[0].fields[place].column
    present = [sheet.cells[place][~sheet.missing(place)] for sheet in sheets]
    reference = present[0] if len(present[0]) else np.concatenate([*present, np.zeros(1)])
    low, high = np.quantile(reference, [TAIL, 1 - TAIL])
    if high <= low:
        low, high = reference.min(), reference.max()
    if high <= low:
        low, high = low - 0.5 * max(abs(low), 1.0), high + 0.5 * max(abs(high), 1.0)
    edges = np.linspace(low, high, BINS + 1)
    if _whole(column):
        width = np.ceil((high - low + 1) / BINS)  # each bin holds equally many whole numbers
        edges = np.arange(np.floor(low) - 0.5, high + width, width)
    heights: list[list[float]] = []
    for own, sheet in zip(present, sheets):
        counts = np.bincount(np.digitize(own, edges[1:-1]), minlength=len(edges) - 1)
        heights.append(_rounded((counts / len(sheet)).tolist()))
    return {"real": heights[0], "synthetic": heights[1], **_scale(edges, column)}


def _whole(column: Column) -> bool:
    """Whether a column holds whole numbers alone."""
    decimals = getattr(column.content, "decimals", None)
    return column.cells.measure == "int" or (decimals is not None and decimals <= 0)


def _scale(edges: np.ndarray, column: Column) -> dict[str, Any]:
    assert isinstance(column.content, Numbers)
    edges = edges + column.content.origin
    if column.cells.measure not in ("time", "span"):
        whole = {"whole": True} if _whole(column) else {}
        return {"edges": [float(f"{edge:.8g}") for edge in edges], **whole}
    seconds = (edges / UNITS[unit(column.cells)]).tolist()
    return {"edges": seconds, "times" if column.cells.measure == "time" else "spans": True}


def _shares(codes: np.ndarray, levels: int) -> np.ndarray:
    return np.bincount(codes[codes >= 0], minlength=levels) / len(codes)


def _rounded(shares: list[float]) -> list[float]:
    return [round(share, 6) for share in shares]


def day(seconds: float) -> str:
    """Seconds since 1970 as a date."""
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return moment.date().isoformat()


def quantiles(distances: np.ndarray) -> list[float]:
    """The 0 %, 1 % ... 100 % quantiles of distances (n,)."""
    return [round(float(value), 6) for value in np.quantile(distances, np.linspace(0, 1, 101))]
