"""The report page, kept up to date while training runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerosum.report.page import write
from zerosum.training.callback import Callback

if TYPE_CHECKING:
    from zerosum.training.loop import Training


class Reporting(Callback):
    """Writes report.html at each snapshot and at the end; stands after the callbacks whose results it shows."""

    def snapshot(self, training: Training) -> None:
        """Write the page with all that is in the run folder by now."""
        write(training.folder)

    def end(self, training: Training) -> None:
        """Write the page once more, with the last evaluation and verdict."""
        write(training.folder)
