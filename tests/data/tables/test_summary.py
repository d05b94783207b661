"""What every column of a table was taken for, in words."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from zerosum.cli import main
from zerosum.data import Data
from zerosum.data.check import check
from zerosum.data.options import Table

DRAW = np.random.default_rng(0)
ROWS = 200
COLUMNS = {
    "x": (DRAW.normal(size=ROWS).round(2).clip(-2, 2), "continuous", "-2.0 to 2.0; 1 mode"),
    "third": (np.linspace(1 / 3, 7e5 / 9, ROWS), "continuous", "0.333333 to 77777.8; "),
    "n": ([1, 77] * 30 + [*range(10, 80)] * 2, "integer", "1 to 79; "),
    "few": ([1, 2, 3, 4, 5] * 40, "ordinal", "1, 2, 3, 4 and 1 more"),
    "sex": (["f", "m", None, "m"] * 50, "categorical, the target", "f, m"),
    "town": ([f"t{i // 5}" for i in range(ROWS)], "categorical", "t0, t1, t10, t11 and 5 more; 31 rare ones share one"),
    "born": ([datetime.date(2020, 1, 1 + i % 28) for i in range(ROWS)], "datetime", "2020-01-01 to 2020-01-28"),
    "opens": ([f"{i % 24:02d}:30" for i in range(ROWS)], "datetime", "00:30 to 23:30, %H:%M"),
    "paid": (pd.to_timedelta(np.arange(ROWS), "min"), "datetime", "0 days 00:00:00 to 0 days 03:19:00"),
    "id": (range(1, ROWS + 1), "identifier", "made anew, not learned"),
    "same": (["a"] * ROWS, "constant", "a in every row"),
    "empty": ([None] * ROWS, "constant", "nothing in any row"),
    "said": ([f"word {i} and another {i * i}" for i in range(ROWS)], "text", "left out"),
    "gone": (["u", "v"] * (ROWS // 2), "dropped", ""),
}


def test_what_columns_are_taken_for() -> None:
    frame = pd.DataFrame({name: cells for name, (cells, _, _) in COLUMNS.items()})
    found = check(frame, Data(target="sex", table=Table(drop=("gone",), categories=10))).columns
    assert [taken.column for taken in found] == list(COLUMNS)
    for taken, (name, (_, kind, values)) in zip(found, COLUMNS.items(), strict=True):
        assert taken.kind == kind, name
        assert taken.values.startswith(values), taken
        assert taken.missing == {"sex": 0.25, "empty": 1.0}.get(name, 0.0)


def test_it_is_shown_and_written_as_the_file_writes_numbers(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "shop.csv"
    path.write_text("price;c\n" + "".join(f"{i % 90},5 %;{'ab'[i % 2]}\n" for i in range(ROWS)))
    assert main(["check-data", str(path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "│ price │ continuous │ 0,5 % to 89,5 %;" in shown and "│ c │ categorical │ a, b │" in shown
