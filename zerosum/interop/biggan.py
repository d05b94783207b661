"""BigGAN's weights: state dicts of the authors' PyTorch program (G.pth, G_ema.pth)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from zerosum.core.errors import BadFile
from zerosum.interop.foreign import Network
from zerosum.interop.weights import Imported, image_spec, renamed

if TYPE_CHECKING:
    from torch import Tensor

ANCHOR = r"output_layer\.0\.stored_mean"
"""Of the last batch norm."""
LICENCE = (
    "BigGAN-PyTorch's author published code and weights under the MIT licence; the released weights were trained on "
    "ImageNet, whose images may be used for non-commercial research only. "
    "Weights that others trained are under the terms that they name."
)
BLOCK = re.compile(r"blocks\.(\d{1,2})\.([01])\.(.+)")
NOT_NEEDED = re.compile(r".*\.(sv\d+|u[1-9]\d*)")
"""Singular values, kept for the log alone, and vectors of smaller ones."""
LAYERS = {
    "conv1": "conv1", "conv2": "conv2", "conv_sc": "skip", "bn1.gain": "norm1.gain", "bn1.bias": "norm1.bias",
    "bn2.gain": "norm2.gain", "bn2.bias": "norm2.bias",
}  # fmt: skip
ATTENTION = {"theta": "query", "phi": "key", "g": "value", "o": "out"}
STATISTICS = {"stored_mean": "running_mean", "stored_var": "running_var"}


def convert(network: Network) -> Imported:
    """The generator in zerosum's terms.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    from zerosum.gans.images.biggan import Config
    from zerosum.networks.biggan import GENERATOR, widths

    stored = network.tensors()
    levels = count_blocks(stored)
    linear, gain = stored["linear.weight"], stored["blocks.0.0.bn1.gain.weight"]
    if "linear.u0" not in stored:
        raise BadFile("its layers have no spectral normalisation, as those of zerosum's network have")
    sizes = [stored["blocks.0.0.conv1.weight"].shape[1]]
    sizes += [stored[f"blocks.{i}.0.conv1.weight"].shape[0] for i in range(levels)]
    width = sizes[-1] // widths(GENERATOR, levels, 1)[-1]
    if sizes != widths(GENERATOR, levels, width):
        raise BadFile(
            f"its stages have {', '.join(map(str, sizes))} channels; zerosum's network of that depth has "
            f"{', '.join(map(str, widths(GENERATOR, levels, 1)))} times the width"
        )
    shared = stored.get("shared.weight")
    embedding = None if shared is None else shared.shape[1]
    piece = 0 if embedding is None else gain.shape[1] - embedding
    config = Config(
        latent=linear.shape[1] + piece * levels, width=width, embedding=embedding, hierarchical=piece > 0,
        attention=attention_at(stored),
    )  # fmt: skip
    side = math.isqrt(linear.shape[0] // sizes[0]) * 2**levels
    classes = gain.shape[0] if shared is None else shared.shape[0]
    spec = image_spec(stored["output_layer.2.weight"].shape[0], side, side, classes)
    tensors = counted(normalised(renamed(stored, generator_name)))
    return Imported(config, spec, tensors, "BigGAN-PyTorch", LICENCE)


def count_blocks(tensors: dict[str, Tensor]) -> int:
    """Residual blocks, each of which doubles the resolution.

    Raises:
        BadFile: they are not those of BigGAN.
    """
    indices = {int(match[1]) for name in tensors if (match := BLOCK.fullmatch(name))}
    if indices != set(range(len(indices))) or not 2 <= len(indices) <= 10:
        raise BadFile(f"its blocks are {sorted(indices)}")
    if any(".conv4." in name for name in tensors):
        raise BadFile("it is a BigGAN-deep, whose blocks of four convolutions zerosum does not have")
    return len(indices)


def attention_at(tensors: dict[str, Tensor]) -> int | None:
    """Pixels of the stage that attends to itself; None: none does.

    Raises:
        BadFile: several do.
    """
    found = [int(match[1]) for name in tensors if (match := BLOCK.fullmatch(name)) and match[3] == "theta.weight"]
    if len(found) > 1:
        raise BadFile(f"it has self-attention at {len(found)} resolutions; zerosum's network at one")
    return 4 * 2 ** (found[0] + 1) if found else None


def generator_name(name: str) -> str | None:
    """The authors' name of a tensor -> zerosum's, spectral normalisation aside; "": not needed; None: not known."""
    if NOT_NEEDED.fullmatch(name):
        return ""
    layer, _, kind = name.rpartition(".")
    whole = {"shared": "shared", "linear": "linear", "output_layer.2": "image"}
    if layer in whole:
        return f"{whole[layer]}.{kind}"
    if layer == "output_layer.0":
        return f"norm.{({'gain': 'weight', 'bias': 'bias'} | STATISTICS).get(kind)}"
    match = BLOCK.fullmatch(name)
    if not match:
        return None
    rest, _, kind = match[3].rpartition(".")
    if match[2] == "1":
        if match[3] == "gamma":
            return "attention.gamma"
        return f"attention.{ATTENTION[rest]}.{kind}" if rest in ATTENTION else None
    if rest in ("bn1", "bn2") and kind in STATISTICS:
        return f"blocks.{match[1]}.norm{rest[2]}.norm.{STATISTICS[kind]}"
    return f"blocks.{match[1]}.{LAYERS[rest]}.{kind}" if rest in LAYERS else None


def normalised(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights with a vector u as spectral normalisation holds them here.

    There u is stored, and half a power iteration goes on from it at each use: v along u W, sigma = |W v|. Here both
    vectors are stored, so that the iteration is done once: sigma is the same, and training can go on.
    """
    from torch.nn import functional as F

    found = dict(tensors)
    for name in tensors:
        if not name.endswith(".u0"):
            continue
        layer = name.removesuffix(".u0")
        weight = found.pop(f"{layer}.weight")
        matrix = weight.flatten(1)
        v = F.normalize(matrix.T @ found.pop(name).flatten(), dim=0)
        found[f"{layer}.parametrizations.weight.original"] = weight
        found[f"{layer}.parametrizations.weight.0.u"] = F.normalize(matrix @ v, dim=0)
        found[f"{layer}.parametrizations.weight.0.v"] = v
    return found


def counted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """With the number of batches beside each batch norm's statistics, which is not told: 0."""
    import torch

    norms = [name.removesuffix("running_mean") for name in tensors if name.endswith(".running_mean")]
    return tensors | {f"{norm}num_batches_tracked": torch.zeros((), dtype=torch.int64) for norm in norms}
