"""`zerosum impute`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Result
from tests.gans.games import table
from tests.training.test_imputer import imputer
from zerosum.data.tables.reading import read_table

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an imputer that learned from a text file with semicolons."""
    folder = tmp_path_factory.mktemp("runs")
    frame = table()
    frame["day"] = frame["day"].dt.strftime("%Y-%m-%d")
    frame["ratio"] = frame["ratio"].round(3)
    frame.to_csv(folder / "learned.csv", index=False)
    imputer(read_table(folder / "learned.csv").frame).save(folder / "generator")
    return folder


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """A text file of such rows, with holes."""
    frame = table(30, seed=2)
    frame["day"] = frame["day"].dt.strftime("%Y-%m-%d")
    frame["ratio"] = frame["ratio"].round(3)
    frame.loc[:5, ["ratio", "count", "day"]] = None
    frame["count"] = frame["count"].astype("Int64")
    frame.to_csv(tmp_path / "holed.csv", index=False, sep=";", decimal=",")
    return tmp_path / "holed.csv"


def test_fills_in_a_file_in_its_dialect(zerosum: Command, run: Path, holed: Path) -> None:
    found = zerosum("impute", run, holed, "--out", holed.with_name("whole.csv"))
    assert found.code == 0, found.err
    before, after = holed.read_text().splitlines(), holed.with_name("whole.csv").read_text().splitlines()
    assert before[0] == after[0] and len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        cells = list(zip(old.split(";"), new.split(";"), strict=True))
        assert all(right for _, right in cells)
        assert all(left in ("", right) for left, right in cells)
    lost = sum(cell == "" for line in before for cell in line.split(";"))
    assert f"filled in {lost} cells of 30 rows" in found.out


def test_draws_several_tables(zerosum: Command, run: Path, holed: Path) -> None:
    found = zerosum("impute", run, holed, "--out", holed.with_name("d.parquet"), "--draws", 2, "--seed", 1, "--json")
    assert found.code == 0, found.err
    told = json.loads(found.out)
    assert [Path(file).name for file in told["files"]] == ["d-1.parquet", "d-2.parquet"]
    first, second = (pd.read_parquet(file) for file in told["files"])
    assert not first.equals(second) and not first.isna().any(axis=None)
    assert told["left"] == {} and told["rows"] == 30


def test_names_the_file_itself(zerosum: Command, run: Path, holed: Path) -> None:
    assert zerosum("impute", run, holed).code == 0
    assert holed.with_name("holed-imputed.csv").is_file()


def test_a_column_that_is_empty_here_alone(zerosum: Command, run: Path, holed: Path) -> None:
    frame = pd.read_csv(holed, sep=";", decimal=",").assign(ratio=None, sort=None)
    frame.to_csv(holed, index=False)
    assert zerosum("impute", run, holed, "--out", holed.with_name("o.csv")).code == 0
    made = pd.read_csv(holed.with_name("o.csv"))
    assert made["ratio"].between(0, 1).all() and made["sort"].isin(["red", "green", "blue"]).all()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--out", "x.xlsx"], "tables are written as .csv"),
        (["--draws", "-1"], "--draws is -1"),
        (["--out", "{input}"], "would write over the table"),
    ],
)
def test_refuses(zerosum: Command, run: Path, holed: Path, arguments: list[str], complaint: str) -> None:
    found = zerosum("impute", run, holed, *(text.format(input=holed) for text in arguments))
    assert found.code == 2 and complaint in found.err


def test_refuses_other_tables(zerosum: Command, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n,3\n")
    found = zerosum("impute", run, other)
    assert found.code == 2 and "lacks the columns 'amount'" in found.err
    assert not (tmp_path / "other-imputed.csv").exists()
    assert zerosum("impute", tmp_path / "nothing", other).code == 2


def test_refuses_other_generators(zerosum: Command, holed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.training.test_translator import translator
    from zerosum import api

    monkeypatch.setattr(api, "load", lambda path: translator())
    found = zerosum("impute", "RUN", holed)
    assert found.code == 2 and "which fills in nothing: train gain or masked_imputer" in found.err
