"""Ways from point to point: straight in w, along great circles in normal z; and truncation, from the mean outwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from zerosum.core import randomness
from zerosum.core.errors import BadOption
from zerosum.core.latents import Normal
from zerosum.editing.points import Points, check, drawn, join, labels_for, layers_of
from zerosum.training.generator import TrainedGenerator

Between = Literal["w", "z"]


def linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """a (...) to b (...) at the shares t (m,): (m, ...)."""
    t = t.view(-1, *[1] * a.dim())
    return a * (1 - t) + b * t


def spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """a (size,) to b (size,) along the great circle at the shares t (m,): (m, size) (White 2016, arXiv:1609.04468).

    Points in between are as far from 0 as normal samples are; those of a straight line would be nearer. Straight where
    a and b point the same or opposite ways.
    """
    cosine = torch.dot(a, b) / (a.norm() * b.norm()).clamp(min=1e-12)
    angle = torch.acos(cosine.clamp(-1.0, 1.0))
    if float(angle.sin()) < 1e-4:
        return linear(a, b, t)
    t = t[:, None]
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / angle.sin()


def path(generator: TrainedGenerator, keys: Points, frames: int, *, closed: bool = False) -> Points:
    """A way through all `keys`, with `frames` points from each key to the next; it ends at the last key, or, where
    `closed`, just before the first.

    Straight in w; along great circles where w is a normal z. Noise maps are blended so that their variance stays.

    Raises:
        BadOption: fewer than two keys, or a class that would have to change on the way.
    """
    check(generator)
    if len(keys) < 2 or frames < 1:
        raise BadOption(f"a way needs 2 points or more and 1 frame or more; {len(keys)} and {frames} were given.")
    plain = layers_of(generator) is None
    if plain and keys.label is not None and len(keys.label.unique()) > 1:
        raise BadOption("a plain conditional generator cannot change the class on the way: choose points of one class.")
    between = spherical if plain and isinstance(generator.latent, Normal) else linear
    shares = torch.arange(frames) / frames
    pairs = [(i, (i + 1) % len(keys)) for i in range(len(keys) if closed else len(keys) - 1)]
    parts = []
    for a, b in pairs:
        here = keys[[a]].repeat(frames)
        noise = {name: _blend(value[a], value[b], shares) for name, value in keys.noise.items()}
        parts.append(Points(between(keys.w[a], keys.w[b], shares), here.label, noise))
    return join(parts if closed else [*parts, keys[[len(keys) - 1]]])


def _blend(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Noise (1, h, w) to noise with constant variance: (m, 1, h, w)."""
    t = t.view(-1, 1, 1, 1) * (math.pi / 2)
    return a * t.cos() + b * t.sin()


@torch.no_grad()
def path_in_z(
    generator: TrainedGenerator,
    seeds: Sequence[int],
    frames: int,
    *,
    label: int | None = None,
    truncation: float = 1.0,
    closed: bool = False,
) -> Points:
    """As `path` between the images of `seeds`, along great circles in z that are mapped to w."""
    check(generator)
    if not isinstance(generator.latent, Normal):
        raise BadOption("--between z needs a normal latent; use --between w.")
    if len(seeds) < 2 or frames < 1:
        raise BadOption(f"a way needs 2 seeds or more and 1 frame or more; {len(seeds)} and {frames} were given.")
    keys = torch.cat([generator.latent.draw(1, randomness.generator("cpu", seed, "z")) for seed in seeds])
    shares = torch.arange(frames) / frames
    ends = len(keys) if closed else len(keys) - 1
    z = [spherical(keys[i], keys[(i + 1) % len(keys)], shares) for i in range(ends)]
    whole = torch.cat(z if closed else [*z, keys[-1:]]).to(generator.device)
    labels = labels_for(generator, len(whole), 0 if generator.conditional and label is None else label)
    given = None if labels is None else {"label": labels.to(generator.device)}
    return Points(generator.map(whole, given, truncation).float().cpu().contiguous(), labels)


def truncations(
    generator: TrainedGenerator, seeds: Sequence[int], psis: Sequence[float], label: int | None = None
) -> Points:
    """The images of `seeds` at every truncation: seed by seed, so that len(psis) points belong to each."""
    check(generator)
    if not psis:
        raise BadOption("no truncations were given: name some, as in --psi 0 0.5 1.")
    columns = [drawn(generator, seeds, label, psi) for psi in psis]
    order = torch.arange(len(psis) * len(seeds)).view(len(psis), len(seeds)).T.flatten()
    return join(columns)[order]
