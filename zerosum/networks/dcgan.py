"""The networks of DCGAN (Radford et al. 2016), for images of any size from 8 pixels on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zerosum.networks.shapes import crop, plan


def widths(levels: int, width: int) -> list[int]:
    """Channels from the finest stage to the coarsest: doubled each time, to 8 times the first (figure 1)."""
    return [width * min(2**i, 8) for i in range(levels)]


def initialise_plain(module: nn.Module) -> None:
    """Weights that keep the variance without batch normalisation (He et al. 2015, for the slope 0.2)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, 0.2)
    elif isinstance(module, nn.ConvTranspose2d):
        # Of a 4 x 4 kernel with stride 2, 2 x 2 weights meet in each output.
        nn.init.normal_(module.weight, 0.0, (2.0 / (4 * module.in_channels)) ** 0.5)


def initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), batch-norm gains N(1, 0.02) (section 3)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


class Generator(nn.Module):
    """z (n, latent), and a label (n,) where `classes`, to images (n, *shape) in [-1, 1].

    A projection to the coarsest grid, then 4 x 4 transposed convolutions that double it, each with batch normalisation
    and ReLU; tanh at the end (section 3). 1024 channels at the coarsest grid for width 128 and 64 px or more.
    """

    def __init__(
        self, latent: int, shape: tuple[int, int, int], *, width: int = 64, classes: int = 0, batch_norm: bool = True
    ):
        super().__init__()
        channels, self.height, self.width = shape
        levels, self.grid = plan(self.height, self.width)
        sizes = widths(levels, width)[::-1]
        self.embed = nn.Embedding(classes, latent) if classes else None
        self.project = nn.Linear(
            latent * (2 if classes else 1), sizes[0] * self.grid[0] * self.grid[1], bias=not batch_norm
        )
        blocks: list[nn.Module] = [*([nn.BatchNorm2d(sizes[0])] if batch_norm else []), nn.ReLU(inplace=True)]
        for before, after in zip(sizes, sizes[1:], strict=False):
            blocks.append(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=not batch_norm))
            blocks += [*([nn.BatchNorm2d(after)] if batch_norm else []), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*blocks, nn.ConvTranspose2d(sizes[-1], channels, 4, 2, 1), nn.Tanh())
        self.apply(initialise if batch_norm else initialise_plain)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, *shape)."""
        if self.embed is not None:
            z = torch.cat([z, self.embed(label)], dim=1)
        x = self.project(z).view(len(z), *self.grid, -1).permute(0, 3, 1, 2)  # channels-last as it is made: no copy
        return crop(self.body(x), self.height, self.width)


class Discriminator(nn.Module):
    """Images (n, *shape), and a label (n,) where `classes`, to logits (n,).

    4 x 4 convolutions of stride 2 with batch normalisation (not in the first) and leaky ReLU 0.2, then a linear layer
    (section 3).
    A label becomes further input channels, constant over the image, as in conditional GANs (Mirza and Osindero 2014).
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 64,
        classes: int = 0,
        batch_norm: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        channels, height, self_width = shape
        levels, _ = plan(height, self_width)
        self.embed = nn.Embedding(classes, 8) if classes else None
        before, blocks = channels + (8 if classes else 0), list[nn.Module]()
        for level, after in enumerate(widths(levels, width)):
            normalise = batch_norm and level > 0
            blocks += [nn.Conv2d(before, after, 4, 2, 1, bias=not normalise)]
            blocks += [*([nn.BatchNorm2d(after)] if normalise else []), nn.LeakyReLU(0.2, inplace=True)]
            blocks += [nn.Dropout2d(dropout)] if dropout else []
            before, height, self_width = after, height // 2, self_width // 2
        self.body = nn.Sequential(*blocks)
        self.width = before * height * self_width
        self.head = nn.Linear(self.width, 1)
        self.apply(initialise if batch_norm else initialise_plain)

    def features(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, self.width): what the head sees."""
        if self.embed is not None:
            planes = self.embed(label)[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, planes.to(x.dtype)], dim=1)
        return self.body(x).permute(0, 2, 3, 1).flatten(1)  # channels-last, so that neither pass has to copy

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits (n,), in full precision whatever the features' is."""
        features = self.features(x, label)
        with torch.autocast(x.device.type, enabled=False):
            return self.head(features.float()).squeeze(1)
