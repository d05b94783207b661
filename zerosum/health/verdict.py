"""The verdict on a training: every illness is asked, then whether the game is balanced.

An illness is a file in `illnesses/` with a `NAME`, a `check(evidence)` and a docstring that explains it: to add one is
to add a file.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from zerosum.health.balanced import balanced
from zerosum.health.evidence import Evidence
from zerosum.health.finding import Finding

ENOUGH = 2
"""Snapshots without which nothing is said of a training in which nothing was found."""


@cache
def illnesses() -> tuple[ModuleType, ...]:
    """The modules of `illnesses/`, by file name."""
    names = sorted(
        path.stem for path in (Path(__file__).parent / "illnesses").glob("*.py") if not path.stem.startswith("_")
    )
    return tuple(importlib.import_module(f"zerosum.health.illnesses.{name}") for name in names)


@dataclass(frozen=True)
class Verdict:
    """What is said of a training.

    Attributes:
        name: the gravest illness, or "balanced" (the discriminator guesses, the samples are varied), "healthy" (no
            illness, not yet balanced), "unknown" (too little evidence).
        findings: every illness found, the gravest first.
    """

    name: str
    findings: tuple[Finding, ...]

    @property
    def ill(self) -> bool:
        """Whether an illness was found that is more than a warning."""
        return any(finding.ill for finding in self.findings)

    def to_json(self, evidence: Evidence) -> dict[str, Any]:
        """The content of health.json."""
        return {
            "verdict": self.name,
            "ill": self.ill,
            "findings": [finding.to_json() for finding in self.findings],
            "evidence": evidence.to_json(),
        }


def diagnose(evidence: Evidence) -> Verdict:
    """Ask every illness."""
    found = [finding for illness in illnesses() if (finding := illness.check(evidence)) is not None]
    found.sort(key=lambda finding: not finding.ill)  # stable: the gravest first
    if found:
        return Verdict(found[0].illness, tuple(found))
    if len(evidence.snapshots) < ENOUGH:
        return Verdict("unknown", ())
    return Verdict("balanced" if balanced(evidence) else "healthy", ())
