"""The networks of StyleGAN2 (Karras et al. 2020), arXiv:1912.04958, in the configuration released with its successors.

Any height and width: the constant that synthesis starts from has the shape of the coarsest grid (4 x 4 for square
powers of two).
Samples scale the input and the output of one shared convolution instead of having weights of their own (section 2.2):
the same function, and one convolution a batch.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.networks.equalized import SLOPE, EqualizedConv, EqualizedLinear, MinibatchStd, one_hot, unit_moment
from zerosum.networks.resample import blur, downsample, upsample
from zerosum.networks.shapes import crop, plan

Noise = Literal["random", "const", "none"]


def channels_at(level: int, base: int, most: int) -> int:
    """Channels where the image would be 4 * 2**level pixels high: base / pixels, at most `most`."""
    return max(min(base // (4 * 2**level), most), 1)


def stages(
    height: int, width: int, base: int, most: int, channels: tuple[int, ...] | None
) -> tuple[tuple[int, ...], tuple[int, int]]:
    """(channels of each resolution, coarsest first; size of the coarsest grid), `channels` as they are where given."""
    if channels is None:
        levels, grid = plan(height, width)
        return tuple(channels_at(level, base, most) for level in range(levels + 1)), grid
    scale = 2 ** (len(channels) - 1)
    return channels, (-(-height // scale), -(-width // scale))


class Mapping(nn.Module):
    """z, and a label, to w: one vector for each layer of the synthesis network.

    Args:
        latent: components of z; 0: only the label is mapped (the discriminator's).
        classes: 0: unconditional.
        size: components of w.
        copies: layers that get a w; None: w itself.
        layers: fully connected layers.
        decay: of the moving average of w, the centre of truncation; None: none is kept.
    """

    w_avg: Tensor

    def __init__(
        self, latent: int, classes: int, size: int, copies: int | None, *, layers: int = 8, decay: float | None = 0.998
    ):
        super().__init__()
        self.latent, self.classes, self.copies, self.decay = latent, classes, copies, decay
        self.embed = EqualizedLinear(classes, size) if classes else None
        sizes = [latent + (size if classes else 0)] + [size] * layers
        self.layers = nn.Sequential(
            *(EqualizedLinear(a, b, rate=0.01, activate=True) for a, b in zip(sizes, sizes[1:], strict=False))
        )
        if decay is not None:
            self.register_buffer("w_avg", torch.zeros(size))

    def forward(self, z: Tensor | None, label: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """z (n, latent), label (n,) or (n, classes) -> (n, copies, size), or (n, size) without copies."""
        parts = [] if z is None or not self.latent else [unit_moment(z.float())]
        if self.embed is not None:
            parts.append(unit_moment(self.embed(one_hot(label, self.classes))))
        with torch.autocast(parts[0].device.type, enabled=False):  # small, and truncation needs the digits
            w = self.layers(torch.cat(parts, dim=1))
        if self.training and self.decay is not None:
            self.w_avg.lerp_(w.detach().mean(0), 1.0 - self.decay)
        if truncation != 1.0:
            w = self.w_avg.lerp(w, truncation)
        return w if self.copies is None else w.unsqueeze(1).expand(-1, self.copies, -1)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style and whose output is demodulated (section 2.2).

    Args:
        up: up-sample by 2 (filtered).
        noise: size of the grid on which noise is added; None: none (as in the layers that make the image).
        clamp: largest magnitude of the result; None: any.
    """

    noise_const: Tensor

    def __init__(
        self, before: int, after: int, kernel: int, w: int, *, up: bool = False, grid: tuple[int, int] | None = None,
        clamp: float | None = None,
    ):  # fmt: skip
        super().__init__()
        self.affine = EqualizedLinear(w, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after))
        self.scale, self.up, self.grid, self.clamp = 1.0 / math.sqrt(before * kernel * kernel), up, grid, clamp
        if grid is not None:
            self.noise_strength = nn.Parameter(torch.zeros(()))
            self.register_buffer("noise_const", torch.randn(grid))

    def forward(self, x: Tensor, w: Tensor, noise: Noise = "random") -> Tensor:
        """x (n, before, h, w), w (n, size) -> (n, after, h, w), twice the size where `up`."""
        if self.grid is None:
            return self.image(x, w)
        gain = math.sqrt(2.0)  # of the leaky ReLU, which commutes with it
        weight = self.weight * self.scale
        style = self.affine(w).float()
        norm = (style.square() @ weight.square().sum(dim=(2, 3)).T + 1e-8).rsqrt() * gain
        x = x * style.to(x.dtype)[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = blur(x, padding=1, gain=4.0)
        else:
            x = F.conv2d(x, weight, padding=self.weight.shape[2] // 2)
        offset = (self.bias * gain).view(1, -1, 1, 1)
        if noise != "none":
            field = self.noise_const if noise == "const" else torch.randn(len(x), 1, *self.grid, device=x.device)
            offset = offset + field * (self.noise_strength * gain)
        x = torch.addcmul(offset.to(x.dtype), x, norm.to(x.dtype)[:, :, None, None])
        x = F.leaky_relu_(x, SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def image(self, x: Tensor, w: Tensor) -> Tensor:
        """Without demodulation, noise and activation (ToRGB)."""
        style = self.affine(w) * self.scale
        x = F.conv2d(x * style.to(x.dtype)[:, :, None, None], self.weight, self.bias)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """The layers of one resolution: up-sampling convolution (absent in the first), convolution, and the image so
    far.
    """

    def __init__(
        self, before: int | None, after: int, w: int, channels: int, grid: tuple[int, int], clamp: float | None = None
    ):
        super().__init__()
        self.constant = nn.Parameter(torch.randn(after, *grid)) if before is None else None
        self.conv0 = None if before is None else ModulatedConv(before, after, 3, w, up=True, grid=grid, clamp=clamp)
        self.conv1 = ModulatedConv(after, after, 3, w, grid=grid, clamp=clamp)
        self.to_image = ModulatedConv(after, channels, 1, w, clamp=clamp)

    def forward(self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """ws (n, 2 or 3, size): one each for conv0, conv1, to_image."""
        if self.conv0 is None or x is None or image is None:
            assert self.constant is not None
            x = self.constant.expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
            if torch.is_autocast_enabled(x.device.type):
                x = x.to(torch.get_autocast_dtype(x.device.type))
            x = self.conv1(x, ws[:, 0], noise)
            return x, self.to_image(x, ws[:, 1]).float()
        x = self.conv1(self.conv0(x, ws[:, 0], noise), ws[:, 1], noise)
        return x, upsample(image) + self.to_image(x, ws[:, 2]).float()


class Synthesis(nn.Module):
    """w (n, copies, size) to images (n, channels, height, width), of no fixed range (trained to about [-1, 1])."""

    def __init__(
        self, w: int, shape: tuple[int, int, int], *, base: int = 32768, most: int = 512,
        channels: tuple[int, ...] | None = None, clamp: float | None = None,
    ):  # fmt: skip
        super().__init__()
        image, self.height, self.width = shape
        sizes, grid = stages(self.height, self.width, base, most, channels)
        self.copies = 2 * len(sizes)
        self.blocks = nn.ModuleList(
            SynthesisBlock(before, after, w, image, (grid[0] * 2**level, grid[1] * 2**level), clamp)
            for level, (before, after) in enumerate(zip([None, *sizes[:-1]], sizes, strict=True))
        )

    def forward(self, ws: Tensor, noise: Noise | None = None) -> Tensor:
        """(n, copies, size) -> (n, channels, height, width). Noise: by default random while training, else constant."""
        noise = noise or ("random" if self.training else "const")
        x = image = None
        first = 0
        for block in self.blocks:
            # A block's image layer shares its w with the next block's first convolution (section B.1).
            layers = 2 if first == 0 else 3
            x, image = block(x, image, ws[:, first : first + layers], noise)
            first += layers - 1
        assert image is not None
        return crop(image, self.height, self.width)


class Generator(nn.Module):
    """z (n, latent), and a label, to images (n, *shape).

    Args:
        w: components of w.
        layers: of the mapping network.
        base, most: channels are base / pixels, at most `most`.
        channels: of each resolution, coarsest first; None: by base and most.
        clamp: largest magnitude of activations (256 in networks that were trained in half precision); None: any.
    """

    def __init__(
        self, latent: int, shape: tuple[int, int, int], *, classes: int = 0, w: int = 512, layers: int = 8,
        base: int = 32768, most: int = 512, channels: tuple[int, ...] | None = None, clamp: float | None = None,
    ):  # fmt: skip
        super().__init__()
        self.synthesis = Synthesis(w, shape, base=base, most=most, channels=channels, clamp=clamp)
        self.mapping = Mapping(latent, classes, w, self.synthesis.copies, layers=layers)

    def forward(
        self, z: Tensor, label: Tensor | None = None, *, truncation: float = 1.0, noise: Noise | None = None
    ) -> Tensor:
        """(n, *shape)."""
        return self.synthesis(self.mapping(z, label, truncation), noise)


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second one halving the size, beside a filtered 1 x 1 convolution; their sum over sqrt 2."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.conv0 = EqualizedConv(before, before, 3, activate=True)
        self.conv1 = EqualizedConv(before, after, 3, activate=True, gain=math.sqrt(0.5))
        self.skip = EqualizedConv(before, after, 1, bias=False, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) -> (n, after, h / 2, w / 2)."""
        y = self.conv1(blur(self.conv0(x), padding=2), stride=2, padding=0)
        # Filtering and a 1 x 1 convolution commute; this way the convolution sees a quarter of the pixels.
        return y + self.skip(downsample(x))


class Discriminator(nn.Module):
    """Images (n, *shape), and a label, to logits (n,).

    Args:
        base, most: channels are base / pixels, at most `most`.
        channels: of each resolution, coarsest first; None: by base and most.
        classes: the label is mapped and projected onto the features where not 0.
        embedding: components of the mapped label; None: as many as channels at the end.
        group: samples a group of the minibatch standard deviation; 0: leave it out.
        layers: of the label's mapping network.
    """

    def __init__(
        self, shape: tuple[int, int, int], *, classes: int = 0, base: int = 32768, most: int = 512,
        channels: tuple[int, ...] | None = None, embedding: int | None = None, group: int = 4, layers: int = 8,
    ):  # fmt: skip
        super().__init__()
        image, height, width = shape
        coarse_first, grid = stages(height, width, base, most, channels)
        sizes, scale = coarse_first[::-1], 2 ** (len(coarse_first) - 1)
        self.padding = (grid[0] * scale - height, grid[1] * scale - width)
        self.from_image = EqualizedConv(image, sizes[0], 1, activate=True)
        self.blocks = nn.Sequential(*(DiscriminatorBlock(a, b) for a, b in zip(sizes, sizes[1:], strict=False)))
        last = sizes[-1]
        embedding = (embedding or last) if classes else 0
        self.std = MinibatchStd(group) if group else nn.Identity()
        self.conv = EqualizedConv(last + (1 if group else 0), last, 3, activate=True)
        self.dense = EqualizedLinear(last * grid[0] * grid[1], last, activate=True)
        self.out = EqualizedLinear(last, embedding or 1)
        self.mapping = Mapping(0, classes, embedding, None, layers=layers, decay=None) if classes else None

    def features(self, x: Tensor) -> Tensor:
        """(n, last): what the last layer sees."""
        tall, wide = self.padding
        if tall or wide:
            x = F.pad(x, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))
        x = self.conv(self.std(self.blocks(self.from_image(x))))
        return self.dense(x.flatten(1))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits (n,)."""
        features = self.features(x)
        with torch.autocast(features.device.type, enabled=False):  # bf16 has too few digits for logits
            logits = self.out(features.float())
        if self.mapping is None:
            return logits.squeeze(1)
        mapped = self.mapping(None, label)
        return (logits * mapped).sum(1) / math.sqrt(mapped.shape[1])
