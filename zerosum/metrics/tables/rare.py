"""Rare categories: what generators lose first, and what averages over columns do not show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zerosum.metrics.tables.sheet import Sheet

RARE = 0.01
"""The share of the rows below which a category is rare."""


@dataclass(frozen=True)
class Rare:
    """What became of the rare categories."""

    categories: int
    """How many there are in the real table."""
    vanished: int
    """How many of them the synthetic table does not have."""
    error: float
    """|synthetic share - real share| / real share, the mean over them; 1 where all vanished. 0 where there are none."""
    by_column: dict[str, tuple[int, int]]
    """Column -> (rare categories, vanished ones)."""


def rare_categories(real: Sheet, synthetic: Sheet, below: float = RARE) -> Rare:
    """Compares the shares of categories that less than a share `below` of the real rows have."""
    errors, vanished, by_column = [], 0, {}
    for place, field in enumerate(real.fields):
        if field.levels is None:
            continue
        shares = [_shares(sheet.cells[place], len(field.levels)) for sheet in (real, synthetic)]
        rare = (shares[0] > 0) & (shares[0] < below)
        if rare.any():
            own, made = (share[rare] for share in shares)
            errors.append(np.abs(made - own) / own)
            vanished += int((made == 0).sum())
            by_column[str(field.name)] = (int(rare.sum()), int((made == 0).sum()))
    found = np.concatenate([np.zeros(0), *errors])
    return Rare(len(found), vanished, float(found.mean()) if len(found) else 0.0, by_column)


def _shares(codes: np.ndarray, levels: int) -> np.ndarray:
    """How frequent each of the categories is among all cells, missing ones counted: (levels,)."""
    return np.bincount(codes[codes >= 0], minlength=levels) / len(codes)
