"""Where the lines of a training go: metrics.jsonl, TensorBoard, Weights & Biases, and the terminal."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from zerosum.core import extras
from zerosum.core.files import naming, write_text
from zerosum.training.callback import Callback
from zerosum.training.loop import Training
from zerosum.training.translator import Translator

console = Console(stderr=True)


def announce(text: str) -> None:
    """Lines for people, as they are."""
    if text:
        console.print(text, markup=False, highlight=False, soft_wrap=True)


class JsonLines(Callback):
    """metrics.jsonl: one line per tick, score, finding and event. After a resume, lines from beyond the checkpoint are
    dropped.
    """

    def __init__(self) -> None:
        self.file: IO[str] | None = None

    def start(self, training: Training) -> None:
        """Open the file, keeping what lies before the checkpoint that training continues from."""
        path = training.folder / "metrics.jsonl"
        with naming(path):
            kept = [line for line in _lines(path) if line["samples"] <= training.samples]
            write_text(
                path, "".join(json.dumps(line) + "\n" for line in kept)
            )  # in one piece: the best score so far is in it
            self.file = path.open("a")

    def tick(self, training: Training, values: dict[str, float]) -> None:
        """One line with the means since the last tick."""
        rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
        training.note("log", **rounded, **{"samples/s": round(training.rate, 1)})

    def note(self, training: Training, line: dict[str, Any]) -> None:
        """Write the line at once, so that a killed run has it."""
        if self.file is not None:
            with naming(training.folder / "metrics.jsonl"):
                self.file.write(json.dumps(_finite(line), default=str) + "\n")
                self.file.flush()

    def close(self, training: Training) -> None:
        """Close the file."""
        if self.file is not None:
            with contextlib.suppress(OSError):  # on a full disk: a line that could not be written was reported by note
                self.file.close()
            self.file = None


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics file; a last one that was cut is left out."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and "samples" in line:
            lines.append(line)
    return lines


def _finite(value: Any) -> Any:
    """JSON has no NaN: such numbers become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


class TensorBoard(Callback):
    """TensorBoard events in the run folder: `tensorboard --logdir runs`."""

    def __init__(self) -> None:
        self.writer: Any = None

    def start(self, training: Training) -> None:
        """Open the event file."""
        from torch.utils.tensorboard import SummaryWriter

        with naming(training.folder):
            self.writer = SummaryWriter(str(training.folder), purge_step=training.samples)

    def note(self, training: Training, line: dict[str, Any]) -> None:
        """Every number of the line, over samples."""
        if self.writer is not None:
            for name, value in _numbers(line).items():
                self.writer.add_scalar(name, value, line["samples"])

    def close(self, training: Training) -> None:
        """Close the event file."""
        if self.writer is not None:
            self.writer.close()


class WeightsAndBiases(Callback):
    """Weights & Biases (extra `wandb`)."""

    def __init__(self, project: str):
        self.wandb = extras.require("wandb", "wandb")
        self.project = project

    def start(self, training: Training) -> None:
        """Open the run; a resumed one continues under its name."""
        name = training.folder.name
        self.wandb.init(
            project=self.project, name=name, id=name, resume="allow", config=training.facts, dir=str(training.folder)
        )

    def note(self, training: Training, line: dict[str, Any]) -> None:
        """Every number of the line, over samples."""
        self.wandb.log(_numbers(line) | {"samples": line["samples"]})

    def close(self, training: Training) -> None:
        """Close the run."""
        self.wandb.finish()


def _numbers(line: dict[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, dict):
            found |= _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and name not in ("samples", "rounds"):
            found[prefix + name] = float(value)
    return found


class _Eta(ProgressColumn):
    """Time left, by the rate of the whole training."""

    def render(self, task: Task) -> Text:
        seconds = task.fields.get("left")
        if seconds is None:
            return Text("", style="cyan")
        minutes, seconds = divmod(int(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{hours}:{minutes:02}:{seconds:02} left", style="cyan")


class ProgressBar(Callback):
    """The terminal's bar: samples shown, images a second, time left, the last score; events as lines above it."""

    def __init__(self) -> None:
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[shown]}"),
            TimeElapsedColumn(),
            _Eta(),
        ]
        self.bar = Progress(*columns, TextColumn("[bold]{task.fields[score]}"), console=console, refresh_per_second=4)
        self.task: Any = None
        self.printed = time.monotonic()

    def start(self, training: Training) -> None:
        """Show the bar."""
        system = training.facts.get("system", "training")
        self.task = self.bar.add_task(str(system), total=1.0, shown="", score="", left=None)
        if console.is_terminal:
            self.bar.start()

    def tick(self, training: Training, values: dict[str, float]) -> None:
        """Move the bar; where there is no terminal, a line now and then."""
        done, left = _done(training)
        shown = f"{_short(training.samples)} samples, {training.rate:,.0f}/s"
        score = ", ".join(f"{name} {value:.3g}" for name, value in list(training.scores.items())[:1])
        self.bar.update(self.task, completed=done, shown=shown, score=score, left=left)
        if not console.is_terminal and time.monotonic() - self.printed > 30:
            self.printed = time.monotonic()
            remaining = f", {left:,.0f} s left" if left is not None else ""
            console.print(f"{shown}{remaining}{', ' + score if score else ''}", highlight=False)

    def note(self, training: Training, line: dict[str, Any]) -> None:
        """Events are for people, too."""
        if line["kind"] == "event":
            self.bar.console.print(f"[yellow]{_short(line['samples'])} samples:[/] {line['event']}", highlight=False)

    def end(self, training: Training) -> None:
        """Say where things are."""
        folder = training.folder
        translates = isinstance(training.game.trained(), Translator)
        more = f"translate {folder} in/ --out out/ translates" if translates else f"sample {folder} -n 64 draws more"
        self.bar.console.print(f"Done: {folder}/report.html shows it; zerosum {more}.", highlight=False)

    def close(self, training: Training) -> None:
        """Take the bar away."""
        if self.task is not None and console.is_terminal:
            self.bar.stop()
        sys.stderr.flush()


def _done(training: Training) -> tuple[float, float | None]:
    """(share done, seconds left) by whichever limit comes first."""
    limits = []
    if training.total_samples and training.rate:
        rest = training.total_samples - training.samples
        limits.append((training.samples / training.total_samples, rest / training.rate))
    if training.run.minutes:
        total = training.run.minutes * 60
        limits.append((training.seconds / total, total - training.seconds))
    if not limits:
        return 0.0, None
    done, left = min(limits, key=lambda limit: limit[1])
    return min(done, 1.0), max(left, 0.0)


def _short(samples: int) -> str:
    return (
        f"{samples / 1e6:.2f}M"
        if samples >= 1_000_000
        else f"{samples / 1e3:.1f}k"
        if samples >= 10_000
        else str(samples)
    )
