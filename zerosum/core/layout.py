"""How images and the weights of convolutions lie in memory."""

from __future__ import annotations

import torch
from torch import nn


def convolves(module: nn.Module) -> bool:
    """Whether any part of it is a convolution of images."""
    return any(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in module.modules())


def arrange(module: nn.Module) -> None:
    """Lay a network's weights channels-last if it convolves, which is faster, but for its parts that are `Small`."""
    if convolves(module):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for part in module.modules():
            if isinstance(part, Small):
                part.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


class Small(nn.Module):
    """Layers whose maps are smaller than their weights: on CPUs it costs more to lay these channels-last than it saves.

    What they are given must not be channels-last either.
    """
