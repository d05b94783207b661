"""Encoder and decoder of rows of tables (Xu et al. 2019, section 4.5). Shapes as in `zerosum.networks.tabular`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zerosum.data.spec import Spec
from zerosum.data.tables.rows import Layout
from zerosum.networks.tabular import Heads
from zerosum.networks.tabular_mlp import hidden_layers

SPREAD = (0.01, 1.0)
"""Within which a number's standard deviation stays; places are in [-1, 1]."""


class Encoder(nn.Module):
    """Rows (n, d) to mean and log variance of z, (n, latent) each, float32.

    Args:
        width: d.
        latent: size of z.
        hidden: units of each hidden layer.
        layers: how many.
    """

    def __init__(self, width: int, latent: int, *, hidden: int = 128, layers: int = 2):
        super().__init__()
        self.body = hidden_layers(width, hidden, layers)
        self.head = nn.Linear(hidden, 2 * latent)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(n, latent) and (n, latent)."""
        mean, log_variance = self.head(self.body(rows)).float().chunk(2, 1)
        return mean, log_variance


class Decoder(nn.Module):
    """z and noise (n, latent + s) to scalars and logits of the choices, at their places in a row (n, d).

    A number is normal around a mean that depends on z, with a standard deviation of its column: its noise is given
    beside z, so that rows are a function of what is drawn. A condition is not looked at: what rows are to fulfil is
    asked of their logits (`TableGenerator`).

    Attributes:
        counts: (k,) how often the data has each category.
        spreads: (s,) logits of where each number's standard deviation is between its bounds.

    Args:
        latent: size of z.
        spec: of the rows.
        hidden: units of each hidden layer.
        layers: how many.
    """

    counts: Tensor
    spreads: Tensor

    def __init__(self, latent: int, spec: Spec, *, hidden: int = 128, layers: int = 2):
        super().__init__()
        self.latent = latent
        self.body, self.heads = hidden_layers(latent, hidden, layers), Heads(hidden, spec)
        spreads = torch.full((self.heads.blocks.scalars,), -2.3)  # 0.1
        if len(spreads):
            self.spreads = nn.Parameter(spreads)
        else:
            self.register_buffer("spreads", spreads)
        self.register_buffer("counts", torch.ones(len(Layout(spec).conditions)))

    @property
    def spread(self) -> Tensor:
        """(s,): standard deviations."""
        low, high = SPREAD
        return low + (high - low) * self.spreads.sigmoid()

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Means of the numbers (n, s), and logits (n, d - s) in the order of `blocks`, float32, of z (n, latent)."""
        return self.heads.parts(self.body(z))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """(n, d), float32; scalars may leave [-1, 1] a little."""
        blocks = self.heads.blocks
        z, noise = z.split([self.latent, blocks.scalars], 1)
        mean, logits = self.parts(z)
        return torch.cat([mean + self.spread * noise, logits], 1).index_select(1, blocks.back)
