"""All measures together: real rows against themselves, leaks, odd tables, JSON, protocol, the quick form."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.metrics.tables.made import customers, shuffled
from zerosum.core.errors import BadFile, BadOption
from zerosum.data import Data, load
from zerosum.data.tables.encoding import TableEncoding
from zerosum.metrics.tables.baselines import GaussianCopula
from zerosum.metrics.tables.scores import BASELINES, MEANINGS, TableScores, evaluate_tables, quick_scores

Frame = pd.DataFrame


@pytest.fixture(autouse=True)
def strict() -> None:
    warnings.simplefilter("error")


@pytest.fixture(scope="module")
def scores() -> TableScores:
    train, test = customers(1200), customers(400, 1)
    encoding = TableEncoding.fit(train, target="churn")
    made = shuffled(train)
    return evaluate_tables(train, test, made, encoding, protected="sex", favourable="no")


def test_every_score_stands_beside_the_baselines(scores: TableScores) -> None:
    assert set(scores.values) <= set(MEANINGS) and set(scores.baselines) == set(BASELINES)
    for own in scores.baselines.values():
        assert set(own) == set(scores.values) and all(map(math.isfinite, own.values()))
    real, copula, apart = (scores.baselines[name] for name in ("real", "copula", "independent"))
    assert real["accuracy"] > apart["accuracy"] + 0.15 and copula["accuracy"] > apart["accuracy"] + 0.1
    assert real["pairs"] > copula["pairs"] > apart["pairs"]
    assert real["detection_auc"] == pytest.approx(0.5, abs=0.05) and apart["detection_auc"] > 0.8
    assert real["attack_auc"] == pytest.approx(0.5, abs=0.07) and real["copies"] < 0.01 > real["copies_expected"]


def test_shuffled_columns_are_right_alone_and_wrong_together(scores: TableScores) -> None:
    values = scores.values
    assert values["shapes"] == 1 and values["variation"] == 0 and values["missing"] == 1
    assert values["detection_auc"] > 0.8 and values["accuracy"] < scores.baselines["real"]["accuracy"] - 0.15
    assert values["attack_epsilon"] == 0


def test_columns_pairs_protocol_and_notes(scores: TableScores) -> None:
    assert list(scores.per_column) == ["age", "plan", "spent", "sex", "churn"]
    assert set(scores.per_column["plan"]) == {"shape", "missing", "variation"}
    assert np.shape(scores.per_pair["similarity"]) == np.shape(scores.per_pair["real"]) == (5, 5)
    p = scores.protocol
    assert (p["n_train"], p["n_test"], p["n_synthetic"], p["seed"], p["target"]) == (1200, 400, 1200, 0, "churn")
    assert p["privacy"]["different_rows_of_either_real_table"] == 400 and p["detection"]["rows_of_each"] == 1200
    assert not scores.notes


def test_json_and_print(scores: TableScores) -> None:
    assert TableScores.from_json(scores.to_json()) == scores
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(scores.table())
    console.file.close()
    text = console.export_text()
    assert "Independent columns" in text and "1,200 synthetic rows" in text
    for text in ("{}", "nothing", '{"kind": "image"}', scores.to_json().replace('"shapes"', '"shape"', 1)):
        with pytest.raises(BadFile, match="these are no scores of a table"):
            TableScores.from_json(text)


def test_real_rows_in_the_place_of_synthetic_ones_are_perfect_and_betrayed() -> None:
    train, test = customers(600), customers(300, 1)
    told: list[str] = []
    encoding = TableEncoding.fit(train, target="churn")
    values = evaluate_tables(train, test, train, encoding, baselines={}, progress=told.append).values
    assert values["shapes"] == values["pairs"] == values["missing"] == values["copies"] == 1
    assert values["detection_auc"] == pytest.approx(0.5, abs=0.03)
    assert values["attack_auc"] > 0.99 and values["attack_epsilon"] > 1 and values["copies_expected"] < 0.01
    assert told[0] == "synthetic rows: columns and pairs" and len(told) == 4


def test_baselines_are_taken_from_other_scores_and_seeds_repeat(scores: TableScores) -> None:
    train, test = customers(400), customers(200, 1)
    encoding = TableEncoding.fit(train, target="churn")
    first, again = (evaluate_tables(train, test, train, encoding, baselines=scores.baselines) for _ in range(2))
    assert first.baselines == scores.baselines and first == again


def test_fairness_needs_both_options() -> None:
    train = customers(100)
    with pytest.raises(BadOption, match="fairness needs both: --fair"):
        evaluate_tables(train, None, train, TableEncoding.fit(train), protected="sex")


def holed(frame: Frame) -> Frame:
    """A third of the cells missing."""
    draw = np.random.default_rng(0)
    return pd.DataFrame({name: frame[name].astype(object).mask(draw.random(len(frame)) < 0.3) for name in frame})


def dated(frame: Frame) -> Frame:
    """With points in time and durations, one of them in text."""
    days = pd.to_timedelta(np.arange(len(frame)) * 37 % 900, "D")
    when = pd.Timestamp("2023-01-01") + days
    return frame.assign(when=when.where(frame.age > 30), text=when.strftime("%d.%m.%Y"), took=days)


ODD: dict[str, tuple[Callable[[Frame], Frame], Callable[[Frame], Frame], str | None]] = {
    "one column of numbers": (lambda f: f[["spent"]], lambda f: f, "spent"),
    "one column of categories": (lambda f: f[["plan"]], lambda f: f, "plan"),
    "all categories": (lambda f: f[["plan", "sex", "churn"]], shuffled, "churn"),
    "missing everywhere": (holed, shuffled, "churn"),
    "dates": (dated, shuffled, "spent"),
    "many categories": (lambda f: f.assign(city=[f"c{i * 37 % 290}" for i in range(len(f))]), shuffled, "churn"),
    "a category is lacking": (lambda f: f, lambda f: f[f.plan != "gold"], "plan"),
    "a new category": (lambda f: f, lambda f: f.assign(plan="new"), "plan"),
    "a constant column": (lambda f: f, lambda f: f.assign(spent=1.5, sex="f"), "spent"),
    "an empty column": (lambda f: f, lambda f: f.assign(spent=np.nan, churn=None), "churn"),
    "two rows": (lambda f: f, lambda f: f[:2], "churn"),
    "one row": (lambda f: f, lambda f: f[:1], "spent"),
    "no target": (lambda f: f, lambda f: f, None),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_tables(name: str) -> None:
    change, make, target = ODD[name]
    frame = change(customers(360))
    encoding = TableEncoding.fit(frame, target=target)
    train, test = frame[:300], frame[300:]
    scores = evaluate_tables(train, test, make(train), encoding)
    assert TableScores.from_json(scores.to_json()) == scores
    for own in (scores.values, *scores.baselines.values()):
        assert all(map(math.isfinite, own.values()))
        assert all(0 <= own[key] <= 1 for key in ("shapes", "pairs", "missing", "detection_auc") if key in own)
    assert ("pairs" in scores.values) == (len(scores.per_column) > 1)
    assert "auc" in scores.values or "r2" in scores.values or target is None


@pytest.mark.parametrize("held", [0, 3])
def test_few_held_out_rows(held: int) -> None:
    frame = customers(203)
    scores = evaluate_tables(
        frame[:200], frame[200 : 200 + held], frame[:200], TableEncoding.fit(frame, target="churn")
    )
    assert "auc" not in scores.values and "attack_auc" not in scores.values and scores.values["shapes"] == 1
    assert f"{held} held-out rows are too few to test models on (20 are needed)" in scores.notes
    assert any("too few to measure privacy" in note for note in scores.notes)


def test_quick_scores() -> None:
    train = customers(1500)
    encoding = TableEncoding.fit(train)
    good, bad = (quick_scores(train, made, encoding) for made in (customers(1500, 1), shuffled(train)))
    assert set(good) >= {"shapes", "pairs", "detection_auc", "detection_score"} <= set(MEANINGS)
    assert good["detection_auc"] < 0.6 < bad["detection_auc"] and good["pairs"] > bad["pairs"]


FILES = {"adult": "income", "credit_default": "default.payment.next.month", "king_county_houses": "price"}


@pytest.mark.slow
@pytest.mark.skipif("ZEROSUM_DATA" not in os.environ, reason="ZEROSUM_DATA is not set")
@pytest.mark.parametrize("name", FILES)
def test_real_tables(name: str) -> None:
    path = Path(os.environ["ZEROSUM_DATA"]) / "tables" / f"{name}.csv.gz"
    data = load(path, Data(target=FILES[name], limit=4000))
    train, test = data.train.frame(), data.test.frame()  # type: ignore[attr-defined]
    encoding: TableEncoding = data.encoding  # type: ignore[assignment]
    copula = GaussianCopula().fit(train, encoding).sample(len(train), seed=1)
    scores = evaluate_tables(train, test, copula, encoding)
    key = "auc" if "auc" in scores.values else "r2"
    real, own = scores.baselines["real"][key], scores.values[key]
    assert scores.baselines["independent"][key] < own < real and own > 0.6
    assert scores.values["shapes"] > 0.97 and scores.values["detection_auc"] > 0.8
    assert scores.values["attack_epsilon"] == 0 and scores.values["nearer_train"] == pytest.approx(0.5, abs=0.08)
    assert quick_scores(train, copula, encoding)["pairs"] == pytest.approx(scores.values["pairs"])
