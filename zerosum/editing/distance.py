"""How far a generated image is from a target: what projection descends.

A distance is made from the target, so that what it needs of the target is computed once: `pyramid(target)(images)`.
Networks are handed in as a callable from images to feature maps: this package knows none of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Measure = Callable[[Tensor], Tensor]
"""Images (n, c, h, w) to their distances (n,) from targets it was made for, image by image."""
Distance = Callable[[Tensor], Measure]
"""Targets (n, c, h, w) in [-1, 1] to a measure."""
Features = Callable[[Tensor], Sequence[Tensor]]
"""Images (n, c, h, w) in [-1, 1] to maps (n, channels, ...), differentiable."""

SMALLEST = 8
"""Pixels of the shorter side at the top of the pyramid."""


def scales(images: Tensor) -> list[Tensor]:
    """The images and their halves, quarters ... (means of 2 x 2 pixels) down to about 8 pixels."""
    found = [images]
    while min(found[-1].shape[2:]) >= 2 * SMALLEST:
        found.append(F.avg_pool2d(found[-1], 2))
    return found


def levels(images: Tensor) -> list[Tensor]:
    """At every scale pixels and differences of neighbours: edges count as much as tones."""
    found = []
    for image in scales(images):
        found += [image, image.diff(dim=2), image.diff(dim=3)]
    return found


def pyramid(target: Tensor) -> Measure:
    """Mean squared differences of pixels and of their gradients, averaged over scales. Needs no network."""
    wanted = levels(target)

    def measure(images: Tensor) -> Tensor:
        parts = [(a - b).square().mean(dim=(1, 2, 3)) for a, b in zip(levels(images), wanted, strict=True)]
        return torch.stack(parts).sum(0) * (3 / len(parts))

    return measure


def perceptual(features: Features, weight: float = 0.1) -> Distance:
    """`pyramid` plus `weight` times the distance of features: maps of unit length at each position, squared differences
    averaged over positions and maps (Zhang et al. 2018, equation 1, with equal weights).
    """

    def normalised(images: Tensor) -> list[Tensor]:
        return [F.normalize(maps.float(), dim=1).flatten(2 if maps.dim() > 2 else 1) for maps in features(images)]

    def distance(target: Tensor) -> Measure:
        pixels = pyramid(target)
        with torch.no_grad():
            wanted = normalised(target)

        def measure(images: Tensor) -> Tensor:
            parts = [
                (a - b).square().sum(1).flatten(1).mean(1) if a.dim() > 2 else (a - b).square().sum(1)
                for a, b in zip(normalised(images), wanted, strict=True)
            ]
            return pixels(images) + weight * torch.stack(parts).mean(0)

        return measure

    return distance


def activations(network: nn.Sequential) -> Features:
    """What every ReLU of a sequence of layers gives: the features of a convolutional classifier."""

    def features(images: Tensor) -> list[Tensor]:
        found, x = [], images
        for layer in network:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(x)
        return found

    return features
