"""The networks of GAIN, which fill in missing cells of rows (Yoon et al. 2018, section 4), for columns of every kind.

Shapes: n rows of d numbers and c cells; the networks see k of the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.data.spec import Spec
from zerosum.networks.imputation import Cell, Filler, Guess, cells_of
from zerosum.networks.mlp import initialise


class Numbers(nn.Module):
    """The numbers of a row that GAIN's networks see: places as (0, 1) and choices, but not that a cell is missing.

    Attributes:
        kept: int64 (k,), which numbers of the row they are.
        owner: int64 (k,), the cell of each.
        place: bool (k,), which are places.
        pieces: of each cell with several choices: where its numbers are.
    """

    kept: Tensor
    owner: Tensor
    place: Tensor
    grid: Tensor
    back: Tensor

    def __init__(self, cells: Sequence[Cell]):
        super().__init__()
        kept: list[int] = []
        owner: list[int] = []
        place: list[bool] = []
        self.pieces: dict[int, slice] = {}
        for j, cell in enumerate(cells):
            places = [] if cell.place is None else [cell.place]
            choices = list(range(cell.choices.start, cell.choices.stop)) if cell.size > 1 or not places else []
            if choices:
                self.pieces[j] = slice(len(kept) + len(places), len(kept) + len(places) + len(choices))
            kept, owner = [*kept, *places, *choices], [*owner, *[j] * len(places + choices)]
            place = [*place, *[True] * len(places), *[False] * len(choices)]
        widest = max((piece.stop - piece.start for piece in self.pieces.values()), default=0)
        grid = torch.full((len(self.pieces), widest), len(kept))  # beyond the last number
        for row, piece in zip(grid, self.pieces.values(), strict=True):
            row[: piece.stop - piece.start] = torch.arange(piece.start, piece.stop)
        back = torch.nonzero(grid.flatten() < len(kept))[:, 0]
        made = {"kept": torch.tensor(kept), "owner": torch.tensor(owner), "place": torch.tensor(place)}
        for name, value in (made | {"grid": grid, "back": back}).items():
            self.register_buffer(name, value, persistent=False)

    def __len__(self) -> int:
        return len(self.kept)

    def forward(self, rows: Tensor) -> Tensor:
        """Of rows (n, d), in [0, 1]: (n, k)."""
        own = rows.index_select(1, self.kept)
        return torch.where(self.place, (own + 1.0) / 2.0, own)

    def log_chances(self, logits: Tensor) -> Tensor:
        """The logarithms of how likely choices are, of logits (n, k); 0 for places."""
        if not self.pieces:
            return torch.zeros_like(logits)
        padded = F.pad(logits, (0, 1), value=-torch.inf)[:, self.grid].log_softmax(2)
        return torch.zeros_like(logits).index_copy(1, self.grid.flatten()[self.back], padded.flatten(1)[:, self.back])


class GainGenerator(Filler):
    """G of GAIN: the known numbers, noise in the place of the others, and the mask, to all numbers (n, k).

    Two hidden layers of ReLUs; sigmoid for places, softmax for choices.

    Args:
        spec: of the rows.
        width: units of the hidden layers; None: `narrow` times as many as numbers.
        narrow: units of a hidden layer for each number.
    """

    def __init__(self, spec: Spec, width: int | None = None, *, narrow: float = 1.0):
        super().__init__(spec)
        self.numbers = Numbers(self.cells.cells)
        self.latent = len(self.numbers)
        self.body = perceptron(self.latent + len(self.cells), width or units(self.latent, narrow), self.latent)

    def logits(self, x: Tensor, visible: Tensor, z: Tensor) -> Tensor:
        """(n, k), of numbers x (n, k) in [0, 1], which cells are visible (n, c), and noise z (n, k)."""
        mask = visible.to(x.dtype)
        own = mask.index_select(1, self.numbers.owner)
        return self.body(torch.cat([own * x + (1.0 - own) * z, mask], 1))

    def activate(self, logits: Tensor) -> Tensor:
        """Numbers (n, k) in [0, 1]: of each choice the chances, of each place the place."""
        logits = logits.float()
        return torch.where(self.numbers.place, logits.sigmoid(), self.numbers.log_chances(logits).exp())

    def guess(self, rows: Tensor, visible: Tensor, z: Tensor) -> list[Guess]:
        """What each cell may be."""
        made = self.activate(self.logits(self.numbers(rows), visible, z))
        found = []
        for j, cell in enumerate(self.cells.cells):
            own = made[:, self.numbers.owner == j]
            chances = own[:, cell.place is not None :] if j in self.numbers.pieces else torch.ones_like(own)
            choices = torch.arange(chances.shape[1], device=rows.device)
            places = None if cell.place is None else (own[:, :1] * 2.0 - 1.0).expand(-1, len(choices))
            found.append(Guess(chances, choices, places))
        return found


class GainDiscriminator(nn.Module):
    """D of GAIN: filled-in numbers (n, k) and a hint (n, c) to a logit for each cell (n, c): whether it was known."""

    def __init__(self, spec: Spec, width: int | None = None, *, narrow: float = 1.0):
        super().__init__()
        cells = cells_of(spec)
        numbers = len(Numbers(cells))
        self.body = perceptron(numbers + len(cells), width or units(numbers, narrow), len(cells))

    def forward(self, x: Tensor, hint: Tensor) -> Tensor:
        """(n, c)."""
        return self.body(torch.cat([x, hint], 1))


def units(numbers: int, narrow: float) -> int:
    """Of a hidden layer, for a row of so many numbers."""
    return max(round(narrow * numbers), 1)


def perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two hidden layers of ReLUs, initialised for them."""
    body = nn.Sequential(
        nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)
    )
    return body.apply(initialise)
