"""The artifact of imputation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.gans.games import TABLE, encoded, play, seated, table
from zerosum.core.errors import BadData, BadOption
from zerosum.core.settings import to_json
from zerosum.data.spec import Spec
from zerosum.data.tables.columns import Column
from zerosum.gans.tables import gain, masked_imputer
from zerosum.networks.imputation import Guess
from zerosum.training.filling import expected, put
from zerosum.training.generator import TrainedGenerator
from zerosum.training.imputer import Imputer

SMALL = {
    "gain": gain.Config(rounds=4, batch_size=8),
    "masked_imputer": masked_imputer.Config(rounds=4, adversarial_rounds=1, batch_size=8, width=8, layers=2, bins=8),
}


def imputer(frame: pd.DataFrame | None = None, system: str = "masked_imputer", **options: Any) -> Imputer:
    """An imputer that has learned next to nothing, of the table of `games` or another one."""
    store = TABLE if frame is None else encoded(frame, **options)
    game = seated(system, SMALL[system], store.encoding.spec)
    play(game, store, 2)
    made = game.trained()
    assert isinstance(made, Imputer)
    made.encoding = store.encoding
    made.facts = {"system": system, "config": to_json(SMALL[system])}
    return made


@pytest.fixture(params=SMALL)
def trained(request: pytest.FixtureRequest) -> Imputer:
    return imputer(system=request.param)


@pytest.mark.parametrize("draws", [False, True])
@pytest.mark.parametrize("rounded", [False, True])
def test_fills_what_is_missing_and_nothing_else(trained: Imputer, draws: bool, rounded: bool) -> None:
    frame = table(30, seed=2)
    frame = frame.astype({"count": "Int64", "answer": "boolean"}).set_index(pd.Index(range(100, 130)))
    frame.loc[103] = pd.NA  # a whole row, and cells of columns that missed none in training
    assert frame["ratio"].dtype == "float64"
    made = trained.impute(frame, draws=draws, rounded=rounded, seed=4)
    assert not made.isna().any(axis=None)
    assert list(made.columns) == list(frame.columns) and made.index.equals(frame.index)
    for name in frame.columns:
        there = frame[name].notna()
        assert made[name][there].equals(frame[name][there]), name
        assert made[name].dtype == frame[name].dtype, name
    assert made["sort"].isin(["red", "green", "blue"]).all()
    assert made["amount"].between(table()["amount"].min(), table()["amount"].max()).all()
    assert not frame.loc[103].notna().any()  # what was given is as it was


def test_the_same_for_the_same_seed(trained: Imputer) -> None:
    frame = table(30, seed=2)
    one, same, other = (trained.impute(frame, draws=True, seed=seed) for seed in (1, 1, 2))
    assert one.equals(same) and not one.equals(other)
    first, second = trained.imputations(frame, 2, seed=1)
    assert not first.equals(second)
    assert trained.imputations(frame, 2, seed=1)[1].equals(second)
    with pytest.raises(BadOption, match="0 imputations were asked for"):
        trained.imputations(frame, 0)


def test_fills_in_the_same_after_saving(trained: Imputer, tmp_path: Path) -> None:
    trained.save(tmp_path / "generator")
    loaded = TrainedGenerator.load(tmp_path / "generator")
    assert isinstance(loaded, Imputer)
    frame = table(30, seed=2)
    assert loaded.impute(frame).equals(trained.impute(frame))
    assert loaded.impute(frame, draws=True).equals(trained.impute(frame, draws=True))


def test_makes_rows_of_nothing(trained: Imputer) -> None:
    made = trained.sample(12, seed=3)
    assert made.shape == (12, 7) and not made.isna().any(axis=None)
    assert made.dtypes.equals(table().dtypes)
    with pytest.raises(BadOption, match="cannot sample 0 rows"):
        trained.sample(0)
    with pytest.raises(BadOption, match="without conditions"):
        trained.sample(2, given={"sort": "red"})


def test_rounding_as_the_table_is() -> None:
    frame = table()
    frame["price"] = (frame["ratio"] * 100).round(2)
    frame["level"] = frame["level"] * 1.0
    made = imputer(frame)
    holed = frame.assign(price=np.nan, level=np.nan)
    rounded, exact = made.impute(holed), made.impute(holed, rounded=False)
    assert np.allclose(rounded["price"], rounded["price"].round(2), atol=1e-12)
    assert not np.allclose(exact["price"], exact["price"].round(2), atol=1e-4)
    assert np.allclose(rounded["price"], exact["price"], atol=0.006)
    assert rounded["level"].isin([1.0, 2.0, 3.0]).all() and not exact["level"].isin([1.0, 2.0, 3.0]).all()
    assert (rounded["level"] - exact["level"]).abs().max() <= 0.5 + 1e-6


def test_whole_numbers_stay_whole() -> None:
    frame = table().astype({"count": "Int64"})
    holed = frame.copy()
    holed.loc[:4, "count"] = pd.NA
    made = imputer(frame).impute(holed, rounded=False)
    assert made["count"].dtype == "Int64" and made["count"].notna().all()


def test_unknown_categories_stay_and_count_as_unknown() -> None:
    made, frame = imputer(), table(30, seed=2)
    frame.loc[0, "sort"] = "violet"
    frame.loc[0, "amount"] = np.nan
    hidden = frame.copy()
    hidden.loc[0, "sort"] = np.nan
    filled = made.impute(frame)
    assert filled.loc[0, "sort"] == "violet"
    assert filled.loc[0, "amount"] == made.impute(hidden).loc[0, "amount"]


def test_nothing_missing_is_given_back() -> None:
    frame = table(30, seed=2).dropna()
    assert imputer().impute(frame).equals(frame)


def test_what_no_network_learns() -> None:
    frame = table().assign(code=[f"C-{i:04d}" for i in range(40)], empty=np.nan, fixed="yes")
    frame["code"] = frame["code"].where(frame.index != 7)
    made = imputer(frame, kinds={"code": "identifier"})
    holed = frame.copy()
    holed.loc[[1, 2], "code"] = None
    holed.loc[3, "fixed"] = None
    filled = made.impute(holed)
    assert filled["code"].is_unique and filled["code"].str.fullmatch(r"C-\d{4}").all()
    assert filled["code"][3:7].equals(frame["code"][3:7])
    assert (filled["fixed"] == "yes").all()
    assert filled["empty"].isna().all()
    assert not filled.drop(columns="empty").isna().any(axis=None)


def test_constraints_are_kept_by_cells_that_were_missing() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.random(40), "b": draw.random(40)})
    frame = frame.assign(total=frame["a"] + frame["b"], more=frame["a"] + 2.0)
    made = imputer(frame, constraints=["total = a + b", "a <= more"])
    holed = frame.copy()
    holed.loc[:9, "total"] = np.nan
    holed.loc[10:19, "more"] = np.nan
    holed.loc[10:19, "a"] = 3.5
    for draws in (False, True):
        filled = made.impute(holed, draws=draws)
        assert np.allclose(filled["total"][:10], (frame["a"] + frame["b"])[:10], atol=1e-6)
        assert (filled["more"][10:20] >= 3.5).all()
        assert filled["a"].equals(holed["a"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda frame: frame.drop(columns="ratio"), "lacks the columns 'ratio'"),
        (lambda frame: frame.assign(more=1), "has unknown columns 'more'"),
        (lambda frame: frame.assign(amount="much"), "'amount' is continuous, and cells of it are not"),
        (lambda frame: frame["sort"], "a Series was given as a table"),
        (
            lambda frame: frame.assign(sort=frame["sort"].where(frame["sort"] == "red").astype("category")),
            "'sort' is category, which cannot hold",
        ),
    ],
)
def test_refuses_other_tables(change: Any, complaint: str) -> None:
    made = imputer()
    with pytest.raises(BadData, match=complaint):
        made.impute(change(table(60, seed=2)), draws=True)


def test_an_empty_column_gets_the_dtype_of_training() -> None:
    filled = imputer().impute(table(30, seed=2).assign(sort=np.nan))
    assert filled["sort"].dtype == table()["sort"].dtype and filled["sort"].notna().all()
    assert put(pd.Series([None, "a"]), np.array([True, False]), np.array(["b", "a"]), "x").tolist() == ["b", "a"]


def test_other_frames_and_no_encoding() -> None:
    pl = pytest.importorskip("polars")
    frame = table(30, seed=2)[["amount", "ratio", "count"]]
    made = imputer(table()[["amount", "ratio", "count"]])
    assert made.impute(pl.from_pandas(frame))["amount"].notna().all()
    made.encoding = None
    with pytest.raises(BadOption, match="no encoding"):
        made.impute(frame)


def guess_of(made: Imputer, name: str) -> tuple[Column, Guess]:
    """What is guessed of a column where nothing is known."""
    cells = made.network.cells.cells
    rows, visible = torch.zeros(1, made.spec.shape[0]), torch.zeros(1, len(cells), dtype=torch.bool)
    guesses = made.network.guess(rows, visible, torch.zeros(1, made.network.latent))
    column = made.table.by_name[name]
    return column, next(g for c, g in zip(cells, guesses, strict=True) if made.table.columns[c.column] is column)


def test_best_guesses_of_each_kind() -> None:
    made = imputer()
    for name, chances, best in (("level", [0.5, 0.0, 0.5], 2.0), ("sort", [0.3, 0.3, 0.4], 2)):
        column, guess = guess_of(made, name)
        guess.chances = torch.tensor([chances])
        assert expected(column, guess) == best
    mean = expected(*guess_of(made, "ratio"))
    nothing = table(500).assign(**dict.fromkeys(table().columns, np.nan))
    draws = made.impute(nothing, draws=True)["ratio"]
    assert mean == pytest.approx(draws.mean(), abs=5 * draws.std() / 500**0.5)


def test_ordered_levels_get_the_median() -> None:
    dtype = pd.CategoricalDtype(["low", "middle", "high"], ordered=True)
    frame = table().assign(size=pd.Categorical.from_codes(np.arange(40) % 3, dtype=dtype))
    made = imputer(frame)
    column, guess = guess_of(made, "size")
    guess.chances = torch.tensor([[0.4, 0.15, 0.45]])
    assert expected(column, guess) == 1
    filled = made.impute(frame.assign(size=frame["size"].where(frame.index > 5)))
    assert filled["size"].dtype == dtype and filled["size"].notna().all()


def test_images_are_refused() -> None:
    for name in SMALL:
        with pytest.raises(BadOption, match="these samples are image: give a table"):
            seated(name, SMALL[name], Spec((3, 8, 8)))
