"""A pool of earlier generated images, for discriminators that shall not forget what the generator made before."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DRAWS = 2
"""Uniform numbers that each image takes: whether it is exchanged, and for which one."""


class Pool(nn.Module):
    """Generated images of earlier rounds (Shrivastava et al. 2017, section 2.3, arXiv:1612.07828; Zhu et al. 2017,
    section 4).

    The first images fill the pool. From then on half of those given are exchanged for one of the pool each, drawn at
    random, and take its place. It is made of buffers, so a resumed training goes on with it; each process has its own.

    Args:
        size: images that it holds.
        shape: (c, h, w) of each.

    Attributes:
        images: (size, c, h, w) float32.
        count: how many are there, 0-d int64.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: tuple[int, int, int]):
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, images: Tensor, draws: Tensor) -> Tensor:
        """What to show instead of images (n, c, h, w): (n, c, h, w) float32, without gradients.

        Args:
            images: one after the other, so that an image can be exchanged for one of the same batch.
            draws: (n, 2), uniform in [0, 1).
        """
        shown = []
        for image, (exchange, which) in zip(images.float(), draws, strict=True):
            # Nothing here asks the device for a number, so nothing waits for it.
            full = self.count >= self.size
            place = torch.where(full, (which * self.size).long(), self.count)[None]
            held = self.images.index_select(0, place)[0]
            exchanged = full & (exchange < 0.5)
            shown.append(torch.where(exchanged, held, image))
            self.images.index_copy_(0, place, torch.where(exchanged | ~full, image, held)[None])
            self.count += ~full
        return torch.stack(shown)
