"""Reading a run folder, complete, growing or broken: what cannot be read is named, and nothing stops the report."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from zerosum.core.errors import BadFile
from zerosum.core.files import read_json
from zerosum.metrics.scores import Scores
from zerosum.metrics.tables.imputing import ImputationScores
from zerosum.metrics.tables.scores import TableScores

CLOCKS = ("kind", "samples", "rounds", "seconds")
"""What every line has besides its values."""
Measured = Scores | TableScores | ImputationScores
Points = list[tuple[float, float]]
"""(samples shown, value), in the order of samples; a value may be NaN or infinite."""


@dataclass(frozen=True)
class Grid:
    """A picture of samples and how many samples training had shown when it was drawn."""

    path: Path
    samples: int


@dataclass
class Record:
    """All that a run folder says about its run.

    Attributes:
        folder: the run folder.
        config: config.json; empty when it is not there.
        scores: scores.json, the last full evaluation; None when it is not there.
        health: health.json, the verdict and its findings.
        lines: metrics.jsonl without the lines that a resumed run has written again.
        grids: samples/*.png in the order of samples.
        problems: what is missing or broken, a sentence each, by file name.
    """

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    scores: Measured | None = None
    health: dict[str, Any] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def table(self) -> bool:
        """Whether the run made rows of a table."""
        data = self.config.get("data")
        spec = data.get("spec") if isinstance(data, dict) else None
        return isinstance(spec, dict) and spec.get("kind") == "table"

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl of one kind: "log", "scores", "health" or "event"."""
        return [line for line in self.lines if line.get("kind") == kind]

    def curves(self, kind: str, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, Points]:
        """The named numbers of one kind of line over samples, for names that are `wanted`."""
        found: dict[str, Points] = {}
        for line in self.of_kind(kind):
            for name, value in line.items():
                if name not in CLOCKS and is_number(value) and wanted(name):
                    found.setdefault(name, []).append((float(line["samples"]), float(value)))
        return found


def is_number(value: Any) -> TypeGuard[float]:
    """Whether `value` is a number (JSON's NaN and Infinity are, true and false are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def read(folder: Path) -> Record:
    """Read a run folder. Raises BadFile when there is no such folder."""
    if not folder.is_dir():
        raise BadFile(
            f"{folder} is not a run folder: there is no such folder. Give the folder that --run.folder named."
        )
    record = Record(folder)
    record.config = _object(folder / "config.json", record, "the settings of this run are unknown")
    record.scores = _scores(folder / "scores.json", record)
    record.health = _object(folder / "health.json", record, f"zerosum health {folder} gives a verdict")
    record.lines = _lines(folder / "metrics.jsonl", record)
    record.grids = _grids(folder / "samples", record)
    return record


def _object(path: Path, record: Record, consequence: str) -> dict[str, Any]:
    try:
        content = read_json(path)
    except BadFile:
        state = "cannot be read (half-written or broken)" if path.exists() else "is not there"
        record.problems[path.name] = f"{path.name} {state}: {consequence}."
        return {}
    if not isinstance(content, dict):
        record.problems[path.name] = f"{path.name} should hold a JSON object and holds {type(content).__name__}."
        return {}
    return content


def _scores(path: Path, record: Record) -> Measured | None:
    content = _object(path, record, f"zerosum evaluate {record.folder} measures the generator in full")
    if not content:
        return None
    try:
        kinds: dict[Any, type[Measured]] = {"table": TableScores, "imputation": ImputationScores}
        return kinds.get(content.get("kind"), Scores).from_json(json.dumps(content))
    except BadFile as error:
        record.problems[path.name] = f"{path.name}: {error}"
        return None


def _lines(path: Path, record: Record) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        record.problems[path.name] = f"{path.name} is not there: there are no curves yet."
        return []
    good, broken = [], 0
    for row in text.splitlines():
        try:
            line = json.loads(row)
        except json.JSONDecodeError:
            broken += bool(row.strip())
            continue
        if isinstance(line, dict) and is_number(line.get("samples")) and math.isfinite(line["samples"]):
            good.append(line)
        else:
            broken += 1
    if broken:
        what = "one line is" if broken == 1 else f"{broken} lines are"
        record.problems[path.name] = f"{path.name}: {what} cut or broken and left out."
    return _replayed(good)


def _replayed(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the log lines that a resumed or rolled-back run has played again; events stay, in their order."""
    kept: list[dict[str, Any]] = []
    last: dict[str, float] = {}
    for line in lines:
        kind, samples = str(line.get("kind")), line["samples"]
        if kind != "event" and samples < last.get(kind, -1):
            kept = [old for old in kept if old.get("kind") != kind or old["samples"] < samples]
        last[kind] = samples
        kept.append(line)
    return kept


def _grids(folder: Path, record: Record) -> list[Grid]:
    found = []
    for path in folder.glob("*.png"):
        if match := re.fullmatch(r"(\d+)(k?)", path.stem):
            found.append(Grid(path, int(match[1]) * (1000 if match[2] else 1)))
    if not found and not record.table:
        record.problems["samples"] = "samples/ holds no pictures yet."
    return sorted(found, key=lambda grid: grid.samples)
