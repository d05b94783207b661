"""Degradations: from a good image the bad one that a restoring network is given.

Images are (n, c, h, w) in [-1, 1]. What happens to each of them is a row of `draws`: numbers uniform in [0, 1), as many
as `REAL_WORLD_DRAWS`, `BLUR_DRAWS` or `HOLE_DRAWS` say, best taken from the batch's own noise as
`Uniform(BLUR_DRAWS, 0.0, 1.0)`. So an image is treated the same whatever batch it is in. The draws are read by the
host, once a call. Gradients pass through `resized`, `bicubic`, `enlarge`, `grey` and `filtered`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core.errors import BadData, BadOption
from zerosum.core.randomness import generator

Range = tuple[float, float]
Kernel = Callable[[Tensor, float], Tensor]
"""(distances, step) to weights: what a pixel counts at a distance, in pixels; one of the result is `step` wide."""


# --- another size


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
    table = torch.zeros(target, size, dtype=torch.float64).index_add_(1, _folded(places, size), weights)
    return (table / table.sum(1, keepdim=True)).float().to(device)


def _folded(places: Tensor, size: int) -> Tensor:
    """Whole positions folded into 0 ... size - 1 by mirrors at the outer edges of the first and the last pixel."""
    places = places.remainder(2 * size)
    return torch.minimum(places, 2 * size - 1 - places)


def bicubic(images: Tensor, scale: int, mirror: bool = True) -> Tensor:
    """Images (n, c, h, w) to (n, c, h / scale, w / scale): bicubic degradation, as the super-resolution field has it.

    Raises:
        BadOption: the scale is below 1.
        BadData: it does not divide the size.
    """
    return resized(images, *_divided(images, scale), mirror=mirror)


def enlarge(images: Tensor, scale: int, mirror: bool = True) -> Tensor:
    """Images (n, c, h, w) to (n, c, h * scale, w * scale), bicubic."""
    return resized(images, images.shape[2] * scale, images.shape[3] * scale, mirror=mirror)


def _divided(images: Tensor, scale: int) -> tuple[int, int]:
    height, width = images.shape[2:]
    if scale < 1:
        raise BadOption(f"the scale is {scale}; expected a whole factor of 1 or more, such as 4.")
    if height % scale or width % scale:
        raise BadData(
            f"images of {height}x{width} pixels cannot be made {scale} times smaller: crop them to multiples of "
            f"{scale}, here {height - height % scale}x{width - width % scale}."
        )
    return height // scale, width // scale


# --- colours, blur


def grey(images: Tensor) -> Tensor:
    """(n, 1, h, w): luma of ITU-R BT.601. A fourth channel, transparency, is left out. Raises BadOption: no colours."""
    if images.shape[1] not in (1, 3, 4):
        raise BadOption(f"images with {images.shape[1]} channels have no luma: expected 1 (grey), 3 (colour) or 4.")
    if images.shape[1] == 1:
        return images
    return 0.299 * images[:, 0:1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:3]


def filtered(images: Tensor, kernels: Tensor) -> Tensor:
    """Images (n, c, h, w), each under its own kernel (n, k, k), k odd; mirrored beyond the borders."""
    n, channels, height, width = images.shape
    reach = kernels.shape[-1] // 2
    y, x = (_folded(torch.arange(-reach, size + reach, device=images.device), size) for size in (height, width))
    around = images.float()[:, :, y][:, :, :, x].flatten(0, 1)[None]
    weights = kernels.float().to(images.device).repeat_interleave(channels, 0)[:, None]
    with torch.autocast(images.device.type, enabled=False):
        return F.conv2d(around, weights, groups=n * channels).view_as(images).to(images.dtype)


def bump(size: int, sigma: Range, angle: float, profile: Callable[[Tensor], Tensor]) -> Tensor:
    """A kernel (size, size) that sums to 1: `profile` of d' S^-1 d, where the covariance S has the standard deviations
    `sigma`, in pixels, along axes turned by `angle`.
    """
    y, x = _offsets(size)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = profile((along / sigma[0]).square() + (across / sigma[1]).square())
    return kernel / kernel.sum()


def gaussian(q: Tensor, shape: float = 1.0) -> Tensor:
    """exp(-q^shape / 2): the profile of a Gaussian, or of a generalised one."""
    return torch.exp(-(q**shape) / 2)


def plateau(q: Tensor, shape: float = 1.0) -> Tensor:
    """1 / (1 + q^shape): the profile of a plateau."""
    return 1 / (1 + q**shape)


def sinc(size: int, cutoff: float) -> Tensor:
    """A kernel (size, size) that sums to 1 and rings: the ideal low-pass up to `cutoff` radians a pixel."""
    y, x = _offsets(size)
    r = (x.square() + y.square()).sqrt()
    kernel = torch.where(r > 0, cutoff * torch.special.bessel_j1(cutoff * r) / r.clamp_min(1), cutoff**2 / 2)
    return kernel / kernel.sum()


def motion(size: int, length: float, angle: float, turn: float) -> Tensor:
    """A kernel (size, size) that sums to 1: an arc of `length` pixels about `angle`, turning by `turn` radians."""
    time = (torch.arange(128, dtype=torch.float64) + 0.5) / 128 - 0.5
    x, y = ((length / 128) * step.cumsum(0) for step in ((angle + turn * time).cos(), (angle + turn * time).sin()))
    line = torch.arange(size, dtype=torch.float64) - size // 2
    across, down = (linear((place - place.mean())[:, None] - line, 1.0) for place in (x, y))
    kernel = down.T @ across
    return kernel / kernel.sum()


def _offsets(size: int) -> tuple[Tensor, ...]:
    """y and x of a kernel's (size, size) elements."""
    line = torch.arange(size, dtype=torch.float64) - size // 2
    return torch.meshgrid(line, line, indexing="ij")


BLUR_DRAWS = 4
"""Numbers for `blurred`: which blur, two of its measures, its direction."""


def blurred(images: Tensor, draws: Tensor, sigma: Range = (0.5, 4.0), length: Range = (3.0, 21.0)) -> Tensor:
    """Images, each under its own blur: half of them Gaussian, with standard deviations `sigma` along two axes, half of
    motion along arcs of `length`; both in pixels. `draws` (n, BLUR_DRAWS).
    """
    size = 2 * math.ceil(max(3 * sigma[1], length[1] / 2)) + 1
    kernels = []
    for which, first, second, turn in _rows(images, draws, BLUR_DRAWS):
        angle = 2 * math.pi * turn
        if which < 0.5:
            kernels.append(bump(size, (_between(first, sigma), _between(second, sigma)), angle, gaussian))
        else:
            kernels.append(motion(size, _between(first, length), angle, math.pi * (second - 0.5)))
    return filtered(images, torch.stack(kernels))


def _rows(images: Tensor, draws: Tensor, count: int) -> list[list[float]]:
    _refuse_draws(images, draws, count)
    return draws.tolist()


def _refuse_draws(images: Tensor, draws: Tensor, count: int) -> None:
    if draws.shape != (len(images), count):
        raise BadOption(
            f"draws of shape {tuple(draws.shape)} for {len(images)} images: expected ({len(images)}, {count}) numbers, "
            "uniform in [0, 1)."
        )


def _between(u: float, limits: Range) -> float:
    return limits[0] + u * (limits[1] - limits[0])


# --- holes

HOLES, BENDS = 4, 6
HOLE_DRAWS = 2 + HOLES * (4 + 2 * BENDS)
"""Numbers for `holed`: kind and count of the holes; of each its place, two measures and, per bend, angle and length."""


def holed(images: Tensor, draws: Tensor, strokes: float = 0.5) -> Tensor:
    """(n, c + 1, h, w): images with one to four holes of mid-grey, 0, then the mask, 1 where the image is known.

    In the part `strokes` of the images they are strokes of a brush with bends, after the free-form masks of Yu et al.
    2019 (arXiv:1806.03589); elsewhere rectangles, with sides from an eighth to a half of the image's.
    `draws` (n, HOLE_DRAWS) are not read by the host.
    """
    _refuse_draws(images, draws, HOLE_DRAWS)
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


# --- JPEG

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
    _refuse_channels(images)
    height, width = images.shape[2:]
    cosines, tables, to_ycc, to_rgb = _jpeg_constants(images.device)
    luminance, chrominance = _scaled(tables, quality.to(images.device, torch.float32))
    with torch.autocast(images.device.type, enabled=False):
        levels = F.pad(_levels(images), (0, -width % 16, 0, -height % 16), mode="replicate")
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
    multiples = (
        multiples.sign() * (multiples.abs() + (0.5 + 1e-4)).floor()
    )  # halves away from 0, rounding errors or not
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


def _levels(images: Tensor) -> Tensor:
    """[-1, 1] as whole levels 0 ... 255."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round()


# --- Real-ESRGAN's model of the real world


@dataclass(frozen=True)
class Round:
    """One blur, one change of size, one noise and one JPEG. The defaults are the published ones of the first round."""

    blur: float = 1.0
    """Probability that there is any blur."""
    sinc: float = 0.1
    """Probability that it is a `sinc`."""
    kernels: tuple[float, ...] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    """Else, how often it is Gaussian, generalised Gaussian or a plateau: each isotropic, then anisotropic."""
    sigma: Range = (0.2, 3.0)
    """Standard deviations, in pixels."""
    generalised: Range = (0.5, 4.0)
    """Shapes of generalised Gaussians: below 1 as often as above."""
    plateau: Range = (1.0, 2.0)
    """Shapes of plateaus."""
    resize: tuple[float, float, float] = (0.2, 0.7, 0.1)
    """How often the image becomes larger, smaller, or keeps its size."""
    factor: Range = (0.15, 1.5)
    """Smallest and largest factor on the size."""
    gaussian: float = 0.5
    """Probability that the noise is Gaussian; else it is Poisson."""
    noise: Range = (1.0, 30.0)
    """Standard deviation of Gaussian noise, in levels of 256."""
    poisson: Range = (0.05, 3.0)
    """Factor on Poisson noise."""
    grey: float = 0.4
    """Probability that the noise is the same in all colours."""
    jpeg: Range = (30.0, 95.0)
    """Quality."""


SECOND = Round(
    blur=0.8, sigma=(0.2, 1.5), resize=(0.3, 0.4, 0.3), factor=(0.3, 1.2), noise=(1.0, 25.0), poisson=(0.05, 2.5)
)


@dataclass(frozen=True)
class Degradation:
    """The second-order model; sizes of the second round are relative to the final one's."""

    first: Round = Round()
    """What happens first."""
    second: Round = SECOND
    """What happens then."""
    final_sinc: float = 0.8
    """Probability of a last `sinc`, before or after the last JPEG."""


SIZES = (7, 9, 11, 13, 15, 17, 19, 21)
"""Of blur kernels."""
METHODS = (area, linear, cubic)
"""Of changing sizes. As in the published code, the last two do not antialias."""
PROFILES = (gaussian, gaussian, plateau)
ROUND = 18
REAL_WORLD_DRAWS = 2 * ROUND + 5
"""Numbers for `real_world`: those of two rounds, then last kernel, order and method."""


@torch.no_grad()
def real_world(images: Tensor, scale: int, draws: Tensor, settings: Degradation = Degradation()) -> Tensor:
    """Images (n, 1 | 3, h, w) to (n, c, h / scale, w / scale) with 256 levels: Real-ESRGAN's second-order degradation
    (Wang et al. 2021, arXiv:2107.10833, sections 3.1 to 3.3, with the settings of the published code).

    They are treated one by one, because each has sizes of its own on the way. `draws` (n, REAL_WORLD_DRAWS).

    Raises:
        BadOption: the draws have another shape; neither 1 nor 3 channels; a scale below 1.
        BadData: the scale does not divide the size.
    """
    _refuse_channels(images)
    target = _divided(images, scale)
    pieces = images.float().split(1)
    rows = _rows(images, draws, REAL_WORLD_DRAWS)
    return torch.cat([_real(image, row, target, settings) for image, row in zip(pieces, rows)]).to(images.dtype)


def _real(image: Tensor, u: Sequence[float], target: tuple[int, int], settings: Degradation) -> Tensor:
    """One image (1, c, h, w) to the size `target`."""
    first, second, (with_sinc, size, cutoff, order, method) = u[:ROUND], u[ROUND : 2 * ROUND], u[2 * ROUND :]
    image = _round(image, first, settings.first, tuple(image.shape[2:]))
    image = _pressed(image, first[-1], settings.first)
    image = _round(image, second, settings.second, target)
    if order >= 0.5:  # the published code's two orders: others twist lines
        image = _pressed(image, second[-1], settings.second)
    image = resized(image, *target, METHODS[int(method * len(METHODS))])
    if with_sinc < settings.final_sinc:
        kernel = sinc(SIZES[int(size * len(SIZES))], _between(cutoff, (math.pi / 3, math.pi)))
        image = filtered(image, kernel[None])
    if order < 0.5:
        image = _pressed(image, second[-1], settings.second)
    return _levels(image) / 127.5 - 1


def _pressed(image: Tensor, u: float, settings: Round) -> Tensor:
    return jpeg(image, torch.tensor([_between(u, settings.jpeg)]))


def _round(image: Tensor, u: Sequence[float], settings: Round, base: tuple[int, ...]) -> Tensor:
    """Blur, another size (`base` times a factor), noise."""
    if u[0] < settings.blur:
        image = filtered(image, _kernel(u[1:10], settings)[None])
    smallest, largest = settings.factor
    factor = (1 + u[11] * (largest - 1), smallest + u[11] * (1 - smallest), 1.0)[_chosen(u[10], settings.resize)]
    height, width = (max(1, int(size * factor)) for size in base)
    image = resized(image, height, width, METHODS[int(u[12] * len(METHODS))])
    return _noisy(image, u[13:17], settings)


def _kernel(u: Sequence[float], settings: Round) -> Tensor:
    """A blur kernel (k, k): a sinc, or one of the six kinds."""
    size = SIZES[int(u[1] * len(SIZES))]
    if u[0] < settings.sinc:
        return sinc(size, _between(u[2], (math.pi / 3 if size < 13 else math.pi / 5, math.pi)))
    kind, anisotropic = divmod(_chosen(u[3], settings.kernels), 2)
    along = _between(u[4], settings.sigma)
    across = _between(u[5], settings.sigma) if anisotropic else along
    smallest, largest = ((1.0, 1.0), settings.generalised, settings.plateau)[kind]
    shape = _between(u[7], (smallest, 1.0) if u[8] < 0.5 else (1.0, largest))
    return bump(size, (along, across), 2 * math.pi * u[6], partial(PROFILES[kind], shape=shape))


def _chosen(u: float, weights: Sequence[float]) -> int:
    """The index that a number uniform in [0, 1) stands for, drawn as often as its weight says."""
    edges = [*accumulate(weights)]
    return next((index for index, edge in enumerate(edges) if u * edges[-1] < edge), len(edges) - 1)


def _noisy(image: Tensor, u: Sequence[float], settings: Round) -> Tensor:
    """Gaussian or Poisson noise, in colour or grey, then clipped."""
    source = grey(image) if u[2] < settings.grey else image
    grain = generator(image.device, "grain", int(u[3] * 2**24))
    if u[0] < settings.gaussian:
        strength = _between(u[1], settings.noise) / 127.5
        noise = torch.randn(source.shape, generator=grain, device=image.device)
    else:
        strength = _between(u[1], settings.poisson)
        noise = shot_noise(source, torch.rand(source.shape, generator=grain, device=image.device))
    return (image + strength * noise).clamp(-1, 1)


def shot_noise(images: Tensor, uniform: Tensor) -> Tensor:
    """What counting photons adds to images (n, c, h, w): a Poisson number less its mean, from `uniform` numbers of the
    same shape.

    White are as many photons as the images have levels, rounded up to a power of two (256 in a photo), as in the
    published code.
    """
    levels = _levels(images).long()
    white = 2 ** math.ceil(math.log2(int(torch.bincount(levels.flatten(), minlength=256).count_nonzero())))
    table = _poisson(white, images.device)
    count, row = torch.zeros_like(levels), levels * COUNTS
    for half in (COUNTS >> k for k in range(1, COUNTS.bit_length())):  # the first count whose probability exceeds u
        count = count + half * (table[row + count + (half - 1)] <= uniform)
    return (count - levels * (white / 255)) * (2 / white)


COUNTS = 512
"""Beyond 256 + 16 standard deviations."""


@lru_cache(maxsize=16)
def _poisson(white: int, device: torch.device) -> Tensor:
    """(256 * COUNTS,): for each level, the probability of at most 0, 1, ... photons, where level 255 means `white`."""
    rate = torch.arange(256, dtype=torch.float64)[:, None] * (white / 255)
    return torch.special.gammaincc(torch.arange(COUNTS) + 1.0, rate).float().flatten().to(device)


def _refuse_channels(images: Tensor) -> None:
    if images.shape[1] not in (1, 3):
        raise BadOption(f"JPEG is for images of 1 (grey) or 3 (colour) channels; these have {images.shape[1]}.")
