"""Minibatch discrimination (Salimans et al. 2016, section 3.2): D sees how alike the samples of a batch are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class MinibatchDiscrimination(nn.Module):
    """Appends to each sample's features how close it is to the other samples of the batch (equations of section 3.2).

    Args:
        inputs: number of features.
        kernels: number of closeness features.
        size: dimensions in which each of them compares.
    """

    def __init__(self, inputs: int, kernels: int = 100, size: int = 5):
        super().__init__()
        self.kernels, self.size = kernels, size
        self.project = nn.Linear(inputs, kernels * size, bias=False)
        nn.init.normal_(self.project.weight, 0.0, inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) -> (n, inputs + kernels)."""
        rows = self.project(x).float().view(len(x), self.kernels, self.size)
        distance = (rows.unsqueeze(0) - rows.unsqueeze(1)).abs().sum(3)
        # Less the likeness to itself, and as a mean, so that batches of any size look the same to the next layer.
        closeness = ((-distance).exp().sum(1) - 1.0) / max(len(x) - 1, 1)
        return torch.cat([x, closeness.to(x.dtype)], dim=1)


class Comparing(nn.Module):
    """A discriminator with minibatch discrimination before its last layer.

    Args:
        body: a discriminator of this library: it has `features` (n, width) and `width`.
    """

    def __init__(self, body: nn.Module, kernels: int = 100, size: int = 5):
        super().__init__()
        width: Any = body.width
        self.body, self.width = body, int(width)
        self.body.head = nn.Identity()  # its own last layer is replaced
        self.compare = MinibatchDiscrimination(self.width, kernels, size)
        self.head = nn.Linear(self.width + kernels, 1)

    def features(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, self.width): before the samples are compared."""
        features: Any = self.body.features
        return features(x, label)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits (n,)."""
        return self.head(self.compare(self.features(x, label))).squeeze(1)
