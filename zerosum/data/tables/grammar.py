"""Conditions and constraints on the columns of a table, read from text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from zerosum.core.errors import BadOption
from zerosum.data.tables.columns import Name
from zerosum.data.tables.constraints import Condition, Constraint, Never, Operator, Order, Range, Sum, Unique

MIRRORED: dict[str, Operator] = {"<=": ">=", ">=": "<=", "<": ">", ">": "<", "=": "=", "!=": "!="}
OPERATORS = re.compile(r"(<=|>=|!=|==|<|>|=)")
GRAMMAR = (
    "write it as 0 <= age <= 120, start <= end, total = net + tax, unique email, or never sex=Male, pregnant=yes; "
    "a name with signs goes between backticks: `a=b`"
)


def parse_condition(text: str, columns: Sequence[Name]) -> Condition:
    """`sex=Female`, `age > 60`, `city != 'Bonn'` as a condition on one of the columns. What follows = or != may have
    signs, as in `income=>50K`.

    Raises:
        BadOption: there is no such column, or this is no condition.
    """
    parts = _split(text, OPERATORS)
    if len(parts) > 3 and parts[0] and _operator(parts[1]) in ("=", "!="):
        parts[2:] = [text[text.index(parts[1], text.index(parts[0]) + len(parts[0])) + len(parts[1]) :].strip()]
    if len(parts) != 3:
        raise BadOption(f"{text!r} is no condition; write it as sex=Female or age>60.")
    name = _column(parts[0], columns, text)
    return Condition(name, _operator(parts[1]), _value(parts[2]))


def parse_constraint(text: str, columns: Sequence[Name]) -> Constraint:
    """One constraint in the grammar of `GRAMMAR`. Raises BadOption for other text and unknown columns."""
    text = text.strip()
    if text.startswith("unique "):
        return Unique(_column(text.removeprefix("unique "), columns, text))
    if text.startswith("never "):
        pieces = _split(text.removeprefix("never "), re.compile("(,)"))[::2]
        return Never(tuple(parse_condition(piece, columns) for piece in pieces))
    parts = _split(text, OPERATORS)
    if len(parts) == 5:
        low = Condition(_column(parts[2], columns, text), MIRRORED[_operator(parts[1])], _value(parts[0]))
        return _range(text, low, Condition(low.column, _operator(parts[3]), _value(parts[4])))
    if len(parts) != 3:
        raise BadOption(f"--data.constraints {text!r} is not understood; {GRAMMAR}.")
    left, sign, right = parts[0], _operator(parts[1]), parts[2]
    summands = _split(right, re.compile(r"(\+)"))[::2]
    if sign == "=" and len(summands) > 1:
        return Sum(_column(left, columns, text), tuple(_column(part, columns, text) for part in summands))
    first, second = _known(left, columns), _known(right, columns)
    if first is not None and second is not None and sign not in ("=", "!="):
        if sign in (">", ">="):
            first, second = second, first
        return Order(first, second, sign in ("<", ">"))
    if first is None and second is not None:
        return _range(text, Condition(second, MIRRORED[sign], _value(left)))
    return _range(text, Condition(_column(left, columns, text), sign, _value(right)))


def _range(text: str, *conditions: Condition) -> Range:
    if any(condition.operator in ("=", "!=") for condition in conditions):
        raise BadOption(f"--data.constraints {text!r} is not understood; {GRAMMAR}.")
    return Range(conditions)


def _split(text: str, at: re.Pattern[str]) -> list[str]:
    """The text cut at a pattern's group, not between quotes or backticks; the pieces at odd places are the signs."""
    hidden = re.sub(r"`[^`]*`|'[^']*'|\"[^\"]*\"", lambda match: "\0" * len(match.group()), text)
    pieces, start = [], 0
    for match in at.finditer(hidden):
        pieces += [text[start : match.start()].strip(), match.group()]
        start = match.end()
    return [*pieces, text[start:].strip()]


def _operator(sign: str) -> Operator:
    return "=" if sign == "==" else sign  # type: ignore[return-value]


def _value(text: str) -> str | int | float:
    if text[:1] in "'\"" and text[-1:] == text[:1] and len(text) > 1:
        return text[1:-1]
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def _known(text: str, columns: Sequence[Name]) -> Name | None:
    name = text.strip().strip("`")
    return next((column for column in columns if str(column) == name), None)


def _column(text: str, columns: Sequence[Name], whole: str) -> Name:
    found = _known(text, columns)
    if found is None:
        raise BadOption(f"{whole!r}: {no_column(text.strip().strip('`'), columns)}")
    return found


def no_column(name: Any, columns: Sequence[Name]) -> str:
    """That there is no such column, and which there are."""
    near = difflib.get_close_matches(str(name), [str(column) for column in columns], n=1)
    listed = ", ".join(str(column) for column in columns[:20]) + (", ..." if len(columns) > 20 else "")
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"there is no column {name!r}; {hint}there are {listed}."
