"""How the cells of one column of a table depend on the rest of a row. Shapes as in `zerosum.networks.tabular`."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn

from zerosum.data.spec import Spec
from zerosum.networks.tabular import gumbel_noise
from zerosum.networks.tabular_mlp import Predictor

SHARPEST, WIDEST = -6.0, 0.0
"""Bounds of the logarithm of a place's standard deviation; places lie in [-1, 1]."""


def learned(column: int | None, spec: Spec) -> TypeGuard[int]:
    """Whether there is such a column, and rows hold its cells."""
    return any(block.column == column for block in spec.blocks)


class Label(nn.Module):
    """Which numbers of a row are a column's cell: a place, a choice (of a category, or of a number's mode), or both.

    Attributes:
        hidden: bool (d,), these numbers.
        place: where the place is, a scalar; None: there is none.
        choice: where the choice is, a softmax block; None: there is none.
        choices: how many there are to choose from.
        modes: how many there are that a place can be within; 1 where there is no choice.
        scalar: which of the scalars the place is; None: there is none.
        number: which of the choices of a row the choice is; None: there is none.

    Args:
        spec: of the rows.
        column: counted as `Block.column` is; one that is learned.
    """

    hidden: Tensor

    def __init__(self, spec: Spec, column: int):
        super().__init__()
        own = [(block, piece) for block, piece in zip(spec.blocks, spec.slices, strict=True) if block.column == column]
        self.column = column
        self.place = next((piece.start for block, piece in own if block.kind == "scalar"), None)
        self.choice = next((piece for block, piece in own if block.kind == "softmax"), None)
        self.choices = self.choice.stop - self.choice.start if self.choice else 0
        self.modes = max(self.choices, 1) if self.place is not None else 0
        scalars, softmaxes = (
            [block.column for block in spec.blocks if block.kind == kind] for kind in ("scalar", "softmax")
        )
        self.scalar = scalars.index(column) if self.place is not None else None
        self.number = softmaxes.index(column) if self.choice else None
        hidden = torch.zeros(spec.shape[0], dtype=torch.bool)
        for _, piece in own:
            hidden[piece] = True
        self.register_buffer("hidden", hidden, persistent=False)


class LabelRule(Label):
    """p(label | the rest of a row): of each choice the probability, of the place within each mode a normal density.

    Args:
        spec: of the rows.
        column: the label's.
        units: of each hidden layer.
        layers: how many.
        dropout: share of hidden units dropped, so that labels stay as uncertain as they are.
    """

    def __init__(self, spec: Spec, column: int, *, units: int = 128, layers: int = 2, dropout: float = 0.5):
        super().__init__(spec, column)
        outputs = self.choices + 2 * self.modes
        self.network = Predictor(self.hidden, outputs, units=units, layers=layers, dropout=dropout)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the choice (n, choices), means and standard deviations of the place (n, modes), float32."""
        logits, means, logs = self.network(rows).split([self.choices, self.modes, self.modes], 1)
        return logits, means, logs.clamp(SHARPEST, WIDEST).exp()

    def error(self, rows: Tensor, logits: Tensor, means: Tensor, deviations: Tensor) -> Tensor:
        """-log p(label | rest) of rows (n, d), (n,), but for a constant, by what `forward` says of them."""
        total = rows.new_zeros(len(rows))
        within = rows[:, self.choice] if self.choice else rows.new_ones(len(rows), 1)
        if self.choice:
            total = total - (within * logits.log_softmax(1)).sum(1)
        if self.place is not None:
            far = (rows[:, self.place, None] - means) / deviations
            total = total + ((far.square() / 2 + deviations.log()) * within).sum(1)
        return total

    def drawn(self, logits: Tensor, means: Tensor, deviations: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """(places (n,) in [-1, 1], choices int64 (n,)) by what `forward` gives; of a label that has none: zeros."""
        n, device = len(logits), logits.device
        places, choices = torch.zeros(n, device=device), torch.zeros(n, dtype=torch.int64, device=device)
        if self.choices:
            choices = (logits + gumbel_noise(torch.rand(n, self.choices, generator=draw)).to(device)).argmax(1)
        if self.modes:
            own = [part.gather(1, choices[:, None]).squeeze(1) for part in (means, deviations)]
            places = (own[0] + own[1] * torch.randn(n, generator=draw).to(device)).clamp(-1.0, 1.0)
        return places, choices
