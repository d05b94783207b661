"""The networks of StarGAN v2 (Choi et al. 2020, section 3.1 and appendix A), arXiv:1912.01865: an image is made anew in
a style, and a style is made of z or read off another image, for each domain by layers of its own.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.networks.patch import judged
from zerosum.networks.shapes import plan
from zerosum.networks.translator import InstanceNorm, to_multiple

SLOPE = 0.2
INTERMEDIATE = 4
"""Blocks at the coarsest resolution: half of them before there is a style, half in it."""


def modulated(norm: InstanceNorm, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """norm(x) gain + bias of x (n, c, h, w) with gain and bias (n or 1, c).

    In training on a CPU in one go and half the time; elsewhere `norm` is called, so that tiles can share statistics.
    """
    if norm.training and x.device.type == "cpu":
        samples = zip(x.split(1), gain.float().expand(len(x), -1), bias.float().expand(len(x), -1), strict=True)
        return torch.cat([F.batch_norm(one, None, None, a, b, training=True) for one, a, b in samples])
    return torch.addcmul(bias[:, :, None, None], norm(x), gain[:, :, None, None])


class Norm(nn.Module):
    """Instance normalisation with gains and biases."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = InstanceNorm(channels)
        self.gain, self.bias = nn.Parameter(torch.ones(1, channels)), nn.Parameter(torch.zeros(1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x (n, channels, h, w)."""
        return modulated(self.norm, x, self.gain, self.bias)


class AdaIN(nn.Module):
    """Instance normalisation whose gains and biases are a linear function of the style (Huang and Belongie 2017)."""

    def __init__(self, channels: int, style: int):
        super().__init__()
        self.norm, self.affine = InstanceNorm(channels), nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Same shape as x (n, channels, h, w); style (n, style)."""
        gain, bias = self.affine(style).chunk(2, dim=1)
        return modulated(self.norm, x, 1.0 + gain, bias)


class Block(nn.Module):
    """Norm, leaky ReLU, conv, mean of 2 x 2, norm, leaky ReLU, conv; beside it 1 x 1 and that mean; over sqrt 2.

    Args:
        norm: whether it normalises (the generator's do).
        down: whether it halves.
    """

    def __init__(self, before: int, after: int, *, norm: bool = False, down: bool = False):
        super().__init__()
        self.norm1, self.norm2 = (Norm(before) if norm else nn.Identity() for _ in range(2))
        self.conv1, self.conv2 = nn.Conv2d(before, before, 3, 1, 1), nn.Conv2d(before, after, 3, 1, 1)
        self.skip = nn.Conv2d(before, after, 1, bias=False) if before != after else nn.Identity()
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) -> (n, after, h, w), or half as high and wide."""
        y = self.conv1(F.leaky_relu(self.norm1(x), SLOPE))
        if self.down:  # the mean before the 1 x 1 convolution is the same function, and cheaper
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        return (self.skip(x) + self.conv2(F.leaky_relu(self.norm2(y), SLOPE))) * math.sqrt(0.5)


class StyledBlock(nn.Module):
    """As `Block`, in a style, and doubling where `up`."""

    def __init__(self, before: int, after: int, style: int, *, up: bool = False):
        super().__init__()
        self.norm1, self.norm2 = AdaIN(before, style), AdaIN(after, style)
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, 1, 1), nn.Conv2d(after, after, 3, 1, 1)
        self.skip = nn.Conv2d(before, after, 1, bias=False) if before != after else nn.Identity()
        self.up = up

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(n, before, h, w) -> (n, after, h, w), or twice as high and wide."""
        y, x = F.leaky_relu(self.norm1(x, style), SLOPE), self.skip(x)
        if self.up:
            x, y = F.interpolate(x, scale_factor=2), F.interpolate(y, scale_factor=2)
        y = self.conv2(F.leaky_relu(self.norm2(self.conv1(y), style), SLOPE))
        return (x + y) * math.sqrt(0.5)


class Synthesis(nn.Module):
    """Images (n, c, h, w), and styles (n, style), to images of the same size, of no fixed range; h and w may change.

    Args:
        shape: (c, h, w) of the images; halved until the shorter side has about 16 pixels, but once at least.
        style: components of a style.
        width: channels of the finest layers, doubled at each halving ...
        most: ... up to this.
        residual: whether what it makes is added to the image, at first nothing.
    """

    def __init__(
        self, shape: tuple[int, int, int], style: int, *, width: int = 64, most: int = 512, residual: bool = False
    ):
        super().__init__()
        channels, height, across = shape
        self.levels = max(round(math.log2(min(height, across) / 16)), 1)
        widths = [min(width * 2**level, most) for level in range(self.levels + 1)]
        wide, half = widths[-1], INTERMEDIATE // 2
        self.first = nn.Conv2d(channels, widths[0], 3, 1, 1)
        down = [Block(a, b, norm=True, down=True) for a, b in pairwise(widths)]
        self.encode = nn.Sequential(*down, *(Block(wide, wide, norm=True) for _ in range(half)))
        styled = [StyledBlock(wide, wide, style) for _ in range(half)]
        self.decode = nn.ModuleList([*styled, *(StyledBlock(a, b, style, up=True) for a, b in pairwise(widths[::-1]))])
        self.norm, self.image = Norm(widths[0]), nn.Conv2d(widths[0], channels, 1)
        self.apply(initialise)
        self.residual = residual
        if residual:
            nn.init.zeros_(self.image.weight)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(n, c, h, w)."""
        y = self.encode(self.first(to_multiple(x, 2**self.levels)))
        for block in self.decode:
            y = block(y, style)
        y = self.image(F.leaky_relu(self.norm(y), SLOPE))[:, :, : x.shape[2], : x.shape[3]]
        return x + y if self.residual else y


class Layers(nn.Module):
    """Fully connected layers of equal shape, one for each domain.

    Args:
        rate: learning-rate multiplier: weights and biases are stored divided by it.
    """

    def __init__(self, before: int, after: int, domains: int, rate: float):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(domains, before, after) * math.sqrt(2.0 / before) / rate)
        self.bias, self.rate = nn.Parameter(torch.zeros(domains, 1, after)), rate

    def forward(self, x: Tensor) -> Tensor:
        """(domains or 1, n, before) -> (domains, n, after)."""
        weight, bias = self.weight * self.rate, self.bias * self.rate
        return torch.baddbmm(bias, x.expand(len(weight), -1, -1), weight)


class Mapping(nn.Module):
    """z (n, latent) and domains (n,) to styles (n, style): layers that all domains share, then some of each one's own.

    Args:
        layers: how many are shared, and how many each domain has after these.
        rate: its learning rate, in that of the other networks.
    """

    def __init__(
        self, latent: int, style: int, domains: int, *, hidden: int = 512, layers: int = 4, rate: float = 0.01
    ):
        super().__init__()
        shared, own = [latent] + [hidden] * layers, [hidden] * layers + [style]
        self.shared = nn.ModuleList(Layers(a, b, 1, rate) for a, b in pairwise(shared))
        self.own = nn.ModuleList(Layers(a, b, domains, rate) for a, b in pairwise(own))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """(n, style)."""
        with torch.autocast(z.device.type, enabled=False):
            x = z.float()[None]
            for i, layer in enumerate([*self.shared, *self.own]):
                x = layer(F.relu(x) if i else x)
        return x[label, torch.arange(len(z), device=z.device)]


class Generator(nn.Module):
    """Images (n, c, h, w), z (n, latent) and domains (n,) to images of the same size in those domains.

    Args:
        domains: how many there are.
        hidden, layers, rate: as in `Mapping`.
        style, width, most, residual: as in `Synthesis`.
    """

    def __init__(
        self, latent: int, shape: tuple[int, int, int], domains: int, *, style: int = 64, width: int = 64,
        most: int = 512, residual: bool = False, hidden: int = 512, layers: int = 4, rate: float = 0.01,
    ):  # fmt: skip
        super().__init__()
        self.synthesis = Synthesis(shape, style, width=width, most=most, residual=residual)
        self.mapping = Mapping(latent, style, domains, hidden=hidden, layers=layers, rate=rate)

    def forward(self, x: Tensor, z: Tensor, label: Tensor) -> Tensor:
        """(n, c, h, w)."""
        return self.synthesis(x, self.mapping(z, label))


class Reader(nn.Module):
    """What an image (n, *shape) tells about its domain (n,): its style (n, outputs), or whether it is real (n,).

    Args:
        domains: each has a last layer of its own; all others are shared.
        outputs: components of a style; None: a logit.
        width, most: as in `Synthesis`, down to about 4 pixels.
    """

    def __init__(
        self, shape: tuple[int, int, int], domains: int, *, outputs: int | None = None, width: int = 64,
        most: int = 512,
    ):  # fmt: skip
        super().__init__()
        channels, height, across = shape
        self.levels, grid = plan(height, across)
        widths = [min(width * 2**level, most) for level in range(self.levels + 1)]
        self.first = nn.Conv2d(channels, widths[0], 3, 1, 1)
        self.blocks = nn.Sequential(*(Block(a, b, down=True) for a, b in pairwise(widths)))
        self.last, self.outputs = nn.Conv2d(widths[-1], widths[-1], grid), outputs
        self.heads = nn.Linear(widths[-1], domains * (outputs or 1))
        self.apply(initialise)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """(n, outputs), or (n,), in float32."""
        y = self.blocks(self.first(to_multiple(x, 2**self.levels)))
        y = F.leaky_relu(self.last(F.leaky_relu(y, SLOPE)), SLOPE).flatten(1)
        read = judged(self.heads, y).view(len(x), -1, self.outputs or 1)
        own = read[torch.arange(len(x), device=x.device), label]
        return own.squeeze(1) if self.outputs is None else own


def initialise(module: nn.Module) -> None:
    """Weights as He et al. 2015 have them, biases 0 (section 4, "Training")."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
