"""What noisy releases cost, against the library that counts it."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from zerosum.core.errors import BadOption, MissingExtra
from zerosum.training.accounting import Plan, Release, epsilon_of, noise_for, planned, steps_within, usual_delta

accountants: Any = pytest.importorskip("opacus.accountants")
utils: Any = pytest.importorskip("opacus.accountants.utils")
pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:RuntimeWarning")  # the library's own
SETTINGS = [  # noise, rate, steps, delta
    (1.0, 500 / 29305, 1172, 2e-7),
    (1.3, 500 / 29305, 3000, 2e-7),
    (4.0, 0.1, 400, 1e-5),
    (0.8, 0.004, 2500, 1e-6),
    (2.0, 0.02, 1, 1e-5),
    (20.0, 1.0, 10, 1e-6),
]


@pytest.mark.parametrize("kind", ["rdp", "prv"])
@pytest.mark.parametrize(("noise", "rate", "steps", "delta"), SETTINGS)
def test_epsilon_is_the_librarys_own(noise: float, rate: float, steps: int, delta: float, kind: Any) -> None:
    library = {"rdp": accountants.RDPAccountant, "prv": accountants.PRVAccountant}[kind]()
    for _ in range(steps):
        library.step(noise_multiplier=noise, sample_rate=rate)
    expected = library.get_epsilon(delta=delta)
    assert epsilon_of([Release(noise, rate, steps)], delta, kind) == expected
    assert expected > 0


def test_different_releases_add_up_as_in_the_library() -> None:
    library = accountants.RDPAccountant()
    library.step(noise_multiplier=6.0, sample_rate=1.0)
    for _ in range(50):
        library.step(noise_multiplier=1.1, sample_rate=0.02)
    found = epsilon_of([Release(6.0, 1.0, 1), Release(1.1, 0.02, 50)], 1e-5)
    assert found == pytest.approx(library.get_epsilon(delta=1e-5), rel=1e-12)
    assert found > epsilon_of([Release(1.1, 0.02, 50)], 1e-5)


@pytest.mark.parametrize("epsilon", [1.0, 3.0, 10.0])
def test_noise_is_what_the_library_finds(epsilon: float) -> None:
    found = noise_for(epsilon, 1e-6, 0.02, 800)
    theirs = utils.get_noise_multiplier(
        target_epsilon=epsilon, target_delta=1e-6, sample_rate=0.02, steps=800, accountant="rdp", epsilon_tolerance=1e-3
    )
    assert found == pytest.approx(theirs, rel=0.01)
    spent = epsilon_of([Release(found, 0.02, 800)], 1e-6)
    assert 0.99 * epsilon < spent <= epsilon


def test_not_one_step_too_many() -> None:
    steps = steps_within(2.0, 1e-6, 1.0, 0.02, 10_000)
    assert 0 < steps < 10_000
    assert epsilon_of([Release(1.0, 0.02, steps)], 1e-6) <= 2.0 < epsilon_of([Release(1.0, 0.02, steps + 1)], 1e-6)
    assert steps_within(2.0, 1e-6, 1.0, 0.02, 7) == 7


def test_plans_stay_within_the_budget() -> None:
    for share in (0.0, 0.2):
        plan = planned(3.0, 10_000, 250, 600, share=share)
        assert plan.steps == 600 and plan.delta == usual_delta(10_000) == pytest.approx(1e-6)
        assert 2.95 < plan.epsilon(600) <= 3.0 < plan.epsilon(620)
        assert len(plan.before) == bool(share)
    assert epsilon_of(5 * plan.before, plan.delta) == pytest.approx(3.0, rel=0.01)
    given = planned(3.0, 10_000, 250, 600, noise=0.7, delta=1e-5)
    assert given.noise == 0.7 and given.steps < 600
    assert given.epsilon(given.steps) <= 3.0 < given.epsilon(given.steps + 1)
    assert planned(3.0, 100, 500, 5).rate == 1.0


def test_nothing_costs_nothing() -> None:
    assert epsilon_of([], 1e-5) == epsilon_of([Release(1.0, 0.1, 0)], 1e-5) == 0.0
    assert Plan(100, 1e-3, 0.1, 1.0, 10).epsilon(0) == 0.0


def test_told_twenty_times() -> None:
    plan = Plan(100, 1e-3, 0.1, 1.0, 1000)
    assert sum(plan.worth_telling(step) for step in range(1, 1001)) == 20


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: Release(0.0, 0.1, 1), "noise must be more than 0"),
        (lambda: Release(1.0, 1.5, 1), "the rate in"),
        (lambda: epsilon_of([Release(1.0, 0.1, 1)], 0.0), "delta is 0.0; it must be between 0 and 1"),
        (lambda: noise_for(0.01, 1e-9, 0.01, 10), "out of reach of the accountant rdp.*The accountant prv reaches"),
        (lambda: planned(0.5, 1000, 500, 10, noise=0.1), "does not pay for one step with noise 0.1 and 50.0%"),
    ],
)
def test_errors_say_what_to_do(made: Any, text: str) -> None:
    with pytest.raises(BadOption, match=text):
        made()


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'zerosum\[privacy\]'"):
        epsilon_of([Release(1.0, 0.1, 1)], 1e-5)
