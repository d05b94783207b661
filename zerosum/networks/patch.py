"""Discriminators that judge each patch of an image: PatchGAN and its 1 x 1 form (Isola et al. 2017, section 3.2.2 and
appendix 6.1.2), arXiv:1611.07004; and several of them at several scales (Wang et al. 2018, section 3.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadFile, BadOption
from zerosum.networks.translator import (
    Halve,
    Norm,
    initialise,
    is_idle,
    needs_bias,
    norm_of,
    numbered,
    unwrapped,
)

SLOPE = 0.2


def judged(head: nn.Module, x: Tensor) -> Tensor:
    """Logits, in full precision whatever the features' is: bf16 has too few digits for them."""
    with torch.autocast(x.device.type, enabled=False):
        return head(x.float())


class Layer(nn.Module):
    """A 4 x 4 convolution, its norm, leaky ReLU, and the filter that halves, where there is one."""

    def __init__(self, conv: nn.Conv2d, norm: nn.Module, halve: nn.Module):
        super().__init__()
        self.conv, self.norm, self.halve = conv, norm, halve

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c', h', w')."""
        return self.halve(F.leaky_relu(self.norm(self.conv(x)), SLOPE, inplace=True))


class Patch(nn.Module):
    """Images (n, channels, h, w) to logits (n, 1, h', w'), one for each patch; of any size.

    Three strided layers judge patches of 70 x 70 pixels, one every 8 pixels.

    Args:
        channels: of the images, with those of what they are made from where the two are judged together.
        width: channels of the first layer, doubled at each further one, up to 8 times as many.
        layers: that halve the image; two more do not.
        norm: makes the layers' normalisation; the first and the last have none.
        antialias: low-pass filters where images are halved, as in CUT, instead of strides.
        bias: of the convolutions before norms; None: unless these have their own.
    """

    def __init__(
        self, channels: int, *, width: int = 64, layers: int = 3, norm: Norm = nn.BatchNorm2d, antialias: bool = False,
        bias: bool | None = None,
    ):  # fmt: skip
        super().__init__()
        bias = needs_bias(norm, bias)
        widths = [channels, *(width * min(2**i, 8) for i in range(layers + 1))]
        self.layers = nn.ModuleList()
        for i, (before, after) in enumerate(pairwise(widths)):
            halves = i < layers
            conv = nn.Conv2d(before, after, 4, 2 if halves and not antialias else 1, 1, bias=bias or i == 0)
            self.layers.append(
                Layer(conv, norm(after) if i else nn.Identity(), Halve() if halves and antialias else nn.Identity())
            )
        self.head = nn.Conv2d(widths[-1], 1, 4, 1, 1)
        self.smallest = 3 * 2**layers
        self.apply(initialise)

    def features(self, x: Tensor) -> list[Tensor]:
        """What each layer makes of x, the logits last.

        Raises:
            BadOption: x has fewer than `smallest` pixels a side.
        """
        if min(x.shape[2:]) < self.smallest:
            raise BadOption(
                f"a patch discriminator of {len(self.layers) - 1} layers needs at least {self.smallest} x "
                f"{self.smallest} pixels, not {x.shape[2]} x {x.shape[3]}: lower its layers, or its scales."
            )
        found = list[Tensor]()
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return [*found, judged(self.head, x)]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 1, h', w')."""
        return self.features(x)[-1]


class Pixel(nn.Module):
    """Images (n, channels, h, w) to logits (n, 1, h, w): each pixel by itself, its colour alone.

    Args:
        channels, norm, bias: as in `Patch`; `bias` is that of the last layer, too.
        width: channels of the first layer; twice as many in the second.
    """

    def __init__(self, channels: int, *, width: int = 64, norm: Norm = nn.BatchNorm2d, bias: bool | None = None):
        super().__init__()
        bias = needs_bias(norm, bias)
        self.conv1, self.conv2 = nn.Conv2d(channels, width, 1), nn.Conv2d(width, 2 * width, 1, bias=bias)
        self.norm, self.head = norm(2 * width), nn.Conv2d(2 * width, 1, 1, bias=bias)
        self.apply(initialise)

    def features(self, x: Tensor) -> list[Tensor]:
        """What each layer makes of x, the logits last."""
        first = F.leaky_relu(self.conv1(x), SLOPE, inplace=True)
        second = F.leaky_relu(self.norm(self.conv2(first)), SLOPE, inplace=True)
        return [first, second, judged(self.head, second)]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 1, h, w)."""
        return self.features(x)[-1]


class MultiScale(nn.Module):
    """Images (n, channels, h, w) to a list of logits: of the image, of it halved, of it halved again, and so on.

    Args:
        channels, width, layers, norm: as in `Patch`.
        scales: discriminators of the same kind, each for one size.
    """

    def __init__(
        self, channels: int, *, scales: int = 3, width: int = 64, layers: int = 3, norm: Norm = nn.BatchNorm2d
    ):
        super().__init__()
        self.scales = nn.ModuleList(Patch(channels, width=width, layers=layers, norm=norm) for _ in range(scales))

    def features(self, x: Tensor) -> list[list[Tensor]]:
        """For each scale what each layer makes of x, the logits last.

        Raises:
            BadOption: the smallest image is smaller than the patches.
        """
        found = list[list[Tensor]]()
        for i, D in enumerate(self.scales):
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) if i else x
            found.append(D.features(x))  # type: ignore[operator]
        return found

    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits (n, 1, h', w') for each scale, the image's own first."""
        return [features[-1] for features in self.features(x)]


def reference_names(tensors: Mapping[str, Tensor]) -> dict[str, str | None]:
    """Names in the authors' state dicts (CycleGAN, pix2pix, CUT: latest_net_D.pth) -> names in `Patch` or `Pixel`.

    "": the tensor is not needed; None: not known.
    """
    plain = unwrapped(tensors)
    each = 4 if numbered(plain, "filt") else 3  # places of a layer in the authors' sequence
    last = max(numbered(plain, r"(weight|bias)"), default=0)
    pixel = {"0": "conv1", "2": "conv2", "3": "norm", "5": "head"}

    def rename(name: str) -> str | None:
        if is_idle(name, plain) or name.endswith(".filt"):
            return ""
        match name.split("."):
            case ["net", number, leaf] if number in pixel:
                return f"{pixel[number]}.{leaf}"
            case ["model", number, leaf] if re.fullmatch(r"\d{1,3}", number):
                if int(number) == last:
                    return f"head.{leaf}"
                layer, place = divmod(int(number) + 1, each)
                part = "conv" if number == "0" else {0: "conv", 1: "norm"}.get(place)
                return part and f"layers.{layer}.{part}.{leaf}"
        return None

    return {name: rename(name.removeprefix("module.")) for name in tensors}


def reference_arguments(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `Patch` (or, where names begin with "net.", of `Pixel`), told by names and shapes alone.

    Raises:
        BadFile: it is another network's.
    """
    plain = unwrapped(tensors)
    if "net.0.weight" in plain and "net.5.weight" in plain:
        width, channels = plain["net.0.weight"].shape[:2]
        return {"channels": channels, "width": width, **norm_of(plain, "net.2", "net.3")}
    filters, last = numbered(plain, "filt"), max(numbered(plain, r"(weight|bias)"), default=0)
    each = 4 if filters else 3
    layers, rest = divmod(last - 2, each)
    if "model.0.weight" not in plain or rest or layers < 1 or filters - {4 * i + 2 for i in range(layers)}:
        raise BadFile("it is no patch discriminator as zerosum has them: its layers stand in other places")
    width, channels = plain["model.0.weight"].shape[:2]
    found = {"channels": channels, "width": width, "layers": layers, "antialias": bool(filters)}
    return {**found, **norm_of(plain, f"model.{each - 1}", f"model.{each}")}
