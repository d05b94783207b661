"""The columns of a table: of which kind they are, and how their cells become places and choices, and cells again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from zerosum.core.errors import BadData
from zerosum.core.randomness import derive
from zerosum.data.tables.cells import Cells, Plain, absent, first, plain, take, typed
from zerosum.data.tables.identifiers import Identifier
from zerosum.data.tables.kinds import Kind
from zerosum.data.tables.modes import Modes
from zerosum.data.tables.numeric import read, write

Name = str | int
"""A column's name; pandas numbers columns that were given none."""


@dataclass(frozen=True)
class Numbers:
    """Numbers, points in time or durations: modes, and places in them.

    The modes are those of the number itself, or, where cells are whole numbers or ticks of a clock, of how many steps
    they are from the origin, so that nothing is lost to rounding.
    """

    modes: Modes
    origin: int = 0
    step: int = 1
    decimals: int | None = None
    """Digits after the point that floats are rounded to (-2: to hundreds); None: not rounded."""

    @property
    def extent(self) -> tuple[float, float]:
        """The lowest and the highest value that was seen when fitting, in the unit that cells are read in."""
        return self.origin + self.step * self.modes.low, self.origin + self.step * self.modes.high


@dataclass(frozen=True)
class Categories:
    """Values to choose from. Rare ones may share one place at the end, `others`."""

    values: tuple[Plain, ...]
    others: tuple[Plain, ...] = ()
    counts: tuple[int, ...] = ()
    """How often each of `others` occurred: decoding draws them in proportion."""
    levels: tuple[Plain, ...] = ()
    """All levels of a categorical dtype, in its order, used or not."""
    level: Cells | None = None
    """What the levels are."""
    ordered: bool = False

    @property
    def size(self) -> int:
        """How many values there are to choose from."""
        return len(self.values) + bool(self.others)


@dataclass(frozen=True)
class Constant:
    """One value in every row."""

    values: tuple[Plain, ...]
    """The value, or nothing where every cell is missing."""
    levels: tuple[Plain, ...] = ()
    level: Cells | None = None
    ordered: bool = False


@dataclass(frozen=True)
class Column:
    """One column of a table, and all that is needed to encode and to decode it.

    What the networks see of it is a place in [-1, 1] (`scalar`), or one of `choices`, or both, or nothing.
    """

    name: Name
    kind: Kind
    cells: Cells
    missing: bool = False
    """Whether cells were missing when the encoding was fitted: then "missing" is the last choice."""
    content: Numbers | Categories | Constant | Identifier | None = None
    """None: free text, which is left out."""

    @property
    def scalar(self) -> bool:
        """Whether it has a place."""
        return isinstance(self.content, Numbers)

    @property
    def choices(self) -> int:
        """How many values, modes and "missing" there are to choose from; 0: no choice."""
        if isinstance(self.content, Numbers):
            total = len(self.content.modes) + self.missing
        elif isinstance(self.content, Categories):
            total = self.content.size + self.missing
        else:
            total = 1 + (self.missing and isinstance(self.content, Identifier))
        return total if total > 1 else 0

    @property
    def role(self) -> str:
        """What its choices are: "category", "ordinal" (categories in order), "mode" or, of identifiers, "missing"."""
        if isinstance(self.content, Categories):
            return "ordinal" if self.kind == "ordinal" else "category"
        return "mode" if isinstance(self.content, Numbers) else "missing"

    def encode(
        self, series: pd.Series, u: np.ndarray, strict: bool = True
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Places (n,) float32 and choices (n,) int64 of cells (n,); None where the column has none.

        Args:
            series: the cells.
            u: (n,) in [0, 1), by which modes are drawn.
            strict: refuse values that were not there when the encoding was fitted. Else they count as missing, and
                where nothing was missing then, the choice is -1: none.

        Raises:
            BadData: cells that are not of this column's kind, or (strict) not known.
        """
        missing = absent(series)
        if strict and missing.any() and not self.missing:
            raise BadData(
                f"column {self.name!r} has {int(missing.sum()):,} missing cells, the first in row {first(missing)}, "
                "but none was missing when the encoding was fitted: fill them, or fit it again with these rows."
            )
        if isinstance(self.content, Numbers):
            return self._place(self.content, series, missing, u)
        if isinstance(self.content, Categories | Constant):
            codes = self._codes(self.content, series, missing, strict)
        else:
            codes = missing.astype(np.int64)
        return None, (np.where(missing, self._absent, codes) if self.choices else None)

    @property
    def _absent(self) -> int:
        """The choice that means missing; -1 where there is none."""
        return self.choices - 1 if self.missing else -1

    def _place(
        self, content: Numbers, series: pd.Series, missing: np.ndarray, u: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        places, modes = content.modes.split(self.numbers(series, missing), u)
        places[missing] = 0.0
        modes[missing] = self._absent
        return places, (modes if self.choices else None)

    def numbers(self, series: pd.Series, missing: np.ndarray) -> np.ndarray:
        """The cells of a column of `Numbers` as float64 (n,): steps from the origin, or floats as they are. Missing
        cells are the lowest value. Raises BadData for other cells.
        """
        content = self.content
        assert isinstance(content, Numbers)
        try:
            values = read(series, self.cells, missing)
        except (ValueError, TypeError, OverflowError) as error:
            reason = " ".join(str(error).split())[:200]
            raise BadData(f"column {self.name!r} is {self.kind}, and cells of it are not ({reason}).") from error
        if self.cells.measure == "float":
            if (infinite := ~np.isfinite(values) & ~missing).any():
                raise BadData(
                    f"column {self.name!r} is infinite in row {first(infinite)}: replace it, or leave it empty."
                )
            return np.where(missing, content.modes.low, values)
        return np.where(missing, content.modes.low, steps(values, content.origin, content.step))

    def _codes(
        self, content: Categories | Constant, series: pd.Series, missing: np.ndarray, strict: bool
    ) -> np.ndarray:
        known = {value: code for code, value in enumerate(content.values)}
        if isinstance(content, Categories):
            known |= dict.fromkeys(content.others, len(content.values))
        places, distinct = pd.factorize(series)
        codes = np.array([known.get(plain(value, self.name), -1) for value in distinct] + [-1], dtype=np.int64)
        codes = codes[places]
        if strict and (unknown := (codes < 0) & ~missing).any():
            listed = ", ".join(map(repr, content.values[:10])) + (", ..." if len(content.values) > 10 else "")
            value = plain(distinct[places[first(unknown) - 1]], self.name)
            raise BadData(
                f"column {self.name!r} has the value {value!r} in row {first(unknown)}, "
                f"which was not there when the encoding was fitted; it knows {listed}."
            )
        return np.where(codes < 0, self._absent, codes)

    def decode(
        self, n: int, places: np.ndarray | None, choices: np.ndarray | None, seed: int = 0, clip: bool = True
    ) -> Any:
        """An array of n cells, as the column came.

        Args:
            n: how many.
            places: (n,) in [-1, 1], where the column has a place.
            choices: int64 (n,), where it has a choice.
            seed: of identifiers and rare values.
            clip: keep numbers within the range that was seen when fitting.
        """
        missing = np.zeros(n, dtype=bool) if choices is None else choices == self._absent
        match self.content:
            case Numbers():
                modes = np.zeros(n, np.int64) if choices is None else choices.clip(0, len(self.content.modes) - 1)
                assert places is not None
                return self._cells(self.content, self.content.modes.join(places, modes, clip), missing)
            case Categories():
                assert choices is not None
                return self._values(self.content, np.where(missing, -1, choices), seed)
            case Constant():
                return self._levelled(self.content.values, np.full(n, len(self.content.values) - 1))
            case Identifier():
                values = self.content.make(n, derive(seed, "identifiers", str(self.name)), self.name)
                if self.cells.measure == "int":
                    return write(np.array(values), missing, self.cells, 0)
                return take(typed(tuple(values), self.cells), np.where(missing, -1, np.arange(n)))
        raise BadData(f"column {self.name!r} is free text, which is left out.")

    def _cells(self, content: Numbers, values: np.ndarray, missing: np.ndarray) -> Any:
        if self.cells.measure != "float":
            return write(ticks(values, content.origin, content.step, self.cells), missing, self.cells, None)
        if content.decimals is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                rounded = np.round(values, content.decimals)
            values = np.where(np.isfinite(rounded), rounded, values)
        return write(values, missing, self.cells, content.decimals)

    def _values(self, content: Categories, codes: np.ndarray, seed: int) -> Any:
        values = content.values
        if content.others:
            rare = codes == len(values)
            draw = np.random.default_rng(derive(seed, "others", str(self.name)))
            share = np.array(content.counts) / sum(content.counts)
            codes[rare] = len(values) + draw.choice(len(share), int(rare.sum()), p=share)
        return self._levelled(values + content.others, codes)

    def _levelled(self, values: tuple[Plain, ...], codes: np.ndarray) -> Any:
        """The values at `codes`, missing where a code is -1, as the column's dtype."""
        content = self.content
        if self.cells.dtype != "category":
            return take(typed(values, self.cells), codes)
        assert isinstance(content, Categories | Constant) and content.level is not None
        places = {level: place for place, level in enumerate(content.levels)}
        own = np.array([places[value] for value in values] + [-1])
        dtype = pd.CategoricalDtype(typed(content.levels, content.level), content.ordered)
        return pd.Categorical.from_codes(own[codes], dtype=dtype)


def steps(values: np.ndarray, origin: int, step: int) -> np.ndarray:
    """How many steps whole numbers (n,) are from the origin, as float64; differences of any size are exact integers
    before they become floats.
    """
    base = np.asarray(origin, dtype=values.dtype)
    with np.errstate(over="ignore"):
        above, below = (values - base).astype(np.uint64), (base - values).astype(np.uint64)
    return np.where(values >= base, above.astype(np.float64), -below.astype(np.float64)) / step


def ticks(values: np.ndarray, origin: int, step: int, cells: Cells) -> np.ndarray:
    """Whole numbers (n,): the nearest number of steps from the origin, within what the dtype holds."""
    counts = np.rint(values)
    name = cells.dtype.lower().removesuffix("[pyarrow]").removeprefix("arrow:")
    holds = np.iinfo(name if cells.measure == "int" and name.startswith(("int", "uint")) else "int64")
    reach = np.abs(counts).max(initial=0.0) * step + abs(origin)
    if reach < 2**61:  # no sum of int64 overflows
        return np.clip(origin + counts.astype(np.int64) * step, holds.min, min(holds.max, 2**63 - 1))
    wide = [min(max(origin + int(count) * step, holds.min), holds.max) for count in counts.tolist()]
    return np.array(wide, dtype="uint64" if holds.min == 0 else "int64")
