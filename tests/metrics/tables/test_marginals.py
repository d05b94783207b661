"""Noisy marginals: what they keep, what they spend."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from zerosum.core.errors import BadOption
from zerosum.data.tables.encoding import TableEncoding
from zerosum.metrics.tables.marginals import NoisyMarginals, drawn
from zerosum.training.accounting import Release, epsilon_of

pytest.importorskip("opacus")


def table(n: int = 4000) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    group = draw.integers(0, 2, n)
    return pd.DataFrame({
        "x": np.where(group == 1, draw.normal(5.0, 1.0, n), draw.normal(0.0, 1.0, n)),
        "colour": np.array(["red", "green", "blue"])[np.where(draw.random(n) < 0.8, group, 2)],
        "seen": np.where(draw.random(n) < 0.3, np.nan, draw.random(n)),
        "label": np.array(["no", "yes"])[group],
    })  # fmt: skip


def fitted(epsilon: float, around: str | None) -> tuple[NoisyMarginals, pd.DataFrame]:
    frame = table()
    made = NoisyMarginals(epsilon, around, accountant="rdp" if epsilon > 1 else "prv").fit(
        frame, TableEncoding.fit(frame)
    )
    return made, frame


def test_spends_what_it_was_given() -> None:
    made, frame = fitted(2.0, "label")
    spent = epsilon_of([Release(made.noise, 1.0, 1)], len(frame) ** -1.5)
    assert 1.98 < spent <= 2.0


@pytest.mark.parametrize("around", [None, "label"])
def test_columns_are_as_in_the_data(around: str | None) -> None:
    made, frame = fitted(1000.0, around)
    rows = made.sample(4000, seed=1)
    assert list(rows.columns) == list(frame.columns) and (rows.dtypes == frame.dtypes).all()
    for name in ("colour", "label"):
        shares = [own[name].value_counts(normalize=True).sort_index() for own in (rows, frame)]
        assert np.allclose(*shares, atol=0.03)
    assert rows["seen"].isna().mean() == pytest.approx(0.3, abs=0.03)
    assert rows["x"].mean() == pytest.approx(frame["x"].mean(), abs=0.15)
    assert rows["x"].std() == pytest.approx(frame["x"].std(), rel=0.05)


def test_pairs_with_the_column_in_the_middle_are_kept_and_others_are_not_without() -> None:
    for around, kept in (("label", True), (None, False)):
        rows = fitted(1000.0, around)[0].sample(4000, seed=1)
        gap = rows["x"][rows["label"] == "yes"].mean() - rows["x"][rows["label"] == "no"].mean()
        assert gap == pytest.approx(5.0 if kept else 0.0, abs=0.3)


def test_less_epsilon_is_more_noise() -> None:
    errors = []
    for epsilon in (0.05, 5.0):
        made, frame = fitted(epsilon, "label")
        rows = made.sample(4000, seed=1)
        shares = [own["colour"].value_counts(normalize=True).reindex(["red", "green", "blue"]) for own in (rows, frame)]
        errors.append(float((shares[0].fillna(0) - shares[1]).abs().sum()))
    assert errors[0] > 2 * errors[1]


def test_the_same_rows_for_the_same_seed() -> None:
    made, _ = fitted(1.0, "label")
    assert made.sample(50, seed=3).equals(made.sample(50, seed=3))
    assert not made.sample(50, seed=3).equals(made.sample(50, seed=4))


def test_drawn_by_the_counts_of_the_group() -> None:
    group = np.repeat([0, 1, 2], 3000)
    states = drawn(np.array([[1.0, 0.0, 3.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]), group, np.random.default_rng(0))
    counts = np.stack([np.bincount(states[group == own], minlength=3) for own in range(3)])
    assert counts[0, 1] == 0 and counts[0, 2] == pytest.approx(2250, abs=120)
    assert counts[1].tolist() == [0, 3000, 0]
    assert np.allclose(counts[2], 1000, atol=120)


def test_errors_name_what_is_wrong() -> None:
    frame = table(50)
    with pytest.raises(BadOption, match=r"no column 'income' is learned; there are 'x', 'colour'"):
        NoisyMarginals(1.0, "income").fit(frame, TableEncoding.fit(frame))
    with pytest.raises(BadOption, match="0 rows were asked for"):
        NoisyMarginals(1.0).fit(frame, TableEncoding.fit(frame)).sample(0)
