"""StyleGAN2's weights in NVIDIA's layouts: StyleGAN2-ADA and StyleGAN3 (PyTorch), StyleGAN2 and its ADA (TensorFlow).

Sizes are those of the tensors; what was stored beside them is consulted for what shapes cannot tell, and refused where
zerosum's network would make other images.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from zerosum.core.errors import BadFile
from zerosum.interop import nvidia, tensorflow
from zerosum.interop.foreign import Network
from zerosum.interop.weights import Imported, image_spec, renamed

if TYPE_CHECKING:
    from torch import Tensor

    from zerosum.gans.images.stylegan2 import Config

ANCHOR = r"synthesis\.b\d+\.const|(G_)?synthesis/4x4/Const/const"
"""The constant that synthesis starts from."""


def convert(network: Network) -> Imported:
    """The generator in zerosum's terms.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    stored = network.tensors()
    from_tensorflow = any("/" in name for name in stored)
    if from_tensorflow:
        tensorflow.check(network, stored)
        stored = tensorflow.renamed(stored)
    check(network, stored)
    sizes = nvidia.mapping_sizes(stored)
    resolutions = resolutions_of(stored)
    layers = r"synthesis\.b\d+\.(conv\d|torgb)"
    config = config_of(network, stored, resolutions, sizes, nvidia.clamp_of(network, layers))
    scale, (_, height, width) = 2 ** (len(resolutions) - 1), stored[f"synthesis.b{resolutions[0]}.const"].shape
    colours = stored[f"synthesis.b{resolutions[0]}.torgb.weight"].shape[0]
    tensors = without_noise(nvidia.rescaled(network, stored), resolutions, (height, width))
    return Imported(
        config,
        image_spec(colours, height * scale, width * scale, sizes.classes),
        renamed(tensors, lambda name: generator_name(name, resolutions)),
        f"NVIDIA's StyleGAN2 ({'TensorFlow' if from_tensorflow else 'PyTorch'})",
        nvidia.LICENCE,
    )


def check(network: Network, tensors: dict[str, Tensor]) -> None:
    """Raises BadFile for what zerosum's network does not have."""
    network.require(r"synthesis(\.b\d+)?|", "architecture", "skip")
    if any(re.fullmatch(r"synthesis\.b\d+\.skip\.weight", name) for name in tensors):
        raise BadFile("its synthesis network has the architecture 'resnet', where zerosum's has 'skip'")
    nvidia.check_filters(network, tensors)
    nvidia.check_activations(network)
    for name, weight in tensors.items():
        if name.endswith(".torgb.weight"):
            module = name.removesuffix(".weight")
            network.require(re.escape(module), "weight_gain", 1.0 / math.sqrt(weight.shape[1]))


def resolutions_of(tensors: dict[str, Tensor]) -> list[int]:
    """The numbers in the names of the blocks, each twice the one before.

    Raises:
        BadFile: one is missing, or makes no image.
    """
    found = sorted({int(match[1]) for name in tensors if (match := re.match(r"synthesis\.b(\d{1,5})\.", name))})
    if len(found) > 12 or any(b != 2 * a for a, b in zip(found, found[1:], strict=False)):
        raise BadFile(f"its resolutions are {', '.join(map(str, found[:15]))}; each should be twice the one before")
    for block in found:
        for layer in ("conv1", "torgb"):
            if f"synthesis.b{block}.{layer}.weight" not in tensors:
                raise BadFile(f"it has no synthesis.b{block}.{layer}, so its architecture is not zerosum's, 'skip'")
    return found


def config_of(
    network: Network, tensors: dict[str, Tensor], resolutions: list[int], sizes: nvidia.MappingSizes,
    clamp: float | None,
) -> Config:  # fmt: skip
    """The system's settings. Channels are told by rule where the rule gives them, else one by one."""
    from zerosum.gans.images.stylegan2 import Config
    from zerosum.networks.stylegan2 import stages

    channels = tuple(tensors[f"synthesis.b{block}.conv1.weight"].shape[0] for block in resolutions)
    _, height, width = tensors[f"synthesis.b{resolutions[0]}.const"].shape
    scale = 2 ** (len(resolutions) - 1)
    base, most = channels[-1] * min(height, width) * scale, max(channels)
    base = nvidia.count(network.told("synthesis", "channel_base"), base)
    ruled = stages(height * scale, width * scale, base, most, None) == (channels, (height, width))
    return Config(
        latent=sizes.latent, w=sizes.w, mapping_layers=sizes.layers, channel_base=base, channel_max=most,
        channels=None if ruled else channels, conditional=sizes.classes > 0, clamp=clamp,
    )  # fmt: skip


def without_noise(tensors: dict[str, Tensor], resolutions: list[int], grid: tuple[int, int]) -> dict[str, Tensor]:
    """The tensors, with noise of strength 0 in layers that have none."""
    import torch

    found = dict(tensors)
    for level, block in enumerate(resolutions):
        for layer in ("conv0", "conv1"):
            name = f"synthesis.b{block}.{layer}"
            if f"{name}.weight" in tensors and f"{name}.noise_strength" not in tensors:
                found[f"{name}.noise_strength"] = torch.zeros(())
                found[f"{name}.noise_const"] = torch.zeros(grid[0] * 2**level, grid[1] * 2**level)
    return found


def generator_name(name: str, resolutions: list[int]) -> str | None:
    """NVIDIA's name of a tensor -> zerosum's; "": not needed; None: not known."""
    if name.endswith("resample_filter"):
        return ""
    if match := re.fullmatch(r"mapping\.(?:(embed)|fc(\d+))\.(weight|bias)", name):
        return f"mapping.embed.{match[3]}" if match[1] else f"mapping.layers.{match[2]}.{match[3]}"
    if name == "mapping.w_avg":
        return name
    if match := re.fullmatch(r"synthesis\.b(\d+)\.(?:(const)|(conv0|conv1|torgb)\.(.+))", name):
        part = "constant" if match[2] else f"{match[3].replace('torgb', 'to_image')}.{match[4]}"
        return f"synthesis.blocks.{resolutions.index(int(match[1]))}.{part}"
    return None


def discriminator_name(name: str, resolution: int) -> str | None:
    """NVIDIA's name of a tensor of the discriminator -> zerosum's; "": not needed; None: not known.

    Args:
        resolution: of the images, the largest number in the names.
    """
    if name.endswith("resample_filter"):
        return ""
    if match := re.fullmatch(r"mapping\.(?:(embed)|fc(\d+))\.(weight|bias)", name):
        return f"mapping.embed.{match[3]}" if match[1] else f"mapping.layers.{match[2]}.{match[3]}"
    if match := re.fullmatch(rf"b{resolution}\.fromrgb\.(weight|bias)", name):
        return f"from_image.{match[1]}"
    if match := re.fullmatch(r"b4\.(conv|fc|out)\.(weight|bias)", name):
        return f"{'dense' if match[1] == 'fc' else match[1]}.{match[2]}"
    if match := re.fullmatch(r"b(\d+)\.((?:conv0|conv1|skip)\.(?:weight|bias))", name):
        return f"blocks.{resolution.bit_length() - int(match[1]).bit_length()}.{match[2]}"
    return None
