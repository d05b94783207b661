"""The networks of StyleGAN3 (Karras et al. 2021), arXiv:2106.12423: pixels as samples of a smooth signal.

T (3 x 3 convolutions, separable filters) moves with translations, R (1 x 1 convolutions, radial filters) also with
rotations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.networks.equalized import SLOPE, EqualizedLinear
from zerosum.networks.resample import filter_down, resample
from zerosum.networks.stylegan2 import Mapping

MARGIN = 10
"""Pixels around the image in all layers but the last ones (section 3.2)."""
TAPS = 6
"""Of a low-pass filter, per factor of resampling (section 3.2)."""


@dataclass(frozen=True)
class Band:
    """What one layer's output can hold (frequencies in cycles per unit, the image being one unit wide)."""

    size: int
    """Pixels a side, with margins."""
    rate: int
    """Pixels per unit."""
    cutoff: float
    half_width: float
    """Of the filter's transition."""
    channels: int


def bands(
    resolution: int, channels: int, *, layers: int = 14, critical: int = 2, base: int = 32768, most: int = 512,
    widths: tuple[int, ...] | None = None, first_cutoff: float = 2.0, first_stopband: float = 2**2.1,
    last_stopband: float = 2**0.3,
) -> list[Band]:  # fmt: skip
    """The bands of all layers, the image's last (section 3.2, "Flexible layer specifications").

    `widths` are the channels of all layers but the image's; None: base / 2 / cutoff, at most `most`.
    """
    found = []
    end = resolution / 2
    for index in range(layers + 1):
        exponent = min(index / (layers - critical), 1.0)
        cutoff = first_cutoff * (end / first_cutoff) ** exponent
        stopband = first_stopband * (end * last_stopband / first_stopband) ** exponent
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, resolution)))
        width = widths[index] if widths and index < layers else round(min(base / 2 / cutoff, most))
        found.append(Band(rate + 2 * MARGIN, rate, cutoff, max(stopband, rate / 2) - cutoff, width))
    last = [Band(resolution, band.rate, band.cutoff, band.half_width, band.channels) for band in found[-2:]]
    last[-1] = Band(resolution, last[-1].rate, last[-1].cutoff, last[-1].half_width, channels)
    return [*found[:-2], *last]


def low_pass(taps: int, cutoff: float, width: float, rate: float, radial: bool = False) -> Tensor | None:
    """A Kaiser-windowed low-pass filter: (taps,), or (taps, taps) where `radial`; None for a single tap."""
    if taps == 1:
        return None
    from scipy import signal, special

    if not radial:
        return torch.as_tensor(signal.firwin(taps, cutoff, width=width, fs=rate), dtype=torch.float32)
    axis = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.hypot(axis[:, None], axis[None, :])
    # The transform of a disc of radius `cutoff`; an even number of taps has none at radius 0.
    disc = special.j1(2 * np.pi * cutoff * radius) / (np.pi * radius)
    window = np.kaiser(taps, signal.kaiser_beta(signal.kaiser_atten(taps, width / (rate / 2))))
    kernel = disc * np.outer(window, window)
    return torch.as_tensor(kernel / kernel.sum(), dtype=torch.float32)


class FourierInput(nn.Module):
    """Fourier features of a grid that w, and the user, can move and turn (section 3.1).

    `transform` (3, 3) maps the coordinates that are asked for to those that are drawn: the inverse of what one sees.
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, w: int, band: Band):
        super().__init__()
        self.band = band
        self.weight = nn.Parameter(torch.randn(band.channels, band.channels))
        self.affine = EqualizedLinear(w, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        freqs = torch.randn(band.channels, 2)
        radius = freqs.square().sum(1, keepdim=True).sqrt()
        # Directions are uniform; radii become nearly uniform over the disc up to the cutoff.
        freqs = freqs / (radius * radius.square().exp() ** 0.25) * band.cutoff
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", torch.rand(band.channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))

    def forward(self, w: Tensor) -> Tensor:
        """(n, size) -> (n, channels, band.size, band.size)."""
        n, band = len(w), self.band
        t = self.affine(w).float()
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        cos, sin, dx, dy = t.unbind(1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        turn = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).view(n, 3, 3)
        move = torch.stack([one, zero, -dx, zero, one, -dy, zero, zero, one], dim=1).view(n, 3, 3)
        placed = turn @ move @ self.transform
        phases = self.phases + (self.freqs @ placed[:, :2, 2:]).squeeze(2)
        freqs = self.freqs @ placed[:, :2, :2]
        # What a turn or a scaling would push beyond the band fades out.
        fade = (freqs.norm(dim=2) - band.cutoff) / (band.rate / 2 - band.cutoff)
        amplitudes = (1.0 - fade).clamp(0.0, 1.0)
        axis = (torch.arange(band.size, device=w.device) + 0.5) / band.rate - 0.5 * band.size / band.rate
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=2).view(-1, 2)
        x = torch.sin(2 * math.pi * (grid @ freqs.transpose(1, 2) + phases[:, None])) * amplitudes[:, None]
        x = x @ (self.weight / math.sqrt(band.channels)).T
        return x.transpose(1, 2).unflatten(2, (band.size, band.size))


class Layer(nn.Module):
    """Modulated convolution, then a leaky ReLU at twice the sampling rate between two low-pass filters (section 3.2).

    Args:
        source, target: bands of input and output.
        kernel: of the convolution.
        radial: the filter after the activation is radially symmetric (R).
        image: the last layer, which has neither demodulation nor activation nor filters.
        clamp: largest magnitude of activations; None: any.
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(
        self, w: int, source: Band, target: Band, *, kernel: int, radial: bool = False, image: bool = False,
        clamp: float | None = 256.0,
    ):  # fmt: skip
        super().__init__()
        self.source, self.target, self.image, self.clamp = source, target, image, clamp
        self.affine = EqualizedLinear(w, source.channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(target.channels, source.channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(target.channels))
        self.register_buffer("magnitude_ema", torch.ones(()))
        between = max(source.rate, target.rate) * (1 if image else 2)
        self.up, self.down = between // source.rate, between // target.rate
        up_taps = 1 if image or self.up == 1 else TAPS * self.up
        down_taps = 1 if image or self.down == 1 else TAPS * self.down
        up = low_pass(up_taps, source.cutoff, 2 * source.half_width, between)
        down = low_pass(down_taps, target.cutoff, 2 * target.half_width, between, radial)
        self.register_buffer("up_filter", up)
        self.register_buffer("down_filter", down)
        # The up-sampled grid must be so large that what is left after both filters has the size of the target (C.3);
        # half a sample of the shift that an even factor causes goes to the low side.
        total = (target.size - 1) * self.down + 1 - (source.size + kernel - 1) * self.up + up_taps + down_taps - 2
        self.before = (total + self.up) // 2
        self.after = total - self.before

    def forward(self, x: Tensor, w: Tensor, decay: float | None = None) -> Tensor:
        """x (n, c, h, w) -> (n, c', h', w'). decay: of the moving average of the input's magnitude; None: leave it."""
        if decay is not None:
            self.magnitude_ema.lerp_(x.detach().float().square().mean(), 1.0 - decay)
        gain = self.magnitude_ema.rsqrt()
        style = self.affine(w).float()
        if self.image:
            style = style / math.sqrt(style.shape[1])
            x = F.conv2d(x * (style * gain).to(x.dtype)[:, :, None, None], self.weight, self.bias)
            return self.limited(x.float())
        # The paper also scales weights and styles to unit mean square; demodulation takes that out again, and bf16
        # needs no help.
        norm = (style.square() @ self.weight.float().square().sum(dim=(2, 3)).T + 1e-8).rsqrt()
        x = F.conv2d(x * style.to(x.dtype)[:, :, None, None], self.weight, padding=self.weight.shape[2] - 1)
        x = torch.addcmul(self.bias.to(x.dtype)[:, None, None], x, (norm * gain).to(x.dtype)[:, :, None, None])
        return self.activate(x)

    def activate(self, x: Tensor) -> Tensor:
        """Up-sample, leaky ReLU with gain sqrt 2, clamp, down-sample."""
        if self.up_filter is None:
            x = F.pad(x, (self.before, self.after, self.before, self.after))
        else:
            x = resample(x, self.up_filter, up=self.up, before=self.before, after=self.after)
        x = self.limited(F.leaky_relu(x, SLOPE) * math.sqrt(2.0))
        if self.down_filter is None:
            return x
        if self.down_filter.dim() == 2:
            return filter_down(x, self.down_filter, self.down)
        return resample(x, self.down_filter, down=self.down)

    def limited(self, x: Tensor) -> Tensor:
        """x, where its magnitude is at most `clamp`."""
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class Synthesis(nn.Module):
    """w (n, copies, size) to images (n, channels, resolution, resolution).

    Args:
        layers: besides the image's.
        kernel: of the convolutions: 3 (T), 1 (R).
        radial: radial filters (R), but in the critically sampled layers.
        base, most: channels of a layer are base / 2 / cutoff, at most `most`.
        widths: channels of all layers but the image's; None: by base and most.
        decay: of the moving averages of magnitudes while training, for each pass.
    """

    def __init__(
        self, w: int, shape: tuple[int, int, int], *, layers: int = 14, kernel: int = 3, radial: bool = False,
        base: int = 32768, most: int = 512, widths: tuple[int, ...] | None = None, critical: int = 2,
        clamp: float | None = 256.0, decay: float = 0.999,
    ):  # fmt: skip
        super().__init__()
        self.decay = decay
        channels, resolution, _ = shape
        self.bands = bands(resolution, channels, layers=layers, critical=critical, base=base, most=most, widths=widths)
        self.copies = layers + 2
        self.input = FourierInput(w, self.bands[0])
        sources = [self.bands[0], *self.bands[:-1]]
        self.layers = nn.ModuleList(
            Layer(
                w, source, target, kernel=1 if i == layers else kernel, radial=radial and i < layers - critical,
                image=i == layers, clamp=clamp,
            )
            for i, (source, target) in enumerate(zip(sources, self.bands, strict=True))
        )  # fmt: skip

    def forward(self, ws: Tensor) -> Tensor:
        """(n, copies, size) -> (n, channels, resolution, resolution)."""
        decay = self.decay if self.training else None
        with torch.autocast(ws.device.type, enabled=False):
            x = self.input(ws[:, 0].float())
        x = x.contiguous(memory_format=torch.channels_last)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        for index, layer in enumerate(self.layers):
            x = layer(x, ws[:, index + 1], decay)
        return x.float() * 0.25


class Generator(nn.Module):
    """z (n, latent), and a label, to square images (n, *shape).

    Args:
        all else: as in `Mapping` and `Synthesis`.
    """

    def __init__(
        self, latent: int, shape: tuple[int, int, int], *, classes: int = 0, w: int = 512, mapping_layers: int = 2,
        layers: int = 14, kernel: int = 3, radial: bool = False, base: int = 32768, most: int = 512,
        widths: tuple[int, ...] | None = None, critical: int = 2, clamp: float | None = 256.0, decay: float = 0.999,
    ):  # fmt: skip
        super().__init__()
        self.synthesis = Synthesis(
            w, shape, layers=layers, kernel=kernel, radial=radial, base=base, most=most, widths=widths,
            critical=critical, clamp=clamp, decay=decay,
        )  # fmt: skip
        self.mapping = Mapping(latent, classes, w, self.synthesis.copies, layers=mapping_layers)

    def forward(self, z: Tensor, label: Tensor | None = None, *, truncation: float = 1.0) -> Tensor:
        """(n, *shape)."""
        return self.synthesis(self.mapping(z, label, truncation))
