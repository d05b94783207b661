"""Say whether a training is healthy, which illness it has, and what to do.

Works while training runs and afterwards, from metrics.jsonl alone. The exit code is 1 for an ill training, else 0.

Example:
    zerosum health runs/demo
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from zerosum.health.evidence import Evidence
    from zerosum.health.verdict import Verdict

MEANINGS = {
    "balanced": "The discriminator can no longer tell generated samples from real ones, and the samples are varied.",
    "healthy": "No illness was found, nor that the game has reached its balance.",
    "unknown": "Too little is known yet: a verdict takes two snapshots (--run.save-every).",
}


@dataclass(frozen=True)
class Arguments:
    """Which run, and how to print the verdict."""

    run: tyro.conf.Positional[Path]
    """Run folder, as --run.folder named it."""
    json: bool = False
    """Print verdict, findings and evidence as JSON."""


def main(arguments: list[str]) -> int:
    """Print the verdict; 1 if the training is ill, else 0."""
    given = tyro.cli(Arguments, args=arguments, prog="zerosum health", description=__doc__)
    from zerosum.health.evidence import Evidence
    from zerosum.health.verdict import diagnose

    evidence = Evidence.of_run(given.run)
    verdict = diagnose(evidence)
    if given.json:
        print(json.dumps(verdict.to_json(evidence), indent=2, ensure_ascii=False))
    else:
        show(verdict, evidence)
    return 1 if verdict.ill else 0


def show(verdict: Verdict, evidence: Evidence) -> None:
    """Print the verdict, then each finding with its evidence and advice."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    colour = "red" if verdict.ill else "yellow" if verdict.findings else "green"
    state = " (ill)" if verdict.ill else " (warning)" if verdict.findings else ""
    console.print(f"[bold {colour}]{verdict.name}{state}[/] after {evidence.samples:,} samples")
    if verdict.name in MEANINGS:
        console.print(MEANINGS[verdict.name])
    for finding in verdict.findings:
        console.print(f"\n[bold]{finding.illness}[/] ({finding.severity}, at {finding.samples:,} samples)")
        console.print(f"Evidence: {escape(finding.evidence)}")
        console.print(f"Advice: {escape(finding.advice)}")
    if not verdict.findings:
        console.print(f"Evidence: {escape(numbers(evidence))}")


def numbers(evidence: Evidence) -> str:
    """The measurements that a verdict without findings rests on, in a sentence."""
    last, known = evidence.last, f"{len(evidence.snapshots)} snapshots"
    accuracy, auc, coverage = (last.get(name) for name in ("accuracy", "auc", "coverage"))
    if accuracy is not None and auc is not None:
        known += f"; the discriminator tells {accuracy:.1%} of held-out and generated samples right (AUC {auc:.2f})"
    if coverage is not None:
        known += f"; {coverage:.0%} of the real samples have a generated one near them"
    return known + "."
