"""Tables for the tests of measures, and their sheets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from zerosum.data.tables.encoding import TableEncoding
from zerosum.metrics.tables.sheet import Sheet, read_sheets


def customers(n: int, seed: int = 0) -> pd.DataFrame:
    """Rows in which columns hang together: `plan` and `spent` follow `age`, `churn` follows all."""
    draw = np.random.default_rng(seed)
    age = draw.integers(18, 80, n)
    plan = np.where(age + draw.normal(0, 8, n) > 50, "gold", np.where(draw.random(n) < 0.7, "basic", "trial"))
    spent = np.round(np.exp(draw.normal(3 + age / 40, 0.4)), 2)
    churn = draw.random(n) < 1 / (1 + np.exp((age - 45) / 6))
    sex = draw.choice(["f", "m"], n)
    return pd.DataFrame({"age": age, "plan": plan, "spent": spent, "sex": sex, "churn": np.where(churn, "yes", "no")})


def shuffled(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Every column in an order of its own."""
    draw = np.random.default_rng(seed)
    return pd.DataFrame({name: frame[name].to_numpy()[draw.permutation(len(frame))] for name in frame})


def sheets(*frames: pd.DataFrame, encoding: TableEncoding | None = None, **options: Any) -> list[Sheet]:
    """The sheets of frames, by an encoding that is fitted to the first one."""
    encoding = encoding or TableEncoding.fit(frames[0], **options)
    return list(read_sheets(encoding, {f"{place}.": frame for place, frame in enumerate(frames)}).values())
