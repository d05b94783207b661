"""What every system reaches on the digits that come along, with its default settings and a few minutes each.

    python -m benchmarks.systems --minutes 3 --seeds 3

The generator that a training keeps (the best by its snapshots, which are measured against training images) is measured
as `zerosum evaluate` does it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import zerosum
from benchmarks.common import keep
from zerosum.core.discovery import systems
from zerosum.training.loop import Run

SCORES = ("fd", "precision", "recall", "density", "coverage", "missing_classes")


def main() -> None:
    """Train and measure, system by system; results are kept after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=list(systems()))
    parser.add_argument("--data", default="digits")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    command = f"python -m benchmarks.systems --data {given.data} --minutes {given.minutes:g} --seeds {given.seeds}"
    rows = []
    for system in given.systems:
        values: dict[str, list[float]] = {}
        for seed in range(given.seeds):
            with tempfile.TemporaryDirectory() as folder:
                run = Run(folder=Path(folder) / "run", seed=seed, minutes=given.minutes)
                generator = zerosum.train(system, data=given.data, run=run, quiet=True)
                verdict = json.loads((Path(folder) / "run" / "health.json").read_text())["verdict"]
            scores = zerosum.evaluate(generator, given.data, n=10_000, seed=seed)
            for name in SCORES:
                if name in scores.values:
                    values.setdefault(name, []).append(scores.values[name])
            print(system, seed, {name: round(found[-1], 3) for name, found in values.items()}, verdict, flush=True)
        protocol = {key: value for key, value in scores.protocol.items() if key not in ("seed", "versions")}
        budget = {"budget": f"{given.minutes:g} minutes of training each", **protocol}
        row = {"system": system, "data": given.data, "command": command, "values": values, "floor": scores.floor}
        rows.append({**row, "protocol": budget, "note": f"health of the last: {verdict}"})
        keep(f"systems-{given.data}", rows)


if __name__ == "__main__":
    main()
