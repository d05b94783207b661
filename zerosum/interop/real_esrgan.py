"""Real-ESRGAN's weights: the authors' PyTorch program's (RealESRGAN_x4plus.pth, of which the moving average is taken),
and those that others trained with it.
"""

from __future__ import annotations

from zerosum.interop import esrgan
from zerosum.interop.foreign import Network
from zerosum.interop.weights import Imported

ANCHOR = esrgan.ANCHOR


def convert(network: Network) -> Imported:
    """The generator in zerosum's terms.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    from zerosum.gans.translation.real_esrgan import Config

    found = esrgan.enlarger(network)
    config = Config(
        rounds=0, scale=found.scale, patch=found.side, width=found.features, blocks=found.blocks, growth=found.growth,
        unshuffle=found.unshuffle, ema_half_life=None,
    )  # fmt: skip
    layout = f"{found.layout}, in the layout of Real-ESRGAN's authors"
    return Imported(config, found.spec, found.tensors, layout, esrgan.LICENCE)


def likely(network: Network) -> bool:
    """Whether it is Real-ESRGAN's rather than ESRGAN's."""
    return not esrgan.likely(network)
