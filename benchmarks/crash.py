"""Killing trainings with SIGKILL at random moments and resuming them: is the final generator the same, bit for bit?

    python -m benchmarks.crash --systems dcgan wgan_gp sngan --kills 10

For each system: one training that nothing happens to, and trainings that are killed and resumed over and over until
the kills are used up. A kill may hit anything: the start, a round, the writing of a checkpoint or of the generator.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import keep

NETWORKS = {
    "dcgan": ["networks:dcgan", "--networks.width", "8"],
    "wgan_gp": ["networks:resnet", "--networks.generator-width", "8", "--networks.discriminator-width", "8"],
    "sngan": ["networks:resnet", "--networks.generator-width", "8", "--networks.discriminator-width", "8"],
}


def main() -> int:
    """Kill, resume, compare, print, keep. The exit status is 1 where a generator differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=["dcgan", "wgan_gp", "sngan"])
    parser.add_argument("--kills", type=int, default=10, help="per system")
    parser.add_argument("--samples", type=int, default=20_000, help="length of a training")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    given = parser.parse_args()
    rows = []
    print(f"{'system':12} {'kills':>5} {'lost checkpoints':>17} {'trainings':>9}  final generator")
    for system in given.systems:
        with tempfile.TemporaryDirectory() as folder:
            found = torture(system, given.kills, given.samples, given.seed, Path(folder))
        verdict = "bit-identical" if found["identical"] else "DIFFERENT"
        print(f"{system:12} {found['kills']:5} {found['broken']:17} {found['trainings']:9}  {verdict}", flush=True)
        rows.append(
            {
                "system": system,
                "data": "digits: killed and resumed",
                "command": f"python -m benchmarks.crash --systems {system} --kills {given.kills}",
                "values": {
                    "kills": found["kills"],
                    "identical": int(found["identical"]),
                    "trainings": found["trainings"],
                },
                "protocol": {
                    "what": "SIGKILL at random moments, then resume",
                    "samples": given.samples,
                    "seed": given.seed,
                },
            }
        )
    keep("crash", rows)
    return 0 if all(row["values"]["identical"] for row in rows) else 1


def torture(
    system: str, kills: int, samples: int, seed: int, folder: Path, features: str = "pixels", every: int = 1_000,
    more: Sequence[Any] = (),
) -> dict[str, Any]:  # fmt: skip
    """Train `system` undisturbed and killed `kills` times, and compare.

    Args:
        system: which.
        kills: how often.
        samples: length of a training.
        seed: of the moments of the kills.
        folder: where runs go.
        features: what scores are measured on.
        every: samples between checkpoints.
        more: other options of the command.

    Returns:
        kills done, unreadable checkpoints met on resuming ("broken"), trainings it took, and whether all their final
        generators are identical to the undisturbed one.
    """
    random.seed(seed)
    options = ["--run.samples", samples, "--run.save-every", every, "--features", features]
    options += [*more, *NETWORKS.get(system, [])]
    run = ["train", system, "--run.folder"]
    began = time.perf_counter()
    process = start([*run, folder / "whole", *options], folder)
    if process.wait():
        raise RuntimeError((folder / "log.txt").read_text())
    duration, wanted = time.perf_counter() - began, digests(folder / "whole")
    done = trainings = 0
    identical = True
    while done < kills:
        name = folder / f"killed-{trainings}"
        began = time.perf_counter()
        hit = train_and_kill([*run, name, *options], name, kills - done, duration, folder)
        done += hit
        if not hit:  # the machine has become faster than when the duration was taken
            duration = min(duration, time.perf_counter() - began)
        identical &= digests(name) == wanted
        trainings += 1
    log = (folder / "log.txt").read_text()
    return {"kills": done, "broken": log.count("Trying the one before"), "trainings": trainings, "identical": identical}


def train_and_kill(command: list[Any], name: Path, kills: int, duration: float, folder: Path) -> int:
    """One training to its end, killed up to `kills` times at moments up to its usual duration. Returns how often."""
    done = 0
    while True:
        begun = any((name / "checkpoints").glob("[0-9]*"))
        process = start(["resume", name] if begun else command, folder)
        try:
            code = process.wait(random.uniform(0.3, 1.0) * duration if done < kills else None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            done += 1
            continue
        if code:
            raise RuntimeError((folder / "log.txt").read_text())
        return done


def start(arguments: list[Any], folder: Path) -> subprocess.Popen[bytes]:
    """`zerosum` with these arguments, in a process of its own; what it prints goes to log.txt."""
    with (folder / "log.txt").open("ab") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ZEROSUM_CACHE": str(folder / "cache")}
        command = [sys.executable, "-m", "zerosum", *map(str, arguments)]
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def digests(run: Path) -> dict[str, str]:
    """sha256 of the generator and of the last checkpoint's networks and optimizers."""
    last = max((run / "checkpoints").glob("[0-9]*"))
    files = [run / "generator" / "model.safetensors", last / "game.safetensors", last / "optimizers.pt"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


if __name__ == "__main__":
    raise SystemExit(main())
