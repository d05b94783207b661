"""Real-ESRGAN's model of the real world (Wang et al. 2021, arXiv:2107.10833): blur, resizing, noise and JPEG, twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from zerosum.core.randomness import generator
from zerosum.objectives.degradations.blurring import bump, filtered, gaussian, plateau, sinc
from zerosum.objectives.degradations.colours import grey, refuse_channels, to_levels
from zerosum.objectives.degradations.compression import jpeg
from zerosum.objectives.degradations.draws import Range, between, chosen, numbers
from zerosum.objectives.degradations.resizing import area, cubic, divided, linear, resized


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
    refuse_channels(images)
    target = divided(images, scale)
    pieces = images.float().split(1)
    rows = numbers(images, draws, REAL_WORLD_DRAWS)
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
        kernel = sinc(SIZES[int(size * len(SIZES))], between(cutoff, (math.pi / 3, math.pi)))
        image = filtered(image, kernel[None])
    if order < 0.5:
        image = _pressed(image, second[-1], settings.second)
    return to_levels(image) / 127.5 - 1


def _pressed(image: Tensor, u: float, settings: Round) -> Tensor:
    return jpeg(image, torch.tensor([between(u, settings.jpeg)]))


def _round(image: Tensor, u: Sequence[float], settings: Round, base: tuple[int, ...]) -> Tensor:
    """Blur, another size (`base` times a factor), noise."""
    if u[0] < settings.blur:
        image = filtered(image, _kernel(u[1:10], settings)[None])
    smallest, largest = settings.factor
    factor = (1 + u[11] * (largest - 1), smallest + u[11] * (1 - smallest), 1.0)[chosen(u[10], settings.resize)]
    height, width = (max(1, int(size * factor)) for size in base)
    image = resized(image, height, width, METHODS[int(u[12] * len(METHODS))])
    return _noisy(image, u[13:17], settings)


def _kernel(u: Sequence[float], settings: Round) -> Tensor:
    """A blur kernel (k, k): a sinc, or one of the six kinds."""
    size = SIZES[int(u[1] * len(SIZES))]
    if u[0] < settings.sinc:
        return sinc(size, between(u[2], (math.pi / 3 if size < 13 else math.pi / 5, math.pi)))
    kind, anisotropic = divmod(chosen(u[3], settings.kernels), 2)
    along = between(u[4], settings.sigma)
    across = between(u[5], settings.sigma) if anisotropic else along
    smallest, largest = ((1.0, 1.0), settings.generalised, settings.plateau)[kind]
    shape = between(u[7], (smallest, 1.0) if u[8] < 0.5 else (1.0, largest))
    return bump(size, (along, across), 2 * math.pi * u[6], partial(PROFILES[kind], shape=shape))


def _noisy(image: Tensor, u: Sequence[float], settings: Round) -> Tensor:
    """Gaussian or Poisson noise, in colour or grey, then clipped."""
    source = grey(image) if u[2] < settings.grey else image
    grain = generator(image.device, "grain", int(u[3] * 2**24))
    if u[0] < settings.gaussian:
        strength = between(u[1], settings.noise) / 127.5
        noise = torch.randn(source.shape, generator=grain, device=image.device)
    else:
        strength = between(u[1], settings.poisson)
        noise = shot_noise(source, torch.rand(source.shape, generator=grain, device=image.device))
    return (image + strength * noise).clamp(-1, 1)


def shot_noise(images: Tensor, uniform: Tensor) -> Tensor:
    """What counting photons adds to images (n, c, h, w): a Poisson number less its mean, from `uniform` numbers of the
    same shape.

    White are as many photons as the images have levels, rounded up to a power of two (256 in a photo), as in the
    published code.
    """
    levels = to_levels(images).long()
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
