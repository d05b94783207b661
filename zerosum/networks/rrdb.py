"""The generators of super-resolution: RRDBNet of ESRGAN (Wang et al. 2018, section 3.1, arXiv:1809.00219) and
Real-ESRGAN (Wang et al. 2021, section 3.4, arXiv:2107.10833), and SRResNet of SRGAN (Ledig et al. 2017, section 2.1.1,
arXiv:1609.04802). Images of any size and no fixed range.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadFile, BadOption
from zerosum.networks.translator import Signed, to_multiple, unwrapped

SLOPE = 0.2
RESIDUAL = 0.2
"""What residual blocks add is multiplied by this (ESRGAN, section 3.1: beta)."""


class DenseBlock(nn.Module):
    """x + 0.2 f(x); each of f's five convolutions sees x and the results of all before it.

    The weights begin at a tenth of He et al.'s (ESRGAN, section 3.1, and its supplement).
    """

    def __init__(self, features: int, growth: int):
        super().__init__()
        sizes = [growth] * 4 + [features]
        self.convs = nn.ModuleList(nn.Conv2d(features + i * growth, size, 3, 1, 1) for i, size in enumerate(sizes))
        self.apply(self.initialise)

    @staticmethod
    def initialise(module: nn.Module) -> None:
        """Small weights, no biases."""
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.normal_(module.weight, 0.0, 0.1 * math.sqrt(2.0 / module.weight[0].numel()))
            nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x (n, features, h, w)."""
        *inner, last = self.convs
        seen = x
        for conv in inner:
            seen = torch.cat([seen, F.leaky_relu(conv(seen), SLOPE, inplace=True)], dim=1)
        return torch.add(x, last(seen), alpha=RESIDUAL)


class RRDB(nn.Module):
    """x + 0.2 f(x), f being three dense blocks: the residual in residual dense block (figure 4)."""

    def __init__(self, features: int, growth: int):
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(features, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x (n, features, h, w)."""
        return torch.add(x, self.dense(x), alpha=RESIDUAL)


class RRDBNet(nn.Module):
    """Images (n, channels, h, w) to images (n, channels, scale h, scale w).

    Where the result is less than 4 times as large, pixels are first put side by side as channels, so that the trunk
    works on a quarter of the result's height and width in any case (Real-ESRGAN, figure 4).

    Args:
        scale: 1, 2, 4, 8, ...
        features: channels of the trunk.
        blocks: RRDBs (ESRGAN: 23).
        growth: channels that each inner convolution of a dense block adds.
        unshuffle: the trunk works on the image's height and width divided by this, a power of 2; None: as above.

    Raises:
        BadOption: scale or unshuffle is no power of 2.
    """

    def __init__(
        self, channels: int, *, scale: int = 4, features: int = 64, blocks: int = 23, growth: int = 32,
        unshuffle: int | None = None,
    ):  # fmt: skip
        super().__init__()
        self.scale, self.unshuffle = scale, max(4 // max(scale, 1), 1) if unshuffle is None else unshuffle
        whole = scale * self.unshuffle
        if scale < 1 or whole < 1 or whole & (whole - 1):
            raise BadOption(f"RRDBNet enlarges by 1, 2, 4, 8 or a higher power of 2, not by {scale}: change scale.")
        self.first = nn.Conv2d(channels * self.unshuffle**2, features, 3, 1, 1)
        self.blocks = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.merge = nn.Conv2d(features, features, 3, 1, 1)
        self.ups = nn.ModuleList(nn.Conv2d(features, features, 3, 1, 1) for _ in range(whole.bit_length() - 1))
        self.fine, self.image = nn.Conv2d(features, features, 3, 1, 1), nn.Conv2d(features, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, scale h, scale w)."""
        y = self.first(F.pixel_unshuffle(to_multiple(x, self.unshuffle), self.unshuffle))
        y = y + self.merge(self.blocks(y))
        for conv in self.ups:
            y = F.leaky_relu(conv(F.interpolate(y, scale_factor=2)), SLOPE, inplace=True)
        y = self.image(F.leaky_relu(self.fine(y), SLOPE, inplace=True))
        return y[:, :, : x.shape[2] * self.scale, : x.shape[3] * self.scale]


class SignedRRDBNet(Signed, RRDBNet):
    """The same on images in [-1, 1]; the authors' networks work on values from 0 to 1."""


class ResidualBlock(nn.Module):
    """x + norm(conv(prelu(norm(conv(x)))))."""

    def __init__(self, features: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(features, features, 3, 1, 1, bias=False) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm2d(features), nn.BatchNorm2d(features)
        self.activation = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x (n, features, h, w)."""
        return x + self.norm2(self.conv2(self.activation(self.norm1(self.conv1(x)))))


class SRResNet(nn.Module):
    """Images (n, channels, h, w) to images (n, channels, scale h, scale w) (SRGAN, figure 4).

    Args:
        scale: 2, 4, 8, ... or 3.
        features: channels of all layers.
        blocks: residual blocks.

    Raises:
        BadOption: there is no such scale.
    """

    def __init__(self, channels: int, *, scale: int = 4, features: int = 64, blocks: int = 16):
        super().__init__()
        steps = [3] if scale == 3 else [2] * max(scale.bit_length() - 1, 0)
        if scale < 2 or math.prod(steps) != scale:
            raise BadOption(f"SRResNet enlarges by 2, 3, 4, 8 or a higher power of 2, not by {scale}: change scale.")
        self.first = nn.Sequential(nn.Conv2d(channels, features, 9, 1, 4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.merge = nn.Sequential(nn.Conv2d(features, features, 3, 1, 1, bias=False), nn.BatchNorm2d(features))
        self.ups = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(features, features * by**2, 3, 1, 1), nn.PixelShuffle(by), nn.PReLU())
                for by in steps
            )
        )
        self.image = nn.Conv2d(features, channels, 9, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, scale h, scale w)."""
        y = self.first(x)
        return self.image(self.ups(y + self.merge(self.blocks(y))))


DENSE = re.compile(r"(?:body|RRDB_trunk|model\.1\.sub)\.(\d{1,3})\.(?:rdb|RDB)([123])\.conv([1-5])(?:\.0)?")
UPS = re.compile(r"(?:conv_up|upconv)(\d)")
OLDEST = re.compile(r"model\.(\d{1,2})")
"""In the oldest layout the layers after the trunk, unnumbered activations and enlargements between them."""
WHOLE = {
    "conv_first": "first", "conv_body": "merge", "trunk_conv": "merge", "conv_hr": "fine", "HRconv": "fine",
    "conv_last": "image",
}  # fmt: skip


def modules(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of the modules in any of the three layouts that files have -> names in `RRDBNet`."""
    names = {name.rpartition(".")[0] for name in tensors}
    tail = sorted(int(match[1]) for name in names if (match := OLDEST.fullmatch(name)) and int(match[1]))
    ends = dict(zip(tail, [*(f"ups.{i}" for i in range(len(tail) - 2)), "fine", "image"], strict=False))

    def rename(name: str) -> str | None:
        if match := DENSE.fullmatch(name):
            return f"blocks.{match[1]}.dense.{int(match[2]) - 1}.convs.{int(match[3]) - 1}"
        if match := UPS.fullmatch(name):
            return f"ups.{int(match[1]) - 1}"
        if match := OLDEST.fullmatch(name):
            return ends[int(match[1])] if int(match[1]) else "first"
        return "merge" if re.fullmatch(r"model\.1\.sub\.\d{1,3}", name) else WHOLE.get(name)

    return {name: new for name in names if (new := rename(name)) is not None}


def reference_names(tensors: Mapping[str, Tensor]) -> dict[str, str | None]:
    """Names in the authors' state dicts -> names in `RRDBNet`; None: not known.

    Files have one of three layouts: that of Real-ESRGAN (body.0.rdb1.conv1), ESRGAN's (RRDB_trunk.0.RDB1.conv1), and
    ESRGAN's oldest (model.1.sub.0.RDB1.conv1.0), which most models of enthusiasts have.
    """
    known = modules(unwrapped(tensors))

    def rename(name: str) -> str | None:
        module, _, leaf = name.rpartition(".")
        return f"{known[module]}.{leaf}" if module in known else None

    return {name: rename(name.removeprefix("module.")) for name in tensors}


def reference_arguments(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `RRDBNet` for the authors' state dict, told by names and shapes alone.

    A model that enlarges once by 3 looks the same as one that enlarges once by 2, and is taken for that.

    Raises:
        BadFile: it is another network's.
    """
    plain = unwrapped(tensors)
    weights = {new: plain.get(f"{old}.weight") for old, new in modules(plain).items()}
    first, image = weights.get("first"), weights.get("image")
    inner, last = (weights.get(f"blocks.0.dense.0.convs.{i}") for i in (0, 4))
    if first is None or image is None or inner is None or last is None:
        raise BadFile("it is no RRDBNet: it lacks the first or the last convolution, or the first block")
    unshuffle = math.isqrt(first.shape[1] // image.shape[0])
    if unshuffle**2 * image.shape[0] != first.shape[1]:
        raise BadFile(f"it makes images of {image.shape[0]} channels of {first.shape[1]}, not of as many")
    ups = sum(name.startswith("ups.") for name in weights)
    if 2**ups % unshuffle:
        raise BadFile(f"it makes images smaller: it divides them by {unshuffle} and doubles them {ups} times")
    blocks = {name.split(".")[1] for name in weights if name.startswith("blocks.")}
    return {
        "channels": image.shape[0], "scale": 2**ups // unshuffle, "features": first.shape[0], "blocks": len(blocks),
        "growth": inner.shape[0], "unshuffle": unshuffle,
    }  # fmt: skip
