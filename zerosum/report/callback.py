"""The report page, kept up to date while training runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerosum.metrics.tables.scores import TableScores
from zerosum.report.page import write
from zerosum.report.record import read
from zerosum.report.sections import title
from zerosum.report.tables import PAGE, write_tables
from zerosum.training.callback import Callback

if TYPE_CHECKING:
    from zerosum.training.loop import Training


class Reporting(Callback):
    """Writes report.html at each snapshot and at the end; stands after the callbacks whose results it shows."""

    def snapshot(self, training: Training) -> None:
        """Write the page with all that is in the run folder by now."""
        write(training.folder)

    def end(self, training: Training) -> None:
        """Write the page once more, with the last evaluation and verdict; of a table also the page about its rows."""
        record = read(training.folder)
        if isinstance(record.scores, TableScores):
            system, data = title(record)
            write_tables(training.folder / PAGE, record.scores, system, data)
        write(training.folder)
