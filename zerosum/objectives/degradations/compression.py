"""JPEG."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.objectives.degradations.colours import refuse_channels, to_levels
from zerosum.objectives.degradations.resizing import linear, resized

LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
    51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
    120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66,
) + (99,) * 38  # fmt: skip
"""The example tables of the standard (ITU-T T.81, annex K), row by row: steps of the quantisation at quality 50."""
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""Red, green and blue to luma and two colour differences (JFIF)."""


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Images (n, c, h, w) as baseline JPEG leaves them, at quality (n,) from 1 to 100: colour differences at half the
    resolution (4:2:0), 8x8 cosine transforms, the standard's tables scaled as the IJG library scales them, smooth
    up-sampling. Not differentiable: it rounds.

    Raises:
        BadOption: neither 1 (grey) nor 3 (colour) channels.
    """
    refuse_channels(images)
    height, width = images.shape[2:]
    cosines, tables, to_ycc, to_rgb = _jpeg_constants(images.device)
    luminance, chrominance = _scaled(tables, quality.to(images.device, torch.float32))
    with torch.autocast(images.device.type, enabled=False):
        levels = F.pad(to_levels(images), (0, -width % 16, 0, -height % 16), mode="replicate")
        if images.shape[1] == 1:
            decoded = _coded(levels, luminance, cosines)
        else:
            luma, *differences = (torch.einsum("oc,nchw->nohw", to_ycc, levels)).round().split(1, dim=1)
            planes = [_coded(luma, luminance, cosines)[:, :, :height, :width] - 128]
            for plane in differences:
                small = _coded(_halved(plane) + 128, chrominance, cosines) - 128
                small = small[:, :, : (height + 1) // 2, : (width + 1) // 2]
                planes.append(resized(small, 2 * small.shape[2], 2 * small.shape[3], linear)[:, :, :height, :width])
            decoded = torch.einsum("oc,nchw->nohw", to_rgb, torch.cat(planes, dim=1)) + 128
    return (decoded[:, :, :height, :width].round().clamp(0, 255) / 127.5 - 1).to(images.dtype)


def _scaled(tables: Tensor, quality: Tensor) -> Tensor:
    """(2, n, 8, 8): the tables (2, 8, 8) at quality (n,)."""
    quality = quality.round().clamp(1, 100)
    factor = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)[:, None, None]
    return ((tables[:, None] * factor + 50) / 100).floor().clamp(1, 255)


def _coded(plane: Tensor, table: Tensor, cosines: Tensor) -> Tensor:
    """A plane (n, 1, h, w) of levels whose 8x8 blocks have frequencies that are multiples of (n, 8, 8)."""
    n, _, height, width = plane.shape
    blocks = (plane - 128).view(n, height // 8, 8, width // 8, 8).transpose(2, 3)
    steps = table[:, None, None]
    multiples = cosines @ blocks @ cosines.T / steps
    # Halves are rounded away from 0, whatever the errors of rounding.
    multiples = multiples.sign() * (multiples.abs() + (0.5 + 1e-4)).floor()
    blocks = cosines.T @ (multiples * steps) @ cosines
    return (blocks.transpose(2, 3).reshape(plane.shape) + 128).round().clamp(0, 255)


def _halved(plane: Tensor) -> Tensor:
    """A plane (n, 1, h, w) at half the resolution: means of 2x2 levels, halves rounded down and up by turns (IJG)."""
    turns = torch.arange(plane.shape[3] // 2, device=plane.device) % 2
    return (F.avg_pool2d(plane, 2) + (0.25 + 0.25 * turns)).floor()


@lru_cache(maxsize=8)
def _jpeg_constants(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The cosine transform (8, 8), tables (2, 8, 8), matrices (3, 3) to luma and differences and back. Kept: copying
    makes the host wait.
    """
    k, x = torch.arange(8.0)[:, None], torch.arange(8.0)
    cosines = torch.where(k == 0, 0.125**0.5, 0.5 * torch.cos(math.pi / 8 * k * (x + 0.5)))
    tables = torch.tensor([LUMINANCE, CHROMINANCE], dtype=torch.float32).view(2, 8, 8)
    to_ycc = torch.tensor(TO_YCC)
    return cosines.to(device), tables.to(device), to_ycc.to(device), to_ycc.inverse().to(device)
