"""results.json of a lab: the protocol, and a row per system, written as each finishes."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerosum.core.errors import BadOption
from zerosum.core.files import naming, read_json, write_json
from zerosum.metrics.reference import versions


@dataclass
class Results:
    """What one folder holds: rows of one protocol, so that they may stand in one table.

    Args:
        folder: where results.json and the pictures are.
        protocol: all that the systems share, as plain JSON.
        real: the scores of real samples, the best that a generator can reach.
    """

    folder: Path
    protocol: dict[str, Any]
    real: dict[str, float]

    @property
    def path(self) -> Path:
        """Where the results are kept."""
        return self.folder / "results.json"

    def rows(self) -> dict[str, dict[str, Any]]:
        """The finished systems.

        Raises:
            BadOption: the folder holds results of another protocol.
        """
        if not self.path.exists():
            return {}
        content = read_json(self.path)
        there, here = content.get("protocol", {}), json.loads(json.dumps(self.protocol))
        other = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
        if other:
            named = ", ".join(f"{name} ({there.get(name)} there, {here.get(name)} now)" for name in other)
            raise BadOption(f"{self.path} holds results of another protocol: {named}. Choose another --out.")
        return content["systems"]

    def begin(self) -> Results:
        """Fix the folder's protocol before anything is trained in it.

        Raises:
            BadOption: it has another one already.
        """
        if not self.rows():
            self._write({})
        return self

    def add(self, row: dict[str, Any]) -> None:
        """Keep a finished system's row. Reads the file anew: two commands may fill one folder."""
        self._write({**self.rows(), row["system"]: row})

    def _write(self, rows: dict[str, dict[str, Any]]) -> None:
        with naming(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        content = {"protocol": self.protocol, "real": self.real, "versions": versions(), "systems": rows}
        write_json(self.path, content)


def mean_and_error(values: list[float]) -> tuple[float, float | None]:
    """The mean and its standard error; None for the error of a single value."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return statistics.fmean(values), error
