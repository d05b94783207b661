"""What augmentation gives where there are few images: a system trained on a tenth of CIFAR-10 without any, with ADA and
with DiffAugment, several seeds.

    python -m benchmarks.little_data --minutes 60 --seeds 3
    python -m benchmarks.little_data --samples 250000 --seeds 1
    python -m benchmarks.little_data --system stylegan2:laptop --ways none ada --minutes 240

The generator that a training keeps (the best by its snapshots) is measured against the test images of the whole set,
with features of a classifier that was trained on all of its training images. How much worse the last snapshot was than
the best one tells whether training longer would have helped. Runs stay in --folder; a benchmark that was interrupted
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

import zerosum
from benchmarks.common import keep, real_data
from zerosum.core import discovery
from zerosum.data.options import Data
from zerosum.health.evidence import read_lines
from zerosum.training import checkpoint
from zerosum.training.augmentation import WORDS
from zerosum.training.loop import Run

SCORES = ("fd", "precision", "recall", "density", "coverage")


def main() -> None:
    """Train and measure, seed by seed and way by way; results are kept after each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", default="dcgan", help="system or system:preset")
    parser.add_argument("--ways", nargs="+", choices=["none", *WORDS], default=["none", "ada", "diffaugment"])
    parser.add_argument("--data", default="cifar10", help="mnist or cifar10")
    parser.add_argument("--images", type=int, default=5_000, help="training images")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--samples", type=int, help="in place of minutes: samples shown to each, on any machine")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-n", type=int, default=10_000, help="generated images to measure")
    parser.add_argument("--folder", type=Path, default=Path("runs/little-data"))
    given = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in given.ways}
    for seed in range(given.seeds):
        for way in given.ways:
            found[way].append(one(way, seed, given))
        name = f"little-data-{given.data}-{given.system.replace(':', '-')}"
        keep(name, [row(way, found[way], given) for way in given.ways])
    for way, results in found.items():
        print(f"{way}: fd {mean(result['values']['fd'] for result in results):.3g}", flush=True)


def one(way: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Values, floor, protocol and verdict of one training; read from its folder where it is finished."""
    system, _, preset = given.system.partition(":")
    place = f"{given.data}-{given.images}-{budget(given)}-{system}{preset}-{way}-{seed}"
    folder = given.folder / place.replace(" ", "-").replace(",", "")
    result = folder / "measured.json"
    if result.exists():
        return json.loads(result.read_text())
    data = str(real_data(given.data))
    if checkpoint.saved(folder):
        generator = zerosum.resume(folder, quiet=True)
    else:
        run = Run(
            folder=folder, seed=seed, samples=given.samples, minutes=None if given.samples else given.minutes
        )  # fmt: skip
        generator = zerosum.train(
            system, data, config=discovery.load(system).PRESETS[preset] if preset else None,
            options=Data(limit=given.images), run=run,
            features="classifier", augment=WORDS.get(way), quiet=True,
        )  # fmt: skip
    scores = zerosum.evaluate(generator, data, features="classifier", n=given.n, seed=seed)
    values = {score: scores.values[score] for score in SCORES if score in scores.values}
    found = {
        "values": values | told(folder), "floor": scores.floor, "protocol": scores.protocol,
        "verdict": json.loads((folder / "health.json").read_text())["verdict"],
    }  # fmt: skip
    print(way, seed, {name: round(value, 3) for name, value in found["values"].items()}, found["verdict"], flush=True)
    result.write_text(json.dumps(found, indent=2, default=str) + "\n")
    return found


def budget(given: argparse.Namespace) -> str:
    """How long a training is."""
    return f"{given.samples:,} samples" if given.samples else f"{given.minutes:g} minutes"


def told(folder: Path) -> dict[str, float]:
    """What metrics.jsonl says: samples shown, the last p, and the last snapshot's distance over the best one's."""
    lines = read_lines(folder)
    values = {"samples shown": float(lines[-1]["samples"])}
    distances = [float(line["fd"]) for line in lines if line["kind"] == "scores"]
    strengths = [float(line["augment/p"]) for line in lines if "augment/p" in line]
    ratios = [float(line["overfitting"]) for line in lines if "overfitting" in line]
    if distances:
        values["last / best snapshot"] = distances[-1] / min(distances)
    if ratios:
        values["r_v"] = ratios[-1]
    return values | ({"p": strengths[-1]} if strengths else {})


def row(way: str, results: list[dict[str, Any]], given: argparse.Namespace) -> dict[str, Any]:
    """One row of the table: all seeds of one way."""
    values = {name: [one["values"][name] for one in results] for name in results[0]["values"]}
    protocol = {key: value for key, value in results[0]["protocol"].items() if key not in ("seed", "versions")}
    command = f"python -m benchmarks.little_data --system {given.system} --data {given.data} --images {given.images}"
    command += f" --samples {given.samples}" if given.samples else f" --minutes {given.minutes:g}"
    command += f" --seeds {given.seeds}"
    return {
        "system": given.system if way == "none" else f"{given.system} --augment {way}",
        "data": f"{given.images:,} images of {given.data}", "command": command, "values": values,
        "floor": results[0]["floor"],
        "protocol": {"budget": f"{budget(given)} of training each", **protocol},
        "note": "health: " + ", ".join(one["verdict"] for one in results),
    }  # fmt: skip


if __name__ == "__main__":
    main()
