"""Does a synthetic table give training rows away? Judged against held-out rows, which cannot be given away.

A held-out table has to come from the same source as the training rows, split by chance. zerosum splits by the content
of rows, so that no content is on both sides; of either side equally many *different* rows are compared, as otherwise
rows that occur often, and so sit in one table alone, would look like copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zerosum.metrics.tables.audit import Attack, attack
from zerosum.metrics.tables.distances import Space, mutual_nearest
from zerosum.metrics.tables.sheet import Sheet, group

CANDIDATES = 5_000
"""Different rows of the training and of the held-out table at most, drawn at random, between which is compared."""
SYNTHETIC = 30_000
"""Synthetic rows at most."""
DIGITS = 100_000
"""Floats that are not rounded count as equal where they agree to this part of the training rows' range."""


@dataclass(frozen=True)
class Closest:
    """Distances from synthetic rows to the closest records, and an attack that uses them."""

    n: int
    """Different training rows, and different held-out rows, that were compared."""
    synthetic: int
    """Synthetic rows."""
    nearer_train: float
    """The share of synthetic rows that are nearer to a training row than to a held-out one, ties halved; 0.5 where
    training rows are not given away.
    """
    train: np.ndarray
    """Distances (synthetic,) to the closest training row, ascending, each in [0, 1]."""
    test: np.ndarray
    """The same to the closest held-out row."""
    attack: Attack
    """Membership inference: is a row nearer to the synthetic rows if it was trained on?"""


def closest_records(train: Sheet, test: Sheet, synthetic: Sheet, seed: int = 0) -> Closest:
    """Distances between at most 30,000 synthetic rows and at most 5,000 different rows of either real table.

    Distances are those of `zerosum.metrics.tables.distances`. Takes O(rows) memory.
    """
    members, others = distinct_rows(train, test, seed)
    some = synthetic.sample(SYNTHETIC, seed, "privacy", "synthetic")
    space = Space.of(train)
    made = space.points(some)
    (to_train, from_members), (to_test, from_others) = (
        mutual_nearest(made, space.points(side)) for side in (members, others)
    )
    nearer = float((to_train < to_test).mean() + 0.5 * (to_train == to_test).mean())
    audit = attack(-from_members, -from_others, seed)
    return Closest(len(members), len(some), nearer, np.sort(to_train), np.sort(to_test), audit)


def distinct_rows(train: Sheet, test: Sheet, seed: int) -> tuple[Sheet, Sheet]:
    """Equally many different rows of either table, drawn at random; rows of the one that the other has, too, are none.
    Where nothing is left of one of them, both are empty.
    """
    cells = [np.concatenate(pair) for pair in zip(train.cells, test.cells)]
    rows = group(cells)
    own, held = np.unique(rows[: len(train)], return_index=True), np.unique(rows[len(train) :], return_index=True)
    only = np.sort(own[1][~np.isin(own[0], held[0])]), np.sort(held[1][~np.isin(held[0], own[0])])
    n = min(len(only[0]), len(only[1]), CANDIDATES)
    sides = train.rows(only[0]), test.rows(only[1])
    return sides[0].sample(n, seed, "privacy", "train"), sides[1].sample(n, seed, "privacy", "test")


@dataclass(frozen=True)
class Copies:
    """Rows that are equal to a training row in every column that is learned."""

    count: int
    """Synthetic rows of which a training row is equal."""
    expected: float
    """How many there would be by chance. Where tables are split by content, the synthetic rows that are equal to a
    held-out row, times the number of different training rows for each different held-out row; else as large a share
    as of the held-out rows.
    """
    held_out: int
    """Held-out rows of which a training row is equal; 0 where tables are split by content."""
    synthetic: int
    """All synthetic rows."""


def exact_copies(train: Sheet, test: Sheet, synthetic: Sheet) -> Copies:
    """Counts copies over all rows of the three sheets.

    Floats without a fixed number of decimals are equal where they agree to 1/100,000 of the training rows' range, as
    encoding keeps about seven digits.
    """
    sizes = [len(train), len(test), len(synthetic)]
    columns = []
    for place, field in enumerate(train.fields):
        cells = np.concatenate([sheet.cells[place] for sheet in (train, test, synthetic)])
        exact = not field.number or field.column.cells.measure != "float" or _decimals(train, place) is not None
        columns.append(cells if exact else _rounded(cells, train.cells[place]))
    own, held, made = np.split(group(columns), np.cumsum(sizes)[:-1])
    shared = int(np.isin(held, own).sum())
    expected = shared / len(held) * len(made)
    if not shared:
        expected = float(np.isin(made, held).sum()) * len(np.unique(own)) / len(np.unique(held))
    return Copies(int(np.isin(made, own).sum()), expected, shared, len(made))


def _decimals(sheet: Sheet, place: int) -> int | None:
    return getattr(sheet.fields[place].column.content, "decimals", None)


def _rounded(cells: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Cells as whole parts of the reference's range."""
    there = reference[~np.isnan(reference)]
    span = float(np.ptp(there)) if len(there) else 0.0
    return np.rint(cells * (DIGITS / span)) if span > 0 else cells
