"""Fully connected networks, for points and as the first GAN's networks for images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def initialise(module: nn.Module) -> None:
    """Weights that keep the variance through ReLU (He et al. 2015).

    For images: with PyTorch's smaller ones all z start as nearly the same image and stay so for long. Points, which do
    better to start together, keep PyTorch's.
    """
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)


class Generator(nn.Module):
    """z (n, latent), and a label (n,) where `classes`, to samples (n, *shape).

    Args:
        latent: size of z.
        shape: of one sample.
        hidden: units of each hidden layer.
        layers: number of hidden layers.
        classes: 0 for unconditional; labels are embedded and joined to z.
        bounded: end in tanh (images); otherwise linear (points).
        batch_norm: normalise hidden layers over the batch.
    """

    def __init__(
        self,
        latent: int,
        shape: tuple[int, ...],
        *,
        hidden: int = 256,
        layers: int = 3,
        classes: int = 0,
        bounded: bool = True,
        batch_norm: bool = False,
    ):
        super().__init__()
        self.shape, self.bounded = shape, bounded
        self.embed = nn.Embedding(classes, min(latent, 50)) if classes else None
        width, blocks = latent + (min(latent, 50) if classes else 0), []
        for _ in range(layers):
            blocks += [nn.Linear(width, hidden), *([nn.BatchNorm1d(hidden)] if batch_norm else []), nn.ReLU()]
            width = hidden
        self.body = nn.Sequential(*blocks, nn.Linear(width, math.prod(shape)))
        if bounded:
            self.apply(initialise)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, *shape)."""
        if self.embed is not None:
            z = torch.cat([z, self.embed(label)], dim=1)
        x = self.body(z)
        return (torch.tanh(x) if self.bounded else x).view(-1, *self.shape)


class Discriminator(nn.Module):
    """Samples (n, *shape), and a label (n,) where `classes`, to logits (n,).

    Args:
        shape: of one sample.
        hidden: units of each hidden layer.
        layers: number of hidden layers.
        classes: 0 for unconditional; labels are embedded and joined to the sample.
        pieces: linear pieces of a maxout unit (Goodfellow et al. 2013); 1: leaky ReLU.
        dropout: share of hidden units dropped.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        hidden: int = 256,
        layers: int = 3,
        classes: int = 0,
        pieces: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.embed = nn.Embedding(classes, 50) if classes else None
        width, blocks = math.prod(shape) + (50 if classes else 0), list[nn.Module]()
        for _ in range(layers):
            blocks += [
                Maxout(width, hidden, pieces)
                if pieces > 1
                else nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(0.2))
            ]
            blocks += [nn.Dropout(dropout)] if dropout else []
            width = hidden
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(width, 1)
        if len(shape) > 1:
            self.apply(initialise)
        self.width = width

    def features(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, self.width): what the head sees."""
        x = x.flatten(1)
        if self.embed is not None:
            x = torch.cat([x, self.embed(label)], dim=1)
        return self.body(x)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits (n,)."""
        return self.head(self.features(x, label)).squeeze(1)


class Maxout(nn.Module):
    """The largest of `pieces` linear maps, unit by unit (Goodfellow et al. 2013)."""

    def __init__(self, inputs: int, outputs: int, pieces: int):
        super().__init__()
        self.linear, self.pieces = nn.Linear(inputs, outputs * pieces), pieces

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs)."""
        return F.max_pool1d(self.linear(x).unsqueeze(1), self.pieces).squeeze(1)
