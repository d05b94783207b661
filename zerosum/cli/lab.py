"""Run the mode-collapse lab: ring, grid or Stacked-MNIST, several systems and seeds.

Example:
    zerosum lab grid --systems gan pacgan rpgan --seeds 5
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from zerosum.core.errors import BadOption
from zerosum.lab import table
from zerosum.lab.points import PointProtocol
from zerosum.lab.results import Results
from zerosum.lab.stacked import StackedProtocol

HELP = """Run the mode-collapse lab: ring, grid or Stacked-MNIST, several systems and seeds.

Prints modes, share of high-quality samples and reverse KL (mean ± standard error over seeds); writes results.json and a
picture per system. A finished system is kept: the same command again goes on where it was stopped.

Example: zerosum lab grid --systems gan pacgan rpgan --seeds 5

Example: zerosum lab stacked-mnist --systems dcgan pacgan rpgan --minutes 30"""


@dataclass(frozen=True)
class Ring:
    """8 Gaussians on a circle."""

    systems: list[str] = field(default_factory=lambda: ["gan", "pacgan", "rpgan"])
    """Systems to compare, by the names `zerosum list` shows."""
    seeds: int = 5
    """Trainings of each system, with seeds 0, 1, ..."""
    out: Path | None = None
    """Folder for results.json and the pictures; by default runs/lab-<task>."""
    json: bool = False
    """Print results.json in place of the table."""
    apart: bool = False
    """Train the seeds one after the other, for systems whose losses tie the samples of a batch."""
    protocol: tyro.conf.OmitArgPrefixes[PointProtocol] = field(default_factory=PointProtocol)


@dataclass(frozen=True)
class Grid(Ring):
    """25 Gaussians on a grid, by PacGAN's protocol."""


@dataclass(frozen=True)
class StackedMnist:
    """1,000 combinations of three handwritten digits."""

    systems: list[str] = field(default_factory=lambda: ["dcgan", "pacgan", "rpgan"])
    """Systems to compare, by the names `zerosum list` shows."""
    seeds: int = 1
    """Trainings of each system, with seeds 0, 1, ..."""
    out: Path | None = None
    """Folder for results.json, the pictures and the runs; by default runs/lab-stacked-mnist."""
    json: bool = False
    """Print results.json in place of the table."""
    data: str = "stacked_mnist"
    """stacked_mnist, or stacked_mnist:PATH of an mnist.npz."""
    protocol: tyro.conf.OmitArgPrefixes[StackedProtocol] = field(default_factory=StackedProtocol)


Task = (
    Annotated[Ring, tyro.conf.subcommand("ring")]
    | Annotated[Grid, tyro.conf.subcommand("grid")]
    | Annotated[StackedMnist, tyro.conf.subcommand("stacked-mnist")]
)


def main(arguments: list[str]) -> int:
    """Run a lab and print its table; 0."""
    given: Ring | StackedMnist = tyro.cli(Task, args=arguments, prog="zerosum lab", description=HELP)  # type: ignore[arg-type]
    check(given)
    with Bars(quiet=given.json) as bars:
        if isinstance(given, StackedMnist):
            out = given.out or Path("runs/lab-stacked-mnist")
            results = table.run_stacked(given.systems, given.protocol, given.seeds, out, bars.show, given.data)
        else:
            torch.set_num_threads(1)  # these matrices are too small to share
            task = "grid" if isinstance(given, Grid) else "ring"
            out = given.out or Path(f"runs/lab-{task}")
            results = table.run_points(task, given.systems, given.protocol, given.seeds, out, bars.show, given.apart)
    if given.json:
        print(results.path.read_text().strip())
    else:
        show(results, table.STACKED_COLUMNS if isinstance(given, StackedMnist) else table.POINT_COLUMNS)
    return 0


def check(given: Ring | StackedMnist) -> None:
    """Refuse what cannot be run.

    Raises:
        BadOption: no systems, or numbers that are not positive.
    """
    if not given.systems:
        raise BadOption("--systems names no system; give one or more, as in --systems gan pacgan.")
    numbers = {"seeds": given.seeds, "rounds": given.protocol.rounds, "minutes": given.protocol.minutes}
    numbers |= {"batch-size": given.protocol.batch_size, "latent": given.protocol.latent}
    for name, value in numbers.items():
        if value is not None and not value > 0:
            raise BadOption(f"--{name} is {value}; it must be more than 0.")


class Bars:
    """A progress bar per system."""

    def __init__(self, quiet: bool):
        name, word = TextColumn("{task.description}"), TextColumn("{task.fields[word]}")
        columns = (name, BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), word)
        self.bars = Progress(*columns, console=Console(stderr=True), disable=quiet)
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def show(self, system: str, done: float, word: str = "") -> None:
        """How much of a system is done, and a word about it."""
        if system not in self.tasks:
            self.tasks[system] = self.bars.add_task(system, total=1.0, word="")
        self.bars.update(self.tasks[system], completed=done, word=word)


def show(results: Results, columns: list[table.Column]) -> None:
    """Print the table of all finished systems, with the real data's scores as its first row."""
    title = f"{results.protocol['task']}: mean ± standard error over seeds"
    console, printed = Console(), Table(title=title, title_justify="left")
    for head in ("system", *(column.title for column in columns), "rounds", "seconds"):
        printed.add_column(head, justify="left" if head == "system" else "right")
    real = [f"{results.real[column.score] * column.factor:.{column.digits}f}" for column in columns]
    printed.add_row("(real data)", *real, "", "")
    for row in results.rows().values():
        printed.add_row(*table.cells(row, columns))
    console.print(printed)
    console.print(f"Protocol, scores of every seed and pictures: {results.folder}", soft_wrap=True)
