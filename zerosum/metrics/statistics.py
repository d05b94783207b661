"""Fréchet and kernel distances of one set of features from another, the class score, distances within a set.

The statistics themselves are torch-fidelity's, so that numbers agree with it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zerosum.core.errors import BadData
from zerosum.core.vision import load

KID_SUBSETS = 100
KID_SUBSET_SIZE = 1000
CLASS_SCORE_SPLITS = 10
PAIRS_FROM = 2000


def frechet(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, arXiv:1706.08500, eq. 6).

    `real` (n, d) and `fake` (m, d), each of at least 2 samples. It is FID only where the features are Inception-v3's.
    Biased upwards for few samples: compare only distances with the same n and m.
    """
    for features, which in [(real, "real"), (fake, "generated")]:
        if len(features) < 2:
            raise BadData(f"a Fréchet distance needs at least 2 {which} samples; there are {len(features)}.")
    fid = load("torch_fidelity.metric_fid")
    statistics = [fid.fid_features_to_statistics(features.double().cpu()) for features in (real, fake)]
    distance = fid.fid_statistics_to_metric(*statistics, verbose=False)[fid.KEY_METRIC_FID]
    return max(0.0, distance)  # rounding alone makes it negative, for equal sets


def kernel(real: Tensor, fake: Tensor, seed: int = 0) -> tuple[float, float]:
    """Kernel distance (KID; Binkowski et al. 2018, arXiv:1801.01401): squared MMD with a cubic polynomial kernel.

    Mean and standard deviation over 100 random subsets of (n, d) and (m, d). Unbiased: may be below 0.
    """
    kid = load("torch_fidelity.metric_kid")
    random = np.random.RandomState(seed)
    size = kernel_subset(len(real), len(fake))
    x, y = fake.cpu().numpy(), real.cpu().numpy()
    found = []
    for _ in range(KID_SUBSETS):  # torch-fidelity's draws, with a kernel several times faster than its own
        a, b = (side[random.choice(len(side), size, replace=False)] for side in (x, y))
        found.append(kid.mmd2(cubic(a, a), cubic(a, b), cubic(b, b)))
    return float(np.mean(found)), float(np.std(found))


def cubic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) kernel (a b / d + 1)^3 of the rows of `a` (n, d) and `b` (m, d)."""
    base = a @ b.T / a.shape[1] + 1
    return base * base * base


def kernel_subset(n: int, m: int) -> int:
    """Samples in a subset of KID: 1,000, but at most half of the smaller set, or all subsets would be the same."""
    return max(2, min(KID_SUBSET_SIZE, n // 2, m // 2))


def class_score(probabilities: Tensor, seed: int = 0) -> tuple[float, float]:
    """The exponential of the mean KL(p(y|x) || p(y)) (Salimans et al. 2016, arXiv:1606.03498), over 10 splits.

    `probabilities` (n, k). Returns mean (between 1 and k) and standard deviation over the splits. It is the Inception
    score only where they are Inception-v3's.
    """
    isc = load("torch_fidelity.metric_isc")
    logits = probabilities.double().clamp_min(1e-30).log()
    found = isc.isc_features_to_metric(logits, splits=min(CLASS_SCORE_SPLITS, len(logits)), rng_seed=seed)
    return found[isc.KEY_METRIC_ISC_MEAN], found[isc.KEY_METRIC_ISC_STD]


def spread(features: Tensor) -> float:
    """Mean distance between two different samples of (n, d): falls towards 0 as a generator collapses."""
    some = features[:PAIRS_FROM].double()
    if len(some) < 2:
        raise BadData(f"the distance between samples needs at least 2 of them; there are {len(some)}.")
    return float(torch.pdist(some).mean())


def divergence(counts: Tensor, reference: Tensor) -> float:
    """KL(counts || reference) in nats, both (k,), normalised; infinite where only the reference is 0."""
    p, q = counts.double() / counts.sum(), reference.double() / reference.sum()
    present = p > 0
    return float((p[present] * (p[present] / q[present]).log()).sum())
