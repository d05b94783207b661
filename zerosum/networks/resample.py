"""Resampling through low-pass filters: by 2 through the [1, 3, 3, 1] of StyleGAN2 and R3GAN, and through any other.

Along each axis a filter that resamples is a matrix with a band of numbers. Multiplying by it costs more arithmetic than
a depth-wise convolution and is several times faster up to some tens of pixels, above all in bf16 and in the second
derivative; above, depth-wise convolutions take over. Both can be differentiated twice, on any device.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

TAPS = (1.0, 3.0, 3.0, 1.0)
SMALL = 64
"""Pixels a side up to which matrices are faster than depth-wise convolutions (measured on two cores with AVX-512)."""


def upsample(x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, 2h, 2w) through [1, 3, 3, 1]: zeros outside, mean kept."""
    return resample(x, blur_taps(x.dtype, x.device), up=2, before=2, after=1)


def downsample(x: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, h / 2, w / 2) through [1, 3, 3, 1]: zeros outside, mean kept."""
    return resample(x, blur_taps(x.dtype, x.device), down=2, before=1, after=1)


def blur(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """[1, 3, 3, 1] without resampling: (n, c, h, w) -> (n, c, h + 2 padding - 3, w + 2 padding - 3), zeros outside."""
    return resample(x, blur_taps(x.dtype, x.device, math.sqrt(gain)), before=padding, after=padding)


@cache
def blur_taps(dtype: torch.dtype, device: torch.device, gain: float = 1.0) -> Tensor:
    """[1, 3, 3, 1] with the sum `gain`."""
    return torch.tensor([tap * gain / sum(TAPS) for tap in TAPS], dtype=dtype, device=device)


def resample(x: Tensor, taps: Tensor, *, up: int = 1, down: int = 1, before: int = 0, after: int = 0) -> Tensor:
    """Put up - 1 zeros after each pixel, pad with zeros, filter along both axes, keep each `down`-th pixel.

    Args:
        x: (n, c, h, w).
        taps: (k,) symmetric; multiplied by `up`, so that the mean is kept where their sum is 1.
        before, after: zeros (crops where negative) at both ends of the up-sampled grid.

    Returns:
        (n, c, (h up + before + after - k) // down + 1, likewise), in the precision of x.
    """
    with torch.autocast(x.device.type, enabled=False):  # images are added up in full precision
        if max(x.shape[2:]) * up <= SMALL:
            return _by_matrices(x, taps, up, down, before, after)
        return _by_convolutions(x, taps, up, down, before, after)


def _by_matrices(x: Tensor, taps: Tensor, up: int, down: int, before: int, after: int) -> Tensor:
    n, c, h, w = x.shape
    rows, columns = (matrix(taps, size, up, down, before, after).to(x.dtype) for size in (h, w))
    y = x.permute(0, 2, 3, 1)  # channels last, as convolutions want it, so nothing is copied
    y = torch.matmul(rows, y.reshape(n, h, w * c)).view(-1, w, c)
    y = torch.matmul(columns, y).view(n, len(rows), len(columns), c)
    return y.permute(0, 3, 1, 2)


def matrix(taps: Tensor, size: int, up: int, down: int, before: int, after: int) -> Tensor:
    """What `resample` does along an axis of `size` pixels, as a matrix (pixels after, size)."""
    target = (size * up + before + after - len(taps)) // down + 1
    source = torch.arange(size, device=taps.device) * up + before
    tap = source - torch.arange(target, device=taps.device)[:, None] * down
    inside = (tap >= 0) & (tap < len(taps))
    return torch.where(inside, taps[tap.clamp(0, len(taps) - 1)] * up, 0.0)


def _by_convolutions(x: Tensor, taps: Tensor, up: int, down: int, before: int, after: int) -> Tensor:
    n, c, h, w = x.shape
    if up > 1:  # a transposed depth-wise convolution would be slower
        wide = x.new_zeros(n, h * up, w * up, c).permute(0, 3, 1, 2)
        wide[:, :, ::up, ::up] = x
        x = wide
    x = F.pad(x, (before, after, before, after))
    weight = (taps * up).to(x.dtype)
    if len(taps) <= 4:  # one pass
        return F.conv2d(x, torch.outer(weight, weight).expand(c, 1, -1, -1), stride=down, groups=c)
    x = F.conv2d(x, weight.view(1, 1, -1, 1).expand(c, 1, -1, 1), stride=(down, 1), groups=c)
    return F.conv2d(x, weight.view(1, 1, 1, -1).expand(c, 1, 1, -1), stride=(1, down), groups=c)


def filter_down(x: Tensor, kernel: Tensor, down: int) -> Tensor:
    """Filter with a kernel (k, k) that is no product of two, and keep each `down`-th pixel."""
    weight = kernel.to(x.dtype).expand(x.shape[1], 1, *kernel.shape)
    return F.conv2d(x, weight, stride=down, groups=x.shape[1])


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Blur (n, c, h, w) with weights 2^-(distance / sigma)^2 up to 3 sigma away; the borders are mirrored."""
    reach = min(math.floor(3 * sigma), x.shape[2] - 1, x.shape[3] - 1)
    if reach < 1:
        return x
    taps = torch.exp2(-torch.arange(-reach, reach + 1, device=x.device).div(sigma).square()).to(x.dtype)
    return resample(F.pad(x, (reach, reach, reach, reach), mode="reflect"), taps / taps.sum())
