"""Mode coverage of the two-dimensional mixtures `ring` and `grid`, by the protocol of VEEGAN (Srivastava et al. 2017,
arXiv:1705.07761, section 4.1) and PacGAN (Lin et al. 2018, arXiv:1712.04086, section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.core.errors import BadData
from zerosum.data.builtin import GRID_STD, RING_STD, grid_modes, ring_modes
from zerosum.metrics.statistics import divergence

SAMPLES = 2_500
"""Generated points that the modes are counted over; more would find rare modes more easily."""
HIGH_QUALITY = 3.0
"""Standard deviations from the nearest centre within which a point is of high quality."""


@dataclass(frozen=True)
class Modes:
    """A mixture of equally likely round Gaussians."""

    centres: Tensor
    """(k, d) float64."""
    std: float


MODES = {
    "ring": Modes(torch.from_numpy(ring_modes()).double(), RING_STD),
    "grid": Modes(torch.from_numpy(grid_modes()).double(), GRID_STD),
}
"""By the name of the data set."""


def point_scores(points: Tensor, modes: Modes) -> dict[str, float]:
    """Scores of the first 2,500 of the generated `points` (n, d).

    Returns:
        "modes": centres with at least one high-quality point: within 3 standard deviations of its nearest centre;
        "high_quality": the share of such points;
        "mode_kl": KL(generated || equal shares) in nats, every point counted for its nearest centre ("reverse KL").
    """
    if len(points) == 0:
        raise BadData("modes cannot be counted over no points at all.")
    distance, nearest = torch.cdist(points[:SAMPLES].double(), modes.centres).min(dim=1)
    good = distance <= HIGH_QUALITY * modes.std
    k = len(modes.centres)
    return {
        "modes": float(nearest[good].unique().numel()),
        "high_quality": float(good.double().mean()),
        "mode_kl": divergence(torch.bincount(nearest, minlength=k), torch.ones(k)),
    }
