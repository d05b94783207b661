"""How good an imputer is: cells of held-out rows are hidden, filled in, and compared with what they were."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from zerosum.core.errors import BadData, BadFile, BadOption
from zerosum.core.files import write_text
from zerosum.data.tables.cells import absent
from zerosum.data.tables.columns import Categories, Column, Numbers
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.numeric import read
from zerosum.data.tables.store import TableStore
from zerosum.metrics.callback import undisturbed
from zerosum.metrics.imputation import Mechanism, errors, hide, shape
from zerosum.metrics.tables import simple_imputers
from zerosum.training.callback import Callback

if TYPE_CHECKING:
    from rich.table import Table

    from zerosum.data.spec import Dataset
    from zerosum.training.imputer import Imputer
    from zerosum.training.loop import Training

MECHANISMS = {
    "mcar": "at random", "mar": "for what is in other cells", "mnar": "for what was in the cell",
}  # fmt: skip
"""How cells are lost, in words."""
WAYS = {
    "imputer": "this imputer", "draws": "its draws", "mean": "mean, most frequent", "chained": "chained regressions",
}  # fmt: skip
SCORES = {
    "rmse": ("RMSE", "of numbers, each column scaled to [0, 1]"),
    "error": ("Wrong categories", "share of them"),
    "shape": ("Columns' distance", "between the distributions of filled-in and true cells"),
}
"""What is measured: its name, and what it says. Lower is better."""
SHARE = 0.2
ROWS = 5_000
"""Held-out rows that are measured, at most."""
FEWEST = 20
WIDEST = 300
"""Numbers and one-hots of a row above which chained regressions take too long."""
NULLABLE = {"i": ("int", "Int"), "u": ("uint", "UInt"), "b": ("bool", "boolean")}
"""Kinds of dtypes in which no cell can be missing: what to write instead in their names."""


@dataclass(frozen=True)
class ImputationScores:
    """Scores of an imputer, as they are stored in scores.json."""

    values: dict[str, dict[str, dict[str, float]]]
    """Mechanism -> way -> score, by the keys of `MECHANISMS`, `WAYS` and `SCORES`."""
    protocol: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def headline(self) -> tuple[str, float]:
        """The score to name first."""
        mechanism, ways = next(iter(self.values.items()))
        key, value = next(iter(ways["imputer"].items()))
        return f"{SCORES[key][0]} ({mechanism.upper()})", value

    def rows(self) -> list[tuple[str, str, dict[str, float]]]:
        """(mechanism, score, way -> value), line by line."""
        return [
            (mechanism, key, {way: own[key] for way, own in ways.items() if key in own})
            for mechanism, ways in self.values.items()
            for key in SCORES
            if key in ways["imputer"]
        ]

    def table(self) -> Table:
        """The scores as a rich table."""
        from rich.table import Table

        told = [f"{mechanism.upper()}: lost {MECHANISMS[mechanism]}" for mechanism in self.values]
        caption = "\n".join([f"{'; '.join(told)}. Lower is better everywhere.", *self.notes])
        table = Table(title=stated(self.protocol), caption=caption, title_justify="left", caption_justify="left")
        table.add_column("Lost")
        table.add_column("Score")
        ways = list(next(iter(self.values.values())))
        for way in ways:
            table.add_column(WAYS[way], justify="right")
        before = None
        for mechanism, key, found in self.rows():
            values = [f"{found[way]:.4f}" if way in found else "" for way in ways]
            table.add_row(mechanism.upper() if mechanism != before else "", SCORES[key][0], *values)
            before = mechanism
        return table

    def to_json(self) -> str:
        """JSON text of all fields."""
        return json.dumps({"kind": "imputation", **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ImputationScores:
        """The scores that `to_json` wrote. Raises BadFile for anything else."""
        try:
            content = json.loads(text)
            if content.pop("kind") != "imputation":
                raise ValueError("they are not of an imputer")
            found = cls(**content)
            if not found.values or any(
                mechanism not in MECHANISMS or "imputer" not in ways or not set(ways) <= set(WAYS)
                for mechanism, ways in found.values.items()
            ):
                raise ValueError("they are of other kinds")
            return found
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadFile(f"these are no scores of an imputer ({error}); measure it again.") from error


def stated(protocol: dict[str, Any]) -> str:
    """What was measured, in words."""
    kind = "held-out rows" if protocol["held_out"] else "training rows"
    return f"{protocol['rows']:,} {kind}, {protocol['share']:.0%} of whose cells were hidden and filled in"


def evaluate_imputer(imputer: Imputer, dataset: Dataset, *, rows: int = ROWS, seed: int = 0) -> ImputationScores:
    """Hide cells of held-out rows in three ways, fill them in, and compare with the cells that were there.

    Beside the imputer: the mean or most frequent category, and chained regressions, which are both learned from at most
    5,000 training rows and the holed rows themselves.

    Args:
        imputer: what is measured.
        dataset: a table with the columns that it was trained on.
        rows: held-out rows at most; where there are fewer than 20, training rows are taken.
        seed: of the rows, of what is hidden, and of draws.

    Raises:
        BadData: the table does not have the imputer's columns, or too few rows.
        BadOption: the data is no table.
    """
    if not isinstance(dataset.train, TableStore):
        raise BadOption(f"this imputer fills in tables, but {dataset.name} is {dataset.spec.kind}: give a table.")
    held_out = isinstance(dataset.test, TableStore) and len(dataset.test) >= FEWEST
    store, draw = dataset.test if held_out else dataset.train, np.random.default_rng(seed)
    assert isinstance(store, TableStore)
    if len(store) < FEWEST:
        raise BadData(f"{len(store)} rows are too few to hide cells of; {FEWEST} are needed.")
    names = [column.name for column in imputer.table.columns if counts(column)]
    chosen, known = (
        own.frame().iloc[np.sort(draw.permutation(len(own))[:most])].reset_index(drop=True)
        for own, most in ((store, rows), (dataset.train, simple_imputers.DONORS))
    )
    if gone := [str(name) for name in imputer.table.by_name if name not in chosen.columns]:
        raise BadData(f"{dataset.name} lacks {', '.join(gone[:5])}, on which the imputer was trained.")
    truth, notes = as_numbers(chosen, imputer.table), []
    donors = as_numbers(known, imputer.table)
    wide = sum(1 if pd.api.types.is_float_dtype(cells) else cells.nunique() for _, cells in truth.items()) > WIDEST
    if wide:
        notes.append(f"chained regressions are left out: rows have more than {WIDEST} numbers and categories")
    if not held_out:
        notes.append(f"measured on training rows: fewer than {FEWEST} are held out")
    values = {}
    for mechanism in MECHANISMS:
        if mechanism == "mar" and len(names) < 2:
            notes.append("a single column is learned: there are no others to lose cells for (MAR)")
            continue
        lost = hide(truth, cast(Mechanism, mechanism), SHARE, seed=seed)
        if not lost.any():
            raise BadData(f"{dataset.name} has no cells to hide: those of the rows to measure are all missing.")
        holed = with_holes(chosen, names, lost)
        bare = pd.concat([donors, truth.mask(lost)], ignore_index=True)
        filled = {
            "imputer": as_numbers(imputer.impute(holed, seed=seed), imputer.table),
            "draws": as_numbers(imputer.impute(holed, seed=seed, draws=True), imputer.table),
            "mean": simple_imputers.mean(bare).iloc[len(donors) :].reset_index(drop=True),
        }
        if not wide:
            filled["chained"] = simple_imputers.chained(bare, seed).iloc[len(donors) :].reset_index(drop=True)
        values[mechanism] = {
            way: {**errors(truth, made, lost), "shape": shape(truth, made, lost)} for way, made in filled.items()
        }
    protocol = {
        "data": dataset.name, "fingerprint": dataset.fingerprint, "rows": len(truth), "held_out": held_out,
        "share": SHARE, "columns": len(names), "seed": seed, "donors": len(donors),
        "scores": {name: f"{SCORES[name][0]}: {SCORES[name][1]}" for name in SCORES},
    }  # fmt: skip
    return ImputationScores(values, protocol, notes)


def counts(column: Column) -> bool:
    """Whether a column is learned, so that its cells can be guessed."""
    return isinstance(column.content, Numbers | Categories)


def as_numbers(frame: pd.DataFrame, encoding: TableEncoding) -> pd.DataFrame:
    """The learned columns: numbers, points in time and numeric levels as floats, other categories as text; NaN and None
    where a cell is missing.
    """
    columns = {}
    for column in encoding.columns:
        if not counts(column):
            continue
        series = frame[column.name].reset_index(drop=True)
        missing = absent(series)
        if isinstance(column.content, Numbers):
            numbers = read(series, column.cells, missing).astype("float64")
            columns[column.name] = pd.Series(np.where(missing, np.nan, numbers))
        elif column.kind == "ordinal" and column.cells.measure in ("int", "float"):
            columns[column.name] = pd.Series(series.to_numpy(dtype="float64", na_value=np.nan))
        else:
            columns[column.name] = pd.Series(series.astype(str).astype(object).mask(missing, None))
    return pd.DataFrame(columns)


def with_holes(frame: pd.DataFrame, names: list[Any], lost: np.ndarray) -> pd.DataFrame:
    """The table without the cells `lost` (n, columns) of the named columns, in dtypes that can be missing."""
    holed = frame.copy()
    for j, name in enumerate(names):
        series = holed[name]
        if isinstance(series.dtype, np.dtype) and series.dtype.kind in NULLABLE:
            series = series.astype(str(series.dtype).replace(*NULLABLE[series.dtype.kind]))  # type: ignore[call-overload]
        holed[name] = series.mask(lost[:, j])
    return holed


class ImputerScoring(Callback):
    """Measures an imputer when its training ends, and writes scores.json."""

    def end(self, training: Training) -> None:
        """Measure the last one: what is learned is the best guess, and nothing chooses among snapshots."""
        from zerosum.training.imputer import Imputer

        with undisturbed():
            imputer = training.generator()
            assert isinstance(imputer, Imputer)
            scores = evaluate_imputer(imputer, training.dataset)
        write_text(training.folder / "scores.json", scores.to_json())
