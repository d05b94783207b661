"""Axes, ticks and thinning of the plots."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerosum.report.plot import BUCKETS, Axis, limits, plot, short, thin


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (50_000, "50k"), (1_200_000, "1.2M"), (0.05, "0.05"), (3e-5, "3e-05"), (-2e9, "-2B")]
)
def test_short(value: float, text: str) -> None:
    assert short(value) == text


def test_an_even_axis_maps_ends_to_ends() -> None:
    axis = Axis(0, 10, 222, 12)
    assert (axis(0), axis(5), axis(10)) == (222, 117, 12)
    assert axis.ticks() == [0, 2, 4, 6, 8, 10]


def test_a_logarithmic_axis_is_even_in_factors() -> None:
    axis = Axis(0.01, 100, 0, 400, log=True)
    assert [axis(value) for value in (0.01, 0.1, 1, 10, 100)] == [0, 100, 200, 300, 400]
    assert axis.ticks() == pytest.approx([0.01, 0.1, 1, 10, 100])


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_inside(low: float, width: float) -> None:
    axis = Axis(low, low + width, 0, 100)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 12
    assert all(-0.2 <= axis(tick) <= 100.2 for tick in ticks)


def test_thinning_keeps_means_and_ranges() -> None:
    points = [(float(i), float(i % 2)) for i in range(BUCKETS * 10)]
    thinned = thin(points)
    assert len(thinned) == BUCKETS
    assert thinned[0] == (4.5, 0.5, 0.0, 1.0)
    assert thin([(0.0, math.nan), (1.0, 2.0)]) == [(1.0, 2.0, 2.0, 2.0)]


def test_a_few_spikes_do_not_flatten_the_rest() -> None:
    _, high = limits([0.9 + 0.001 * i for i in range(99)] + [1e9], log=False)
    assert high < 2


def test_a_constant_curve_is_drawn_in_the_frame() -> None:
    low, high = limits([3.0, 3.0], log=False)
    assert low < 3 < high
    assert "NaN" not in plot("constant", {"constant": [(0.0, 3.0), (0.0, 3.0)]})
