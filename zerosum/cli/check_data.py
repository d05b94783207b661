"""List broken, odd and duplicated files of a data set.

Example:
    zerosum check-data photos/ --data.resolution 64
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from zerosum.data.options import Data

if TYPE_CHECKING:
    from zerosum.data.report import Report


@dataclass(frozen=True)
class Arguments:
    """What to check, and how to print it."""

    source: tyro.conf.Positional[str]
    """A folder, zip, tar, npz, parquet, CSV, hf://name, or the name of a built-in data set."""
    data: Data = Data()
    json: bool = False
    """Print everything as JSON, uncut."""


def main(arguments: list[str]) -> int:
    """Print the report; 1 if there are unusable files, else 0."""
    given = tyro.cli(Arguments, args=arguments, prog="zerosum check-data", description=__doc__)
    from zerosum.data.check import check

    report = check(given.source, given.data)
    if given.json:
        print(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        show(report)
    return 1 if report.unusable else 0


def show(report: Report) -> None:
    """Print a report as a table for each kind of problem, at most 20 files in each."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from zerosum.data.report import SHOWN

    console = Console()
    console.print(f"{escape(report.source)}: {report.usable:,} of {report.total:,} samples are usable.")
    for kind, problems in report.kinds().items():
        table = Table(title=f"{kind}: {len(problems):,}", title_justify="left")
        for column in ("file", "problem", "what was done"):
            table.add_column(column, overflow="fold")
        for problem in problems[:SHOWN]:
            table.add_row(escape(problem.file), escape(problem.problem), escape(problem.done))
        if len(problems) > SHOWN:
            table.add_row(f"... and {len(problems) - SHOWN:,} more", "", "--json lists all")
        console.print(table)
    if report.columns:
        table = Table()
        for column in ("column", "is taken for", "values", "missing"):
            table.add_column(column, overflow="fold", justify="right" if column == "missing" else "left")
        for taken in report.columns:
            missing = f"{taken.missing:.1%}" if taken.missing else ""
            table.add_row(escape(taken.column), taken.kind, escape(taken.values), missing)
        console.print(table)
    for note in report.notes:
        console.print(f"note: {escape(note)}")
