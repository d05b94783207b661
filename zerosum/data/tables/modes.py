"""Mode-specific normalisation: a number becomes the mode it belongs to and its place within that mode.

Modeling Tabular Data using Conditional GAN (Xu et al. 2019), arXiv:1907.00503, section 4.2. The mixtures of all columns
are fitted together on quantiles of all values, which takes milliseconds a column. Two kinds of mode are added to the
paper's: a spike is one value that many rows have (such as 0), and tails hold what no Gaussian reaches, so that no value
that was seen when fitting is cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from zerosum.core.errors import BadOption
from zerosum.data.options import Scaling
from zerosum.data.tables.mixtures import fit_mixtures, reduce

KNOTS = 1001
SPIKE = 0.05
"""The share of rows from which a value is a mode of its own."""
MOST_SPIKES = 5
FEWEST = 20
"""Distinct values above which spikes are looked for."""
AT_ONCE = 64
"""Columns that are fitted together."""
HEAVY = 20.0
"""Ratio of the range of 99.8 % of the values to that of the middle half above which tails are compressed (a normal
distribution has 4.6, an exponential one 6.3)."""
GROWTH = 1.5
"""How much farther the outermost 0.9 % of the values must spread than the next 9 %, for a tail and not a second mode
(an exponential distribution has 1)."""
SHARES = (0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999)
REACH = 4.0
"""Standard deviations that [-1, 1] spans to either side (section 4.2)."""


@dataclass(frozen=True)
class Modes:
    """How the numbers of one column are normalised: f(x) is mapped onto [-1, 1] and cut into modes.

    The modes are numbered: Gaussians from left to right, tails among them, then spikes.
    """

    low: float
    high: float
    """The range of the values that were seen when fitting; others are moved to its ends."""
    transform: Literal["linear", "log", "asinh", "quantile"] = "linear"
    """f: x, log x, asinh((x - centre) / scale), or the rank."""
    centre: float = 0.0
    scale: float = 1.0
    knots: tuple[float, ...] = ()
    """Values at equally spaced ranks."""
    means: tuple[float, ...] = (0.0,)
    sds: tuple[float, ...] = (1 / REACH,)
    weights: tuple[float, ...] = (1.0,)
    spikes: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.means) + len(self.spikes)

    def split(self, values: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The place (n,) float32 in [-1, 1] within its mode, and the mode (n,) int64, of values (n,).

        The mode is drawn from its posterior by the uniform numbers `u` (n,), among those that reach the value.
        """
        places, modes = np.empty(len(values), np.float32), np.empty(len(values), np.int64)
        for start in range(0, len(values), 65_536):
            piece = slice(start, start + 65_536)
            places[piece], modes[piece] = self._split(np.clip(values[piece], self.low, self.high), u[piece])
        return places, modes

    def _split(self, values: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means, sds = np.array(self.means), np.array(self.sds)
        y = self.forward(values)
        modes = draw_mode(y, means, sds, np.array(self.weights), u)
        places = np.clip((y - means[modes]) / (REACH * sds[modes]), -1.0, 1.0)
        for index, spike in enumerate(self.spikes):
            there = values == spike
            modes[there], places[there] = len(self.means) + index, 0.0
        return places.astype(np.float32), modes

    def join(self, places: np.ndarray, modes: np.ndarray, clip: bool = True) -> np.ndarray:
        """Values (n,) float64 of places (n,) in modes (n,); within the range of fitting, unless `clip` is off."""
        count = len(self.means)
        gaussian = np.minimum(modes, count - 1)
        values = self.backward(
            places.astype(np.float64) * (REACH * np.array(self.sds))[gaussian] + np.array(self.means)[gaussian]
        )
        values = np.clip(values, self.low, self.high) if clip else values
        if self.spikes:
            spiked = modes >= count
            values[spiked] = np.array(self.spikes)[modes[spiked] - count]
        return values

    def forward(self, values: np.ndarray) -> np.ndarray:
        """f of values within the range, mapped onto [-1, 1]."""
        if self.transform == "quantile":
            return np.interp(values, self.knots, np.linspace(-1.0, 1.0, len(self.knots)))
        middle, half = self._span()
        return (self._f(values) - middle) / half

    def backward(self, y: np.ndarray) -> np.ndarray:
        """The values of which `forward` gives y."""
        if self.transform == "quantile":
            return np.interp(y, np.linspace(-1.0, 1.0, len(self.knots)), self.knots)
        middle, half = self._span()
        y = y * half + middle
        if self.transform == "log":
            return np.exp(np.minimum(y, 709.0))
        return np.sinh(np.clip(y, -709.0, 709.0)) * self.scale + self.centre if self.transform == "asinh" else y

    def _f(self, values: np.ndarray) -> np.ndarray:
        if self.transform == "log":
            return np.log(values)
        return np.arcsinh((values - self.centre) / self.scale) if self.transform == "asinh" else values

    def _span(self) -> tuple[float, float]:
        """The middle and half the length of f's range, halved first: the whole may be too large for a float."""
        low, high = self._f(np.array([self.low, self.high]))
        return float(low / 2 + high / 2), float(high / 2 - low / 2) or 1.0


def draw_mode(y: np.ndarray, means: np.ndarray, sds: np.ndarray, weights: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A mode (n,) for each y (n,), drawn from the posterior by u (n,) in [0, 1), among modes within 4 sd of y.

    Where there is none within 4 sd, the nearest in sds.
    """
    if len(means) == 1:
        return np.zeros(len(y), np.int64)
    far = np.abs(y[None] - means[:, None]) / sds[:, None]
    likely = (np.log(weights) - np.log(sds))[:, None] - far**2 / 2
    likely[far > REACH * (1 + 1e-9)] = -np.inf
    top = likely.max(0)
    lost = np.isneginf(top)
    likely = np.exp(likely - np.where(lost, 0.0, top))
    total = np.cumsum(likely, 0)
    modes = np.minimum((total <= u * total[-1]).sum(0), len(means) - 1)
    return np.where(lost, far.argmin(0), modes) if lost.any() else modes


# -- fitting ----------------------------------------------------------------------------------------------------------


def fit_modes(
    columns: Sequence[np.ndarray], ranges: Sequence[tuple[float, float]], scaling: Scaling = "modes", most: int = 10
) -> list[Modes]:
    """The modes of several columns, fitted together.

    Args:
        columns: float64 (n_i,) values, finite, in any order; one at least, within the range.
        ranges: the lowest and the highest value that a column may have.
        scaling: mode-specific; or one mode, by the range (mapped onto [-1, 1]) or by rank (uniform on [-1, 1]).
        most: the number of Gaussians that a column starts with.

    Raises:
        BadOption: `most` is less than 1.
    """
    if most < 1:
        raise BadOption(f"{most} modes were asked for; a column has 1 at least (--data.modes).")
    if scaling == "range":
        return [Modes(low, high) for low, high in ranges]
    if scaling == "quantile":
        return [_ranks(values, low, high) for values, (low, high) in zip(columns, ranges, strict=True)]
    found: list[Modes] = []
    for start in range(0, len(columns), AT_ONCE):
        shaped = [
            _shape(np.sort(values), low, high)
            for values, (low, high) in zip(
                columns[start : start + AT_ONCE], ranges[start : start + AT_ONCE], strict=True
            )
        ]
        mixtures = fit_mixtures([reduce(y) for _, y in shaped], most)
        found += [_covered(modes, y, *mixture) for (modes, y), mixture in zip(shaped, mixtures, strict=True)]
    return found


def _ranks(values: np.ndarray, low: float, high: float) -> Modes:
    knots = np.quantile(values, np.linspace(0.0, 1.0, min(KNOTS, max(len(values), 2))))
    knots[0], knots[-1] = low, high
    return Modes(low, high, "quantile", knots=tuple(np.maximum.accumulate(knots).tolist()))


def _shape(values: np.ndarray, low: float, high: float) -> tuple[Modes, np.ndarray]:
    """Spikes and transform of sorted values, and what f makes of the values that are on no spike, sorted."""
    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    counts = np.diff(np.append(starts, len(values)))
    spikes: list[float] = []
    if len(starts) > FEWEST:
        for index in np.argsort(-counts, kind="stable")[:MOST_SPIKES]:
            if counts[index] >= SPIKE * len(values):
                spikes.append(float(values[starts[index]]))
        values = values[~np.isin(values, spikes)]
    transform, centre, scale = _transform(values, low, high)
    modes = Modes(low, high, transform, centre, scale, spikes=tuple(sorted(spikes)))
    return modes, modes.forward(values)


def _transform(values: np.ndarray, low: float, high: float) -> tuple[Literal["linear", "log", "asinh"], float, float]:
    """How the tails of sorted values are compressed: f, its centre and its scale."""
    with np.errstate(over="ignore", invalid="ignore"):
        bottom, low2, low1, first, middle, third, high1, high2, top = np.quantile(values, SHARES)
        iqr, spread = third - first, top - bottom
        growing = top - high2 > GROWTH * (high2 - high1) or low2 - bottom > GROWTH * (low1 - low2)
    if not growing or not (0 < iqr < np.inf and HEAVY * iqr < spread < np.inf and max(-low, high) < 1e100 * iqr):
        return "linear", 0.0, 1.0
    if low > 0 and top - middle > HEAVY / 4 * (middle - bottom):
        return "log", 0.0, 1.0
    return "asinh", float(middle), float(iqr / 2)


def _covered(modes: Modes, y: np.ndarray, means: np.ndarray, sds: np.ndarray, weights: np.ndarray) -> Modes:
    """`modes` with these Gaussians, and a further one across each gap that they leave in [-1, 1] and that sorted y, or
    an end of the range, falls into.
    """
    ends = np.maximum.accumulate(means + REACH * sds)
    left, right = np.append(-1.0, ends), np.append(means - REACH * sds, 1.0)
    for start, end in zip(left, right, strict=True):
        count = np.searchsorted(y, end, "right") - np.searchsorted(y, start)
        if end - start > 1e-12 and (count or start == -1.0 or end == 1.0):
            means = np.append(means, (start + end) / 2)
            sds = np.append(sds, (end - start) / 2 / REACH)
            weights = np.append(weights, max(count, 1) / max(len(y), 1))
    order = np.argsort(means)
    weights = weights[order] / weights.sum()
    return replace(
        modes, means=tuple(means[order].tolist()), sds=tuple(sds[order].tolist()), weights=tuple(weights.tolist())
    )
