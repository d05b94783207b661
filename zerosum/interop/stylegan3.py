"""StyleGAN3's weights, T and R, in NVIDIA's layout.

Sizes are those of the tensors. The filters that zerosum designs must equal those in the file: they tell whether
cutoffs, margins and critically sampled layers are the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from zerosum.core.errors import BadFile
from zerosum.interop import nvidia
from zerosum.interop.foreign import Network
from zerosum.interop.weights import Imported, image_spec, renamed

if TYPE_CHECKING:
    from torch import Tensor

    from zerosum.gans.images.stylegan3 import Config

ANCHOR = r"synthesis\.input\.freqs"
"""The frequencies that synthesis starts from."""
LAYER = re.compile(r"synthesis\.L(\d{1,3})_(\d{1,5})_(\d{1,5})\.(.+)")
EXPECTED = {
    "margin_size": 10, "output_scale": 0.25, "first_cutoff": 2.0, "first_stopband": 2**2.1,
    "last_stopband_rel": 2**0.3, "filter_size": 6, "lrelu_upsampling": 2,
}  # fmt: skip
"""Settings that zerosum's network does not have, with what it does."""


def convert(network: Network) -> Imported:
    """The generator in zerosum's terms.

    Raises:
        BadFile: zerosum has no network that would make the same images.
    """
    stored = network.tensors()
    for setting, expected in EXPECTED.items():
        network.require(r"synthesis(\.L\d+_\d+_\d+)?|", setting, expected)
    nvidia.check_activations(network)
    sizes, names = nvidia.mapping_sizes(stored), layer_names(stored)
    tensors = renamed(nvidia.rescaled(network, stored), generator_name)
    resolution, colours = int(names[-1].split("_")[1]), stored[f"synthesis.{names[-1]}.weight"].shape[0]
    spec = image_spec(colours, resolution, resolution, sizes.classes)
    config = config_of(network, stored, names, sizes, resolution)
    check_design(network, config, tensors, names, resolution)
    return Imported(config, spec, tensors, f"NVIDIA's StyleGAN3-{config.variant.upper()} (PyTorch)", nvidia.LICENCE)


def layer_names(tensors: dict[str, Tensor]) -> list[str]:
    """L0_36_512 ... in order. Raises BadFile where one is missing."""
    found = {int(m[1]): f"L{m[1]}_{m[2]}_{m[3]}" for name in tensors if (m := LAYER.fullmatch(name))}
    names = [found[index] for index in sorted(found)]
    if sorted(found) != list(range(len(found))) or len(found) < 3:
        raise BadFile(f"its layers are {', '.join(names[:20]) or 'missing'}; they should be L0_... to the image's")
    for name in names:
        if f"synthesis.{name}.weight" not in tensors:
            raise BadFile(f"it has no synthesis.{name}.weight")
    return names


def config_of(
    network: Network, tensors: dict[str, Tensor], names: list[str], sizes: nvidia.MappingSizes, resolution: int
) -> Config:
    """The system's settings. Channels are told by rule where the rule gives them, else one by one."""
    from zerosum.gans.images.stylegan3 import Config
    from zerosum.networks.stylegan3 import bands

    layers, critical = len(names) - 1, nvidia.count(network.told("synthesis", "num_critical"), Config.critical)
    channels = tuple(tensors[f"synthesis.{name}.weight"].shape[0] for name in names[:-1])
    most = nvidia.count(network.told("synthesis", "channel_max"), max(channels))
    base = nvidia.count(network.told("synthesis", "channel_base"), channels[-1] * resolution)
    if critical >= layers:
        raise BadFile(f"{critical} of its {layers} layers are critically sampled; there must be others")
    ruled = bands(resolution, 1, layers=layers, critical=critical, base=base, most=most)[:-1]
    as_ruled = tuple(band.channels for band in ruled) == channels
    variant = variant_of(tensors, names)
    half = 1 if variant == "t" else 2  # R's published generators, but not their discriminators, are twice as wide
    told = any("conv_clamp" in settings for settings in network.settings.values())
    clamp = nvidia.clamp_of(network, r"synthesis\.L\d+_\d+_\d+") if told else Config.clamp
    return Config(
        variant=variant, latent=sizes.latent, w=sizes.w, mapping_layers=sizes.layers, layers=layers,
        critical=critical, channel_base=base, channel_max=most, channels=None if as_ruled else channels,
        discriminator_base=max(base // half, 1), discriminator_max=max(most // half, 1),
        conditional=sizes.classes > 0, clamp=clamp,
    )  # fmt: skip


def variant_of(tensors: dict[str, Tensor], names: list[str]) -> Literal["t", "r"]:
    """T or R. Raises BadFile where it is neither."""
    kernels = {tensors[f"synthesis.{name}.weight"].shape[2] for name in names[:-1]}
    radial = any(value.dim() == 2 for name, value in tensors.items() if name.endswith(".down_filter"))
    if (kernels, radial) == ({3}, False):
        return "t"
    if (kernels, radial) == ({1}, True):
        return "r"
    filters = "radial" if radial else "separable"
    raise BadFile(
        f"its convolutions are {' and '.join(f'{k} x {k}' for k in sorted(kernels))} with {filters} filters; "
        "T has 3 x 3 and separable ones, R 1 x 1 and radial ones"
    )


def check_design(
    network: Network, config: Config, tensors: dict[str, Tensor], names: list[str], resolution: int
) -> None:
    """Raises BadFile where sizes, bands or filters are not those that the settings give."""
    import torch

    from zerosum.networks.stylegan3 import Synthesis

    rotating = config.variant == "r"
    designed = Synthesis(
        1, (1, resolution, resolution), layers=config.layers, kernel=1 if rotating else 3, radial=rotating,
        widths=(1,) * config.layers, critical=config.critical,
    )  # fmt: skip
    for name, band in zip(names, designed.bands, strict=True):
        if int(name.split("_")[1]) != band.size:
            raise BadFile(f"its layer {name} should be {band.size} pixels large: other margins, or another design")
    network.require(r"synthesis\.input", "bandwidth", float(designed.bands[0].cutoff))
    network.require(r"synthesis\.input", "sampling_rate", float(designed.bands[0].rate))
    filters = dict(designed.named_buffers(prefix="synthesis"))
    for key in {key for key in (*filters, *tensors) if key.endswith("_filter")}:
        ours, theirs = filters.get(key), tensors.get(key)
        if ours is None or theirs is None or ours.shape != theirs.shape or not torch.allclose(ours, theirs, atol=1e-5):
            layer = names[int(key.split(".")[2])]
            raise BadFile(f"the filter {layer}.{key.rpartition('.')[2]} is not the one that zerosum designs for it")


def generator_name(name: str) -> str | None:
    """NVIDIA's name of a tensor -> zerosum's; None: not known."""
    if match := re.fullmatch(r"mapping\.(?:(embed)|fc(\d+))\.(weight|bias)", name):
        return f"mapping.embed.{match[3]}" if match[1] else f"mapping.layers.{match[2]}.{match[3]}"
    if match := LAYER.fullmatch(name):
        return f"synthesis.layers.{match[1]}.{match[4]}"
    return name if name == "mapping.w_avg" or name.startswith("synthesis.input.") else None
