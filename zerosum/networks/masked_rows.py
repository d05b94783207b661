"""Networks that guess the hidden cells of a row from the visible ones, as distributions over atoms.

The atoms of a cell are its categories, or, of a number, places at equal distances in each of its modes. A number counts
as the two nearest of them, each by how near it is, so that the mean over the atoms is the number (two-hot,
Schrittwieser et al. 2020, appendix F). The body is a residual perceptron (Gorishniy et al. 2021, section 3.2) with
layer norm.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.data.spec import Spec
from zerosum.networks.imputation import Cells, Filler, Guess

FEWEST = 8
"""Atoms of a mode at least."""


class Residual(nn.Module):
    """x + W2 drop(gelu(W1 norm(x))), at first x.

    Args:
        width: of x (n, width).
        dropout: share of hidden units dropped.
        expansion: units of the hidden layer, in widths.
    """

    def __init__(self, width: int, dropout: float = 0.0, expansion: int = 2):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, width * expansion), nn.Linear(width * expansion, width)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width)."""
        return x + self.down(self.drop(F.gelu(self.up(self.norm(x)))))


def residual(inputs: int, width: int, blocks: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    """A residual perceptron: (n, inputs) to (n, outputs)."""
    body = [Residual(width, dropout) for _ in range(blocks)]
    return nn.Sequential(
        nn.Linear(inputs, width), *body, nn.LayerNorm(width), nn.GELU(), nn.Linear(width, outputs)
    )  # fmt: skip


class Atoms(nn.Module):
    """The atoms of all cells: choice by choice, in each from the lowest place to the highest.

    Args:
        cells: of the rows.
        bins: atoms of a number, shared out to its modes.

    Attributes:
        total: atoms of all cells.
        each: int64 (c,), atoms of each choice.
        starts: int64 (c,), where the atoms of a cell begin among all.
        grid: int64 (c, a), which of all atoms is the i-th of a cell; `total` beyond the last.
        choices, places: (c, a), of the atoms; places are 0 where a cell has none.
        widths: (c,), how far apart places are; 0 where a cell has none.
    """

    each: Tensor
    starts: Tensor
    grid: Tensor
    choices: Tensor
    places: Tensor
    widths: Tensor

    def __init__(self, cells: Cells, bins: int):
        super().__init__()
        each = torch.tensor([1 if cell.place is None else max(bins // cell.size, FEWEST) for cell in cells.cells])
        counts = each * cells.sizes
        starts, self.total = counts.cumsum(0) - counts, int(counts.sum())
        order, steps = torch.arange(int(counts.max())), (each - 1)[:, None]
        there = order < counts[:, None]
        widths = torch.where(each > 1, 2.0 / (each - 1).clamp_min(1), 0.0)
        kept = {
            "each": each,
            "starts": starts,
            "grid": torch.where(there, starts[:, None] + order, self.total),
            "choices": torch.where(there, order // each[:, None], 0),
            "places": torch.where(there & (steps > 0), (order % each[:, None]) * widths[:, None] - 1.0, 0.0),
            "widths": widths,
        }
        for name, value in kept.items():
            self.register_buffer(name, value, persistent=False)

    def near(self, place: Tensor, choice: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of places and choices (n, c) the two nearest atoms of the cell, and the share (n, c) that the second has."""
        steps = self.each - 1
        exact = (place + 1.0) / 2.0 * steps
        low = torch.minimum(exact.floor(), (steps - 1).clamp_min(0)).to(torch.int64)
        first = choice * self.each + low
        return first, first + (steps > 0), exact - low

    def features(self, place: Tensor, choice: Tensor, visible: Tensor) -> Tensor:
        """What is known of n rows as shares of all atoms: (n, total), zeros where a cell is not visible."""
        first, second, share = self.near(place, choice)
        mask = visible.float()
        made = torch.zeros(len(place), self.total, device=place.device)
        made.scatter_add_(1, first + self.starts, (1.0 - share) * mask)
        return made.scatter_add_(1, second + self.starts, share * mask)

    def padded(self, logits: Tensor) -> Tensor:
        """Logits (n, total) as (n, c, a), minus infinity beyond the last atom of a cell."""
        return F.pad(logits.float(), (0, 1), value=-torch.inf)[:, self.grid]

    def surprise(self, logits: Tensor, place: Tensor, choice: Tensor) -> Tensor:
        """How little the cells (n, c) were expected: cross-entropy of the two nearest atoms, in nats."""
        first, second, share = self.near(place, choice)
        likely = self.padded(logits).log_softmax(2)
        pair = likely.gather(2, torch.stack([first, second], 2))
        return -(pair[..., 0] * (1.0 - share) + pair[..., 1] * share)


class MaskedRows(Filler):
    """Visible cells (and z) to logits of the atoms of all cells.

    Args:
        spec: of the rows.
        width, blocks: of the body.
        bins: atoms of a number.
        latent: size of z.
        passes: in how many groups the cells of a row are drawn.
        dropout: share of hidden units dropped.
    """

    def __init__(
        self, spec: Spec, *, width: int, blocks: int, bins: int, latent: int, passes: int, dropout: float = 0.0
    ):  # fmt: skip
        super().__init__(spec)
        self.latent, self.passes = latent, passes
        self.atoms = Atoms(self.cells, bins)
        self.body = residual(self.atoms.total + 2 * len(self.cells) + latent, width, blocks, self.atoms.total, dropout)

    def logits(self, place: Tensor, choice: Tensor, visible: Tensor, z: Tensor) -> Tensor:
        """(n, total), of places and choices (n, c); what is not visible does not count."""
        mask = visible.float()
        return self.body(torch.cat([self.atoms.features(place, choice, visible), place * mask, mask, z], 1))

    def calm(self, z: Tensor) -> Tensor:
        """Zeros, with which guessing is learned: the noise is there for draws."""
        return torch.zeros_like(z)

    def guess(self, rows: Tensor, visible: Tensor, z: Tensor) -> list[Guess]:
        """What each cell may be."""
        choice = self.cells.choice(rows * self.cells.spread(visible.float()))
        chances = self.atoms.padded(self.logits(self.cells.place(rows), choice, visible, z)).softmax(2)
        found = []
        for j, cell in enumerate(self.cells.cells):
            each = int(self.atoms.each[j])
            atoms = each * cell.size
            places = None if cell.place is None else self.atoms.places[j, :atoms][None]
            found.append(
                Guess(chances[:, j, :atoms], self.atoms.choices[j, :atoms], places, float(self.atoms.widths[j]))
            )
        return found

    def sample(self, logits: Tensor, gumbel: Tensor, v: Tensor, temperature: float) -> Tensor:
        """Rows (n, d) of drawn cells, through which gradients pass (straight-through Gumbel softmax, Jang et al. 2017,
        section 2.2).

        Args:
            logits: (n, total).
            gumbel: (n, total), distributed so.
            v: (n, c) uniform in [0, 1): where beside an atom's place a draw lies.
            temperature: of the softmax whose gradient it is.
        """
        soft = (self.atoms.padded(logits + gumbel) / temperature).softmax(2)
        hard = torch.zeros_like(soft).scatter_(2, soft.argmax(2, keepdim=True), 1.0)
        one = hard + soft - soft.detach()
        place = ((one * self.atoms.places).sum(2) + (v - 0.5) * self.atoms.widths).clamp(-1.0, 1.0)
        made = torch.zeros(len(logits), self.cells.width + 1, device=logits.device)
        made = made.index_add(1, self.cells.places, place)
        index = (self.cells.starts[:, None] + self.atoms.choices).flatten()
        index = torch.where(self.atoms.grid.flatten() < self.atoms.total, index, self.cells.width)
        return made.index_add(1, index, one.flatten(1))[:, : self.cells.width]


class RowCritic(nn.Module):
    """Rows (n, d), which cells are visible and which are to be judged (n, c), to a logit (n,) for each row.

    Cells that are neither are missing in the data: nothing is shown of them.
    """

    def __init__(self, spec: Spec, *, width: int, blocks: int):
        super().__init__()
        self.cells = Cells(spec)
        self.body = residual(spec.shape[0] + 2 * len(self.cells), width, blocks, 1)

    def forward(self, rows: Tensor, visible: Tensor, judged: Tensor) -> Tensor:
        """(n,)."""
        seen = self.cells.spread((visible | judged).float())
        return self.body(torch.cat([rows * seen, visible.float(), judged.float()], 1))[:, 0]
