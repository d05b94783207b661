"""What a setting that is "auto" becomes: a value and its reason, for `Game.choose`."""

from __future__ import annotations

import math

from zerosum.data.spec import Spec


def r1_gamma(spec: Spec, batch_size: int) -> tuple[float, str]:
    """Weight of R1: 0.0002 pixels / batch size (Karras et al. 2020, StyleGAN2-ADA, appendix C)."""
    pixels = math.prod(spec.shape[1:])
    return 0.0002 * pixels / batch_size, f"0.0002 x {pixels} pixels / batch {batch_size}"


def ema_half_life(batch_size: int) -> tuple[float, str]:
    """Half-life of the moving average in samples: 10,000 at batch size 32 (Karras et al. 2020, appendix B)."""
    return 10_000 * batch_size / 32, f"10,000 samples x batch {batch_size} / 32"
