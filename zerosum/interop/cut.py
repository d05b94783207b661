"""CUT's weights: the authors' PyTorch program's (latest_net_G.pth), whose CycleGANs have such networks, too."""

from __future__ import annotations

from zerosum.core.errors import BadFile
from zerosum.interop.foreign import Network
from zerosum.interop.pix2pix import LICENCE, RESNET, has_filters, translation
from zerosum.interop.weights import Imported

ANCHOR = RESNET


def convert(network: Network) -> Imported:
    """The generator in zerosum's terms.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    from zerosum.gans.translation.cut import Config

    found = translation(network)
    if found.norm != "instance":
        raise BadFile(f"it is {found.layout}, where cut's has instance norms")
    config = Config(width=found.width, blocks=found.blocks, antialias=found.antialias)
    layout = f"{found.layout}, in the layout of CUT's authors"
    return Imported(config, found.spec(paired=False), found.tensors, layout, LICENCE)


def likely(network: Network) -> bool:
    """Whether it is CUT's rather than CycleGAN's or pix2pix's: these have no filters."""
    return has_filters(network)
