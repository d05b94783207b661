"""Convolutions over rows of tables: a row is a square image, its numbers line by line, filled up with zeros (Park et
al. 2018, arXiv:1806.03384). Shapes as in `zerosum.networks.tabular`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.data.spec import Spec
from zerosum.data.tables.rows import Layout
from zerosum.networks.tabular import Blocks

SIDES = (4, 8, 16, 24, 32, 64)
"""Sides of images, the first that is long enough."""


def side_of(numbers: int) -> int:
    """The side of the image that holds so many numbers. Raises BadOption where they are more than the largest holds."""
    for side in SIDES:
        if side**2 >= numbers:
            return side
    raise BadOption(
        f"rows of {numbers:,} numbers do not fit into an image of {SIDES[-1]} x {SIDES[-1]}: give fewer "
        "--data.categories or --data.modes, leave columns out, or choose ctgan."
    )


def stages(side: int, width: int) -> list[tuple[int, int]]:
    """(channels, side) from the finest to the coarsest stage: sides halved to 3 or 4, channels doubled each time."""
    found = [(width, side // 2)]
    while found[-1][1] > 4:
        channels, before = found[-1]
        found.append((channels * 2, before // 2))
    return found


class Generator(nn.Module):
    """z (n, latent) and a condition (n, k) to scalars in [-1, 1] and logits of the choices, at their places in a row
    (n, d): a projection to the coarsest stage, then 4 x 4 transposed convolutions with layer normalisation and ReLU.

    Attributes:
        counts: (k,) how often the data has each category.

    Args:
        latent: size of z.
        spec: of the rows.
        width: channels of the finest stage.
    """

    counts: Tensor

    def __init__(self, latent: int, spec: Spec, *, width: int = 64):
        super().__init__()
        self.blocks = Blocks(spec)
        conditions = len(Layout(spec).conditions)
        steps = stages(side_of(self.blocks.width), width)[::-1]
        self.grid = (steps[0][0], steps[0][1], steps[0][1])
        self.project = nn.Linear(latent + conditions, steps[0][0] * steps[0][1] ** 2)
        body: list[nn.Module] = [nn.LayerNorm(self.grid), nn.ReLU()]
        for (before, _), (after, side) in zip(steps, steps[1:], strict=False):
            body += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.LayerNorm((after, side, side)), nn.ReLU()]
        self.body, self.head = nn.Sequential(*body), nn.ConvTranspose2d(steps[-1][0], 1, 4, 2, 1)
        self.register_buffer("counts", torch.ones(conditions))

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """(n, d), float32."""
        x = self.body(self.project(torch.cat([z, condition], 1)).unflatten(1, self.grid))
        with torch.autocast(z.device.type, enabled=False):  # in bf16 a number would have 8 bits
            made = self.head(x.float()).flatten(1)[:, : self.blocks.width]
        scalars, logits = made.split([self.blocks.scalars, self.blocks.width - self.blocks.scalars], 1)
        return torch.cat([torch.tanh(scalars), logits], 1).index_select(1, self.blocks.back)


class Critic(nn.Module):
    """Rows with their conditions (n, d + k) to one number each (n,): 4 x 4 convolutions with layer normalisation and
    LeakyReLU, then one linear layer.

    Args:
        inputs: d + k.
        width: channels of the finest stage.
    """

    def __init__(self, inputs: int, *, width: int = 64):
        super().__init__()
        self.side = side_of(inputs)
        steps, body = stages(self.side, width), list[nn.Module]()
        for before, (after, side) in zip([1, *(channels for channels, _ in steps)], steps, strict=False):
            body += [nn.Conv2d(before, after, 4, 2, 1), nn.LayerNorm((after, side, side)), nn.LeakyReLU(0.2)]
        self.body, self.head = nn.Sequential(*body), nn.Linear(steps[-1][0] * steps[-1][1] ** 2, 1)

    def features(self, rows: Tensor) -> Tensor:
        """What the last layer sees: (n, features), float32."""
        image = F.pad(rows, (0, self.side**2 - rows.shape[1])).unflatten(1, (1, self.side, self.side))
        return self.body(image).flatten(1).float()

    def judge(self, features: Tensor) -> Tensor:
        """(n,), float32, of features (n, features)."""
        with torch.autocast(features.device.type, enabled=False):
            return self.head(features).squeeze(1)

    def forward(self, rows: Tensor) -> Tensor:
        """(n,), float32."""
        return self.judge(self.features(rows))
