"""What every system reaches in a few minutes each, with its default settings or a preset, on one data set.

    python -m benchmarks.systems --minutes 1 --seeds 3
    python -m benchmarks.systems --data cifar10 --minutes 60 --systems dcgan sngan,conditional r3gan:laptop,conditional
    python -m benchmarks.systems --data cifar10 --minutes 5 --systems r3gan:laptop,conditional,lazy=4

A training is as long as the minutes allow at the speed that a system reaches in its first half minute, on a quiet
machine (kept in --folder, as pace.json): schedules run their whole length, and whatever else the machine does meanwhile
changes no result. The generator that a training keeps (the best by its snapshots, which are measured against training
images) is measured as `zerosum evaluate` does it. Runs stay in --folder; a benchmark that was interrupted goes on where
it stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import zerosum
from benchmarks.common import RESULTS, keep, real_data
from zerosum.core import discovery
from zerosum.data.options import Data
from zerosum.health.evidence import read_lines
from zerosum.training import checkpoint
from zerosum.training.loop import Run

SCORES = ("fd", "precision", "recall", "density", "coverage", "missing_classes", "samples shown")


def main() -> None:
    """Train and measure, system by system; results are kept after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--systems", nargs="+", default=list(discovery.systems()), help="system[:preset][,conditional][,setting=value]"
    )
    parser.add_argument("--data", default="digits", help="digits, mnist or cifar10")
    parser.add_argument("--resolution", default=None, help="of the images")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark"))
    given = parser.parse_args()
    options = f"--data {given.data} --minutes {given.minutes:g} --seeds {given.seeds}"
    options += f" --resolution {given.resolution}" if given.resolution else ""
    kept = RESULTS / f"systems-{given.data}.json"
    rows = json.loads(kept.read_text()) if kept.exists() else []
    for name in given.systems:
        found = [one(name, seed, given) for seed in range(given.seeds)]
        values = {score: [one["values"][score] for one in found] for score in SCORES if score in found[0]["values"]}
        protocol = {key: value for key, value in found[0]["protocol"].items() if key not in ("seed", "versions")}
        rows = [row for row in rows if row["system"] != name]
        rows.append({
            "system": name, "data": given.data, "command": f"python -m benchmarks.systems {options} --systems {name}",
            "values": values, "floor": found[0]["floor"],
            "protocol": {"budget": f"as many samples as {given.minutes:g} minutes allow", **protocol},
            "note": "health: " + ", ".join(one["verdict"] for one in found),
        })  # fmt: skip
        keep(f"systems-{given.data}", rows)


def configured(name: str) -> tuple[str, Any]:
    """A system's name and config: of the preset after the colon, changed by what follows, as lazy=4 or norm=instance;
    a word alone stands for word=true.
    """
    named, *words = name.split(",")
    system, _, preset = named.partition(":")
    config = discovery.load(system).PRESETS[preset] if preset else discovery.game_class(system).Config()
    changes = {key: value_of(value or "true") for key, _, value in (word.partition("=") for word in words)}
    return system, replace(config, **changes)


def value_of(written: str) -> Any:
    """A number, true, false or null; else the word itself."""
    try:
        return json.loads(written)
    except json.JSONDecodeError:
        return written


def pace(name: str, data: str, given: argparse.Namespace) -> float:
    """Samples a second that training shows on a quiet machine: measured once, then read from --folder."""
    path = given.folder / "pace.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    key = f"{name} {given.data} {given.resolution}"
    if key not in known:
        system, config = configured(name)
        with tempfile.TemporaryDirectory() as folder:
            run = Run(folder=Path(folder) / "run", minutes=0.5, save_every=10**9)
            options = Data(resolution=given.resolution)
            zerosum.train(system, data=data, config=config, options=options, run=run, features="none", quiet=True)
            rates = [line["samples/s"] for line in read_lines(run.folder) if "samples/s" in line]
        known[key] = statistics.median(rates[len(rates) // 2 :])
        given.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known, indent=2) + "\n")
    return known[key]


def one(name: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Values, floor, protocol and verdict of one training; read from its folder where it is finished."""
    system, config = configured(name)
    place = f"{given.data}-{given.minutes:g}min-{name.replace(':', '-').replace(',', '-')}-{seed}"
    folder = given.folder / place
    result = folder / "measured.json"
    if result.exists():
        return json.loads(result.read_text())
    data = given.data if given.data == "digits" else str(real_data(given.data))
    if checkpoint.saved(folder):
        generator = zerosum.resume(folder, quiet=True)
    else:
        samples = round(pace(name, data, given) * 60 * given.minutes)
        run = Run(folder=folder, seed=seed, samples=samples)
        options = Data(resolution=given.resolution)
        generator = zerosum.train(system, data=data, config=config, options=options, run=run, quiet=True)
    scores = zerosum.evaluate(generator, data, n=10_000, seed=seed, options=Data(resolution=given.resolution))
    shown = float(read_lines(folder)[-1]["samples"])
    found = {
        "values": scores.values | {"samples shown": shown}, "floor": scores.floor, "protocol": scores.protocol,
        "verdict": json.loads((folder / "health.json").read_text())["verdict"],
    }  # fmt: skip
    shown = {score: round(scores.values[score], 3) for score in SCORES if score in scores.values}
    print(name, seed, shown, found["verdict"], flush=True)
    result.write_text(json.dumps(found, indent=2, default=str) + "\n")
    return found


if __name__ == "__main__":
    main()
