"""Residual networks of WGAN-GP (Gulrajani et al. 2017), SNGAN (Miyato et al. 2018) and SAGAN (Zhang et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.networks.shapes import crop, plan


def widths(levels: int, width: int) -> list[int]:
    """Channels of the stages from finest to coarsest.

    Up to 3 halvings (32 px) all stages are `width`, as the papers have it there. Above, the finest is half as wide and
    they double from stage to stage up to 1024: for width 128 and 128 px 64, 128, 256, 512, 1024, 1024, as in SNGAN
    (Miyato et al. 2018, table 5).
    """
    if levels <= 3:
        return [width] * (levels + 1)
    return [min(max(width // 2, 1) * 2**i, 1024) for i in range(levels + 1)]


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias depend on the class (Dumoulin et al. 2017); plain where classes is 0."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not classes)
        self.gain = nn.Embedding(classes, channels) if classes else None
        self.bias = nn.Embedding(classes, channels) if classes else None
        if self.gain is not None and self.bias is not None:
            nn.init.ones_(self.gain.weight)
            nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        """Same shape as x (n, c, h, w)."""
        x = self.norm(x)
        if self.gain is None or self.bias is None:
            return x
        return x * self.gain(label)[:, :, None, None] + self.bias(label)[:, :, None, None]


class Plain(nn.Module):
    """No normalisation, with the signature of `ConditionalBatchNorm`."""

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        """x."""
        return x


class UpBlock(nn.Module):
    """norm, ReLU, up, conv, norm, ReLU, conv; beside it up and a 1 x 1 convolution."""

    def __init__(self, before: int, after: int, classes: int, batch_norm: bool):
        super().__init__()
        self.norm1 = ConditionalBatchNorm(before, classes) if batch_norm else Plain()
        self.norm2 = ConditionalBatchNorm(after, classes) if batch_norm else Plain()
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, 1, 1), nn.Conv2d(after, after, 3, 1, 1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        """(n, before, h, w) -> (n, after, 2h, 2w)."""
        y = F.interpolate(F.relu(self.norm1(x, label)), scale_factor=2)
        y = self.conv2(F.relu(self.norm2(self.conv1(y), label)))
        # A 1 x 1 convolution and nearest-neighbour up-sampling commute; this order is 4 times cheaper.
        return y + F.interpolate(self.skip(x), scale_factor=2)


class DownBlock(nn.Module):
    """ReLU, conv, ReLU, conv, pooling; beside it pooling and a 1 x 1 convolution. The first block has no first ReLU."""

    def __init__(self, before: int, after: int, *, down: bool = True, first: bool = False, layer_norm: bool = False):
        super().__init__()
        self.norm1 = nn.GroupNorm(1, before) if layer_norm and not first else nn.Identity()
        self.norm2 = nn.GroupNorm(1, after) if layer_norm else nn.Identity()
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, 1, 1), nn.Conv2d(after, after, 3, 1, 1)
        self.skip = nn.Conv2d(before, after, 1) if down or before != after else nn.Identity()
        self.down, self.first = down, first

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) -> (n, after, h / 2, w / 2), or at full size where not `down`."""
        y = x if self.first else F.relu(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(self.conv1(y))))
        if self.down:
            # Pooling before the 1 x 1 convolution gives the same result and is cheaper.
            return F.avg_pool2d(y, 2) + self.skip(F.avg_pool2d(x, 2))
        return y + self.skip(x)


class SelfAttention(nn.Module):
    """x + gamma * attention(x), gamma starting at 0 (Zhang et al. 2019, section 3, equations 1-3)."""

    def __init__(self, channels: int):
        super().__init__()
        inner = max(channels // 8, 1)
        self.query, self.key = nn.Conv2d(channels, inner, 1, bias=False), nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, max(channels // 2, 1), 1, bias=False)
        self.out = nn.Conv2d(max(channels // 2, 1), channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x (n, c, h, w). Keys and values are max-pooled by 2, as in the authors' networks."""
        n, _, h, w = x.shape
        query = self.query(x).flatten(2)
        key, value = F.max_pool2d(self.key(x), 2).flatten(2), F.max_pool2d(self.value(x), 2).flatten(2)
        weights = (query.transpose(1, 2) @ key).softmax(dim=-1)
        attended = (value @ weights.transpose(1, 2)).view(n, -1, h, w)
        return x + self.gamma * self.out(attended)


def stage_with_attention(height: int, levels: int, attention: int) -> int | None:
    """The stage (0 = finest) whose height is nearest to `attention` pixels; None where attention is 0."""
    return min(range(1, levels), key=lambda i: abs(height / 2**i - attention)) if attention else None


class Generator(nn.Module):
    """z (n, latent), and a label (n,) where `classes`, to images (n, *shape) in [-1, 1].

    Args:
        width: channels of the finest stage.
        classes: class-conditional batch normalisation where not 0.
        attention: self-attention on the stage of about so many pixels; 0: none.
    """

    def __init__(
        self,
        latent: int,
        shape: tuple[int, int, int],
        *,
        width: int = 128,
        classes: int = 0,
        batch_norm: bool = True,
        attention: int = 0,
    ):
        super().__init__()
        channels, self.height, self.width = shape
        levels, self.grid = plan(self.height, self.width)
        sizes = widths(levels, width)[::-1]
        self.project = nn.Linear(latent, sizes[0] * self.grid[0] * self.grid[1])
        # Without batch normalisation a class can only enter beside z.
        self.embed = nn.Embedding(classes, latent) if classes and not batch_norm else None
        self.blocks = nn.ModuleList(UpBlock(a, b, classes, batch_norm) for a, b in zip(sizes, sizes[1:], strict=False))
        stage = stage_with_attention(self.height, levels, attention)
        self.attend_after = levels - 1 - stage if stage is not None else -1
        self.attention = SelfAttention(sizes[self.attend_after + 1]) if self.attend_after >= 0 else None
        self.norm = nn.BatchNorm2d(sizes[-1]) if batch_norm else nn.Identity()
        self.image = nn.Conv2d(sizes[-1], channels, 3, 1, 1)
        self.apply(initialise)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, *shape)."""
        if self.embed is not None:
            z = z + self.embed(label)
        x = self.project(z).view(len(z), -1, *self.grid).contiguous(memory_format=torch.channels_last)
        for i, block in enumerate(self.blocks):
            x = block(x, label)
            if i == self.attend_after and self.attention is not None:
                x = self.attention(x)
        return crop(torch.tanh(self.image(F.relu(self.norm(x)))), self.height, self.width)


class Discriminator(nn.Module):
    """Images (n, *shape), and a label (n,) where `classes`, to logits (n,).

    Args:
        width: channels of the finest stage.
        classes: projection of the label onto the features (Miyato and Koyama 2018, equation 3) where not 0.
        layer_norm: normalise within each sample (WGAN-GP's replacement for batch normalisation).
        attention: self-attention on the stage of about so many pixels; 0: none.
        sum_pool: the head sees the sum over the grid rather than the mean.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 128,
        classes: int = 0,
        layer_norm: bool = False,
        attention: int = 0,
        sum_pool: bool = False,
    ):
        super().__init__()
        channels, height, image_width = shape
        levels, _ = plan(height, image_width)
        sizes = [channels, *widths(levels, width)[1:]]
        blocks: list[nn.Module] = [
            DownBlock(a, b, first=i == 0, layer_norm=layer_norm)
            for i, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False))
        ]
        if (
            levels <= 3
        ):  # CIFAR-10's critic halves the image twice and then keeps it at 8 x 8 (Gulrajani et al. 2017, table 3)
            blocks[-1] = DownBlock(sizes[-2], sizes[-1], down=False, first=levels == 1, layer_norm=layer_norm)
        blocks.append(DownBlock(sizes[-1], sizes[-1], down=False, layer_norm=layer_norm))
        stage = stage_with_attention(height, len(sizes) - 1, attention)
        if stage is not None:
            blocks.insert(stage, SelfAttention(sizes[stage]))
        self.blocks = nn.Sequential(*blocks)
        self.width, self.sum_pool = sizes[-1], sum_pool
        self.head = nn.Linear(self.width, 1)
        self.embed = nn.Embedding(classes, self.width) if classes else None
        self.apply(initialise)

    def features(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, self.width): what the head sees, the mean or sum over the grid."""
        x = F.relu(self.blocks(x))
        return x.sum(dim=(2, 3)) if self.sum_pool else x.mean(dim=(2, 3))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits (n,)."""
        features = self.features(x)
        logits = self.head(features).squeeze(1)
        if self.embed is not None:
            logits = logits + (self.embed(label) * features).sum(1)
        return logits


def initialise(module: nn.Module) -> None:
    """Glorot-uniform weights, gain sqrt 2 in 3 x 3 convolutions (Miyato et al. 2018, as released), zero biases."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        gain = 2**0.5 if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) else 1.0
        nn.init.xavier_uniform_(module.weight, gain)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
