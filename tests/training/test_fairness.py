"""Fair rows: what `--fair` and `--favourable` mean, and what the term pulls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from zerosum.core.errors import BadOption
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.store import TableStore
from zerosum.gans.tables.ctgan import CTGAN, Config
from zerosum.networks.tabular import Blocks
from zerosum.objectives.parity import parity as parity_of
from zerosum.training.arena import Arena
from zerosum.training.conditions import BySampling
from zerosum.training.fairness import Parity, favourable

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


def test_the_lesson_is_two_rules_of_which_one_is_fair() -> None:
    table = encoding()
    parity = Parity("sex", ">50K", 2.0, table.spec.shape[0])
    parity.meet(table)
    rows, weights = table.encode(FRAME)["row"], torch.rand(40, generator=torch.Generator().manual_seed(0))
    terms = parity.lesson(rows, weights)
    assert parity.C is not None
    plain, fair = parity.C(rows).unbind(1)
    label = rows[:, parity.good].squeeze(1)
    wrong = torch.nn.functional.binary_cross_entropy(plain.sigmoid(), label, reduction="none")
    assert terms["plain"].item() == pytest.approx((wrong * weights).mean().item(), rel=1e-4)
    gap = parity_of(fair.sigmoid(), rows[:, parity.groups], weights)
    assert terms["parity"].item() == pytest.approx(2.0 * gap.item(), rel=1e-4)
    assert names(table, parity.C.hidden.nonzero().squeeze(1)) == [("income", 0), ("income", 1)]


def test_several_favourable_values_and_none() -> None:
    """Labels move between what is favourable and what is not, and among several as often as the rows have them."""
    table = encoding("level")
    parity = Parity("sex", "level>=2", 1.0, table.spec.shape[0])
    parity.meet(table)
    assert names(table, parity.poor) == [("level", 0)]
    assert parity.C is not None
    torch.nn.init.zeros_(parity.C.head.weight)
    parity.C.head.bias.data = torch.tensor([-9.0, 9.0])  # from hardly ever to nearly always
    rows = table.encode(FRAME)["row"].repeat(50, 1)
    torch.manual_seed(0)
    after = parity.relabelled(rows)
    moved = after[rows[:, parity.poor].squeeze(1) > 0].index_select(1, parity.label).mean(0)
    assert moved[0] < 0.01 and moved[1] == pytest.approx(2 / 3, abs=0.06)
    assert after[:, parity.label].sum(1).eq(1).all()


def test_other_columns_than_the_target_need_no_target() -> None:
    assert favourable("income=>50K", encoding(None))[1].tolist() == [False, True]


def test_rows_count_as_often_as_they_are_drawn() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.choice(["x", "y", "z"], 4000, p=[0.9, 0.09, 0.01]), "b": draw.random(4000) < 0.2})
    table = TableEncoding.fit(frame)
    store = TableStore(table, *table.compact(frame))
    game = CTGAN(Config(hidden=8), table.spec).seat(Arena())
    game.meet(store)
    order = BySampling(store, (0,))
    condition = order.beside(0, 50_000)["condition"]
    weights = game.as_drawn({"condition": condition})
    assert weights is not None and weights.mean() == pytest.approx(1.0, abs=0.03)
    found = (condition * weights[:, None]).sum(0) / 25_000
    counts = torch.cat([store.counts[j] for j in table.layout.discrete]) / 4000
    torch.testing.assert_close(found, counts.to(found.dtype), rtol=0.1, atol=0.01)
    assert game.as_drawn({}) is None
