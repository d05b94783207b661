"""Text files of tables (CSV and its like): read whole, every cell accounted for.

All cells are read as text first, because a type that is guessed too early loses what was written: zeros at the
beginning of postal codes, whole numbers in columns with missing cells, the format of dates.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from zerosum.core.errors import BadData, BadOption
from zerosum.data.tables.dialect import Dialect
from zerosum.data.tables.frames import MOST_COLUMNS, refuse_repeated
from zerosum.data.tables.spelling import Marks, Typed, every, numbers

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A", "<NA>", "NaT")
"""Text that means that a cell is missing."""
SEPARATORS = ",;\t|"
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel file", b"\x1f\x8b": "a gzip archive", b"PAR1": "a parquet file",
    b"ARROW1": "an Arrow file", b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"%PDF": "a PDF file",
    b"\xd0\xcf\x11\xe0": "an old Excel file", b"SQLite format 3": "an SQLite file (give it as sqlite:///PATH)",
}  # fmt: skip


def read_text(
    path: Path, missing: tuple[str, ...] = (), encoding: str = "utf-8", header: bool = True
) -> tuple[pd.DataFrame, Dialect, list[str]]:
    """The table of a text file, its dialect, and notes.

    Args:
        path: .csv, .tsv or .txt, also .gz.
        missing: further text that means that a cell is missing.
        encoding: of the characters; UTF-16 is seen by its mark.
        header: whether the first line has the names of the columns; else they are called "1", "2" ...

    Raises:
        BadOption: no such encoding.
        BadData: the file is no text, or no table: the message names the line or the column.
    """
    content = _content(path, encoding)
    separator, names = _header(content, path)
    table = _parse(content, separator, names, header, path)
    del content
    notes = []
    if header and _like_a_row(names):
        shown = ", ".join(names[:5])
        notes.append(f"the names of the columns look like a row ({shown} ...); without names: --data.headless")
    markers = pa.array(sorted({*MISSING, *missing}), pa.string())
    columns: dict[str, Typed] = {}
    for name in table.column_names:
        columns[name], note = _typed(table[name], markers, separator, name)
        notes += [note] if note else []
        table = table.drop_columns([name])  # gives its memory back before the next is converted
    dialect = Dialect(
        separator,
        "," if any(column.comma for column in columns.values()) else ".",
        tuple((name, column.digits) for name, column in columns.items() if column.digits is not None),
        header,
        tuple((name, column.marks) for name, column in columns.items() if column.marks != Marks()),
    )
    return pd.DataFrame({name: column.series for name, column in columns.items()}), dialect, notes


def _content(path: Path, encoding: str) -> bytes:
    """The file as UTF-8 without a mark."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix.lower() == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"{path} cannot be read ({error}).") from error
    if not content.strip():
        raise BadData(f"{path} is empty: it has no columns and no rows.")
    for start, what in FOREIGN.items():
        if content.startswith(start):
            raise BadData(f"{path} is {what}, not text in spite of its ending.")
    encoding = MARKS.get(content[:2], encoding)
    content = content.removeprefix(b"\xef\xbb\xbf")
    if encoding == "utf-16" or encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "ascii"):
        content = _recoded(content, encoding, path)
    elif (place := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, place) + 1
        raise BadData(f"{path} has a NUL byte in line {line:,}: it is no text, or damaged.")
    else:
        _recoded(content, "utf-8", path)
    return content


def _recoded(content: bytes, encoding: str, path: Path) -> bytes:
    try:
        return content.decode(encoding).encode()
    except LookupError as error:
        raise BadOption(f"--data.encoding {encoding}: there is no such encoding.") from error
    except UnicodeError as error:
        line = content.count(b"\n", 0, getattr(error, "start", 0)) + 1
        raise BadData(
            f"{path} is not {encoding}: line {line:,} has other bytes. Say what it is, such as --data.encoding latin-1."
        ) from error


def _header(content: bytes, path: Path) -> tuple[str, list[str]]:
    """The separator and the cells of the first line."""
    start = content[:8_000_000].decode(errors="ignore").lstrip("\r\n")
    line = re.sub(r'"[^"]*"', "", start.partition("\n")[0])
    separator = max(SEPARATORS, key=line.count) if any(sign in line for sign in SEPARATORS) else ","
    try:
        names = next(csv.reader(io.StringIO(start, newline=""), delimiter=separator))
    except (csv.Error, StopIteration) as error:
        raise BadData(f"{path}: the first line cannot be read ({error}).") from error
    if len(names) > MOST_COLUMNS:
        raise BadData(
            f"{path} has {len(names):,} columns, at most {MOST_COLUMNS:,} can be learned together: give those that "
            "matter, or give it the other way round if its rows are columns."
        )
    return separator, names


def _like_a_row(names: list[str]) -> bool:
    """Whether names of columns look like the cells of a row."""
    return sum(bool(re.fullmatch(r"-?\d+(\.\d+)?", name)) for name in names) > len(names) / 4


def _parse(content: bytes, separator: str, names: list[str], header: bool, path: Path) -> pa.Table:
    """All cells as text."""
    if header:
        for place, name in enumerate(names, 1):
            if not name.strip():
                hint = " (an index that pandas wrote? then write it with index=False)" if place == 1 else ""
                raise BadData(f"{path}: column {place} of {len(names)} has no name{hint}: name it in the first line.")
        try:
            refuse_repeated(names, str(path))
        except BadData as error:
            if _like_a_row(names):
                raise BadData(f"{error} If the first line is a row already: --data.headless.") from None
            raise
    else:
        names = [str(place) for place in range(1, len(names) + 1)]
    bad: list[pacsv.InvalidRow] = []

    def ragged(row: pacsv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    try:
        table = pacsv.read_csv(
            pa.BufferReader(content),
            read_options=pacsv.ReadOptions(
                use_threads=False, block_size=min(max(len(content), 1 << 16), 1 << 27), autogenerate_column_names=True
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=ragged
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={f"f{place}": pa.string() for place in range(len(names))}, strings_can_be_null=False
            ),
        )  # fmt: skip
    except pa.ArrowException as error:
        raise BadData(f"{path} cannot be read as a table ({' '.join(str(error).split())[:300]}).") from error
    if bad:
        where = f"line {bad[0].number:,}" if bad[0].number else "a line"
        raise BadData(
            f"{path}: {where} has {bad[0].actual_columns} cells, the first line has {bad[0].expected_columns} "
            f"(separator {separator!r}; {len(bad):,} such lines): {bad[0].text[:80]!r}."
        )
    if content.count(b'"') % 2 and len(table) and any("\n" in table[name][-1].as_py() for name in table.column_names):
        raise BadData(f'{path}: a quotation mark that opens a cell is never closed; look for a single " in the file.')
    table = table.rename_columns(names)
    return table.slice(1) if header else table


def _typed(cells: pa.ChunkedArray, markers: pa.Array, separator: str, name: str) -> tuple[Typed, str]:
    """A column of text as what it holds, and a note."""
    trimmed = pc.utf8_trim_whitespace(cells)
    lost = pc.is_in(trimmed, value_set=markers)
    note = ""
    if (named := pc.sum(pc.and_(lost, pc.not_equal(trimmed, ""))).as_py()) is not None and named:
        kinds = pc.unique(trimmed.filter(pc.and_(lost, pc.not_equal(trimmed, "")))).to_pylist()
        note = f"{name}: {named:,} cells with {', '.join(map(repr, kinds))} are missing"
    texts = pc.if_else(lost, pa.scalar(None, pa.string()), trimmed)
    if texts.null_count == len(texts):
        return Typed(pd.Series([None] * len(texts), dtype=object)), note
    if (found := numbers(texts, separator)) is not None:
        return found, note
    if every(texts, "^(True|False)$"):
        mapper = {pa.bool_(): pd.BooleanDtype()}.get if texts.null_count else None
        return Typed(pc.equal(texts, "True").to_pandas(types_mapper=mapper)), note
    return Typed(pc.if_else(lost, pa.scalar(None, pa.string()), cells).to_pandas()), note
