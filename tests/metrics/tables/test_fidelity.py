"""Shapes, pairs and rare categories, against figures of SDMetrics 0.32 and by their properties."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from tests.metrics.tables.made import customers, sheets, shuffled
from zerosum.metrics.tables.pairs import correlations, cramers_v, pair_trends
from zerosum.metrics.tables.rare import rare_categories
from zerosum.metrics.tables.shapes import column_shapes, ks_complement, total_variation

KINDS = {"x": "continuous", "y": "continuous", "c": "categorical", "b": "boolean", "t": "datetime"}
SHAPES = {
    "x": 0.773509501671968, "y": 0.8083333333333333, "c": 0.7719298245614035, "b": 0.9583333333333334,
    "t": 0.7283333333333333,
}  # fmt: skip
"""KSComplement and TVComplement of SDMetrics 0.32 on the two tables of `mixed`."""
PAIRS = {
    "x y": 0.9642448350636194, "x c": 0.7266666666666667, "x b": 0.745, "x t": 0.9748274413094888,
    "y c": 0.6816666666666666, "y b": 0.7816666666666667, "y t": 0.9804264057661961, "c b": 0.7683333333333333,
    "c t": 0.6166666666666667, "b t": 0.7016666666666667,
}  # fmt: skip
"""CorrelationSimilarity and ContingencySimilarity (10 bins) of the same."""


def mixed(n: int, shift: float, draw: np.random.Generator) -> pd.DataFrame:
    """Numbers, categories, booleans and dates, some of them missing."""
    x = draw.normal(size=n) + shift
    y = 0.6 * x + draw.normal(size=n)
    c = np.array(list("abcd"))[np.clip((x + draw.normal(size=n)).astype(int) + 1, 0, 3)]
    b = draw.random(n) < 0.3 + 0.1 * shift
    t = pd.Timestamp("2024-01-01") + pd.to_timedelta((draw.random(n) * 400 * (1 + shift)).astype(int), "D")
    frame = pd.DataFrame({"x": np.round(x, 3), "y": np.round(y * 1000), "c": c, "b": b, "t": t})
    frame.loc[draw.random(n) < 0.1, "x"] = np.nan
    frame.loc[draw.random(n) < 0.05 + 0.1 * shift, "c"] = None
    return frame


@pytest.fixture(scope="module")
def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    draw = np.random.default_rng(7)
    return mixed(300, 0.0, draw), mixed(200, 0.4, draw)


def test_column_shapes_are_those_of_sdmetrics(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    real, made = sheets(*frames, kinds=KINDS)
    scores = [shape.score for shape in column_shapes(real, made)]
    assert scores == pytest.approx(list(SHAPES.values()), abs=1e-12)


def test_pair_trends_are_those_of_sdmetrics(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trends = pair_trends(*sheets(*frames, kinds=KINDS))
    found = [trends.similarity[i, j] for i, j in combinations(range(5), 2)]
    assert found == pytest.approx(list(PAIRS.values()), abs=1e-12)
    assert trends.mean == pytest.approx(np.mean(list(PAIRS.values())))


def test_a_table_agrees_with_itself(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    real, again = sheets(frames[0], frames[0], kinds=KINDS)
    assert all(shape.score == shape.missing == 1 and not shape.variation for shape in column_shapes(real, again))
    assert pair_trends(real, again).mean == pytest.approx(1)


def test_shuffled_columns_agree_one_by_one_but_not_in_pairs() -> None:
    frame = customers(2000)
    real, made = sheets(frame, shuffled(frame))
    assert all(shape.score == 1 for shape in column_shapes(real, made))
    assert pair_trends(real, made).mean < 0.93


def test_shares_of_missing_cells() -> None:
    real = pd.DataFrame({"x": [1.5, np.nan, 2.5, 3.5] * 25, "c": ["a", None] * 50})
    made = pd.DataFrame({"x": [np.nan] * 100, "c": ["a"] * 100})
    x, c = column_shapes(*sheets(real, made, kinds={"x": "continuous"}))
    assert (x.score, x.missing, x.variation) == (0, pytest.approx(0.25), None)
    assert (c.score, c.missing, c.variation) == (1, pytest.approx(0.5), pytest.approx(0.5))


def test_known_distances() -> None:
    assert ks_complement(np.array([0.0, 1, 2, 3]), np.array([0.0, 1, 2, 30])) == pytest.approx(0.75)
    assert ks_complement(np.zeros(5), np.ones(3)) == 0
    assert total_variation(np.array([0, 0, 1, -1]), np.array([0, 1, 1, 1]), 2) == pytest.approx(0.5)


def test_correlations_leave_missing_cells_out_pair_by_pair() -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(500, 3)) @ draw.normal(size=(3, 3)) * [1, 1e9, 1e-9] + [0, 1e10, 5]
    values[draw.random(values.shape) < 0.2] = np.nan
    assert np.allclose(correlations(values), pd.DataFrame(values).corr(), atol=1e-9)
    constant = np.stack([np.ones(50), np.arange(50.0), np.full(50, np.nan)], axis=1)
    assert np.array_equal(correlations(constant), np.eye(3))


def test_a_constant_in_the_place_of_a_correlated_column_is_not_left_out() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=300)
    real, made = sheets(*(pd.DataFrame({"x": x, "y": y}) for y in (2 * x, np.ones(300))))
    assert pair_trends(real, made).similarity[0, 1] == pytest.approx(0.5)


def test_association_of_categories() -> None:
    codes = np.stack(np.divmod(np.arange(4), 2))
    assert cramers_v(np.array([500, 0, 0, 500]), codes) == pytest.approx(1, abs=1e-3)
    assert cramers_v(np.array([250, 250, 250, 250]), codes) == 0
    assert cramers_v(np.array([500, 500, 0, 0]), codes) == 0


def test_tables_of_counts_too_large_to_hold_are_counted_by_what_occurs(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = customers(400)
    real, made = sheets(frame, shuffled(frame))
    before = pair_trends(real, made)
    monkeypatch.setattr("zerosum.metrics.tables.pairs.DENSE", 0)
    assert np.array_equal(before.similarity, pair_trends(real, made).similarity)


def test_rare_categories() -> None:
    real = pd.DataFrame({"c": ["a"] * 990 + ["b"] * 8 + ["d"] * 2, "x": np.arange(1000) / 7})
    made = pd.DataFrame({"c": ["a"] * 496 + ["b"] * 4, "x": np.arange(500) / 7})
    rare = rare_categories(*sheets(real, made))
    assert (rare.categories, rare.vanished, rare.error) == (2, 1, pytest.approx(0.5))
    assert rare.by_column == {"c": (2, 1)}
    none = rare_categories(*sheets(customers(100), customers(100, 1)))
    assert (none.categories, none.vanished, none.error) == (0, 0, 0)
