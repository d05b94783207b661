"""Tables from anywhere: text files, parquet, Arrow, databases and frames, to one pandas frame."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from zerosum.core.errors import BadData, BadOption
from zerosum.core.extras import require
from zerosum.data.options import Table
from zerosum.data.sources import DATABASE, TEXT
from zerosum.data.tables.dialect import Dialect
from zerosum.data.tables.frames import as_frame, checked, from_arrow
from zerosum.data.tables.text import read_text


@dataclass
class Rows:
    """A table that was read and checked."""

    name: str
    frame: pd.DataFrame
    dialect: Dialect | None = None
    """How it was written, where it was text."""
    notes: list[str] = field(default_factory=list)


def read_table(source: Any, options: Table | None = None) -> Rows:
    """The rows of a source.

    Args:
        source: a pandas or polars frame, an Arrow table, a path, or the address of a database.
        options: how text is read, what a database is asked for.

    Raises:
        BadData: it does not exist, cannot be read or is no table; the message names the line or the column.
        BadOption: an option that this source has no use for.
        MissingExtra: a database needs SQLAlchemy, the extra `sql`.

    Example:
        >>> read_table("customers.csv").frame.dtypes
    """
    options = options or Table()
    if not isinstance(source, str | os.PathLike):
        return _frame(source)
    text = os.fspath(source)
    if DATABASE.match(text):
        return _database(text, options.query)
    if options.query is not None:
        raise BadOption(f"--data.query is for databases; {text} is a file.")
    path = Path(source)
    if not path.is_file():
        raise BadData(f"there is no file {path}.")
    name = re.sub(r"(\.(csv|tsv|gz|parquet|feather|arrow|ipc))+$", "", path.name, flags=re.IGNORECASE)
    if path.name.lower().endswith(TEXT):
        frame, dialect, notes = read_text(path, options.missing, options.encoding, not options.headless)
        return Rows(name, checked(frame, str(path)), dialect, notes)
    return Rows(name, checked(from_arrow(_arrow(path), str(path)), str(path)))


def _frame(source: Any) -> Rows:
    notes = []
    if isinstance(source, pd.DataFrame) and any(name is not None for name in source.index.names):
        names = ", ".join(map(str, source.index.names))
        notes.append(f"the index ({names}) is left out; frame.reset_index() makes it a column")
    return Rows("frame", checked(as_frame(source), "the frame"), notes=notes)


def _arrow(path: Path) -> pa.Table:
    kind = "parquet" if path.suffix.lower() == ".parquet" else "Arrow"
    try:
        return pq.read_table(path) if kind == "parquet" else feather.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise BadData(f"{path} cannot be read as {kind} ({' '.join(str(error).split())[:300]}).") from error


def _database(address: str, query: str | None) -> Rows:
    """What a database answers to `query`, a SELECT or the name of a table; by default its only table."""
    sql: Any = require("sqlalchemy", "sql")
    try:
        engine = sql.create_engine(address)
    except (sql.exc.SQLAlchemyError, ImportError) as error:
        raise BadData(f"the database {_hidden(address)} cannot be reached: {_reason(error)}.") from error
    try:
        if address.startswith("sqlite:///") and engine.url.database and not Path(engine.url.database).is_file():
            raise BadData(f"there is no database file {engine.url.database}.")
        names = sql.inspect(engine).get_table_names() + sql.inspect(engine).get_view_names()
        if query is None and len(names) != 1:
            listed = ", ".join(names[:20]) or "none"
            raise BadOption(f"which table of {_hidden(address)}? --data.query takes a SELECT or one of: {listed}.")
        asked = names[0] if query is None else query
        if re.fullmatch(r"\S+", asked) and asked in names:
            asked = f"SELECT * FROM {engine.dialect.identifier_preparer.quote(asked)}"
        with engine.connect() as connection:
            frame = pd.read_sql_query(sql.text(asked), connection)
    except (sql.exc.SQLAlchemyError, pd.errors.DatabaseError) as error:
        raise BadData(f"{_hidden(address)} did not answer to {query!r}: {_reason(error)}.") from error
    finally:
        engine.dispose()
    return Rows(engine.url.database or "database", checked(frame.infer_objects(), f"the answer of {_hidden(address)}"))


def _hidden(address: str) -> str:
    """The address without its password."""
    return re.sub(r"://([^:/@]*):[^@]*@", r"://\1:***@", address)


def _reason(error: Exception) -> str:
    """What went wrong, without the driver's further words."""
    return " ".join(str(getattr(error, "orig", None) or error).partition("\n[")[0].split())[:300]
