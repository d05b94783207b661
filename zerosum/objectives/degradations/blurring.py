"""Blur: Gaussian, of motion, and kernels for more."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.objectives.degradations.draws import Range, between, numbers
from zerosum.objectives.degradations.resizing import folded, linear


def filtered(images: Tensor, kernels: Tensor) -> Tensor:
    """Images (n, c, h, w), each under its own kernel (n, k, k), k odd; mirrored beyond the borders."""
    n, channels, height, width = images.shape
    reach = kernels.shape[-1] // 2
    y, x = (folded(torch.arange(-reach, size + reach, device=images.device), size) for size in (height, width))
    around = images.float()[:, :, y][:, :, :, x].flatten(0, 1)[None]
    weights = kernels.float().to(images.device).repeat_interleave(channels, 0)[:, None]
    with torch.autocast(images.device.type, enabled=False):
        return F.conv2d(around, weights, groups=n * channels).view_as(images).to(images.dtype)


def bump(size: int, sigma: Range, angle: float, profile: Callable[[Tensor], Tensor]) -> Tensor:
    """A kernel (size, size) that sums to 1: `profile` of d' S^-1 d, where the covariance S has the standard deviations
    `sigma`, in pixels, along axes turned by `angle`.
    """
    y, x = offsets(size)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = profile((along / sigma[0]).square() + (across / sigma[1]).square())
    return kernel / kernel.sum()


def gaussian(q: Tensor, shape: float = 1.0) -> Tensor:
    """exp(-q^shape / 2): the profile of a Gaussian, or of a generalised one."""
    return torch.exp(-(q**shape) / 2)


def plateau(q: Tensor, shape: float = 1.0) -> Tensor:
    """1 / (1 + q^shape): the profile of a plateau."""
    return 1 / (1 + q**shape)


def sinc(size: int, cutoff: float) -> Tensor:
    """A kernel (size, size) that sums to 1 and rings: the ideal low-pass up to `cutoff` radians a pixel."""
    y, x = offsets(size)
    r = (x.square() + y.square()).sqrt()
    kernel = torch.where(r > 0, cutoff * torch.special.bessel_j1(cutoff * r) / r.clamp_min(1), cutoff**2 / 2)
    return kernel / kernel.sum()


def motion(size: int, length: float, angle: float, turn: float) -> Tensor:
    """A kernel (size, size) that sums to 1: an arc of `length` pixels about `angle`, turning by `turn` radians."""
    time = (torch.arange(128, dtype=torch.float64) + 0.5) / 128 - 0.5
    x, y = ((length / 128) * step.cumsum(0) for step in ((angle + turn * time).cos(), (angle + turn * time).sin()))
    line = torch.arange(size, dtype=torch.float64) - size // 2
    across, down = (linear((place - place.mean())[:, None] - line, 1.0) for place in (x, y))
    kernel = down.T @ across
    return kernel / kernel.sum()


def offsets(size: int) -> tuple[Tensor, ...]:
    """y and x of a kernel's (size, size) elements."""
    line = torch.arange(size, dtype=torch.float64) - size // 2
    return torch.meshgrid(line, line, indexing="ij")


BLUR_DRAWS = 4
"""Numbers for `blurred`: which blur, two of its measures, its direction."""


def blurred(images: Tensor, draws: Tensor, sigma: Range = (0.5, 4.0), length: Range = (3.0, 21.0)) -> Tensor:
    """Images, each under its own blur: half of them Gaussian, with standard deviations `sigma` along two axes, half of
    motion along arcs of `length`; both in pixels. `draws` (n, BLUR_DRAWS).
    """
    size = 2 * math.ceil(max(3 * sigma[1], length[1] / 2)) + 1
    kernels = []
    for which, first, second, turn in numbers(images, draws, BLUR_DRAWS):
        angle = 2 * math.pi * turn
        if which < 0.5:
            kernels.append(bump(size, (between(first, sigma), between(second, sigma)), angle, gaussian))
        else:
            kernels.append(motion(size, between(first, length), angle, math.pi * (second - 0.5)))
    return filtered(images, torch.stack(kernels))
