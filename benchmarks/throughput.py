"""Images a second at 32 px: the plain loop a user would write, the bare optimized step, and this library's loop with
all it does.

    python -m benchmarks.throughput

One process, the three taking turns, several times over; medians. Same networks, same batch of 64. Also: the memory each
adds at its
peak, and the seconds that `zerosum --help` takes.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import plain
from benchmarks.common import keep
from zerosum.core import discovery, randomness
from zerosum.data import load
from zerosum.data.spec import Dataset
from zerosum.training import loop
from zerosum.training.arena import Arena, open_arena
from zerosum.training.callback import Callback
from zerosum.training.loop import Run, Training
from zerosum.training.trackers import JsonLines, TensorBoard

BATCH, SIZE = 64, 32


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", nargs="+", default=["dcgan", "wgan_gp"])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn")
    parser.add_argument("--only", choices=list(KINDS), help="one of the three, for its peak memory")
    options = parser.parse_args()
    if options.only:
        KINDS[options.only](options.systems[0])(options.seconds)
        print(own_peak())
        return
    rows = []
    for system in options.systems:
        runners = {kind: make(system) for kind, make in KINDS.items()}
        for runner in runners.values():
            runner(2.0)
        turns = {kind: [] for kind in runners}  # type: dict[str, list[float]]
        for _ in range(options.turns):
            for kind, runner in runners.items():
                turns[kind].append(runner(options.seconds))
        memory = {kind: peak_memory(kind, system) for kind in KINDS}
        rows += _rows(system, turns, memory, options)
    seconds = [help_seconds() for _ in range(5)]
    rows.append(
        {"system": "zerosum --help", "data": "start-up", "command": "python -m benchmarks.throughput",
         "values": {"seconds": statistics.median(seconds)}, "protocol": {"torch": "not imported", "runs": 5}}
    )  # fmt: skip
    print(f"zerosum --help: {statistics.median(seconds):.3f} s")
    print(f"kept in {keep('throughput', rows)}")


def images() -> np.ndarray:
    """Decoded noise images (n, 32, 32, 3) uint8: what is in them does not change the time."""
    return np.random.default_rng(0).integers(0, 256, (10_000, SIZE, SIZE, 3), dtype=np.uint8)


def dataset() -> Dataset:
    """The images as this library loads them."""
    return load(images())


def plain_loop(system: str) -> Callable[[float], float]:
    """The plain loop: returns a function from seconds to images a second (the batch times the rounds, whatever a round
    holds).
    """
    randomness.reseed(0)
    data = plain.loader(images(), BATCH)
    if system == "dcgan":  # the same layers and widths, as tutorials write them
        step = plain.dcgan_step(plain.TutorialGenerator(3, SIZE), plain.TutorialDiscriminator(3, SIZE), 100)
    else:
        game = _game(system, dataset())
        for parameter in game.parameters():
            parameter.requires_grad_(True)
        step = plain.wgan_gp_step(game.G, game.D, game.latent.size, data, game.config.critic_steps)
    return lambda seconds: timed(lambda: step(next(data)), seconds)


def bare_step(system: str) -> Callable[[float], float]:
    """The optimized step alone: the players' steps on one batch that is already there; no data, no log, no loop."""
    arena = open_arena("cpu" if not torch.cuda.is_available() else "auto")
    game = _game(system, dataset()).seat(arena).train()
    fixed: dict[str, Any] = arena.place({"image": torch.rand(BATCH, 3, SIZE, SIZE) * 2 - 1})
    draw = randomness.generator(arena.device, 0)
    fixed |= {name: latent.draw(BATCH, draw) for name, latent in game.noise().items()}

    class Fixed:
        def __next__(self) -> Any:
            return fixed

    def run(seconds: float) -> float:
        rate = timed(lambda: game.round(Fixed()), seconds)
        arena.log = type(arena.log)()
        return rate

    return run


def whole_loop(system: str) -> Callable[[float], float]:
    """`zerosum train` with order, noise, log, trackers, clocks and signals; snapshots happen between turns, as they do
    for the others.
    """
    data = dataset()

    class Stopwatch(Callback):
        """From the first tick, which comes after the first round: the others are not charged for theirs either."""

        began: tuple[int, float] | None = None
        rounds, seconds = 0, 0.0

        def tick(self, training: Training, means: dict[str, float]) -> None:
            self.began = self.began or (training.rounds, training.seconds)

        def end(self, training: Training) -> None:
            began = self.began or (0, 0.0)
            self.rounds, self.seconds = training.rounds - began[0], training.seconds - began[1]

    def run(seconds: float) -> float:
        randomness.reseed(0)
        watch = Stopwatch()
        arena = open_arena("cpu" if not torch.cuda.is_available() else "auto")
        with tempfile.TemporaryDirectory() as folder:
            callbacks = [JsonLines(), TensorBoard(), watch]
            loop.train(
                _game(system, data),
                data,
                Run(minutes=seconds / 60, batch_size=BATCH),
                Path(folder),
                callbacks,
                {},
                arena,
            )
        return watch.rounds * BATCH / watch.seconds

    return run


KINDS: dict[str, Callable[[str], Callable[[float], float]]] = {
    "plain": plain_loop,
    "bare": bare_step,
    "zerosum": whole_loop,
}


def _game(system: str, data: Dataset) -> Any:
    game: Any = discovery.game_class(system)
    return game(game.Config(), data.spec)


def timed(step: Callable[[], None], seconds: float) -> float:
    """Rounds a second times the batch."""
    step()
    began, rounds = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step()
        rounds += 1
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return rounds * BATCH / (time.perf_counter() - began)


def peak_memory(kind: str, system: str) -> float:
    """MiB of a process that does nothing else, at its peak."""
    command = [sys.executable, "-m", "benchmarks.throughput", "--only", kind, "--systems", system, "--seconds", "2"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def own_peak() -> float:
    """MiB of this process at its peak; `getrusage` would count the parent's, which a child starts with."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def help_seconds() -> float:
    """Wall time of `zerosum --help`."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "zerosum", "--help"], capture_output=True, check=True)
    return time.perf_counter() - began


def _rows(
    system: str, turns: dict[str, list[float]], memory: dict[str, float], options: argparse.Namespace
) -> list[dict[str, Any]]:
    middle = {kind: statistics.median(rates) for kind, rates in turns.items()}
    ratio, overhead = middle["zerosum"] / middle["plain"], 1 - middle["zerosum"] / middle["bare"]
    names = {"plain": "plain loop, fp32", "bare": "bare optimized step", "zerosum": system}
    protocol = {
        "size": f"{SIZE} x {SIZE} x 3", "batch": BATCH, "turns": options.turns, "seconds a turn": options.seconds,
        "precision": Arena().precision + " (plain), auto (others)", "networks": f"those of {system}, the same for all",
    }  # fmt: skip
    rows = [
        {"system": names[kind], "data": f"throughput of {system}", "command": "python -m benchmarks.throughput",
         "values": {"images/s": rates, "peak MiB": memory[kind]}, "protocol": protocol}
        for kind, rates in turns.items()
    ]  # fmt: skip
    rows[-1]["note"] = f"{ratio:.2f} x the plain loop, {overhead:.1%} overhead over the bare step"
    print(system, {kind: round(rate, 1) for kind, rate in middle.items()}, rows[-1]["note"], memory, flush=True)
    return rows


if __name__ == "__main__":
    main()
