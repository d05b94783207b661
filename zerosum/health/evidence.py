"""What is known about the health of a training: losses, gradients, what the discriminator tells apart, scores, events.

All of it is made from the lines of metrics.jsonl, while training as they are written and afterwards from the file: a
verdict on a run that has ended, or was killed, is the same as the one given while it ran.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerosum.core.errors import BadFile

CLOCKS = ("kind", "samples", "rounds", "seconds")
"""What every line has besides its values."""
SPEED = "samples/s"
"""A logged value that is no loss and no gradient norm, though its name looks like one ..."""
AUGMENTATION = "augment/"
"""... and how those begin that tell about augmentation: its probability p and the certainty r_t that it goes by."""


@dataclass(frozen=True)
class Tick:
    """Means of what was logged for about a second: "generator/adversarial", "discriminator/gradient" ..."""

    samples: int
    values: dict[str, float]


@dataclass
class Snapshot:
    """What was measured at one moment.

    Attributes:
        samples: samples shown by then.
        probe: what `zerosum.health.probe` measures: logits, accuracy, distances.
        scores: what `zerosum.metrics` measures, where it does: fd, coverage, precision, missing_classes ...
        floor: the same scores of real samples.
        missing: names of the classes that are hardly ever made.
        sizes: how many training, held-out and generated samples the probe took.
    """

    samples: int
    probe: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    floor: dict[str, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def get(self, name: str) -> float | None:
        """A value by its name: of the scores, else of the probe, else None."""
        return self.scores.get(name, self.probe.get(name))


@dataclass(frozen=True)
class Event:
    """Something that happened: a roll-back, a stop, an interruption."""

    samples: int
    text: str


@dataclass
class Evidence:
    """Everything so far, in the order of samples, without what a roll-back or a resume played again."""

    ticks: list[Tick] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    samples: int = 0

    @classmethod
    def of_lines(cls, lines: Iterable[dict[str, Any]]) -> Evidence:
        """From the lines of metrics.jsonl."""
        evidence = cls()
        for line in lines:
            evidence.add(line)
        return evidence

    @classmethod
    def of_run(cls, folder: Path) -> Evidence:
        """From a run folder; see `read_lines` for what it raises."""
        return cls.of_lines(read_lines(folder))

    def add(self, line: dict[str, Any]) -> None:
        """Take in one line. Lines of other kinds, and values that are no finite numbers, are passed over."""
        samples = int(line["samples"])
        if samples < self.samples:  # training went back: forget what it will play again
            self.ticks = [tick for tick in self.ticks if tick.samples <= samples]
            self.snapshots = [snapshot for snapshot in self.snapshots if snapshot.samples <= samples]
        self.samples = samples
        if line["kind"] == "log":
            self.ticks.append(Tick(samples, numbers(line)))
        elif line["kind"] == "event":
            self.events.append(Event(samples, str(line.get("event", ""))))
        elif line["kind"] == "scores":
            snapshot = self._at(samples)
            snapshot.scores, snapshot.floor = numbers(line), numbers(line.get("floor") or {})
            named = line.get("missing")  # scores of tables have a number there
            snapshot.missing = [str(name) for name in named] if isinstance(named, list) else []
        elif line["kind"] == "health":
            snapshot = self._at(samples)
            snapshot.probe = numbers(line)
            snapshot.sizes = {name: int(size) for name, size in numbers(line.get("sizes") or {}).items()}

    @property
    def last(self) -> Snapshot:
        """The newest snapshot; an empty one where there is none."""
        return self.snapshots[-1] if self.snapshots else Snapshot(self.samples)

    def recent(self, name: str, count: int) -> list[float]:
        """A value at the last `count` snapshots; empty unless all of them have it."""
        found = [value for snapshot in self.snapshots[-count:] if (value := snapshot.get(name)) is not None]
        return found if len(found) == count else []

    def history(self, name: str) -> list[float]:
        """A value at all snapshots that have it."""
        return [value for snapshot in self.snapshots if (value := snapshot.get(name)) is not None]

    def curve(self, name: str) -> list[float]:
        """A logged value at all ticks that have it."""
        return [tick.values[name] for tick in self.ticks if name in tick.values]

    def logged(self) -> list[str]:
        """Names of all losses and gradient norms: "<player>/<term>"."""
        names = dict.fromkeys(name for tick in self.ticks for name in tick.values if "/" in name)
        return [name for name in names if name != SPEED and not name.startswith(AUGMENTATION)]

    def to_json(self) -> dict[str, Any]:
        """A summary for health.json: how much there is, and the newest of it."""
        return {
            "samples": self.samples,
            "ticks": len(self.ticks),
            "snapshots": len(self.snapshots),
            "last": {**self.last.probe, **self.last.scores},
            "missing": self.last.missing,
            "events": [event.text for event in self.events],
        }

    def _at(self, samples: int) -> Snapshot:
        """The snapshot at `samples`, a new one where there is none yet."""
        if not self.snapshots or self.snapshots[-1].samples != samples:
            self.snapshots.append(Snapshot(samples))
        return self.snapshots[-1]


def numbers(line: dict[str, Any]) -> dict[str, float]:
    """The finite numbers of a line, without its clocks."""
    return {
        name: float(value)
        for name, value in line.items()
        if name not in CLOCKS
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run folder's metrics.jsonl; a last line that a crash cut short is left out.

    Raises:
        BadFile: there is no such folder or file, or another line than the last one is not a line of a run.
    """
    path = folder / "metrics.jsonl"
    if not folder.is_dir():
        raise BadFile(f"{folder} is not a run folder: there is no such folder. Give the one that --run.folder named.")
    if not path.is_file():
        raise BadFile(f"{folder} has no metrics.jsonl: it is not a run folder, or its training has not begun yet.")
    try:
        rows = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror or error}.") from error
    found = []
    for number, row in enumerate(rows, start=1):
        line = parsed(row)
        if line is not None:
            found.append(line)
        elif row.strip() and number < len(rows):
            raise BadFile(
                f"{path}: line {number} of {len(rows)} is broken; delete that line, the others are of use without it."
            )
    return found


def parsed(row: str) -> dict[str, Any] | None:
    """One line of metrics.jsonl; None if it is not whole, or not a line of a run."""
    try:
        line = json.loads(row)
    except json.JSONDecodeError:
        return None
    whole = (
        isinstance(line, dict) and isinstance(line.get("kind"), str) and isinstance(line.get("samples"), int | float)
    )
    return line if whole and math.isfinite(line["samples"]) else None
