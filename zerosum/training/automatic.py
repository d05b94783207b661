"""What a setting that is "auto" becomes: a value and its reason.

Every function gives both, for `Game.choose` or `explained`; the user sees them when training starts and in config.json.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from zerosum.data.spec import Spec

FEW_IMAGES = 100_000
"""Training a good GAN takes 10^5 to 10^6 images; with fewer, the discriminator comes to know its training set (Karras
et al. 2020, StyleGAN2-ADA, sections 1 and 2).
"""


def r1_gamma(spec: Spec, batch_size: int) -> tuple[float, str]:
    """Weight of R1: 0.0002 pixels / batch size (Karras et al. 2020, StyleGAN2-ADA, appendix C)."""
    pixels = math.prod(spec.shape[1:])
    return 0.0002 * pixels / batch_size, f"0.0002 x {pixels} pixels / batch {batch_size}"


def relativistic_gamma(spec: Spec) -> tuple[float, str]:
    """Weight of R1 and R2 under the relativistic loss: 1 per 64 x 64 pixels, and in proportion to them; points: 0.1.

    Within the settings of R3GAN (Huang et al. 2024): 0.05 to 0.5 at 32 px and 1 to 2 at 64 px.
    """
    if spec.kind != "image":
        return 0.1, f"for {spec.kind}"
    pixels = math.prod(spec.shape[1:])
    return pixels / 64**2, f"{pixels} pixels / 64^2"


def ema_half_life(batch_size: int) -> tuple[float, str]:
    """Half-life of the moving average in samples: 10,000 at batch size 32 (Karras et al. 2020, appendix B).

    In short trainings `Player` keeps it at a twentieth of the samples shown so far (StyleGAN2-ADA, appendix C).
    """
    return 10_000 * batch_size / 32, f"10,000 samples x batch {batch_size} / 32; at most 5 % of those shown so far"


def augmentation(samples: int, spec: Spec) -> tuple[bool, str]:
    """Whether to augment what the discriminator sees: where there are fewer than 100,000 training images."""
    if spec.kind != "image":
        return False, f"for {spec.kind}"
    few = samples < FEW_IMAGES
    return few, f"{samples:,} training images are {'fewer than' if few else 'not below'} {FEW_IMAGES:,}"


def batch_size(paper: int, samples: int, processes: int = 1) -> tuple[int, str]:
    """The paper's batch size, or, for a data set that does not fill one batch, the next lower power of two.

    Args:
        paper: the system's own.
        samples: in the training set.
        processes: that share a batch equally.
    """
    if samples >= paper:
        return paper, f"the system's own; the data has {samples:,} samples"
    lower = processes * 2 ** math.floor(math.log2(max(samples / processes, 1.0)))
    return lower, f"the data has {samples:,} samples, less than a batch of {paper}"


def explained(value: object, reason: str) -> str:
    """How a choice is kept: "value: reason"."""
    if isinstance(value, float):
        value = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value}: {reason}"


def table(chosen: Mapping[str, str]) -> str:
    """What was chosen, aligned: setting, value, why."""
    rows = [("setting", "value", "why"), *((name, *text.split(": ", 1)) for name, text in chosen.items())]
    name, value = (max(len(row[i]) for row in rows) for i in (0, 1))
    return "\n".join(f"{row[0]:{name}}  {row[1]:{value}}  {' '.join(row[2:])}" for row in rows)
