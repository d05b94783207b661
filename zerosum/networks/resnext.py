"""The networks of R3GAN (Huang et al. 2024, section 3), arXiv:2501.05441: ResNeXt blocks without any normalisation.

Any height and width: the basis that the generator starts from has the shape of the coarsest grid (4 x 4 for square
powers of two).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.networks.equalized import SLOPE, one_hot
from zerosum.networks.resample import downsample, upsample
from zerosum.networks.shapes import crop


def fan_in_normal(weight: Tensor, gain: float = 1.0) -> None:
    """Normal with standard deviation gain / sqrt(fan-in); the fan-in of a grouped convolution is one group's."""
    with torch.no_grad():
        weight.normal_(std=gain / math.sqrt(weight[0].numel())) if gain else weight.zero_()


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1 x 1 convolution as a matrix product: the same numbers, and second derivatives that are products, too."""
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


class Block(nn.Module):
    """x + conv1x1(act(grouped conv3x3(act(conv1x1(x))))), wide in the middle (an inverted bottleneck).

    Args:
        width: channels in and out.
        cardinality: groups of the middle convolution.
        expansion: channels in the middle are `width` times this.
        blocks: of the whole network; the more, the smaller the first weights (Fix-up initialisation, Zhang et al.
        2019).
    """

    def __init__(self, width: int, cardinality: int, expansion: int, blocks: int):
        super().__init__()
        wide = width * expansion
        self.conv1 = nn.Conv2d(width, wide, 1, bias=False)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, groups=cardinality, bias=False)
        self.conv3 = nn.Conv2d(wide, width, 1, bias=False)
        self.bias1, self.bias2 = nn.Parameter(torch.zeros(wide)), nn.Parameter(torch.zeros(wide))
        # sqrt(2 / (1 + 0.2^2)) keeps the variance through a leaky ReLU; L^(-1 / (2m - 2)) with m = 3 layers is
        # Fix-up's.
        gain = math.sqrt(2.0 / (1.0 + SLOPE**2)) * blocks**-0.25
        fan_in_normal(self.conv1.weight, gain)
        fan_in_normal(self.conv2.weight, gain)
        fan_in_normal(self.conv3.weight, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x (n, width, h, w)."""
        # The bias of an activation is that of the convolution before it.
        y = F.leaky_relu(pointwise(x, self.conv1.weight, self.bias1), SLOPE)  # not in place: the product is a view
        y = F.conv2d(y, self.conv2.weight, self.bias2, padding=1, groups=self.conv2.groups)
        return x + pointwise(F.leaky_relu_(y, SLOPE), self.conv3.weight)


def transition(before: int, after: int) -> nn.Module:
    """A 1 x 1 convolution where the width changes."""
    if before == after:
        return nn.Identity()
    conv = nn.Conv2d(before, after, 1, bias=False)
    fan_in_normal(conv.weight)
    return conv


@dataclass(frozen=True)
class Stages:
    """The residual blocks of each resolution, coarsest first."""

    widths: tuple[int, ...]
    """Channels."""
    cardinalities: tuple[int, ...]
    """Groups of the middle convolutions."""
    blocks: tuple[int, ...]
    """How many."""
    expansion: int = 2
    """Of the inverted bottlenecks."""

    def modules(self) -> list[nn.Module]:
        """A sequence of blocks for each resolution."""
        total = sum(self.blocks)
        return [
            nn.Sequential(*(Block(width, groups, self.expansion, total) for _ in range(count)))
            for width, groups, count in zip(self.widths, self.cardinalities, self.blocks, strict=True)
        ]


def grid_of(height: int, width: int, stages: int) -> tuple[int, int]:
    """Size of the coarsest grid under `stages` resolutions."""
    return -(-height // 2 ** (stages - 1)), -(-width // 2 ** (stages - 1))


class Generator(nn.Module):
    """z (n, latent), and a label, to images (n, *shape) of no fixed range (trained to about [-1, 1]).

    Args:
        classes: the embedded label is concatenated to z where not 0.
        embedding: components of the embedded label.
    """

    def __init__(
        self, latent: int, shape: tuple[int, int, int], stages: Stages, *, classes: int = 0, embedding: int = 64
    ):
        super().__init__()
        widths = stages.widths
        channels, self.height, self.width = shape
        self.classes, grid = classes, grid_of(self.height, self.width, len(widths))
        self.basis = nn.Parameter(torch.randn(widths[0], *grid))
        self.project = nn.Linear(latent + (embedding if classes else 0), widths[0], bias=False)
        fan_in_normal(self.project.weight)
        self.embed = nn.Linear(classes, embedding, bias=False) if classes else None
        if self.embed is not None:
            fan_in_normal(self.embed.weight)
        self.stages = nn.ModuleList(stages.modules())
        self.transitions = nn.ModuleList(transition(a, b) for a, b in pairwise(widths))
        self.image = nn.Conv2d(widths[-1], channels, 1, bias=False)
        fan_in_normal(self.image.weight)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, *shape)."""
        if self.embed is not None:
            z = torch.cat([z, self.embed(one_hot(label, self.classes))], dim=1)
        x = self.basis * self.project(z)[:, :, None, None]
        x = self.stages[0](x.contiguous(memory_format=torch.channels_last))
        for change, blocks in zip(self.transitions, self.stages[1:], strict=True):
            x = blocks(upsample(change(x)))
        return crop(self.image(x).float(), self.height, self.width)


class Discriminator(nn.Module):
    """Images (n, *shape), and a label, to logits (n,): the generator's mirror image.

    Args:
        classes: the features are projected onto the embedded label where not 0.
        embedding: components of the embedded label; None: the coarsest stage's width.
    """

    def __init__(self, shape: tuple[int, int, int], stages: Stages, *, classes: int = 0, embedding: int | None = None):
        super().__init__()
        widths = stages.widths
        channels, height, width = shape
        grid, scale = grid_of(height, width, len(widths)), 2 ** (len(widths) - 1)
        self.padding, self.classes = (grid[0] * scale - height, grid[1] * scale - width), classes
        self.from_image = nn.Conv2d(channels, widths[-1], 1, bias=False)
        fan_in_normal(self.from_image.weight)
        self.stages = nn.ModuleList(reversed(stages.modules()))
        self.transitions = nn.ModuleList(transition(a, b) for a, b in pairwise(widths[::-1]))
        self.basis = nn.Conv2d(widths[0], widths[0], grid, groups=widths[0], bias=False)
        fan_in_normal(self.basis.weight)
        embedding = (embedding or widths[0]) if classes else 1
        self.out = nn.Linear(widths[0], embedding, bias=False)
        fan_in_normal(self.out.weight)
        self.embed = nn.Linear(classes, embedding, bias=False) if classes else None
        if self.embed is not None:
            fan_in_normal(self.embed.weight, math.sqrt(classes / embedding))

    def features(self, x: Tensor) -> Tensor:
        """(n, widths[0]): what the last layer sees."""
        tall, wide = self.padding
        if tall or wide:
            x = F.pad(x, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))
        x = self.stages[0](self.from_image(x))
        for change, blocks in zip(self.transitions, self.stages[1:], strict=True):
            x = blocks(change(downsample(x)))
        return (x * self.basis.weight[:, 0].to(x.dtype)).sum(dim=(2, 3))  # a convolution with a single position

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits (n,)."""
        features = self.features(x)
        with torch.autocast(features.device.type, enabled=False):  # bf16 has too few digits for logits
            logits = self.out(features.float())
            if self.embed is None:
                return logits.squeeze(1)
            return (logits * self.embed(one_hot(label, self.classes))).sum(1)
