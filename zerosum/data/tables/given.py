"""What is asked of rows that are to be made: conditions on categories, which choices can be drawn by, and others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.data.tables.columns import Categories, Column, Name, Numbers
from zerosum.data.tables.constraints import Condition, bound, spelled
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.grammar import no_column, parse_condition
from zerosum.data.tables.numeric import write

Wanted = dict[int, Tensor]
"""Choice j -> which of its categories it may be: bool (categories,), CPU."""


def asked(given: Any, table: TableEncoding) -> tuple[Wanted, list[Condition]]:
    """Conditions as what choices may be, and those that only decoded rows can be held to.

    Args:
        given: column -> value, or conditions as text ("sex=Female", "age>60"), one or several.
        table: the encoding of the rows.

    Raises:
        BadOption: there is no such column or category, or nothing that was there when fitting fulfils them.
    """
    wanted: Wanted = {}
    rest = []
    for condition in conditions(given, table):
        column = table.by_name[condition.column]
        if not isinstance(column.content, Categories) or not column.choices:
            possible(condition, column)
            rest.append(condition)
            continue
        j, allowed = table.choice(column.name), fulfilling(condition, table)
        wanted[j] = wanted.get(j, torch.ones_like(allowed)) & allowed
        if not wanted[j].any():
            raise BadOption(f"{told(given)} cannot be fulfilled: no value of column {column.name!r} does.")
        rest += [condition] if column.content.others else []  # several share a place
    return wanted, rest


def balanced(name: Name, wanted: Wanted, table: TableEncoding, counts: Tensor) -> list[tuple[str, Wanted]]:
    """Each category of a column that is allowed and occurs, and what is wanted together with it.

    Args:
        name: of the column.
        wanted: what choices may be, whatever the category.
        table: the encoding of the rows.
        counts: (k,) how often each category occurs that can be asked for.

    Raises:
        BadOption: there is no such column, it has no categories, or `wanted` allows none of them.
    """
    column = table.by_name.get(name)
    if column is None:
        raise BadOption(f"--balance {name}: {no_column(name, list(table.by_name))}")
    if not isinstance(column.content, Categories) or not column.choices:
        raise BadOption(f"--balance {name}: the column is {column.kind}, it has no categories to be equally frequent.")
    j, layout = table.choice(name), table.layout
    start = sum(layout.choices[own].size for own in layout.discrete if own < j)
    one = torch.eye(column.choices, dtype=torch.bool)
    there = (counts[start : start + column.choices] > 0).cpu() & wanted.get(j, torch.ones(column.choices).bool())
    places = [place for place in range(column.content.size) if there[place]]
    if not places:
        raise BadOption(f"--balance {name}: the conditions leave none of the column's categories.")
    values = [*map(spelled, column.content.values), "one of the rare values"]
    return [(values[place], {**wanted, j: one[place]}) for place in places]


def told(given: Any) -> str:
    """Conditions as they were given."""
    if isinstance(given, Mapping):
        return ", ".join(f"{name}={value}" for name, value in given.items())
    return given if isinstance(given, str) else ", ".join(given or [])


def conditions(given: Any, table: TableEncoding) -> list[Condition]:
    """Conditions of a mapping (column -> value) or of text. Raises BadOption for unknown columns."""
    names = [column.name for column in table.decoded]
    if not isinstance(given, Mapping):
        return [parse_condition(text, names) for text in ([given] if isinstance(given, str) else given)]
    for name in given:
        if name not in names:
            raise BadOption(no_column(name, names))
    return [Condition(name, "=", value) for name, value in given.items()]


def fulfilling(condition: Condition, table: TableEncoding) -> Tensor:
    """Which choices of a column of categories fulfil a condition: bool (choices,). Raises BadOption where none does."""
    column = table.by_name[condition.column]
    content = column.content
    assert isinstance(content, Categories)
    allowed = torch.zeros(column.choices, dtype=torch.bool)
    cells = replace(column, content=replace(content, values=content.values + content.others, others=(), counts=()))
    count = len(content.values) + len(content.others)
    made = cells.decode(count, None, np.arange(count))
    good = condition.holds(pd.DataFrame({column.name: pd.Series(made, dtype=made.dtype)}), table.by_name)
    allowed[: len(content.values)] = torch.from_numpy(good[: len(content.values)])
    if content.others:
        allowed[len(content.values)] = bool(good[len(content.values) :].any())
    if column.missing:
        allowed[-1] = condition.operator == "!="
    if not allowed.any():
        if condition.operator == "=":
            table.category(column.name, condition.value)  # says which there are
        raise BadOption(f"{condition} cannot be fulfilled: no value of column {column.name!r} does.")
    return allowed


def possible(condition: Condition, column: Column) -> None:
    """Raise BadOption where nothing within the range of the training data fulfils a condition on a number."""
    if not isinstance(column.content, Numbers):
        return
    edge, (low, high) = bound(condition.value, column), column.content.extent
    beyond = {
        ">": edge >= high, ">=": edge > high, "<": edge <= low, "<=": edge < low, "=": not low <= edge <= high,
        "!=": False,
    }  # fmt: skip
    if beyond[condition.operator]:
        ends = np.array([low, high]).astype(float if column.cells.measure == "float" else np.int64)
        ends = write(ends, np.zeros(2, dtype=bool), column.cells, column.content.decimals)
        raise BadOption(
            f"{condition} cannot be fulfilled: in the training data {column.name!r} goes from {ends[0]} to {ends[1]}."
        )
