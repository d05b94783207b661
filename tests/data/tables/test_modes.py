"""Mode-specific normalisation: the modes that are found, the places of values in them, and the way back."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from zerosum.core.errors import BadOption
from zerosum.data.tables.mixtures import POINTS, reduce
from zerosum.data.tables.modes import Modes, draw_mode, fit_modes

DRAW = np.random.default_rng(0)


def fitted(values: np.ndarray, **options: object) -> Modes:
    (modes,) = fit_modes([values], [(float(values.min()), float(values.max()))], **options)  # type: ignore[arg-type]
    return modes


def there_and_back(modes: Modes, values: np.ndarray) -> np.ndarray:
    places, chosen = modes.split(values, np.random.default_rng(1).random(len(values)))
    assert places.dtype == np.float32 and np.abs(places).max() <= 1 and chosen.max() < len(modes)
    return modes.join(places, chosen)


SHAPES = {
    "normal": (DRAW.normal(3, 2, 5000), 1),
    "two far apart": (np.concatenate([DRAW.normal(-50, 1, 4000), DRAW.normal(50, 5, 1000)]), 2),
    "three": (np.concatenate([DRAW.normal(m, 0.1, 1000) for m in (0, 1, 5)]), 3),
}


@pytest.mark.parametrize("name", SHAPES)
def test_as_many_gaussians_as_there_are(name: str) -> None:
    values, count = SHAPES[name]
    modes = fitted(values)
    heavy = [weight for weight in modes.weights if weight > 0.002]
    assert len(heavy) == count and modes.transform == "linear" and not modes.spikes
    means = modes.backward(np.array(modes.means))[np.array(modes.weights) > 0.002]
    peer = GaussianMixture(count, random_state=0).fit(values[:, None])
    assert np.allclose(np.sort(means), np.sort(peer.means_.ravel()), atol=0.05 * values.std())


def test_places_are_those_of_the_paper() -> None:
    modes = Modes(-100.0, 100.0, means=(0.0, 0.5), sds=(0.1, 0.05), weights=(0.5, 0.5))
    values = np.array([0.0, 20.0, 50.0, 65.0])
    places, chosen = modes.split(values, np.full(4, 0.5))
    assert chosen.tolist() == [0, 0, 1, 1]
    assert np.allclose(places, [0, 0.2 / (4 * 0.1), 0, 0.15 / (4 * 0.05)])  # (x - mean) / (4 sd)


def test_the_mode_is_drawn_from_the_posterior() -> None:
    means, sds, weights = np.array([-0.2, 0.3]), np.array([0.2, 0.3]), np.array([0.3, 0.7])
    y = 0.05
    density = weights / sds * np.exp(-((y - means) ** 2) / (2 * sds**2))
    u = (np.arange(10_000) + 0.5) / 10_000
    drawn = draw_mode(np.full(10_000, y), means, sds, weights, u)
    assert abs((drawn == 0).mean() - density[0] / density.sum()) < 1e-3


def test_only_modes_that_reach_a_value_are_drawn() -> None:
    means, sds, weights = np.array([0.0, 0.9]), np.array([0.01, 0.02]), np.array([1 - 1e-12, 1e-12])
    y = np.array([0.85, 0.5, 0.0])
    assert draw_mode(y, means, sds, weights, np.zeros(3)).tolist() == [1, 1, 0]  # 0.5: none does, the nearest in sds


def test_a_spike_and_a_continuum() -> None:
    values = np.concatenate([np.zeros(600), DRAW.gamma(2, 50, 400) + 1])
    modes = fitted(values)
    assert modes.spikes == (0.0,)
    places, chosen = modes.split(values, DRAW.random(1000))
    assert (chosen[:600] == len(modes) - 1).all() and not places[:600].any()
    assert (chosen[600:] < len(modes) - 1).all()
    assert (modes.join(places, chosen)[:600] == 0).all()


@pytest.mark.parametrize(
    ("values", "transform"),
    [
        (DRAW.lognormal(0, 2, 4000), "log"),
        (DRAW.standard_cauchy(4000), "asinh"),
        (DRAW.exponential(1, 4000), "linear"),
        (-DRAW.lognormal(0, 2, 4000), "asinh"),
    ],
)
def test_long_tails(values: np.ndarray, transform: str) -> None:
    modes = fitted(values)
    assert modes.transform == transform
    back = there_and_back(modes, values)
    scale = np.maximum(np.abs(values), 1.0)
    assert (np.abs(back - values) / scale).max() < 1e-5
    assert np.allclose(np.sort(back)[[0, -1]], np.sort(values)[[0, -1]], rtol=1e-6)  # nothing is cut off


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e300, 1e300, allow_subnormal=False), min_size=1, max_size=60))
def test_any_numbers_come_back(numbers: list[float]) -> None:
    values = np.array(numbers)
    back = there_and_back(fitted(values), values)
    assert (np.abs(back / 2 - values / 2) <= 1e-6 * (values.max() / 2 - values.min() / 2)).all()


@pytest.mark.parametrize("scaling", ["range", "quantile"])
def test_other_scalings(scaling: str) -> None:
    values = DRAW.gamma(2, 3, 2000)
    modes = fitted(values, scaling=scaling)
    assert len(modes) == 1
    places, _ = modes.split(values, np.zeros(2000))
    if scaling == "range":
        assert np.allclose(places, 2 * (values - values.min()) / np.ptp(values) - 1, atol=1e-6)
    else:
        assert abs(np.histogram(places, 4, (-1, 1))[0] - 500).max() < 5
    assert np.allclose(modes.join(places, np.zeros(2000, int)), values, atol=1e-4)


def test_values_beyond_the_range_go_to_its_ends_and_clipping_can_be_left_out() -> None:
    modes = fitted(DRAW.normal(0, 1, 1000))
    assert there_and_back(modes, np.array([-1e9, 1e9])).tolist() == pytest.approx([modes.low, modes.high])
    edge = modes.join(np.ones(1), np.array([len(modes) - 1]))
    assert edge <= modes.high
    wide = Modes(0.0, 1.0, means=(0.0,), sds=(0.5,), weights=(1.0,))
    assert wide.join(np.ones(1), np.zeros(1, int)) == 1.0
    assert wide.join(np.ones(1), np.zeros(1, int), clip=False) == 1.5


def test_modes_of_one_column_do_not_depend_on_the_others() -> None:
    one, other = DRAW.normal(size=500), DRAW.lognormal(size=3000)
    together = fit_modes([one, other], [(one.min(), one.max()), (other.min(), other.max())])
    assert together == [fitted(one), fitted(other)]


def test_at_most_as_many_as_asked_for() -> None:
    values = np.concatenate([DRAW.normal(m, 0.1, 300) for m in range(12)])
    assert sum(weight > 0.002 for weight in fitted(values, most=3).weights) <= 3
    with pytest.raises(BadOption, match="0 modes were asked for"):
        fitted(values, most=0)


def test_points_keep_what_matters() -> None:
    y = np.sort(DRAW.normal(size=20_000))
    means, counts, variances = reduce(y)
    assert len(means) == POINTS and counts.sum() == 20_000 and (counts > 0).sum() > 0.6 * POINTS
    assert np.isclose((counts * means).sum() / 20_000, y.mean())
    assert np.isclose((counts * (means**2 + variances)).sum() / 20_000, (y**2).mean())
    means, counts, variances = reduce(np.repeat([0.0, 0.5, 1.0], [5, 1, 2]))
    assert (
        means[:3].tolist() == [0.0, 0.5, 1.0]
        and counts[:4].tolist() == [5, 1, 2, 0]
        and np.allclose(variances[:4], [0.25 / 12, 0.25 / 12, 0.25 / 12, 0])
    )


def test_fitting_is_fast() -> None:
    columns = [DRAW.normal(size=30_000) for _ in range(10)]
    start = time.process_time()
    fit_modes(columns, [(column.min(), column.max()) for column in columns])
    assert time.process_time() - start < 2
