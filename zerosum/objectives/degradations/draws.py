"""Numbers uniform in [0, 1) and what they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor

from zerosum.core.errors import BadOption

Range = tuple[float, float]


def numbers(images: Tensor, draws: Tensor, count: int) -> list[list[float]]:
    """`count` draws for each image, read by the host. Raises BadOption: their shape is another one."""
    refuse_draws(images, draws, count)
    return draws.tolist()


def refuse_draws(images: Tensor, draws: Tensor, count: int) -> None:
    """Raise BadOption where draws are not (n, count) for n images."""
    if draws.shape != (len(images), count):
        raise BadOption(
            f"draws of shape {tuple(draws.shape)} for {len(images)} images: expected ({len(images)}, {count}) numbers, "
            "uniform in [0, 1)."
        )


def between(u: float, limits: Range) -> float:
    """The number as far between the limits as u is between 0 and 1."""
    return limits[0] + u * (limits[1] - limits[0])


def chosen(u: float, weights: Sequence[float]) -> int:
    """The index that a number uniform in [0, 1) stands for, drawn as often as its weight says."""
    edges = [*accumulate(weights)]
    return next((index for index, edge in enumerate(edges) if u * edges[-1] < edge), len(edges) - 1)
