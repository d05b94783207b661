"""A plain generator of encoded rows: hidden layers and heads. Shapes as in `zerosum.networks.tabular`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zerosum.data.spec import Spec
from zerosum.data.tables.rows import Layout
from zerosum.networks.tabular import Heads


def hidden_layers(inputs: int, hidden: int, layers: int) -> nn.Sequential:
    """`layers` fully connected ones with ReLU, (n, inputs) to (n, hidden)."""
    widths = [inputs] + [hidden] * layers
    pairs = zip(widths, widths[1:], strict=False)
    return nn.Sequential(*(part for a, b in pairs for part in (nn.Linear(a, b), nn.ReLU())))


class Generator(nn.Module):
    """z (n, latent) to scalars in [-1, 1] and logits of the choices, at their places in a row (n, d).

    Conditions are not looked at: what rows are to fulfil is asked of their logits (`TableGenerator`).

    Attributes:
        counts: (k,) how often the data has each category.

    Args:
        latent: size of z.
        spec: of the rows.
        hidden: units of each hidden layer.
        layers: how many.
    """

    counts: Tensor

    def __init__(self, latent: int, spec: Spec, *, hidden: int, layers: int = 1):
        super().__init__()
        self.body, self.heads = hidden_layers(latent, hidden, layers), Heads(hidden, spec)
        self.register_buffer("counts", torch.ones(len(Layout(spec).conditions)))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """(n, d), float32."""
        return self.heads(self.body(z))


class Predictor(nn.Module):
    """Rows (n, d) to logits (n, outputs) of what some of their numbers are, which it does not see.

    Args:
        hidden: which numbers it does not see: bool (d,); they may be others later.
        outputs: how many.
        units: of each hidden layer.
        layers: how many.
        dropout: share of hidden units dropped.
    """

    hidden: Tensor

    def __init__(self, hidden: Tensor, outputs: int, *, units: int = 256, layers: int = 4, dropout: float = 0.5):
        super().__init__()
        width, body = len(hidden), list[nn.Module]()
        for _ in range(layers):
            body += [nn.Linear(width, units), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
            width = units
        self.body, self.head = nn.Sequential(*body), nn.Linear(width, outputs)
        self.register_buffer("hidden", hidden, persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, outputs), float32."""
        x = self.body(rows.masked_fill(self.hidden, 0.0))
        with torch.autocast(rows.device.type, enabled=False):
            return self.head(x.float())
