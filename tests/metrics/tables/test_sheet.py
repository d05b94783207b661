"""Reading tables: kinds, missing cells, unknown categories, digits, and what cannot be read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.metrics.tables.made import customers, sheets
from zerosum.core.errors import BadData, BadOption
from zerosum.data.tables.encoding import TableEncoding
from zerosum.metrics.tables.sheet import read_sheets


def test_cells_by_kind() -> None:
    real = pd.DataFrame({"x": [0.5, np.nan] * 30, "c": ["a", None, "b"] * 20, "id": range(1, 61), "k": "same"})
    made = real.assign(c=["z", "b", None] * 20)
    own, other = sheets(real, made, kinds={"x": "continuous"})
    assert [field.name for field in own.fields] == ["x", "c"]  # identifiers and constants are not compared
    assert own.fields[1].levels == ("a", "b", "z")
    assert own.cells[1][:3].tolist() == [0, -1, 1] and other.cells[1][:3].tolist() == [2, 1, -1]
    assert own.cells[0][0] == 0.5 and own.missing(0).tolist() == [False, True] * 30


def test_large_whole_numbers_and_dates_keep_their_digits() -> None:
    stamps = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(100) * 7 % 83, "D")
    frame = pd.DataFrame({"k": 2**60 + np.arange(100) * 3 % 91, "t": stamps})
    (sheet,) = sheets(frame)
    assert sheet.cells[0].tolist() == (frame.k - 2**60).tolist()
    days = (frame.t - frame.t.min()).dt.days
    assert np.allclose(sheet.cells[1] / sheet.cells[1].max(), days / days.max())


def test_whole_numbers_may_come_as_broken_ones() -> None:
    frame = pd.DataFrame({"k": np.arange(100) * 7 % 83})
    own, other = sheets(frame, frame + 0.25)
    assert (other.cells[0] - own.cells[0] == 0.25).all()


def test_equal_rows_have_equal_numbers() -> None:
    (sheet,) = sheets(pd.DataFrame({"x": [1.5, np.nan, 1.5, np.nan, 2.5, 1.5], "c": ["a", None, "a", None, "a", "b"]}))
    rows = sheet.group()
    assert rows[0] == rows[2] and rows[1] == rows[3] and len(set(rows.tolist())) == 4


def test_samples_are_reproducible_and_without_repetition() -> None:
    frame = customers(200)
    (sheet,) = sheets(frame)
    some = sheet.sample(50, 1, "word")
    assert len(some) == 50 and (some.cells[2] == sheet.sample(50, 1, "word").cells[2]).all()
    assert not (some.cells[2] == sheet.sample(50, 2, "word").cells[2]).all()
    assert len(sheet.sample(500, 1)) == 200


def test_what_cannot_be_read() -> None:
    frame = customers(100)
    encoding = TableEncoding.fit(frame)
    with pytest.raises(BadData, match="the synthetic table lacks the columns 'age', 'plan'"):
        read_sheets(encoding, {"synthetic": frame.drop(columns=["age", "plan"])})
    with pytest.raises(BadData, match="the synthetic table has no rows"):
        read_sheets(encoding, {"synthetic": frame[:0]})
    with pytest.raises(BadData, match="column 'spent' of the synthetic table has 100 infinite cells"):
        read_sheets(encoding, {"synthetic": frame.assign(spent=np.inf)})
    with pytest.raises(BadData, match="column 'age' of the synthetic table is not integer"):
        read_sheets(encoding, {"synthetic": frame.assign(age="old")})
    with pytest.raises(BadOption, match="column 'agee' is not learned; there are age, plan"):
        read_sheets(encoding, {"training": frame})["training"].place("agee")
