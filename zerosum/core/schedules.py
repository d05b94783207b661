"""Schedules: functions from progress (0 at the start of training, 1 at its end) to a factor."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def linear_decay(start: float = 0.0) -> Schedule:
    """1 until progress `start`, then straight down to 0."""
    return lambda progress: 1.0 - max(0.0, progress - start) / (1.0 - start)


def cosine(end: float = 0.0) -> Schedule:
    """From 1 to `end` along half a cosine."""
    return between(1.0, end)


def between(start: float, end: float) -> Schedule:
    """From `start` to `end` along half a cosine."""
    return lambda progress: end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
