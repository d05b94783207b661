"""The artifact of imputation: fills in the missing cells of tables, with the best guess or with draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from zerosum.core import randomness
from zerosum.core.errors import BadData, BadOption
from zerosum.core.latents import Latent
from zerosum.data.cells import absent
from zerosum.data.columns import Categories, Column, Name, Numbers
from zerosum.data.constraints import Constraint
from zerosum.data.frames import as_frame
from zerosum.data.identifiers import Identifier
from zerosum.data.spec import Spec
from zerosum.data.table_encoding import TableEncoding
from zerosum.networks.imputation import Filler, Guess
from zerosum.training.arena import has_bf16
from zerosum.training.generator import Given, TrainedGenerator

ROWS = 2_048
"""Rows that the network fills in at once."""


class Imputer(TrainedGenerator):
    """A generator that fills in what is missing in rows. What it makes from noise alone are rows, all cells of which
    were missing.

    Args:
        network: guesses cells.
        latent: the distribution of z.
        spec: of the rows.
    """

    example = 'import zerosum\n\nwhole = zerosum.load("this/folder").impute(frame)'
    network: Filler

    def __init__(self, network: nn.Module, latent: Latent, spec: Spec):
        super().__init__(network, latent, spec)

    @property
    def at_once(self) -> int:
        """Rows filled in at once."""
        return ROWS

    @property
    def table(self) -> TableEncoding:
        """The encoding. Raises BadOption where there is none."""
        if not isinstance(self.encoding, TableEncoding):
            raise BadOption("this imputer has no encoding, so that it knows no tables: load it from its folder.")
        return self.encoding

    # -- rows ---------------------------------------------------------------------------------------------------------

    def synthesise(self, w: Tensor, given: Given | None = None) -> Tensor:
        """Rows (n, d) from z, all of whose cells are drawn; `given` may hold {"row": (n, d)} and {"visible": bool
        (n, c)}, which cells of these are not to be.
        """
        given = given or {}
        rows, visible, u = given.get("row"), given.get("visible"), given.get("u")
        cells = len(self.network.cells)
        if rows is None:
            rows = torch.zeros(len(w), self.spec.shape[0], device=w.device)
        if visible is None:
            visible = torch.zeros(len(w), cells, dtype=torch.bool, device=w.device)
        if u is None:
            u = torch.rand(len(w), 3, cells, device=w.device)
        with torch.autocast(w.device.type, torch.bfloat16, enabled=has_bf16(w.device)):
            return self.network(rows, visible, w, u)

    @torch.no_grad()
    def tensors(
        self, n: int, *, given: Given | None = None, seed: int = 0, truncation: float = 1.0, batch: int | None = None
    ) -> Iterator[Tensor]:
        """Encoded rows (m, d) in batches, all cells drawn, on the imputer's device; the same for the same seed, n and
        batch. Raises BadOption where anything is asked of them.
        """
        if given:
            raise BadOption("an imputer draws rows without conditions: give it a table, `impute(frame)`.")
        size = batch or self.at_once
        z = self.latent.draw(n, randomness.generator("cpu", seed, "z"))
        u = self._uniform(n, seed)
        for start in range(0, n, size):
            piece = slice(start, start + size)
            yield self(z[piece].to(self.device), {"u": u[piece].to(self.device)}, truncation).float()

    def sample(self, n: int, *, given: Any = None, seed: int = 0, truncation: float = 1.0) -> pd.DataFrame:
        """A table of n rows, all cells drawn; the same for the same seed and n."""
        if n < 1:
            raise BadOption(f"cannot sample {n} rows; ask for 1 or more.")
        rows = torch.cat([piece.cpu() for piece in self.tensors(n, given=given, seed=seed, truncation=truncation)])
        return self.table.decode({"row": rows}, seed=seed, missing=False)

    def _uniform(self, n: int, seed: int) -> Tensor:
        draw = randomness.generator("cpu", seed, "cells")
        return torch.rand(n, 3, len(self.network.cells), generator=draw)

    # -- tables -------------------------------------------------------------------------------------------------------

    def impute(self, frame: Any, *, seed: int = 0, draws: bool = False, rounded: bool = True) -> pd.DataFrame:
        """The table with its missing cells filled in; all others, dtypes, columns and index stay as they are.

        The best guess of a number is its mean, of levels in order the median (of numbers with few values the one
        nearest to the mean), of categories the most likely. That makes errors small, but columns too uniform: a draw
        has the distribution of the data instead.

        What no network has learned is filled in as follows: identifiers by new ones of the same form, constants by
        their value. Free text, and columns that were empty in training, stay as they are. A category that was not there
        in training stays where it is, and counts as unknown when other cells of its row are guessed.

        Args:
            frame: a pandas or polars frame, or an Arrow table, with the columns of the training data.
            seed: of noise and draws.
            draws: draw missing cells, instead of the best guess.
            rounded: give numbers as the training data has them: rounded as there, and few-valued ones as one of the
                values. Off: floats as they are guessed, which makes errors a little smaller.

        Raises:
            BadData: columns are missing or not known, a column holds something else than in training, or its dtype
                cannot hold what belongs into it.

        Example:
            >>> whole = zerosum.load("runs/gain-1").impute(frame)
        """
        index = frame.index if isinstance(frame, pd.DataFrame) else None
        result = as_frame(frame).copy()
        lost = {name: absent(result[name]) for name in result.columns}
        filled = self._filled(result, seed, draws, rounded) if any(own.any() for own in lost.values()) else {}
        for name, cells in filled.items():
            if lost[name].any():
                result[name] = put(result[name], lost[name], cells, name)
        if index is not None:
            result.index = index
        return result

    def imputations(self, frame: Any, count: int, *, seed: int = 0) -> list[pd.DataFrame]:
        """Several tables, each with missing cells drawn anew: how they differ tells how unsure the guesses are
        (multiple imputation, Rubin 1987).

        Raises:
            BadOption: fewer than one is asked for.
            BadData: as `impute`.
        """
        if count < 1:
            raise BadOption(f"{count} imputations were asked for; there must be 1 or more.")
        return [self.impute(frame, seed=randomness.derive(seed, "imputation", i), draws=True) for i in range(count)]

    def _filled(self, frame: pd.DataFrame, seed: int, draws: bool, rounded: bool) -> dict[Name, Any]:
        """Of each column that can be filled in, cells (n,) for all rows: those of rows with nothing missing are
        arbitrary.
        """
        scalars, choices = self.table.compact(frame, seed, strict=False)
        visible = self._visible(frame, choices)
        rows = self.table.layout.expand(scalars, choices.to(torch.int64))
        filled: dict[Name, Any] = {}
        own = {cell.column for cell in self.network.cells.cells}
        for number, column in enumerate(self.table.columns):
            if column.name in frame and number not in own and (cells := unlearned(column, frame[column.name], seed)):
                filled[column.name] = cells[0]
        if draws:
            return filled | self._drawn(rows, visible, seed)
        return filled | self._guessed(rows, visible, seed, rounded)

    def _visible(self, frame: pd.DataFrame, choices: Tensor) -> Tensor:
        """Which cells are there, with something known in them: bool (n, c)."""
        places = {block.column: j for j, block in enumerate(self.table.layout.choices)}
        found = []
        for cell in self.network.cells.cells:
            there = torch.from_numpy(~absent(frame[self.table.columns[cell.column].name]))
            if cell.column in places:
                chosen = choices[:, places[cell.column]]
                there &= (chosen >= 0) & (chosen < cell.size)
            found.append(there)
        return torch.stack(found, 1)

    def _pieces(
        self, rows: Tensor, visible: Tensor, seed: int
    ) -> Iterator[tuple[Tensor, dict[str, Tensor], Tensor]]:  # fmt: skip
        """Rows with something missing, in batches: which ones, what the network is given, z."""
        there = torch.nonzero(~visible.all(1))[:, 0]
        z = self.latent.draw(len(there), randomness.generator("cpu", seed, "z"))
        u = self._uniform(len(there), seed)
        for start in range(0, len(there), self.at_once):
            piece = slice(start, start + self.at_once)
            index = there[piece]
            given = {"row": rows[index], "visible": visible[index], "u": u[piece]}
            yield index, {key: value.to(self.device) for key, value in given.items()}, z[piece].to(self.device)

    @torch.no_grad()
    def _drawn(self, rows: Tensor, visible: Tensor, seed: int) -> dict[Name, Any]:
        rows = rows.clone()
        for index, given, z in self._pieces(rows, visible, seed):
            rows[index] = self(z, given).float().cpu()
        frame = replace(self.table, constraints=tuple[Constraint, ...]()).decode({"row": rows}, seed, missing=False)
        return {name: frame[name].array for name in self._names}

    @property
    def _names(self) -> list[Name]:
        return [self.table.columns[cell.column].name for cell in self.network.cells.cells]

    @torch.no_grad()
    def _guessed(self, rows: Tensor, visible: Tensor, seed: int, rounded: bool) -> dict[Name, Any]:
        columns = [self.table.columns[cell.column] for cell in self.network.cells.cells]
        best = np.zeros((len(columns), len(rows)))
        for index, given, z in self._pieces(rows, visible, seed):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=has_bf16(self.device)):
                guesses = self.network.guess(given["row"], given["visible"], z)
            for j, (column, guess) in enumerate(zip(columns, guesses, strict=True)):
                best[j, index.numpy()] = expected(column, guess)
        return {column.name: cells_of(column, best[j], rounded, seed) for j, column in enumerate(columns)}


# -- cells ------------------------------------------------------------------------------------------------------------


def expected(column: Column, guess: Guess) -> np.ndarray:
    """The best guess of n cells of a column, float64 (n,): of numbers the mean, as `Column.numbers` gives them; of
    numbers with few values their mean; of other levels in order the number of the median; of categories that of the
    most likely.
    """
    chances = guess.chances.double().cpu().numpy()
    if isinstance(column.content, Numbers):
        assert guess.places is not None
        places = guess.places.expand(len(chances), -1) if guess.places.shape[0] > 1 else guess.places
        choices = guess.choices.cpu().numpy()
        flat = places.float().cpu().numpy().ravel()
        values = column.content.modes.join(flat, np.resize(choices, flat.shape)).reshape(places.shape)
        return (chances * values).sum(1) / chances.sum(1)
    assert isinstance(column.content, Categories)
    if (levels := numeric(column)) is not None:
        return chances @ levels / chances.sum(1)
    if column.kind == "ordinal":
        return (chances.cumsum(1) < 0.5 * chances.sum(1, keepdims=True)).sum(1).astype(np.float64)
    return chances.argmax(1).astype(np.float64)


def numeric(column: Column) -> np.ndarray | None:
    """The values of a column with few numbers, in their order; None for other columns."""
    content = column.content
    if column.kind != "ordinal" or not isinstance(content, Categories) or content.others or content.levels:
        return None
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in content.values):
        return None
    return np.array(content.values, dtype=np.float64)


def cells_of(column: Column, best: np.ndarray, rounded: bool, seed: int) -> Any:
    """The best guesses (n,) as an array of the column's cells."""
    if isinstance(column.content, Numbers):
        content = column.content if rounded else replace(column.content, decimals=None)
        places, modes = content.modes.split(best, np.full(len(best), 0.5))
        return replace(column, content=content).decode(len(best), places, modes, seed)
    levels = numeric(column)
    if levels is None:
        return column.decode(len(best), None, best.astype(np.int64), seed)
    if not rounded and column.cells.measure == "float" and not column.cells.form:
        return pd.array(best, dtype=column.cells.dtype)
    nearest = np.abs(best[:, None] - levels).argmin(1)
    return column.decode(len(best), None, nearest, seed)


def unlearned(column: Column, series: pd.Series, seed: int) -> tuple[Any] | None:
    """Cells (n,) of a column that nothing is learned of, in a tuple; None where there is nothing to fill in."""
    missing = absent(series)
    if not missing.any() or column.content is None or (column.kind == "constant" and not column.content.values):  # type: ignore[union-attr]
        return None
    if not isinstance(column.content, Identifier):
        return (column.decode(len(series), None, None, seed),)
    # As many new ones as there are rows and known ones, so that enough are left that nobody has.
    count = len(series) + int(missing.sum())
    made = pd.Series(column.decode(count, None, np.zeros(count, np.int64), seed))
    fresh = made[~made.isin(series[~missing])].iloc[: int(missing.sum())]
    cells = made.iloc[: len(series)].copy()
    cells[missing] = fresh.array
    return (cells.array,)


def put(series: pd.Series, missing: np.ndarray, cells: Any, name: Name) -> pd.Series:
    """The series with missing cells taken from `cells` (n,), in its own dtype; a column without any cell gets theirs.

    Raises:
        BadData: its dtype cannot hold them.
    """
    own = pd.Series(cells[missing])
    try:
        made = series.copy()
        made[missing] = own.astype(series.dtype).array
        if not absent(made)[missing].any():
            return made
    except (ValueError, TypeError):
        pass
    if missing.all():
        return pd.Series(cells, index=series.index)
    raise BadData(
        f"column {name!r} is {series.dtype}, which cannot hold {own.iloc[0]!r}, one of the cells to be filled in: make "
        f"it {own.dtype}, as it was in training."
    )
