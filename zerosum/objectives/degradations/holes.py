"""Holes, to be filled in."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zerosum.objectives.degradations.draws import refuse_draws

HOLES, BENDS = 4, 6
HOLE_DRAWS = 2 + HOLES * (4 + 2 * BENDS)
"""Numbers for `holed`: kind and count of the holes; of each its place, two measures and, per bend, angle and length."""


def holed(images: Tensor, draws: Tensor, strokes: float = 0.5) -> Tensor:
    """(n, c + 1, h, w): images with one to four holes of mid-grey, 0, then the mask, 1 where the image is known.

    In the part `strokes` of the images they are strokes of a brush with bends, after the free-form masks of Yu et al.
    2019 (arXiv:1806.03589); elsewhere rectangles, with sides from an eighth to a half of the image's.
    `draws` (n, HOLE_DRAWS) are not read by the host.
    """
    refuse_draws(images, draws, HOLE_DRAWS)
    height, width = images.shape[2:]
    side = min(height, width)
    y, x = ((torch.arange(size, device=images.device) + 0.5) / side for size in (height, width))
    draws = draws.to(images.device, torch.float32)
    holes = draws[:, 2:].view(len(images), HOLES, 4 + 2 * BENDS)
    extent = torch.tensor([width / side, height / side], device=images.device)
    missing = torch.zeros(len(images), height, width, dtype=torch.bool, device=images.device)
    for number in range(HOLES):
        hole = holes[:, number]
        brushed = _stroke(x, y, hole, extent, 0.75 / side)
        cut = torch.where((draws[:, 0] < strokes)[:, None, None], brushed, _rectangle(x, y, hole, extent))
        missing = missing | (cut & (number <= draws[:, 1] * HOLES)[:, None, None])
    known = (~missing)[:, None].to(images.dtype)
    return torch.cat([images * known, known], dim=1)


def _rectangle(x: Tensor, y: Tensor, hole: Tensor, extent: Tensor) -> Tensor:
    """(n, h, w): which pixels, at x (w,) and y (h,), lie in each rectangle."""
    centre, half = hole[:, 0:2] * extent, (1 / 16 + hole[:, 2:4] * (3 / 16)) * extent
    across = (x - centre[:, :1]).abs() < half[:, :1]
    return across[:, None, :] & ((y - centre[:, 1:]).abs() < half[:, 1:])[:, :, None]


def _stroke(x: Tensor, y: Tensor, hole: Tensor, extent: Tensor, thinnest: float) -> Tensor:
    """(n, h, w): which pixels lie under each brush, as thick as 1/20 to 1/6 of the shorter side, on its way."""
    radius = (1 / 40 + hole[:, 3] * (1 / 12 - 1 / 40)).clamp_min(thinnest)[:, None, None]
    start, heading = hole[:, 0:2] * extent, 2 * math.pi * hole[:, 2]
    under = torch.zeros(len(hole), len(y), len(x), dtype=torch.bool, device=hole.device)
    for bend in range(BENDS):
        heading = heading + (hole[:, 4 + 2 * bend] - 0.5) * (1.5 * math.pi)
        step = (0.05 + 0.2 * hole[:, 5 + 2 * bend])[:, None] * torch.stack([heading.cos(), heading.sin()], 1)
        right, down = x - start[:, :1], y - start[:, 1:]
        (dx, dy), length = step[:, :, None, None].unbind(1), step.square().sum(1)[:, None, None]
        nearest = ((right[:, None, :] * dx + down[:, :, None] * dy) / length).clamp(0.0, 1.0)
        away = (right[:, None, :] - nearest * dx).square() + (down[:, :, None] - nearest * dy).square()
        under, start = under | (away <= radius.square()), start + step
    return under
