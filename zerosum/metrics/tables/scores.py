"""Measuring a synthetic table, beside a Gaussian copula, independent columns and real rows, with the protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from zerosum.core.errors import BadFile, BadOption
from zerosum.data.tables.columns import Name
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.frames import as_frame
from zerosum.metrics.scores import json_safe, written
from zerosum.metrics.tables import detection, figures, utility
from zerosum.metrics.tables.baselines import GaussianCopula, IndependentColumns
from zerosum.metrics.tables.fairness import wanted
from zerosum.metrics.tables.measure import Measured, Progress, Truth, detect, fidelity
from zerosum.metrics.tables.sheet import Sheet, read_sheets

if TYPE_CHECKING:
    from rich.table import Table

MEANINGS: dict[str, tuple[str, str, str]] = {
    "shapes": ("Column shapes", "higher", "every value as frequent as in the real rows; 1 = equal"),
    "pairs": ("Pair trends", "higher", "columns hang together as in the real rows; 1 = equally"),
    "missing": ("Missing cells", "higher", "as many as in the real rows; 1 = equally"),
    "variation": ("Variation of categories", "lower", "total variation distance of their frequencies; 0 = equal"),
    "rare_error": ("Rare categories, error", "lower", "relative, of shares below 1 %"),
    "rare_vanished": ("Rare categories lost", "lower", "those that no row has"),
    "detection_auc": ("Detection AUC", "near 0.5", "trees tell synthetic from real rows; 0.5: they cannot, 1: they do"),
    "detection_score": ("Detection score", "higher", "1 - (2 max(0.5, AUC) - 1), as SDMetrics has it"),
    "auc": ("AUC", "higher", "of trees trained on these rows, tested on real ones"),
    "f1": ("F1", "higher", "the same; of the rarer of two classes, of several the mean"),
    "accuracy": ("Accuracy", "higher", "the same"),
    "linear_auc": ("AUC, logistic regression", "higher", "trained on these rows, tested on real ones"),
    "linear_f1": ("F1, logistic regression", "higher", "the same"),
    "linear_accuracy": ("Accuracy, logistic regression", "higher", "the same"),
    "r2": ("R²", "higher", "of trees trained on these rows, tested on real ones; 0: no better than the mean"),
    "rmse": ("RMSE", "lower", "the same, in the target's unit"),
    "linear_r2": ("R², ridge regression", "higher", "trained on these rows, tested on real ones"),
    "linear_rmse": ("RMSE, ridge regression", "lower", "the same"),
    "label_parity": ("Parity of labels", "lower", "difference between groups in favourable labels of these rows"),
    "parity": ("Parity of a model", "lower", "the same in answers for real rows, trained on these"),
    "opportunity": ("Equal opportunity", "lower", "the same among real rows whose label is favourable"),
    "nearer_train": ("Nearer to training rows", "near 0.5", "than to as many held-out ones; more = they leak"),
    "distance": ("Distance to training rows", "", "to the closest, median, in [0, 1]"),
    "distance_test": ("Distance to held-out rows", "", "the same; much larger = training rows leak"),
    "distance_5": ("The same, closest 5 %", "", "to training rows"),
    "distance_5_test": ("The same, held-out", "", "to held-out rows"),
    "copies": ("Exact copies", "as expected", "share of rows that are training rows"),
    "copies_expected": ("Copies by chance", "", "share to be expected where nothing leaks"),
    "attack_auc": ("Membership attack AUC", "near 0.5", "was a row trained on? 0.5: cannot be told"),
    "attack_tpr": ("Members found", "near 0.01", "where 1 % of the others are taken for members"),
    "attack_epsilon": ("Proven epsilon", "0", "privacy loss is at least this (95 % confidence)"),
}
"""Key of a value: its name in print, its good direction, a few words on what it says."""
BASELINES = {"real": "Real rows", "copula": "Copula", "independent": "Independent columns"}
"""Key of a baseline: its name in print."""


@dataclass(frozen=True)
class TableScores:
    """Scores of one synthetic table, as they are stored in scores.json."""

    values: dict[str, float]
    """By the keys of `MEANINGS`. What could not be measured is not there, and a note says why."""
    per_column: dict[str, dict[str, float]]
    """Column -> "shape", "missing" and, of categories, "variation", "rare", "vanished"."""
    per_pair: dict[str, list[Any]]
    """"names" (d,), and (d, d): "similarity", "real" and "synthetic" (how strongly two columns hang together)."""
    protocol: dict[str, Any]
    """What has to be equal for two scores to be comparable, and all that is needed to repeat them."""
    baselines: dict[str, dict[str, float]]
    """The same values of real rows, a Gaussian copula and independent columns, by the keys of `BASELINES`."""
    notes: list[str] = field(default_factory=list)
    """What could not be measured, and why."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What is drawn: "columns" -> histograms, "distances" -> quantiles of those to "train" and "test"."""

    def table(self) -> Table:
        """The scores as a rich table, with baselines and direction; meanings are on the page."""
        from rich.table import Table

        p = self.protocol
        title = f"{p['n_synthetic']:,} synthetic rows; {p['n_train']:,} real ones to train, {p['n_test']:,} held out"
        table = Table(title=title, caption="\n".join(self.notes), title_justify="left", caption_justify="left")
        for heading in ("Score", "Value", *(BASELINES[name] for name in self.baselines), "Good"):
            table.add_column(heading, justify="left" if heading in ("Score", "Good") else "right")
        arrows = {"lower": "↓", "higher": "↑"}
        for key, value in self.values.items():
            name, direction, _ = MEANINGS[key]
            others = [written(own[key]) if key in own else "" for own in self.baselines.values()]
            table.add_row(name, written(value), *others, arrows.get(direction, direction))
        return table

    def to_json(self) -> str:
        """JSON text of all fields; infinite values become text, which `from_json` reads back."""
        return json.dumps({"kind": "table", **json_safe(asdict(self))}, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TableScores:
        """The scores that `to_json` wrote. Raises BadFile for anything else."""
        try:
            content = json.loads(text)
            if content.pop("kind") != "table":
                raise ValueError("they are not of a table")
            values = {key: float(value) for key, value in content.pop("values").items()}
            if unknown := set(values) - set(MEANINGS):
                raise ValueError(f"unknown scores {sorted(unknown)}")
            baselines = {
                name: {key: float(value) for key, value in own.items()}
                for name, own in content.pop("baselines").items()
            }
            return cls(values=values, baselines=baselines, **content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadFile(f"these are no scores of a table ({error}); measure it again.") from error


def evaluate_tables(
    train: Any,
    test: Any | None,
    synthetic: Any,
    encoding: TableEncoding,
    *,
    seed: int = 0,
    protected: Name | None = None,
    favourable: Any = None,
    baselines: Mapping[str, dict[str, float]] | None = None,
    progress: Progress = lambda step: None,
) -> TableScores:
    """Measure a synthetic table.

    Args:
        train: the real rows that it was made from.
        test: real rows that it was not made from; None: neither usefulness nor privacy can be measured.
        synthetic: the synthetic rows. Columns that the encoding does not know are ignored.
        encoding: what the columns are, and which one is the target.
        seed: of all that is drawn.
        protected: measure fairness to the groups of this column.
        favourable: the category of the target that people want, or "column=value", for fairness.
        baselines: the `.baselines` of other scores of the same real rows, so that they are not computed again; {}:
            none.
        progress: told, in words, what is being done.

    Raises:
        BadData: a table lacks columns or rows, or holds what they cannot hold.
        BadOption: fairness of a column, or to a category, that does not exist.

    Example:
        >>> data = zerosum.data.load("adult.csv", Data(target="income"))
        >>> train, test = data.train.frame(), data.test.frame()
        >>> scores = evaluate_tables(train, test, generator.sample(len(train)), data.encoding)
        >>> scores.values["auc"], scores.baselines["real"]["auc"]
    """
    if (protected is None) != (favourable is None):
        raise BadOption("fairness needs both: --fair, the column of the groups, and --favourable, the label they want.")
    tables = {"training": train, "synthetic": synthetic}
    if test is not None and len(test):
        tables["held-out"] = test
    if baselines is None:
        progress("fitting baselines")
        frame = as_frame(train)
        tables["copula"] = GaussianCopula().fit(frame, encoding).sample(len(synthetic), seed)
        tables["independent"] = IndependentColumns().fit(frame, encoding).sample(len(synthetic), seed)
    sheets = read_sheets(encoding, tables)
    fair = None if protected is None else (*wanted(favourable, encoding), protected)
    truth = Truth(sheets["training"], sheets.get("held-out"), encoding.target, fair, seed)
    found = truth.measure(sheets["synthetic"], "synthetic rows", progress)
    if baselines is None:
        measured = {"real": truth.measure_real(progress, len(synthetic))}
        for name in ("copula", "independent"):
            measured[name] = truth.measure(sheets[name], BASELINES[name].lower(), progress)
        baselines = {name: own.values for name, own in measured.items()}
    return TableScores(
        values=found.values,
        per_column=_per_column(truth.train, found),
        per_pair=_per_pair(truth.train, found),
        protocol=_protocol(truth, sheets["synthetic"], found, encoding),
        baselines={name: dict(own) for name, own in baselines.items()},
        notes=found.notes,
        figures=_figures(truth.train, sheets["synthetic"], found),
    )


def quick_scores(train: Any, synthetic: Any, encoding: TableEncoding, seed: int = 0) -> dict[str, float]:
    """Column shapes, pair trends, categories, and detection by 20 rounds of trees in 2 parts: a look while training.
    Detection is not comparable with that of `evaluate_tables`: fewer trees detect less.

    Raises:
        BadData: a table lacks columns or rows, or holds what they cannot hold.
    """
    sheets, found = read_sheets(encoding, {"training": train, "synthetic": synthetic}), Measured()
    fidelity(sheets["training"], sheets["synthetic"], found)
    detect(sheets["training"], sheets["synthetic"], seed, found, rounds=20, folds=2)
    return found.values


def _per_column(train: Sheet, found: Measured) -> dict[str, dict[str, float]]:
    columns = {}
    for own, shape in zip(train.fields, found.shapes):
        columns[str(own.name)] = {"shape": shape.score, "missing": shape.missing}
        if shape.variation is not None:
            columns[str(own.name)]["variation"] = shape.variation
        if found.rare and str(own.name) in found.rare.by_column:
            rare, vanished = found.rare.by_column[str(own.name)]
            columns[str(own.name)] |= {"rare": float(rare), "vanished": float(vanished)}
    return columns


def _per_pair(train: Sheet, found: Measured) -> dict[str, list[Any]]:
    if found.trends is None:
        return {}
    matrices = {name: getattr(found.trends, name) for name in ("similarity", "real", "synthetic")}
    names = [str(own.name) for own in train.fields]
    return {"names": names} | {name: np.round(matrix, 4).tolist() for name, matrix in matrices.items()}


def _figures(train: Sheet, synthetic: Sheet, found: Measured) -> dict[str, Any]:
    columns = {str(own.name): figures.histogram(train, synthetic, place) for place, own in enumerate(train.fields)}
    if found.closest is None:
        return {"columns": columns}
    return {
        "columns": columns,
        "distances": {side: figures.quantiles(getattr(found.closest, side)) for side in ("train", "test")},
    }


def _protocol(truth: Truth, synthetic: Sheet, found: Measured, encoding: TableEncoding) -> dict[str, Any]:
    n, test = len(synthetic), 0 if truth.test is None else len(truth.test)
    left_out = [str(column.name) for column in encoding.columns if column.name not in _names(truth.train)]
    protocol: dict[str, Any] = {
        "n_train": len(truth.train),
        "n_test": test,
        "n_synthetic": n,
        "seed": truth.seed,
        "columns": len(truth.train.fields),
        "left_out": left_out,
        "reference": "training rows, for columns, pairs, rare categories and detection",
        "detection": {
            "model": f"histogram gradient boosting, 100 rounds, {detection.FOLDS} parts, equal rows in one",
            "rows_of_each": min(n, len(truth.train), detection.ROWS),
        },
        "real": "training rows drawn with repetition; all of them for usefulness; for privacy one half of the "
        "different ones against the other",
    }
    if truth.target is not None:
        protocol["target"] = str(truth.target)
        protocol["usefulness"] = {"rows": min(n, utility.ROWS), "tested_on": test}
    if truth.fair is not None:
        label, good, protected = truth.fair
        protocol["fairness"] = {
            "label": str(label), "favourable": ", ".join(map(str, good)), "protected": str(protected),
        }  # fmt: skip
    if found.closest is not None:
        protocol["privacy"] = {
            "distance": "mean over columns: difference of ranks, or 0/1",
            "different_rows_of_either_real_table": found.closest.n,
            "synthetic_rows": found.closest.synthetic,
            "copies_among": n,
        }
    return protocol


def _names(sheet: Sheet) -> set[Name]:
    return {own.name for own in sheet.fields}


__all__ = ["BASELINES", "MEANINGS", "TableScores", "evaluate_tables", "quick_scores"]
