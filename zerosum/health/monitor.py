"""Watching the health of a training while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from zerosum.core.errors import BadOption
from zerosum.core.files import write_json
from zerosum.health.evidence import Evidence, read_lines
from zerosum.health.illnesses.divergence import exploding
from zerosum.health.probe import Probe
from zerosum.health.verdict import Verdict, diagnose
from zerosum.training.callback import Callback, RollBack, StopTraining

if TYPE_CHECKING:
    from zerosum.training.loop import Training

PATIENCE = 2
"""Snapshots in a row at which a training has to be ill before it is stopped."""


class Monitor(Callback):
    """Gathers evidence, writes health.json at every snapshot, and says when training falls ill.

    Its evidence are the lines of metrics.jsonl, its own ("health") and those of others ("log", "scores", "event"), so
    it stands after the callbacks that write them.

    Args:
        on_illness: "warn" only says so; "stop" ends a training that is ill (not merely at risk) at two snapshots in a
            row; "rollback" goes back to the last checkpoint when losses or gradients explode, and otherwise warns.
    """

    def __init__(self, on_illness: Literal["stop", "warn", "rollback"] = "rollback"):
        if on_illness not in ("stop", "warn", "rollback"):
            raise BadOption(f"--on-illness {on_illness!r}: expected stop, warn or rollback.")
        self.on_illness = on_illness
        self.evidence = Evidence()
        self.probe: Probe | None = None
        self.told: set[tuple[str, str]] = set()
        self.ill_for = 0

    def start(self, training: Training) -> None:
        """Recall what a resumed training knew, and choose the real samples."""
        if (training.folder / "metrics.jsonl").is_file():
            self.evidence = Evidence.of_lines(
                line for line in read_lines(training.folder) if line["samples"] <= training.samples
            )
        self.probe = Probe(training)

    def note(self, training: Training, line: dict[str, Any]) -> None:
        """Take in a line, whoever wrote it."""
        self.evidence.add(line)

    def snapshot(self, training: Training) -> None:
        """Measure, give the verdict, and act on it.

        Raises:
            StopTraining, RollBack: as `on_illness` says.
        """
        assert self.probe is not None, "a callback is started before its first snapshot"
        new = (
            not self.evidence.snapshots
            or not self.evidence.last.probe
            or self.evidence.last.samples != training.samples
        )
        training.note("health", **self.probe.measure(training), sizes=self.probe.sizes)
        verdict = self.write(training)
        self._tell(training, verdict)
        if new:
            self.ill_for = self.ill_for + 1 if verdict.ill else 0
        if self.on_illness == "stop" and self.ill_for >= PATIENCE:
            worst = verdict.findings[0]
            raise StopTraining(f"{worst.illness}. {worst.evidence} {worst.advice}")
        if self.on_illness == "rollback" and (explosion := exploding(self.evidence)):
            raise RollBack(f"{explosion.illness}: {explosion.evidence.rstrip('.')}")

    def close(self, training: Training) -> None:
        """The last verdict, also where an error ended the training."""
        self.write(training)

    def write(self, training: Training) -> Verdict:
        """Give the verdict and write health.json."""
        verdict = diagnose(self.evidence)
        write_json(training.folder / "health.json", verdict.to_json(self.evidence))
        return verdict

    def _tell(self, training: Training, verdict: Verdict) -> None:
        """Name each illness once, and once more when it becomes grave."""
        for finding in verdict.findings:
            if (finding.illness, finding.severity) not in self.told:
                self.told.add((finding.illness, finding.severity))
                word = "ill" if finding.ill else "warning"
                training.note("event", event=f"{word}: {finding.illness}. {finding.evidence} {finding.advice}")
