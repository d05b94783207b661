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
from zerosum.training.generator import TrainedGenerator

LINEAR = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


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
        size = drawn(generator, [0]).w.shape[1]
        return first_weight(first_layer(generator))[:, :size].cpu()
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


def weight_layers(generator: TrainedGenerator) -> list[nn.Module]:
    """The linear and convolutional layers of a plain generator that z reaches, in the order of a forward pass."""
    seen: list[list[tuple[nn.Module, Tensor]]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[-1].append((module, inputs[0].detach().clone()))

    layers = [module for module in generator.network.modules() if isinstance(module, LINEAR)]
    with hooked(layers, note):
        for index in (0, 1):
            seen.append([])
            images_of(generator, drawn(generator, [index]))
    # What is the same for two z is about the label.
    return [module for (module, a), (_, b) in zip(*seen, strict=True) if not torch.equal(a, b)]


def first_layer(generator: TrainedGenerator) -> nn.Module:
    """The first layer of a plain generator that z enters. Raises BadOption where there is none that this can read."""
    layers = weight_layers(generator)
    if not layers:
        raise BadOption("no linear or convolutional layer of this generator takes z.")
    return layers[0]


@torch.no_grad()
def first_weight(module: nn.Module) -> Tensor:
    """The weight of a layer that takes vectors as (everything else, inputs)."""
    weight: Tensor = module.get_parameter("weight") if "weight" in dict(module.named_parameters()) else module.weight  # type: ignore[assignment]
    if isinstance(module, nn.ConvTranspose2d):
        return weight.detach().flatten(1).T
    return weight.detach().transpose(0, 1).flatten(1).T
