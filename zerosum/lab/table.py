"""The lab's work from protocol to results, pictures and table: what `zerosum lab` runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image

from zerosum.core import discovery
from zerosum.core.errors import BadOption
from zerosum.core.settings import to_json
from zerosum.data import load
from zerosum.data.spec import Dataset
from zerosum.lab import pictures, points, stacked
from zerosum.lab.results import Results, mean_and_error
from zerosum.metrics import classifier
from zerosum.metrics.modes import CHANNELS, count_modes, mode_scores
from zerosum.metrics.points import HIGH_QUALITY, MODES, SAMPLES, point_scores


class Progress(Protocol):
    """Told a system's name, how much of it is done (0 to 1), and a word about it."""

    def __call__(self, system: str, done: float, word: str = "") -> None: ...


SHOWN = 5
"""Panels in a picture at most."""


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    score: str
    title: str
    factor: float
    digits: int


POINT_COLUMNS = [
    Column("modes", "modes", 1, 1),
    Column("high_quality", "% high quality", 100, 1),
    Column("mode_kl", "reverse KL", 1, 3),
]
STACKED_COLUMNS = [Column("modes", "modes", 1, 1), Column("mode_kl", "reverse KL", 1, 3)]


def checked(systems: Sequence[str]) -> list[str]:
    """The systems' names as their files spell them, each once, in the order given.

    Raises:
        BadOption: there is no such system.
    """
    return list(dict.fromkeys(discovery.find(name).name for name in systems))


def run_points(
    task: str,
    systems: Sequence[str],
    protocol: points.PointProtocol,
    seeds: int,
    out: Path,
    progress: Progress,
    apart: bool = False,
) -> Results:
    """Fill `out` with the rows and pictures of `ring` or `grid`.

    Systems that are in its results.json already are not trained again.
    """
    names = checked(systems)
    dataset = load(task)
    for name in names:  # before the first training, so that the last system's name is not found wrong an hour later
        points.build(name, dataset.spec, protocol, 0)
    modes = MODES[task]
    described = {
        "task": task, "centres": modes.centres.tolist(), "std": modes.std, "training_points": len(dataset.train),
        "fingerprint": dataset.fingerprint, "samples": SAMPLES, "high_quality_within_std": HIGH_QUALITY, "seeds": seeds,
        "games": "all samples of a batch and all optimizer states belong to one seed's own game",
        "learning_rate": "falls to 1 % along half a cosine", **_plain(protocol),
    }  # fmt: skip
    store = dataset.test or dataset.train
    real = store.fetch(torch.arange(SAMPLES))["image"]
    results = Results(out, described, point_scores(real, modes)).begin()
    for name in names:
        if name in results.rows():
            progress(name, 1.0, "finished before")
            continue
        row, sets = points.play(name, dataset, protocol, range(seeds), partial(progress, name), apart)
        results.add(row)
        titles = [
            f"{name}, seed {seed}: {modes:.0f} modes, {100 * quality:.1f} %"
            for seed, modes, quality in zip(row["seeds"], row["modes"], row["high_quality"], strict=True)
        ]
        limit = 2.6 if task == "ring" else 5.2
        pictures.save(pictures.scatter(sets[:SHOWN], real, titles[:SHOWN], limit=limit), out / f"{name}.png")
        progress(name, 1.0, brief(row, POINT_COLUMNS))
    return results


def run_stacked(
    systems: Sequence[str],
    protocol: stacked.StackedProtocol,
    seeds: int,
    out: Path,
    progress: Progress,
    source: str = "stacked_mnist",
) -> Results:
    """Fill `out` with the rows and pictures of Stacked MNIST; finished systems are not trained again, others go on."""
    names = checked(systems)
    dataset, digits = _stacked_data(source)
    for name in names:
        stacked.build(name, dataset.spec, protocol, 0)
    network, facts = classifier.cached(digits)
    described = {
        "task": "stacked-mnist", "data": dataset.name, "fingerprint": dataset.fingerprint,
        "training_samples": len(dataset.train), "shape": list(dataset.spec.shape), "samples": stacked.SAMPLES,
        "curve_samples": stacked.CURVE_SAMPLES, "seeds": seeds, "classifier": facts.weights_sha256,
        "classifier_accuracy": facts.accuracy, "optimizer": "each system's own",
        **_plain(protocol),
    }  # fmt: skip
    amount = torch.arange(min(stacked.SAMPLES, len(dataset.train)))
    real = mode_scores(count_modes((dataset.train.fetch(part)["image"] for part in amount.split(256)), network))
    results = Results(out, described, real).begin()
    for name in names:
        if name in results.rows():
            progress(name, 1.0, "finished before")
            continue
        row, images = stacked.play(name, dataset, network, protocol, range(seeds), out, partial(progress, name))
        results.add(row)
        pictures.save(pictures.image_grid(images), out / f"{name}.png")
        pictures.save(_mode_curves(results), out / "modes.png")
        progress(name, 1.0, brief(row, STACKED_COLUMNS))
    return results


def _mode_curves(results: Results) -> Image.Image:
    lines = {name: [[(x, y) for x, y, _ in curve] for curve in row["curve"]] for name, row in results.rows().items()}
    title = f"modes among {stacked.CURVE_SAMPLES:,} samples (of 1,000), by samples shown"
    return pictures.curves(lines, top=1000, title=title)


def _stacked_data(source: str) -> tuple[Dataset, Dataset]:
    """The stacked digits, and the single ones that its classifier learns."""
    dataset, digits = load(source), load("mnist" if source == "stacked_mnist" else source.partition(":")[2])
    if dataset.spec.kind != "image" or dataset.spec.shape[0] != CHANNELS:
        raise BadOption(
            f"{source} has {dataset.spec.kind} {dataset.spec.shape}; stacked digits have {CHANNELS} channels."
        )
    return dataset, digits


def _plain(protocol: Any) -> dict[str, Any]:
    plain = {name: to_json(getattr(protocol, name)) for name in asdict(protocol)}
    return plain | ({"rounds": None} if protocol.minutes else {})


def brief(row: dict[str, Any], columns: Sequence[Column]) -> str:
    """A row's means in a few words."""
    return ", ".join(f"{mean_and_error(row[c.score])[0] * c.factor:.{c.digits}f} {c.title}" for c in columns)


def cells(row: dict[str, Any], columns: Sequence[Column]) -> list[str]:
    """A row of the table: mean and standard error over the seeds of each score, then rounds and seconds."""
    found = [row["system"]]
    for column in columns:
        mean, error = mean_and_error(row[column.score])
        text = f"{mean * column.factor:.{column.digits}f}"
        found.append(text if error is None else f"{text} ± {error * column.factor:.{column.digits}f}")
    return [*found, f"{row['rounds']:,}", f"{row['seconds']:,.0f}"]
