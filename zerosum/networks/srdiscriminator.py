"""The discriminators of super-resolution: the strided one of SRGAN (Ledig et al. 2017, figure 4, arXiv:1609.04802) and
ESRGAN, and the U-Net of Real-ESRGAN (Wang et al. 2021, section 3.4, arXiv:2107.10833), which judges each pixel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadFile, BadOption
from zerosum.networks.patch import judged
from zerosum.networks.spectral import normalise
from zerosum.networks.translator import Double, Norm, initialise, needs_bias, to_multiple, unwrapped

SLOPE = 0.2


class VGG(nn.Module):
    """Images (n, *shape) to logits (n,): pairs of convolutions, the second of which halves the image.

    The defaults are SRGAN's for patches of 96 pixels; ESRGAN's are levels 5, kernel 4 and hidden 100 for 128 pixels.

    Args:
        shape: (c, h, w) of the images, of any size.
        width: channels of the first pair, doubled at each further one, up to 8 times as many.
        levels: pairs.
        kernel: pixels a side of the convolutions that halve, 3 or 4.
        hidden: units of the layer before the last.
        norm: makes the layers' normalisation; the first has none.

    Raises:
        BadOption: nothing would be left of the image, or there is no such kernel.
    """

    def __init__(
        self, shape: tuple[int, int, int], *, width: int = 64, levels: int = 4, kernel: int = 3, hidden: int = 1024,
        norm: Norm = nn.BatchNorm2d,
    ):  # fmt: skip
        super().__init__()
        before, height, across = shape
        if min(height, across) < 2**levels or kernel not in (3, 4):
            raise BadOption(
                f"{levels} levels with kernels of {kernel} were asked for on {height} x {across} pixels: levels need "
                f"at least {2**levels} pixels a side, and kernels are of 3 or 4."
            )
        bias, layers = needs_bias(norm, None), list[nn.Module]()
        for level in range(levels):
            after = width * min(2**level, 8)
            layers += [nn.Conv2d(before, after, 3, 1, 1, bias=bias or not level)]
            layers += [*([norm(after)] if level else []), nn.LeakyReLU(SLOPE, inplace=True)]
            layers += [nn.Conv2d(after, after, kernel, 2, 1, bias=bias), norm(after), nn.LeakyReLU(SLOPE, inplace=True)]
            height, across = ((side + 2 - kernel) // 2 + 1 for side in (height, across))
            before = after
        self.body = nn.Sequential(*layers)
        self.hidden, self.head = nn.Linear(before * height * across, hidden), nn.Linear(hidden, 1)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n,)."""
        features = self.body(x).permute(0, 2, 3, 1).flatten(1)  # channels-last, so that neither pass has to copy
        return judged(self.head, F.leaky_relu(self.hidden(features), SLOPE, inplace=True)).squeeze(1)


class UNet(nn.Module):
    """Images (n, channels, h, w) to logits (n, 1, h, w), spectrally normalised but for the first and the last layer.

    Three layers halve the image, three double it again, and what these make is added to what those were given.
    Sizes that are no multiple of 8 are mirrored up to the next one and cropped.

    Args:
        width: channels of the finest layers, doubled at each halving.
        skips: whether anything is added.
    """

    def __init__(self, channels: int, *, width: int = 64, skips: bool = True):
        super().__init__()
        self.skips, self.enlarge = skips, Double()
        sizes = [width * 2**i for i in range(4)]
        pairs = list(zip(sizes, sizes[1:], strict=False))
        self.first = nn.Conv2d(channels, width, 3, 1, 1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in pairs)
        self.up = nn.ModuleList(nn.Conv2d(b, a, 3, 1, 1, bias=False) for a, b in reversed(pairs))
        self.refine = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(2))
        self.head = nn.Conv2d(width, 1, 3, 1, 1)
        for part in (self.down, self.up, self.refine):
            normalise(part)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 1, h, w)."""
        y, seen = F.leaky_relu(self.first(to_multiple(x, 8)), SLOPE, inplace=True), list[Tensor]()
        for conv in self.down:
            seen.append(y)
            y = F.leaky_relu(conv(y), SLOPE, inplace=True)
        for conv in self.up:
            y = F.leaky_relu(conv(self.enlarge(y)), SLOPE, inplace=True)
            y = y + seen.pop() if self.skips else y
        for conv in self.refine:
            y = F.leaky_relu(conv(y), SLOPE, inplace=True)
        return judged(self.head, y)[:, :, : x.shape[2], : x.shape[3]]


NAME = re.compile(r"conv(\d)\.(weight|bias|weight_orig|weight_u|weight_v)")
PLACES = (
    "first", "down.0", "down.1", "down.2", "up.0", "up.1", "up.2", "refine.0", "refine.1", "head",
)  # fmt: skip
LEAVES = {
    "weight_orig": "parametrizations.weight.original", "weight_u": "parametrizations.weight.0.u",
    "weight_v": "parametrizations.weight.0.v",
}  # fmt: skip


def reference_names(tensors: Mapping[str, Tensor]) -> dict[str, str | None]:
    """Names in Real-ESRGAN's state dicts (RealESRGAN_x4plus_netD.pth) -> names in `UNet`; None: not known."""

    def rename(name: str) -> str | None:
        match = NAME.fullmatch(name)
        return match and f"{PLACES[int(match[1])]}.{LEAVES.get(match[2], match[2])}"

    return {name: rename(name.removeprefix("module.")) for name in tensors}


def reference_arguments(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `UNet` for Real-ESRGAN's state dict, told by shapes; `skips` leave no trace and are left out.

    Raises:
        BadFile: it is another network's.
    """
    plain = unwrapped(tensors)
    if "conv0.weight" not in plain or "conv1.weight_orig" not in plain or "conv9.weight" not in plain:
        raise BadFile("it is no discriminator of Real-ESRGAN: it lacks conv0, conv1 with spectral norm, or conv9")
    width, channels = plain["conv0.weight"].shape[:2]
    return {"channels": channels, "width": width}
