"""What the loop tells those who watch it. Scores, health, pictures and trackers reach the loop only as callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zerosum.training.loop import Training


class StopTraining(Exception):
    """Raised by a callback: save, then end the training, for the reason given."""


class RollBack(Exception):
    """Raised by a callback: go back to the last good checkpoint, for the reason given."""


class Callback:
    """Watches a training. Every method may be left out; only the first process (rank 0) is watched."""

    def start(self, training: Training) -> None:
        """Once, before the first round (after a resume, too)."""

    def tick(self, training: Training, values: dict[str, float]) -> None:
        """About once a second, with the means of what was logged since the last tick."""

    def snapshot(self, training: Training) -> None:
        """Now and then, before a checkpoint is written: the time for scores, health and pictures."""

    def note(self, training: Training, line: dict) -> None:
        """Every line that goes into metrics.jsonl; trackers pass it on."""

    def end(self, training: Training) -> None:
        """Once, after the last checkpoint, if training came to its end."""

    def close(self, training: Training) -> None:
        """Always, also after errors and interrupts."""
