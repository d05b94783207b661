"""Tables on the command line: train, sample, evaluate, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.training.test_table_generator import people
from zerosum.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    people(300).to_csv(folder / "people.csv", index=False)
    command = ["train", "ctgan", "--data", folder / "people.csv", "--target", "sex", "--epochs", "2", "--hidden", "16"]
    assert main([*map(str, command), "--run.batch-size", "100", "--run.folder", str(folder / "run")]) == 0
    return folder / "run"


def test_a_run_has_its_scores_and_its_page(run: Path) -> None:
    scores = json.loads((run / "scores.json").read_text())
    assert {"shapes", "pairs", "detection_auc", "auc", "copies"} <= set(scores["values"])
    assert set(scores["baselines"]) == {"real", "copula", "independent"}
    assert "Column shapes" in (run / "table.html").read_text()
    assert "table.html" in (run / "report.html").read_text()


def test_rows_come_as_the_table_was(run: Path, tmp_path: Path) -> None:
    command = ["sample", str(run), "-n", "40", "--given", "group=rare", "--given", "age>60", "--out"]
    for name in ("rows.csv", "rows.parquet"):
        assert main([*command, str(tmp_path / name)]) == 0
    frame = pd.read_csv(tmp_path / "rows.csv")
    assert list(frame.columns) == list(people(2).columns)
    assert len(frame) == 40 and (frame["group"] == "rare").all() and (frame["age"] > 60).all()
    assert len(pd.read_parquet(tmp_path / "rows.parquet")) == 40
    assert main(["sample", str(run), "-n", "40", "--balance", "sex", "--out", str(tmp_path / "even.csv")]) == 0
    assert pd.read_csv(tmp_path / "even.csv")["sex"].value_counts().tolist() == [20, 20]


def test_evaluate_measures_rows_and_fairness(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", str(run), "-n", "200", "--fair", "group", "--favourable", "f", "--json"]
    assert main([*command, "--html", str(tmp_path / "page.html")]) == 0
    assert "parity" in json.loads(capsys.readouterr().out)["values"]
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "RUN", "--given", "age>900"], "goes from 18 to"),
        (["sample", "RUN", "--given", "colour=red"], "there is no column 'colour'"),
        (["sample", "RUN", "--out", "rows.xlsx"], "tables are written as .csv"),
        (["sample", "RUN", "--class", "3"], "--given column=value"),
        (["sample", "RUN", "-n", "0"], "ask for 1 or more"),
        (["evaluate", "RUN", "--fair", "group"], "--favourable"),
        (["train", "ctgan", "--data", "digits"], "learns tables"),
        (["train", "dcgan", "--data", "CSV"], "is a table"),
        (["train", "ctgan", "--data", "CSV", "--features", "inception"], "are for images"),
        (["train", "ctgan", "--data", "CSV", "--batch-size", "55"], "cannot be packed by 10"),
        (["train", "ctgan", "--data", "CSV", "--batch-size", "0"], "both must be 1 or more"),
        (["train", "ctgan", "--data", "CSV", "--pack", "0"], "both must be 1 or more"),
        (["train", "ctgan", "--data", "CSV", "--epochs", "-3"], "is to last -3 rounds"),
        (["train", "tvae", "--data", "CSV", "--epochs", "0"], "nothing is to be trained"),
        (["train", "dp_ctgan", "--data", "CSV", "--epochs", "inf"], "cannot be built with these settings"),
        (["train", "ctgan", "--data", "CSV", "--target", "salary"], "no column 'salary'"),
        (["train", "ctgan", "--data", "CSV", "--augment", "ada"], "images"),
    ],
)
def test_what_cannot_be_is_refused(
    run: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    places = {"RUN": str(run), "CSV": str(run.parent / "people.csv")}
    assert main([places.get(word, word) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
