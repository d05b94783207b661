"""What people want of a label, read from text: a value of the target, or a condition on another column."""

from __future__ import annotations

from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.data.tables.columns import Categories, Name
from zerosum.data.tables.constraints import Condition, spelled
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.given import fulfilling
from zerosum.data.tables.grammar import OPERATORS, parse_condition


def named(text: str, table: TableEncoding) -> Name | None:
    """The column of this name as it is, which may be a number; None where there is none."""
    return next((name for name in table.by_name if str(name) == text.strip()), None)


def favourable(text: str, table: TableEncoding) -> tuple[int, Tensor]:
    """Which choice the favourable label is, and which of its categories: bool (categories,).

    Args:
        text: a value of the target, or a condition on a column of categories.
        table: the encoding.

    Raises:
        BadOption: there is no target, or no such column or category.
    """
    target = None if table.target is None else table.by_name[table.target]
    values = target.content.values if target and isinstance(target.content, Categories) else ()
    if target and text.strip() in map(spelled, values):
        return table.choice(target.name), fulfilling(Condition(target.name, "=", text.strip()), table)
    left, *right = OPERATORS.split(text, maxsplit=1)
    name = named(left, table)
    if name is None or not right:
        if target is None:
            raise BadOption(f"--favourable {text}: name its column, as in sex=Female, or give --data.target.")
        what = f"it has {', '.join(map(spelled, values[:20]))}" if values else f"it is {target.kind}"
        raise BadOption(f"--favourable {text}: the target {target.name!r} has no such category; {what}.")
    column = table.by_name[name]
    if not isinstance(column.content, Categories) or not column.choices:
        raise BadOption(f"--favourable {text}: labels are categories, but column {name!r} is {column.kind}.")
    # What is equal to ">50K" need not be quoted.
    equal = Condition(name, "=", right[1].strip().strip("'\""))
    allowed = fulfilling(equal if right[0] == "=" else parse_condition(text, list(table.by_name)), table)
    if allowed.all():
        raise BadOption(f"--favourable {text}: every value of column {name!r} is, so that nothing differs.")
    return table.choice(name), allowed
