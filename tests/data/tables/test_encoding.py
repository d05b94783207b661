"""Rows of tables: every kind of column comes back as it was; JSON, layout, conditions on what is encoded."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import os
import re
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zerosum.core.errors import BadData, BadFile, BadOption
from zerosum.core.settings import from_json, to_json
from zerosum.data.encodings import encoding_from_json
from zerosum.data.spec import Spec
from zerosum.data.tables.encoding import TableEncoding

N = 60
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
WIDTHS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "Int8", "Int64", "UInt64")


def back(frame: pd.DataFrame, **options: Any) -> tuple[TableEncoding, pd.DataFrame]:
    """The encoding, which went through JSON, and the frame after encoding and decoding."""
    encoding = TableEncoding.fit(frame, **options)
    other = encoding_from_json(json.loads(json.dumps(encoding.to_json())))
    assert other == encoding and isinstance(other, TableEncoding)
    row = encoding.encode(frame)["row"]
    assert row.shape == (len(frame), *encoding.spec.shape) and row.dtype == torch.float32 and row.abs().max() <= 1
    return encoding, other.decode({"row": row})


def same(frame: pd.DataFrame, made: pd.DataFrame) -> None:
    """Equal names, dtypes and missing cells; equal cells, numbers to seven digits of the column's range."""
    assert list(made.columns) == list(frame.columns)
    for name in frame.columns:
        one, other = frame[name], made[name]
        assert one.dtype == other.dtype, name
        assert one.isna().tolist() == other.isna().tolist(), name
        if pd.api.types.is_numeric_dtype(one.dtype) and not pd.api.types.is_bool_dtype(one.dtype):
            values, found = (s.dropna().to_numpy(dtype=object).astype(float) for s in (one, other))
            with np.errstate(over="ignore"):
                span = float(values.max() / 2 - values.min() / 2) if len(values) else 0.0
            assert np.all(np.abs(values / 2 - found / 2) <= 1e-6 * span), name
        else:
            assert one.dropna().tolist() == other.dropna().tolist(), name


def holes(draw: Any, n: int) -> np.ndarray:
    """Which cells are missing: none, some, or all."""
    return np.array(draw(st.one_of(st.just([False] * n), st.lists(st.booleans(), min_size=n, max_size=n))))


@st.composite
def whole_numbers(draw: Any, n: int) -> pd.Series:
    dtype = draw(st.sampled_from(WIDTHS))
    holds = np.iinfo(dtype.lower())
    low, high = sorted((draw(st.integers(holds.min, holds.max)), draw(st.integers(holds.min, holds.max))))
    values = draw(st.lists(st.integers(low, high), min_size=n, max_size=n))
    series = pd.Series(np.array(values, dtype=dtype.lower()))
    return series.astype(dtype).mask(holes(draw, n)) if dtype[0] in "IU" else series


@st.composite
def floats(draw: Any, n: int) -> pd.Series:
    dtype = draw(st.sampled_from(["float64", "float32", "Float64", "double[pyarrow]"]))
    limit = draw(st.sampled_from([1.0, 1e5, 1e300 if "32" not in dtype else 1e30]))
    width = 32 if dtype == "float32" else 64
    limit = float(np.float32(limit)) if width == 32 else limit
    values = draw(st.lists(st.floats(-limit, limit, width=width, allow_subnormal=False), min_size=n, max_size=n))
    decimals = draw(st.sampled_from([None, 0, 2]))
    if decimals is not None and limit <= 1e5:
        values = [round(value, decimals) for value in values]
    series = pd.Series(values, dtype="float64").mask(holes(draw, n))
    return series.astype(dtype)


@st.composite
def times(draw: Any, n: int) -> pd.Series:
    zone = draw(st.sampled_from([None, "UTC", "Europe/Berlin"]))
    step = draw(st.sampled_from(["D", "h", "s", "ms"]))
    start = np.datetime64("1950-01-01") + np.timedelta64(draw(st.integers(0, 20_000)), "D")
    moves = draw(st.lists(st.integers(0, 5_000), min_size=n, max_size=n))
    unit = draw(st.sampled_from(["ms", "us", "ns"]))
    values = (start + np.array(moves).astype(f"timedelta64[{step}]")).astype(f"datetime64[{unit}]")
    series = pd.Series(values).mask(holes(draw, n))
    return series if zone is None else series.dt.tz_localize("UTC").dt.tz_convert(zone)


@st.composite
def choices(draw: Any, n: int) -> pd.Series:
    pool = draw(st.lists(st.text(max_size=8), min_size=1, max_size=6, unique=True))
    values = draw(st.lists(st.sampled_from(pool), min_size=n, max_size=n))
    kind = draw(st.sampled_from(["object", "str", "string[python]", "string[pyarrow]", "category", "ordered"]))
    series = pd.Series(values, dtype=object).mask(holes(draw, n), None)
    if kind in ("category", "ordered"):
        return series.astype(pd.CategoricalDtype([*reversed(pool)], kind == "ordered"))
    return series.where(series.notna(), None) if kind == "object" else series.astype(kind)


@st.composite
def truths(draw: Any, n: int) -> pd.Series:
    series = pd.Series(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    return series.astype("boolean").mask(holes(draw, n)) if draw(st.booleans()) else series


@st.composite
def tables(draw: Any) -> pd.DataFrame:
    n = draw(st.integers(2, 40))
    columns = draw(st.lists(st.sampled_from([whole_numbers, floats, times, choices, truths]), min_size=1, max_size=4))
    return pd.DataFrame({f"c {i}": draw(column(n)) for i, column in enumerate(columns)})


@QUICK
@given(tables())
def test_every_table_comes_back(frame: pd.DataFrame) -> None:
    frame["anchor"] = np.arange(len(frame)) % 2  # so that there is something to learn
    encoding, made = back(frame)
    left_out = [column.name for column in encoding.columns if column.kind in ("text", "identifier")]
    same(frame.drop(columns=left_out), made.drop(columns=left_out, errors="ignore"))


@QUICK
@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=80), st.integers(0, 4))
def test_rounding_is_restored(values: list[float], decimals: int) -> None:
    frame = pd.DataFrame({"x": [round(value, decimals) for value in values], "y": np.arange(len(values)) % 2})
    encoding = TableEncoding.fit(frame)
    noisy = encoding.encode(frame)["row"] + 0.01 * torch.randn(len(frame), *encoding.spec.shape)
    made = encoding.decode({"row": noisy})
    assert (made["x"] == made["x"].round(decimals)).all()
    assert made["x"].between(frame["x"].min(), frame["x"].max()).all()


def repeated(*values: Any, n: int = N) -> list[Any]:
    """n cells, the values in turn."""
    return [values[i % len(values)] for i in range(n)]


def days(n: int = N) -> pd.DatetimeIndex:
    return pd.date_range("2019-03-01", periods=n, freq="D")


def stamps(unit: str, zone: str | None = None) -> pd.Series:
    moments = pd.Series(pd.Timestamp("2021-05-05 10:00:00.123456") + pd.to_timedelta(np.arange(N) * 977, "ms"))
    return moments.astype(f"datetime64[{unit}]").dt.tz_localize(zone)


COLUMNS: dict[str, tuple[Any, str]] = {
    "floats of two digits": (np.round(np.random.default_rng(0).normal(50, 9, N), 2), "continuous"),
    "hundreds": (np.random.default_rng(0).integers(1, 900, N) * 100, "integer"),
    "whole floats": (np.random.default_rng(0).integers(1, 900, N) * 1.0, "integer"),
    "whole numbers with gaps": (pd.array([*range(300, 300 + 2 * N - 2, 2), None], dtype="Int32"), "integer"),
    "bytes of numbers": (np.random.default_rng(0).integers(0, 256, N).astype("uint8"), "integer"),
    "largest": (np.array(repeated(*range(2**64 - 40, 2**64)), dtype="uint64"), "integer"),
    "arrow numbers": (pd.array(range(5, 5 + 3 * N, 3), dtype="int64[pyarrow]"), "integer"),
    "objects of whole numbers": (pd.Series([*range(7, 7 + 3 * N - 3, 3), None], dtype=object), "integer"),
    "objects of mixed numbers": (pd.Series([0.5 * i if i % 2 else i for i in range(N)], dtype=object), "continuous"),
    "decimals": (pd.Series([decimal.Decimal(i * i) / 4 for i in range(N)], dtype=object), "continuous"),
    "periods": (pd.period_range("1990-01", periods=N, freq="M"), "datetime"),
    "few numbers": (repeated(1, 2, 3, 5), "ordinal"),
    "few floats": (repeated(0.5, 1.0, 2.5), "ordinal"),
    "two numbers": (repeated(0, 1), "categorical"),
    "words": (repeated("a", " b", "c "), "categorical"),
    "objects of words": (pd.Series(repeated("x", "y", None), dtype=object), "categorical"),
    "python strings": (pd.array(repeated("a", "b", pd.NA), dtype="string[python]"), "categorical"),
    "arrow strings": (pd.array(repeated("a", "b", None), dtype=pd.ArrowDtype(pa.string())), "categorical"),
    "categories": (pd.Categorical(repeated("z", "a", None), categories=["z", "q", "a"]), "categorical"),
    "sizes": (pd.Categorical(repeated("S", "L"), categories=["S", "M", "L"], ordered=True), "ordinal"),
    "intervals": (pd.cut(np.arange(N) % 7, 3), "ordinal"),
    "categories of dates": (pd.Categorical(repeated(*days(3))), "categorical"),
    "truth": (repeated(True, False), "boolean"),
    "truth with gaps": (pd.array(repeated(True, False, None), dtype="boolean"), "boolean"),
    "objects of truth": (pd.Series(repeated(True, False, None), dtype=object), "boolean"),
    "arrow truth": (pd.array(repeated(True, False, None), dtype="bool[pyarrow]"), "boolean"),
    "dates": (days(), "datetime"),
    "nanoseconds": (stamps("ns") + pd.Timedelta(1, "ns"), "datetime"),
    "milliseconds in Berlin": (stamps("ms", "Europe/Berlin"), "datetime"),
    "fixed offset": (stamps("us", "+02:00"), "datetime"),
    "arrow times": (stamps("us").astype("timestamp[us][pyarrow]"), "datetime"),
    "date objects": (pd.Series([*days(N - 1).date, None], dtype=object), "datetime"),
    "datetime objects": (pd.Series(list(days().to_pydatetime()), dtype=object), "datetime"),
    "aware objects": (pd.Series([day.to_pydatetime() for day in days().tz_localize("UTC")], dtype=object), "datetime"),
    "durations": (pd.to_timedelta(np.arange(N) * 90, "s"), "datetime"),
    "duration objects": (pd.Series([datetime.timedelta(hours=i) for i in range(N)], dtype=object), "datetime"),
    "date text": ([day.strftime("%d.%m.%Y") for day in days()], "datetime"),
    "American text": ([f"{day.month}/{day.day}/{day.year}" for day in days()], "datetime"),
    "ISO text": ([day.strftime("%Y-%m-%dT%H:%M:%S.123Z") for day in days()], "datetime"),
    "ISO text with an offset": ([day.strftime("%Y-%m-%dT%H:%M:%S+05:30") for day in days()], "datetime"),
    "an offset apart": ([*(day.strftime("%Y-%m-%d %H:%M:%S -0800") for day in days(N - 1)), None], "datetime"),
    "American times": ([day.strftime("%m/%d/%Y %I:%M:%S %p") for day in days()], "datetime"),
    "times of day": ([*(f"{i // 4:02d}:{15 * (i % 4):02d}" for i in range(N - 1)), None], "datetime"),
    "times of day to the second": ([f"{i % 24}:{i:02d}:{i % 7:02d}" for i in range(N)], "datetime"),
    "times of day after noon": ([f"{i % 12 + 1}:{i:02d} PM" for i in range(N)], "datetime"),
    "opening hours": (repeated("08:00", "09:30", None), "categorical"),
    "longer than a day": (repeated(*(f"{20 + i}:00" for i in range(25))), "categorical"),
    "time objects": ([*(datetime.time(i % 24, i, 1) for i in range(N - 1)), None], "datetime"),
    "opening time objects": (repeated(datetime.time(8), datetime.time(9, 30)), "categorical"),
    "constant time object": (repeated(datetime.time(8)), "constant"),
    "spelled text": ([*(day.strftime("%b %d, %Y") for day in days(N - 1)), None], "datetime"),
    "constant": (repeated("always"), "constant"),
    "constant number": (repeated(4.5), "constant"),
    "constant day": (repeated(days()[0]), "constant"),
    "constant category": (pd.Categorical(repeated("k"), categories=["j", "k"], ordered=True), "constant"),
    "nothing": (repeated(None), "constant"),
    "no numbers": (repeated(math.nan), "constant"),
    "no text": (pd.array(repeated(None), dtype="string"), "constant"),
    "spike": ([0.0] * 30 + [float(i * i) for i in range(1, 31)], "integer"),
    "spike and gaps": ([0.0] * 20 + [math.nan] * 10 + [i * i + 0.25 for i in range(30)], "continuous"),
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_every_kind_comes_back(name: str) -> None:
    cells, kind = COLUMNS[name]
    frame = pd.DataFrame({name: pd.Series(cells), "anchor": repeated(0, 1)})
    if isinstance(cells, pd.Series):
        frame[name] = pd.Series(cells, dtype=cells.dtype)
    encoding, made = back(frame)
    assert encoding.by_name[name].kind == kind
    pd.testing.assert_frame_equal(made, frame, rtol=1e-6, check_freq=False)
    if name in ("decimals", "objects of whole numbers", "objects of mixed numbers"):
        assert [type(cell) for cell in made[name]] == [type(cell) for cell in frame[name]]


IDENTIFIERS: dict[str, Any] = {
    "counted": [*range(1, N + 1)],
    "counted down as Int32": pd.array(range(1, N + 1), dtype="Int32"),
    "customer_id": [7 * i * i + 5 for i in range(N)],
    "uuids": [str(uuid.UUID(int=i * 2**90 + 7, version=4)) for i in range(N)],
    "uuids without dashes": [uuid.UUID(int=i * 2**90 + 7, version=4).hex.upper() for i in range(N)],
    "uuid objects": pd.Series([uuid.UUID(int=i * 2**90 + 7, version=4) for i in range(N)], dtype=object),
    "counters": [f"C-{i:05d}/x" for i in range(100, 100 + N)],
    "short counters": [f"user{i}" for i in range(N)],
    "plates": [f"{chr(65 + i % 26)}{chr(90 - i % 25)}-{i * 37 % 1000:03d}" for i in range(N)],
}


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_identifiers_are_made_anew(name: str) -> None:
    frame = pd.DataFrame({name: pd.Series(IDENTIFIERS[name]), "anchor": repeated(0, 1)})
    encoding, made = back(frame)
    assert encoding.by_name[name].kind == "identifier" and encoding.spec.shape == (2,)
    assert f"{name}: identifiers, made anew, not learned" in encoding.notes
    assert made[name].is_unique and made[name].dtype == frame[name].dtype
    assert {type(cell) for cell in made[name]} == {type(cell) for cell in frame[name]}
    if not isinstance(frame[name].iloc[0], int | np.integer | uuid.UUID):
        assert {len(cell) for cell in made[name]} <= {len(cell) for cell in frame[name]}
    more = encoding.decode({"row": torch.rand(500, 2)}, seed=1)
    assert more[name].is_unique and len(more) == 500
    assert more[name].equals(encoding.decode({"row": torch.rand(500, 2)}, seed=1)[name])


def test_identifiers_with_gaps_and_too_many() -> None:
    frame = pd.DataFrame({"id": [*(f"{i // 26}{chr(65 + i % 26)}" for i in range(50)), None, None], "y": [0, 1] * 26})
    encoding, made = back(frame)
    assert made["id"].isna().tolist() == frame["id"].isna().tolist() and made["id"].dropna().is_unique
    assert [block.role for block in encoding.spec.blocks] == ["missing", "category"]
    with pytest.raises(BadOption, match=r"5,000 rows were asked for, but only 260 different .* column 'id'"):
        encoding.decode({"row": torch.zeros(5000, 4)})


def test_free_text_is_left_out_with_a_word() -> None:
    words = [f"the customer said {'x' * i} and {i * i} more words" for i in range(N)]
    encoding, made = back(pd.DataFrame({"review": words, "y": repeated("a", "b")}))
    assert list(made.columns) == ["y"] and encoding.notes == ("review: free text, left out",)
    assert encoding.by_name["review"].kind == "text"
    encoding.encode(pd.DataFrame({"y": ["a"]}))  # nor is it asked for


def test_rare_categories_share_a_place() -> None:
    names = (
        repeated(*(f"town {i % 40}" for i in range(400)), n=400) + ["big"] * 300 + [f"hamlet {i}" for i in range(20)]
    )
    frame = pd.DataFrame({"town": names})
    encoding = TableEncoding.fit(frame, categories=10)
    assert encoding.spec.shape == (10,) and "31 rare categories" not in encoding.notes[0]
    assert "rare categories share one place" in encoding.notes[0]
    made = encoding.decode(encoding.encode(frame))
    rare = ~made["town"].isin(list(encoding.columns[0].content.values))  # type: ignore[union-attr]
    assert set(made["town"]) <= set(names) and (frame["town"] == "big").equals(made["town"] == "big")
    assert made["town"][rare].str.startswith("town").mean() > 0.8  # as often as they are


def test_column_order_and_names() -> None:
    frame = pd.DataFrame({"b": repeated(1, 2), 3: repeated("x", "y"), "a": repeated(1.5, 2.5, 4.0)})
    _, made = back(frame)
    assert list(made.columns) == ["b", 3, "a"]
    _, made = back(pd.DataFrame(np.arange(120.0).reshape(60, 2)))
    assert list(made.columns) == [0, 1]


def test_json_is_plain_and_small() -> None:
    frame = pd.DataFrame({name: pd.Series(cells) for name, (cells, _) in COLUMNS.items()})
    text = json.dumps(TableEncoding.fit(frame, target="words").to_json(), allow_nan=False)
    assert len(text) < 60_000
    with pytest.raises(BadFile, match="the encoding of a table is not whole"):
        encoding_from_json({"kind": "table", "columns": [{"type": "Column", "name": "x", "kind": "no"}]})


# -- what is encoded --------------------------------------------------------------------------------------------------


def example() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    age = pd.Series(draw.integers(18, 90, 400)).astype("Int64").mask(draw.random(400) < 0.1)
    return pd.DataFrame({"age": age, "sex": repeated("f", "m", n=400), "pay": draw.lognormal(8, 1, 400).round(2)})


def test_modes_are_drawn_and_the_same_for_the_same_seed() -> None:
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=3000).cumsum() % 7})
    encoding = TableEncoding.fit(frame)
    one, same_seed, other = (encoding.compact(frame, seed)[1] for seed in (0, 0, 1))
    assert torch.equal(one, same_seed) and not torch.equal(one, other)
    moved = encoding.compact(frame.set_index(np.arange(3000) + 5), 0)[1]
    assert torch.equal(one, moved)


def test_new_rows() -> None:
    frame = example()
    encoding = TableEncoding.fit(frame)
    few = frame.iloc[[5, 3]].set_index(pd.Index([7, 7]))
    assert torch.equal(encoding.layout.known(encoding.compact(few)[1]).any(1), torch.tensor([True, True]))
    strange = pd.DataFrame({"sex": ["m", "d"], "age": [40, 500], "pay": [10.0, None]})
    with pytest.raises(BadData, match="column 'sex' has the value 'd' in row 2, .*it knows 'f', 'm'"):
        encoding.encode(strange)
    with pytest.raises(BadData, match="column 'pay' has 1 missing cells, the first in row 2, but none was missing"):
        encoding.encode(strange.replace("d", "m"))
    scalars, choices = encoding.compact(strange, strict=False)
    made = encoding.restore(scalars, choices)
    assert choices[1, encoding.layout.choices.index(encoding.layout.choices[encoding.choice("sex")])] == -1
    assert made["age"][1] == frame["age"].max()  # beyond what was seen: the edge
    known = encoding.layout.known(choices)
    place = dict(zip([block.name for block in encoding.spec.blocks], encoding.spec.slices, strict=True))
    assert not known[1, place["sex"]].any() and known[0].all() and known[1, place["age"]].all()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"age": [3], "sex": ["m"]}), "the table lacks the columns 'pay'; the encoding was"),
        (example().assign(more=1), "the table has unknown columns 'more'"),
        (pd.concat([example(), example()], axis=1), "the table repeats 'age', 'pay', 'sex'"),
        (example().assign(age="old"), "column 'age' is integer, and cells of it are not"),
        (example().assign(age=1.5), "column 'age' is integer, and cells of it are not"),
        (example().assign(pay=np.inf), "column 'pay' is infinite in row 1"),
        (example().assign(sex=1), "column 'sex' has the value 1 in row 1, which was not there"),
    ],
)  # fmt: skip
def test_other_tables_are_refused(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(BadData, match=re.escape(message)):
        TableEncoding.fit(example()).encode(frame)


def test_dropped_columns_may_come_back() -> None:
    encoding = TableEncoding.fit(example(), drop=["pay"])
    assert list(encoding.decode(encoding.encode(example())).columns) == ["age", "sex"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": {"agee": "integer"}}, "--data.kinds agee: there is no column 'agee'; did you mean 'age'?"),
        ({"kinds": {"age": "number"}}, "--data.kinds age=number: there is no kind 'number'; there are continuous"),
        ({"kinds": {"age": "integer:%d"}}, "only dates that are written as text have a format"),
        ({"drop": ["salary"]}, "--data.drop salary: there is no column 'salary'"),
        ({"target": "sexx"}, "--data.target sexx: there is no column 'sexx'; did you mean 'sex'?"),
        ({"target": "age", "kinds": {"age": "text"}}, "--data.target age: the column is text"),
        ({"categories": 1}, "--data.categories is 1"),
        ({"modes": 0}, "0 modes were asked for"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption) as error:
        TableEncoding.fit(example(), **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"sex": "continuous"}, "column 'sex' is to be continuous (--data.kinds), but holds"),
        ({"pay": "integer"}, "column 'pay' is to be integer (--data.kinds), but has the value"),
        ({"pay": "datetime"}, "column 'pay' is to be datetime (--data.kinds), but holds float64"),
        ({"sex": "datetime:%Y"}, "column 'sex' is to be datetime, and cells of it are not"),
        ({"sex": "constant"}, "column 'sex' is to be constant (--data.kinds), but its cells differ"),
        ({"pay": "boolean"}, "column 'pay' is to be boolean (--data.kinds), but has 398 different values"),
        ({"pay": "identifier"}, "column 'pay' is to be an identifier (--data.kinds), but is not whole numbers"),
        ({"age": "text", "sex": "text", "pay": "text"}, "the table has nothing to learn"),
    ],
)
def test_kinds_that_do_not_fit(kinds: dict[str, str], message: str) -> None:
    with pytest.raises(BadData) as error:
        TableEncoding.fit(example(), kinds=kinds)
    assert message in str(error.value)


def test_kinds_can_be_said() -> None:
    frame = pd.DataFrame({"code": repeated(1, 2, 3), "day": repeated("01/02/2020", "03/04/2020", "05/06/2020")})
    as_found = TableEncoding.fit(frame)
    assert [column.kind for column in as_found.columns] == ["ordinal", "datetime"]
    assert as_found.by_name["day"].cells.format == "%d/%m/%Y" and "could be %m/%d/%Y as well" in as_found.notes[0]
    encoding, made = back(frame, kinds={"code": "continuous", "day": "datetime:%m/%d/%Y"})
    assert encoding.by_name["code"].scalar and encoding.by_name["day"].cells.format == "%m/%d/%Y"
    pd.testing.assert_frame_equal(made, frame)
    assert not encoding.notes


@pytest.mark.parametrize("scaling", ["range", "quantile"])
def test_other_scalings(scaling: Any) -> None:
    frame = example()
    encoding, made = back(frame, scaling=scaling)
    assert encoding.spec.shape == (1 + 2 + 2 + 1,)  # age and whether it is missing, sex, pay
    pd.testing.assert_frame_equal(made, frame, rtol=1e-3)
    if scaling == "quantile":
        row = encoding.encode(frame)["row"]
        assert abs(float(row[:, -1].mean())) < 0.05 and abs(float(row[:, -1].std()) - 1 / math.sqrt(3)) < 0.05


def test_decoding_without_missing_cells_and_beyond_the_range() -> None:
    frame = example()
    encoding = TableEncoding.fit(frame)
    rows = torch.randn(500, *encoding.spec.shape) * 3
    assert encoding.decode({"row": rows})["age"].isna().any()
    assert not encoding.decode({"row": rows}, missing=False)["age"].isna().any()
    assert encoding.decode({"row": rows})["pay"].between(frame["pay"].min(), frame["pay"].max()).all()
    assert not encoding.decode({"row": rows}, clip=False)["pay"].between(frame["pay"].min(), frame["pay"].max()).all()
    assert len(encoding.decode({"row": rows * math.nan})) == 500


def test_layout_and_names_of_categories() -> None:
    encoding = TableEncoding.fit(example())
    names = [(block.name, block.role, block.missing, block.discrete) for block in encoding.spec.blocks]
    assert names[0] == ("age", "value", False, False) and names[1] == ("age", "mode", True, False)
    assert names[2] == ("sex", "category", False, True)
    assert encoding.category("sex", "m") == (1, 1) and encoding.choice("age") == 0
    with pytest.raises(BadOption, match="column 'sex' has no category 'x'; it has f, m"):
        encoding.category("sex", "x")
    with pytest.raises(BadOption, match="there is no column 'sexx'; did you mean 'sex'"):
        encoding.category("sexx", "x")
    with pytest.raises(BadOption, match="column 'age' is integer: it has no categories"):
        encoding.category("age", "30")


@pytest.mark.skipif("ZEROSUM_DATA" not in os.environ, reason="reads ZEROSUM_DATA")
@pytest.mark.parametrize("name", ["adult", "credit_default", "king_county_houses", "letter"])
def test_real_tables_come_back_cell_by_cell(name: str) -> None:
    frame = pd.read_csv(Path(os.environ["ZEROSUM_DATA"]) / "tables" / f"{name}.csv.gz")
    start = time.process_time()
    encoding = TableEncoding.fit(frame)
    made = encoding.decode(encoding.encode(frame))
    assert time.process_time() - start < 4
    pd.testing.assert_frame_equal(made, frame, rtol=1e-7)


def test_the_spec_knows_the_target() -> None:
    frame = pd.DataFrame({"note": ["a b c", "d e f", "g h i"] * 4, "age": range(12), "sex": ["f", "m"] * 6})
    for target, place in ((None, None), ("sex", 2), ("age", 1)):
        spec = TableEncoding.fit(frame, target=target, kinds={"note": "text"}).spec
        assert spec.target == place
        assert [block.name for block in spec.blocks if block.column == place] == [target] * (place is not None)
        assert from_json(Spec, json.loads(json.dumps(to_json(spec)))) == spec
