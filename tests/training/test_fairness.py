"""Fair rows: what `--fair` and `--favourable` mean, and what the term pulls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from zerosum.core.errors import BadOption
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.favourable import favourable
from zerosum.networks.tabular import Blocks
from zerosum.objectives.parity import parity as parity_of
from zerosum.training.fairness import Parity

FRAME = pd.DataFrame({
    "income": [" <=50K", " >50K", " <=50K", " <=50K"] * 10,
    "sex": ["Female", "Male", "Male", None] * 10,
    "level": [1.0, 2.0, 2.0, 3.0] * 10,
    "age": np.random.default_rng(0).normal(40, 10, 40),
    7: ["a=b", "c", "c", "c"] * 10,
})  # fmt: skip


def encoding(target: Any = "income") -> TableEncoding:
    return TableEncoding.fit(FRAME, target=target)


def names(table: TableEncoding, places: torch.Tensor) -> list[tuple[str, int]]:
    """Which category of which column the numbers of a row are."""
    every = [
        (block.name, i) for block, piece in zip(table.spec.blocks, table.spec.slices, strict=True)
        for i in range(piece.stop - piece.start)
    ]  # fmt: skip
    return [every[place] for place in places.tolist()]


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        (">50K", "income", [("income", 1)]),
        ("income = >50K", "sex", [("income", 1)]),
        ("level>=2", "income", [("level", 1), ("level", 2)]),
        ("7=c", "income", [("7", 1)]),
        ("a=b", 7, [("7", 0)]),
        ("2", "level", [("level", 1)]),
    ],
)
def test_what_is_favourable(text: str, target: Any, expected: list[tuple[str, int]]) -> None:
    table = encoding(target)
    parity = Parity("sex" if "level" in text or target != "sex" else "level", text, 1.0)
    parity.meet(table)
    assert names(table, parity.good) == expected


def test_groups_are_all_categories_but_missing() -> None:
    table = encoding()
    parity = Parity("sex", ">50K", 1.0)
    parity.meet(table)
    assert names(table, parity.groups) == [("sex", 0), ("sex", 1)]


@pytest.mark.parametrize(
    ("fair", "text", "target", "message"),
    [
        ("sexx", ">50K", "income", "--fair sexx: there is no column 'sexx'; did you mean 'sex'?"),
        ("age", ">50K", "income", "--fair age: groups are categories, two or more, but this column is continuous"),
        ("income", ">50K", "income", "--fair income and --favourable >50K name the same column"),
        ("sex", "rich", "income", "--favourable rich: the target 'income' has no such category; it has <=50K, >50K."),
        ("sex", "rich", None, "--favourable rich: name its column, as in sex=Female, or give --data.target."),
        ("sex", "rich", "age", "--favourable rich: the target 'age' has no such category; it is continuous."),
        ("sex", "income=rich", "income", "column 'income' has no category 'rich'; it has <=50K, >50K."),
        ("sex", "age>30", "income", "--favourable age>30: labels are categories, but column 'age' is continuous."),
        ("sex", "level>=1", "income", "--favourable level>=1: every value of column 'level' is"),
    ],
)
def test_refusals(fair: str, text: str, target: Any, message: str) -> None:
    with pytest.raises(BadOption) as refused:
        Parity(fair, text, 1.0).meet(encoding(target))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("sex", None, 1.0), "--fair needs --favourable"),
        ((None, ">50K", 1.0), "--favourable needs --fair"),
        (("sex", ">50K", -1.0), "--fairness is -1.0; it is a weight of 0 or more."),
    ],
)
def test_refusals_before_the_data_is_known(given: tuple[Any, Any, float], message: str) -> None:
    with pytest.raises(BadOption, match=message.replace("(", r"\(")):
        Parity(*given)


def test_labels_are_pulled_and_groups_are_not() -> None:
    table = encoding()
    parity = Parity("sex", ">50K", 2.0)
    logits = torch.randn(20, table.spec.shape[0], generator=torch.Generator().manual_seed(0), requires_grad=True)
    log = Blocks(table.spec).log_softmax(logits)
    assert parity.of_labels(log) == {}  # before it has met the table
    parity.meet(table)
    terms = parity.of_labels(log)
    good, groups = (log.index_select(1, places).exp() for places in (parity.good, parity.groups))
    assert terms["parity"].item() == pytest.approx(2.0 * parity_of(good.sum(1), groups).item())
    (gradient,) = torch.autograd.grad(terms["parity"], logits)
    assert names(table, gradient.abs().sum(0).nonzero().squeeze(1)) == [("income", 0), ("income", 1)]


def test_the_parity_of_a_rule() -> None:
    table = encoding("level")
    parity = Parity("sex", "level>=2", 2.0)
    rows = table.encode(FRAME)["row"]
    logits = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    [first] = [piece.start for b, piece in zip(table.spec.blocks, table.spec.slices, strict=True) if b.name == "level"]
    assert parity.of_rule(logits, first, rows) == {}  # before it has met the table
    parity.meet(table)
    good = logits.softmax(1)[:, 1:].sum(1)
    expected = 2.0 * parity_of(good, rows[:, parity.groups])
    assert parity.of_rule(logits, first, rows)["parity"].item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("text", "target", "name"),
    [
        (">50K", "income", "income"),
        ("level>=2", "income", "level"),
        ("7=c", None, "7"),
        ("a=b", 7, "7"),
        ("x", None, ""),
    ],
)
def test_which_column_the_label_is(text: str, target: Any, name: str) -> None:
    spec = encoding(target).spec
    column = Parity("sex", text, 1.0).column(spec)
    assert {block.name for block in spec.blocks if block.column == column} == ({name} if name else set())


def test_other_columns_than_the_target_need_no_target() -> None:
    assert favourable("income=>50K", encoding(None))[1].tolist() == [False, True]
