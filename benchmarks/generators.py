"""Training images a second, seconds for a thousand images and peak memory of the strongest generators at several sizes.

    python -m benchmarks.generators --systems stylegan2 r3gan --sizes 32 64 128 256
    python -m benchmarks.generators --large

Networks of the preset `laptop` (r3gan at 32 px: widths 128, 128, 64, 64), batch 16. Beside the library's round the
plain loop a user would write: the same networks in fp32, D's and G's steps apart, default Adam, `.item()` logging.
Also images a second that the trained generator makes. --large: one round of stylegan2 with the paper's networks at
1024 px, batch 4 by micro-batches of 1, with its peak memory, and seconds for an image.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.common import RESULTS, keep
from benchmarks.throughput import own_peak
from zerosum.core import discovery, randomness
from zerosum.data.spec import Spec
from zerosum.training.arena import open_arena

BATCH = 16
Timed = Callable[[float], float]
"""Seconds -> images a second."""


def game_of(system: str, size: int) -> Any:
    """The laptop's networks at batch 16, not seated."""
    randomness.reseed(0)
    module, game = discovery.load(system), discovery.game_class(system)
    preset = next(name for name in module.PRESETS if name.startswith("laptop"))
    config: Any = dataclasses.replace(module.PRESETS[preset], batch_size=BATCH)  # type: ignore[type-var]
    if system == "r3gan" and size == 32:  # the widths that the reference implementation was timed with
        config = dataclasses.replace(config, widths=(128, 128, 64, 64))
    return game(config, Spec((3, size, size)))


def library(system: str, size: int) -> Timed:
    """The library's rounds, on one batch that is there already; whole cycles of the lazy regularisers."""
    arena = open_arena("auto")
    game = game_of(system, size).seat(arena).train()
    fixed = arena.place({"image": torch.rand(BATCH, 3, size, size) * 2 - 1})
    draw = randomness.generator(arena.device, 0)
    fixed |= {name: latent.draw(BATCH, draw) for name, latent in game.noise().items()}

    class Fixed:
        def __next__(self) -> Any:
            return fixed

    def step() -> None:
        game.round(Fixed())
        game.rounds += 1

    return lambda seconds: timed(step, seconds, cycle=16)


def plain(system: str, size: int) -> Timed:
    """The same networks as a user would train them."""
    game = game_of(system, size).train().requires_grad_(True)
    G, D, gamma = game.G, game.D, game.gamma if system == "stylegan2" else game.gamma[0]
    opt_g = torch.optim.Adam(G.parameters(), lr=2e-4, betas=(0.0, 0.99))
    opt_d = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(0.0, 0.99))
    real, history, rounds = torch.rand(BATCH, 3, size, size) * 2 - 1, [], 0

    def penalty(x: torch.Tensor) -> torch.Tensor:
        x = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        return gamma / 2 * gradient.square().sum([1, 2, 3]).mean()

    def step() -> None:
        nonlocal rounds
        paired = system == "r3gan"
        fake = G(torch.randn(BATCH, game.latent.size)).detach()
        opt_d.zero_grad()
        if paired:
            loss = F.softplus(D(fake) - D(real)).mean() + penalty(real) + penalty(fake)
        else:
            loss = F.softplus(D(fake)).mean() + F.softplus(-D(real)).mean()
            if rounds % 16 == 0:
                loss = loss + 16 * penalty(real)
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        made = D(G(torch.randn(BATCH, game.latent.size)))
        error = F.softplus(D(real) - made).mean() if paired else F.softplus(-made).mean()
        error.backward()
        opt_g.step()
        history.append((loss.item(), error.item()))
        rounds += 1

    return lambda seconds: timed(step, seconds, cycle=16)


def sampling(system: str, size: int) -> Timed:
    """The trained generator, as `sample` runs it, in batches of 16 (of 1 at 512 px and above)."""
    batch = BATCH if size < 512 else 1
    generator = game_of(system, size).trained()
    z = torch.randn(batch, generator.latent.size)

    def step() -> None:
        with torch.no_grad():
            generator(z)

    return lambda seconds: timed(step, seconds, 1) * batch / BATCH


KINDS: dict[str, Callable[[str, int], Timed]] = {"plain": plain, "zerosum": library, "sampling": sampling}
LARGE, LARGE_BATCH = 1024, 4


def large(seconds: float) -> None:
    """A round and some images of the paper's networks at 1024 px, in this process; prints what it took."""
    randomness.reseed(0)
    config: Any = dataclasses.replace(discovery.load("stylegan2").PRESETS["paper"], batch_size=LARGE_BATCH)  # type: ignore[type-var]
    arena = open_arena("auto", micro_batch=1)
    game = discovery.game_class("stylegan2")(config, Spec((3, LARGE, LARGE))).seat(arena).train()
    batch = arena.place({"image": torch.rand(LARGE_BATCH, 3, LARGE, LARGE) * 2 - 1})
    draw = randomness.generator(arena.device, 0)
    batch |= {name: latent.draw(LARGE_BATCH, draw) for name, latent in game.noise().items()}
    began = time.perf_counter()
    game.round(iter([batch]))
    game.rounds += 1
    round_took = time.perf_counter() - began
    memory = own_peak()
    generator, took = game.trained(), []
    z = torch.randn(1, generator.latent.size)
    began = time.perf_counter()
    while len(took) < 4 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        with torch.no_grad():
            generator(z)
        took.append(time.perf_counter() - start)
    print(json.dumps({"s per round": round_took, "peak MiB": memory, "s per image": took[1:]}))


def timed(step: Callable[[], None], seconds: float, cycle: int) -> float:
    """Images a second over whole cycles of rounds, after a first round that is not counted."""
    step()
    began, rounds = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or rounds % cycle:
        step()
        rounds += 1
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return rounds * BATCH / (time.perf_counter() - began)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=["stylegan2", "r3gan"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 64, 128, 256])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn")
    parser.add_argument("--large", action="store_true", help="one round at 1024 px instead")
    parser.add_argument("--only", choices=[*KINDS, "large"], help="one of them once, for its peak memory")
    options = parser.parse_args()
    if options.large:
        keep("generators-large", [measure_large(options)])
        return
    if options.only == "large":
        large(options.seconds)
        return
    if options.only:
        KINDS[options.only](options.systems[0], options.sizes[0])(options.seconds)
        print(own_peak())
        return
    path = RESULTS / "generators.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    for system in options.systems:
        for size in options.sizes:
            found = measure(system, size, options)
            names = {row["system"] for row in found}
            rows = [row for row in rows if row["system"] not in names or row["data"] != found[0]["data"]] + found
            keep("generators", rows)


def measure_large(options: argparse.Namespace) -> dict[str, Any]:
    """The row of 1024 px, of a process that does nothing else."""
    command = [sys.executable, "-m", "benchmarks.generators", "--only", "large", "--seconds", str(options.seconds)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    print(found, flush=True)
    return {
        "system": "stylegan2", "data": f"speed at {LARGE} px", "command": "python -m benchmarks.generators --large",
        "values": {
            "s per round": [found["s per round"]], "s per image": found["s per image"],
            "peak MiB": [found["peak MiB"]],
        },
        "protocol": {"batch": LARGE_BATCH, "micro-batch": 1, "preset": "paper"},
        "note": "the first round, which has all regularisers",
    }  # fmt: skip


def measure(system: str, size: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one system at one size; what is compared takes turns."""
    runners = {kind: make(system, size) for kind, make in KINDS.items()}
    rates = {kind: [] for kind in runners}  # type: dict[str, list[float]]
    for _ in range(options.turns):
        for kind, runner in runners.items():
            rates[kind].append(runner(options.seconds))
    del runners
    turns = f"--turns {options.turns} --seconds {options.seconds:g}"
    command, rows = f"python -m benchmarks.generators --systems {system} --sizes {size} {turns}", []
    for kind, found in rates.items():
        middle = statistics.median(found)
        values = {"images/s": found, "s per 1000 images": [1000 / rate for rate in found]}
        if kind != "sampling":
            values["peak MiB"] = [peak(kind, system, size)]
        name = {"plain": f"{system}, plain loop, fp32", "zerosum": system, "sampling": f"{system}, sampling"}[kind]
        ratio = middle / statistics.median(rates["plain"])
        rows.append({
            "system": name, "data": f"speed at {size} px", "command": command, "values": values,
            "protocol": {"batch": BATCH, "preset": "laptop"},
            **({"note": f"{ratio:.2f} x the plain loop"} if kind == "zerosum" else {}),
        })  # fmt: skip
        print(
            f"{name:32s} {size:5d} px {middle:8.1f} images/s",
            rows[-1].get("note", ""),
            values.get("peak MiB", ""),
            flush=True,
        )
    return rows


def peak(kind: str, system: str, size: int) -> float:
    """MiB of a process that does nothing else, at its peak."""
    which = ["--only", kind, "--systems", system, "--sizes", str(size), "--seconds", "1"]
    command = [sys.executable, "-m", "benchmarks.generators", *which]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


if __name__ == "__main__":
    main()
