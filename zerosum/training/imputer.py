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
from zerosum.core.errors import BadOption
from zerosum.core.latents import Latent
from zerosum.data.spec import Spec
from zerosum.data.tables.cells import absent
from zerosum.data.tables.columns import Name
from zerosum.data.tables.constraints import Constraint
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.frames import as_frame
from zerosum.networks.imputation import Filler
from zerosum.training import filling
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
        in training stays where it is, and counts as unknown when other cells of its row are guessed. Ranges, orders and
        sums among the table's constraints are kept as far as cells that were missing can do it.

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
                result[name] = filling.put(result[name], lost[name], cells, name)
        if filled and self.table.constraints:
            filling.obey(result, lost, self.table)
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
            if (
                column.name in frame
                and number not in own
                and (cells := filling.unlearned(column, frame[column.name], seed))
            ):
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
                guesses = self.network.guess(given["row"], given["visible"], self.network.calm(z))
            for j, (column, guess) in enumerate(zip(columns, guesses, strict=True)):
                best[j, index.numpy()] = filling.expected(column, guess)
        return {column.name: filling.cells(column, best[j], rounded, seed) for j, column in enumerate(columns)}
