"""Tables from files, databases and frames; tables that are none, each with one clear word about what is the matter."""

from __future__ import annotations

import datetime
import gzip
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from zerosum.core.errors import BadData, BadFile, BadOption, ZerosumError
from zerosum.core.settings import from_json, to_json
from zerosum.data import Data, load
from zerosum.data.check import check
from zerosum.data.options import Table
from zerosum.data.tables.dialect import Dialect, as_text, write_table
from zerosum.data.tables.reading import read_table

GOOD = "age,town,paid\n31,Bonn,1.50\n42,Köln,2.25\n,Bonn,10.00\n"


def written(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# -- what can be read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "options"),
    [
        (GOOD, "a.csv", Table()),
        (GOOD.replace("\n", "\r\n"), "a.CSV", Table()),
        ("\ufeff" + GOOD, "a.csv", Table()),
        (GOOD.replace(",", "\t"), "a.tsv", Table()),
        (GOOD.replace(",", ";").replace(".", ","), "a.csv", Table()),
        (GOOD.replace(",", "|"), "a.csv", Table()),
        (GOOD.encode("utf-16"), "a.csv", Table()),
        (GOOD.encode("latin-1"), "a.csv", Table(encoding="latin-1")),
        (gzip.compress(GOOD.encode(), mtime=0), "a.csv.gz", Table()),
        (GOOD.replace("\n,", "\nunknown,"), "a.csv", Table(missing=("unknown",))),
        (GOOD.rstrip(), "a.csv", Table()),
        (GOOD.replace("Bonn", '"Bonn"').replace("31", " 31"), "a.csv", Table()),
    ],
)
def test_text_files(tmp_path: Path, content: str | bytes, name: str, options: Table) -> None:
    frame = read_table(written(tmp_path, content, name), options).frame
    expected = pd.DataFrame({
        "age": pd.array([31, 42, None], "Int64"), "town": ["Bonn", "Köln", "Bonn"], "paid": [1.5, 2.25, 10.0]
    })  # fmt: skip
    pd.testing.assert_frame_equal(frame, expected)


def test_types_of_text(tmp_path: Path) -> None:
    columns = {
        "number": ["1", "2", ""], "float": ["1e3", "NA", "-.5"], "truth": ["True", "False", "True"],
        "truth with gaps": ["True", "", "False"], "postal code": ["01234", "99999", "00001"],
        "plus": ["+1", "+2", "+3"],
        "spaces": [" a", "a ", "a"], "empty": ["", "NaN", "NULL"], "huge": ["9" * 30, "1", "2"],
        "quote": ['"a', "b,", "c\nd"],
        "shouted": ["TRUE", "FALSE", "TRUE"],
    }  # fmt: skip
    file = io.StringIO()
    pd.DataFrame(columns).to_csv(file, index=False)
    rows = read_table(written(tmp_path, file.getvalue()))
    frame = rows.frame
    assert frame["number"].dtype == "Int64" and frame["number"].isna().sum() == 1
    assert frame["float"].tolist()[::2] == [1000.0, -0.5]
    assert frame["truth"].dtype == bool and frame["truth with gaps"].dtype == "boolean"
    for name in ("postal code", "plus", "spaces", "huge", "quote", "shouted"):
        assert frame[name].tolist() == columns[name], name
    assert frame["empty"].isna().all()
    assert any("float: 1 cells with 'NA' are missing" in note for note in rows.notes)


def test_text_is_written_as_it_was_read(tmp_path: Path) -> None:
    shortest = "x,y\n1.5,1.50\n2,2.00\n-0.25,3.00\n"
    for text in (GOOD, GOOD.replace(",", ";").replace(".", ","), GOOD.replace(",", "\t"), shortest):
        rows = read_table(written(tmp_path, text))
        write_table(rows.frame, tmp_path / "b.csv", rows.dialect)
        assert (tmp_path / "b.csv").read_text(encoding="utf-8") == text
    rows = read_table(written(tmp_path, GOOD))
    write_table(rows.frame, tmp_path / "b.tsv.gz")
    assert read_table(tmp_path / "b.tsv.gz").frame.equals(rows.frame)
    headless = read_table(written(tmp_path, "1,2\n3,4\n"), Table(headless=True))
    assert list(headless.frame.columns) == ["1", "2"] and len(headless.frame) == 2
    assert as_text(headless.frame, headless.dialect or Dialect()) == "1,2\n3,4\n"


MARKED: dict[str, tuple[str, list[str], list[float | None]]] = {
    "dollars": (",", ["$1,234.50", "-$0.75", "", "$1,000,000.00"], [1234.5, -0.75, None, 1e6]),
    "whole dollars": (",", ["$5", "$1,200", "-$3", "$0"], [5, 1200, -3, 0]),
    "per cent": (",", ["45.2%", "0.0%", "-3.5%", "100.0%"], [45.2, 0.0, -3.5, 100.0]),
    "per cent apart": (";", ["45,25 %", "3,5 %", "", "7 %"], [45.25, 3.5, None, 7.0]),
    "thousands": (",", ["1,234", "12", "-1,234,567", ""], [1234, 12, -1234567, None]),
    "points": (";", ["1.234,50", "1.234.567,25", "0,00", "-12,00"], [1234.5, 1234567.25, 0.0, -12.0]),
    "euros": (";", ["1.234,5 €", "12,0 €", "-3,5 €", "0,5 €"], [1234.5, 12.0, -3.5, 0.5]),
    "Swiss": (",", ["1'234.50", "12.00", "999'999.99", "0.10"], [1234.5, 12.0, 999999.99, 0.1]),
    "spaces": (",", ["1 234", "12", "1 234 567", "5"], [1234, 12, 1234567, 5]),
    "narrow spaces": (";", ["1\u202f234,5", "12,0", "3,5", "0,0"], [1234.5, 12.0, 3.5, 0.0]),
}


@pytest.mark.parametrize("name", MARKED)
def test_marked_numbers_are_numbers_and_written_so(tmp_path: Path, name: str) -> None:
    separator, cells, values = MARKED[name]
    file = io.StringIO()
    pd.DataFrame({"x": cells, "other": ["a", "b", "c", "d"]}).to_csv(file, index=False, sep=separator)
    rows = read_table(written(tmp_path, file.getvalue()))
    assert [None if pd.isna(value) else value for value in rows.frame["x"]] == values
    dialect = from_json(Dialect, to_json(rows.dialect))
    assert as_text(rows.frame, dialect) == file.getvalue() and dialect == rows.dialect


@pytest.mark.parametrize(
    "cells",
    [
        ["$5", "6", "$7"], ["$5", "€6", "$7"], ["5%", "6%%", "7%"], ["$", "$1", "$2"], ["1,23", "4,567", "8"],
        ["555 123 456", "555 987 654", "556 111 222"], ["192.168.100", "192.168.200", "10.0.1"], ["12,345,6", "1", "2"],
        ["$1,23", "$4", "$5"], ["1 234 5", "12", "3"], ["$05", "$06", "$11"], ["5 kg", "6 kg", "7 kg"],
    ],
)  # fmt: skip
def test_what_is_marked_otherwise_stays_text(tmp_path: Path, cells: list[str]) -> None:
    file = io.StringIO()
    pd.DataFrame({"x": cells, "other": [1, 2, 3]}).to_csv(file, index=False)
    rows = read_table(written(tmp_path, file.getvalue()))
    assert rows.frame["x"].tolist() == cells and rows.dialect == Dialect()


def test_a_fraction_with_three_digits_is_no_thousand(tmp_path: Path) -> None:
    for text in ("x;y\n1,234;a\n23,456;b\n", "x;y\n1.234;a\n23.456;b\n"):
        assert read_table(written(tmp_path, text)).frame["x"].tolist() == [1.234, 23.456]


@pytest.mark.parametrize("ending", ["parquet", "feather", "arrow"])
def test_arrow_files(tmp_path: Path, ending: str) -> None:
    frame = pd.DataFrame({
        "n": pd.array([1, None, 3], "Int64"), "c": pd.Categorical(["a", "b", "a"]), "s": ["x", None, "z"],
        "t": pd.to_datetime(["2020-01-01", "2021-01-01", None]), "b": [True, False, True],
    })  # fmt: skip
    path = tmp_path / f"a.{ending}"
    write_table(frame, path)
    pd.testing.assert_frame_equal(read_table(path).frame, frame)
    assert not list(tmp_path.glob(".*"))


def test_whole_numbers_with_gaps_stay_whole_in_files_of_others(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({"n": [2**60 + 1, None, 3], "day": [datetime.date(2020, 1, 1)] * 3}), tmp_path / "a.parquet"
    )
    frame = read_table(tmp_path / "a.parquet").frame
    assert frame["n"].dtype == "Int64" and frame["n"][0] == 2**60 + 1


def test_polars() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {"n": [1, None, 3], "s": ["a", "b", None], "d": [datetime.date(2020, 1, i) for i in (1, 2, 3)]}
    )
    for given in (frame, frame.lazy()):
        read = read_table(given).frame
        assert read["n"].dtype == "Int64" and read["s"].isna().tolist() == [False, False, True]
    assert len(load(polars.DataFrame({"x": list(range(50)), "y": ["a", "b"] * 25})).train) == 45


def test_databases(tmp_path: Path) -> None:
    sql = pytest.importorskip("sqlalchemy")
    address = f"sqlite:///{tmp_path / 'shop.db'}"
    frame = pd.DataFrame({"n": range(30), "town": ["Bonn", None, "Köln"] * 10})
    engine = sql.create_engine(address)
    frame.to_sql("customers", engine, index=False)
    pd.testing.assert_frame_equal(read_table(address).frame, frame, check_dtype=False)
    pd.DataFrame({"odd name": [1, 2]}).to_sql("other table", engine, index=False)
    with pytest.raises(BadOption, match="which table of sqlite:///.*one of: customers, other table"):
        read_table(address)
    assert len(read_table(address, Table(query="customers")).frame) == 30
    assert len(read_table(address, Table(query="SELECT * FROM customers WHERE n < 10")).frame) == 10
    with pytest.raises(BadData, match="did not answer to 'SELECT nothing': .*nothing\": syntax error"):
        read_table(address, Table(query="SELECT nothing"))
    with pytest.raises(BadData, match=r"there is no database file .*none.db"):
        read_table(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(BadData) as error:
        read_table("nosuchsql://me:secret@host/shop")
    assert "secret" not in str(error.value) and "me:***@host" in str(error.value)
    with pytest.raises(BadOption, match="--data.query is for databases"):
        read_table(written(tmp_path, GOOD), Table(query="customers"))
    assert len(load(address, Data(table=Table(query="customers"))).train) == 27


# -- what cannot ------------------------------------------------------------------------------------------------------


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as inside:
        inside.writestr("a.csv", GOOD)
    return file.getvalue()


FILES: dict[str, tuple[str | bytes, str]] = {
    "ragged, too few": ("a,b,c\n1,2,3\n4,5\n", "line 3 has 2 cells, the first line has 3"),
    "ragged, too many": ("a,b\n1,2\n3,4\n5,6,7\n8,9,10\n", "line 4 has 3 cells, the first line has 2 (separator ',';"),
    "duplicate headers": ("a,b,a\n1,2,3\n4,5,6\n", "has two columns called 'a', the 1. and the 3.: rename one"),
    "duplicates in a file without a header": (
        "3,1,3\n1,2,3\n",
        "rename one. If the first line is a row already: --data.headless",
    ),
    "no name in the middle": ("a,,c\n1,2,3\n4,5,6\n", "column 2 of 3 has no name: name it in the first line"),
    "an old index": (
        ",a\n0,1\n1,2\n",
        "column 1 of 2 has no name (an index that pandas wrote? then write it with index=False)",
    ),
    "empty": ("", "is empty: it has no columns and no rows"),
    "blank": ("\n\n  \n", "is empty: it has no columns and no rows"),
    "header only": ("a,b\n", "has no rows, only names of columns"),
    "one row": ("a,b\n1,2\n", "has one row; there must be two at least"),
    "all missing": ("a,b\n,\nNA,nan\n", "has no filled cell: all 2 rows are missing in every column"),
    "NUL bytes": ("a,b\n1,2\n3,\0\n", "has a NUL byte in line 3"),
    "wrong encoding": ("a,b\n1,2\n3,Köln\n".encode("latin-1"), "is not utf-8: line 3 has other bytes. Say what it is"),
    "10,000 columns": (",".join(f"c{i}" for i in range(10_000)) + "\n1\n", "has 10,000 columns, at most 5,000"),
    "open quote": ('a,b\n1,"2\n3,4\n5,6\n', "a quotation mark that opens a cell is never closed"),
    "zip": (archive(), "is a zip archive or an Excel file, not text"),
    "parquet called csv": (b"PAR1" + bytes(100), "is a parquet file, not text"),
    "picture called csv": (b"\x89PNG\r\n\x1a\n" + bytes(50), "is a picture, not text"),
    "noise": (random.Random(1).randbytes(500), "a.csv"),
    "gzip without its ending": (gzip.compress(b"a,b\n", mtime=0), "is a gzip archive, not text"),
}


@pytest.mark.parametrize("name", FILES)
def test_malformed_files(name: str, tmp_path: Path) -> None:
    content, message = FILES[name]
    path = written(tmp_path, content)
    with pytest.raises(BadData) as error:
        load(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_more_malformed_files(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="cannot be read"):
        load(written(tmp_path, b"no gzip", "a.csv.gz"))
    with pytest.raises(BadData, match=r"there is no file .*none.csv"):
        load(tmp_path / "none.csv")
    with pytest.raises(BadData, match="cannot be read as Arrow"):
        load(written(tmp_path, b"ARROW", "a.feather"))
    with pytest.raises(BadOption, match="--data.encoding utf-9: there is no such encoding"):
        load(written(tmp_path, GOOD), Data(table=Table(encoding="utf-9")))
    with pytest.raises(BadData, match="'set.csv'|set.csv"):
        (tmp_path / "set.csv").mkdir()
        load(tmp_path / "set.csv")


def numbers(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=n)


def column(cells: Any, name: Any = "x") -> Callable[[], pd.DataFrame]:
    def make() -> pd.DataFrame:
        return pd.DataFrame({name: cells, "y": numbers(len(cells))})

    return make


MIXED = [*map(str, range(40)), "unknown"]
FRAMES: dict[str, tuple[Callable[[], Any], str]] = {
    "no columns": (lambda: pd.DataFrame(index=range(5)), "the frame has no columns"),
    "no rows": (lambda: pd.DataFrame({"a": []}), "the frame has no rows"),
    "one row": (lambda: pd.DataFrame({"a": [1]}), "the frame has one row"),
    "all missing": (
        lambda: pd.DataFrame({"a": [None] * 9, "b": [np.nan] * 9}),
        "the frame has no filled cell: all 9 rows",
    ),
    "duplicate names": (
        lambda: pd.DataFrame(np.ones((5, 2)), columns=["a", "a"]),
        "two columns called 'a', the 1. and the 2.",
    ),
    "names alike as text": (
        lambda: pd.DataFrame(np.ones((5, 2)), columns=["1", 1]),
        "two columns called 1, the 1. and the 2.",
    ),
    "two levels": (
        lambda: pd.DataFrame(np.ones((5, 1)), columns=pd.MultiIndex.from_tuples([("a", "b")])),
        "in 2 levels",
    ),
    "nameless": (
        lambda: pd.DataFrame(np.ones((5, 1)), columns=[None]),
        "the frame has a column called None|called nan",
    ),
    "10,000 columns": (lambda: pd.DataFrame(np.ones((2, 10_000))), "the frame has 10,000 columns, at most 5,000"),
    "mixed types": (
        column([1, "a", 2.5] * 10),
        "column 'x' mixes types: int (1), str ('a'), float (2.5); make it one type",
    ),
    "truth and text": (
        column(pd.Series([True, "a"] * 10, dtype=object)),
        "column 'x' mixes types: bool (True), str ('a')",
    ),
    "lists": (column([[1, 2]] * 20), "column 'x' holds values of the type list ([1, 2])"),
    "dictionaries": (column([{"a": 1}] * 20), "column 'x' holds values of the type dict ({'a': 1})"),
    "bytes": (column([b"ab"] * 20), "column 'x' holds values of the type bytes (b'ab')"),
    "complex numbers": (column(np.ones(20) * 1j), "column 'x' holds complex numbers"),
    "infinite": (column([1.0, np.inf, -np.inf, 2.5] * 5), "column 'x' has 10 infinite values, the first in row 2"),
    "infinite objects": (column(pd.Series([0.5, float("inf")] * 9, dtype=object)), "column 'x' has 9 infinite values"),
    "huge whole numbers": (
        column([10**30, 5, 7] * 9),
        "column 'x' holds whole numbers beyond 64 bits, such as 1000000",
    ),
    "numbers and a word": (column(MIXED), "column 'x' mixes 40 different numbers with text, such as 'unknown'"),
    "inconsistent dates": (
        column([f"2020-01-{i:02d}" for i in range(1, 29)] + ["05.02.2020", "6.2.20"]),
        "column 'x' has dates in several formats: '2020-01-01' is %Y-%m-%d, but '05.02.2020' (cell 29",
    ),
    "several time zones": (
        column(
            pd.Series(
                [
                    datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=i % 2)))
                    for i in range(9)
                ],
                dtype=object,
            )
        ),
        "column 'x' holds dates of several time zones",
    ),
    "sparse": (column(pd.arrays.SparseArray([0.0, 1.0] * 9)), "column 'x' is sparse; make it dense"),
    "categories of several types": (column(pd.Categorical([1, "a"] * 9)), "column 'x' mixes types: int (1), str ('a')"),
    "arrow decimals": (
        column(pd.array([1, 2] * 9, dtype=pd.ArrowDtype(pa.decimal128(9, 2)))),
        "the Arrow type decimal128(9, 2)",
    ),
    "arrow lists": (lambda: pa.table({"x": [[1], [2]]}), "column 'x' of the table holds list<item: int64>|holds list<"),
    "arrow bytes": (lambda: pa.table({"x": [b"a", b"b"]}), "column 'x' of the table holds bytes"),
    "nothing but identifiers": (
        lambda: pd.DataFrame({"id": range(50), "k": [3] * 50}),
        "the table has nothing to learn: every",
    ),
    "a series": (lambda: pd.Series([1, 2]), "a Series was given as a table; expected a pandas or polars frame"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_malformed_frames(name: str) -> None:
    make, message = FRAMES[name]
    with pytest.raises(BadData) as error:
        load(make())
    assert any(part in str(error.value) for part in message.split("|")), str(error.value)


ODD: dict[str, Callable[[], pd.DataFrame]] = {
    "duplicated index": lambda: pd.DataFrame({"x": numbers()}, index=[7] * 40),
    "unsorted categories": column(pd.Categorical(["b", "c", "a", "c"] * 10, categories=["c", "a", "b"])),
    "unused categories": column(pd.Categorical(["b", "b"] * 20, categories=["c", "a", "b"])),
    "a column without a cell": column([None] * 40),
    "numbers as text": column([str(i % 30) for i in range(60)]),
    "empty text": column(["", "a", " "] * 20),
    "odd characters": column(["a\0b", "\U0001f600", "\n", "=1+1"] * 10),
    "two rows": lambda: pd.DataFrame({"x": [1, 2], "y": ["a", "b"]}),
    "tiny numbers": column([5e-324, 1e-310, 0.0, 1e-300] * 10),
    "largest numbers": column([1.7e308, -1.7e308, 0.0, 1.0] * 10),
    "name with signs": column([1, 2, 3, 4] * 10, "a<=b, `c` = {d}"),
    "far dates": column([datetime.date(9999, 12, 31), datetime.date(1, 1, 1), datetime.date(2020, 1, 1)] * 10),
    "one value and gaps": column(["x", None] * 20),
    "tail of one": column([*([0.0] * 50), 1e12]),
    "negative zero": column([0.0, -0.0, 1.0] * 10),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_tables_come_back(name: str) -> None:
    frame = ODD[name]()
    encoding = load(frame).encoding
    made = encoding.decode(encoding.encode(frame))
    pd.testing.assert_frame_equal(made, frame.reset_index(drop=True), rtol=1e-6)


# -- options ----------------------------------------------------------------------------------------------------------


def test_the_index_is_left_out_with_a_word() -> None:
    frame = pd.DataFrame({"x": numbers()}).rename_axis("customer")
    assert "the index (customer) is left out; frame.reset_index() makes it a column" in (load(frame).notes or [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Data(resolution=64), "--data.resolution is for images; a frame is a table"),
        (Data(flip=True), "--data.flip is for images"),
        (Data(labels="y"), "--data.labels is for images"),
        (Data(table=Table(kinds=("x",))), "--data.kinds 'x' is not understood; write name=kind"),
        (Data(table=Table(kinds=("x=integers",))), "there is no kind 'integers'; there are .* Did you mean integer?"),
        (Data(target="z"), "--data.target z: there is no column 'z'; there are x, y."),
    ],
)
def test_options(options: Data, message: str) -> None:
    with pytest.raises(ZerosumError, match=message):
        load(column([1, 2, 3] * 20)(), options)


def test_options_of_tables_are_refused_for_images() -> None:
    with pytest.raises(BadOption, match="options of tables were given .* but digits is none"):
        load("digits", Data(table=Table(drop=("x",))))


def test_kinds_on_the_command_line() -> None:
    import tyro

    given = tyro.cli(Data, args=["--kinds", "a=continuous,b=text", "zip=categorical", "--target", "a", "--modes", "3"])
    assert given.table.named_kinds() == {"a": "continuous", "b": "text", "zip": "categorical"}
    assert given.target == "a" and given.table.modes == 3


def test_the_check_reads_tables(tmp_path: Path) -> None:
    report = check(written(tmp_path, GOOD + GOOD.split("\n", 1)[1] * 10))
    assert report.total == report.usable == 33 and "30 rows are equal to earlier ones; kept" in report.notes


def test_writing_fails_clearly(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1, 2]})
    with pytest.raises(BadOption, match="tables are written as .csv, .tsv"):
        write_table(frame, tmp_path / "a.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="cannot be written"):
        write_table(frame, tmp_path / "file" / "a.csv")
