"""Parity and opportunity, in labels and in a model's answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.metrics.tables.made import customers
from zerosum.core.errors import BadOption
from zerosum.data.tables.encoding import TableEncoding
from zerosum.metrics.tables.fairness import fairness, gap
from zerosum.metrics.tables.scores import evaluate_tables


def unfair(n: int, seed: int, bias: float = 3.0) -> pd.DataFrame:
    """Rows in which women are rarely hired."""
    draw = np.random.default_rng(seed)
    frame = customers(n, seed)
    skill = draw.normal(size=n)
    hired = skill - bias * (frame.sex == "f") + 1 + 0.3 * draw.normal(size=n) > 0
    return frame.assign(skill=skill, hired=np.where(hired, "yes", "no"))


def test_bias_is_seen_in_labels_and_in_a_model() -> None:
    train, test = unfair(1500, 0), unfair(600, 1)
    encoding = TableEncoding.fit(train, target="hired")
    found = fairness(train, test, encoding, "sex", "yes")
    share = train.hired.eq("yes").groupby(train.sex).mean()
    assert found["label_parity"] == pytest.approx(share["m"] - share["f"])
    assert found["parity"] > 0.5 and found["accuracy"] > 0.85
    fair = fairness(unfair(1500, 2, 0.0), test, encoding, "sex", "yes")
    assert fair["label_parity"] < 0.06 and fair["parity"] < 0.1 < fair["test_parity"] and fair["opportunity"] < 0.1


def test_gaps_by_hand() -> None:
    groups = np.repeat([0, 1, 2, -1], [20, 20, 3, 50])
    yes = np.concatenate([np.arange(20) < 15, np.arange(20) < 5, np.ones(3), np.ones(50)]).astype(bool)
    assert gap(yes, groups) == pytest.approx(0.5)  # the third group is too small, and -1 is none
    assert gap(yes[:20], groups[:20]) == 0
    assert gap(yes[:0], groups[:0]) == 0


def test_what_cannot_be_asked() -> None:
    train, test = unfair(200, 0), unfair(100, 1)
    encoding = TableEncoding.fit(train, target="hired")
    with pytest.raises(BadOption, match="column 'hired' has no such category; it has no, yes"):
        fairness(train, test, encoding, "sex", "perhaps")
    with pytest.raises(BadOption, match="--fair age: groups are categories, but this column is integer"):
        fairness(train, test, encoding, "age", "yes")
    with pytest.raises(BadOption, match="this column is the target itself"):
        fairness(train, test, encoding, "hired", "yes")
    with pytest.raises(BadOption, match="the target 'skill' holds numbers"):
        fairness(train, test, TableEncoding.fit(train, target="skill"), "sex", "yes")
    with pytest.raises(BadOption, match="fairness is that of a label"):
        fairness(train, test, TableEncoding.fit(train), "sex", "yes")
    with pytest.raises(BadOption, match="column 'hired' has no category 'perhaps'"):
        fairness(train, test, TableEncoding.fit(train), "sex", "hired=perhaps")


def test_other_labels_than_the_target() -> None:
    train, test = unfair(800, 0), unfair(400, 1)
    train["level"], test["level"] = (np.clip(frame.skill.round() + 3, 1, 5).astype(int) for frame in (train, test))
    hired, plain = TableEncoding.fit(train, target="hired"), TableEncoding.fit(train)
    expected = fairness(train, test, hired, "sex", "yes")
    for encoding in (hired, plain):
        assert fairness(train, test, encoding, "sex", "hired=yes") == expected
    several = fairness(train, test, hired, "sex", "level>=3")
    share = train.level.ge(3).groupby(train.sex).mean()
    assert several["label_parity"] == pytest.approx(abs(share["m"] - share["f"]))
    scores = evaluate_tables(train, test, train, plain, protected="sex", favourable="hired=yes", baselines={})
    assert scores.values["parity"] == pytest.approx(expected["parity"])
    assert scores.protocol["fairness"] == {"label": "hired", "favourable": "yes", "protected": "sex"}
