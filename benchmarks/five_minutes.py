"""What five minutes on this machine give: `zerosum train dcgan` against the tutorial's networks and loop, several
seeds.

python -m benchmarks.five_minutes --data mnist --seeds 3 --minutes 5
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import zerosum
from benchmarks.common import RESULTS, keep, real_data
from benchmarks.plain import train_tutorial
from zerosum.core.latents import Normal
from zerosum.data import load
from zerosum.metrics.scores import evaluate
from zerosum.training.generator import TrainedGenerator
from zerosum.training.loop import Run


def main() -> None:
    """Run both, seed by seed, one after the other; results are kept after every run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=["mnist", "cifar10"], default="mnist")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("-n", type=int, default=10_000)
    options = parser.parse_args()
    path = real_data(options.data)
    dataset = load(path)
    images = dataset.encoding.values(dataset.train.fetch(torch.arange(len(dataset.train)))["image"])
    name = f"five-minutes-{options.data}"
    collected: dict[str, dict[str, list[float]]] = {}
    for seed in range(options.seeds):
        generator, seconds = ours(path, seed, options.minutes)
        note(
            "dcgan",
            generator.facts["samples"],
            evaluate(generator, dataset, features="classifier", n=options.n, seed=seed),
            collected,
        )
        network, shown = train_tutorial(images, seconds, seed)
        wrapped = TrainedGenerator(network, Normal(100), dataset.spec)
        scores = evaluate(wrapped, dataset, features="classifier", n=options.n, seed=seed)
        note("plain loop of a tutorial", shown, scores, collected)
        _write(name, collected, options, scores)


def ours(path: Path, seed: int, minutes: float) -> tuple[TrainedGenerator, float]:
    """`zerosum train dcgan` with no setting changed; returns its last generator and the seconds it took, pictures
    included.
    """
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = Run(folder=Path(folder) / "run", seed=seed, minutes=minutes)
        generator = zerosum.train("dcgan", data=str(path), run=run, features="none", quiet=True)
        return generator, time.perf_counter() - began


def note(system: str, shown: int, scores: Any, collected: dict[str, dict[str, list[float]]]) -> None:
    """Take in one run's scores."""
    values = {
        name: scores.values[name]
        for name in ("fd", "precision", "recall", "density", "coverage")
        if name in scores.values
    }
    for key, value in {**values, "samples shown": float(shown)}.items():
        collected.setdefault(system, {}).setdefault(key, []).append(value)
    print(system, json.dumps({**values, "samples": shown}), flush=True)


def _write(name: str, collected: dict[str, dict[str, list[float]]], options: argparse.Namespace, scores: Any) -> None:
    command = (
        f"python -m benchmarks.five_minutes --data {options.data} --seeds {options.seeds} --minutes {options.minutes:g}"
    )
    protocol = {key: value for key, value in scores.protocol.items() if key not in ("seed", "versions")}
    rows = [
        {"system": system, "data": options.data, "command": command, "values": values, "floor": scores.floor,
         "protocol": {"budget": f"{options.minutes:g} minutes of wall time each, one at a time", **protocol}}
        for system, values in collected.items()
    ]  # fmt: skip
    ours_fd, plain_fd = (sum(values["fd"]) / len(values["fd"]) for values in collected.values())
    rows[0]["note"] = f"{plain_fd / ours_fd:.2f} times better (fd) than the plain loop"
    print(
        f"kept in {keep(name, rows).relative_to(RESULTS.parent.parent)}; plain / ours = {plain_fd / ours_fd:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
