"""The report of the data check: which files are broken, odd, converted or duplicated, and what was done about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

UNUSABLE = (
    "empty", "truncated", "broken", "not an image", "too large", "too small", "unreadable", "unlabelled",
    "single pixel",
)  # fmt: skip
"""Kinds of problem because of which a file is left out."""
SHOWN = 20


class Problem(NamedTuple):
    """One file and what is the matter with it."""

    file: str
    kind: str
    """One of UNUSABLE, or "odd size", "converted", "duplicate", "other file"."""
    problem: str
    done: str


class Taken(NamedTuple):
    """A column of a table."""

    column: str
    kind: str
    """What it was taken for."""
    values: str
    """What is in it, in words."""
    missing: float
    """Share of cells that are missing."""


@dataclass
class Report:
    """What the check of a data set found."""

    source: str
    total: int = 0
    """Files looked at."""
    usable: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: list[Taken] = field(default_factory=list)
    """Of a table."""

    @property
    def unusable(self) -> list[Problem]:
        """The problems because of which files were left out."""
        return [problem for problem in self.problems if problem.kind in UNUSABLE]

    def add(self, file: str, kind: str, problem: str, done: str) -> None:
        self.problems.append(Problem(file, kind, problem, done))

    def duplicates(self, names: Sequence[str], digests: Sequence[bytes]) -> None:
        """List the samples whose content was seen before, under the name of the first."""
        first: dict[bytes, str] = {}
        for name, digest in zip(names, digests, strict=True):
            if first.setdefault(digest, name) != name:
                self.add(name, "duplicate", f"the same content as {first[digest]}", "kept")

    def kinds(self) -> dict[str, list[Problem]]:
        """The problems by kind, unusable kinds first."""
        order = [*UNUSABLE, "odd size", "converted", "duplicate", "other file"]
        grouped: dict[str, list[Problem]] = {kind: [] for kind in order}
        for problem in self.problems:
            grouped[problem.kind].append(problem)
        return {kind: problems for kind, problems in grouped.items() if problems}

    def lines(self) -> list[str]:
        """One line for each kind of problem, with up to three names: notes for the person who started the training."""
        result = []
        for kind, problems in self.kinds().items():
            names = ", ".join(problem.file for problem in problems[:3])
            more = f" and {len(problems) - 3:,} more" if len(problems) > 3 else ""
            result.append(f"{kind}: {len(problems):,} ({names}{more}); {problems[0].done}")
        return result

    def summary(self) -> str:
        """The whole report as text, at most 20 names for each kind."""
        text = [f"{self.source}: {self.usable:,} of {self.total:,} samples are usable."]
        for kind, problems in self.kinds().items():
            text.append(f"{kind}: {len(problems):,}")
            text += [f"  {problem.file}: {problem.problem}; {problem.done}" for problem in problems[:SHOWN]]
            if len(problems) > SHOWN:
                text.append(f"  ... and {len(problems) - SHOWN:,} more")
        return "\n".join(text + [f"note: {note}" for note in self.notes])

    def to_json(self) -> dict[str, Any]:
        """Everything, uncut."""
        return {
            "source": self.source,
            "total": self.total,
            "usable": self.usable,
            "unusable": len(self.unusable),
            "counts": dict(Counter(problem.kind for problem in self.problems)),
            "problems": [problem._asdict() for problem in self.problems],
            "notes": self.notes,
            "columns": [column._asdict() for column in self.columns],
        }
