"""Directions in which images are edited: unit vectors in w, with the step that strength 1 takes, kept and applied."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zerosum.core.errors import BadFile, BadOption
from zerosum.editing.points import Points, fingerprint, layers_of, read, write
from zerosum.training.generator import TrainedGenerator

PICTURES = 7
"""Of a range such as -3..3 that does not say how many."""


@dataclass(frozen=True)
class Directions:
    """k directions of one generator."""

    vectors: Tensor
    """(k, size), each of length 1."""
    scales: Tensor
    """(k,): what strength 1 moves, the standard deviation of random w along the vector."""
    names: tuple[str, ...]
    method: str
    layers: tuple[int, ...] | None = None
    """The layers that are moved; None: all, or w has none."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """How they were found, and how good they are."""

    def __post_init__(self) -> None:
        if self.vectors.dim() != 2 or len(self.vectors) != len(self.scales) or len(self.vectors) != len(self.names):
            raise BadOption(
                f"{tuple(self.vectors.shape)} vectors, {len(self.scales)} scales and {len(self.names)} names are no "
                "directions."
            )

    def __len__(self) -> int:
        return len(self.vectors)

    def find(self, name: str | int) -> int:
        """The position of a direction, by its name or number."""
        if isinstance(name, str) and name in self.names:
            return self.names.index(name)
        if str(name).isdigit() and int(name) < len(self):
            return int(name)
        raise BadOption(
            f"there is no direction {name!r} among the {len(self)}: {', '.join(self.names)} (or by number, from 0)."
        )

    def only(self, position: int) -> Directions:
        """One of them."""
        chosen = slice(position, position + 1)
        return replace(self, vectors=self.vectors[chosen], scales=self.scales[chosen], names=self.names[chosen])


def make(
    vectors: Tensor,
    w: Tensor,
    names: Sequence[str],
    method: str,
    layers: Sequence[int] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Directions:
    """Directions from vectors (k, size) of any length, their scales from random samples w (n, size).

    The sign is such that the largest component is positive, unless the method gives it a meaning.
    """
    vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
    scales = ((w - w.mean(0)) @ vectors.T).std(0)
    return Directions(
        vectors.float(), scales.float(), tuple(names), method, None if layers is None else tuple(layers), facts or {}
    )


def signed(vectors: Tensor) -> Tensor:
    """Vectors (k, size) with the sign that makes their largest component positive: the same on every machine."""
    largest = vectors.abs().argmax(dim=1, keepdim=True)
    return vectors * vectors.gather(1, largest).sign()


def moved(points: Points, directions: Directions, position: int, strengths: Sequence[float]) -> Points:
    """Each point at every strength: point by point, len(points) * len(strengths) of them.

    Strength counts in standard deviations of random w along the direction; 0 is the point itself.

    Raises:
        BadOption: strengths that are no finite numbers, or points that the direction does not fit.
    """
    if not strengths or not all(math.isfinite(strength) for strength in strengths):
        raise BadOption(f"strengths {list(strengths)} are not finite numbers: give some such as -3..3.")
    size = points.w.shape[-1]
    if directions.vectors.shape[1] != size:
        raise BadOption(f"the direction has {directions.vectors.shape[1]} components, these points have {size}.")
    step = directions.vectors[position] * directions.scales[position]
    many = points.repeat(len(strengths))
    amounts = torch.tensor(list(strengths), dtype=torch.float32).repeat(len(points))
    w = many.w.clone()
    if w.dim() == 2:
        return many.at(w + amounts[:, None] * step)
    layers = list(range(w.shape[1])) if directions.layers is None else list(directions.layers)
    if max(layers) >= w.shape[1]:
        raise BadOption(f"the direction moves layer {max(layers)}; these points have layers 0 to {w.shape[1] - 1}.")
    w[:, layers] += amounts[:, None, None] * step
    return many.at(w)


def parse_strengths(text: str) -> list[float]:
    """-3..3, -3..3:7 (how many) or -2,0,2 as numbers.

    Raises:
        BadOption: it is none of these.
    """
    wrong = BadOption(f"--strength {text}: give a range (-3..3, or -3..3:7 for 7 pictures) or numbers (-2,0,2).")
    span, _, count = text.partition(":")
    try:
        if ".." in span:
            first, last = map(float, span.split(".."))
            n = int(count) if count else PICTURES
            found = [first + (last - first) * i / (n - 1) for i in range(n)] if n > 1 else []
            found = [round(value, 6) for value in found]
        else:
            found = [float(part) for part in span.split(",")] if not count else []
    except ValueError as error:
        raise wrong from error
    if not found or not all(map(math.isfinite, found)):
        raise wrong
    return found


def orthogonal(vector: Tensor, others: Tensor) -> Tensor:
    """What is left of a vector (size,) without its parts along `others` (k, size), of length 1: conditional
    manipulation (Shen et al. 2020, InterFaceGAN, arXiv:1907.10786, section 3.2).

    Raises:
        BadOption: nothing is left.
    """
    basis = torch.linalg.qr(others.double().T).Q
    left = vector.double() - basis @ (basis.T @ vector.double())
    if float(left.norm()) < 1e-6 * float(vector.norm()):
        raise BadOption("the direction lies within those it was to be independent of: nothing is left of it.")
    return (left / left.norm()).to(vector.dtype)


def save(directions: Directions, generator: TrainedGenerator, path: Path) -> None:
    """Write directions as safetensors, with the fingerprint of their generator."""
    facts = {
        "generator": fingerprint(generator),
        "names": list(directions.names),
        "method": directions.method,
        "layers": None if directions.layers is None else list(directions.layers),
        "facts": dict(directions.facts),
    }
    write(path, "directions", {"vectors": directions.vectors, "scales": directions.scales}, facts)


def load(path: Path, generator: TrainedGenerator) -> Directions:
    """Read what `save` wrote.

    Raises:
        BadFile: it is missing, broken, something else, of another generator, or of layers that this one lacks.
    """
    tensors, facts = read(path, "directions", generator)
    try:
        layers = facts["layers"]
        found = Directions(
            tensors["vectors"], tensors["scales"], tuple(map(str, facts["names"])), str(facts["method"]),
            None if layers is None else tuple(map(int, layers)), dict(facts["facts"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, BadOption) as error:
        raise BadFile(f"{path} does not hold whole directions ({error}); make them anew.") from error
    count = layers_of(generator)
    if found.layers is not None and (count is None or max(found.layers, default=0) >= count):
        raise BadFile(f"{path} moves layers {list(found.layers)}; this generator has {count or 'none'}.")
    return found
