"""A toy of images: in each of 8 x 8 pixels one quadrant is bright, the class says which."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.gans.games import Memory
from zerosum.data.spec import Spec

SPEC = Spec((1, 8, 8), classes=4)
MODES = F.interpolate((torch.eye(4) * 1.6 - 0.8).view(4, 1, 2, 2), scale_factor=4)


def quadrants(n: int = 400) -> Memory:
    """n images with a little noise."""
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(n) % 4
    return Memory(MODES[label] + 0.05 * torch.randn(n, 1, 8, 8, generator=generator), label)


def nearest(images: Tensor) -> tuple[Tensor, Tensor]:
    """(root mean square difference from the nearest class, which it is), each (n,)."""
    distance, which = torch.cdist(images.flatten(1), MODES.flatten(1)).min(dim=1)
    return distance / 8.0, which
