"""Weights of pix2pix: the authors' PyTorch program's (latest_net_G.pth); and what those of CycleGAN and CUT, which have
the same residual networks and come from the same hands, share with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from zerosum.core.errors import BadFile
from zerosum.interop.biggan import counted
from zerosum.interop.foreign import Network
from zerosum.interop.weights import Imported, fits, image_spec, renamed

if TYPE_CHECKING:
    from torch import Tensor

    from zerosum.data.spec import Spec

RESNET = r"model\.\d{1,3}\.conv_block\.[01]\.weight"
"""The first convolution of a residual block."""
UNET = r"model\.model\.0\.weight"
"""The outermost convolution of a U-Net."""
ANCHOR = f"{UNET}|{RESNET}"
LICENCE = (
    "The authors published their code under the BSD licence and named no other terms for their weights; the data sets "
    "these were trained on have their own. Weights that others trained are under the terms that they name."
)
SIDE = 256
"""Pixels a side of the images that networks which take any size are said to be for."""
Norm = Literal["batch", "instance"] | None
NORMS: dict[Norm, str] = {"batch": "batch norms", "instance": "instance norms", None: "no norms"}


@dataclass(frozen=True)
class Translation:
    """A network of the authors', as its tensors tell."""

    source: int
    """Channels of the images given."""
    channels: int
    """Channels of the images made."""
    width: int
    norm: Norm
    depth: int | None
    """Halvings of a U-Net; None: it is a residual network."""
    blocks: int
    dropout: bool
    antialias: bool
    tensors: dict[str, Tensor]
    """By the names of zerosum's network."""

    @property
    def layout(self) -> str:
        """What it is, for people."""
        kind = f"a U-Net of {self.depth} halvings" if self.depth else f"a network of {self.blocks} residual blocks"
        return f"{kind} with {NORMS[self.norm]}{' and low-pass filters' if self.antialias else ''}"

    def spec(self, *, paired: bool) -> Spec:
        """What its images look like."""
        side = min(max(2**self.depth, 8), 4 * SIDE) if self.depth else SIDE
        return replace(image_spec(self.channels, side, side, 0), source=(self.source, side, side), paired=paired)


def convert(network: Network) -> Imported:
    """The generator in zerosum's terms.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    from zerosum.gans.translation.pix2pix import Config

    found = translation(network)
    if found.antialias:
        raise BadFile(f"it is {found.layout}, which CUT has, not pix2pix: import it with --as cut")
    config = Config(
        width=found.width, depth=found.depth, blocks=None if found.depth else found.blocks, norm=found.norm,
        dropout=found.dropout,
    )  # fmt: skip
    layout = f"{found.layout}, in the layout of pix2pix's authors"
    return Imported(config, found.spec(paired=True), found.tensors, layout, LICENCE)


def likely(network: Network) -> bool:
    """Whether it is pix2pix's rather than CycleGAN's or CUT's: a U-Net, or without the instance norms of those two."""
    return not has_filters(network) and (bool(network.under(UNET)) or not has_instance_norms(network))


def other(networks: Network) -> str | None:
    """The discriminators that all three programs store, and CUT's heads."""
    first = networks.under(r"model\.0\.weight")
    if first and first.arrays["model.0.weight"].shape[2:] == (4, 4):
        return "a discriminator of patches (PatchGAN), such as CycleGAN's, pix2pix's and CUT's"
    if networks.under(r"net\.0\.weight") and networks.under(r"net\.5\.weight"):
        return "a discriminator of pixels, such as CycleGAN's and pix2pix's"
    if networks.under(r"mlp_0\.0\.weight"):
        return "the heads that CUT contrasts features with"
    return None


def has_filters(network: Network) -> bool:
    """Whether images are halved and doubled through filters."""
    return any(re.fullmatch(r"model\.\d+\.filt", name) for name in network.arrays)


def has_instance_norms(network: Network) -> bool:
    """Whether the first layer of a residual network has instance norms: they leave no weights, but a bias before."""
    return "model.1.bias" in network.arrays and "model.2.weight" not in network.arrays


def translation(network: Network) -> Translation:
    """Any of the authors' networks.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    from zerosum.networks import translator, unet

    stored = network.tensors()
    if "model.model.0.weight" in stored:
        arguments, names = unet.reference_arguments(stored), unet.reference_names(stored)
        make: Any = unet.UNet
    else:
        arguments, names = translator.reference_arguments(stored), translator.reference_names(stored)
        make = translator.ResNet
    check_filters(stored, last_halving=11)
    tensors = with_counts(renamed(stored, names.get))
    fits(lambda: make(**arguments), tensors)
    (given, *_), (made, *_) = arguments["source"], arguments["shape"]
    for channels, images in ((given, "it translates"), (made, "it makes")):
        if channels not in (1, 3, 4):
            raise BadFile(f"the images {images} have {channels} channels; zerosum's have 1, 3 or 4")
    if given == made + 1:  # `Translator.fills_in`
        raise BadFile(f"it makes images of {made} channels from {given}, the last of which zerosum takes for holes")
    return Translation(
        given, made, arguments["width"], norm_of(arguments), arguments.get("depth"), arguments.get("blocks", 0),
        arguments.get("dropout", False), arguments.get("antialias", False), tensors,
    )  # fmt: skip


def norm_of(arguments: dict[str, Any]) -> Norm:
    """The norm that `reference_arguments` found.

    Raises:
        BadFile: convolutions have biases before batch norms.
    """
    from torch import nn

    kinds: dict[Any, Norm] = {nn.BatchNorm2d: "batch", nn.Identity: None}
    norm = kinds.get(arguments["norm"], "instance")
    if arguments["bias"] != (norm == "instance"):
        raise BadFile("its convolutions have biases before batch norms, where those of zerosum's network have none")
    return norm


def with_counts(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """With the number of batches beside each batch norm's statistics, which PyTorch has only stored since 0.4.1.

    Raises:
        BadFile: norms have weights, but no statistics.
    """
    for name, value in tensors.items():
        module = name.removesuffix(".weight")
        if value.dim() == 1 and name != module and f"{module}.running_mean" not in tensors:
            raise BadFile(f"its norm {module} has weights but no statistics, which zerosum's network does not have")
    return counted(tensors) | tensors


def check_filters(tensors: dict[str, Tensor], last_halving: int) -> None:
    """Raises BadFile where images are halved through another filter than [1, 2, 1], doubled than [1, 3, 3, 1].

    Args:
        last_halving: the number of the last layer that halves.
    """
    import torch

    for name, value in tensors.items():
        if match := re.fullmatch(r"model\.(\d+)\.filt", name):
            taps, gain = ([1.0, 2.0, 1.0], 1) if int(match[1]) <= last_halving else ([1.0, 3.0, 3.0, 1.0], 4)
            line = torch.tensor(taps)
            wanted = gain * torch.outer(line, line) / line.sum() ** 2
            if value.shape[1:] != (1, *wanted.shape) or not torch.allclose(value, wanted, atol=1e-5):
                shape = ", ".join(f"{tap:g}" for tap in taps)
                raise BadFile(f"its {name} is not made of [{shape}], the filter of zerosum's network")
