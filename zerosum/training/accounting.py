"""How much privacy noisy releases cost, by the accountants of Opacus, and how much noise a budget asks for.

What is counted are sums over rows, each row's part of norm 1 at most, with normal noise added (the Gaussian
mechanism), of rows drawn independently of each other (Abadi et al. 2016, arXiv:1607.00133, section 3.1). Tables are
neighbours where one has a row more than the other; the number of rows is public.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from zerosum.core.errors import BadOption
from zerosum.core.extras import require
from zerosum.core.settings import Auto

Accountant = Literal["rdp", "prv"]
TOLERANCE = 1e-3
"""How closely `noise_for` finds the noise, as a part of it."""
MOST_NOISE = 1e5


@dataclass(frozen=True)
class Release:
    """Equal releases of noisy sums, one after the other."""

    noise: float
    """Standard deviation of the noise, as a multiple of the largest norm that a row's part can have."""
    rate: float
    """The probability with which each row is drawn, independently; 1: all rows."""
    steps: int
    """How many."""

    def __post_init__(self) -> None:
        if not (self.noise > 0.0 and 0.0 < self.rate <= 1.0 and self.steps >= 0):
            raise BadOption(
                f"noise {self.noise:g}, rate {self.rate:g} and {self.steps} steps: noise must be more than 0, the rate "
                "in (0, 1], and steps 0 or more."
            )


def usual_delta(n: int) -> float:
    """1 / (n sqrt(n)), for n rows: well below 1 / n, with which a row could be published as it is."""
    return 1.0 / (max(n, 2) ** 1.5)


def epsilon_of(releases: Sequence[Release], delta: float, accountant: Accountant = "rdp") -> float:
    """The epsilon, for this delta, of all releases together.

    Args:
        releases: in any order.
        delta: in (0, 1).
        accountant: "rdp": moments, as Renyi divergences (Mironov 2017, arXiv:1702.07476); "prv": the distribution of
            the privacy loss (Gopi et al. 2021, arXiv:2106.02848), which is tighter and slower.

    Raises:
        BadOption: delta is not in (0, 1).
        MissingExtra: Opacus is not installed.
    """
    if not 0.0 < delta < 1.0:
        raise BadOption(f"delta is {delta}; it must be between 0 and 1, and far below 1 / rows.")
    history = [(own.noise, own.rate, own.steps) for own in releases if own.steps]
    if not history:
        return 0.0
    made = require("opacus.accountants", "privacy").create_accountant(accountant)
    made.history = history
    with warnings.catch_warnings():
        # Where none of its orders fits well, what the library gives is larger than need be, never smaller; and where
        # all rows are drawn, logarithms of 0 are masked afterwards.
        warnings.simplefilter("ignore")
        return float(made.get_epsilon(delta=delta))


def noise_for(
    epsilon: float, delta: float, rate: float, steps: int, accountant: Accountant = "rdp",
    before: Sequence[Release] = (),
) -> float:  # fmt: skip
    """The least noise with which `steps` releases cost no more than epsilon, together with those made before.

    Raises:
        BadOption: no noise is enough.
    """

    def cost(noise: float) -> float:
        return epsilon_of([*before, Release(noise, rate, steps)], delta, accountant)

    high = 1.0
    while cost(high) > epsilon:
        high *= 2.0
        if high > MOST_NOISE:
            raise BadOption(_unreachable(epsilon, delta, accountant))
    low = 0.0 if high == 1.0 else high / 2.0
    while high - low > TOLERANCE * high:
        middle = (low + high) / 2.0
        low, high = (low, middle) if cost(middle) <= epsilon else (middle, high)
    return high


def steps_within(
    epsilon: float, delta: float, noise: float, rate: float, most: int, accountant: Accountant = "rdp",
    before: Sequence[Release] = (),
) -> int:  # fmt: skip
    """How many releases of this noise cost no more than epsilon, together with those made before: `most` at most."""

    def fits(steps: int) -> bool:
        return epsilon_of([*before, Release(noise, rate, steps)], delta, accountant) <= epsilon

    if fits(most):
        return most
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


@dataclass(frozen=True)
class Plan:
    """How a training spends its budget."""

    rows: int
    """Training rows."""
    delta: float
    rate: float
    """The probability with which a row is in a batch."""
    noise: float
    """Of each step, as a multiple of the norm that gradients are clipped to."""
    steps: int
    """Private steps that are made at most."""
    before: tuple[Release, ...] = ()
    """What is released before the first step."""
    accountant: Accountant = "rdp"

    def epsilon(self, steps: int) -> float:
        """The epsilon of so many steps and of what came before."""
        return epsilon_of([*self.before, Release(self.noise, self.rate, steps)], self.delta, self.accountant)

    def worth_telling(self, steps: int) -> bool:
        """Whether epsilon is to be logged after this step: 20 times in all, as counting takes its time."""
        return steps % max(self.steps // 20, 1) == 0 or steps >= self.steps

    def facts(self, steps: int) -> dict[str, Any]:
        """What was spent by so many steps, for the facts of a generator."""
        return {
            "epsilon": self.epsilon(steps), "delta": self.delta, "accountant": self.accountant, "rows": self.rows,
            "steps": steps, "noise": self.noise, "rate": self.rate,
            "noise of frequencies": self.before[0].noise if self.before else None,
            "neighbours": "one training row more or less; the number of rows and the encoding are public",
        }  # fmt: skip


def planned(
    epsilon: float, rows: int, batch_size: int, steps: int, *, delta: float | Auto = "auto",
    noise: float | Auto = "auto", share: float = 0.0, accountant: Accountant = "rdp",
) -> Plan:  # fmt: skip
    """The plan of a training.

    Args:
        epsilon: the budget.
        rows: training rows.
        batch_size: rows in a batch, on average.
        steps: private steps that are wanted.
        delta: auto: `usual_delta`.
        noise: auto: the least with which all steps that are wanted fit into the budget. Else fewer steps may.
        share: of the budget, for frequencies that are released first; 0: there are none. Of 1 / noise^2, that is, which
            adds up over releases of all rows: 1 / share of such releases cost epsilon.
        accountant: as in `epsilon_of`.

    Raises:
        BadOption: the budget does not pay for a single step.
    """
    known = usual_delta(rows) if delta == "auto" else delta
    rate = min(batch_size / rows, 1.0)
    before: tuple[Release, ...] = ()
    if share:
        before = (Release(noise_for(epsilon, known, 1.0, 1, accountant) / share**0.5, 1.0, 1),)
    if noise == "auto":
        least = noise_for(epsilon, known, rate, steps, accountant, before)
        return Plan(rows, known, rate, least, steps, before, accountant)
    possible = steps_within(epsilon, known, noise, rate, steps, accountant, before)
    if not possible:
        raise BadOption(
            f"epsilon {epsilon:g} does not pay for one step with noise {noise:g} and {rate:.1%} of the rows in a "
            "batch: ask for more noise, a larger epsilon or smaller batches."
        )
    return Plan(rows, known, rate, noise, possible, before, accountant)


def _unreachable(epsilon: float, delta: float, accountant: Accountant) -> str:
    hint = " The accountant prv reaches lower ones." if accountant == "rdp" else ""
    return (
        f"epsilon {epsilon:g} with delta {delta:.2g} is out of reach of the accountant {accountant}, whatever the "
        f"noise: ask for a larger epsilon.{hint}"
    )
