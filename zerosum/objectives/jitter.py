"""Random enlargement, crop and mirroring, the same for an image and for what it is translated from."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

DRAWS = 3
"""Uniform numbers that each sample takes: where the crop is (down, right), and whether it is mirrored."""


def jitter(images: tuple[Tensor, ...], draws: Tensor, factor: float, mirror: bool = True) -> tuple[Tensor, ...]:
    """Enlarge bilinearly by `factor`, crop back to the size before at a random place, mirror half (Isola et al. 2017,
    appendix 6.2: 256 px to 286 and back).

    Args:
        images: tensors (n, c, h, w) of equal n, h and w; they get the same crops.
        draws: (n, 3), uniform in [0, 1).
        factor: at least 1; 1 only mirrors.
        mirror: whether any are mirrored.
    """
    sizes = [image.shape[1] for image in images]
    whole = torch.cat(images, 1)
    height, width = whole.shape[2:]
    tall, wide = round(height * factor), round(width * factor)
    if (tall, wide) != (height, width):
        whole = F.interpolate(whole, (tall, wide), mode="bilinear", align_corners=False)
        down, right = ((draws[:, k] * (room + 1)).long() for k, room in enumerate((tall - height, wide - width)))
        rows = down[:, None] + torch.arange(height, device=whole.device)
        columns = right[:, None] + torch.arange(width, device=whole.device)
        whole = whole.gather(2, rows[:, None, :, None].expand(-1, whole.shape[1], -1, wide))
        whole = whole.gather(3, columns[:, None, None, :].expand(-1, whole.shape[1], height, -1))
    if mirror:
        whole = torch.where((draws[:, 2] < 0.5)[:, None, None, None], whole.flip(3), whole)
    return whole.split(sizes, 1)


def crop(images: Tensor, draws: Tensor, size: int) -> Tensor:
    """A random square of `size` pixels from each image (n, c, h, w), turned by a random multiple of 90 degrees and
    mirrored half of the time: the eight-fold augmentation of super-resolution.

    Args:
        images: at least `size` pixels high and wide.
        draws: (n, 4), uniform in [0, 1).
        size: pixels of the side.
    """
    height, width = images.shape[2:]
    pieces = []
    for image, (down, right, mirrored, turned) in zip(images, draws.tolist(), strict=True):
        top, left = int(down * (height - size + 1)), int(right * (width - size + 1))
        piece = image[:, top : top + size, left : left + size]
        piece = piece.flip(2) if mirrored < 0.5 else piece
        pieces.append(piece.rot90(int(turned * 4), (1, 2)))
    return torch.stack(pieces)


CROP_DRAWS = 4
"""Uniform numbers that `crop` takes for each image."""
