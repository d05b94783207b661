"""Encoded rows of a table: where scalars and choices are in them, and the compact form that they are kept in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zerosum.data.spec import Block, Spec


@dataclass(frozen=True)
class Layout:
    """Rows (n, d) of a spec, and the same as scalars (n, s) and choices (n, c).

    "The choice j" is the j-th softmax block, a column of `choices` that says which one of its numbers is 1.
    """

    spec: Spec

    @cached_property
    def scalars(self) -> tuple[Block, ...]:
        """The scalar blocks, from left to right."""
        return tuple(block for block in self.spec.blocks if block.kind == "scalar")

    @cached_property
    def choices(self) -> tuple[Block, ...]:
        """The softmax blocks, from left to right."""
        return tuple(block for block in self.spec.blocks if block.kind == "softmax")

    @cached_property
    def starts(self) -> tuple[Tensor, Tensor]:
        """Where the scalars and where the choices begin in a row: int64 (s,) and (c,), CPU."""
        places = [(block.kind, piece.start) for block, piece in zip(self.spec.blocks, self.spec.slices, strict=True)]
        scalars, choices = ([start for kind, start in places if kind == own] for own in ("scalar", "softmax"))
        return torch.tensor(scalars, dtype=torch.int64), torch.tensor(choices, dtype=torch.int64)

    @cached_property
    def discrete(self) -> tuple[int, ...]:
        """Which choices are columns of categories (and not modes): what can be asked of a generator."""
        return tuple(j for j, block in enumerate(self.choices) if block.discrete)

    @cached_property
    def conditions(self) -> Tensor:
        """Where the categories of the discrete choices are in a row: int64 (k,), CPU. A condition is a vector of k
        numbers: 1 at each category that is asked for.
        """
        pieces = [torch.arange(self.choices[j].size) + self.starts[1][j] for j in self.discrete]
        return torch.cat([*pieces, torch.zeros(0, dtype=torch.int64)])

    @cached_property
    def absent(self) -> Tensor:
        """Where each scalar's row says that its cell is missing: int64 (s,), CPU; d where it never is."""
        places = {
            block.column: piece.stop - 1
            for block, piece in zip(self.spec.blocks, self.spec.slices, strict=True)
            if block.kind == "softmax" and block.missing
        }
        return torch.tensor([places.get(block.column, self.spec.shape[0]) for block in self.scalars], dtype=torch.int64)

    @cached_property
    def offsets(self) -> Tensor:
        """Where the categories of each choice begin among those of all choices: int64 (c,), CPU."""
        sizes = torch.tensor([block.size for block in self.choices], dtype=torch.int64)
        return sizes.cumsum(0) - sizes

    @cached_property
    def _moved(self) -> dict[torch.device, tuple[Tensor, Tensor]]:
        return {}

    def _starts_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """`starts` on a device, copied there once."""
        if device not in self._moved:
            self._moved[device] = (self.starts[0].to(device), self.starts[1].to(device))
        return self._moved[device]

    def expand(self, scalars: Tensor, choices: Tensor) -> Tensor:
        """Rows (n, d) float32 of scalars (n, s) and choices (n, c), on their device. A choice of -1 is all zeros."""
        rows = torch.zeros(len(scalars), self.spec.shape[0], device=scalars.device)
        own, starts = self._starts_on(scalars.device)
        rows.index_copy_(1, own, scalars)
        return rows.scatter_(1, choices.clamp_min(0) + starts, (choices >= 0).float())

    def condense(self, rows: Tensor, missing: bool = True) -> tuple[Tensor, Tensor]:
        """The scalars (n, s) and the choices (n, c) int64 of rows (n, d), on their device: of each softmax block the
        largest number, but never the one that means "missing" if that is off.
        """
        rows = rows.detach().float()
        choices = torch.zeros(len(rows), len(self.choices), dtype=torch.int64, device=rows.device)
        for j, (block, start) in enumerate(zip(self.choices, self.starts[1].tolist(), strict=True)):
            end = start + block.size - (block.missing and not missing)
            own = rows[:, start:end]
            # NumPy finds the largest of a few neighbours more than twice as fast as PyTorch does on a CPU.
            choices[:, j] = torch.from_numpy(own.numpy().argmax(1)) if own.device.type == "cpu" else own.argmax(1)
        scalars = rows.index_select(1, self._starts_on(rows.device)[0])
        return scalars.nan_to_num_(nan=0.0).clamp_(-1.0, 1.0), choices

    def known(self, choices: Tensor) -> Tensor:
        """Which numbers of the rows are of cells that are there: bool (n, d), of choices (n, c)."""
        result = torch.ones(len(choices), self.spec.shape[0], dtype=torch.bool, device=choices.device)
        place = {block.column: (j, block) for j, block in enumerate(self.choices)}
        for block, piece in zip(self.spec.blocks, self.spec.slices, strict=True):
            if block.column in place:
                j, choice = place[block.column]
                absent = choice.size - 1 if choice.missing else -1
                result[:, piece] = ((choices[:, j] != absent) & (choices[:, j] >= 0))[:, None]
        return result
