"""The vision transformer of DINOv2 (Oquab et al. 2023, arXiv:2304.07193), small, for reading its published weights.

Written here because the published way to get it runs code fetched from a repository. Parameter names are those of the
published file `dinov2_vits14_pretrain.pth`, so that its state dict loads as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, size: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(size, 3 * size)
        self.proj = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, size = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, size))


class Scale(nn.Module):
    """One learned factor per component (LayerScale)."""

    def __init__(self, size: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class MLP(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, size: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block with LayerScale."""

    def __init__(self, size: int, heads: int):
        super().__init__()
        self.norm1, self.attn, self.ls1 = nn.LayerNorm(size, eps=1e-6), Attention(size, heads), Scale(size)
        self.norm2, self.mlp, self.ls2 = nn.LayerNorm(size, eps=1e-6), MLP(size), Scale(size)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Patches(nn.Module):
    """Patches of 14x14 pixels to vectors."""

    def __init__(self, size: int):
        super().__init__()
        self.proj = nn.Conv2d(3, size, 14, stride=14)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """ViT-S/14: normalised images (n, 3, 224, 224) to the normalised class token (n, 384)."""

    def __init__(self, size: int = 384, depth: int = 12, heads: int = 6):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + 37 * 37, size))  # trained at 518 pixels: 37 patches a side
        self.mask_token = nn.Parameter(torch.zeros(1, size))  # in the file; only pre-training used it
        self.patch_embed = Patches(size)
        self.blocks = nn.ModuleList(Block(size, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(size, eps=1e-6)

    def positions(self, side: int) -> Tensor:
        """(1, 1 + side * side, size): the trained positions interpolated to `side` patches a side.

        The 0.1 added to the side before the scale is taken is the published code's; the weights were used with it.
        """
        grid = self.pos_embed[:, 1:].reshape(1, 37, 37, -1).permute(0, 3, 1, 2)
        factor = (side + 0.1) / 37
        grid = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patch_embed(images)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.positions(images.shape[2] // 14)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]
