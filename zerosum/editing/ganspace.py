"""Directions of largest variance (GANSpace; Härkönen et al. 2020, arXiv:2004.02546).

For generators with a mapping network: principal components of w. For plain GANs: those of what the first layer hands
on, carried back to z by linear regression (section 2, equation 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zerosum.core.errors import BadOption
from zerosum.core.randomness import derive
from zerosum.editing.directions import Directions, make, signed
from zerosum.editing.points import Points, check, images_of, layers_of, population
from zerosum.editing.sefa import entries, hooked
from zerosum.training.generator import TrainedGenerator


def ganspace(
    generator: TrainedGenerator, count: int = 5, *, layers: Sequence[int] | None = None, samples: int | None = None,
    seed: int = 0,
) -> Directions:  # fmt: skip
    """The `count` directions of largest variance.

    Args:
        layers: those that are moved; None: all. (The components do not depend on them: w is the same in all.)
        samples: random w; None: 10,000, or 2,000 for plain GANs, whose activations are large.

    Raises:
        BadOption: layers of a plain generator, or more directions than w has components.
    """
    check(generator)
    plain = layers_of(generator) is None
    if plain and layers is not None:
        raise BadOption("this generator has no layers with a w of their own: leave --layers out.")
    samples = samples or (2_000 if plain else 10_000)
    points = population(generator, samples, seed)
    w = points.w if plain else points.w[:, 0]
    if not 1 <= count <= min(w.shape):
        raise BadOption(f"{count} directions were asked for; {samples} samples of {w.shape[1]} components give fewer.")
    if plain:
        vectors, shares = _carried_back(w, _activations(generator, points), count, seed)
    else:
        vectors, shares = principal(w, count, seed)
    names = [f"ganspace-{index}" for index in range(count)]
    facts = {"share": shares.tolist(), "samples": samples, "seed": seed}
    return make(signed(vectors), w, names, "ganspace", layers, facts)


def principal(x: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The first principal components (count, d) of x (n, d), and their shares of the variance."""
    centred = x - x.mean(0)
    total = centred.square().sum()
    if x.shape[1] <= 1024:
        values, vectors = torch.linalg.eigh(centred.double().T @ centred.double())
        order = values.argsort(descending=True)[:count]
        return vectors[:, order].T.float(), (values[order] / total).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "ganspace"))
        _, s, v = torch.svd_lowrank(centred, q=min(count + 10, *centred.shape), niter=6)
    return v[:, :count].T, s[:count].square() / total


def _carried_back(z: Tensor, activations: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The z (count, size) that go with a step along each component, by least squares over the samples."""
    components, shares = principal(activations, count, seed)
    coordinates = (activations - activations.mean(0)) @ components.T
    coordinates = coordinates / coordinates.std(0).clamp(min=1e-12)
    vectors = torch.linalg.lstsq(coordinates.double(), (z - z.mean(0)).double()).solution
    return vectors.float(), shares


def _activations(generator: TrainedGenerator, points: Points) -> Tensor:
    """(n, d): what the layers that z enters hand on to the next, normalised and activated."""
    _, behind = entries(generator)
    if not behind:
        raise BadOption("ganspace needs a generator of two layers or more; use --method sefa.")
    found: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(inputs[0].detach().float().flatten(1).cpu())

    with hooked(behind[:1], note):
        images_of(generator, points)
    return torch.cat(found)
