"""Kinds of columns found out, dates and identifiers recognised, constraints and conditions read and kept."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zerosum.core.errors import BadData, BadOption
from zerosum.data.tables.cells import absent
from zerosum.data.tables.columns import Column
from zerosum.data.tables.dates import CLOCKS, FORMATS, clock_format, date_format, is_clock, parsing, spell
from zerosum.data.tables.describing import describe, rounding
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.grammar import parse_condition, parse_constraint
from zerosum.data.tables.identifiers import different, of_numbers, of_texts
from zerosum.data.tables.numeric import read, write

DRAW = np.random.default_rng(0)


def described(cells: Any, name: Any = "x", **options: Any) -> Column:
    return describe(pd.Series(cells), name, **options)[0]


@pytest.mark.parametrize(
    ("cells", "name", "kind"),
    [
        (DRAW.normal(size=100), "x", "continuous"),
        (DRAW.integers(0, 1000, 100), "x", "integer"),
        (DRAW.integers(0, 5, 100), "x", "ordinal"),
        (DRAW.integers(0, 2, 100), "x", "categorical"),
        (list(range(8)), "x", "integer"),  # too few to say
        (list(range(1, 101)), "x", "identifier"),
        (list(range(1950, 2020)), "year", "integer"),
        (list(range(5000, 5300)), "order", "identifier"),
        (DRAW.permutation(np.arange(100) * 3), "x", "integer"),
        (DRAW.permutation(np.arange(100) * 3), "customerId", "identifier"),
        (DRAW.permutation(np.arange(100) * 3), "ID", "identifier"),
        (DRAW.permutation(np.arange(100) * 3), "paid", "integer"),
        (DRAW.integers(10_000, 10_050, 300), "zipcode", "categorical"),
        (["a", "b"] * 50, "x", "categorical"),
        ([f"name {i * 7919 % 100} {i % 7}" for i in range(100)], "x", "text"),
        ([f"K{i:04d}" for i in range(100)], "x", "identifier"),
        ([f"K{i % 50:04d}" for i in range(100)], "x", "categorical"),
        ([f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.2020" for i in range(100)], "x", "datetime"),
        (["yes", "no", None] * 30, "x", "categorical"),
        (["always", None] * 30, "x", "categorical"),
    ],
)
def test_kinds(cells: Any, name: str, kind: str) -> None:
    assert described(cells, name).kind == kind


def test_choices_of_a_column() -> None:
    column = described([*DRAW.normal(size=99), None])
    assert column.scalar and column.choices == 2 and column.role == "mode"  # not fitted: one mode, and missing
    column = described(["a", "b", None] * 30)
    assert not column.scalar and column.choices == 3 and column.role == "category"
    assert described([3] * 30).choices == 0


@pytest.mark.parametrize("form", FORMATS)
def test_formats_of_dates(form: str) -> None:
    moments = pd.Series(pd.Timestamp("2019-12-28 09:05:07.123") + pd.to_timedelta(np.arange(60) * 25.25, "h"))
    if "%3f" in form:
        moments = moments.dt.floor("ms")
    texts = spell(moments, form)
    found = date_format(texts, np.arange(60), "x")
    assert found and (spell(pd.to_datetime(pd.Series(texts), format=parsing(found)), found) == texts).all()
    assert parsing(found) == parsing(form)


@pytest.mark.parametrize("form", CLOCKS)
def test_formats_of_times_of_day(form: str) -> None:
    moments = pd.Series(pd.Timestamp("2019-12-28 00:05:07.123") + pd.to_timedelta(np.arange(60) * 23.75, "min"))
    texts = spell(moments, form)
    found = clock_format(texts)
    assert (spell(pd.to_datetime(pd.Series(texts), format=parsing(found)), found) == texts).all() and is_clock(found)
    assert clock_format(np.array([*texts, "24:01"], dtype=object)) == ""


@pytest.mark.parametrize("ending", ["+00:00", "-0330", " +14:00"])
def test_offsets_of_dates(ending: str) -> None:
    texts = np.array([f"2020-03-{day:02d} 08:15:00{ending}" for day in range(1, 29)], dtype=object)
    assert date_format(texts, np.arange(28), "x") == f"%Y-%m-%d %H:%M:%S{ending}"
    texts[7] = "2020-03-08 08:15:00"
    assert date_format(texts, np.arange(28), "x") == ""
    dates = np.array([f"{day:02d}-03-2020" for day in range(1, 29)], dtype=object)
    assert date_format(dates, np.arange(28), "x") == "%d-%m-%Y"


def test_dates_of_several_offsets_become_those_of_utc() -> None:
    hours = [f"2020-03-28T{hour:02d}:30:00+01:00" for hour in range(24)]
    later = [f"2020-03-29T{hour:02d}:30:00+02:00" for hour in range(4, 24)]
    column, notes = describe(pd.Series([*hours, *later]), "x")
    assert column.kind == "datetime" and column.cells.format == "%Y-%m-%dT%H:%M:%S+00:00"
    assert notes == ["x: dates of several offsets from UTC: learned and written as +00:00"]
    numbers = read(pd.Series([hours[0], later[0]]), column.cells, np.zeros(2, dtype=bool))
    assert np.diff(numbers) == 27 * 3600 * 10**6  # an hour is missing that night
    assert list(write(numbers, np.zeros(2, dtype=bool), column.cells, None)) == [
        "2020-03-27T23:30:00+00:00", "2020-03-29T02:30:00+00:00"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "texts", [["1.5", "2.5"], ["a-b-c", "d-e-f"], ["10-20", "30-40"], ["2020", "2021"], ["v1.2.3", "v2"]]
)
def test_no_dates(texts: list[str]) -> None:
    assert date_format(np.array(texts, dtype=object), np.arange(2), "x") == ""


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=50), st.integers(0, 6))
def test_rounding(values: list[int], digits: int) -> None:
    found = rounding(np.array([round(value / 10**digits, digits) for value in values]))
    assert found is not None and found <= digits


def test_rounding_of_single_precision_and_of_none() -> None:
    values = DRAW.normal(size=100).round(3).astype("float32")
    assert rounding(values.astype(float), single=True) == 3 and rounding(DRAW.normal(size=100)) is None
    assert rounding(DRAW.integers(1, 99, 100) * 1000.0) == -3
    assert rounding(np.array([1000.0, 2000.0])) == 0  # too few to say


def test_identifiers() -> None:
    assert of_numbers([4, 2, 3]).make(4, 0, "x") == [2, 3, 4, 5]
    spread = of_numbers([10, 40, 99])
    assert sorted(spread.make(90, 0, "x")) == list(range(10, 100)) and len(set(spread.make(500, 0, "x"))) == 500
    assert spread.make(5, 0, "x") == spread.make(5, 0, "x") != spread.make(5, 1, "x")
    counter = of_texts(["C-009", "C-010", "C-011"])
    assert counter is not None and counter.make(3, 0, "x") == ["C-009", "C-010", "C-011"]
    assert counter.make(995, 0, "x")[-1] == "C-1003"  # goes on
    plates = of_texts(["AB 123", "XY 405", "KN 999"])
    assert plates is not None and all(p[:2].isupper() and p[3:].isdigit() for p in plates.make(50, 0, "x"))
    assert of_texts(["ann", "bob", "eve"]) is None and of_texts(["a1", "b22", "c"]) is None
    assert len(set(different(100, 10**40, 0))) == 100


# -- constraints ------------------------------------------------------------------------------------------------------


def orders() -> pd.DataFrame:
    start = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(DRAW.integers(0, 300, 200), "D"))
    net, tax = DRAW.uniform(1, 100, 200).round(2), DRAW.uniform(1, 20, 200).round(2)
    return pd.DataFrame({
        "age": DRAW.integers(18, 90, 200), "start": start,
        "end": start + pd.to_timedelta(DRAW.integers(0, 60, 200), "D"),
        "net": net, "tax": tax, "total": (net + tax).round(2), "sex": DRAW.choice(["f", "m"], 200),
        "state": DRAW.choice(["x", "y", "z"], 200), "a=b": DRAW.integers(0, 100, 200),
    }).assign(pregnant=lambda t: np.where(t["sex"] == "m", False, t["age"] < 30))  # fmt: skip


RULES = (
    "18 <= age <= 89", "`a=b` >= 0", "start <= end", "total = net + tax", "never sex=m, pregnant=true", "total > 0",
    "end < 2022-01-01",
)  # fmt: skip


def test_constraints_are_kept() -> None:
    frame = orders()
    encoding = TableEncoding.fit(frame, constraints=RULES)
    assert [str(rule) for rule in encoding.constraints][2:5] == ["start <= end", "total = net + tax",
                                                                 "never sex=m, pregnant=true"]  # fmt: skip
    assert TableEncoding.from_json(encoding.to_json()) == encoding
    pd.testing.assert_frame_equal(encoding.decode(encoding.encode(frame)), frame, rtol=1e-6)
    wild = encoding.decode({"row": torch.randn(2000, *encoding.spec.shape)})
    assert wild["age"].between(18, 89).all() and (wild["start"] <= wild["end"]).all() and (wild["total"] > 0).all()
    assert np.allclose(wild["total"], wild["net"] + wild["tax"], atol=0.0051) and (wild["a=b"] >= 0).all()
    assert wild.dtypes.equals(frame.dtypes)
    broken = encoding.broken(wild)
    assert (broken == ((wild["sex"] == "m") & wild["pregnant"]).to_numpy()).all() and 0 < broken.sum() < 2000
    assert not TableEncoding.fit(frame).broken(wild).any()


def test_orders_of_dates_as_text_and_with_gaps() -> None:
    day = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(100) % 60, "D"))
    frame = pd.DataFrame(
        {"from": day.dt.strftime("%d.%m.%Y"), "to": (day + pd.Timedelta("9D")).dt.strftime("%d.%m.%Y")}
    )
    frame.loc[::7, "to"] = None
    encoding = TableEncoding.fit(frame, constraints=["from < to"])
    made = encoding.decode({"row": torch.randn(500, *encoding.spec.shape)})
    first, last = (pd.to_datetime(made[name], format="%d.%m.%Y") for name in ("from", "to"))
    assert (first.gt(last).sum(), made["to"].isna().any()) == (0, True)
    assert encoding.broken(made).tolist() == (first == last).tolist()


def test_unique_values() -> None:
    frame = pd.DataFrame({"x": np.arange(50) * 3 + 0.5, "y": [0, 1] * 25})
    encoding = TableEncoding.fit(frame, constraints=["unique x"])
    assert (
        encoding.broken(pd.DataFrame({"x": [1.5, 2.5, 1.5, None, None], "y": 0})).tolist()
        == [False, False, True] + [False] * 2
    )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("start <= until", "'until' is compared with column 'start', which holds dates"),
        ("age", "--data.constraints 'age' is not understood; write it as 0 <= age <= 120"),
        ("age = 3", "is not understood"),
        ("salary > 3", "there is no column 'salary'"),
        ("never age ~ 3", "'age ~ 3' is no condition; write it as sex=Female or age>60"),
        ("unique salary", "there is no column 'salary'"),
        ("total = net + taxes", "there is no column 'taxes'; did you mean 'tax'?"),
        ("start <= age", "these columns cannot be compared: start (datetime, datetime64"),
        ("age = start + end", "these columns cannot be added up"),
        ("sex <= state", "these columns cannot be compared"),
        ("age <= many", "'many' is compared with column 'age', which holds numbers"),
        ("start <= soon", "'soon' is compared with column 'start', which holds dates"),
        ("sex <= x", "column 'sex' has no categories in order"),
    ],
)
def test_constraints_that_are_none(rule: str, message: str) -> None:
    with pytest.raises(BadOption) as error:
        TableEncoding.fit(orders(), constraints=[rule])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("income=>50K", ("income", "=", ">50K")),
        ("income == <=50K", ("income", "=", "<=50K")),
        ("income!='>50K'", ("income", "!=", ">50K")),
        ("`a=b`=c=d", ("a=b", "=", "c=d")),
        ("age>=60", ("age", ">=", 60)),
    ],
)
def test_values_may_have_signs(text: str, expected: tuple[str, str, object]) -> None:
    found = parse_condition(text, ["income", "a=b", "age"])
    assert (found.column, found.operator, found.value) == expected
    for wrong in ("18<age<60", "=>50K", "age>=<60"):
        with pytest.raises(BadOption):
            parse_condition(wrong, ["income", "age"])


@pytest.mark.parametrize(
    "rule", ["age <= 30", "end <= start", "net = total + tax", "unique sex", "never sex=f, state=x"]
)
def test_constraints_that_the_data_breaks(rule: str) -> None:
    with pytest.raises(BadData, match=r"does not hold in \d+ of 200 rows, the first is row \d+: correct these rows"):
        TableEncoding.fit(orders(), constraints=[rule])


def test_conditions() -> None:
    frame = orders().assign(
        size=pd.Categorical(["S", "M", "L", None] * 50, categories=["S", "M", "L"], ordered=True),
        few=pd.array([1, 2, None, 3] * 50, "Int64"),
        day=[datetime.date(2020, 1, 1 + i % 28) for i in range(200)],
        opens=[datetime.time(i % 24, i % 60) for i in range(200)],
        at=[f"{i % 12 + 1}:{i % 60:02d} PM" for i in range(200)],
        sent=[f"2020-01-{1 + i % 28:02d}T12:00:00+05:30" for i in range(200)],
    )
    encoding = TableEncoding.fit(frame)

    def rows(text: str) -> np.ndarray:
        return parse_condition(text, list(frame.columns)).holds(frame, encoding.by_name)

    assert (rows("age > 60") == (frame["age"] > 60).to_numpy()).all()
    assert (rows("sex=f") == (frame["sex"] == "f").to_numpy()).all()
    assert (rows("sex != 'f'") == (frame["sex"] != "f").to_numpy()).all()
    assert (rows("size>=M") == frame["size"].isin(["M", "L"]).to_numpy()).all()
    assert (rows("few<3") == (frame["few"] < 3).fillna(False).to_numpy(dtype=bool)).all()
    assert (rows("few!=3") == (frame["few"] != 3).fillna(True).to_numpy(dtype=bool)).all()
    assert (rows("start>=2020-06-01") == (frame["start"] >= "2020-06-01").to_numpy()).all()
    assert (rows("day<2020-01-05") == np.array([day.day < 5 for day in frame["day"]])).all()
    assert (rows("opens>=18:30") == np.array([time >= datetime.time(18, 30) for time in frame["opens"]])).all()
    assert (rows("at<1:30 PM") == np.array([i % 12 == 11 or (i % 12 == 0 and i % 60 < 30) for i in range(200)])).all()
    for text in ("sent>2020-01-20T06:30:00Z", "sent>2020-01-20T12:00:00+05:30", "sent>2020-01-20 12:00"):
        assert (rows(text) == (frame["sent"] > "2020-01-20T12:00:00+05:30").to_numpy()).all()
    assert (rows("pregnant=True") == frame["pregnant"].to_numpy()).all()
    with pytest.raises(BadOption, match="has the categories in order: S, M, L"):
        rows("size>XL")
    with pytest.raises(BadOption, match="'late' is compared with column 'opens', which holds times of day"):
        rows("opens>late")


def test_missing_cells_break_no_constraint() -> None:
    frame = pd.DataFrame({"a": [1.5, None, 3.0] * 20, "b": [2.0, 1.0, None] * 20})
    assert absent(frame["a"]).sum() == 20
    assert parse_constraint("a <= b", ["a", "b"]) is not None
    TableEncoding.fit(frame, constraints=["a <= b", "0 <= a", "b >= 1"])
