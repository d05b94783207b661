"""How good an imputer is: cells of held-out rows are hidden, filled in, and compared."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import zerosum
from zerosum.cli import main
from zerosum.core.errors import BadData, BadFile, BadOption
from zerosum.data import Data, load
from zerosum.data.options import Table
from zerosum.data.spec import Dataset
from zerosum.gans.tables.gain import Config
from zerosum.metrics.tables.imputing import (
    FEWEST,
    MECHANISMS,
    ImputationScores,
    as_numbers,
    evaluate_imputer,
    with_holes,
)  # fmt: skip
from zerosum.training.loop import Run


def shop(rows: int = 400) -> pd.DataFrame:
    """A number, a whole one, a level, a date, a category, a truth: all told by one hidden place."""
    draw = np.random.default_rng(0)
    place = draw.integers(0, 4, rows)
    frame = pd.DataFrame({
        "price": place * 10.0 + draw.normal(size=rows).round(3), "n": place * 100 + draw.integers(0, 20, rows),
        "level": place, "day": pd.Timestamp(0) + pd.to_timedelta(place * 30 + draw.integers(0, 5, rows), "D"),
        "town": np.array(["a", "b", "c", "d"])[place], "far": place > 1, "id": range(1, rows + 1), "same": "x",
    })  # fmt: skip
    frame.loc[::17, "town"] = None
    return frame


class Oracle:
    """An imputer that knows the whole table, or says that all is as in the first row."""

    def __init__(self, data: Dataset, frame: pd.DataFrame | None):
        self.table, self.frame = data.encoding, frame
        self.asked: list[pd.DataFrame] = []

    def impute(self, frame: pd.DataFrame, *, seed: int, draws: bool = False) -> pd.DataFrame:
        self.asked.append(frame)
        made = frame.copy()
        for name in made.columns:
            known = frame[name].dropna().iloc[0] if self.frame is None else self.frame[name].to_numpy()
            made[name] = made[name].where(made[name].notna(), known)
        return made


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load(shop())


def test_who_knows_the_cells_makes_no_errors(data: Dataset) -> None:
    assert data.test is not None
    truth = data.test.frame()  # type: ignore[attr-defined]
    oracle: Any = Oracle(data, truth)
    found = evaluate_imputer(oracle, data)
    assert list(found.values) == list(MECHANISMS) and found.protocol["rows"] == len(truth) and not found.notes
    for ways in found.values.values():
        assert all(value == pytest.approx(0.0, abs=1e-9) for value in ways["imputer"].values())
        assert ways["imputer"] == ways["draws"] and ways["mean"]["rmse"] > 0.2
        assert ways["chained"]["rmse"] < 0.5 * ways["mean"]["rmse"]
    share = np.mean([oracle.asked[0][name].isna().mean() for name in ("price", "n", "level", "day", "far")])
    assert 0.12 < share < 0.28 and not oracle.asked[0]["id"].isna().any()
    assert list(oracle.asked[0].columns) == list(truth.columns)


def test_who_knows_nothing_is_worse_than_regressions(data: Dataset) -> None:
    nothing: Any = Oracle(data, None)
    found = evaluate_imputer(nothing, data).values["mcar"]
    assert found["imputer"]["rmse"] > 3 * found["chained"]["rmse"]
    assert found["imputer"]["error"] > 0.4 > found["chained"]["error"] + 0.2


def test_scores_are_kept_and_shown(data: Dataset) -> None:
    nothing: Any = Oracle(data, None)
    found = evaluate_imputer(nothing, data)
    again = ImputationScores.from_json(found.to_json())
    assert again == found and again.headline == ("RMSE (MCAR)", found.values["mcar"]["imputer"]["rmse"])
    for text in ("{}", "[]", "x", '{"kind": "table"}', '{"kind": "imputation", "values": {}, "protocol": {}}'):
        with pytest.raises(BadFile, match="no scores of an imputer"):
            ImputationScores.from_json(text)
    assert found.table().row_count == 9


def test_what_cannot_be_measured(data: Dataset) -> None:
    nothing: Any = Oracle(data, None)
    few = load(shop(100))
    assert few.test is not None and len(few.test) < FEWEST
    assert any("held out" in note for note in evaluate_imputer(nothing, few).notes)
    with pytest.raises(BadData, match="rows are too few to hide cells of"):
        evaluate_imputer(nothing, load(shop(15)))
    with pytest.raises(BadData, match="lacks price"):
        evaluate_imputer(nothing, load(shop().drop(columns="price")))
    with pytest.raises(BadOption, match="give a table"):
        evaluate_imputer(nothing, load("digits"))
    towns = load(shop(), Data(table=Table(drop=("price", "n", "level", "day", "far", "id", "same"))))
    with pytest.raises(BadData, match="no cells to hide"):  # equal rows are on one side: those without a town
        evaluate_imputer(Oracle(towns, None), towns)  # type: ignore[arg-type]
    one = load(shop(), Data(table=Table(drop=("town", "n", "level", "day", "far", "id", "same"))))
    alone = evaluate_imputer(Oracle(one, None), one)  # type: ignore[arg-type]
    assert list(alone.values) == ["mcar", "mnar"] and "single column" in alone.notes[0]
    wide = load(pd.DataFrame(np.random.default_rng(0).normal(size=(300, 301)).round(2)))
    assert "chained" not in evaluate_imputer(Oracle(wide, None), wide).values["mcar"]  # type: ignore[arg-type]


def test_dtypes_can_be_missing() -> None:
    frame = pd.DataFrame({
        "i": np.arange(4, dtype="int16"), "u": np.arange(4, dtype="uint8"), "b": [True, False] * 2, "f": [0.5] * 4,
        "s": list("abcd"), "c": pd.Categorical(list("aabb")), "t": pd.to_datetime(["2020-01-01"] * 4),
    })  # fmt: skip
    holed = with_holes(frame, list(frame.columns), np.eye(4, 7, dtype=bool))
    assert [str(dtype) for dtype in holed.dtypes[:4]] == ["Int16", "UInt8", "boolean", "float64"]
    assert holed.isna().to_numpy().sum() == 4 and holed["i"].tolist()[1:] == [1, 2, 3]


def test_as_numbers(data: Dataset) -> None:
    found = as_numbers(shop(), data.encoding)  # type: ignore[arg-type]
    assert list(found.columns) == ["price", "n", "level", "day", "town", "far"]
    assert all(found[name].dtype == "float64" for name in ("price", "n", "level", "day"))
    assert found["town"][0] is None and set(found["far"]) == {"True", "False"}


def test_a_training_is_measured_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, run = tmp_path / "shop.csv", tmp_path / "run"
    shop(300).to_csv(path, index=False)
    config = dataclasses.replace(Config(), rounds=30, batch_size=32)
    zerosum.train("gain", str(path), config=config, run=Run(run), quiet=True)
    stored = ImputationScores.from_json((run / "scores.json").read_text())
    page = (run / "report.html").read_text()
    assert "at random (MCAR)" in page and "chained regressions" in page
    assert main(["evaluate", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["values"] == stored.values
    assert main(["evaluate", str(run)]) == 0 and "held-out rows, 20% of whose cells" in capsys.readouterr().out
    for wrong in ("--fair", "town"), ("--html", str(tmp_path / "x.html")), ("--nearest", str(tmp_path / "x.png")):
        assert main(["evaluate", str(run), *wrong]) == 2
        assert "imputers" in capsys.readouterr().err
