"""Rows under conditions, and training by sampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from zerosum.core.errors import BadOption
from zerosum.core.settings import to_json
from zerosum.data import load
from zerosum.data.options import Data, Table
from zerosum.data.spec import Dataset
from zerosum.data.tables.rows import Layout
from zerosum.gans.tables.ctgan import CTGAN, Config
from zerosum.training.arena import Arena
from zerosum.training.conditions import BySampling, choose, counted
from zerosum.training.generator import TrainedGenerator
from zerosum.training.table_generator import TableGenerator

N = 1200


def people(n: int = N) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    group = draw.choice(["a", "b", "c", "rare"], n, p=[0.6, 0.3, 0.09, 0.01])
    frame = pd.DataFrame({
        "group": group,
        "sex": draw.choice(["f", "m"], n),
        "age": draw.integers(18, 90, n),
        "pay": np.round(draw.gamma(2.0, 900.0, n), 2),
        "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 10_000, n), unit="h"),
    })  # fmt: skip
    frame.loc[draw.random(n) < 0.1, "pay"] = np.nan
    return frame


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load(people(), Data(table=Table(constraints=("age >= 18",))))


@pytest.fixture(scope="module")
def generator(dataset: Dataset) -> TableGenerator:
    torch.manual_seed(0)
    game = CTGAN(Config(hidden=16, latent=8), dataset.spec).seat(Arena())
    game.meet(dataset.train)
    trained = game.trained()
    trained.encoding = dataset.encoding
    return trained


def test_rows_look_like_the_table(generator: TableGenerator) -> None:
    frame = generator.sample(300, seed=4)
    real = people(10)
    assert list(frame.columns) == list(real.columns)
    assert (frame.dtypes == real.dtypes).all()
    assert len(frame) == 300 and frame.index.equals(pd.RangeIndex(300))
    assert frame.equals(generator.sample(300, seed=4))
    assert not frame.equals(generator.sample(300, seed=5))


def test_a_saved_generator_asks_for_categories_as_often(generator: TableGenerator, tmp_path: Path) -> None:
    generator.facts = {"system": "ctgan", "config": to_json(Config(hidden=16, latent=8))}
    generator.save(tmp_path / "generator")
    loaded = TrainedGenerator.load(tmp_path / "generator")
    assert loaded.sample(50, seed=1).equals(generator.sample(50, seed=1))
    [rows] = generator.tensors(40, seed=2)
    assert rows.shape == (40, *generator.spec.shape)


@pytest.mark.parametrize(
    "given",
    [
        {"group": "rare"},
        {"group": "rare", "sex": "f"},
        ["age>60"],
        ["group=c", "age<=30"],
        "sex!=m",
        ["when >= 2024-06-01"],
    ],
)
def test_conditions_are_obeyed(generator: TableGenerator, given: object) -> None:
    frame = generator.sample(200, given=given, seed=1)
    query = {
        "{'group': 'rare'}": "group == 'rare'", "{'group': 'rare', 'sex': 'f'}": "group == 'rare' and sex == 'f'",
        "['age>60']": "age > 60", "['group=c', 'age<=30']": "group == 'c' and age <= 30", "sex!=m": "sex == 'f'",
        "['when >= 2024-06-01']": "when >= '2024-06-01'",
    }[str(given)]  # fmt: skip
    assert len(frame) == len(frame.query(query)) == 200


def test_a_rare_category_comes_as_its_own_probability_says(dataset: Dataset, generator: TableGenerator) -> None:
    """Keeping z by what their logits say gives the rows that throwing away the others would."""
    direct = generator.sample(60_000, seed=3)
    fewer = direct[direct["sex"] == "f"]
    wanted = generator.sample(20_000, given={"sex": "f"}, seed=7)
    # G is untrained and asked for sex=f in every row here: other conditions move the other columns only a little.
    for category in ("a", "b", "c", "rare"):
        assert abs((fewer["group"] == category).mean() - (wanted["group"] == category).mean()) < 0.06


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["age>90"], "goes from 18 to 89"),
        (["when < 2020-01-01"], "goes from 2024-01-01"),
        ({"group": "d"}, "it has a, b, c, rare"),
        ({"sx": "f"}, "did you mean 'sex'"),
        (["sex=f", "sex=m"], "no value of column 'sex' does"),
        (["pay=oops"], "holds numbers"),
        ("sex", "is no condition"),
    ],
)
def test_impossible_conditions_are_refused(generator: TableGenerator, given: object, message: str) -> None:
    with pytest.raises(BadOption, match=message):
        generator.sample(5, given=given)


def test_what_never_comes_ends(generator: TableGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerosum.training.table_generator.LEAST", 20_000)
    monkeypatch.setattr("zerosum.training.table_generator.PATIENCE", 10)
    with pytest.raises(BadOption, match=r"of [\d,]+ rows drawn \d+ fulfil pay>8400, age<19"):
        generator.sample(500, given=["pay>8400", "age<19"])


def test_unique_and_forbidden_rows_are_made_anew(dataset: Dataset) -> None:
    # Reading: a table of codes that are unique, and a combination that never occurs.
    frame = people(400).assign(code=np.arange(400) % 400)
    frame = frame[~((frame["group"] == "c") & (frame["sex"] == "m"))].reset_index(drop=True)
    data = load(frame, Data(table=Table(kinds=("code=integer",), constraints=("unique code", "never group=c, sex=m"))))
    torch.manual_seed(0)
    game = CTGAN(Config(hidden=16, latent=8), data.spec).seat(Arena())
    game.meet(data.train)
    trained = game.trained()
    trained.encoding = data.encoding
    made = trained.sample(40, seed=1)
    assert len(made) == 40 and made["code"].is_unique
    assert made.query("group == 'c' and sex == 'm'").empty


def test_unconditional_rows_follow_the_true_frequencies(dataset: Dataset) -> None:
    """A generator that obeys its condition makes categories as often as the data has them, rare ones, too."""
    generator = TableGenerator(Obedient(dataset), CTGAN(Config(hidden=4), dataset.spec).latent, dataset.spec)
    generator.encoding = dataset.encoding
    generator.network.counts.copy_(counted(dataset.train))
    frame = generator.sample(20_000, seed=1)
    asked = frame[frame["group"].notna()]
    real = dataset.train.frame()["group"].value_counts(normalize=True)
    # Half of the rows are asked for a group, the others for a sex, and have group a.
    found = asked["group"].value_counts(normalize=True)
    for category in ("b", "c", "rare"):
        assert found[category] == pytest.approx(real[category] / 2, abs=0.002)


class Obedient(torch.nn.Module):
    """Makes what it is asked for, and else the first category."""

    def __init__(self, dataset: Dataset):
        super().__init__()
        layout = Layout(dataset.spec)
        self.asked, self.first = layout.conditions, layout.starts[1]
        self.width = dataset.spec.shape[0]
        self.register_buffer("counts", torch.ones(len(self.asked)))
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, z: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        rows = torch.zeros(len(z), self.width)
        rows[:, self.first] = 20.0
        return rows.index_add(1, self.asked, 60.0 * condition)


def test_training_by_sampling(dataset: Dataset) -> None:
    order = BySampling(dataset.train, (0,))
    rows, condition = order(500, 4000), order.beside(500, 4000)["condition"]
    batch = dataset.train.fetch(rows)["row"]
    asked = batch.index_select(1, Layout(dataset.spec).conditions)
    assert ((asked * condition).sum(1) == 1).all() and (condition.sum(1) == 1).all()
    assert torch.equal(order(500, 4000), rows) and not torch.equal(order(501, 4000), rows)
    counts = counted(dataset.train)
    sizes = [dataset.encoding.layout.choices[j].size for j in dataset.encoding.layout.discrete]
    shown = condition.mean(0).double().split(sizes)
    for own, share in zip(counts.split(sizes), shown, strict=True):
        assert share.sum() == pytest.approx(1 / len(sizes), abs=0.03)
        expected = own.log1p() / own.log1p().sum() / len(sizes)
        assert torch.allclose(share, expected, atol=0.03)


def test_choices_without_rows_are_not_chosen(dataset: Dataset) -> None:
    layout = dataset.encoding.layout
    counts = torch.zeros(len(layout.conditions), dtype=torch.float64)
    counts[1] = 3.0
    u = torch.linspace(0, 0.999999, 1000)
    choice, place = choose(layout, counts, torch.zeros(1000), u)
    assert (choice == layout.discrete[0]).all() and (place == 1).all()


def test_calibrated_frequencies_are_those_of_the_data(dataset: Dataset) -> None:
    torch.manual_seed(0)
    game = CTGAN(Config(hidden=16, latent=8, ema_half_life=None), dataset.spec).seat(Arena())
    game.meet(dataset.train)
    game.rounds = 1
    game.G.eval()
    generator = game.trained()
    generator.encoding = dataset.encoding
    frame, real = generator.sample(20_000, seed=3), dataset.train.frame()
    for name in ("group", "sex"):
        difference = frame[name].value_counts(normalize=True) - real[name].value_counts(normalize=True)
        assert difference.abs().max() < 0.012, name
    assert frame["pay"].isna().mean() == pytest.approx(real["pay"].isna().mean(), abs=0.012)
    raw = CTGAN(Config(hidden=16, latent=8, ema_half_life=None, calibrate=False), dataset.spec)
    assert not raw.trained().tilt.any()


def test_categories_are_balanced(generator: TableGenerator) -> None:
    frame = generator.sample(402, balance="group", seed=3)
    assert frame["group"].value_counts().to_dict() == {"a": 101, "b": 101, "c": 100, "rare": 100}
    assert frame["group"].iloc[:101].nunique() == 4 and frame.index.equals(pd.RangeIndex(402))
    assert frame.equals(generator.sample(402, balance="group", seed=3))
    both = generator.sample(10, balance="group", given=["sex=f", "group!=a"])
    assert (both["sex"] == "f").all() and both["group"].value_counts().to_dict() == {"b": 4, "c": 3, "rare": 3}


@pytest.mark.parametrize(
    ("column", "given", "message"),
    [
        ("groupp", None, "--balance groupp: there is no column 'groupp'; did you mean 'group'?"),
        ("pay", None, "--balance pay: the column is continuous, it has no categories"),
    ],
)
def test_what_cannot_be_balanced(generator: TableGenerator, column: str, given: list[str], message: str) -> None:
    with pytest.raises(BadOption) as refused:
        generator.sample(10, balance=column, given=given)
    assert message in str(refused.value)
