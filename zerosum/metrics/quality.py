"""How true an answer is to the one right image: PSNR and SSIM with the protocol of super-resolution; how much several
answers to one input differ; how sharp they are.

Images are on the scale of 256 levels: uint8, or floats from 0 to 255 that are not rounded; those in [-1, 1] go through
`features.quantise` first. Tensors are (c, h, w), arrays (h, w) or (h, w, c), with 1 (grey) or 3 (colour) channels.
Several images may have sizes of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core.errors import BadData, BadOption

Image = Tensor | np.ndarray
Colours = Literal["y", "rgb"]

TOP = 255.0
"""The largest level: the range of the data."""
WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation of SSIM's Gaussian window, in pixels ..."""
K1, K2 = 0.01, 0.03
"""... and its stabilising constants (Wang et al. 2004, section III.B)."""


@dataclass(frozen=True)
class Protocol:
    """How images are compared: the defaults are those of super-resolution by a factor of 4."""

    colours: Colours = "y"
    """Luma as MATLAB's rgb2ycbcr has it (16 to 235; grey images as they are), or all channels."""
    border: int = 4
    """Pixels cropped at each side: by custom the scale."""
    rounded: bool = True
    """Whether luma is rounded to whole levels, as MATLAB does for uint8; Python code of the field often does not."""


@dataclass(frozen=True)
class Fidelity:
    """Means over images, with what must be stated beside them."""

    psnr: float
    """In dB; infinite where an answer is exactly right."""
    ssim: float
    """1: equal."""
    sharpness: float
    """Of the answers, as part of the right images'."""
    images: int
    protocol: Protocol

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


Images = Sequence[Image] | Tensor
"""Several, of any sizes; or (n, c, h, w)."""


def fidelity(answers: Images, targets: Images, protocol: Protocol = Protocol()) -> Fidelity:
    """Every answer compared with its target, then averaged over images.

    Raises:
        BadData: other numbers or sizes of answers than of targets, or images that are too small.
        BadOption: a border below 0.

    Example:
        >>> fidelity([upscaled], [photo], Protocol(border=4)).psnr
    """
    if len(answers) != len(targets) or not len(targets):
        raise BadData(f"{len(answers)} answers for {len(targets)} targets: expected as many, and at least one.")
    rows = []
    for number, (answer, target) in enumerate(zip(answers, targets)):
        a, b = (prepared(image, protocol) for image in (answer, target))
        if a.shape != b.shape:
            raise BadData(f"answer {number} has the shape {_size(answer)}, its target {_size(target)}: expected equal.")
        rows.append((psnr(a, b), ssim(a, b), sharpness(a, b)))
    found = (math.fsum(column) / len(rows) for column in zip(*rows))
    return Fidelity(next(found), next(found), next(found), images=len(rows), protocol=protocol)


def prepared(image: Image, protocol: Protocol) -> Tensor:
    """(c, h, w) float64 on the CPU: the channels and pixels that the protocol compares. Raises as `fidelity`."""
    if protocol.border < 0:
        raise BadOption(f"a border of {protocol.border} pixels: expected 0 or more.")
    x = levels(image)
    if protocol.colours == "y" and x.shape[0] == 3:
        x = luma(x, rounded=protocol.rounded)
    inner = x[:, protocol.border : x.shape[1] - protocol.border, protocol.border : x.shape[2] - protocol.border]
    if 0 in inner.shape:
        raise BadData(
            f"an image of {x.shape[1]}x{x.shape[2]} pixels has none left inside a border of {protocol.border}."
        )
    return inner


def levels(image: Image) -> Tensor:
    """(c, h, w) float64 on the CPU. Raises BadData for another shape, type or range than those of images."""
    x = image
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(np.ascontiguousarray(x))
        x = x[None] if x.dim() == 2 else x.movedim(-1, 0)
    if x.dim() != 3 or x.shape[0] not in (1, 3) or not (x.dtype == torch.uint8 or x.is_floating_point()):
        raise BadData(
            f"an image of shape {_size(image)} and type {image.dtype}: expected 1 or 3 channels, uint8 or floats, a "
            "tensor (c, h, w) or an array (h, w, c)."
        )
    x = x.detach().cpu().double()
    if not bool(((x >= 0) & (x <= TOP)).all()):
        raise BadData(
            f"an image with values from {x.min():.4g} to {x.max():.4g}: expected 0 to 255. Images in [-1, 1] are made "
            "that by zerosum.metrics.features.quantise."
        )
    return x


def _size(image: Image) -> str:
    return "x".join(map(str, image.shape))


def luma(image: Tensor, *, rounded: bool = True) -> Tensor:
    """(1, h, w) from 16 to 235 of (3, h, w) from 0 to 255: Y of ITU-R BT.601, as MATLAB's rgb2ycbcr has it."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=image.dtype, device=image.device) / TOP
    y = 16.0 + (weights[:, None, None] * image).sum(dim=0, keepdim=True)
    return (y + 0.5).floor() if rounded else y


def psnr(answer: Image, target: Image) -> float:
    """Peak signal-to-noise ratio of two images of one size, in dB: 10 log10(255^2 / mean squared difference)."""
    error = (levels(answer) - levels(target)).square().mean().item()
    return 10 * math.log10(TOP**2 / error) if error else math.inf


def ssim(answer: Image, target: Image) -> float:
    """Structural similarity of two images of one size (Wang et al. 2004, "Image Quality Assessment", equation 13),
    averaged over the positions where the window lies inside, and over channels.

    Raises:
        BadData: the images are smaller than the window.
    """
    a, b = levels(answer), levels(target)
    if min(a.shape[1:]) < WINDOW:
        raise BadData(f"SSIM's window has {WINDOW}x{WINDOW} pixels; what is compared has {a.shape[1]}x{a.shape[2]}.")
    line = torch.exp(-(torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2).square() / (2 * SIGMA**2))
    line = line / line.sum()
    maps = torch.stack([a, b, a * a, b * b, a * b]).flatten(0, 1)[:, None]
    means = F.conv2d(F.conv2d(maps, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1)).view(5, len(a), -1)
    mean_a, mean_b, square_a, square_b, product = means
    variance_a, variance_b = square_a - mean_a.square(), square_b - mean_b.square()
    c1, c2 = (K1 * TOP) ** 2, (K2 * TOP) ** 2
    brightness = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    structure = (2 * (product - mean_a * mean_b) + c2) / (variance_a + variance_b + c2)
    return (brightness * structure).mean().item()


def sharpness(answer: Image, target: Image) -> float:
    """How strong the edges of an image are, as part of those of another of one size: the ratio of their mean squared
    differences of neighbouring pixels. 1: as sharp; less: blurred; more: noise. 1 where both are flat.
    """
    strength = [
        sum(x.diff(dim=axis).square().sum().item() for axis in (1, 2)) for x in (levels(answer), levels(target))
    ]
    return strength[0] / strength[1] if strength[1] else (1.0 if not strength[0] else math.inf)


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    """(m,): distances of the rows of two (m, ...)."""
    return (a.float() - b.float()).flatten(1).norm(dim=1)


@torch.no_grad()
def diversity(answers: Tensor, distance: Callable[[Tensor, Tensor], Tensor] = euclidean) -> float:
    """How different several answers to one input are: the mean distance of two of them, averaged over inputs; 0 where
    the noise is ignored (Zhu et al. 2017, arXiv:1711.11586, section 5.2, with LPIPS as the distance).

    Args:
        answers: (inputs, answers, ...): features, or images for a distance of images.
        distance: of two (m, ...), row by row: (m,).

    Raises:
        BadData: fewer than two answers to an input.
    """
    if answers.dim() < 3 or answers.shape[0] < 1 or answers.shape[1] < 2:
        raise BadData(
            f"answers of shape {tuple(answers.shape)}: expected (inputs, answers, ...), two answers at least."
        )
    first, second = torch.triu_indices(answers.shape[1], answers.shape[1], offset=1, device=answers.device)
    return math.fsum(distance(each[first], each[second]).mean().item() for each in answers) / len(answers)
