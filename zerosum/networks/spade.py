"""The generator with spatially-adaptive normalisation (Park et al. 2019, section 3 and appendix A), arXiv:1903.07291:
images of maps that tell which class each pixel is of.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.networks.shapes import plan
from zerosum.networks.spectral import normalise
from zerosum.networks.translator import Norm, to_multiple

SLOPE = 0.2
HIDDEN = 128
"""Channels between a map and the gains and biases made of it (appendix A)."""
WITHOUT_GAINS = partial(nn.BatchNorm2d, affine=False)


class SPADE(nn.Module):
    """norm(x) (1 + gain(map)) + bias(map), gain and bias made by two convolutions of the map (equations 1 to 3)."""

    def __init__(self, channels: int, labels: int, norm: Norm):
        super().__init__()
        self.norm, self.hidden = norm(channels), nn.Conv2d(labels, HIDDEN, 3, 1, 1)
        self.modulate = nn.Conv2d(HIDDEN, 2 * channels, 3, 1, 1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """x (n, c, h, w) and the map (n, labels, h, w) -> (n, c, h, w)."""
        gain, bias = self.modulate(F.relu(self.hidden(labels), inplace=True)).chunk(2, dim=1)
        return torch.addcmul(bias, self.norm(x), 1.0 + gain)


class Block(nn.Module):
    """SPADE, leaky ReLU, conv, twice; beside it SPADE and a 1 x 1 convolution where the width changes (figure 4)."""

    def __init__(self, before: int, after: int, labels: int, norm: Norm):
        super().__init__()
        middle = min(before, after)
        self.spade1, self.conv1 = SPADE(before, labels, norm), nn.Conv2d(before, middle, 3, 1, 1)
        self.spade2, self.conv2 = SPADE(middle, labels, norm), nn.Conv2d(middle, after, 3, 1, 1)
        changes = before != after
        self.spade = SPADE(before, labels, norm) if changes else None
        self.skip = nn.Conv2d(before, after, 1, bias=False) if changes else nn.Identity()

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """x (n, before, h, w) and the map (n, labels, h, w) -> (n, after, h, w)."""
        y = self.conv1(F.leaky_relu(self.spade1(x, labels), SLOPE))
        y = self.conv2(F.leaky_relu(self.spade2(y, labels), SLOPE))
        return y + self.skip(x if self.spade is None else self.spade(x, labels))


class Generator(nn.Module):
    """Maps (n, labels, h, w), and z (n, latent) where `latent`, to images (n, c, h, w) in [-1, 1].

    From a grid of about 4 pixels a side, each block sees the map at its own resolution and doubles the grid. Where
    there is no z, the grid is made of the map and h and w may change from call to call. The blocks' convolutions are
    spectrally normalised.

    Args:
        labels: channels of the map, one for each class.
        shape: (c, h, w) of the images; any size.
        width: channels of the finest block, doubled at each coarser one, up to 16 times as many.
        latent: components of z; 0: none, and so one image for each map.
        norm: makes the normalisation that SPADE begins with, without gains and biases of its own.
    """

    def __init__(
        self, labels: int, shape: tuple[int, int, int], *, width: int = 64, latent: int = 256,
        norm: Norm = WITHOUT_GAINS,
    ):  # fmt: skip
        super().__init__()
        channels, self.height, self.width = shape
        self.levels, self.grid = plan(self.height, self.width)
        widths = [width * min(2**level, 16) for level in range(self.levels, -1, -1)]
        self.project = nn.Linear(latent, widths[0] * self.grid[0] * self.grid[1]) if latent else None
        self.first = nn.Identity() if latent else nn.Conv2d(labels, widths[0], 3, 1, 1)
        self.blocks = nn.ModuleList(Block(a, b, labels, norm) for a, b in pairwise([widths[0], *widths]))
        self.image = nn.Conv2d(widths[-1], channels, 3, 1, 1)
        self.apply(initialise)
        for block in self.blocks.children():
            for part in block.children():
                if isinstance(part, nn.Conv2d):
                    normalise(part)

    def forward(self, labels: Tensor, z: Tensor | None = None) -> Tensor:
        """(n, c, h, w).

        Raises:
            BadOption: there is a z, and the map is not of the size that the grid was made for.
        """
        height, width = labels.shape[2:]
        whole = to_multiple(labels, 2**self.levels)
        maps = [whole[:, :, :: 2**level, :: 2**level] for level in range(self.levels, -1, -1)]
        if self.project is None:
            x = self.first(maps[0])
        elif (height, width) == (self.height, self.width):
            x = self.project(z).view(len(labels), *self.grid, -1).permute(0, 3, 1, 2)  # channels-last as it is made
        else:
            raise BadOption(
                f"a generator of {self.height} x {self.width} pixels was given a map of {height} x {width}: resize it, "
                "or make one without z, which takes any size."
            )
        for i, (block, part) in enumerate(zip(self.blocks, maps, strict=True)):
            x = block(F.interpolate(x, scale_factor=2) if i else x, part)
        return torch.tanh(self.image(F.leaky_relu(x, SLOPE)))[:, :, :height, :width]


def initialise(module: nn.Module) -> None:
    """Weights as Glorot and Bengio have them, times 0.02; biases 0 (section 4 and the authors' settings)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_normal_(module.weight, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
