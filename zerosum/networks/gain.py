"""The networks of GAIN, which fill in missing cells of rows (Yoon et al. 2018, section 4), for columns of every kind.

Shapes: n rows of d numbers and c cells; the networks see k of the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zerosum.data.spec import Spec
from zerosum.networks.imputation import Cell, Filler, Guess, cells_of
from zerosum.networks.mlp import initialise


class Numbers(nn.Module):
    """The numbers of a row that GAIN's networks see: places as (0, 1) and choices, but not that a cell is missing.

    Attributes:
        kept: int64 (k,), which numbers of the row they are.
        owner: int64 (k,), the cell of each.
    """

    kept: Tensor
    owner: Tensor
    scale: Tensor

    def __init__(self, cells: Sequence[Cell]):
        super().__init__()
        kept: list[int] = []
        owner: list[int] = []
        scale: list[float] = []
        self.pieces: list[tuple[int, bool, slice]] = []
        for j, cell in enumerate(cells):
            choices = range(cell.choices.start, cell.choices.stop) if cell.size > 1 or cell.place is None else range(0)
            for own, place in (([] if cell.place is None else [cell.place], True), (list(choices), False)):
                if own:
                    self.pieces.append((j, place, slice(len(kept), len(kept) + len(own))))
                    kept, owner, scale = [*kept, *own], [*owner, *[j] * len(own)], [*scale, *[0.5 * place] * len(own)]
        self.register_buffer("kept", torch.tensor(kept), persistent=False)
        self.register_buffer("owner", torch.tensor(owner), persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    def __len__(self) -> int:
        return len(self.kept)

    def forward(self, rows: Tensor) -> Tensor:
        """Of rows (n, d), in [0, 1]: (n, k)."""
        own = rows.index_select(1, self.kept)
        return own * torch.where(self.scale > 0, self.scale, 1.0) + self.scale


class GainGenerator(Filler):
    """G of GAIN: the known numbers, noise in the place of the others, and the mask, to all numbers (n, k).

    Two hidden layers of ReLUs; sigmoid for places, softmax for choices (Yoon et al. 2018, section 4 and algorithm 1).

    Args:
        spec: of the rows.
        width: units of the hidden layers; None: as many as numbers.
    """

    def __init__(self, spec: Spec, width: int | None = None):
        super().__init__(spec)
        self.numbers = Numbers(self.cells.cells)
        self.latent = len(self.numbers)
        self.body = perceptron(self.latent + len(self.cells), width or self.latent, self.latent)

    def logits(self, x: Tensor, visible: Tensor, z: Tensor) -> Tensor:
        """(n, k), of numbers x (n, k) in [0, 1], which cells are visible (n, c), and noise z (n, k)."""
        mask = visible.to(x.dtype)
        own = mask.index_select(1, self.numbers.owner)
        return self.body(torch.cat([own * x + (1.0 - own) * z, mask], 1))

    def activate(self, logits: Tensor) -> Tensor:
        """Numbers (n, k) in [0, 1]: of each choice the chances, of each place the place."""
        pieces = [
            logits[:, piece].sigmoid() if place else logits[:, piece].softmax(1)
            for _, place, piece in self.numbers.pieces
        ]
        return torch.cat(pieces, 1)

    def guess(self, rows: Tensor, visible: Tensor, z: Tensor) -> list[Guess]:
        """What each cell may be."""
        made = self.activate(self.logits(self.numbers(rows), visible, z))
        found = [
            Guess(torch.ones(len(rows), 1, device=rows.device), torch.zeros(1, dtype=torch.int64, device=rows.device))
            for _ in self.cells.cells
        ]
        for j, place, piece in self.numbers.pieces:
            if place:
                found[j].places = made[:, piece] * 2.0 - 1.0
            else:
                choices = torch.arange(piece.stop - piece.start, device=rows.device)
                places = found[j].places
                found[j] = Guess(made[:, piece], choices, None if places is None else places.expand(-1, len(choices)))
        return found


class GainDiscriminator(nn.Module):
    """D of GAIN: filled-in numbers (n, k) and a hint (n, c) to a logit for each cell (n, c): whether it was known."""

    def __init__(self, spec: Spec, width: int | None = None):
        super().__init__()
        cells = cells_of(spec)
        numbers = len(Numbers(cells))
        self.body = perceptron(numbers + len(cells), width or numbers, len(cells))

    def forward(self, x: Tensor, hint: Tensor) -> Tensor:
        """(n, c)."""
        return self.body(torch.cat([x, hint], 1))


def perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two hidden layers of ReLUs, initialised for them."""
    body = nn.Sequential(
        nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)
    )
    return body.apply(initialise)
