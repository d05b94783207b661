"""Contrastive learning between places of feature maps (Park et al. 2020, section 3, arXiv:2007.15651)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def places(draws: Tensor, positions: int) -> Tensor:
    """Different positions of a feature map for each sample: int64 (n, min(k, positions)), ascending.

    The positions are cut into k stretches as equal as can be, and one is drawn in each: none comes twice, and no part
    of the image goes without.

    Args:
        draws: (n, k), uniform in [0, 1).
        positions: of the map, h w.
    """
    count = min(draws.shape[1], positions)
    edges = torch.arange(count + 1, device=draws.device) * positions // count
    return edges[:-1] + (draws[:, :count] * edges.diff()).long()


def at(features: Tensor, where: Tensor) -> Tensor:
    """The vectors (n, s, c) of feature maps (n, c, h, w) at the positions `where` (n, s), counted row by row."""
    vectors = features.flatten(2).transpose(1, 2)
    return vectors.gather(1, where[:, :, None].expand(-1, -1, vectors.shape[2]))


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """For each sample (n,) the mean over its places of -log of the share that the key at a query's own place has in the
    softmax over the keys at all places of the sample, of dot products over the temperature (equation 3, one layer).

    Args:
        query: unit vectors of the image that was made, (n, s, d).
        key: unit vectors of the image that it was made from, (n, s, d); no gradient goes there.
        temperature: tau.
    """
    with torch.autocast(query.device.type, enabled=False):
        logits = query.float() @ key.detach().float().transpose(1, 2) / temperature
        own = torch.arange(logits.shape[1], device=logits.device).expand(len(logits), -1)
        return F.cross_entropy(logits.transpose(1, 2), own, reduction="none").mean(1)
