"""Projection: the point whose image is nearest to a given one (Karras et al. 2020, arXiv:1912.04958, appendix D).

Deviations from the paper: the learning rate counts in deviations of a component of w, so that one setting fits every
generator; the distance needs no pretrained network unless one is handed in; w (one vector a layer in W+, z of plain
GANs) is pulled back where it leaves the region that random samples come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core import randomness
from zerosum.core.errors import BadData, BadOption
from zerosum.core.latents import Categorical, Joined, Latent, Normal, Uniform
from zerosum.editing.distance import SMALLEST, Distance, Measure, pyramid
from zerosum.editing.points import (
    Points,
    Spread,
    check,
    images_of,
    labels_for,
    layers_of,
    noise_buffers,
    population,
    spread,
    synthesise,
)
from zerosum.training.generator import TrainedGenerator

Space = Literal["w", "w+"]


@dataclass(frozen=True)
class Settings:
    """How images are projected."""

    space: Space = "w"
    """w: one vector for all layers (z of plain GANs), which edits best; w+: one for each layer, which fits best."""
    steps: int = 1000
    """Steps of Adam (appendix D)."""
    rate: float = 0.1
    """Highest learning rate, in deviations of a component of w (appendix D: 0.1)."""
    rise: float = 0.05
    """Share of the steps in which the learning rate rises (appendix D)."""
    fall: float = 0.25
    """Share of the steps, at the end, in which it falls along half a cosine (appendix D)."""
    blur: float = 0.05
    """Deviation of the noise added to w at first, in those of w as a whole (appendix D) ..."""
    blurred: float = 0.75
    """... and the share of the steps after which it has faded (appendix D)."""
    pull: float | None = 0.05
    """Weight of (r - 1)^2 where r, the distance from the mean w in deviations, is above 1; None: off."""
    noise: float | None = 1e5
    """Weight of the noise maps' correlations where they are fitted too (appendix D); None: they stay as they are."""
    samples: int = 10_000
    """Random samples that mean and deviation of w are taken from (appendix D)."""
    start: int | None = None
    """Start from the nearest of so many random samples; None: from the mean w (appendix D)."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadOption(f"--steps is {self.steps}; a projection takes at least 1.")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise BadOption(f"--rate is {self.rate:g}; it must be more than 0.")
        if self.start is not None and self.start < 2:
            raise BadOption(f"--start is {self.start}; give 2 samples or more, or None to start from the mean.")


@dataclass(frozen=True)
class Projection:
    """Images found for n targets."""

    points: Points
    images: Tensor
    """Encoded, (n, c, h, w)."""
    curve: Tensor
    """(steps, n): the distance of each image at each step."""

    @property
    def distance(self) -> Tensor:
        """(n,): the distance at the last step."""
        return self.curve[-1]


def encode(generator: TrainedGenerator, images: object) -> Tensor:
    """PIL images or arrays of any size as the encoded images (n, c, h, w) that the generator makes, resized as in
    training.
    """
    if generator.encoding is None:
        raise BadData("this generator has no encoding: give its images as tensors (n, c, h, w) in [-1, 1].")
    return generator.encoding.encode(images)["image"]


def project(
    generator: TrainedGenerator,
    images: Tensor,
    *,
    label: int | None = None,
    settings: Settings | None = None,
    distance: Distance = pyramid,
    seed: int = 0,
    progress: Callable[[], None] | None = None,
) -> Projection:
    """The points whose images are nearest to `images`, all optimized at once but none influenced by another.

    Args:
        generator: of images.
        images: encoded targets (n, c, h, w).
        label: their class, for a conditional generator.
        settings: the space, steps and weights.
        distance: what is descended; see `zerosum.editing.distance`.
        seed: of the noise on w, and of the samples that its mean is taken from.
        progress: called after every step.

    Raises:
        BadOption: w+ of a generator without layers; a class that does not exist.
        BadData: targets of another shape.

    Example:
        >>> found = project(generator, encode(generator, [Image.open("photo.png")]))
        >>> save(found.points, generator, Path("photo.safetensors"))
    """
    settings = settings or Settings()
    check(generator)
    if tuple(images.shape[1:]) != tuple(generator.spec.shape) or not len(images):
        wanted = " x ".join(map(str, generator.spec.shape))
        raise BadData(f"targets of shape {tuple(images.shape)} were given; this generator makes (n, {wanted}).")
    layers = layers_of(generator)
    if settings.space == "w+" and layers is None:
        raise BadOption("--space w+ needs a generator with a w for each layer (stylegan2, stylegan3); use --space w.")
    around = spread(population(generator, settings.samples, seed, label).w)
    search = _Search(generator, len(images), labels_for(generator, len(images), label), around, settings)
    if settings.start is not None:
        search.begin(_nearest(generator, images, distance, population(generator, settings.start, seed, label)))
    return search.run(distance(images.to(generator.device)), seed, progress)


@torch.no_grad()
def _nearest(generator: TrainedGenerator, images: Tensor, distance: Distance, among: Points) -> Tensor:
    """(n, size): the w in `among` whose images are nearest to each of `images`."""
    w = among.w if among.w.dim() == 2 else among.w[:, 0]
    measures = [distance(image[None].to(generator.device)) for image in images]
    found = []
    for chosen in torch.arange(len(among)).split(64):
        candidates = images_of(generator, among[chosen]).to(generator.device)
        found.append(torch.stack([_each(measure, candidates) for measure in measures]).cpu())
    return w[torch.cat(found, dim=1).argmin(1)]


def _each(measure: Measure, candidates: Tensor) -> Tensor:
    """(m,): the distances of candidates (m, c, h, w) from the one target of a measure."""
    return torch.cat([measure(candidate[None]) for candidate in candidates])


class _Search:
    """The variables of a projection and their optimizer."""

    def __init__(self, generator: TrainedGenerator, n: int, label: Tensor | None, around: Spread, settings: Settings):
        device = generator.device
        self.generator, self.settings, self.label, self.around = generator, settings, label, around
        self.mean = around.mean.to(device)
        self.layers = layers_of(generator)
        size = len(around.mean)
        own = 1 if self.layers is None or settings.space == "w" else self.layers
        self.w = self.mean.expand(n, own, size).clone().requires_grad_(True)
        self.bounds = None if self.layers is not None else _bounds(generator.latent, device)
        self.noise = {}
        if settings.noise is not None:
            self.noise = {
                name: _standardised(value.expand(n, 1, *value.shape)).requires_grad_(True)
                for name, value in noise_buffers(generator).items()
            }
        self.unit = around.deviation / math.sqrt(size)
        groups = [{"params": [self.w], "factor": self.unit}, {"params": list(self.noise.values()), "factor": 1.0}]
        self.adam = torch.optim.Adam(groups[: 2 if self.noise else 1], betas=(0.9, 0.999), eps=1e-12)

    def begin(self, w: Tensor) -> None:
        """Start from w (n, size) in all layers."""
        with torch.no_grad():
            self.w.copy_(w[:, None].expand_as(self.w))

    def run(self, measure: Measure, seed: int, progress: Callable[[], None] | None) -> Projection:
        """All steps."""
        steps, curve = self.settings.steps, []
        draw = randomness.generator("cpu", seed, "projection")
        for step in range(steps):
            for group in self.adam.param_groups:
                group["lr"] = group["factor"] * self.settings.rate * _rate(step / steps, self.settings)
            # One draw for all images, so that none depends on which others are projected with it.
            blur = torch.randn(self.w.shape[1:], generator=draw).to(self.w.device)
            curve.append(self.step(measure, blur * self.strength(step / steps)))
            if progress is not None:
                progress()
        points = self.points()
        images = images_of(self.generator, points)
        with torch.no_grad():
            last = measure(images.to(self.w.device)).cpu()
        return Projection(points, images, torch.stack([*curve, last])[1:])

    def strength(self, progress: float) -> float:
        """Deviation of the noise on w: falls with the square of the time (appendix D)."""
        return self.settings.blur * self.around.deviation * max(0.0, 1.0 - progress / self.settings.blurred) ** 2

    def step(self, measure: Measure, blur: Tensor) -> Tensor:
        """One step; the distances (n,) before it, with noise."""
        images = synthesise(self.generator, self.placed(self.w + blur), self._label(), self.noise)
        distances = measure(images.float())
        loss = distances.sum()  # a sum: the gradients of one image do not depend on how many others there are
        if self.settings.pull is not None:
            loss = loss + self.settings.pull * self.outside().sum()
        if self.settings.noise is not None and self.noise:
            loss = loss + self.settings.noise * torch.stack([_correlation(one) for one in self.noise.values()]).sum()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        with torch.no_grad():
            if self.bounds is not None:
                self.w.clamp_(*self.bounds)
            for value in self.noise.values():
                value.copy_(_standardised(value))
        return distances.detach().cpu()

    def outside(self) -> Tensor:
        """(n,): mean over layers of (r - 1)^2 outside the region that random samples come from."""
        radius = (self.w - self.mean).norm(dim=2) / self.around.deviation
        return F.relu(radius - 1.0).square().mean(1)

    def placed(self, w: Tensor) -> Tensor:
        """w (n, 1 or layers, size) in the shape that the generator takes."""
        return w[:, 0] if self.layers is None else w.expand(-1, self.layers, -1)

    def points(self) -> Points:
        """What was found."""
        noise = {name: value.detach().cpu().clone() for name, value in self.noise.items()}
        return Points(self.placed(self.w.detach()).cpu().contiguous(), self.label, noise)

    def _label(self) -> Tensor | None:
        return None if self.label is None else self.label.to(self.w.device)


def _rate(progress: float, settings: Settings) -> float:
    """Rises along a line, falls along half a cosine (appendix D)."""
    rise = min(1.0, progress / settings.rise) if settings.rise else 1.0
    fall = min(1.0, (1.0 - progress) / settings.fall) if settings.fall else 1.0
    return rise * (0.5 - 0.5 * math.cos(math.pi * fall))


def _bounds(latent: Latent, device: torch.device) -> tuple[Tensor, Tensor]:
    """Least and largest values (size,) that a latent can have."""
    parts = latent.parts if isinstance(latent, Joined) else (latent,)
    low, high = [], []
    for part in parts:
        match part:
            case Normal():
                ends = (-math.inf, math.inf)
            case Uniform():
                ends = (part.low, part.high)
            case Categorical():
                ends = (0.0, 1.0)
        low += [ends[0]] * part.size
        high += [ends[1]] * part.size
    return torch.tensor(low, device=device), torch.tensor(high, device=device)


def _standardised(noise: Tensor) -> Tensor:
    """Noise maps (n, 1, h, w) with mean 0 and variance 1 each (appendix D)."""
    centred = noise - noise.mean(dim=(2, 3), keepdim=True)
    return centred * (centred.square().mean(dim=(2, 3), keepdim=True) + 1e-8).rsqrt()


def _correlation(noise: Tensor) -> Tensor:
    """Sum over images and scales of the squared correlations of neighbouring pixels (appendix D): 0 for white noise."""
    total, maps = noise.new_zeros(()), noise
    while True:
        for axis in (2, 3):
            total = total + (maps * maps.roll(1, dims=axis)).mean(dim=(1, 2, 3)).square().sum()
        if min(maps.shape[2:]) < 2 * SMALLEST:
            return total
        maps = F.avg_pool2d(maps, 2) * 2  # the mean of four has half their deviation


def errors(images: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
    """(n,) each: mean squared error, and peak signal-to-noise ratio in dB of images in [-1, 1]."""
    mse = (images.clamp(-1, 1) - targets).square().mean(dim=(1, 2, 3))
    return {"mse": mse, "psnr": 10 * (4 / mse.clamp(min=1e-12)).log10()}
