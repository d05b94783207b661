"""Points of the space that images are edited in: w with all else that an image is made from, drawn, kept, and seen.

w is z itself for plain GANs (n, size), and one vector a layer for generators with a mapping network (n, layers, size).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.func import functional_call

from zerosum.core import files, randomness
from zerosum.core.errors import BadFile, BadOption
from zerosum.training.generator import TrainedGenerator
from zerosum.training.pictures import eight_bit
from zerosum.training.styled import StyledGenerator

NOISE = "noise_const"
"""The last part of the name of buffers that hold the noise of a layer (StyleGAN2)."""


@dataclass(frozen=True)
class Points:
    """n points, on the CPU."""

    w: Tensor
    """float32 (n, size), or (n, layers, size)."""
    label: Tensor | None = None
    """int64 (n,): what a conditional generator was asked for."""
    noise: Mapping[str, Tensor] = field(default_factory=dict)
    """Names of noise buffers -> (n, 1, h, w), in place of the generator's own; empty: those of the generator."""

    def __len__(self) -> int:
        return len(self.w)

    def __getitem__(self, chosen: Tensor | slice | list[int]) -> Points:
        """Some of the points."""
        label = None if self.label is None else self.label[chosen]
        return Points(self.w[chosen], label, {name: value[chosen] for name, value in self.noise.items()})

    def at(self, w: Tensor) -> Points:
        """Label and noise of these points with another w."""
        return Points(w, self.label, self.noise)

    def repeat(self, times: int) -> Points:
        """Each point `times` times, one after the other."""
        return self[torch.arange(len(self)).repeat_interleave(times)]


def join(parts: Sequence[Points]) -> Points:
    """Points one after the other."""
    label = None if parts[0].label is None else torch.cat([part.label for part in parts if part.label is not None])
    names = set(parts[0].noise)
    if any(set(part.noise) != names for part in parts):
        raise BadOption("points with noise of their own cannot be joined with points without.")
    noise = {name: torch.cat([part.noise[name] for part in parts]) for name in sorted(names)}
    return Points(torch.cat([part.w for part in parts]), label, noise)


@dataclass(frozen=True)
class Spread:
    """Where the w of random samples lie."""

    mean: Tensor
    """(size,)."""
    deviation: float
    """Root mean square distance from the mean (sigma_w of Karras et al. 2020, appendix D)."""


def check(generator: TrainedGenerator) -> None:
    """Raise BadOption where there are no images to edit."""
    if generator.spec.kind != "image":
        raise BadOption(f"only image generators can be edited with; this one makes {generator.spec.kind}.")


def layers_of(generator: TrainedGenerator) -> int | None:
    """How many layers have a w of their own; None for a plain generator, whose w is z."""
    if not isinstance(generator, StyledGenerator):
        return None
    return int(generator.network.get_submodule("mapping").copies)  # type: ignore[arg-type]


def size_of(generator: TrainedGenerator) -> int:
    """Components of w in one layer."""
    return drawn(generator, [0]).w.shape[-1]


def labels_for(generator: TrainedGenerator, n: int, label: int | None) -> Tensor | None:
    """(n,) of one class; None for an unconditional generator.

    Raises:
        BadOption: a class that does not exist, one for an unconditional generator, or none for a conditional one.
    """
    if not generator.conditional:
        if label is not None:
            raise BadOption(f"class {label} was asked for, but this generator is not class-conditional.")
        return None
    if label is None:
        raise BadOption("this generator is class-conditional: say which class, with --class.")
    if not 0 <= label < generator.spec.classes:
        raise BadOption(f"class {label} does not exist: there are classes 0 to {generator.spec.classes - 1}.")
    return torch.full((n,), label)


@torch.no_grad()
def drawn(
    generator: TrainedGenerator, seeds: Sequence[int], label: int | None = None, truncation: float = 1.0
) -> Points:
    """A point for each seed: that of the first image of `generator.sample(1, seed=seed)`, with label 0 where none is
    given.
    """
    if not seeds:
        raise BadOption("no seeds were given: name one or more, as in --seeds 1 2 3.")
    if generator.conditional and label is None:
        label = 0
    z = torch.cat([generator.latent.draw(1, randomness.generator("cpu", seed, "z")) for seed in seeds])
    return _mapped(generator, z, labels_for(generator, len(seeds), label), truncation)


@torch.no_grad()
def population(generator: TrainedGenerator, n: int, seed: int = 0, label: int | None = None) -> Points:
    """The points of n random samples: those of `generator.sample(n, seed=seed)`; of one class where one is given."""
    if n < 2:
        raise BadOption(f"{n} samples were asked for; at least 2 are needed here.")
    labels = generator.labels(n, seed=seed) if label is None else labels_for(generator, n, label)
    z = generator.latent.draw(n, randomness.generator("cpu", seed, "z"))
    parts = [
        _mapped(generator, z[chosen], None if labels is None else labels[chosen], 1.0)
        for chosen in torch.arange(n).split(1000)
    ]
    return join(parts)


def _mapped(generator: TrainedGenerator, z: Tensor, label: Tensor | None, truncation: float) -> Points:
    given = None if label is None else {"label": label.to(generator.device)}
    w = generator.map(z.to(generator.device), given, truncation)
    return Points(w.float().cpu().contiguous(), label)


def spread(w: Tensor) -> Spread:
    """Of w (n, size), or (n, layers, size) where the layers are equal."""
    w = w if w.dim() == 2 else w[:, 0]
    mean = w.mean(0)
    return Spread(mean, float((w - mean).square().sum(1).mean().sqrt()))


class Synthesis(nn.Module):
    """`generator.synthesise` as a module, so that noise buffers can be exchanged for one call."""

    def __init__(self, generator: TrainedGenerator):
        super().__init__()
        self.generator = generator

    def forward(self, w: Tensor, label: Tensor | None) -> Tensor:
        """Encoded images (n, c, h, w)."""
        return self.generator.synthesise(w, None if label is None else {"label": label})


def synthesise(generator: TrainedGenerator, w: Tensor, label: Tensor | None, noise: Mapping[str, Tensor]) -> Tensor:
    """Encoded images (n, c, h, w), differentiable. All tensors are on the generator's device."""
    exchanged = {f"generator.{name}": value for name, value in noise.items()}
    images: Tensor = functional_call(Synthesis(generator), exchanged, (w, label))
    return images


@torch.no_grad()
def images_of(generator: TrainedGenerator, points: Points, batch: int | None = None) -> Tensor:
    """Encoded images (n, c, h, w) of points, on the CPU, `batch` at once (None: 64, fewer above 128 x 128 pixels)."""
    device, parts = generator.device, []
    batch = batch or max(min(64, 64 * 128**2 // math.prod(generator.spec.shape[1:])), 1)
    for chosen in torch.arange(len(points)).split(batch):
        part = points[chosen]
        label = None if part.label is None else part.label.to(device)
        noise = {name: value.to(device) for name, value in part.noise.items()}
        parts.append(synthesise(generator, part.w.to(device), label, noise).float().cpu())
    return torch.cat(parts)


def pictures(generator: TrainedGenerator, images: Tensor) -> list[Image.Image]:
    """Encoded images (n, c, h, w) as 8-bit pictures for the screen, mode L, RGB or RGBA."""
    if generator.encoding is not None:
        decoded = generator.encoding.decode({"image": images})
        return [
            Image.fromarray((np.asarray(one) // 257).astype(np.uint8))
            if isinstance(one, np.ndarray)
            else eight_bit(one)
            for one in decoded
        ]
    values = images.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(one[..., 0] if one.shape[2] == 1 else one) for one in values]


def noise_buffers(generator: TrainedGenerator) -> dict[str, Tensor]:
    """Names of the noise buffers of a generator -> (h, w)."""
    return {name: value for name, value in generator.named_buffers() if name.rpartition(".")[2] == NOISE}


def fingerprint(generator: TrainedGenerator) -> str:
    """sha256 of the names and values of all weights: what a w belongs to."""
    total = hashlib.sha256()
    for name, value in sorted(generator.network.state_dict().items()):
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        total.update(f"{name}\0{tuple(value.shape)}\0".encode())
        total.update(raw.tobytes())
    return total.hexdigest()


def save(points: Points, generator: TrainedGenerator, path: Path, names: Sequence[str] = ()) -> None:
    """Write points as safetensors, with the fingerprint of their generator and a name for each (a file's, say)."""
    tensors = {"w": points.w, **{f"noise.{name}": value for name, value in points.noise.items()}}
    if points.label is not None:
        tensors["label"] = points.label
    write(path, "points", tensors, {"generator": fingerprint(generator), "names": list(names)})


def load(path: Path, generator: TrainedGenerator) -> Points:
    """Read what `save` wrote.

    Raises:
        BadFile: it is missing, broken, something else, or of another generator.
    """
    tensors, _ = read(path, "points", generator)
    prefix = "noise."
    noise = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if "w" not in tensors or not set(noise) <= set(noise_buffers(generator)):
        raise BadFile(f"{path} does not hold whole points; project the images again.")
    return Points(tensors["w"], tensors.get("label"), noise)


def write(path: Path, kind: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts as safetensors, in one piece."""
    from safetensors.torch import save as to_bytes

    # One entry alone: safetensors writes several in an order that differs from file to file.
    described = {"zerosum": json.dumps({"kind": kind, "facts": dict(facts)}, sort_keys=True)}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    files.write_bytes(path, to_bytes(whole, metadata=described))


def read(path: Path, kind: str, generator: TrainedGenerator) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts that `write` wrote for this kind of thing and this generator. Raises BadFile."""
    from safetensors import safe_open

    if not path.is_file():
        raise BadFile(f"{path} does not exist: expected a file of {kind} that `zerosum edit` has written.")
    try:
        with safe_open(path, "pt") as opened:
            described = json.loads((opened.metadata() or {}).get("zerosum", "{}"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a mapping)
        found, facts = described.get("kind"), described.get("facts", {})
    except Exception as error:  # safetensors raises its own type
        raise BadFile(f"{path} is not a readable safetensors file ({error}).") from error
    if found != kind:
        raise BadFile(f"{path} holds {found or 'something else'}, not {kind}, of `zerosum edit`.")
    made_for, this = str(facts.get("generator", "")), fingerprint(generator)
    if made_for != this:
        raise BadFile(
            f"{path} was made for another generator (fingerprint {made_for[:12]}; this one has {this[:12]}): "
            "a w means something else there. Make it anew with this one."
        )
    return tensors, facts
