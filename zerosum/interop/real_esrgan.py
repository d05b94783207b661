"""Real-ESRGAN's weights: the authors' PyTorch program's (RealESRGAN_x4plus.pth, of which the moving average is taken,
and the small realesr-general-x4v3.pth and realesr-animevideov3.pth), and those that others trained with it.
"""

from __future__ import annotations

from zerosum.interop import esrgan
from zerosum.interop.foreign import Network
from zerosum.interop.weights import Imported, image_spec, rebuilt

SMALL = r"body\.1\.weight"
"""The weights of the first activation of a small network."""
ANCHOR = f"{esrgan.ANCHOR}|{SMALL}"


def convert(network: Network) -> Imported:
    """The generator in zerosum's terms.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    from zerosum.gans.translation.real_esrgan import Config

    if network.under(SMALL):
        return small(network)
    found = esrgan.enlarger(network)
    config = Config(
        rounds=0, scale=found.scale, patch=found.side, width=found.features, blocks=found.blocks, growth=found.growth,
        unshuffle=found.unshuffle, ema_half_life=None,
    )  # fmt: skip
    layout = f"{found.layout}, in the layout of Real-ESRGAN's authors"
    return Imported(config, found.spec, found.tensors, layout, esrgan.LICENCE)


def small(network: Network) -> Imported:
    """A small network, SRVGGNetCompact, in zerosum's terms.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    from zerosum.gans.translation.real_esrgan import Config
    from zerosum.networks import compact

    arguments, tensors = rebuilt(network, compact, compact.Compact)
    channels, scale, layers = arguments["channels"], arguments["scale"], arguments["layers"]
    esrgan.colours(channels)
    side = -(-esrgan.SIDE // scale) * scale
    config = Config(rounds=0, scale=scale, patch=side, width=arguments["features"], compact=layers, ema_half_life=None)
    layout = f"an SRVGGNetCompact of {layers + 2} convolutions, in the layout of Real-ESRGAN's authors"
    return Imported(config, image_spec(channels, side, side, 0), tensors, layout, esrgan.LICENCE)


def likely(network: Network) -> bool:
    """Whether it is Real-ESRGAN's rather than ESRGAN's."""
    return not esrgan.likely(network)
