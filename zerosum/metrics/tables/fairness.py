"""Are labels, and a model's answers, as favourable to one group as to another?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zerosum.core.errors import BadOption
from zerosum.data.tables.columns import Categories, Name
from zerosum.data.tables.constraints import spelled
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.favourable import favourable as of_text
from zerosum.data.tables.favourable import named
from zerosum.data.tables.grammar import OPERATORS
from zerosum.metrics.tables.models import Inputs, boosted_trees
from zerosum.metrics.tables.sheet import Sheet, read_sheets
from zerosum.metrics.tables.utility import ROWS, class_probabilities

FEW = 10
"""Rows of a group below which it is not compared."""


def fairness(
    train: Any, test: Any, encoding: TableEncoding, protected: Name, favourable: Any, seed: int = 0
) -> dict[str, float]:
    """Differences between the groups of a protected column: in the labels of a table, and in what a model that was
    trained on it answers on real rows.

    Groups with fewer than 10 rows, and rows without a group, are not compared; of more than two groups the largest
    difference counts.

    Args:
        train: the table that a model is trained on, such as a synthetic one.
        test: real rows that it is tested on.
        encoding: its target is the label, unless `favourable` names another column.
        protected: the column of the groups, one of categories.
        favourable: the category of the target that people want, or "column=value" (also "level>=3").

    Returns:
        - "label_parity": demographic parity difference of the labels of `train`: the largest share of favourable ones
          less the smallest;
        - "test_parity": the same of the labels of `test`;
        - "parity": the same of the model's answers on `test` (Dwork et al. 2012, arXiv:1104.3913, section 3);
        - "opportunity": the difference of the shares of favourable answers among the rows whose label is favourable
          (Hardt et al. 2016, arXiv:1610.02413, definition 2.2);
        - "accuracy": of the model on `test`.

        A difference is 0 where fewer than two groups are large enough.

    Raises:
        BadOption: no target, a target or a protected column of numbers, or no such category.
    """
    sheets = read_sheets(encoding, {"training": train, "test": test})
    label, good = wanted(favourable, encoding)
    return sheet_fairness(sheets["training"], sheets["test"], label, good, protected, seed)


def wanted(favourable: Any, encoding: TableEncoding) -> tuple[Name, tuple[Any, ...]]:
    """The column that the label is, and its values that people want. Raises BadOption where this names none."""
    target = None if encoding.target is None else encoding.by_name[encoding.target]
    levels = target.content.values if target and isinstance(target.content, Categories) else ()
    left, *right = OPERATORS.split(str(favourable), maxsplit=1)
    if target and (spelled(favourable) in map(spelled, levels) or not right or named(left, encoding) is None):
        return target.name, (favourable,)
    if target is None and not right:
        raise BadOption("fairness is that of a label: name its column with --data.target, or write column=value.")
    choice, allowed = of_text(str(favourable), encoding)
    column = encoding.columns[encoding.layout.choices[choice].column]
    assert isinstance(column.content, Categories)
    return column.name, tuple(
        value for value, good in zip(column.content.values, allowed.tolist(), strict=False) if good
    )


def sheet_fairness(
    train: Sheet, test: Sheet, label: Name, good: Sequence[Any], protected: Name, seed: int = 0
) -> dict[str, float]:
    """As `fairness`, of sheets; `good` are the values of the label that people want."""
    place, group = train.place(label), train.place(protected)
    codes = [_level(train, place, value, "--favourable") for value in good]
    if train.fields[group].number or group == place:
        kind = "the target itself" if group == place else train.fields[group].column.kind
        raise BadOption(f"--fair {protected}: groups are categories, but this column is {kind}.")
    train, test = (sheet.rows(~sheet.missing(place)) for sheet in (train, test))
    some = train.sample(ROWS, seed, "utility")
    inputs, levels = Inputs.of(some, without=place), train.fields[place].levels
    assert levels is not None
    known = some.cells[place]
    chances = class_probabilities(boosted_trees, inputs, some, test, known, len(levels), seed)
    answers, truth = chances.argmax(axis=1), test.cells[place]
    favoured, deserving = np.isin(answers, codes), np.isin(truth, codes)
    return {
        "label_parity": gap(np.isin(train.cells[place], codes), train.cells[group]),
        "test_parity": gap(deserving, test.cells[group]),
        "parity": gap(favoured, test.cells[group]),
        "opportunity": gap(favoured[deserving], test.cells[group][deserving]),
        "accuracy": float((answers == truth).mean()) if len(truth) else 0.0,
    }


def _level(sheet: Sheet, place: int, value: Any, option: str) -> int:
    """Which level of a field a value is, as text or as itself. Raises BadOption where it is none."""
    field = sheet.fields[place]
    if field.levels is None:
        raise BadOption(f"{option} {value!r}: the target {field.name!r} holds numbers; it must hold categories.")
    for code, level in enumerate(field.levels):
        if level == value or spelled(level) == spelled(value):
            return code
    shown = ", ".join(spelled(level) for level in field.levels[:20])
    raise BadOption(f"{option} {value!r}: column {field.name!r} has no such category; it has {shown}.")


def gap(yes: np.ndarray, groups: np.ndarray) -> float:
    """The largest share of `yes` (n,) in a group less the smallest; groups (n,) are codes, -1 means none."""
    there = groups >= 0
    counts = np.bincount(groups[there])
    hits = np.bincount(groups[there], weights=yes[there], minlength=len(counts))
    large = counts >= FEW
    return float(np.ptp(hits[large] / counts[large])) if large.sum() > 1 else 0.0
