"""The small, fast generator of Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833; the authors' code, SRVGGNetCompact):
for videos, and where there is no graphics card. Images of any size and no fixed range.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadFile, BadOption
from zerosum.networks.translator import Signed


class Compact(nn.Module):
    """Images (n, channels, h, w) to images (n, channels, scale h, scale w): pixels are repeated, and a plain row of
    convolutions adds what is missing. All of it happens at the size of the small image.

    Args:
        scale: any whole number from 1.
        features: channels of all layers.
        layers: convolutions between the first and the last one.

    Raises:
        BadOption: there is no such scale, or no such number of layers.
    """

    def __init__(self, channels: int, *, scale: int = 4, features: int = 64, layers: int = 32):
        super().__init__()
        if scale < 1 or layers < 0:
            raise BadOption(
                f"a compact network enlarges by 1 or more, with 0 or more layers; not {scale} and {layers}."
            )
        self.scale, sizes = scale, [channels, *[features] * (layers + 1), channels * scale**2]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, 1, 1) for before, after in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.activations = nn.ModuleList(nn.PReLU(features) for _ in range(layers + 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, scale h, scale w)."""
        *inner, last = self.convs
        y = x
        for conv, activation in zip(inner, self.activations, strict=True):
            y = activation(conv(y))
        return F.pixel_shuffle(last(y), self.scale) + F.interpolate(x, scale_factor=self.scale)


class SignedCompact(Signed, Compact):
    """The same on images in [-1, 1]."""


LAYER = re.compile(r"body\.(\d{1,3})\.(weight|bias)")
"""In the authors' state dicts convolutions and activations take turns."""


def reference_names(tensors: Mapping[str, Tensor]) -> dict[str, str | None]:
    """Names in the authors' state dicts -> names in `Compact`; None: not known."""

    def rename(name: str) -> str | None:
        match = LAYER.fullmatch(name)
        kinds = ("convs", "activations")
        return f"{kinds[int(match[1]) % 2]}.{int(match[1]) // 2}.{match[2]}" if match else None

    return {name: rename(name) for name in tensors}


def reference_arguments(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `Compact` for the authors' state dict, told by names and shapes alone.

    Raises:
        BadFile: it is another network's.
    """
    numbers = sorted(int(match[1]) for name in tensors if (match := LAYER.fullmatch(name)))
    first, last = tensors.get("body.0.weight"), tensors.get(f"body.{numbers[-1]}.weight") if numbers else None
    if first is None or last is None or first.ndim != 4 or last.ndim != 4 or numbers[-1] % 2:
        raise BadFile("it is no SRVGGNetCompact, whose first and last layers, body.0 and body.<n>, are convolutions")
    channels = first.shape[1]
    scale = math.isqrt(last.shape[0] // channels)
    if scale**2 * channels != last.shape[0]:
        raise BadFile(f"its last layer has {last.shape[0]} channels, no square times the {channels} of its images")
    return {"channels": channels, "scale": scale, "features": first.shape[0], "layers": numbers[-1] // 2 - 1}
