"""`python -m benchmarks`: every published number, one command after the other (about two days on two cores)."""

from __future__ import annotations

import shlex
import subprocess
import sys

COMMANDS = [
    "benchmarks.throughput",
    "benchmarks.five_minutes --data mnist --seeds 3 --minutes 5",
    "benchmarks.five_minutes --data cifar10 --seeds 3 --minutes 5",
    "benchmarks.crash --systems dcgan wgan_gp sngan --kills 10",
    "benchmarks.lab",
    "benchmarks.systems --minutes 1 --seeds 3",
    "benchmarks.systems --data cifar10 --minutes 60 --systems dcgan sngan,conditional r3gan:laptop,conditional",
    "benchmarks.generators",
    "benchmarks.little_data --minutes 60 --seeds 3",
    "benchmarks.facades --minutes 40",
    "benchmarks.yosemite --minutes 60",
    "benchmarks.superres --minutes 60",
    "benchmarks.ageing --minutes 60",
    "benchmarks.privacy --seeds 3",
    "benchmarks.privacy --audit --runs 5",
    "benchmarks.fairness --seeds 3",
]


def main() -> int:
    """Run all; go on after a failure, and say so at the end."""
    failed = []
    for command in COMMANDS:
        print(f"== python -m {command}", flush=True)
        if subprocess.run([sys.executable, "-m", *shlex.split(command)], check=False).returncode:
            failed.append(command)
    print(
        f"{len(COMMANDS) - len(failed)} of {len(COMMANDS)} done" + "".join(f"\nfailed: {command}" for command in failed)
    )
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
