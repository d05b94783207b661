"""The heads of CUT (Park et al. 2020, section 3 and appendix C.1), arXiv:2007.15651: from features to the sphere on
which patches are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.networks.translator import initialise
from zerosum.objectives.contrastive import at, places


class Projector(nn.Module):
    """For each of several layers of another network: its features at some places, through two linear layers of its own
    with ReLU between them, to unit length.

    Args:
        channels: of each layer.
        width: units of both linear layers.
    """

    def __init__(self, channels: Sequence[int], width: int = 256):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, width), nn.ReLU(inplace=True), nn.Linear(width, width))
            for inputs in channels
        )
        self.apply(initialise)

    def forward(self, features: Sequence[Tensor], draws: Tensor) -> list[Tensor]:
        """For each layer unit vectors (n, min(patches, h w), width) in float32.

        Args:
            features: of each layer, (n, c, h, w).
            draws: (n, layers x patches), uniform in [0, 1): the same ones give the same places.
        """
        shares = draws.chunk(len(self.heads), 1)
        found = []
        for head, layer, share in zip(self.heads, features, shares, strict=True):
            vectors = head(at(layer, places(share, layer.shape[2] * layer.shape[3])))
            with torch.autocast(vectors.device.type, enabled=False):
                found.append(F.normalize(vectors.float(), dim=2))
        return found
