"""The store of a table: rows fetched, conditions matched, frequencies; its data set: split, fingerprint, notes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from zerosum.core.errors import BadOption
from zerosum.core.settings import from_json, to_json
from zerosum.data import Data, Spec, load
from zerosum.data.options import Table
from zerosum.data.spec import Dataset, Store
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.store import TableStore


def people(n: int = 500, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame({
        "age": pd.Series(draw.integers(18, 90, n)).astype("Int64").mask(draw.random(n) < 0.1),
        "town": draw.choice(["Aa", "Bb", "Cc"], n, p=[0.9, 0.09, 0.01]),
        "paid": draw.gamma(2, 100, n).round(2),
        "churn": draw.random(n) < 0.3,
    })  # fmt: skip


def data(n: int = 500) -> Dataset:
    return load(people(n), Data(target="churn"))


def store(n: int = 500) -> TableStore:
    found = data(n).train
    assert isinstance(found, TableStore)
    return found


def lines(frame: pd.DataFrame) -> list[str]:
    """The rows as text, sorted."""
    return sorted("|".join(map(str, row)) for row in frame.itertuples(index=False))


def test_a_data_set() -> None:
    found = data()
    train: Store = found.train
    assert found.test is not None and len(train) == 450 and len(found.test) == 50 and train.labels is None
    assert found.spec.kind == "table" and found.spec.classes == 0 and found.class_names == [] and found.name == "frame"
    assert found.spec.shape == (sum(block.size for block in found.spec.blocks),)
    assert from_json(Spec, json.loads(json.dumps(to_json(found.spec)))) == found.spec
    encoding = found.encoding
    assert isinstance(encoding, TableEncoding) and encoding.target == "churn"
    assert found.report is not None and found.report.usable == 500


def test_fetched_rows_are_the_encoded_ones() -> None:
    own = store()
    indices = torch.tensor([3, 0, 3, 449])
    rows = own.fetch(indices)["row"]
    assert rows.shape == (4, *own.encoding.spec.shape) and torch.equal(rows[0], rows[2])
    again = own.encoding.layout.expand(own.scalars[indices], own.choices[indices])
    assert torch.equal(rows, again)
    for block, piece in zip(own.encoding.spec.blocks, own.encoding.spec.slices, strict=True):
        if block.kind == "softmax":
            assert (rows[:, piece].sum(1) == 1).all() and set(rows[:, piece].unique().tolist()) <= {0.0, 1.0}
    pd.testing.assert_frame_equal(own.encoding.decode({"row": rows}), own.frame(indices))
    own.prefetch(indices)
    rows.mul_(0)
    assert torch.equal(own.fetch(indices)["row"], again)
    with pytest.raises(BadOption, match="rows of a table cannot be mirrored"):
        own.fetch(indices, torch.ones(4, dtype=torch.bool))


def test_every_row_is_on_one_side_and_equal_rows_on_the_same(tmp_path: Path) -> None:
    frame = people(300)
    frame = pd.concat([frame, frame.iloc[:100]], ignore_index=True)
    found = load(frame)
    assert isinstance(found.train, TableStore) and isinstance(found.test, TableStore)
    train, test = lines(found.train.frame()), lines(found.test.frame())
    assert not set(train) & set(test) and sorted(train + test) == lines(frame)
    assert "100 rows are equal to earlier ones; kept" in (found.notes or [])
    frame.to_csv(tmp_path / "people.csv", index=False)
    one, other = load(tmp_path / "people.csv"), load(tmp_path / "people.csv")
    assert one.name == "people" and one.fingerprint == other.fingerprint
    shuffled = load(frame.sample(frac=1, random_state=0))
    assert isinstance(shuffled.test, TableStore)
    assert lines(shuffled.test.frame()) == test


def test_fingerprints_tell_data_and_options_apart() -> None:
    prints = [
        load(people()).fingerprint,
        load(people(seed=1)).fingerprint,
        load(people(), Data(limit=100)).fingerprint,
        load(people(), Data(target="churn")).fingerprint,
        load(people(), Data(table=Table(kinds=("age=categorical",)))).fingerprint,
        load(people(), Data(table=Table(scaling="range"))).fingerprint,
        load(people()[["town", "age", "paid", "churn"]]).fingerprint,
    ]
    assert len(set(prints)) == len(prints)
    assert load(people()).fingerprint == prints[0]
    assert len(load(people(), Data(limit=100)).train) == 100


def test_mixtures_see_training_rows_alone() -> None:
    frame = people()
    found = load(frame)
    encoding = found.encoding
    assert isinstance(encoding, TableEncoding) and isinstance(found.test, TableStore)
    held_out = found.test.frame()
    changed = frame.copy()
    rows = changed["paid"].isin(held_out["paid"])
    changed.loc[rows, "paid"] = changed.loc[rows, "paid"].clip(20, 300)
    train = np.flatnonzero(~rows)
    one, other = (TableEncoding.fit(table, rows=train).by_name["paid"] for table in (frame, changed))
    assert (one == other) == (
        frame["paid"].min() == changed["paid"].min() and frame["paid"].max() == changed["paid"].max()
    )


def test_matching_rows_fulfil_the_condition_and_are_equally_likely() -> None:
    own = store(2000)
    encoding = own.encoding
    generator = torch.Generator().manual_seed(0)
    for name, value in (("town", "Cc"), ("town", "Aa"), ("churn", True)):
        choice, category = encoding.category(name, value)
        m = 4000
        found = own.matching(
            torch.full((m,), choice), torch.full((m,), category), torch.rand(m, generator=generator)
        )  # fmt: skip
        frame = own.frame(found)
        assert (frame[name] == value).all() and found.dtype == torch.int64
        possible = int(own.counts[choice][category])
        assert len(found.unique()) > 0.6 * min(possible, m)
    mixed = torch.randint(len(encoding.layout.choices), (300,), generator=generator)
    category = torch.stack([torch.multinomial(own.frequencies(int(j)), 1, generator=generator)[0] for j in mixed])
    found = own.matching(mixed, category, torch.rand(300, generator=generator))
    assert torch.equal(own.choices[found, mixed].to(torch.int64), category)
    edges = own.matching(mixed, category, torch.full((300,), 1 - 1e-9))
    assert torch.equal(own.choices[edges, mixed].to(torch.int64), category)


def test_matching_what_is_not_there() -> None:
    frame = pd.DataFrame({"x": np.arange(40.0) / 7, "c": ["a"] * 39 + ["b"]})
    encoding = TableEncoding.fit(frame)
    own = TableStore(encoding, *encoding.compact(frame.iloc[:39]))
    choice, category = encoding.category("c", "b")
    with pytest.raises(BadOption, match="no row has category 1 of column 'c'"):
        own.matching(torch.tensor([choice]), torch.tensor([category]), torch.rand(1))


def test_frequencies() -> None:
    own = store(2000)
    choice = own.encoding.choice("town")
    true, logged = own.frequencies(choice), own.frequencies(choice, log=True)
    shares = own.frame()["town"].value_counts(normalize=True).sort_index().to_numpy()
    assert np.allclose(true, shares) and true.sum() == pytest.approx(1) and logged.sum() == pytest.approx(1)
    counts = shares * len(own)
    assert np.allclose(logged, np.log1p(counts) / np.log1p(counts).sum()) and logged[2] > 10 * true[2]
    missing = own.frequencies(own.encoding.choice("age"))[-1]
    assert float(missing) == pytest.approx(own.frame()["age"].isna().mean())


def test_moving_keeps_everything() -> None:
    own = store()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    other = own.to(device)
    indices = torch.arange(20)
    assert torch.equal(other.fetch(indices)["row"].cpu(), own.fetch(indices)["row"])
    assert other.fetch(indices)["row"].device.type == device and len(other) == len(own)
    ask = torch.tensor([own.encoding.choice("town")] * 3), torch.tensor([0, 1, 2]), torch.rand(3)
    assert torch.equal(own.matching(*ask), other.matching(*ask))
    assert all(torch.equal(a, b) for a, b in zip(own.counts, other.counts, strict=True))


def test_compact_rows_are_small() -> None:
    own = store(2000)
    assert own.choices.dtype == torch.int16
    assert own.scalars.nbytes + own.choices.nbytes <= len(own) * (4 * 2 + 2 * 4)


def test_rows_without_a_category() -> None:
    frame = pd.DataFrame({"x": np.arange(40.0) / 7, "c": ["a", "b"] * 20})
    encoding = TableEncoding.fit(frame)
    own = TableStore(encoding, *encoding.compact(frame.assign(c=["a", "b", "new", "b"] * 10), strict=False))
    choice, category = encoding.category("c", "b")
    assert own.counts[choice].tolist() == [10, 20]
    found = own.matching(torch.full((200,), choice), torch.full((200,), category), torch.rand(200))
    assert (found % 2 == 1).all() and len(found.unique()) > 15
