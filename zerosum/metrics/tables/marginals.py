"""What private synthetic tables must be better than: noisy counts of single columns, or of each column with the target.

The Gaussian mechanism (Dwork and Roth 2014, The Algorithmic Foundations of Differential Privacy, appendix A) on all
counts at once. With the target, columns are independent of each other given its value: a tree of pairs whose shape is
chosen without looking, and so costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from zerosum.core.errors import BadOption
from zerosum.core.randomness import derive
from zerosum.core.settings import Auto
from zerosum.data.tables.columns import Column, Name
from zerosum.data.tables.encoding import TableEncoding
from zerosum.training.accounting import Accountant, noise_for, usual_delta
from zerosum.training.private import nearest_counts

CELLS = 48
"""Stretches that a column of numbers is cut into, about: as many in each of its modes."""


@dataclass(frozen=True)
class States:
    """A column as one of several states: its category, or a stretch of one of its modes."""

    column: Column
    modes: int
    stretches: int

    @classmethod
    def of(cls, column: Column) -> States:
        """The states of a column that has some."""
        modes = max(column.choices, 1)
        return cls(column, modes, max(CELLS // modes, 2) if column.scalar else 1)

    def __len__(self) -> int:
        return self.modes * self.stretches

    def read(self, place: np.ndarray | None, choice: np.ndarray | None) -> np.ndarray:
        """States (n,) of places in [-1, 1] (n,) and choices (n,); without a choice the first."""
        state = np.zeros(len(choice if choice is not None else place), np.int64)  # type: ignore[arg-type]
        if choice is not None:
            state += np.maximum(choice, 0).astype(np.int64) * self.stretches
        if place is not None:
            state += ((place + 1.0) / 2.0 * self.stretches).astype(np.int64).clip(0, self.stretches - 1)
        return state

    def write(self, state: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places (n,), evenly within their stretch by u (n,) in [0, 1), and choices (n,)."""
        choice, stretch = np.divmod(state, self.stretches)
        return (stretch + u) / self.stretches * 2.0 - 1.0, choice


class NoisyMarginals:
    """Counts of all columns, or of all pairs with one column, with noise; rows are drawn from these.

    It is (epsilon, delta)-differentially private for single rows, one added or taken away. Their number and the
    encoding are public.

    Args:
        epsilon: what is spent.
        around: the column that pairs are made with, such as the target; None: every column is drawn by itself.
        delta: auto: 1 / (n sqrt(n)).
        accountant: how epsilon is counted.

    Attributes:
        noise: standard deviation of the noise in units of the norm of a row's counts.
        tables: of each column but `around` the counts (states of `around` or 1, states), none below 0.
        centre: the counts of `around` (states,).
    """

    encoding: TableEncoding
    noise: float
    tables: list[np.ndarray]
    centre: np.ndarray

    def __init__(
        self, epsilon: float, around: Name | None = None, delta: float | Auto = "auto", accountant: Accountant = "rdp"
    ):
        self.epsilon, self.around, self.delta, self.accountant = epsilon, around, delta, accountant

    def fit(self, frame: pd.DataFrame, encoding: TableEncoding, seed: int = 0) -> NoisyMarginals:
        """Counts the rows of a frame and adds noise; returns itself.

        Args:
            seed: of the noise; whoever knows it can take the noise off.

        Raises:
            BadOption: `around` is no column that is learned.
        """
        self.encoding = encoding
        self.states = [States.of(column) for column in encoding.decoded if column.scalar or column.choices]
        names = [own.column.name for own in self.states]
        if self.around is not None and self.around not in names:
            raise BadOption(f"no column {self.around!r} is learned; there are {', '.join(map(repr, names[:20]))}.")
        codes = self._codes(frame)
        self.place = None if self.around is None else names.index(self.around)
        rest = [number for number in range(len(names)) if number != self.place]
        delta = usual_delta(len(frame)) if self.delta == "auto" else self.delta
        self.noise = noise_for(self.epsilon, delta, 1.0, 1, self.accountant)
        draw = np.random.default_rng(derive(seed, "noisy marginals"))
        groups, k = (codes[self.place], len(self.states[self.place])) if self.place is not None else (0, 1)
        spread = self.noise * max(len(rest), 1) ** 0.5  # a row is counted once in each table
        self.tables = []
        for number in rest:
            size = len(self.states[number])
            counts = np.bincount(groups * size + codes[number], minlength=k * size)
            noisy = torch.from_numpy(counts + spread * draw.standard_normal(k * size))
            self.tables.append(nearest_counts(noisy, len(frame)).numpy().reshape(k, size))
        self.centre = np.mean([table.sum(axis=1) for table in self.tables], axis=0) if self.tables else np.ones(k)
        return self

    def _codes(self, frame: pd.DataFrame) -> list[np.ndarray]:
        """Of each column its states (n,)."""
        scalars, choices = (tensor.numpy() for tensor in self.encoding.compact(frame))
        codes, scalar, choice = [], 0, 0
        for own in self.states:
            has = own.column.scalar, own.column.choices > 0
            codes.append(own.read(scalars[:, scalar] if has[0] else None, choices[:, choice] if has[1] else None))
            scalar, choice = scalar + has[0], choice + has[1]
        return codes

    def sample(self, n: int, seed: int = 0) -> pd.DataFrame:
        """n rows with the columns and dtypes of the frame, free text left out. Raises BadOption where n is below 1."""
        if n < 1:
            raise BadOption(f"{n} rows were asked for; at least 1 can be made.")
        draw = np.random.default_rng(derive(seed, "rows of noisy marginals"))
        group = draw.choice(len(self.centre), n, p=self.centre / self.centre.sum())
        tables = iter(self.tables)
        layout = self.encoding.layout
        scalars, choices = np.zeros((n, len(layout.scalars)), np.float32), np.zeros((n, len(layout.choices)), np.int64)
        scalar = choice = 0
        for number, own in enumerate(self.states):
            state = group if number == self.place else drawn(next(tables), group * (self.place is not None), draw)
            place, chosen = own.write(state, draw.random(n))
            if own.column.scalar:
                scalars[:, scalar] = place
                scalar += 1
            if own.column.choices:
                choices[:, choice] = chosen
                choice += 1
        return self.encoding.restore(torch.from_numpy(scalars), torch.from_numpy(choices), seed=seed)


def drawn(table: np.ndarray, group: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """States (n,), each from the row of counts (k, states) that its group (n,) names; alike where these are all 0."""
    weights = np.where(table.sum(axis=1, keepdims=True) > 0, table, 1.0)
    ends = np.cumsum(weights, axis=1)
    ends /= ends[:, -1:]
    # The ends of group g lie between g and g + 1.
    where = np.searchsorted(
        (ends + np.arange(len(ends))[:, None]).ravel(), group + draw.random(len(group)), side="right"
    )
    return np.minimum(where - group * table.shape[1], table.shape[1] - 1)
