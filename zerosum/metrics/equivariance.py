"""EQ-T and EQ-R: how exactly a generator's images move with its input (Karras et al. 2021, arXiv:2106.12423, section
2.1 and appendix E).

The peak signal-to-noise ratio, in dB, between the image of a moved input and the moved image of the input as it was,
over the pixels that both know. 65 dB are equal to the eye; about 15 dB say that details stick to the pixel grid.
Measures image generators whose input can be moved: those of StyleGAN3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from zerosum.core import randomness
from zerosum.core.errors import BadOption
from zerosum.training.generator import TrainedGenerator

Moved = Callable[[Tensor, Tensor], Tensor]
"""w (n, ...) and the transform (n, 3, 3) of the coordinates that the image is drawn at, in units of the image's width
(from what is asked for to what is drawn: the inverse of what one sees), to images (n, c, h, w) in [-1, 1]."""

RANGE = 2.0
"""From -1 to 1: I_max of equation 2."""
FARTHEST = 0.125
"""Of the width: translations are uniform up to here, both ways, both axes (appendix E)."""
LOBES = 3
"""Of the windowed sinc that images are resampled with (Lanczos; appendix E)."""
FINER = 4
"""Images are up-sampled so many times before they are rotated."""


@dataclass(frozen=True)
class Equivariance:
    """In dB; higher is better."""

    eq_t: float
    """Translations by whole pixels."""
    eq_t_frac: float
    """Translations by any distance."""
    eq_r: float
    """Rotations by any angle."""
    samples: int
    seed: int

    def to_dict(self) -> dict[str, float]:
        """As plain JSON."""
        return asdict(self)


def equivariance(generator: TrainedGenerator, n: int = 1000, *, seed: int = 0, batch: int = 16) -> Equivariance:
    """EQ-T, EQ-T_frac and EQ-R of a generator over n random samples, each moved once in every way.

    Raises:
        BadOption: its input cannot be moved, or there are no samples.

    Example:
        >>> equivariance(zerosum.load("runs/faces"), n=1000).eq_t
    """
    moved, device = _moved(generator), generator.device
    labels = generator.labels(n, seed=seed)
    z = generator.latent.draw(n, randomness.generator("cpu", seed, "z")).to(device)

    def points(start: int, stop: int) -> Tensor:
        given = None if labels is None else {"label": labels[start:stop].to(device)}
        return generator.map(z[start:stop], given)

    return measure(moved, points, n, seed=seed, batch=batch)


def _moved(generator: TrainedGenerator) -> Moved:
    names = [name for name, _ in generator.network.named_buffers() if name.endswith("input.transform")]
    if not names:
        raise BadOption(
            "equivariance needs a generator whose input can be moved: stylegan3's can; this one's grid is fixed."
        )
    synthesis = generator.network.get_submodule("synthesis")
    name = names[0].removeprefix("synthesis.")
    return lambda w, transform: functional_call(synthesis, {name: transform}, (w,))


@torch.no_grad()
def measure(
    moved: Moved, points: Callable[[int, int], Tensor], n: int, *, seed: int = 0, batch: int = 16
) -> Equivariance:
    """EQ-T, EQ-T_frac and EQ-R of any function.

    Args:
        moved: the function; see `Moved`.
        points: w of the samples from a start to a stop, (stop - start, ...).
        n: samples.
        seed: of the translations and angles.
        batch: samples at once.
    """
    if n < 1:
        raise BadOption(f"equivariance over {n} samples was asked for; ask for 1 or more, best 1,000.")
    draw = randomness.generator("cpu", seed, "equivariance")
    shifts = (torch.rand(n, 2, generator=draw) * 2 - 1) * FARTHEST
    angles = torch.rand(n, generator=draw) * 2 * math.pi
    squares, pixels = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for start in range(0, n, batch):
        stop = min(start + batch, n)
        w = points(start, stop)
        found = _compare(moved, w, shifts[start:stop], angles[start:stop])
        for index, (error, count) in enumerate(found):
            squares[index] += error
            pixels[index] += count
    if not bool((pixels > 0).all()):
        raise BadOption("the images are too small for equivariance: no pixel is known before and after being moved.")
    decibels = 10 * (RANGE**2 / (squares / pixels).clamp(min=1e-20)).log10()
    eq_t, eq_t_frac, eq_r = decibels.tolist()
    return Equivariance(eq_t, eq_t_frac, eq_r, n, seed)


def _compare(moved: Moved, w: Tensor, shifts: Tensor, angles: Tensor) -> list[tuple[float, float]]:
    """(sum of squared errors, number of values) over the valid pixels: whole, fractional translations, rotations."""
    still = _comparable(moved(w, torch.eye(3, device=w.device).expand(len(w), 3, 3)))
    height, width = still.shape[2:]
    scale = torch.tensor([width, height])
    whole = (shifts * scale).round()
    found = []
    for shift, move in ((whole, whole_shift), (shifts * scale, fractional_shift)):
        images = _comparable(moved(w, translation(shift / width).to(w.device)))
        pairs = [(image, *move(one, *offset)) for image, one, offset in zip(images, still, shift.tolist(), strict=True)]
        found.append(_errors(pairs))
    images = _comparable(moved(w, rotation(-angles).to(w.device)))
    pairs = []
    for image, one, angle in zip(images, still, angles.tolist(), strict=True):
        turned, valid = rotate(one, angle)
        pairs.append((limit(image, angle), turned, valid))
    return [*found, _errors(pairs)]


def _comparable(images: Tensor) -> Tensor:
    """float32, and on the CPU where the device has no double precision."""
    return images.float().cpu() if images.device.type == "mps" else images.float()


def _errors(pairs: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[float, float]:
    """Of images (c, h, w), references (c, h, w) and valid pixels (h, w)."""
    error = sum(float(((a - b).double().square() * valid).sum()) for a, b, valid in pairs)
    return error, sum(float(valid.sum()) * len(a) for a, _, valid in pairs)


def translation(shift: Tensor) -> Tensor:
    """Transforms (n, 3, 3) that let the image be seen moved by shift (n, 2): x to the right, y down, in widths."""
    found = torch.eye(3).repeat(len(shift), 1, 1)
    found[:, :2, 2] = -shift
    return found


def rotation(angle: Tensor) -> Tensor:
    """Transforms (n, 3, 3) of coordinates (x right, y down) by angle (n,)."""
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).view(-1, 3, 3)


def whole_shift(image: Tensor, x: float, y: float) -> tuple[Tensor, Tensor]:
    """(c, h, w) moved by whole pixels, and where that is known, (h, w)."""
    moved = image.roll((int(y), int(x)), dims=(1, 2))
    return moved, _inside(image, lambda rows, columns: (rows - y, columns - x), 0.0)


def fractional_shift(image: Tensor, x: float, y: float) -> tuple[Tensor, Tensor]:
    """(c, h, w) moved by any distance through Lanczos filters along both axes, and where that is known, (h, w)."""
    for axis, offset in ((2, x), (1, y)):
        whole = math.floor(offset)
        places = torch.arange(-LOBES, LOBES + 1, dtype=torch.float64) + whole
        taps = _lanczos(places - offset)
        taps = (taps / taps.sum()).to(image)
        image = sum(tap * image.roll(int(place), dims=axis) for tap, place in zip(taps, places.tolist(), strict=True))  # type: ignore[assignment]
    return image, _inside(image, lambda rows, columns: (rows - y, columns - x), float(LOBES))


def rotate(image: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """(c, h, w) turned around its centre by an angle (x right, y down), and where that is known, (h, w).

    Up-sampled through the filter that keeps what both grids can hold, then looked up between the finer pixels.
    """
    c, height, width = image.shape
    kernel = _both(-angle).to(image)
    reach = kernel.shape[0] // 2
    fine = F.conv_transpose2d(image[:, None], kernel[None, None] * FINER**2, stride=FINER, padding=reach)
    rows, columns = _turned(image, angle)
    grid = torch.stack([columns / (width - 1), rows / (height - 1)], dim=2) * 2 - 1
    places = grid.to(image.dtype).expand(c, -1, -1, -1)
    turned = F.grid_sample(fine, places, mode="bicubic", padding_mode="zeros", align_corners=True)
    margin = reach / FINER
    valid = _inside(image, lambda rows, columns: _turned(image, angle), margin)
    return turned[:, 0], valid * _inside(image, lambda rows, columns: (rows, columns), margin)


def limit(image: Tensor, angle: float) -> Tensor:
    """(c, h, w) without what an image turned back by the angle could not hold: what `rotate` cannot have made."""
    kernel = _both(angle)
    kernel = kernel[(kernel.shape[0] // 2) % FINER :: FINER, (kernel.shape[1] // 2) % FINER :: FINER]
    kernel = (kernel / kernel.sum()).to(image)
    return F.conv2d(image[:, None], kernel[None, None], padding=kernel.shape[0] // 2)[:, 0]


def _turned(image: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Rows and columns (h, w) that the pixels of the image turned by `angle` come from."""
    height, width = image.shape[1:]
    rows, columns = _pixels(image)
    y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    return -sin * x + cos * y + (height - 1) / 2, cos * x + sin * y + (width - 1) / 2


def _pixels(image: Tensor) -> tuple[Tensor, Tensor]:
    axes = [torch.arange(side, device=image.device, dtype=torch.float32) for side in image.shape[1:]]
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    return rows, columns


def _inside(image: Tensor, source: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], margin: float) -> Tensor:
    """1 where the place that a pixel comes from is `margin` pixels or more within the image, else 0: (h, w)."""
    height, width = image.shape[1:]
    rows, columns = source(*_pixels(image))
    known = (rows >= margin) & (rows <= height - 1 - margin) & (columns >= margin) & (columns <= width - 1 - margin)
    return known.double()


def _lanczos(x: Tensor) -> Tensor:
    """sinc(x) sinc(x / a) for |x| < a, else 0."""
    return torch.where(x.abs() < LOBES, torch.sinc(x) * torch.sinc(x / LOBES), torch.zeros_like(x))


def _both(angle: float) -> Tensor:
    """A low-pass filter on the finer grid (k, k), sum 1: the Lanczos filter of the pixel grid followed by that of the
    grid turned by `angle`, so that only frequencies pass that both can hold.
    """
    diagonal = math.ceil(LOBES * math.sqrt(2)) * FINER
    axis = torch.arange(-diagonal, diagonal + 1, dtype=torch.float64) / FINER
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cos, sin = math.cos(angle), math.sin(angle)
    turned = _lanczos(cos * x + sin * y) * _lanczos(cos * y - sin * x)
    taps = _lanczos(torch.arange(-LOBES * FINER, LOBES * FINER + 1, dtype=torch.float64) / FINER)
    kernel = F.conv2d(turned[None, None], torch.outer(taps, taps)[None, None], padding=2 * LOBES * FINER)[0, 0]
    return kernel / kernel.sum()
