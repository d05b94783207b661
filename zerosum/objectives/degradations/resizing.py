"""Images of another size."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from zerosum.core.errors import BadData, BadOption

Kernel = Callable[[Tensor, float], Tensor]
"""(distances, step) to weights: what a pixel counts at a distance, in pixels; one of the result is `step` wide."""


def cubic(distance: Tensor, step: float) -> Tensor:
    """Cubic convolution, a = -1/2 (Keys 1981), between the four nearest pixels."""
    d = distance.abs()
    near, far = (1.5 * d - 2.5) * d * d + 1.0, ((2.5 - 0.5 * d) * d - 4.0) * d + 2.0
    return torch.where(d < 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def smooth_cubic(distance: Tensor, step: float) -> Tensor:
    """`cubic`, as much wider as the image becomes smaller: antialiased."""
    return cubic(distance / max(step, 1.0), 1.0)


def linear(distance: Tensor, step: float) -> Tensor:
    """Linear interpolation between the two nearest pixels."""
    return (1.0 - distance.abs()).clamp_min(0.0)


def area(distance: Tensor, step: float) -> Tensor:
    """How much of the pixel lies under that of the result."""
    return ((1.0 + step) / 2 - distance.abs()).clamp(0.0, min(1.0, step))


def resized(images: Tensor, height: int, width: int, kernel: Kernel = smooth_cubic, mirror: bool = True) -> Tensor:
    """Images (n, c, h, w) to (n, c, height, width). Beyond its borders an image is mirrored, as in MATLAB's imresize;
    with `mirror` off, only the pixels that there are count, as in Pillow.
    """
    if images.shape[2:] == (height, width):
        return images
    down = _weights(kernel, images.shape[2], height, mirror, images.device)
    across = _weights(kernel, images.shape[3], width, mirror, images.device)
    with torch.autocast(images.device.type, enabled=False):
        return (down @ images.float() @ across.T).to(images.dtype)


@lru_cache(maxsize=64)
def _weights(kernel: Kernel, size: int, target: int, mirror: bool, device: torch.device) -> Tensor:
    """(target, size): what each pixel counts for each of the result; rows sum to 1."""
    step = size / target
    reach = math.ceil(2.0 * max(step, 1.0)) + 1
    places = torch.arange(-reach, size + reach)
    weights = kernel(places - ((torch.arange(target, dtype=torch.float64)[:, None] + 0.5) * step - 0.5), step)
    if not mirror:
        weights = weights * ((places >= 0) & (places < size))
    table = torch.zeros(target, size, dtype=torch.float64).index_add_(1, folded(places, size), weights)
    return (table / table.sum(1, keepdim=True)).float().to(device)


def folded(places: Tensor, size: int) -> Tensor:
    """Whole positions folded into 0 ... size - 1 by mirrors at the outer edges of the first and the last pixel."""
    places = places.remainder(2 * size)
    return torch.minimum(places, 2 * size - 1 - places)


def bicubic(images: Tensor, scale: int, mirror: bool = True) -> Tensor:
    """Images (n, c, h, w) to (n, c, h / scale, w / scale): bicubic degradation, as the super-resolution field has it.

    Raises:
        BadOption: the scale is below 1.
        BadData: it does not divide the size.
    """
    return resized(images, *divided(images, scale), mirror=mirror)


def enlarge(images: Tensor, scale: int, mirror: bool = True) -> Tensor:
    """Images (n, c, h, w) to (n, c, h * scale, w * scale), bicubic."""
    return resized(images, images.shape[2] * scale, images.shape[3] * scale, mirror=mirror)


def divided(images: Tensor, scale: int) -> tuple[int, int]:
    """Height and width, each divided by `scale`. Raises as `bicubic` does."""
    height, width = images.shape[2:]
    if scale < 1:
        raise BadOption(f"the scale is {scale}; expected a whole factor of 1 or more, such as 4.")
    if height % scale or width % scale:
        raise BadData(
            f"images of {height}x{width} pixels cannot be made {scale} times smaller: crop them to multiples of "
            f"{scale}, here {height - height % scale}x{width - width % scale}."
        )
    return height // scale, width // scale
