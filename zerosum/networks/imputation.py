"""Networks that fill in missing cells of rows, and where the cells are in an encoded row.

A cell has a choice (which category, or which mode of a number; 0 where there is one only) and, where it holds a number,
a place within the mode. What a network thinks of a cell is a `Guess`: atoms, each a choice with a place, and how likely
each of them is. Shapes: n rows of d numbers and c cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.data.spec import Spec


@dataclass(frozen=True)
class Cell:
    """One column: where in a row it is."""

    column: int
    """Which column of the table, as `Block.column`."""
    place: int | None
    """Where the place is of a number."""
    choices: slice
    """Where the choices are, without the one that means missing; empty where there is nothing to choose."""
    absent: int | None
    """Where the choice is that means missing."""

    @property
    def size(self) -> int:
        """The number of choices, 1 at least."""
        return max(self.choices.stop - self.choices.start, 1)


def cells_of(spec: Spec) -> tuple[Cell, ...]:
    """The cells of a row, from left to right; identifiers, of which nothing can be guessed, are none.

    Raises:
        BadOption: the samples are no rows, or there is nothing to guess.
    """
    if spec.kind != "table":
        raise BadOption(f"missing cells are filled in in tables, but these samples are {spec.kind}: give a table.")
    found: dict[int, Cell] = {}
    for block, piece in zip(spec.blocks, spec.slices, strict=True):
        if block.role == "missing":
            continue
        if block.kind == "scalar":
            found[block.column] = Cell(block.column, piece.start, slice(0, 0), None)
            continue
        place = found[block.column].place if block.column in found else None
        absent = piece.stop - 1 if block.missing else None
        found[block.column] = Cell(block.column, place, slice(piece.start, piece.stop - block.missing), absent)
    if not found:
        raise BadOption("the table has no column whose missing cells could be guessed: all of them are identifiers.")
    return tuple(found.values())


@dataclass
class Guess:
    """What one cell of n rows may be: a atoms."""

    chances: Tensor
    """(n, a), adding up to 1 in each row."""
    choices: Tensor
    """int64 (a,): the choice of each atom."""
    places: Tensor | None = None
    """(n, a) or (1, a): the place of each atom, of numbers."""
    width: float = 0.0
    """How far apart the atoms' places are: a draw lies anywhere within half of it."""

    def draw(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """A place (n,), 0 where the cell has none, and a choice (n,), by uniform numbers u and v (n,)."""
        total = self.chances.float().cumsum(1)
        atom = (total <= (u * total[:, -1])[:, None]).sum(1).clamp_max(total.shape[1] - 1)
        if self.places is None:
            return torch.zeros_like(u), self.choices[atom]
        places = self.places.expand(len(atom), -1).gather(1, atom[:, None])[:, 0]
        return (places + (v - 0.5) * self.width).clamp(-1.0, 1.0), self.choices[atom]


class Cells(nn.Module):
    """Rows (n, d) taken apart into cells, and put together again.

    Args:
        spec: of the rows.

    Attributes:
        cells: the cells, from left to right.
        sizes: int64 (c,), how many choices each has.
    """

    owner: Tensor
    absent: Tensor
    places: Tensor
    starts: Tensor
    sizes: Tensor
    ramp: Tensor

    def __init__(self, spec: Spec):
        super().__init__()
        self.cells, self.width = cells_of(spec), spec.shape[0]
        owner = torch.full((self.width,), len(self.cells))
        ramp = torch.zeros(self.width, len(self.cells))
        for j, cell in enumerate(self.cells):
            owner[cell.choices] = j
            ramp[cell.choices, j] = torch.arange(cell.choices.stop - cell.choices.start).float()
            for number in (cell.place, cell.absent):
                if number is not None:
                    owner[number] = j
        none = self.width  # one number more than a row has: always 0
        kept = {
            "owner": owner,
            "absent": torch.tensor([none if cell.absent is None else cell.absent for cell in self.cells]),
            "places": torch.tensor([none if cell.place is None else cell.place for cell in self.cells]),
            "starts": torch.tensor([cell.choices.start if cell.choices.stop else none for cell in self.cells]),
            "sizes": torch.tensor([cell.size for cell in self.cells]),
            "ramp": ramp,
        }
        for name, value in kept.items():
            self.register_buffer(name, value, persistent=False)

    def __len__(self) -> int:
        return len(self.cells)

    def known(self, rows: Tensor) -> Tensor:
        """Which cells are there: bool (n, c)."""
        return F.pad(rows, (0, 1)).index_select(1, self.absent) < 0.5

    def spread(self, mask: Tensor) -> Tensor:
        """Of each cell (n, c) to each of its numbers (n, d); 0 for numbers of no cell."""
        return F.pad(mask, (0, 1)).index_select(1, self.owner)

    def place(self, rows: Tensor) -> Tensor:
        """The places (n, c), 0 where a cell has none."""
        return F.pad(rows, (0, 1)).index_select(1, self.places)

    def choice(self, rows: Tensor) -> Tensor:
        """The choices int64 (n, c) of rows whose choices are one-hots; 0 where a cell is missing."""
        with torch.autocast(rows.device.type, enabled=False):  # bf16 cannot count beyond 256
            return (rows.float() @ self.ramp).round().to(torch.int64)

    def rows(self, place: Tensor, choice: Tensor) -> Tensor:
        """Rows (n, d) of places and choices (n, c), no cell of which is missing."""
        made = torch.zeros(len(place), self.width + 1, device=place.device)
        made.index_copy_(1, self.places, place)  # cells without a place come to lie beyond the row
        made.scatter_(1, self.starts + choice, 1.0)
        return made[:, : self.width]


class Filler(nn.Module):
    """What all networks that fill in cells have in common.

    Attributes:
        cells: where the cells are.
        latent: size of z.
        passes: in how many groups the cells of a row are drawn, each after those before are known.
    """

    latent: int
    passes: int = 1

    def __init__(self, spec: Spec):
        super().__init__()
        self.cells = Cells(spec)

    def guess(self, rows: Tensor, visible: Tensor, z: Tensor) -> list[Guess]:
        """What each cell may be.

        Args:
            rows: (n, d); what is in cells that are not visible does not count.
            visible: bool (n, c).
            z: (n, latent).
        """
        raise NotImplementedError

    def calm(self, z: Tensor) -> Tensor:
        """The z by which best guesses are made, from one that was drawn: by default that one."""
        return z

    def forward(self, rows: Tensor, visible: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Rows (n, d) with all cells that are not visible drawn, at once or in `passes` groups.

        Args:
            rows, visible, z: as in `guess`.
            u: (n, 3, c) uniform in [0, 1): by which a cell's atom, its place around it, and its turn are drawn.
        """
        place, choice = self.cells.place(rows), self.cells.choice(rows * self.cells.spread(visible.float()))
        turn = (u[:, 2] * self.passes).floor().where(~visible, -1.0)
        for number in range(self.passes):
            mine = turn == number
            if not mine.any():
                continue
            seen = turn < number
            for j, guess in enumerate(self.guess(self.cells.rows(place, choice), seen, z)):
                drawn_place, drawn_choice = guess.draw(u[:, 0, j], u[:, 1, j])
                place[:, j] = torch.where(mine[:, j], drawn_place, place[:, j])
                choice[:, j] = torch.where(mine[:, j], drawn_choice, choice[:, j])
        return self.cells.rows(place, choice)
