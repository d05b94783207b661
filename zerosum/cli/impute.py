"""Fill in what is missing in a table with a trained imputer."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from zerosum.core.errors import BadData, BadOption

if TYPE_CHECKING:
    from zerosum.training.imputer import Imputer


@dataclasses.dataclass(frozen=True)
class Options:
    """Fill in what is missing in a table with a trained imputer; cells that are there stay as they are.

    The table has the columns of the one that the imputer learned from. It is written as the ending of --out says, text
    as it came: separator, decimal sign, digits.

    Example: zerosum impute runs/masked_imputer-customers-20260101-1 new.csv --out filled.csv
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder, or a generator's folder."""
    input: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="INPUT")]
    """The table: text (.csv, .tsv, also .gz), .parquet, .feather or .arrow."""
    out: Path | None = None
    """The file to write, of any of these kinds (default: INPUT with -imputed before the ending)."""
    draws: int = 0
    """Draw missing cells, which keeps the distribution of columns, instead of the best guess, which makes errors small:
    so many tables, NAME-1.csv, NAME-2.csv ... (multiple imputation)."""
    seed: int = 0
    """Of noise and draws."""
    missing: tuple[str, ...] = ()
    """Text that means that a cell is missing, besides NA, NaN, NULL, None and nothing at all."""
    encoding: str = "utf-8"
    """Of the characters of a text file, such as latin-1."""
    headless: bool = False
    """The first line of a text file is a row already, and has no names."""
    json: bool = False
    """Print what was written as JSON."""


def main(arguments: list[str]) -> int:
    """`zerosum impute`."""
    options = tyro.cli(Options, args=arguments, prog="zerosum impute")
    from zerosum.data.options import Table
    from zerosum.data.tables.dialect import write_table
    from zerosum.data.tables.reading import read_table

    targets = planned(options)
    imputer = opened(options.run)
    table = Table(missing=options.missing, encoding=options.encoding, headless=options.headless)
    rows = read_table(options.input, table)
    frame = as_trained(rows.frame, imputer)
    lost = frame.isna()
    if options.draws:
        made = imputer.imputations(frame, options.draws, seed=options.seed)
    else:
        made = [imputer.impute(frame, seed=options.seed)]
    for filled, path in zip(made, targets, strict=True):
        write_table(filled, path, rows.dialect)
    left = made[0].isna().sum()
    described = {
        "files": [str(path) for path in targets],
        "rows": len(frame),
        "filled": int(lost.to_numpy().sum() - left.sum()),
        "left": {str(name): int(count) for name, count in left.items() if count},
        "seed": options.seed,
    }
    print(json.dumps(described) if options.json else told(described))
    return 0


def planned(options: Options) -> list[Path]:
    """The files to write, one for each draw. Raises BadOption where one of them cannot be a table, or is the input."""
    from zerosum.data.tables.dialect import WRITTEN

    if options.draws < 0:
        raise BadOption(f"--draws is {options.draws}; it must be 0 (the best guess) or more.")
    name = options.input.name
    ending = next((end for end in sorted(WRITTEN, key=len, reverse=True) if name.lower().endswith(end)), "")
    out = options.out or options.input.with_name(
        f"{name.removesuffix(name[len(name) - len(ending) :])}-imputed{ending}"
    )
    ending = next((end for end in sorted(WRITTEN, key=len, reverse=True) if out.name.lower().endswith(end)), "")
    if not ending:
        raise BadOption(f"--out {out}: tables are written as {', '.join(WRITTEN)}.")
    stem, end = out.name[: len(out.name) - len(ending)], out.name[len(out.name) - len(ending) :]
    targets = [out.with_name(f"{stem}-{number}{end}") for number in range(1, options.draws + 1)] or [out]
    if any(target.resolve() == options.input.resolve() for target in targets):
        raise BadOption(f"--out {out} would write over the table that is to be filled in: name another file.")
    return targets


def opened(run: Path) -> Imputer:
    """The imputer of a folder. Raises BadOption where something else is in it."""
    from zerosum import api
    from zerosum.training.imputer import Imputer

    imputer = api.load(run)
    if not isinstance(imputer, Imputer):
        raise BadOption(
            f"{run} holds {imputer.facts.get('system')}, which fills in nothing: train gain or masked_imputer."
        )
    return imputer


def as_trained(frame: Any, imputer: Imputer) -> Any:
    """The table with its columns as in training, where reading a file alone cannot tell: a column that is empty in this
    file, and whole numbers where there are numbers with digits after the point.
    """
    from zerosum.data.tables.cells import dtype_from

    for name in frame.columns:
        column = imputer.table.by_name.get(name)
        if column is None or str(frame[name].dtype) == column.cells.dtype:
            continue
        empty, number = frame[name].isna().all(), column.cells.measure == "float"
        if empty or (number and frame[name].dtype.kind in "iu"):
            try:
                frame[name] = frame[name].astype(dtype_from(column.cells.dtype))
            except (TypeError, ValueError) as error:
                if not empty:
                    raise BadData(f"column {name!r} cannot be made {column.cells.dtype} ({error}).") from error
    return frame


def told(described: dict[str, Any]) -> str:
    """What was written, in words."""
    files = described["files"]
    line = f"filled in {described['filled']:,} cells of {described['rows']:,} rows: wrote {', '.join(files[:5])}"
    line += f" and {len(files) - 5:,} more" if len(files) > 5 else ""
    left = [f"{name} ({count:,})" for name, count in described["left"].items()]
    return line + (f"\nstill missing, because nothing was learned of them: {', '.join(left)}" if left else "")
