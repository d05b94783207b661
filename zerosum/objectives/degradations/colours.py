"""Luma, and the 256 levels of files."""

from __future__ import annotations

from torch import Tensor

from zerosum.core.errors import BadOption


def grey(images: Tensor) -> Tensor:
    """(n, 1, h, w): luma of ITU-R BT.601. A fourth channel, transparency, is left out. Raises BadOption: no colours."""
    if images.shape[1] not in (1, 3, 4):
        raise BadOption(f"images with {images.shape[1]} channels have no luma: expected 1 (grey), 3 (colour) or 4.")
    if images.shape[1] == 1:
        return images
    return 0.299 * images[:, 0:1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:3]


def to_levels(images: Tensor) -> Tensor:
    """Images in [-1, 1] as whole levels 0 ... 255."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round()


def refuse_channels(images: Tensor) -> None:
    """Raise BadOption where images (n, c, h, w) are neither grey nor in colour."""
    if images.shape[1] not in (1, 3):
        raise BadOption(f"JPEG is for images of 1 (grey) or 3 (colour) channels; these have {images.shape[1]}.")
