"""How a text file of a table is written: separator, decimal sign, digits after the point; and writing one so."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from zerosum.core.errors import BadFile, BadOption
from zerosum.data.tables.spelling import Marks, spell

WRITTEN = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".feather", ".arrow")
"""Endings of files that tables are written to."""


@dataclass(frozen=True)
class Dialect:
    """The habits of a text file."""

    separator: str = ","
    decimal: str = "."
    digits: tuple[tuple[str, int], ...] = ()
    """Columns whose numbers all have this many digits after the point, zeros at the end as well; 0: as many as it
    takes, so that 2.0 is written 2."""
    header: bool = True
    marks: tuple[tuple[str, Marks], ...] = ()
    """Columns whose numbers are written with more than digits, a sign and a point."""


def write_table(frame: pd.DataFrame, path: Path | str, dialect: Dialect | None = None) -> None:
    """Write a table, by the ending of the file: text (.csv, .tsv, also .gz), .parquet, .feather or .arrow.

    Args:
        frame: the rows; the index is not written.
        path: replaced where it exists; the file is there whole or not at all.
        dialect: how text is written, such as that of the table which a generator learned from (`encoding.dialect`).

    Raises:
        BadOption: another ending.
        BadFile: it cannot be written.
    """
    path = Path(path)
    ending = next((end for end in WRITTEN if path.name.lower().endswith(end)), None)
    if ending is None:
        raise BadOption(f"{path}: tables are written as {', '.join(WRITTEN)}.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if ending == ".parquet":
            frame.to_parquet(temporary, index=False)
        elif ending in (".feather", ".arrow"):
            frame.reset_index(drop=True).to_feather(temporary)
        else:
            own = dialect or Dialect("\t" if ending.startswith(".tsv") else ",")
            content = as_text(frame, own).encode()
            temporary.write_bytes(gzip.compress(content, mtime=0) if ending.endswith(".gz") else content)
        temporary.replace(path)
    except (OSError, ValueError, TypeError) as error:
        raise BadFile(f"{path} cannot be written ({error}).") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def as_text(frame: pd.DataFrame, dialect: Dialect) -> str:
    """The text of a file in this dialect; missing cells are empty."""
    digits, marks = dict(dialect.digits), dict(dialect.marks)
    written = frame.copy(deep=False)
    for name in frame.columns:
        if (key := str(name)) in digits or key in marks:
            written[name] = spell(frame[name], digits.get(key), marks.get(key, Marks()), dialect.decimal)
    file = io.StringIO()
    written.to_csv(
        file, index=False, sep=dialect.separator, decimal=dialect.decimal, header=dialect.header, lineterminator="\n",
        quoting=csv.QUOTE_MINIMAL,
    )  # fmt: skip
    return file.getvalue()
