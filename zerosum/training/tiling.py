"""Images of any size through a convolutional network: borders reflected, large images in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.networks.translator import InstanceNorm

LEAST = 32
"""Pixels that an image is mirrored up to at least: below, deep networks have nothing left in their middle."""
OUTPUT = 1024
"""Pixels of a tile's side in the output, where nobody says otherwise."""
OVERLAP = 64
"""Pixels that neighbouring tiles share, where nobody says otherwise; a quarter of smaller tiles."""
EPSILON = 1e-5
"""What instance norms that do not say otherwise add to the variance."""
Network = Callable[[Tensor], Tensor]
"""(1, c, h, w) -> (1, c', scale h, scale w)."""


@dataclass(frozen=True)
class Tiling:
    """How images are cut."""

    tile: int = 512
    """Most pixels of a tile's side in the image that goes in."""
    overlap: int = 64
    """Pixels that neighbouring tiles share. One tile fades into the next over the middle half of them; at its inner
    edges, where the network saw no surroundings, a quarter is thrown away."""
    scale: int = 1
    """How many times larger the output is."""
    multiple: int = 1
    """The network takes sides that are multiples of this."""

    def __post_init__(self) -> None:
        if self.overlap < 0 or self.side < max(2 * self.shared, 1):
            step = f" (the network takes multiples of {self.multiple})" if self.multiple > 1 else ""
            raise BadOption(
                f"tiles of {self.tile} pixels that overlap by {self.overlap}{step}: give --tile at least twice "
                f"--overlap, here {max(2 * self.shared, self.multiple)} or more, and --overlap 0 or more."
            )

    @classmethod
    def of(cls, scale: int, multiple: int, tile: int | None = None, overlap: int | None = None) -> Tiling:
        """The tiling for a network, where --tile or --overlap (None) leave it open.

        Raises:
            BadOption: tiles that are too small.
        """
        if tile is not None and tile < LEAST:
            raise BadOption(f"--tile {tile}: a tile has {LEAST} pixels a side or more; its edges know no surroundings.")
        if overlap is None:
            overlap = OVERLAP if tile is None else min(OVERLAP, tile // 4 // multiple * multiple)
        steps = max(-(-OUTPUT // (scale * multiple)), 2 * -(-overlap // multiple))
        return cls(steps * multiple if tile is None else tile, overlap, scale, multiple)

    @property
    def side(self) -> int:
        """Pixels of a tile's side, a multiple of `multiple`."""
        return self.tile // self.multiple * self.multiple

    @property
    def shared(self) -> int:
        """Pixels that neighbours share at least, a multiple of `multiple`."""
        return self.whole(self.overlap)

    def whole(self, pixels: int) -> int:
        """The next multiple of `multiple` that is not less than `pixels`."""
        return -(-pixels // self.multiple) * self.multiple

    def starts(self, whole: int) -> list[int]:
        """Where the tiles begin that cover `whole` pixels (a multiple of `multiple`), spread evenly."""
        room, step = whole - self.side, self.side - self.shared
        if room <= 0:
            return [0]
        gaps = -(-room // step)
        return [index * (room // self.multiple) // gaps * self.multiple for index in range(gaps + 1)]

    def weights(self, starts: list[int], size: int, device: torch.device) -> list[Tensor]:
        """For each tile of `size` pixels what its output pixels (scale * size,) count; they add up to 1 everywhere."""
        place = (torch.arange(size * self.scale, device=device) + 0.5) / self.scale
        fade = max(self.overlap / 2, 1e-6)
        found = []
        for index, start in enumerate(starts):
            weight = torch.ones(size * self.scale, device=device)
            if index:
                middle = (start + starts[index - 1] + size) / 2
                weight *= ((start + place - middle) / fade + 0.5).clamp(0, 1)
            if index + 1 < len(starts):
                middle = (starts[index + 1] + start + size) / 2
                weight *= (0.5 - (start + place - middle) / fade).clamp(0, 1)
            found.append(weight)
        return found


def bands(network: Network, image: Tensor, tiling: Tiling) -> Iterator[Tensor]:
    """The output (1, c', scale h, scale w) for an image (1, c, h, w), as bands (1, c', rows, scale w) from the top on.

    Only one row of tiles is held at a time.
    """
    height, width, scale = image.shape[2], image.shape[3], tiling.scale
    padded = completed(image, tiling)
    (rows, tall), (columns, wide) = ((tiling.starts(side), min(tiling.side, side)) for side in padded.shape[2:])
    down, across = (
        tiling.weights(starts, size, image.device) for starts, size in ((rows, tall), (columns, wide))
    )  # fmt: skip
    waiting, left = torch.zeros(()), height * scale
    for index, top in enumerate(rows):
        band = torch.zeros(())
        for weight, x in zip(across, columns, strict=True):
            made = network(padded[:, :, top : top + tall, x : x + wide]).float()
            if not band.dim():
                band = made.new_zeros(1, made.shape[1], made.shape[2], padded.shape[3] * scale)
            band[..., x * scale : (x + wide) * scale] += made * weight
        band *= down[index][:, None]
        if index:
            band[:, :, : waiting.shape[2]] += waiting
        ready = (rows[index + 1] - top) * scale if index + 1 < len(rows) else band.shape[2]
        yield band[:, :, : min(ready, left), : width * scale]
        left -= ready
        waiting = band[:, :, ready:].clone()


def completed(image: Tensor, tiling: Tiling) -> Tensor:
    """(1, c, h, w) mirrored up to sizes that the network takes."""
    least = min(LEAST, tiling.side)
    return reflected(image, *(tiling.whole(max(side, least)) for side in image.shape[2:]))


def reflected(image: Tensor, height: int, width: int) -> Tensor:
    """(1, c, h, w) enlarged to (1, c, height, width) by mirroring at the lower and right border, as often as needed."""
    while image.shape[2] < height or image.shape[3] < width:
        below = min(height - image.shape[2], max(image.shape[2] - 1, 0))
        right = min(width - image.shape[3], max(image.shape[3] - 1, 0))
        if not below and not right:  # a single row or column has nothing to mirror
            return F.pad(image, (0, width - image.shape[3], 0, height - image.shape[2]), mode="replicate")
        image = F.pad(image, (0, right, 0, below), mode="reflect")
    return image


@contextmanager
def common_statistics(network: nn.Module, thumbnail: Callable[[], object]) -> Iterator[None]:
    """Inside, instance norms use the statistics that they met when `thumbnail` ran the network on the image made small.

    Tiles that were normalised by their own means would differ in tone (thumbnail instance normalisation, Chen et al.
    2022, "Towards Ultra-Resolution Neural Style Transfer", section 3.2).
    """
    norms = [module for module in network.modules() if by_image(module)]
    known: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(given[0].float(), dim=(2, 3), keepdim=True, correction=0)
        known[norm] = (mean, variance)

    def use(norm: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor:
        mean, variance = known[norm]
        out = (given[0] - mean) * (variance + getattr(norm, "eps", EPSILON)).rsqrt()
        if isinstance(norm.weight, Tensor) and isinstance(norm.bias, Tensor):
            out = out * norm.weight[:, None, None] + norm.bias[:, None, None]
        return out.to(made.dtype)

    with ExitStack() as stack:
        for norm in norms:
            stack.callback(norm.register_forward_pre_hook(keep).remove)
        if norms:
            thumbnail()
    with ExitStack() as stack:
        for norm in known:
            stack.callback(norm.register_forward_hook(use).remove)
        yield


def by_image(module: nn.Module) -> bool:
    """Whether it normalises each image by that image's own mean and deviation."""
    return isinstance(module, InstanceNorm) or (
        isinstance(module, nn.InstanceNorm2d) and not module.track_running_stats
    )


def thumbnail(source: Tensor, tiling: Tiling) -> Tensor:
    """(1, c, h, w) averaged down to a tile's size; where that would make it too narrow, stretched rather than mirrored,
    so that each part counts as much as before.
    """
    ratio, least = tiling.side / max(source.shape[2:]), min(LEAST, tiling.side)
    size = [tiling.whole(max(round(side * ratio), least)) for side in source.shape[2:]]
    return F.interpolate(source, size, mode="area")


def enlarged(alpha: np.ndarray, scale: int) -> np.ndarray:
    """(h, w, 1) to (scale h, scale w, 1), bicubically."""
    if scale == 1:
        return alpha
    values = torch.from_numpy(alpha.astype(np.float32))[None, :, :, 0][None]
    large = F.interpolate(values, scale_factor=scale, mode="bicubic", antialias=True)[0, 0]
    top = np.iinfo(alpha.dtype).max
    return large.round().clamp(0, top).numpy().astype(alpha.dtype)[..., None]
