"""R3GAN's weights: the authors' pickles, and state dicts with their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zerosum.core.errors import BadFile
from zerosum.interop.foreign import Network
from zerosum.interop.weights import Imported, image_spec, renamed

if TYPE_CHECKING:
    from torch import Tensor

ANCHOR = r"MainLayers\.0\.Layers\.0\.Basis"
"""The basis that the generator starts from."""
LICENCE = (
    "R3GAN's authors published code and weights without a licence, parts of the code being NVIDIA's under a "
    "non-commercial one: ask them before using these weights for more than research and evaluation. "
    "Weights that others trained are under the terms that they name."
)
BLOCK = re.compile(r"MainLayers\.(\d{1,2})\.Layers\.(\d{1,3})\.(.+)")
LINEAR = "LinearLayer{}.Layer.weight"


@dataclass(frozen=True)
class Stage:
    """One resolution, as its tensors tell."""

    width: int
    expansion: int
    cardinality: int
    blocks: int


def convert(network: Network) -> Imported:
    """The generator in zerosum's terms.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    from zerosum.gans.images.r3gan import Config

    stored = network.tensors()
    check_filters(stored)
    found = stages(stored)
    expansions = {stage.expansion for stage in found}
    if len(expansions) > 1:
        raise BadFile(f"its stages have several expansions ({', '.join(map(str, sorted(expansions)))})")
    embed = stored.get("EmbeddingLayer.weight")
    embedding, classes = (Config.embedding, 0) if embed is None else tuple(embed.shape)
    linear, basis = (stored.get(f"MainLayers.0.Layers.0.{name}") for name in ("LinearLayer.weight", "Basis"))
    image = stored.get("AggregationLayer.Layer.weight")
    if linear is None or image is None or basis is None or basis.dim() != 3:
        raise BadFile("it lacks LinearLayer, Basis or AggregationLayer")
    config = Config(
        latent=linear.shape[1] - (embedding if classes else 0), conditional=classes > 0,
        expansion=expansions.pop(), widths=tuple(stage.width for stage in found),
        cardinalities=tuple(stage.cardinality for stage in found), blocks_each=tuple(stage.blocks for stage in found),
        embedding=embedding,
    )  # fmt: skip
    height, width = (side * 2 ** (len(found) - 1) for side in basis.shape[1:])
    spec = image_spec(image.shape[0], height, width, classes)
    return Imported(config, spec, renamed(stored, generator_name), "R3GAN's authors' (PyTorch)", LICENCE)


def stages(tensors: dict[str, Tensor]) -> list[Stage]:
    """The stages, coarsest first.

    Raises:
        BadFile: one is missing, or its blocks differ.
    """
    indices: dict[int, set[int]] = {}
    for name in tensors:
        if (match := BLOCK.fullmatch(name)) and match[3].startswith("LinearLayer2."):
            indices.setdefault(int(match[1]), set()).add(int(match[2]))
    if sorted(indices) != list(range(len(indices))) or not 2 <= len(indices) <= 12:
        raise BadFile(f"its stages are {sorted(indices)}")
    found = []
    for index, blocks in sorted(indices.items()):
        if blocks != set(range(1, len(blocks) + 1)):
            raise BadFile(f"the blocks of its stage {index} are {sorted(blocks)}")
        kinds = {_block(tensors, f"MainLayers.{index}.Layers.{block}.") for block in blocks}
        if len(kinds) > 1:
            raise BadFile(f"the blocks of its stage {index} differ")
        found.append(Stage(*kinds.pop(), len(blocks)))
    return found


def _block(tensors: dict[str, Tensor], start: str) -> tuple[int, int, int]:
    """(width, expansion, cardinality) of a block."""
    weights = [tensors.get(start + LINEAR.format(i)) for i in (1, 2)]
    first, second = weights
    if first is None or second is None or first.dim() != 4 or second.dim() != 4:
        raise BadFile(f"{start}LinearLayer1 and 2 are no convolutions")
    wide, width = first.shape[:2]
    if wide % width or wide % max(second.shape[1], 1):
        raise BadFile(f"{start}LinearLayer1 widens {width} channels to {wide}, in groups of {second.shape[1]}")
    return width, wide // width, wide // second.shape[1]


def check_filters(tensors: dict[str, Tensor]) -> None:
    """Raises BadFile where resampling is not through the filter [1, 3, 3, 1]."""
    import torch

    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    wanted = torch.outer(line, line) / 64
    for name, value in tensors.items():
        if name.endswith("Resampler.Kernel"):
            kernel = torch.outer(value, value) if value.dim() == 1 else value
            if kernel.shape != wanted.shape or not torch.allclose(kernel / kernel.sum(), wanted, atol=1e-5):
                raise BadFile(f"{name} is not made of [1, 3, 3, 1], the filter of zerosum's network")


def generator_name(name: str) -> str | None:
    """The authors' name of a tensor -> zerosum's; "": not needed; None: not known."""
    whole = {"EmbeddingLayer.weight": "embed.weight", "AggregationLayer.Layer.weight": "image.weight"}
    match = BLOCK.fullmatch(name)
    if not match:
        return whole.get(name)
    stage, layer, rest = int(match[1]), int(match[2]), match[3]
    first = {"Basis": "basis", "LinearLayer.weight": "project.weight"} if stage == 0 else {
        "Resampler.Kernel": "", "LinearLayer.Layer.weight": f"transitions.{stage - 1}.weight"
    }  # fmt: skip
    return first.get(rest) if layer == 0 else _block_name(f"stages.{stage}.{layer - 1}", rest)


def discriminator_name(name: str, last: int) -> str | None:
    """The authors' name of a tensor of the discriminator -> zerosum's; "": not needed; None: not known.

    Args:
        last: the number of the coarsest stage, the largest in the names.
    """
    whole = {"EmbeddingLayer.weight": "embed.weight", "ExtractionLayer.Layer.weight": "from_image.weight"}
    match = BLOCK.fullmatch(name)
    if not match:
        return whole.get(name)
    stage, layer, rest = int(match[1]), int(match[2]), match[3]
    ends = {"Basis.weight": "basis.weight", "LinearLayer.weight": "out.weight"} if stage == last else {
        "Resampler.Kernel": "", "LinearLayer.Layer.weight": f"transitions.{stage}.weight"
    }  # fmt: skip
    return ends[rest] if rest in ends else _block_name(f"stages.{stage}.{layer}", rest)


def _block_name(block: str, rest: str) -> str | None:
    if match := re.fullmatch(r"LinearLayer([123])\.Layer\.weight", rest):
        return f"{block}.conv{match[1]}.weight"
    if match := re.fullmatch(r"NonLinearity([12])\.Bias", rest):
        return f"{block}.bias{match[1]}"
    return None
