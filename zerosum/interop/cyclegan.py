"""CycleGAN's weights: one of the two generators of the authors' PyTorch program (latest_net_G_A.pth, latest_net_G.pth).

Its U-Nets are pix2pix's, and are imported as such.
"""

from __future__ import annotations

from zerosum.core.errors import BadFile
from zerosum.interop.foreign import Network
from zerosum.interop.pix2pix import LICENCE, RESNET, has_filters, has_instance_norms, translation
from zerosum.interop.weights import Imported

ANCHOR = RESNET


def convert(network: Network) -> Imported:
    """The generator in zerosum's terms.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    from zerosum.gans.translation.cyclegan import Config

    found = translation(network)
    if found.antialias or found.norm != "instance":
        rather = "cut" if found.antialias else "pix2pix"
        raise BadFile(f"it is {found.layout}; cyclegan's has instance norms alone: import it with --as {rather}")
    identity = Config.identity if found.source == found.channels else None
    config = Config(width=found.width, blocks=found.blocks, identity=identity, pool=None, one_way=True)
    layout = f"{found.layout}, in the layout of CycleGAN's authors"
    return Imported(config, found.spec(paired=False), found.tensors, layout, LICENCE)


def likely(network: Network) -> bool:
    """Whether it is CycleGAN's rather than pix2pix's or CUT's."""
    return has_instance_norms(network) and not has_filters(network)
