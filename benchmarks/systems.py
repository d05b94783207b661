"""What every system reaches in a few minutes each, with its default settings or a preset, on one data set.

    python -m benchmarks.systems --minutes 1 --seeds 3
    python -m benchmarks.systems --data cifar10 --minutes 60 --systems dcgan sngan stylegan2:laptop r3gan:laptop

The generator that a training keeps (the best by its snapshots, which are measured against training images) is measured
as `zerosum evaluate` does it. Runs stay in --folder; a benchmark that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import zerosum
from benchmarks.common import keep, real_data
from zerosum.core import discovery
from zerosum.data.options import Data
from zerosum.training import checkpoint
from zerosum.training.loop import Run

SCORES = ("fd", "precision", "recall", "density", "coverage", "missing_classes")


def main() -> None:
    """Train and measure, system by system; results are kept after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=list(discovery.systems()), help="system or system:preset")
    parser.add_argument("--data", default="digits", help="digits, mnist or cifar10")
    parser.add_argument("--resolution", default=None, help="of the images")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark"))
    given = parser.parse_args()
    options = f"--data {given.data} --minutes {given.minutes:g} --seeds {given.seeds}"
    options += f" --resolution {given.resolution}" if given.resolution else ""
    rows = []
    for name in given.systems:
        found = [one(name, seed, given) for seed in range(given.seeds)]
        values = {score: [one["values"][score] for one in found] for score in SCORES if score in found[0]["values"]}
        protocol = {key: value for key, value in found[0]["protocol"].items() if key not in ("seed", "versions")}
        rows.append({
            "system": name, "data": given.data, "command": f"python -m benchmarks.systems {options}",
            "values": values, "floor": found[0]["floor"],
            "protocol": {"budget": f"{given.minutes:g} minutes of training each", **protocol},
            "note": "health: " + ", ".join(one["verdict"] for one in found),
        })  # fmt: skip
        keep(f"systems-{given.data}", rows)


def one(name: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """Values, floor, protocol and verdict of one training; read from its folder where it is finished."""
    system, _, preset = name.partition(":")
    folder = given.folder / f"{given.data}-{given.minutes:g}min-{name.replace(':', '-')}-{seed}"
    result = folder / "measured.json"
    if result.exists():
        return json.loads(result.read_text())
    data = given.data if given.data == "digits" else str(real_data(given.data))
    if checkpoint.saved(folder):
        generator = zerosum.resume(folder, quiet=True)
    else:
        module = discovery.load(system)
        config = module.PRESETS[preset] if preset else None
        run = Run(folder=folder, seed=seed, minutes=given.minutes)
        options = Data(resolution=given.resolution)
        generator = zerosum.train(system, data=data, config=config, options=options, run=run, quiet=True)
    scores = zerosum.evaluate(generator, data, n=10_000, seed=seed, options=Data(resolution=given.resolution))
    found = {
        "values": scores.values, "floor": scores.floor, "protocol": scores.protocol,
        "verdict": json.loads((folder / "health.json").read_text())["verdict"],
    }  # fmt: skip
    shown = {score: round(scores.values[score], 3) for score in SCORES if score in scores.values}
    print(name, seed, shown, found["verdict"], flush=True)
    result.write_text(json.dumps(found, indent=2, default=str) + "\n")
    return found


if __name__ == "__main__":
    main()
