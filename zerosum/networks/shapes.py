"""How deep a convolutional network is for images of a given size, and on which grid it starts."""

from __future__ import annotations

import math

from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.data.spec import Spec


def image_size(spec: Spec) -> tuple[int, int, int]:
    """(channels, height, width), or an error that says which networks take other data."""
    if spec.kind != "image":
        raise BadOption(
            f"convolutional networks take images; this data is {spec.kind} of shape {spec.shape}: use networks:mlp."
        )
    channels, height, width = spec.shape
    if min(height, width) < 8:
        raise BadOption(
            f"convolutional networks need at least 8 x 8 pixels, the data has {height} x {width}: "
            "raise --data.resolution."
        )
    return channels, height, width


def classes_of(spec: Spec, system: str) -> int:
    """The number of classes, or an error for a conditional system that was given data without labels."""
    if spec.classes < 1:
        raise BadOption(
            f"{system} is class-conditional, but the data has no labels: give them with --data.labels, "
            "or train an unconditional system."
        )
    return spec.classes


def plan(height: int, width: int, smallest: int = 4) -> tuple[int, tuple[int, int]]:
    """(number of halvings, size of the coarsest grid) so that the shorter side ends nearest to `smallest`.

    Sizes that are no power of two times the coarsest grid are generated slightly larger and cropped.
    """
    levels = max(2, round(math.log2(min(height, width) / smallest)))
    return levels, (-(-height // 2**levels), -(-width // 2**levels))


def crop(image: Tensor, height: int, width: int) -> Tensor:
    """The middle (n, c, height, width) of a larger image."""
    top, left = (image.shape[2] - height) // 2, (image.shape[3] - width) // 2
    return image[:, :, top : top + height, left : left + width]
