"""Resampling: by 2 through the low-pass filter [1, 3, 3, 1] of StyleGAN2 and R3GAN, and through any other filter.

Everything is written in convolutions that CPU, CUDA and MPS have kernels for and that can be differentiated twice.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TAPS = (1.0, 3.0, 3.0, 1.0)


def blur_kernel(like: Tensor, gain: float = 1.0) -> Tensor:
    """The separable filter as a depth-wise weight (c, 1, 4, 4) for `like` (n, c, h, w), its sum being `gain`."""
    taps = torch.tensor(TAPS, dtype=torch.float32, device=like.device)
    kernel = torch.outer(taps, taps) * (gain / taps.sum() ** 2)
    return kernel.to(like.dtype).expand(like.shape[1], 1, 4, 4)


def blur(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """Filter without resampling: (n, c, h, w) -> (n, c, h + 2 padding - 3, w + 2 padding - 3), zeros outside."""
    return F.conv2d(x, blur_kernel(x, gain), padding=padding, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, 2h, 2w), zeros outside, mean kept."""
    return F.conv_transpose2d(x, blur_kernel(x, 4.0), stride=2, padding=1, groups=x.shape[1])


def downsample(x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, h / 2, w / 2), zeros outside, mean kept."""
    return F.conv2d(x, blur_kernel(x), stride=2, padding=1, groups=x.shape[1])


def up_fir(x: Tensor, taps: Tensor, factor: int, before: int, after: int) -> Tensor:
    """Put factor - 1 zeros after each pixel, pad, filter along both axes with gain `factor` each.

    Args:
        x: (n, c, h, w).
        taps: (k,) symmetric, with sum 1.
        before, after: zeros (crops where negative) at both ends of the up-sampled grid.

    Returns:
        (n, c, h factor + before + after - k + 1, likewise).
    """
    k, channels = len(taps), x.shape[1]
    weight = (taps * factor).to(x.dtype)
    for axis in (2, 3):
        length = x.shape[axis] * factor + before + after - k + 1
        shape, stride = [1, 1], [1, 1]
        shape[axis - 2], stride[axis - 2] = k, factor
        full = F.conv_transpose2d(
            x, weight.view(1, 1, *shape).expand(channels, 1, *shape), stride=stride, groups=channels
        )
        # Position 0 of the result needs pixels up to k - 1 - before; `full` starts with those up to 0.
        x = window(full, axis, k - 1 - before, length)
    return x


def down_fir(x: Tensor, taps: Tensor, factor: int) -> Tensor:
    """Filter and keep each `factor`-th pixel: (n, c, h, w) -> (n, c, (h - k) // factor + 1, ...).

    Args:
        taps: (k,) separable or (k, k), symmetric, with sum 1.
    """
    channels = x.shape[1]
    taps = taps.to(x.dtype)
    if taps.dim() == 2:
        return F.conv2d(x, taps.expand(channels, 1, *taps.shape), stride=factor, groups=channels)
    x = F.conv2d(x, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(factor, 1), groups=channels)
    return F.conv2d(x, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, factor), groups=channels)


def window(x: Tensor, axis: int, start: int, length: int) -> Tensor:
    """`length` positions of `axis` from `start` on, which may lie outside, where zeros are."""
    lead, tail = max(-start, 0), max(start + length - x.shape[axis], 0)
    if lead or tail:
        padding = [0, 0, 0, 0]
        padding[2 * (3 - axis)], padding[2 * (3 - axis) + 1] = lead, tail
        x, start = F.pad(x, padding), start + lead
    return x.narrow(axis, start, length)


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Blur (n, c, h, w) with weights 2^-(distance / sigma)^2 up to 3 sigma away; the borders are mirrored."""
    reach = min(math.floor(3 * sigma), x.shape[2] - 1, x.shape[3] - 1)
    if reach < 1:
        return x
    taps = torch.exp2(-torch.arange(-reach, reach + 1, device=x.device).div(sigma).square()).to(x.dtype)
    return down_fir(F.pad(x, (reach, reach, reach, reach), mode="reflect"), taps / taps.sum(), 1)
