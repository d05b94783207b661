"""Closed-form factorisation: directions from weights alone (SeFa; Shen and Zhou 2021, arXiv:2007.06600).

The vectors that the first affine map of w changes most by: eigenvectors of A^T A (equations 6 and 7). For generators
with a mapping network A holds the style maps of the chosen layers, one below the other; for plain GANs the map of z.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.core.errors import BadOption
from zerosum.editing.directions import Directions, make, signed
from zerosum.editing.points import check, drawn, images_of, layers_of, population
from zerosum.networks.equalized import EqualizedConv, EqualizedLinear
from zerosum.training.generator import TrainedGenerator

LINEAR = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, EqualizedLinear, EqualizedConv)


def sefa(
    generator: TrainedGenerator, count: int = 5, *, layers: Sequence[int] | None = None, samples: int = 10_000,
    seed: int = 0,
) -> Directions:  # fmt: skip
    """The `count` strongest directions. `samples` random w say how far strength 1 goes.

    Args:
        layers: those whose maps are factorised and that are moved; None: all.

    Raises:
        BadOption: layers of a plain generator, or more directions than w has components.
    """
    check(generator)
    matrix = style_matrix(generator, layers)
    if not 1 <= count <= matrix.shape[1]:
        raise BadOption(f"{count} directions were asked for; w has {matrix.shape[1]} components.")
    values, vectors = torch.linalg.eigh(matrix.double().T @ matrix.double())
    order = values.argsort(descending=True)[:count]
    w = population(generator, samples, seed).w
    shares = (values[order] / values.sum()).tolist()
    names = [f"sefa-{index}" for index in range(count)]
    return make(
        signed(vectors[:, order].T.float()), w if w.dim() == 2 else w[:, 0], names, "sefa", layers,
        {"share": shares, "samples": samples, "seed": seed},
    )  # fmt: skip


def style_matrix(generator: TrainedGenerator, layers: Sequence[int] | None) -> Tensor:
    """A (rows, size) on the CPU: what maps w to the styles of the chosen layers; for plain GANs what z enters."""
    if layers_of(generator) is None:
        if layers is not None:
            raise BadOption("this generator has no layers with a w of their own: leave --layers out.")
        return latent_matrix(generator)
    maps = style_maps(generator)
    chosen = [weight for layer, weight in maps if layers is None or layer in layers]
    if not chosen:
        raise BadOption(f"no style map belongs to layers {list(layers or [])}.")
    return torch.cat(chosen).cpu()


@torch.no_grad()
def style_maps(generator: TrainedGenerator) -> list[tuple[int, Tensor]]:
    """The layer whose w each affine map of the synthesis network is given, and its weight as used (channels, size).

    Found by what they are given when every layer's w is its own number: no network has to describe itself.
    """
    found: list[tuple[int, Tensor]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        layer = round(float(inputs[0].flatten()[0]))
        size = inputs[0].shape[-1]
        unit = torch.eye(size, device=inputs[0].device)
        found.append((layer, module.forward(unit).T - module.forward(torch.zeros_like(unit)).T))

    points = drawn(generator, [0])
    numbers = torch.arange(points.w.shape[1], dtype=torch.float32).view(1, -1, 1).expand_as(points.w).contiguous()
    with hooked([module for name, module in generator.named_modules() if name.endswith(".affine")], note):
        images_of(generator, points.at(numbers))
    return found


class hooked:  # noqa: N801 (used as a function)
    """While inside, `hook` is called after the forward pass of every module in `modules`."""

    def __init__(self, modules: Sequence[nn.Module], hook: Any):
        self.modules, self.hook = modules, hook

    def __enter__(self) -> None:
        self.handles = [module.register_forward_hook(self.hook) for module in self.modules]

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()


def entries(generator: TrainedGenerator) -> tuple[list[nn.Module], list[nn.Module]]:
    """The linear and convolutional layers of a plain generator that z itself enters, and those behind them, both in the
    order of a forward pass; layers that only the label reaches are neither.

    z itself: every number that enters is one of z's, or does not depend on z. Where z is normalised first there is no
    such layer, and the first one that z reaches is it.
    """
    found: list[tuple[nn.Module, bool]] = []
    points = drawn(generator, [0, 1])
    change = points.w[0] - points.w[1]

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        differences = (inputs[0][0] - inputs[0][1]).detach().float().flatten().cpu()
        differences = differences[differences != 0]
        if len(differences):
            few = len(differences) <= len(change)
            direct = few and bool(torch.isclose(differences[:, None], change, rtol=1e-3, atol=1e-6).any(1).all())
            found.append((module, direct))

    with hooked([module for module in generator.network.modules() if isinstance(module, LINEAR)], note):
        images_of(generator, points)
    if not found:
        raise BadOption("no linear or convolutional layer of this generator takes z.")
    if not any(direct for _, direct in found):
        found[0] = (found[0][0], True)
    return [module for module, direct in found if direct], [module for module, direct in found if not direct]


def latent_matrix(generator: TrainedGenerator) -> Tensor:
    """A (rows, size) on the CPU: how the outputs of the layers that z enters change with each component of z."""
    layers, _ = entries(generator)
    outputs: dict[nn.Module, list[Tensor]] = {layer: [] for layer in layers}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[module].append(output.detach().float().flatten(1).cpu())

    size = drawn(generator, [0]).w.shape[1]
    points = drawn(generator, [0]).repeat(2 * size)
    unit = torch.eye(size)
    # Both signs: where z is normalised first, its components are then all that is left of it.
    with hooked(layers, note):
        images_of(generator, points.at(torch.cat([unit, -unit])))
    whole = [torch.cat(outputs[layer]) for layer in layers]
    return torch.cat([(one[:size] - one[size:]).T / 2 for one in whole])
