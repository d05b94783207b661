"""The U-Net generator of pix2pix (Isola et al. 2017, section 3.2.1 and appendix 6.1), arXiv:1611.07004."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadFile, BadOption
from zerosum.core.layout import Small
from zerosum.networks.translator import (
    Norm,
    channels_of,
    initialise,
    is_idle,
    needs_bias,
    norm_of,
    to_multiple,
    unwrapped,
    with_latent,
)

SLOPE = 0.2
DROPPED = 3
"""Innermost layers of the decoder that have dropout."""
SMALL = 4
"""Halvings after which maps are small."""


class Layer(nn.Module):
    """A convolution and what normalises it."""

    def __init__(self, conv: nn.Module, norm: nn.Module):
        super().__init__()
        self.conv, self.norm = conv, norm

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c', h', w')."""
        return self.norm(self.conv(x))


class SmallLayer(Layer, Small):
    """A layer of small maps."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c', h', w')."""
        return super().forward(x.contiguous())


class UNet(nn.Module):
    """Images x (n, c, h, w), and z (n, latent) where `latent`, to images (n, c', h, w) in [-1, 1], of any size.

    4 x 4 convolutions that halve the image `depth` times and others that double it again; each of these sees the
    result of the one before and that of its counterpart. Sizes that are no multiple of 2^depth are mirrored up to the
    next one and cropped.

    Args:
        source, shape: (c, h, w) of the images given and made; h and w may change from call to call.
        width: channels of the outermost layer, doubled at each further one, up to 8 times as many.
        depth: halvings, at least 2; 8 takes 256 px to a single one.
        norm: makes the layers' normalisation; the outermost have none, nor has the innermost of the encoder.
        dropout: half of what the three innermost layers of the decoder make is dropped, the paper's only noise.
        latent: components of z, joined to the image as constant channels (BicycleGAN).
        bias: of the convolutions before norms; None: unless these have their own.

    Attributes:
        noisy: dropout outside training too, as in the paper (section 3.1); False at first.

    Raises:
        BadOption: it is less than two deep.
    """

    def __init__(
        self, source: tuple[int, int, int], shape: tuple[int, int, int], *, width: int = 64, depth: int = 8,
        norm: Norm = nn.BatchNorm2d, dropout: bool = False, latent: int = 0, bias: bool | None = None,
    ):  # fmt: skip
        super().__init__()
        if depth < 2:
            raise BadOption(f"a U-Net halves the image at least twice, not {depth} times: raise its depth.")
        given, made = channels_of(source, shape)
        bias, plain = needs_bias(norm, bias), nn.Identity()
        widths = [width * min(2**level, 8) for level in range(depth)]
        self.down = nn.ModuleList([Layer(nn.Conv2d(given + latent, width, 4, 2, 1, bias=bias), plain)])
        self.up = nn.ModuleList([Layer(nn.ConvTranspose2d(2 * width, made, 4, 2, 1), plain)])
        for level, (outer, inner) in enumerate(pairwise(widths), start=1):
            innermost = level == depth - 1
            wide = inner if innermost else 2 * inner
            kind = Layer if level < SMALL else SmallLayer
            self.down.append(kind(nn.Conv2d(outer, inner, 4, 2, 1, bias=bias), plain if innermost else norm(inner)))
            self.up.append(kind(nn.ConvTranspose2d(wide, outer, 4, 2, 1, bias=bias), norm(outer)))
        self.dropout, self.noisy = dropout, False
        self.apply(initialise)

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """(n, c', h, w)."""
        y, seen = to_multiple(with_latent(x, z), 2 ** len(self.down)), list[Tensor]()
        for layer in self.down:
            y = F.leaky_relu(layer(y), SLOPE, inplace=True)
            seen.append(y)
        innermost, y = len(self.up) - 1, seen.pop()
        for level, layer in reversed(list(enumerate(self.up))):
            # What the decoder sees of the encoder is rectified once more: its leak does not reach it.
            y = layer(F.relu(y, inplace=level < innermost))
            if self.dropout and level > max(innermost - DROPPED, 0):
                y = F.dropout(y, 0.5, self.training or self.noisy)
            if level:
                y = torch.cat([seen.pop(), y], dim=1)
        return torch.tanh(y)[:, :, : x.shape[2], : x.shape[3]]


PLACES = {"1": "down.{}.conv", "2": "down.{}.norm", "5": "up.{}.conv", "6": "up.{}.norm"}
INNERMOST = {"1": "down.{}.conv", "3": "up.{}.conv", "4": "up.{}.norm"}
OUTERMOST = {"0": "down.{}.conv", "3": "up.{}.conv"}
NAME = re.compile(r"model\.model(?:\.1\.model((?:\.3\.model){0,15}))?\.(\d)\.(\w+)")
"""A block within a block within a block; each but the outermost is the fourth part of the one around it."""


def levels(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, str]]:
    """Name -> (blocks around it, its place in its own block)."""
    matches = {name: match for name in tensors if (match := NAME.fullmatch(name))}
    return {name: (0 if match[1] is None else 1 + match[1].count("model"), match[2]) for name, match in matches.items()}


def reference_names(tensors: Mapping[str, Tensor]) -> dict[str, str | None]:
    """Names in the authors' state dicts (pix2pix: latest_net_G.pth) -> names in `UNet`.

    "": the tensor is not needed; None: not known.
    """
    plain = unwrapped(tensors)
    found = levels(plain)
    deepest = max((level for level, _ in found.values()), default=0)

    def rename(name: str) -> str | None:
        if name not in found or is_idle(name, plain):
            return "" if name in found else None
        level, place = found[name]
        places = OUTERMOST if level == 0 else INNERMOST if level == deepest else PLACES
        return f"{places[place].format(level)}.{name.rpartition('.')[2]}" if place in places else None

    return {name: rename(name.removeprefix("module.")) for name in tensors}


def reference_arguments(tensors: Mapping[str, Tensor], size: tuple[int, int] = (256, 256)) -> dict[str, Any]:
    """The arguments of `UNet` for the authors' state dict, told by names and shapes alone; images of `size`.

    Dropout leaves no trace, and does nothing outside training: it is left out.

    Raises:
        BadFile: it is another network's.
    """
    plain = unwrapped(tensors)
    depth = 1 + max((level for level, _ in levels(plain).values()), default=0)
    inner = "model.model.1.model" + ".3.model" * (depth - 2)
    for name in ("model.model.0.weight", "model.model.3.weight", f"{inner}.1.weight", f"{inner}.3.weight"):
        if name not in plain:
            raise BadFile(f"it lacks {name}: it is no U-Net of pix2pix, or of less than two halvings")
    width, given = plain["model.model.0.weight"].shape[:2]
    return {
        "source": (given, *size), "shape": (plain["model.model.3.weight"].shape[1], *size), "width": width,
        "depth": depth, **norm_of(plain, f"{inner}.3", f"{inner}.4"),
    }  # fmt: skip
