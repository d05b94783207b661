"""What the files of NVIDIA's StyleGANs have in common: the mapping network, gains, filters, terms of use."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zerosum.core.errors import BadFile
from zerosum.interop.arrays import shown
from zerosum.interop.foreign import Network

if TYPE_CHECKING:
    from torch import Tensor

LICENCE = (
    "NVIDIA's own StyleGAN weights are under a non-commercial licence: research and evaluation only. "
    "Weights that others trained with NVIDIA's programs are under the terms that they name."
)
FILTER = (1, 3, 3, 1)
"""Of all resampling in zerosum's StyleGAN2, and in all of NVIDIA's weights."""
RATE = 0.01
"""Learning-rate multiplier of the mapping network's layers: stored weights are larger by as much."""


@dataclass(frozen=True)
class MappingSizes:
    """What a mapping network's tensors tell about it."""

    latent: int
    classes: int
    w: int
    layers: int


def mapping_sizes(tensors: dict[str, Tensor]) -> MappingSizes:
    """Sizes of the mapping network, from the shapes of its tensors by NVIDIA's names.

    Raises:
        BadFile: it has no layers, or layers of several sizes.
    """
    layers = 0
    while f"mapping.fc{layers}.weight" in tensors:
        layers += 1
    if not layers:
        raise BadFile("it has no mapping network (mapping.fc0.weight)")
    outputs = {tensors[f"mapping.fc{i}.weight"].shape[0] for i in range(layers)}
    embed = tensors.get("mapping.embed.weight")
    if embed is not None:
        outputs.add(embed.shape[0])
    if len(outputs) > 1:
        sizes = ", ".join(map(str, sorted(outputs)))
        raise BadFile(f"the layers of its mapping network, or its label embedding, have several sizes ({sizes})")
    (w,) = outputs
    latent = tensors["mapping.fc0.weight"].shape[1] - (w if embed is not None else 0)
    return MappingSizes(latent, 0 if embed is None else embed.shape[1], w, layers)


def rescaled(network: Network, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, those of fully connected layers as zerosum stores them: for a learning-rate multiplier of 0.01 in
    the mapping network and of 1 elsewhere. The function stays the same.
    """
    scaled = dict(tensors)
    for name, weight in tensors.items():
        match = re.fullmatch(r"(mapping\.(?:fc\d+|embed)|.+\.affine)\.weight", name)
        if not match:
            continue
        module, rate = match[1], RATE if match[1].startswith("mapping.fc") else 1.0
        settings = network.settings.get(module, {})
        told = network.told(module, "lr_multiplier") if rate == RATE else settings.get("lr_multiplier")
        multiplier = number(rate if told is None else told, f"{module}.lr_multiplier")
        root = math.sqrt(weight.shape[1])
        gains = {
            "weight": number(settings.get("weight_gain", multiplier / root), f"{module}.weight_gain") * root,
            "bias": number(settings.get("bias_gain", multiplier), f"{module}.bias_gain"),
        }
        for part, gain in gains.items():
            if f"{module}.{part}" in tensors and not math.isclose(gain, rate, rel_tol=1e-5):
                scaled[f"{module}.{part}"] = tensors[f"{module}.{part}"] * (gain / rate)
    return scaled


def number(value: object, name: str) -> float:
    """A positive number; raises BadFile where the file has something else."""
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise BadFile(f"{name} is {shown(value)}, no positive number")
    return float(value)


def check_filters(network: Network, tensors: dict[str, Tensor]) -> None:
    """Raises BadFile where resampling is not through the filter [1, 3, 3, 1]."""
    import torch

    network.require(r".*", "resample_filter", list(FILTER))
    line = torch.tensor(FILTER, dtype=torch.float32)
    for name, value in tensors.items():
        if name.rpartition(".")[2] == "resample_filter":
            wanted = line if value.dim() == 1 else torch.outer(line, line)
            if value.shape != wanted.shape or not torch.allclose(value / value.sum(), wanted / wanted.sum(), atol=1e-5):
                raise BadFile(f"{name} is not made of {list(FILTER)}, the filter of zerosum's network")


def check_activations(network: Network) -> None:
    """Raises BadFile where an activation is not the usual one."""
    network.require(r"mapping(\.fc\d+)?|synthesis(\.b\d+)?(\.conv\d)?|", "activation", "lrelu")
    network.require(r"mapping\.embed|.*\.affine", "activation", "linear")
    network.require(r"synthesis\..*", "act_gain", math.sqrt(2.0))


def clamp_of(network: Network, layers: str) -> float | None:
    """The largest magnitude of activations in the modules whose names match; None: any, or not told.

    Raises:
        BadFile: it is not the same everywhere.
    """
    told = [settings["conv_clamp"] for module, settings in network.settings.items()
            if re.fullmatch(layers, module) and "conv_clamp" in settings]  # fmt: skip
    told = told or [network.told("synthesis", "conv_clamp")]
    clamps = {None if value is None else number(value, "conv_clamp") for value in told}
    if len(clamps) > 1:
        raise BadFile(f"its layers are clamped to several magnitudes ({', '.join(map(shown, clamps))})")
    return clamps.pop()


def count(value: object, otherwise: int) -> int:
    """A setting that should be a whole number; `otherwise` where it is none."""
    return int(value) if isinstance(value, int | float) and 0 < value < 2**31 else otherwise
