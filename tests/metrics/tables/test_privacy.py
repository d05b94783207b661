"""Distances, copies, membership inference and what it proves, on generators that leak and on such that do not."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tests.metrics.tables.made import customers, sheets, shuffled
from zerosum.core.errors import BadData, BadOption
from zerosum.metrics.tables import distances
from zerosum.metrics.tables.audit import attack, epsilon_lower_bound
from zerosum.metrics.tables.distances import Space, mutual_nearest
from zerosum.metrics.tables.privacy import closest_records, distinct_rows, exact_copies


def test_distances_of_mixed_rows() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 1000.0], "c": ["a", "b", "a", "a"], "o": ["lo", "mid", "hi", "lo"]})
    frame["o"] = pd.Categorical(frame.o, ["lo", "mid", "hi"], ordered=True)
    other = frame.iloc[[0, 2]].assign(x=[np.nan, 2.5], c=["a", None])
    real, made = sheets(pd.concat([frame] * 10), other, kinds={"x": "continuous"})
    space = Space.of(real)
    points = space.points(real.rows(np.arange(4)))
    assert points.ranks[0].tolist() == pytest.approx([0.125, 0.375, 0.625, 0.875], abs=0.02)
    nearest, _ = mutual_nearest(space.points(made), points)
    # A missing number is 1 from any; between two numbers, half a step from either; a missing category is 1 from any.
    assert nearest.tolist() == pytest.approx([1 / 3, (0.125 + 1) / 3], abs=0.02)


def test_distances_in_pieces_are_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = sheets(customers(300), customers(200, 1))
    space = Space.of(real)
    whole = mutual_nearest(space.points(made), space.points(real))
    monkeypatch.setattr(distances, "CHUNK", 1000)
    pieces = mutual_nearest(space.points(made), space.points(real))
    assert all(np.array_equal(a, b) for a, b in zip(whole, pieces))
    a, b = space.points(made), space.points(real)
    every = np.minimum(np.abs(a.ranks[:, :, None] - b.ranks[:, None]), 1).sum(0)
    every += (a.codes[:, :, None] != b.codes[:, None]).sum(0)
    assert np.allclose(whole[0], every.min(1) / 5) and np.allclose(whole[1], every.min(0) / 5)


def test_copies_are_found_and_fresh_rows_pass() -> None:
    frame, test = customers(1200), customers(400, 1)
    train, held, copies, fresh, mixed = sheets(frame, test, frame, customers(1200, 2), shuffled(frame))
    found = closest_records(train, held, copies)
    assert found.attack.auc > 0.99 and found.attack.tpr > 0.95 and found.attack.epsilon > 2
    assert found.nearer_train > 0.6 and np.quantile(found.train, 0.2) < np.quantile(found.test, 0.2)
    for harmless in (fresh, mixed):
        own = closest_records(train, held, harmless)
        assert own.nearer_train == pytest.approx(0.5, abs=0.07) and own.attack.epsilon == 0
        assert own.attack.auc == pytest.approx(0.5, abs=0.06)
    assert found.n == 400 and found.synthetic == 1200


def test_no_row_is_compared_that_is_on_both_sides() -> None:
    frame = customers(300)
    train, held = sheets(frame, frame[:100])
    assert [len(side) for side in distinct_rows(train, held, 0)] == [0, 0]
    repeated = pd.concat([frame, frame[:50]])
    train, held = sheets(repeated, pd.concat([customers(80, 1), frame[:20]]))
    assert [len(side) for side in distinct_rows(train, held, 0)] == [80, 80]


def test_exact_copies_are_counted_beside_those_of_chance() -> None:
    frame, test = customers(400), customers(100, 1)
    made = pd.concat([frame[:30], customers(70, 2)])
    copies = exact_copies(*sheets(frame, test, made))
    assert (copies.count, copies.expected, copies.held_out, copies.synthetic) == (30, 0, 0, 100)


def test_few_possible_rows_are_copied_by_chance() -> None:
    draw = np.random.default_rng(0)
    every = pd.DataFrame(draw.integers(0, 6, (40_000, 4)), columns=list("abcd")).astype(str)
    side = pd.util.hash_pandas_object(every, index=False) % 5 == 0  # by content, as zerosum splits
    made = pd.DataFrame(draw.integers(0, 6, (4000, 4)), columns=list("abcd")).astype(str)
    copies = exact_copies(*sheets(every[~side], every[side], made))
    assert copies.count > 2500 and copies.expected == pytest.approx(copies.count, rel=0.15)
    at_random = exact_copies(*sheets(every[:30_000], every[30_000:], made))
    assert at_random.held_out > 0 and at_random.expected == pytest.approx(at_random.count, rel=0.05)


def test_floats_are_copies_although_encoding_keeps_seven_digits() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=500), "y": draw.normal(size=500)})
    test = pd.DataFrame({"x": draw.normal(size=100), "y": draw.normal(size=100)})
    copies = exact_copies(*sheets(frame, test, frame.astype(np.float32).astype(np.float64)))
    assert copies.count > 480


def response(epsilon: float, n: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Answers of randomised response (Warner 1965) of n members and n others: exactly epsilon-private."""
    honest = math.exp(epsilon) / (1 + math.exp(epsilon))
    return (draw.random(n) < honest).astype(float), (draw.random(n) >= honest).astype(float)


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_the_bound_of_epsilon_stays_below_the_true_one(epsilon: float) -> None:
    draw = np.random.default_rng(1)
    bounds = np.array([epsilon_lower_bound(*response(epsilon, 2000, draw), seed=i) for i in range(200)])
    assert (bounds > epsilon).mean() <= 0.09  # 5 % are allowed; more than 9 % of 200 happen once in a hundred times
    assert np.median(bounds) > 0.55 * epsilon


def test_many_thresholds_win_nothing() -> None:
    draw = np.random.default_rng(0)
    bounds = [epsilon_lower_bound(draw.normal(size=300), draw.normal(size=300), seed=i) for i in range(200)]
    assert np.mean(np.array(bounds) > 0) <= 0.09


def test_a_mechanism_that_fails_with_delta() -> None:
    draw = np.random.default_rng(0)
    members, others = np.where(draw.random(4000) < 0.1, 9.0, draw.random(4000)), draw.random(4000)
    assert epsilon_lower_bound(members, others) > 2
    assert epsilon_lower_bound(members, others, delta=0.15) == 0


def test_bounds_know_both_sides() -> None:
    draw = np.random.default_rng(0)
    members, others = draw.random(4000), np.where(draw.random(4000) < 0.3, -1.0, draw.random(4000))
    assert epsilon_lower_bound(members, others) > 2  # who scores low was surely no member
    assert epsilon_lower_bound(members[:1], others) == 0
    with pytest.raises(BadOption, match=r"delta is 1.0 and confidence 0.95; they must be in \[0, 1\) and \(0, 1\)"):
        epsilon_lower_bound(members, others, delta=1.0)


def test_an_attack_counts_ties_as_others() -> None:
    found = attack(np.zeros(200), np.zeros(200))
    assert (found.auc, found.tpr, found.epsilon) == (0.5, 0, 0)
    perfect = attack(np.ones(200), np.zeros(200))
    assert (perfect.auc, perfect.tpr) == (1, 1)
    with pytest.raises(BadData, match="0 members and 3 others: an attack needs some of either"):
        attack(np.zeros(0), np.zeros(3))
