"""The mode-collapse lab's published tables: the grid of 25 Gaussians over 5 seeds, and Stacked MNIST.

    python -m benchmarks.lab --tasks grid stacked-mnist
    python -m benchmarks.lab --tasks stacked-mnist-r3gan

Published figures of the papers stand in the same tables, marked with where they are from.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.common import keep
from zerosum.cli import main as zerosum

COMMANDS = {
    "grid": ["--systems", "rpgan", "gan", "wgan_gp", "pacgan", "sngan", "lsgan", "--seeds", "5"],
    "stacked-mnist": ["--systems", "dcgan", "pacgan", "rpgan", "--rounds", "6000", "--width", "32"],
    "stacked-mnist-r3gan": ["--systems", "r3gan", "--rounds", "22000", "--batch-size", "32"],
}
"""The options of each table; its name begins with the lab's task."""
PACGAN = "PacGAN paper (Lin et al. 2018)"
PUBLISHED: dict[str, list[tuple[str, dict[str, float]]]] = {
    "grid": [
        (f"{PACGAN}: GAN", {"modes": 17.3, "high_quality": 0.948, "mode_kl": 0.70}),
        (f"{PACGAN}: PacGAN2", {"modes": 23.8, "high_quality": 0.913, "mode_kl": 0.13}),
        (f"{PACGAN}: PacGAN4", {"modes": 24.8, "high_quality": 0.936, "mode_kl": 0.04}),
    ],
    "stacked-mnist": [
        (f"{PACGAN}: DCGAN", {"modes": 78.9, "mode_kl": 4.50}),
        (f"{PACGAN}: PacDCGAN2", {"modes": 1000.0, "mode_kl": 0.06}),
    ],
    "stacked-mnist-r3gan": [
        ("R3GAN paper (Huang et al. 2024): its loss", {"modes": 1000.0, "mode_kl": 0.0781}),
        ("R3GAN paper (Huang et al. 2024): GAN + R1 + R2", {"modes": 693.0, "mode_kl": 0.927}),
    ],
}


def main() -> int:
    """Run the tasks, keep their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--folder", type=Path, default=Path("runs/lab"))
    given = parser.parse_args()
    for name in given.tasks:
        out, task = given.folder / name, name.removesuffix("-r3gan")
        status = zerosum(["lab", task, *COMMANDS[name], "--out", str(out)])
        if status:
            return status
        print(f"kept in {keep(f'lab-{name}', rows(name, task, json.loads((out / 'results.json').read_text())))}")
    return 0


def rows(name: str, task: str, results: dict[str, Any]) -> list[dict[str, Any]]:
    """The lab's results as rows of the results page."""
    protocol = {name: value for name, value in results["protocol"].items() if name not in ("centres", "fingerprint")}
    command = f"zerosum lab {task} {' '.join(COMMANDS[name])}"
    scores = [name for name in ("modes", "high_quality", "mode_kl") if name in results["real"]]
    shared = {"data": f"lab: {task}", "protocol": protocol, "command": command, "floor": results["real"]}
    ours = [
        {"system": system, **shared, "values": {score: row[score] for score in scores} | {"rounds": row["rounds"]},
         "note": f"{row['seconds']:,.0f} s for all seeds"}
        for system, row in results["systems"].items()
    ]  # fmt: skip
    note = "as published; other networks and 400 epochs" if task == "grid" else "as published"
    return ours + [{"system": said, **shared, "values": values, "note": note} for said, values in PUBLISHED[name]]


if __name__ == "__main__":
    raise SystemExit(main())
