"""The networks of BigGAN (Brock et al. 2019), arXiv:1809.11096, appendix B, as the authors' PyTorch program has them.

Any height and width: as many stages as `shapes.plan` says, with the channels of the square size that has as many.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.networks.resnet import DownBlock, SelfAttention
from zerosum.networks.shapes import crop, plan
from zerosum.networks.spectral import normalise

# Multiples of the width. Keys: halvings from the image to the coarsest grid (3: 32 px, 7: 512 px).
GENERATOR = {
    2: (4, 4, 4),
    3: (4, 4, 4, 4),
    4: (16, 16, 8, 4, 2),
    5: (16, 16, 8, 4, 2, 1),
    6: (16, 16, 8, 8, 4, 2, 1),
    7: (16, 16, 8, 8, 4, 2, 1, 1),
}
"""Of each stage, coarsest first (appendix B)."""
DISCRIMINATOR = {
    2: (4, 4, 4),
    3: (4, 4, 4, 4),
    4: (1, 2, 4, 8, 16),
    5: (1, 2, 4, 8, 16, 16),
    6: (1, 2, 4, 8, 8, 16, 16),
    7: (1, 1, 2, 4, 8, 8, 16, 16),
}
"""Of each block's result, finest first."""


def widths(multiples: dict[int, tuple[int, ...]], levels: int, width: int) -> list[int]:
    """Channels of the stages; those beyond 512 px are as wide as the finest one."""
    known = multiples[min(levels, 7)]
    further = (1,) * (levels - min(levels, 7))
    return [width * m for m in (known + further if multiples is GENERATOR else further + known)]


class ConditionalNorm(nn.Module):
    """Batch normalisation times 1 + gain(y), plus bias(y).

    Args:
        layer: makes the map from y to so many channels: linear in an embedding, or a table by class.
    """

    def __init__(self, channels: int, layer: Callable[[int], nn.Module]):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = layer(channels), layer(channels)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Same shape as x (n, c, h, w)."""
        return torch.addcmul(self.bias(y)[:, :, None, None], self.norm(x), 1.0 + self.gain(y)[:, :, None, None])


class UpBlock(nn.Module):
    """norm, ReLU, up, conv, norm, ReLU, conv; beside it up and a 1 x 1 convolution."""

    def __init__(self, before: int, after: int, layer: Callable[[int], nn.Module]):
        super().__init__()
        self.norm1, self.norm2 = ConditionalNorm(before, layer), ConditionalNorm(after, layer)
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, 1, 1), nn.Conv2d(after, after, 3, 1, 1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(n, before, h, w), y (n, k) -> (n, after, 2h, 2w)."""
        h = self.conv1(F.interpolate(F.relu(self.norm1(x, y)), scale_factor=2))
        h = self.conv2(F.relu(self.norm2(h, y)))
        # A 1 x 1 convolution and nearest-neighbour up-sampling commute; this order is 4 times cheaper.
        return h + F.interpolate(self.skip(x), scale_factor=2)


class Generator(nn.Module):
    """z (n, latent) and a label (n,) to images (n, *shape) in [-1, 1].

    Args:
        width: channels are multiples of it, ch in the paper.
        embedding: components of the class embedding that all layers share; None: every layer has a table of its own.
        hierarchical: z is cut into one piece for the first layer and one for each block, joined to the embedding.
        attention: self-attention where the shorter side is so many pixels (a stage of 8, 16, 32 ... times it); None,
            or where there is no such stage: none.
        deviation: of normal initial weights; None: orthogonal.
    """

    def __init__(
        self, latent: int, shape: tuple[int, int, int], classes: int, *, width: int = 96, embedding: int | None = 128,
        hierarchical: bool = True, attention: int | None = 64, deviation: float | None = None,
    ):  # fmt: skip
        super().__init__()
        channels, self.height, self.width = shape
        levels, self.grid = plan(self.height, self.width)
        sizes = widths(GENERATOR, levels, width)
        self.pieces = pieces(latent, levels, embedding) if hierarchical else [latent]
        self.shared = None if embedding is None else nn.Embedding(classes, embedding)
        self.linear = nn.Linear(self.pieces[0], sizes[0] * self.grid[0] * self.grid[1])
        layer: Callable[[int], nn.Module] = partial(nn.Embedding, classes)
        if embedding is not None:
            layer = partial(nn.Linear, embedding + (self.pieces[1] if hierarchical else 0), bias=False)
        self.blocks = nn.ModuleList(UpBlock(a, b, layer) for a, b in zip(sizes, sizes[1:], strict=False))
        stages = [4 * 2 ** (level + 1) for level in range(levels)]
        self.attend_after = stages.index(attention) if attention in stages else None
        self.attention = None if self.attend_after is None else SelfAttention(sizes[self.attend_after + 1])
        self.norm = nn.BatchNorm2d(sizes[-1])
        self.image = nn.Conv2d(sizes[-1], channels, 3, 1, 1)
        initialise(self, deviation)
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):  # tables by class are not normalised
                normalise(module)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """(n, *shape)."""
        first, *rest = z.split(self.pieces, dim=1)
        y = label if self.shared is None else self.shared(label)
        x = self.linear(first).view(len(z), -1, *self.grid).contiguous(memory_format=torch.channels_last)
        for i, block in enumerate(self.blocks):
            x = block(x, torch.cat([y, rest[i]], dim=1) if rest else y)
            if i == self.attend_after and self.attention is not None:
                x = self.attention(x)
        return crop(torch.tanh(self.image(F.relu(self.norm(x)))), self.height, self.width)


def pieces(latent: int, levels: int, embedding: int | None) -> list[int]:
    """Sizes of the pieces of z: one for the first layer, with what is left over, and one for each block."""
    if embedding is None:
        raise BadOption("a hierarchical latent joins the shared embedding: give --embedding, or --no-hierarchical.")
    each = latent // (levels + 1)
    if not each:
        raise BadOption(
            f"{latent} components of z cannot be cut into {levels + 1} pieces: "
            "raise --latent or give --no-hierarchical."
        )
    return [latent - each * levels] + [each] * levels


class Discriminator(nn.Module):
    """Images (n, *shape) and a label (n,) to logits (n,): a linear map of the features plus their projection on a
    class embedding.

    Args:
        width, attention, deviation: as in `Generator`.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, *, width: int = 96, attention: int | None = 64,
        deviation: float | None = None,
    ):  # fmt: skip
        super().__init__()
        channels, height, image_width = shape
        levels, _ = plan(height, image_width)
        sizes = [channels, *widths(DISCRIMINATOR, levels, width)]
        halvings = levels if levels > 3 else levels - 1  # small images end at 8 x 8, as CIFAR-10's do
        blocks: list[nn.Module] = []
        for i, (before, after) in enumerate(zip(sizes, sizes[1:], strict=False)):
            blocks.append(DownBlock(before, after, down=i < halvings, first=i == 0))
            if i < halvings and 4 * 2 ** (levels - i - 1) == attention:
                blocks.append(SelfAttention(after))
        self.blocks = nn.Sequential(*blocks)
        self.width = sizes[-1]
        self.head = nn.Linear(self.width, 1)
        self.embed = nn.Embedding(classes, self.width)
        initialise(self, deviation)
        normalise(self)

    def features(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, self.width): the sum over the grid."""
        return F.relu(self.blocks(x)).sum(dim=(2, 3))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Logits (n,)."""
        features = self.features(x)
        logits: Tensor = self.head(features).squeeze(1)
        return logits + (self.embed(label) * features).sum(1)


def initialise(network: nn.Module, deviation: float | None) -> None:
    """Orthogonal weights, or normal ones of this deviation; zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            if deviation is None:
                nn.init.orthogonal_(module.weight)
            else:
                nn.init.normal_(module.weight, 0.0, deviation)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def orthogonality(network: nn.Module) -> Tensor:
    """||W W^T . (1 - I)||_F^2 (equation 3), summed over all weights but the shared embedding: 0-d.

    W has a filter in each row, before spectral normalisation; so filters may have any length but should be at right
    angles to each other.
    """
    weights = [p.flatten(1) for name, p in network.named_parameters() if p.dim() > 1 and not name.startswith("shared.")]
    with torch.autocast(weights[0].device.type, enabled=False):
        # Twice the part above the diagonal.
        return torch.stack([2.0 * (w @ w.T).triu(1).square().sum() for w in weights]).sum()
