"""Demographic parity of generated rows: is what people want as probable in one group as in another?"""

from __future__ import annotations

import torch
from torch import Tensor


def parity(favourable: Tensor, groups: Tensor) -> Tensor:
    """Squared difference of P(favourable | group) between two groups: 0-d, in [0, 1], 0 at parity and nowhere below.

    Of several groups it is the mean over their pairs, each weighed by how many pairs of rows it has, so that the noise
    of a group of few rows does not drown the others. Two-sided: whichever group is ahead is pulled back (the one-sided
    difference of Rajabi and Garibay 2022, equation 6, rewards going past parity). Groups without rows are left out.

    Args:
        favourable: (n,) probabilities, or 0 and 1.
        groups: (n, g) likewise, of each row's group; rows of none do not count.
    """
    total = groups.sum(0)
    rates = (favourable[:, None] * groups).sum(0) / total.clamp_min(1e-6)
    pairs = torch.outer(total, total).triu(1)
    squares = (rates[:, None] - rates[None]).square()
    return (pairs * squares).sum() / pairs.sum().clamp_min(1e-12)
