"""ESRGAN's weights, and those of its kind that others trained: state dicts in any of the three layouts that RRDBNet's
names have had; and what Real-ESRGAN's, which are of the same network, share with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zerosum.core.errors import BadFile
from zerosum.interop.foreign import Network
from zerosum.interop.weights import Imported, image_spec, rebuilt

if TYPE_CHECKING:
    from torch import Tensor

    from zerosum.data.spec import Spec

ANCHOR = r"(body|RRDB_trunk|model\.1\.sub)\.0\.(rdb1|RDB1)\.conv1(\.0)?\.weight"
"""The first convolution of the first block."""
LICENCE = (
    "ESRGAN's authors published code and weights under the Apache licence 2.0, Real-ESRGAN's theirs under a BSD "
    "licence; the photos that these were trained on have terms of their own. "
    "Weights that others trained are under the terms that they name, which often allow no commercial use."
)
SIDE = 256
"""Pixels a side of the images that it is said to make; it makes any."""


@dataclass(frozen=True)
class Enlarger:
    """An RRDBNet, as its tensors tell."""

    channels: int
    scale: int
    features: int
    blocks: int
    growth: int
    unshuffle: int
    tensors: dict[str, Tensor]
    """By the names of zerosum's network."""

    @property
    def layout(self) -> str:
        """What it is, for people."""
        unshuffled = f" on pixels put side by side {self.unshuffle} x {self.unshuffle}" if self.unshuffle > 1 else ""
        return f"an RRDBNet of {self.blocks} blocks{unshuffled}"

    @property
    def side(self) -> int:
        """Pixels a side of the images that it makes, a multiple of `scale`."""
        return max(SIDE, self.scale)

    @property
    def spec(self) -> Spec:
        """What its images look like."""
        return image_spec(self.channels, self.side, self.side, 0)


def convert(network: Network) -> Imported:
    """The generator in zerosum's terms.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    from zerosum.gans.translation.esrgan import Config

    found = enlarger(network)
    config = Config(
        rounds=0, scale=found.scale, patch=found.side, width=found.features, blocks=found.blocks, growth=found.growth,
        unshuffle=found.unshuffle,
    )  # fmt: skip
    return Imported(config, found.spec, found.tensors, f"{found.layout}, in a layout of ESRGAN's authors", LICENCE)


def likely(network: Network) -> bool:
    """Whether it is ESRGAN's rather than Real-ESRGAN's, whose program has other names."""
    return not any(name.startswith("body.") for name in network.arrays)


def other(networks: Network) -> str | None:
    """The discriminators of both programs, and small networks whose activations are not Real-ESRGAN's."""
    if networks.under(r"conv0\.weight") and networks.under(r"conv1\.weight_orig"):
        return "the discriminator of Real-ESRGAN"
    if networks.under(r"conv0_0\.weight") and networks.under(r"bn0_1\.weight"):
        return "the discriminator of ESRGAN"
    if (first := networks.under(r"body\.0\.weight")) and "body.2.weight" in first.arrays:
        return "a row of convolutions whose activations it does not tell: Real-ESRGAN's small networks have PReLU"
    return None


def enlarger(network: Network) -> Enlarger:
    """The network of either program.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    from zerosum.networks import rrdb

    arguments, tensors = rebuilt(network, rrdb, rrdb.RRDBNet)
    colours(arguments["channels"])
    return Enlarger(tensors=tensors, **arguments)


def colours(channels: int) -> None:
    """Check what the images have. Raises BadFile where it is neither grey nor colour."""
    if channels not in (1, 3):
        raise BadFile(
            f"it enlarges images of {channels} channels; zerosum's have 1 or 3, and an alpha channel is enlarged "
            "beside them"
        )
