"""NVIDIA's TensorFlow networks of StyleGAN2: tensors by the names of the PyTorch ones, their axes in the same order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zerosum.core.errors import BadFile
from zerosum.interop import nvidia
from zerosum.interop.foreign import Network

if TYPE_CHECKING:
    from torch import Tensor

EXPECTED = {
    "architecture": "skip", "nonlinearity": "lrelu", "mapping_nonlinearity": "lrelu", "normalize_latents": True,
    "resample_kernel": list(nvidia.FILTER),
}  # fmt: skip
"""Arguments of the networks that change the function."""


def check(network: Network, tensors: dict[str, Tensor]) -> None:
    """Raises BadFile for networks that are no StyleGAN2, or one that zerosum's does not express."""
    if any("StyleMod" in name for name in tensors):
        raise BadFile("it is the first StyleGAN, of 2018, whose layers work differently; StyleGAN2's can be imported")
    if any("LabelConcat" in name for name in tensors):
        raise BadFile("its labels are joined to z before both are normalised, where zerosum normalises each")
    if any("/Skip/" in name for name in tensors):
        raise BadFile("its synthesis network has the architecture 'resnet', where zerosum's has 'skip'")
    for setting, expected in EXPECTED.items():
        network.require(r".*", setting, expected)
    rate = network.told("", "mapping_lrmul")
    if rate is not None:  # as the PyTorch networks call it
        network.settings["mapping"] = {**network.settings.get("mapping", {}), "lr_multiplier": rate}


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by the names of the PyTorch networks, their axes in the order (out, in, height, width).

    Raises:
        BadFile: it is not known what a tensor does.
    """
    found = {}
    for name, value in tensors.items():
        if name in ("lod", "G_synthesis/lod", "synthesis/lod"):
            continue
        key, tensor = _translated(name.removeprefix("G_"), value)
        if key is None:
            raise BadFile(f"it is not known what its {name} does")
        found[key] = tensor
    return found


def _translated(name: str, value: Tensor) -> tuple[str | None, Tensor]:
    if name == "dlatent_avg":
        return "mapping.w_avg", value
    if match := re.fullmatch(r"mapping/(?:(LabelEmbed)|Dense(\d+))/(weight|bias)", name):
        layer = "embed" if match[1] else f"fc{match[2]}"
        return f"mapping.{layer}.{match[3]}", value.T.contiguous() if match[3] == "weight" else value
    if match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
        number = int(match[1])
        block = 4 * 2 ** ((number + 1) // 2)
        return f"synthesis.b{block}.conv{1 - number % 2}.noise_const", value[0, 0]
    if match := re.fullmatch(r"synthesis/(\d+)x(\d+)/Const/const", name):
        return f"synthesis.b{match[1]}.const", value[0]
    if match := re.fullmatch(r"synthesis/(\d+)x\d+/(Conv|Conv0_up|Conv1|ToRGB)/(\w+)", name):
        layers = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb"}
        part, tensor = _layer(match[2], match[3], value)
        return (f"synthesis.b{match[1]}.{layers[match[2]]}.{part}" if part else None), tensor
    return None, value


def _layer(layer: str, part: str, value: Tensor) -> tuple[str | None, Tensor]:
    """A tensor of a modulated convolution."""
    if part == "weight":  # (height, width, in, out); up-sampling layers are transposed convolutions, whose kernels turn
        value = value.flip(0, 1) if layer == "Conv0_up" else value
        return "weight", value.permute(3, 2, 0, 1).contiguous()
    if part == "mod_weight":
        return "affine.weight", value.T.contiguous()
    if part == "mod_bias":  # scales are 1 + what the style gives
        return "affine.bias", value + 1.0
    return (part, value) if part in ("bias", "noise_strength") else (None, value)
