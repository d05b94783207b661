"""Augmentation of the images that a discriminator sees, differentiable as often as one likes.

Two pipelines: that of adaptive discriminator augmentation (ADA: Karras et al. 2020, "Training Generative Adversarial
Networks with Limited Data", arXiv:2006.06676, appendix B) and that of DiffAugment (Zhao et al. 2020, "Differentiable
Augmentation for Data-Efficient GAN Training", arXiv:2006.10738).

Images are (n, c, h, w) in [-1, 1] with 1 (grey), 3 (colour) or 4 channels (the last one transparency, which moves with
the image and keeps its values). What happens to each of the n images is a number, given or drawn from the global
generator. Every operation is linear or affine in the pixels, so a gradient penalty passes through it; on CUDA the
gradients are the same bits each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core.errors import BadOption

Policy = Literal["color", "translation", "cutout"]

SYM6 = (
    0.015404109327044823, 0.003490712084222162, -0.11799011114852002, -0.04831174258569806, 0.49105594192797375,
    0.787641141028651, 0.3379294217281658, -0.07263752278637657, -0.02106029251237085, 0.04472490177078138,
    0.0017677118642540075, -0.007800708325032379,
)  # fmt: skip
"""Low-pass of the symlet with six vanishing moments: orthogonal to itself shifted by two, so that up-sampling with it
and down-sampling again gives back the same image."""
DELAY = sum(k * tap for k, tap in enumerate(SYM6)) / sum(SYM6)
"""Its centre of mass: position j of the finer grid lies at pixel (j - DELAY) / 2."""

SHIFT, SCALE, STRETCH, MOVE = 0.125, 0.2, 0.2, 0.125
"""ADA's strengths: whole pixels up to this part of the size, log2 of scale and stretch and part of the size, standard
deviations (appendix B)."""
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0
"""Standard deviations of the brightness, and of log2 of contrast and saturation."""
CUTOUT = 0.5
"""Side of the square that is cut out, as part of the image's, in both pipelines."""
BRIGHTER, SATURATED, CONTRASTED, TRANSLATED = 0.5, 2.0, (0.5, 1.5), 1 / 8
"""DiffAugment's ranges: brightness +-0.5, saturation 0 to 2, contrast, translation up to 1/8 of the size."""
CPU = "cpu"
"""The device on which it costs nothing to ask what was drawn, and adding up has a fixed order."""


# --- ADA: what happens to each image


@dataclass(frozen=True)
class Geometry:
    """What happens to the shape of n images, in the order of the fields; each (n,). Angles are counter-clockwise."""

    flip: Tensor
    """Whether it is mirrored left to right."""
    turns: Tensor
    """Quarter turns."""
    shift_x: Tensor
    """Whole pixels to the right ..."""
    shift_y: Tensor
    """... and down."""
    scale: Tensor
    """Factor on both sides."""
    before: Tensor
    """Rotation before the stretch, in radians."""
    stretch: Tensor
    """Factor on the width, by which the height is divided."""
    after: Tensor
    """Rotation after the stretch, in radians."""
    move_x: Tensor
    """Pixels to the right, not whole ..."""
    move_y: Tensor
    """... and down."""

    @staticmethod
    def still(n: int, device: torch.device | str = "cpu") -> Geometry:
        """Nothing happens."""
        zero, one = torch.zeros(n, device=device), torch.ones(n, device=device)
        return Geometry(zero.bool(), zero, zero, zero, one, zero, one, zero, zero, zero)

    @staticmethod
    def drawn(n: int, p: float | Tensor, height: int, width: int, device: torch.device | str) -> Geometry:
        """Each operation with probability p; one of the two rotations, too (appendix B)."""
        p = torch.as_tensor(p, dtype=torch.float32, device=device)
        turning = 1.0 - (1.0 - p).sqrt()
        happens = torch.rand(8, n, device=device) < torch.stack([p, p, p, p, turning, p, turning, p])[:, None]
        uniform, normal = torch.rand(6, n, device=device), torch.randn(4, n, device=device)
        angles = (2.0 * uniform[4:] - 1.0) * math.pi
        return Geometry(
            flip=happens[0] & (uniform[0] < 0.5),
            turns=torch.where(happens[1], (4.0 * uniform[1]).floor(), 0.0),
            shift_x=torch.where(happens[2], ((2.0 * uniform[2] - 1.0) * SHIFT * width).round(), 0.0),
            shift_y=torch.where(happens[2], ((2.0 * uniform[3] - 1.0) * SHIFT * height).round(), 0.0),
            scale=torch.where(happens[3], torch.exp2(SCALE * normal[0]), 1.0),
            before=torch.where(happens[4], angles[0], 0.0),
            stretch=torch.where(happens[5], torch.exp2(STRETCH * normal[1]), 1.0),
            after=torch.where(happens[6], angles[1], 0.0),
            move_x=torch.where(happens[7], MOVE * width * normal[2], 0.0),
            move_y=torch.where(happens[7], MOVE * height * normal[3], 0.0),
        )

    @property
    def between(self) -> Tensor:
        """Which images (n,) need values between their pixels."""
        turned = (self.before != 0) | (self.after != 0) | (self.move_x != 0) | (self.move_y != 0)
        return turned | (self.scale != 1) | (self.stretch != 1)

    @property
    def whole(self) -> Tensor:
        """Which images (n,) are only moved pixel by pixel."""
        moved = self.flip | (self.turns != 0) | (self.shift_x != 0) | (self.shift_y != 0)
        return moved & ~self.between

    def inverse(self) -> Tensor:
        """(n, 2, 3): from a position in the result to that in the image, both in pixels from the centre, y down."""
        quarter = _rotation(self.turns * (math.pi / 2)).round()
        mirror = _diagonal(1.0 - 2.0 * self.flip, torch.ones_like(self.turns))
        first = mirror @ quarter
        rest = _rotation(self.before) @ _diagonal(1.0 / self.stretch, self.stretch) @ _rotation(self.after)
        linear = first @ rest / self.scale[:, None, None]
        shift, move = torch.stack([self.shift_x, self.shift_y], 1), torch.stack([self.move_x, self.move_y], 1)
        return torch.cat([linear, -first @ shift[:, :, None] - linear @ move[:, :, None]], dim=2)


def _rotation(angle: Tensor) -> Tensor:
    """(n, 2, 2): where a result turned counter-clockwise comes from."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)


def _diagonal(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y], 1))


@dataclass(frozen=True)
class Colour:
    """What happens to the colours of n images, in the order of the fields; each (n,)."""

    brightness: Tensor
    """Added."""
    contrast: Tensor
    """Factor on the distance from mid-grey, which is 0."""
    flip: Tensor
    """Whether light and dark change places, hues staying."""
    hue: Tensor
    """Rotation about the grey axis, in radians."""
    saturation: Tensor
    """Factor on the distance from grey."""

    @staticmethod
    def still(n: int, device: torch.device | str = "cpu") -> Colour:
        """Nothing happens."""
        zero, one = torch.zeros(n, device=device), torch.ones(n, device=device)
        return Colour(zero, one, zero.bool(), zero, one)

    @staticmethod
    def drawn(n: int, p: float | Tensor, device: torch.device | str) -> Colour:
        """Each operation with probability p (appendix B)."""
        happens = torch.rand(5, n, device=device) < p
        uniform, normal = torch.rand(2, n, device=device), torch.randn(3, n, device=device)
        return Colour(
            brightness=torch.where(happens[0], BRIGHTNESS * normal[0], 0.0),
            contrast=torch.where(happens[1], torch.exp2(CONTRAST * normal[1]), 1.0),
            flip=happens[2] & (uniform[0] < 0.5),
            hue=torch.where(happens[3], (2.0 * uniform[1] - 1.0) * math.pi, 0.0),
            saturation=torch.where(happens[4], torch.exp2(SATURATION * normal[2]), 1.0),
        )

    @property
    def changes(self) -> Tensor:
        """Which images (n,) get other colours."""
        return (self.brightness != 0) | (self.contrast != 1) | self.flip | (self.hue != 0) | (self.saturation != 1)

    def matrix(self) -> tuple[Tensor, Tensor]:
        """(n, 3, 3) and (n,): colours are multiplied by the first, then the second is added to each channel.

        All operations but the first are sums of P (projection onto grey), Q = I - P and K (a quarter turn about grey),
        which commute; brightness moves along grey, where only contrast and flip act.
        """
        grey, chroma, quarter = _grey_axis(self.hue.device)
        luma, saturation = self.luma(), self.contrast * self.saturation
        along, across = saturation * self.hue.cos(), saturation * self.hue.sin()
        matrix = luma[:, None, None] * grey + along[:, None, None] * chroma + across[:, None, None] * quarter
        return matrix, luma * self.brightness

    def luma(self) -> Tensor:
        """(n,): the factor on grey."""
        return self.contrast * (1.0 - 2.0 * self.flip)


@lru_cache(maxsize=8)
def _grey_axis(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(3, 3) each: projection onto grey, the rest, and a quarter turn of that. Kept: copying makes the host wait."""
    grey = torch.full((3, 3), 1.0 / 3.0)
    quarter = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) * 3.0**-0.5
    return grey.to(device), (torch.eye(3) - grey).to(device), quarter.to(device)


def ada(images: Tensor, p: float | Tensor, *, colour: float = 1.0, cutout: bool = False) -> Tensor:
    """ADA's pipeline at strength p: geometry, then colour, each operation with probability p (appendix B).

    Args:
        images: (n, c, h, w).
        p: 0 to 1; a 0-d tensor on the device of the images is not waited for.
        colour: factor on p for the colours (R3GAN, arXiv:2501.05441: 0.5).
        cutout: also cut a square out, with probability p.
    """
    n, _, height, width = images.shape
    images = transform(images, Geometry.drawn(n, p, height, width, images.device))
    images = recolour(images, Colour.drawn(n, p * colour, images.device))
    if cutout:
        x, y, happens = torch.rand(3, n, device=images.device)
        images = cut_out(images, torch.where(happens < p, x, math.inf), y)
    return images


def transform(images: Tensor, geometry: Geometry) -> Tensor:
    """Images (n, c, h, w) after one inverse warp, mirrored beyond their borders.

    Those that move by whole pixels only are copied pixel by pixel, exactly; the others go through a grid twice as fine.
    """
    inverse = geometry.inverse().to(images.dtype)
    images = _where(geometry.whole, images, displace, inverse)
    return _where(geometry.between, images, warp, inverse)


def recolour(images: Tensor, colour: Colour) -> Tensor:
    """Images (n, c, h, w) in other colours; of grey ones only what acts along grey is seen.

    Raises:
        BadOption: a number of channels that is neither grey nor colour.
    """
    if images.shape[1] == 1:
        luma = colour.luma().to(images.dtype)
        return _where(colour.changes, images, _toned, luma, luma * colour.brightness.to(images.dtype))
    _refuse_other_channels(images)
    matrix, offset = colour.matrix()
    return _where(colour.changes, images, _mixed, matrix.to(images.dtype), offset.to(images.dtype))


def _toned(images: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    return images * factor[:, None, None, None] + offset[:, None, None, None]


def _mixed(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """The first three channels mixed, a fourth one as it is."""
    n, _, height, width = images.shape
    mixed = matrix @ images[:, :3].flatten(2) + offset[:, None, None]
    return torch.cat([mixed.view(n, 3, height, width), images[:, 3:]], dim=1)


def _refuse_other_channels(images: Tensor) -> None:
    if images.shape[1] not in (1, 3, 4):
        raise BadOption(
            f"images with {images.shape[1]} channels cannot be augmented: expected 1 (grey), 3 (colour) or 4 (with "
            "transparency)."
        )


def _where(mask: Tensor, images: Tensor, change: Callable[..., Tensor], *numbers: Tensor) -> Tensor:
    """`change(images, *numbers)` for the images in the mask (n,), the others untouched.

    On the CPU nothing is computed for those; elsewhere asking which they are would make the host wait.
    """
    if images.device.type != CPU:
        return torch.where(mask[:, None, None, None], change(images, *numbers), images)
    rows = mask.nonzero().squeeze(1)
    if len(rows) == 0:
        return images
    if len(rows) == len(mask):
        return change(images, *numbers)
    changed = change(images.index_select(0, rows), *(number[rows] for number in numbers))
    return images.index_copy(0, rows, changed)


# --- warping


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Images (n, c, h, w) whose pixels are read at `inverse` (n, 2, 3) of their positions, through a finer grid.

    Up-sampled by 2 with SYM6, interpolated linearly, down-sampled with it (appendix B). Both filters are products with
    small matrices, which any device differentiates as often as one likes.
    """
    height, width = images.shape[2:]
    (up_y, down_y), (up_x, down_x) = (_filters(size, images.device, images.dtype) for size in (height, width))
    fine = up_y @ images @ up_x.T
    x, y = (_finer(size, images.device, images.dtype) for size in (width, height))
    read = _read(fine, *_sources(inverse, x, y, height, width), 2.0, DELAY - FIRST, "bilinear")
    return down_y @ read @ down_x.T


def displace(images: Tensor, inverse: Tensor) -> Tensor:
    """Images (n, c, h, w) whose pixels are those nearest to `inverse` (n, 2, 3) of their positions: exact copies."""
    height, width = images.shape[2:]
    x, y = (torch.arange(size, device=images.device, dtype=images.dtype) for size in (width, height))
    return _read(images, *_sources(inverse, x, y, height, width), 1.0, 0.0, "nearest")


def mirrored(position: Tensor, size: int) -> Tensor:
    """Positions folded into 0 ... size - 1 by mirrors in the first and in the last pixel."""
    last = max(size - 1, 1)
    return last - (position.remainder(2 * last) - last).abs()


FIRST = math.floor(DELAY)
"""The first position of the finer grid that is kept: the last one before pixel 0."""


@lru_cache(maxsize=64)
def _filters(size: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Up-sampling (2 size, size), with mirrored borders, and down-sampling (size, 2 size + 10)."""
    up, down = torch.zeros(2 * size, size, dtype=torch.float64), torch.zeros(size, 2 * size + 10, dtype=torch.float64)
    rows, pixels = torch.arange(2 * size), torch.arange(size)
    for k, tap in enumerate(SYM6):
        at = rows + FIRST - k
        even = at % 2 == 0
        value = torch.tensor(tap * math.sqrt(2.0), dtype=torch.float64)
        up.index_put_((rows[even], mirrored(at[even] // 2, size)), value, accumulate=True)
        down[pixels, 2 * pixels + k] = tap / math.sqrt(2.0)
    return up.to(dtype).to(device), down.to(dtype).to(device)  # MPS has no float64


def _finer(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Where the positions (2 size + 10,) of the finer grid lie that down-sampling needs, in pixels."""
    return (torch.arange(2 * size + 10, device=device, dtype=dtype) - DELAY) / 2.0


def _sources(inverse: Tensor, x: Tensor, y: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where in the image, in pixels, the results at x (k,) and y (m,) come from: two of (n, m, k), mirrored inside."""
    centre_x, centre_y = (width - 1) / 2.0, (height - 1) / 2.0
    x, y = x - centre_x, y - centre_y
    a, b, c = (inverse[:, :, i, None, None] for i in range(3))
    found = a * x + (b * y[:, None] + c)  # (n, 2, m, k)
    return mirrored(found[:, 0] + centre_x, width), mirrored(found[:, 1] + centre_y, height)


def _read(table: Tensor, x: Tensor, y: Tensor, finer: float, first: float, mode: str) -> Tensor:
    """`table` (n, c, h, w) at the pixels x, y (n, m, k), whose place in it is `finer` * pixel + first."""
    height, width = table.shape[2:]
    places = [(finer * pixels + first) * (2.0 / max(size - 1, 1)) - 1.0 for pixels, size in ((x, width), (y, height))]
    values: Tensor = _Read.apply(table, torch.stack(places, dim=3), mode)
    return values


class _Read(torch.autograd.Function):
    """Values of images at given places: linear in the images, and its transpose is `_Write`.

    PyTorch's own grid_sample has no second derivative; those of a linear map and its transpose are each other.
    """

    @staticmethod
    def forward(images: Tensor, grid: Tensor, mode: str) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            return F.grid_sample(images.to(grid.dtype), grid, mode, "zeros", align_corners=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        images, grid, ctx.mode = inputs
        ctx.size = images.shape[2:]
        ctx.save_for_backward(grid)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (grid,) = ctx.saved_tensors
        return _Write.apply(gradients[0], grid, ctx.size, ctx.mode), None, None


class _Write(torch.autograd.Function):
    """Values added up at given places of empty images: the transpose of `_Read`."""

    @staticmethod
    def forward(values: Tensor, grid: Tensor, size: Sequence[int], mode: str) -> Tensor:
        return _write(values.to(grid.dtype), grid, size, mode)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        _, grid, _, ctx.mode = inputs
        ctx.save_for_backward(grid)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (grid,) = ctx.saved_tensors
        return _Read.apply(gradients[0], grid, ctx.mode), None, None, None


def _write(values: Tensor, grid: Tensor, size: Sequence[int], mode: str) -> Tensor:
    """(n, c, *size) from values (n, c, m, k) at the places grid (n, m, k, 2)."""
    n, channels = values.shape[:2]
    if values.device.type == CPU:
        like, code = values.new_zeros(n, channels, *size), {"bilinear": 0, "nearest": 1}[mode]
        written: Tensor = torch.ops.aten.grid_sampler_2d_backward(values, like, grid, code, 0, True, [True, False])[0]
        return written
    # Elsewhere that adds in an order that differs from run to run; index_put sorts first.
    height, width = size
    x, y = ((grid[..., i] + 1.0) * (max(side - 1, 1) / 2.0) for i, side in enumerate((width, height)))
    rows = values.permute(0, 2, 3, 1).reshape(-1, channels)
    image = torch.arange(n, device=values.device).view(n, 1, 1) * (height * width)
    total = values.new_zeros(n * height * width, channels)
    for left, up, weight in _corners(x, y, mode):
        inside = (left >= 0) & (left < width) & (up >= 0) & (up < height)
        place = image + up.clamp(0, height - 1).long() * width + left.clamp(0, width - 1).long()
        total.index_put_((place.flatten(),), rows * (weight * inside).reshape(-1, 1), accumulate=True)
    return total.view(n, height, width, channels).permute(0, 3, 1, 2)


def _corners(x: Tensor, y: Tensor, mode: str) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The pixels that a value at x, y is shared among, with their weights."""
    if mode == "nearest":
        return [(x.round(), y.round(), torch.ones_like(x))]
    left, up = x.floor(), y.floor()
    right, down = x - left, y - up
    return [
        (left, up, (1.0 - right) * (1.0 - down)), (left + 1, up, right * (1.0 - down)),
        (left, up + 1, (1.0 - right) * down), (left + 1, up + 1, right * down),
    ]  # fmt: skip


# --- DiffAugment


def diff_augment(images: Tensor, policy: Sequence[Policy]) -> Tensor:
    """DiffAugment (section 3): every image in other colours, translated, with a square cut out, as the policy says."""
    n, _, height, width = images.shape
    device = images.device
    if "color" in policy:
        shift, saturation, contrast = torch.rand(3, n, device=device)
        images = brighten(images, (2.0 * shift - 1.0) * BRIGHTER)
        images = saturate(images, saturation * SATURATED)
        images = contrasted(images, CONTRASTED[0] + contrast * (CONTRASTED[1] - CONTRASTED[0]))
    if "translation" in policy:
        x, y = (
            torch.randint(-most, most + 1, (n,), device=device)
            for most in (round(width * TRANSLATED), round(height * TRANSLATED))
        )
        images = translate(images, x, y)
    if "cutout" in policy:
        x, y = torch.rand(2, n, device=device)
        images = cut_out(images, x, y)
    return images


def brighten(images: Tensor, shift: Tensor) -> Tensor:
    """Images (n, c, h, w) with `shift` (n,) added to their colours."""
    colours, rest = _colours(images)
    return torch.cat([colours + _each(shift, images), rest], dim=1)


def saturate(images: Tensor, factor: Tensor) -> Tensor:
    """Images (n, c, h, w) with the distance of each pixel from its own grey multiplied by `factor` (n,)."""
    colours, rest = _colours(images)
    grey = colours.mean(dim=1, keepdim=True)
    return torch.cat([grey + (colours - grey) * _each(factor, images), rest], dim=1)


def contrasted(images: Tensor, factor: Tensor) -> Tensor:
    """Images (n, c, h, w) with the distance from their own mean multiplied by `factor` (n,)."""
    colours, rest = _colours(images)
    mean = colours.mean(dim=(1, 2, 3), keepdim=True)
    return torch.cat([mean + (colours - mean) * _each(factor, images), rest], dim=1)


def translate(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Images (n, c, h, w) moved x (n,) whole pixels to the right and y (n,) down; mid-grey, 0, comes in."""
    n, channels, height, width = images.shape
    for axis, size, by in ((3, width, x), (2, height, y)):
        source = torch.arange(size, device=images.device) - by[:, None]
        inside = ((source >= 0) & (source < size)).to(images.dtype)
        shape = (n, 1, 1, size) if axis == 3 else (n, 1, size, 1)
        index = source.clamp(0, size - 1).view(shape).expand(n, channels, height, width)
        images = images.gather(axis, index) * inside.view(shape)
    return images


def cut_out(images: Tensor, x: Tensor, y: Tensor, size: float = CUTOUT) -> Tensor:
    """Images (n, c, h, w) with a square of mid-grey, 0, that may reach beyond the border.

    Args:
        images: (n, c, h, w).
        x, y: its centre, (n,) each, as parts of width and height; infinity: none.
        size: its side, as part of the image's.
    """
    height, width = images.shape[2:]
    columns = (torch.arange(width, device=images.device) + 0.5) / width
    rows = (torch.arange(height, device=images.device) + 0.5) / height
    across, down = (columns - x[:, None]).abs() < size / 2, (rows - y[:, None]).abs() < size / 2
    return images * ~(across[:, None, None, :] & down[:, None, :, None])


def _colours(images: Tensor) -> tuple[Tensor, Tensor]:
    """The channels that are colours, and the rest."""
    _refuse_other_channels(images)
    return images[:, :3], images[:, 3:]


def _each(numbers: Tensor, images: Tensor) -> Tensor:
    """(n,) as (n, 1, 1, 1), of the images' type."""
    return numbers.to(images.dtype)[:, None, None, None]
