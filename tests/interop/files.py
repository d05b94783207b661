"""Files as other projects write them, made from zerosum's networks, with stand-ins for the projects' classes."""

from __future__ import annotations

import io
import pickle
import re
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

BUFFERS = {
    "w_avg", "resample_filter", "noise_const", "magnitude_ema", "up_filter", "down_filter", "freqs", "phases",
    "transform", "Kernel",
}  # fmt: skip
SOURCE = "raise SystemExit('the source in the file was run')"
FILTER = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64


class EasyDict(dict):
    """What dnnlib.util.EasyDict is: a dictionary whose items are attributes too."""


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> Any:
    raise AssertionError("the stand-in was called")


class Persistent:
    """An object that is pickled as NVIDIA's persistence pickles it."""

    def __init__(self, class_name: str, state: dict[str, Any]):
        self.class_name, self.state = class_name, state

    def __reduce__(self) -> tuple[Any, ...]:
        meta = EasyDict(type="class", version=6, module_src=SOURCE, class_name=self.class_name, state=self.state)
        return _reconstruct_persistent_obj, (meta,)


class Network:
    """What dnnlib.tflib.network.Network is pickled as: a class and its state."""

    def __init__(self, name: str, variables: dict[str, np.ndarray], components: dict[str, Any], **arguments: Any):
        self.__dict__ = {
            "version": 5, "name": name, "static_kwargs": EasyDict(arguments), "components": components,
            "build_module_src": SOURCE, "build_func_name": "G_main", "variables": list(variables.items()),
        }  # fmt: skip


class Generator(nn.Module):
    """What R3GAN.Networks.Generator is where it is pickled as an ordinary object."""


PLACES = {
    EasyDict: "dnnlib.util", _reconstruct_persistent_obj: "torch_utils.persistence", Network: "dnnlib.tflib.network",
    Generator: "R3GAN.Networks",
}  # fmt: skip


@contextmanager
def pretending() -> Iterator[None]:
    """The stand-ins are where the projects' own would be."""
    made: dict[str, Any] = {}
    own = {thing: thing.__module__ for thing in PLACES}
    try:
        for thing, place in PLACES.items():
            parts = place.split(".")
            for end in range(1, len(parts) + 1):
                name = ".".join(parts[:end])
                made[name] = sys.modules.setdefault(name, types.ModuleType(name))
            thing.__module__ = place
            setattr(made[place], thing.__name__, thing)
        yield
    finally:
        for thing, place in own.items():
            thing.__module__ = place
        for name in made:
            sys.modules.pop(name, None)


def pickled(value: Any, protocol: int = 4) -> bytes:
    """A pickle with the projects' names in it."""
    with pretending():
        return pickle.dumps(value, protocol)


def saved(value: Any, *, legacy: bool = False) -> bytes:
    """What torch.save writes, now or (legacy) until 1.5."""
    buffer = io.BytesIO()
    with pretending():
        torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def persistent(
    tensors: dict[str, Tensor], settings: dict[str, dict[str, Any]] | None = None, *, kind: str = "Generator",
    name: str = "", ordered: bool = False,
) -> Persistent:  # fmt: skip
    """A tree of modules in NVIDIA's layout, with settings by the module's dotted name.

    A setting whose name begins with an underscore (_init_args) goes where that goes, others are attributes.
    """
    settings = settings or {}
    groups: dict[str, dict[str, Any]] = {"_parameters": {}, "_buffers": {}, "_modules": {}}
    inner: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        first, _, rest = key.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = value
        elif first in BUFFERS:
            groups["_buffers"][first] = value.detach()
        else:
            groups["_parameters"][first] = nn.Parameter(value.detach().clone())
    for key, value in inner.items():
        path = f"{name}.{key}".lstrip(".")
        groups["_modules"][key] = persistent(value, settings, kind=key.title(), name=path, ordered=ordered)
    groups["_parameters"].setdefault("missing", None)
    if ordered:
        groups = {key: OrderedDict(value) for key, value in groups.items()}
    state = {"training": False, "_non_persistent_buffers_set": set(), "_backward_hooks": OrderedDict(), **groups}
    return Persistent(kind, {**state, "_init_args": (), "_init_kwargs": {}, **settings.get(name, {})})


def randomised(network: nn.Module) -> nn.Module:
    """All that training would have moved, moved."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if name.rpartition(".")[2] in ("bias", "noise_strength", "w_avg", "bias1", "bias2"):
                value.add_(0.3 * torch.randn(value.shape, generator=generator))
            elif name.endswith("magnitude_ema"):
                value.mul_(1.5)
            elif name.endswith("conv3.weight"):
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    return network.eval().requires_grad_(False)


def mapping_names(name: str) -> str:
    """Names of the mapping network."""
    return re.sub(r"^mapping\.layers\.(\d+)", r"mapping.fc\1", name)


def stylegan2_tensors(network: nn.Module, *, filters: bool = True) -> dict[str, Tensor]:
    """The state of a StyleGAN2 generator by NVIDIA's names, with the filters that its files hold."""
    found = {}
    for name, value in network.state_dict().items():
        name = mapping_names(name)
        if match := re.match(r"synthesis\.blocks\.(\d+)\.", name):
            name = name.replace(match[0], f"synthesis.b{4 * 2 ** int(match[1])}.")
        name = name.replace("constant", "const").replace("to_image", "torgb")
        found[name] = value
        if filters and name.endswith(("const", "conv0.weight", "conv1.weight")):
            found[f"{name.rpartition('.')[0]}.resample_filter"] = FILTER.clone()
    return found


def stylegan3_tensors(network: Any) -> dict[str, Tensor]:
    """The state of a StyleGAN3 generator by NVIDIA's names."""
    found = {}
    for name, value in network.state_dict().items():
        name = mapping_names(name)
        if match := re.match(r"synthesis\.layers\.(\d+)\.", name):
            band = network.synthesis.bands[int(match[1])]
            name = name.replace(match[0], f"synthesis.L{match[1]}_{band.size}_{band.channels}.")
        found[name] = value
    return found


def r3gan_tensors(network: nn.Module) -> dict[str, Tensor]:
    """The state of an R3GAN generator by its authors' names."""
    names = {
        r"embed\.": "EmbeddingLayer.", r"image\.": "AggregationLayer.Layer.", r"basis$": "MainLayers.0.Layers.0.Basis",
        r"project\.": "MainLayers.0.Layers.0.LinearLayer.", r"\.conv(\d)\.": r".LinearLayer\1.Layer.",
        r"\.bias(\d)$": r".NonLinearity\1.Bias",
    }  # fmt: skip
    found = {}
    for name, value in network.state_dict().items():
        for old, new in names.items():
            name = re.sub(old, new, name)
        name = re.sub(r"^stages\.(\d+)\.(\d+)", lambda m: f"MainLayers.{m[1]}.Layers.{int(m[2]) + 1}", name)
        name = re.sub(r"^transitions\.(\d+)", lambda m: f"MainLayers.{int(m[1]) + 1}.Layers.0.LinearLayer.Layer", name)
        found[name] = value
    stages = {int(match[1]) for name in found if (match := re.match(r"MainLayers\.(\d+)", name))}
    return found | {f"MainLayers.{stage}.Layers.0.Resampler.Kernel": FILTER.clone() for stage in stages if stage}


def tensorflow_variables(network: nn.Module) -> dict[str, np.ndarray]:
    """The state of a StyleGAN2 generator as its TensorFlow program names, orders and turns it."""
    found = {}
    for name, value in stylegan2_tensors(network, filters=False).items():
        array = value.numpy()
        if match := re.fullmatch(r"mapping\.(embed|fc(\d+))\.(weight|bias)", name):
            layer = "LabelEmbed" if match[1] == "embed" else f"Dense{match[2]}"
            found[f"G_mapping/{layer}/{match[3]}"] = array.T if match[3] == "weight" else array
        elif name == "mapping.w_avg":
            found["dlatent_avg"] = array
        else:
            key, array = _tensorflow_synthesis(name, array)
            found[f"G_synthesis/{key}"] = array
    return found | {"G_synthesis/lod": np.float32(0.0).reshape(())}


def _tensorflow_synthesis(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    _, block, *rest = name.split(".")
    side = int(block[1:])
    place, layer, part = f"{side}x{side}", rest[0], rest[-1]
    if layer == "const":
        return f"{place}/Const/const", array[None]
    if part == "noise_const":
        return f"noise{2 * int(np.log2(side)) - (5 if layer == 'conv0' else 4)}", array[None, None]
    program = {"conv0": "Conv0_up", "conv1": "Conv1" if side > 4 else "Conv", "torgb": "ToRGB"}[layer]
    if rest[1] == "affine":
        return f"{place}/{program}/mod_{part}", array.T if part == "weight" else array - 1
    if part == "weight":
        array = array.transpose(2, 3, 1, 0)
        array = array[::-1, ::-1] if layer == "conv0" else array
    return f"{place}/{program}/{part}", array


def written(folder: Path, content: bytes, name: str = "weights.pkl") -> Path:
    """A file."""
    path = folder / name
    path.write_bytes(content)
    return path


def difference(a: Tensor, b: Tensor) -> float:
    """The largest, relative to the largest value of b."""
    return float((a - b).abs().max() / b.abs().max())
