"""The generator of CycleGAN (Zhu et al. 2017, section 4 and appendix 7.2), arXiv:1703.10593: nine residual blocks
between two halvings and two doublings, as in Johnson et al. 2016; and what other networks of translation share with it.

Mirrors, halvings and doublings add up in a fixed order, also where they are differentiated on a GPU: a resumed training
is the same training.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadFile, BadOption

Norm = Callable[[int], nn.Module]
"""Makes a normalisation of so many channels: InstanceNorm, SampleNorm, nn.BatchNorm2d or nn.Identity."""
HALVINGS = 2
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class InstanceNorm(nn.Module):
    """(x - mean) / deviation of each channel of each sample (Ulyanov et al. 2016), without gains and biases.

    Keeps images channels-last, which PyTorch's own does not: several times faster on CPUs.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, channels: int):
        super().__init__()
        self.channels, self.weight, self.bias = channels, None, None

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x (n, c, h, w); h w > 1."""
        if len(x) == 1 or x.device.type == "cpu":  # batch normalisation of single samples is the same function
            parts = [F.batch_norm(one, None, None, self.weight, self.bias, training=True) for one in x.split(1)]
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        with torch.autocast(x.device.type, enabled=False):  # adds up in full precision whatever it is given
            return self.scaled(F.group_norm(x, self.channels))

    def scaled(self, x: Tensor) -> Tensor:
        """What is normalised (n, c, h, w), times the gains, plus the biases."""
        if self.weight is None or self.bias is None:
            return x
        return (x * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class SampleNorm(InstanceNorm):
    """Batch normalisation of each sample by itself: instance normalisation with gains and biases."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, channels: int):
        super().__init__(channels)
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))


def mirror(x: Tensor, pixels: int) -> Tensor:
    """Mirrored padding: (n, c, h, w) -> (n, c, h + 2 pixels, w + 2 pixels), the border itself not repeated."""
    return _mirror(_mirror(x, pixels, 2), pixels, 3) if x.is_cuda else F.pad(x, (pixels,) * 4, mode="reflect")


def _mirror(x: Tensor, pixels: int, axis: int) -> Tensor:
    """Both ends of one axis. The derivative of PyTorch's own padding adds in no fixed order on GPUs."""
    start, end = x.narrow(axis, 1, pixels), x.narrow(axis, x.shape[axis] - 1 - pixels, pixels)
    return torch.cat([start.flip(axis), x, end.flip(axis)], axis)


class Mirror(nn.Module):
    """`mirror` as a layer."""

    def __init__(self, pixels: int):
        super().__init__()
        self.pixels = pixels

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h + 2 pixels, w + 2 pixels)."""
        return mirror(x, self.pixels)


class Halve(nn.Module):
    """Every other pixel after the filter [1, 2, 1] along both axes, borders mirrored (Zhang 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, ceil(h / 2), ceil(w / 2))."""
        return F.avg_pool2d(F.avg_pool2d(mirror(x, 1), 2, 1), 2)  # [1, 1] and [1, 1] make [1, 2, 1]


class Double(nn.Module):
    """Twice as large through the filter [1, 3, 3, 1], borders repeated: linear interpolation between centres."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, 2h, 2w)."""
        if not x.is_cuda:
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return _double(_double(x.permute(0, 2, 3, 1), 1), 2).permute(0, 3, 1, 2)


def _double(x: Tensor, axis: int) -> Tensor:
    """Along one axis. The derivative of PyTorch's own interpolation adds in no fixed order on GPUs."""
    last = x.shape[axis] - 1
    before = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, last)], axis)
    after = torch.cat([x.narrow(axis, 1, last), x.narrow(axis, last, 1)], axis)
    return torch.stack([x.lerp(before, 0.25), x.lerp(after, 0.25)], axis + 1).flatten(axis, axis + 1)


def to_multiple(x: Tensor, multiple: int) -> Tensor:
    """x (n, c, h, w), mirrored at the bottom and the right until h and w are multiples; x itself where they are."""
    for axis in (2, 3):
        while missing := -x.shape[axis] % multiple:
            size = x.shape[axis]
            more = min(missing, max(size - 1, 1))
            x = torch.cat([x, x.narrow(axis, max(size - 1 - more, 0), more).flip(axis)], axis)
    return x


def with_latent(x: Tensor, z: Tensor | None) -> Tensor:
    """x (n, c, h, w) with z (n, k) as k further channels, each constant over the image, channels-last."""
    if z is None:
        return x
    planes = z.to(x.dtype)[:, None, None].expand(-1, *x.shape[2:], -1)
    return torch.cat([x.permute(0, 2, 3, 1), planes], 3).permute(0, 3, 1, 2)


class Signed(nn.Module):
    """A base of networks to put before one that works on values from 0 to 1: the same on images in [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to images in [-1, 1]."""
        made: Tensor = super().forward((x + 1) / 2)
        return 2 * made - 1


def channels_of(source: tuple[int, int, int], shape: tuple[int, int, int]) -> tuple[int, int]:
    """Channels of what a translator is given and of what it makes.

    Raises:
        BadOption: the two are not of one size.
    """
    if source[1:] != shape[1:]:
        given, wanted = (f"{height} x {width}" for _, height, width in (source, shape))
        raise BadOption(f"a translator keeps the size: its source has {given} pixels, its target {wanted}; resize one.")
    return source[0], shape[0]


def needs_bias(norm: Norm, bias: bool | None) -> bool:
    """Whether convolutions before `norm` have biases: as `bias` says; None: unless the normalisation has its own."""
    return norm not in (nn.BatchNorm2d, SampleNorm) if bias is None else bias


def initialise(module: nn.Module) -> None:
    """Weights N(0, 0.02), gains of normalisation N(1, 0.02), biases 0 (Isola et al. 2017, section 6.2)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, SampleNorm) or (isinstance(module, nn.BatchNorm2d) and module.affine):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if isinstance(bias := getattr(module, "bias", None), Tensor):
        nn.init.zeros_(bias)


class Block(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3 x 3 with mirrored borders; dropout 0.5 in the middle, or none."""

    def __init__(self, width: int, norm: Norm, bias: bool, dropout: bool):
        super().__init__()
        self.mirror, self.dropout = Mirror(1), nn.Dropout(0.5) if dropout else nn.Identity()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, bias=bias), norm(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, bias=bias), norm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x (n, width, h, w)."""
        y = self.dropout(F.relu(self.norm1(self.conv1(self.mirror(x))), inplace=True))
        return x + self.norm2(self.conv2(self.mirror(y)))


class ResNet(nn.Module):
    """Images x (n, c, h, w), and z (n, latent) where `latent`, to images (n, c', h, w) in [-1, 1], of any size.

    Sizes that are no multiple of 4 are mirrored up to the next one and cropped.

    Args:
        source, shape: (c, h, w) of the images given and made; h and w may change from call to call.
        width: channels of the first layer; 4 times as many in the residual blocks.
        blocks: residual blocks (9 from 256 px on, 6 below).
        norm: makes each layer's normalisation.
        dropout: half of what is in the middle of each block dropped in training.
        antialias: low-pass filters where images are halved and doubled, as in CUT, instead of strides.
        latent: components of z, joined to the image as constant channels (BicycleGAN).
        bias: of the convolutions before norms; None: unless these have their own.

    Attributes:
        encoder_layers: numbers, for `features`, of the layers that CUT contrasts (Park et al. 2020, arXiv:2007.15651):
            the image, the two convolutions that halve it (or precede the filters), the first and the fifth block.
    """

    def __init__(
        self, source: tuple[int, int, int], shape: tuple[int, int, int], *, width: int = 64, blocks: int = 9,
        norm: Norm = InstanceNorm, dropout: bool = False, antialias: bool = False, latent: int = 0,
        bias: bool | None = None,
    ):  # fmt: skip
        super().__init__()
        given, made = channels_of(source, shape)
        bias = needs_bias(norm, bias)
        layers = [Mirror(3), nn.Conv2d(given + latent, width, 7, bias=bias), norm(width), nn.ReLU(inplace=True)]
        marked = [0]
        for wide in (2 * width, 4 * width):
            marked.append(len(layers))
            layers += [nn.Conv2d(wide // 2, wide, 3, 1 if antialias else 2, 1, bias=bias), norm(wide)]
            layers += [nn.ReLU(inplace=True), *([Halve()] if antialias else [])]
        self.encoder_layers = (*marked, *(len(layers) + i for i in (0, 4) if i < blocks))
        layers += [Block(4 * width, norm, bias, dropout) for _ in range(blocks)]
        for wide in (4 * width, 2 * width):
            if antialias:
                layers += [Double(), nn.Conv2d(wide, wide // 2, 3, 1, 1, bias=bias)]
            else:
                layers += [nn.ConvTranspose2d(wide, wide // 2, 3, 2, 1, output_padding=1, bias=bias)]
            layers += [norm(wide // 2), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, Mirror(3), nn.Conv2d(width, made, 7), nn.Tanh())
        self.apply(initialise)

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """(n, c', h, w)."""
        y = self.layers(to_multiple(with_latent(x, z), 2**HALVINGS))
        return y[:, :, : x.shape[2], : x.shape[3]]

    def features(self, x: Tensor, layers: Sequence[int], z: Tensor | None = None) -> list[Tensor]:
        """What the layers of these numbers make of x, in the order asked for; nothing after the last is computed.

        They are counted as in the authors' network: each padding, convolution, norm, activation, filter and block.

        Raises:
            BadOption: there is no such layer.
        """
        if not all(0 <= layer < len(self.layers) for layer in layers):
            asked = ", ".join(map(str, layers))
            raise BadOption(f"layers {asked} of the generator were asked for; it has 0 to {len(self.layers) - 1}.")
        x, found = to_multiple(with_latent(x, z), 2**HALVINGS), dict[int, Tensor]()
        for number, layer in enumerate(list(self.layers)[: max(layers, default=-1) + 1]):
            x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)  # in place it could change what was kept
            if number in layers:
                found[number] = x
        return [found[layer] for layer in layers]


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by names without the "module." that training on several devices puts before them."""
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def numbered(tensors: Mapping[str, Tensor], rest: str) -> set[int]:
    """The numbers in names such as model.10.<rest>."""
    matches = (re.fullmatch(rf"model\.(\d{{1,3}})\.{rest}", name) for name in tensors)
    return {int(match[1]) for match in matches if match}


def is_idle(name: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether it is a statistic of an instance norm: old versions of PyTorch kept them, the authors use none."""
    module, _, leaf = name.rpartition(".")
    return leaf in STATISTICS and f"{module}.weight" not in tensors


def norm_of(tensors: Mapping[str, Tensor], conv: str, norm: str) -> dict[str, Any]:
    """`norm` and `bias` of the layer whose convolution and normalisation have these names.

    Instance norms leave no tensors; the authors have biases before them and no others.
    """
    bias = f"{conv}.bias" in tensors
    kind = nn.BatchNorm2d if f"{norm}.weight" in tensors else InstanceNorm if bias else nn.Identity
    return {"norm": kind, "bias": bias}


def reference_names(tensors: Mapping[str, Tensor]) -> dict[str, str | None]:
    """Names in the authors' state dicts (CycleGAN, pix2pix, CUT: latest_net_G.pth) -> names in `ResNet`.

    "": the tensor is not needed; None: not known.
    """
    plain = unwrapped(tensors)
    shift = 1 if has_dropout(plain) else 0
    parts = {"1": "conv1", "2": "norm1", str(5 + shift): "conv2", str(6 + shift): "norm2"}

    def rename(name: str) -> str | None:
        if is_idle(name, plain) or name.endswith(".filt"):
            return ""
        match name.split("."):
            case ["model", number, leaf]:
                return f"layers.{number}.{leaf}"
            case ["model", number, "conv_block", part, leaf] if part in parts:
                return f"layers.{number}.{parts[part]}.{leaf}"
        return None

    return {name: rename(name.removeprefix("module.")) for name in tensors}


def has_dropout(tensors: Mapping[str, Tensor]) -> bool:
    """Whether blocks have dropout, which has no tensors but moves the second convolution from place 5 to 6."""
    return any(name.endswith("conv_block.6.weight") and value.dim() == 4 for name, value in tensors.items())


def reference_arguments(tensors: Mapping[str, Tensor], size: tuple[int, int] = (256, 256)) -> dict[str, Any]:
    """The arguments of `ResNet` for the authors' state dict, told by names and shapes alone; images of `size`.

    Raises:
        BadFile: it is another network's.
    """
    plain = unwrapped(tensors)
    numbers, filters = numbered(plain, r"conv_block\..+"), numbered(plain, "filt")
    first = 4 + (4 if filters else 3) * HALVINGS
    if numbers != set(range(first, first + len(numbers))) or not numbers:
        raise BadFile(f"its residual blocks are layers {sorted(numbers)}; zerosum's network has them from {first} on")
    last = first + len(numbers) + (4 if filters else 3) * HALVINGS + 1
    if filters and filters != {7, 11, first + len(numbers), first + len(numbers) + 4}:
        raise BadFile(f"its filters are layers {sorted(filters)}: zerosum's network halves and doubles through filters")
    if "model.1.weight" not in plain or f"model.{last}.weight" not in plain:
        raise BadFile(f"it lacks layer 1 or {last}, the first and the last of a network of {len(numbers)} blocks")
    width, given = plain["model.1.weight"].shape[:2]
    return {
        "source": (given, *size), "shape": (plain[f"model.{last}.weight"].shape[0], *size), "width": width,
        "blocks": len(numbers), "dropout": has_dropout(plain), "antialias": bool(filters),
        **norm_of(plain, "model.1", "model.2"),
    }  # fmt: skip
