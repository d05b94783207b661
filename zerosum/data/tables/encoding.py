"""Tables: rows of mixed columns to vectors of scalars and one-hots, and back to a DataFrame as the table was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from zerosum.core import randomness, settings
from zerosum.core.errors import BadData, BadFile, BadOption, ZerosumError
from zerosum.data.options import Scaling
from zerosum.data.spec import Batch, Block, Spec
from zerosum.data.tables.cells import absent
from zerosum.data.tables.columns import Categories, Column, Name, Numbers
from zerosum.data.tables.constraints import Constraint, broken, check, repair
from zerosum.data.tables.describing import describe
from zerosum.data.tables.dialect import Dialect
from zerosum.data.tables.frames import as_frame, checked
from zerosum.data.tables.grammar import no_column, parse_constraint
from zerosum.data.tables.modes import Modes, fit_modes
from zerosum.data.tables.rows import Layout


@dataclass(frozen=True)
class TableEncoding:
    """How the rows of a table become vectors (d,), and how vectors become rows again.

    Every column is a scalar (the place of a number within its mode), a one-hot (its mode, or its category), both, or
    nothing: constants and identifiers are made again without being learned, free text is left out. Scalars lie in
    [-1, 1]. Decoding restores columns, order, dtypes, formats, rounding and missing cells. Numbers keep about seven
    digits, because rows are float32. It is plain data: its JSON makes an equal one.
    """

    columns: tuple[Column, ...]
    """All columns, in the table's order, free text among them."""
    constraints: tuple[Constraint, ...] = ()
    target: Name | None = None
    """The column that models are to predict."""
    dropped: tuple[Name, ...] = ()
    """Columns that the user left out; they may be there in tables to encode."""
    dialect: Dialect | None = None
    """How the text file was written that the table came from."""
    notes: tuple[str, ...] = ()
    """What was found out or left out, for the person who started the training."""

    @classmethod
    def fit(
        cls,
        frame: Any,
        *,
        kinds: Mapping[Any, str] | None = None,
        drop: Sequence[Name] = (),
        constraints: Sequence[str] = (),
        target: Name | None = None,
        scaling: Scaling = "modes",
        modes: int = 10,
        categories: int = 256,
        rows: np.ndarray | None = None,
        dialect: Dialect | None = None,
    ) -> TableEncoding:
        """The encoding of a table.

        Args:
            frame: a pandas or polars frame, or an Arrow table.
            kinds: column -> kind, where the kind is not to be found out; "datetime:%d/%m/%Y" tells a format, too.
            drop: columns to leave out.
            constraints: what rows obey, in the grammar of `zerosum.data.tables.grammar`.
            target: the column that models are to predict.
            scaling: of numbers: mode-specific, to their range, or by rank.
            modes: Gaussians that a number's mixture starts with; it keeps those that it needs.
            categories: at most so many of a column; the rarest share one place.
            rows: indices of the training rows: the mixtures are fitted to these alone. Kinds, categories and ranges
                are those of all rows.
            dialect: how the text file was written that the table came from.

        Raises:
            BadData: a column cannot be encoded, or the rows break a constraint.
            BadOption: an option names no column, or does not fit it.
        """
        frame = checked(as_frame(frame), "the table")
        kinds, names = dict(kinds or {}), list(frame.columns)
        for option, given in (("kinds", kinds), ("drop", drop), ("target", [] if target is None else [target])):
            for name in given:
                if name not in names:
                    raise BadOption(f"--data.{option} {name}: {no_column(name, names)}")
        if categories < 2:
            raise BadOption(f"--data.categories is {categories}; it must be 2 or more.")
        described, notes = [], []
        for name in (name for name in names if name not in drop):
            column, found = describe(frame[name], name, kinds.get(name), categories)
            described.append(column)
            notes += found
        with_modes = _with_modes(described, frame, rows, scaling, modes)
        encoding = cls(tuple(with_modes), (), target, tuple(drop), dialect, tuple(notes))
        encoding._check_target()
        parsed = tuple(parse_constraint(text, [column.name for column in encoding.decoded]) for text in constraints)
        for constraint in parsed:
            check(frame, constraint, encoding.by_name)
        return replace(encoding, constraints=parsed)

    def _check_target(self) -> None:
        if self.target is not None:
            column = self.by_name.get(self.target)
            kind = "dropped" if column is None else column.kind
            if column is None or not isinstance(column.content, Numbers | Categories):
                raise BadOption(
                    f"--data.target {self.target}: the column is {kind}, so that there is nothing to predict."
                )
        if not self.spec.blocks:
            raise BadData(
                "the table has nothing to learn: every column is constant, an identifier or free text "
                f"({', '.join(f'{column.name}: {column.kind}' for column in self.columns[:10])})."
            )

    # -- layout -------------------------------------------------------------------------------------------------------

    @cached_property
    def by_name(self) -> dict[Name, Column]:
        """The columns by name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def decoded(self) -> tuple[Column, ...]:
        """The columns that decoding gives: all but free text."""
        return tuple(column for column in self.columns if column.content is not None)

    @cached_property
    def spec(self) -> Spec:
        """The blocks of a row: of each column first its scalar, then its choice; and which column is the target."""
        blocks = []
        for index, column in enumerate(self.columns):
            if column.scalar:
                blocks.append(Block(index, "scalar", 1, "value", str(column.name)))
            if column.choices:
                name, missing = str(column.name), column.missing
                blocks.append(Block(index, "softmax", column.choices, column.role, name, missing))
        names = [column.name for column in self.columns]
        target = names.index(self.target) if self.target in names else None
        return Spec((sum(block.size for block in blocks),), 0, "table", blocks=tuple(blocks), target=target)

    @cached_property
    def layout(self) -> Layout:
        """Where scalars and choices are in a row."""
        return Layout(self.spec)

    def choice(self, name: Name) -> int:
        """Which choice a column is: j, for `layout.choices[j]`. Raises BadOption where the column has none."""
        for place, block in enumerate(self.layout.choices):
            if self.columns[block.column].name == name:
                return place
        if name not in self.by_name:
            raise BadOption(no_column(name, list(self.by_name)))
        raise BadOption(f"column {name!r} is {self.by_name[name].kind}: it has no categories to choose from.")

    def category(self, name: Name, value: Any) -> tuple[int, int]:
        """The choice that a column is, and which category of it a value is, as text or as itself; None: missing.

        Raises:
            BadOption: the column has no categories, or not this one.
        """
        place, column = self.choice(name), self.by_name[name]
        if not isinstance(column.content, Categories):
            raise BadOption(f"column {name!r} is {column.kind}: it has no categories to choose from.")
        if value is None and column.missing:
            return place, column.choices - 1
        for code, known in enumerate(column.content.values):
            if known == value or str(known).strip() == str(value).strip():
                return place, code
        shown = ", ".join(str(known).strip() for known in column.content.values[:20])
        raise BadOption(f"column {name!r} has no category {value!r}; it has {shown}.")

    # -- encoding -----------------------------------------------------------------------------------------------------

    def compact(self, raw: Any, seed: int = 0, strict: bool = True) -> tuple[Tensor, Tensor]:
        """Rows in little memory: the scalars (n, s) float32, and the choices (n, c) int16 (int32 where they are many).

        The mode of a number is drawn from its posterior; the same for the same seed. Where `strict` is off, values that
        were not there when fitting count as missing, and the choice is -1 where nothing was missing then.

        Raises:
            BadData: columns are missing, or not known; a value was not there when fitting (strict).
        """
        frame = self._own(raw)
        wide = any(block.size > 32_767 for block in self.layout.choices)
        scalars = torch.zeros(len(frame), len(self.layout.scalars))
        choices = torch.zeros(len(frame), len(self.layout.choices), dtype=torch.int32 if wide else torch.int16)
        scalar = choice = 0
        for column in self.decoded:
            if column.name not in frame:
                continue  # constants and identifiers, of which a row keeps nothing
            u = np.zeros(0)
            if column.scalar:
                draw = randomness.generator("cpu", seed, "modes", str(column.name))
                u = torch.rand(len(frame), generator=draw, dtype=torch.float64).numpy()
            places, codes = column.encode(frame[column.name], u, strict)
            if places is not None:
                scalars[:, scalar] = torch.from_numpy(places)
                scalar += 1
            if codes is not None:
                choices[:, choice] = torch.from_numpy(codes).to(choices.dtype)
                choice += 1
        return scalars, choices

    def encode(self, raw: Any, seed: int = 0, strict: bool = True) -> Batch:
        """A frame to {"row": float32 (n, d)}; otherwise as `compact`. A choice of -1 is a one-hot of zeros."""
        return {"row": self.layout.expand(*self.compact(raw, seed, strict))}

    def _own(self, raw: Any) -> pd.DataFrame:
        """The columns of this encoding of a table. Raises BadData where there are others."""
        frame = as_frame(raw)
        names = list(frame.columns)
        lacking = [
            column.name for column in self.decoded if column.name not in names and column.choices + column.scalar
        ]
        foreign = [name for name in names if name not in self.by_name and name not in self.dropped]
        twice = sorted({str(name) for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        for what, found in (("lacks the columns", lacking), ("has unknown columns", foreign), ("repeats", twice)):
            if found:
                listed = ", ".join(repr(name) for name in found[:10]) + (" ..." if len(found) > 10 else "")
                raise BadData(
                    f"the table {what} {listed}; the encoding was fitted to "
                    f"{', '.join(repr(column.name) for column in self.columns[:20])}."
                )
        return frame

    # -- decoding -----------------------------------------------------------------------------------------------------

    def decode(self, batch: Batch, seed: int = 0, clip: bool = True, missing: bool = True) -> pd.DataFrame:
        """{"row": (n, d)} to a DataFrame.

        Args:
            batch: one-hots may be soft: the largest counts.
            seed: of identifiers, and of rare categories that share a place.
            clip: keep numbers within the range that was seen when fitting.
            missing: off: no cell is made missing.
        """
        return self.restore(*self.layout.condense(batch["row"], missing), seed=seed, clip=clip)

    def restore(self, scalars: Tensor, choices: Tensor, seed: int = 0, clip: bool = True) -> pd.DataFrame:
        """A DataFrame of scalars (n, s) and choices (n, c). Ranges, orders and sums among the constraints are kept."""
        places, codes = scalars.cpu().numpy(), choices.cpu().to(torch.int64).numpy()
        scalar, choice, cells = 0, 0, {}
        for column in self.decoded:
            own = places[:, scalar] if column.scalar else None
            chosen = codes[:, choice] if column.choices else None
            scalar, choice = scalar + column.scalar, choice + (column.choices > 0)
            made = column.decode(len(places), own, chosen, seed, clip)
            cells[column.name] = pd.Series(made, dtype=made.dtype)  # else pandas takes objects that are text for "str"
        frame = pd.DataFrame(cells)
        for constraint in self.constraints:
            repair(frame, constraint, self.by_name)
        return frame

    def broken(self, frame: pd.DataFrame) -> np.ndarray:
        """The rows that break one of the constraints: bool (n,). A generator makes others in their place."""
        wrong = np.zeros(len(frame), dtype=bool)
        for constraint in self.constraints:
            wrong |= broken(frame, constraint, self.by_name)
        return wrong

    # -- JSON ---------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        return {"kind": "table", **settings.to_json(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> TableEncoding:
        """The encoding that wrote `content`. Raises BadFile where it is not whole."""
        try:
            return settings.from_json(cls, {name: value for name, value in content.items() if name != "kind"})
        except (TypeError, ValueError, ZerosumError) as error:
            raise BadFile(f"the encoding of a table is not whole ({error}); save the generator again.") from error


def _with_modes(
    columns: list[Column], frame: pd.DataFrame, rows: np.ndarray | None, scaling: Scaling, most: int
) -> list[Column]:
    """The columns with the modes of their numbers, fitted to the training rows."""
    values, ranges = [], []
    for column in columns:
        if isinstance(column.content, Numbers):
            series = frame[column.name] if rows is None else frame[column.name].iloc[rows]
            missing = absent(series)
            span = column.content.modes
            own = column.numbers(series, missing)[~missing]
            values.append(own if len(own) else np.array([span.low, span.high]))
            ranges.append((span.low, span.high))
    fitted = iter(fit_modes(values, ranges, scaling, most))
    return [_with(column, next(fitted)) if isinstance(column.content, Numbers) else column for column in columns]


def _with(column: Column, modes: Modes) -> Column:
    assert isinstance(column.content, Numbers)
    return replace(column, content=replace(column.content, modes=modes))
