"""The networks of ProGAN (Karras et al. 2018), arXiv:1710.10196: sections 2 to 4, table 2.

Both hold the layers of all resolutions from the start and know how far they have grown: 0 is the coarsest grid, 1 the
next resolution whole, 1.25 that with a quarter of the one after it faded in (figure 2).
Any height and width: images are made on a grid of a power of two times the coarsest, and cropped.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.networks.equalized import SLOPE, EqualizedConv, EqualizedLinear, MinibatchStd, one_hot, unit_moment
from zerosum.networks.shapes import crop, plan


def channels_at(level: int, base: int, most: int) -> int:
    """Channels where the image would be 4 * 2**level pixels high: 2 base / pixels, at most `most` (table 2)."""
    return max(min(base // (2 * 2**level), most), 1)


class Growing(nn.Module):
    """A network that grows. How far is saved beside its weights, and read without waiting for the device.

    Attributes:
        levels: doublings of the coarsest grid at full size.
        growth: those that it has grown to, whole or in part.
        coarse_first: the lists of its stages begin with the coarsest.
    """

    coarse_first = True

    def __init__(self, levels: int):
        super().__init__()
        self.levels, self.growth = levels, 0.0

    def place(self) -> tuple[int, float]:
        """(the finest level in use, its weight alpha against the one before it, in (0, 1])."""
        level = math.ceil(self.growth)
        return level, self.growth - level + 1.0

    def get_extra_state(self) -> Tensor:
        """What `state_dict` saves besides parameters and buffers."""
        return torch.tensor(self.growth, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """What `load_state_dict` found of it."""
        self.growth = float(state)


class Start(nn.Module):
    """z to the coarsest grid: fully connected with one bias a channel ("Conv 4 x 4" in table 2), then a convolution."""

    def __init__(self, latent: int, after: int, grid: tuple[int, int]):
        super().__init__()
        cells = grid[0] * grid[1]
        self.weight = nn.Parameter(torch.randn(after * cells, latent))
        self.bias = nn.Parameter(torch.zeros(after))
        self.conv = EqualizedConv(after, after, 3, activate=True)
        self.grid, self.scale = grid, math.sqrt(2.0 / (latent * cells))  # fan-in of a convolution over the grid

    def forward(self, z: Tensor) -> Tensor:
        """(n, latent) -> (n, after, *grid)."""
        x = F.linear(z, self.weight * self.scale).view(len(z), -1, *self.grid) + self.bias[:, None, None]
        x = unit_moment(F.leaky_relu(x, SLOPE)).contiguous(memory_format=torch.channels_last)
        return unit_moment(self.conv(x))


class UpBlock(nn.Module):
    """Nearest-neighbour up-sampling and two convolutions, each with leaky ReLU and pixel norm."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.conv0 = EqualizedConv(before, after, 3, activate=True)
        self.conv1 = EqualizedConv(after, after, 3, activate=True)

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) -> (n, after, 2h, 2w)."""
        return unit_moment(self.conv1(unit_moment(self.conv0(F.interpolate(x, scale_factor=2)))))


class Generator(Growing):
    """z (n, latent), and a label, to images (n, *shape), of no fixed range (trained to about [-1, 1]).

    Args:
        classes: labels are concatenated to z where not 0.
        base, most: channels are 2 base / pixels, at most `most`.
    """

    def __init__(
        self, latent: int, shape: tuple[int, int, int], *, classes: int = 0, base: int = 8192, most: int = 512
    ):
        channels, height, width = shape
        levels, grid = plan(height, width)
        super().__init__(levels)
        self.height, self.width, self.classes = height, width, classes
        sizes = [channels_at(level, base, most) for level in range(levels + 1)]
        self.start = Start(latent + classes, sizes[0], grid)
        self.blocks = nn.ModuleList(UpBlock(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.to_image = nn.ModuleList(EqualizedConv(size, channels, 1) for size in sizes)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, *shape): as far as it has grown, and from there on by nearest neighbours."""
        image, (level, _) = self.grown(z, label), self.place()
        if level < self.levels:
            image = F.interpolate(image, scale_factor=2 ** (self.levels - level))
        return crop(image, self.height, self.width)

    def grown(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Images of the resolution grown to, (n, channels, h 2^level, w 2^level) for a coarsest grid of h x w."""
        z = unit_moment(z.float())
        if self.classes:  # one-hot, with as much power as z has
            z = torch.cat([z, one_hot(label, self.classes) * math.sqrt(z.shape[1])], dim=1)
        level, alpha = self.place()
        before = x = self.start(z)
        for block in self.blocks[:level]:
            before, x = x, block(x)
        image: Tensor = self.to_image[level](x)
        if alpha < 1.0:
            image = F.interpolate(self.to_image[level - 1](before), scale_factor=2).lerp(image, alpha)
        return image.float()


class DownBlock(nn.Module):
    """Two convolutions with leaky ReLU and averages of 2 x 2 pixels."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.conv0 = EqualizedConv(before, before, 3, activate=True)
        self.conv1 = EqualizedConv(before, after, 3, activate=True)

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) -> (n, after, h / 2, w / 2)."""
        return F.avg_pool2d(self.conv1(self.conv0(x)), 2)


class Discriminator(Growing):
    """Images of the resolution grown to, and a label, to logits (n,).

    Args:
        classes: the label's own row of the last layer judges where not 0 (a projection of the label onto the features).
        base, most: channels are 2 base / pixels, at most `most`.
        group: samples a group of the minibatch standard deviation; 0: leave it out.
    """

    def __init__(
        self, shape: tuple[int, int, int], *, classes: int = 0, base: int = 8192, most: int = 512, group: int = 4
    ):
        channels, height, width = shape
        levels, grid = plan(height, width)
        super().__init__(levels)
        self.padding, self.classes = (grid[0] * 2**levels - height, grid[1] * 2**levels - width), classes
        sizes = [channels_at(level, base, most) for level in range(levels + 1)]
        last = sizes[0]
        self.from_image = nn.ModuleList(EqualizedConv(channels, size, 1, activate=True) for size in sizes)
        self.blocks = nn.ModuleList(DownBlock(b, a) for a, b in zip(sizes, sizes[1:], strict=False))
        self.std = MinibatchStd(group) if group else nn.Identity()
        self.conv = EqualizedConv(last + (1 if group else 0), last, 3, activate=True)
        self.dense = EqualizedLinear(last * grid[0] * grid[1], last, activate=True)
        self.out = EqualizedLinear(last, max(classes, 1))

    def seen(self, image: Tensor) -> Tensor:
        """Images of full size (n, *shape) as they look at this growth: averaged down, blended with the level before.

        Where the grid is larger than the image its border is repeated: G's images are cropped there.
        """
        tall, wide = self.padding
        if tall or wide:
            border = (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2)
            image = F.pad(image, border, mode="replicate")
        level, alpha = self.place()
        if level < self.levels:
            image = F.avg_pool2d(image, 2 ** (self.levels - level))
        if alpha < 1.0:
            image = F.interpolate(F.avg_pool2d(image, 2), scale_factor=2).lerp(image, alpha)
        return image

    def features(self, x: Tensor) -> Tensor:
        """(n, channels of the coarsest level): what the last layer sees."""
        level, alpha = self.place()
        y = self.from_image[level](x)
        if level:
            y = self.blocks[level - 1](y)
        if alpha < 1.0:
            y = self.from_image[level - 1](F.avg_pool2d(x, 2)).lerp(y, alpha)
        for block in reversed(self.blocks[: max(level - 1, 0)]):
            y = block(y)
        features: Tensor = self.dense(self.conv(self.std(y)).flatten(1))
        return features

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits (n,)."""
        features = self.features(x)
        with torch.autocast(features.device.type, enabled=False):  # bf16 has too few digits for logits
            logits: Tensor = self.out(features.float())
        return (logits * one_hot(label, self.classes)).sum(1) if self.classes else logits.squeeze(1)
