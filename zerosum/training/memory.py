"""How many samples fit into memory at once: seen from a round of the game itself, played with a few of them."""

from __future__ import annotations

import dataclasses
import gc
import math
import os
import weakref
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zerosum.core.errors import BadOption
from zerosum.data.spec import Dataset
from zerosum.training.arena import Arena, Log
from zerosum.training.automatic import explained
from zerosum.training.batches import Batches
from zerosum.training.game import Game

SHARE = 0.7
"""Of the free memory is used: libraries and the allocator take about a quarter more than the tensors hold, and scores
and pictures need some, too.
"""


class Bytes(TorchDispatchMode):
    """The bytes of all tensors on a device that were made inside and are alive, noted after each operation.

    Counts the same on every device and machine.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device, self.alive = device, 0
        self.course: list[int] = []
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count what it made."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == self.device.type:
                self._count(tensor.untyped_storage())
        self.course.append(self.alive)
        return made

    def _count(self, storage: Any) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self.alive += storage.nbytes()
        weakref.finalize(storage, self._release, storage.nbytes())

    def _release(self, size: int) -> None:
        self.alive -= size


def course(game: Game, dataset: Dataset, arena: Arena, samples: int) -> list[int]:
    """Bytes alive after each operation while another game like `game` plays the first round of each of its phases, all
    regularisers included, with batches of `samples`.

    Neither the game nor any random number generator is changed.
    """
    own = dataclasses.replace(arena, rank=0, world=1, micro_batch=None, fabric=None, samples=0, log=Log())
    device = arena.device
    devices = [device.index or 0] if device.type == "cuda" else []  # rounds seed the others' generators anew
    with torch.random.fork_rng(devices), Bytes(device) as counted:
        scratch = type(game)(game.config, game.spec)
        if game.augmentation is not None:
            scratch.augment_with(game.augmentation.settings)
        scratch.seat(own)
        scratch.train()
        scratch.meet(dataset.train)
        batches = Batches(
            dataset.train, batch_size=samples, noise=scratch.noise(), seed=("memory",), arena=own, flip=dataset.flip,
            order=scratch.order(dataset.train, ("memory",)),
        )  # fmt: skip
        for phase in scratch.phases():
            phase.enter()
            scratch.turn(phase, batches)
            scratch.rounds += phase.rounds
        counted.course.append(counted.alive)
    del scratch, batches
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return counted.course


def needed(small: list[int], large: list[int], factor: float) -> float:
    """Peak in bytes with `factor` times the samples of `small`, where `large` is the course with twice as many.

    What is alive after each operation grows linearly with the samples; where it is most can be another operation with
    few samples than with many. Courses of unequal length are compared by their peaks.
    """
    pairs = zip(small, large, strict=True) if len(small) == len(large) else [(max(small), max(large))]
    return max(one + (two - one) * (factor - 1) for one, two in pairs)


def micro_batch(game: Game, dataset: Dataset, arena: Arena, batch: int, sharing: int = 1) -> tuple[int | None, str]:
    """How many of the `batch` samples a process can put through a network at once (None: all), and why.

    The largest divisor of the batch whose round fits into `SHARE` of the memory that is free.

    Args:
        game: is left as it is.
        dataset: delivers to the arena's device.
        arena: device and precision.
        batch: samples a batch and process.
        sharing: processes that share the memory.
    """
    free = available(arena.device) / sharing
    budget = free * SHARE
    part, small, large = _measured(game, dataset, arena, batch)
    sample = 8 * math.prod(dataset.spec.shape)  # read and made: they are there for the whole batch
    needs = {
        m: needed(small, large, m / part) + (batch - m) * sample for m in range(part, batch + 1, part) if batch % m == 0
    }
    whole = f"{batch} samples need {_size(needs[batch])}, {_size(free)} are free"
    if needs[batch] <= budget:
        return None, explained(batch, f"the whole batch: {whole}")
    fitting = max((m for m, need in needs.items() if need <= budget), default=part)
    reason = f"{whole}, {fitting} need {_size(needs[fitting])}"
    return fitting, explained(fitting, reason if needs[fitting] <= budget else f"{reason}: may be too much")


def _measured(game: Game, dataset: Dataset, arena: Arena, batch: int) -> tuple[int, list[int], list[int]]:
    """(the smallest part of the batch that the game can be played with, its course, that of twice as many)."""
    refused: BadOption | None = None
    for part in (m for m in range(min(2, batch), batch + 1) if batch % m == 0):
        try:
            small = course(game, dataset, arena, part)
            return part, small, course(game, dataset, arena, 2 * part) if part < batch else small
        except BadOption as error:  # such as packs of 3 samples
            refused = error
    raise refused or BadOption(f"a batch of {batch} samples cannot be played.")


def available(device: torch.device) -> float:
    """Bytes of memory that are free for tensors on `device`. Raises BadOption where the system does not say."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    known = [size for size in (_of_machine(), _of_container()) if size is not None]
    if not known:
        raise BadOption("this system does not say how much memory is free: give a number, as in --run.micro-batch 16.")
    return min(known)


def _of_machine() -> float | None:
    """What Linux says is available; elsewhere on Unix half of the memory there is."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        return 1024.0 * int(lines["MemAvailable"].split()[0])
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return 0.5 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_container(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """What is left of a container's limit, if it has one (control groups of version 2 or 1), files read not counted."""
    for folder, limit, used in (
        (root, "memory.max", "memory.current"),
        (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        files = [folder / name for name in (limit, used, "memory.stat")]
        if not all(path.exists() for path in files):
            continue
        most, now, stat = (path.read_text() for path in files)
        if most.strip().isdigit():
            cached = dict(line.split() for line in stat.splitlines()).get("inactive_file", "0")
            return max(float(most) - float(now) + float(cached), 0.0)
    return None


def _size(size: float) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 0.95e9 else f"{size / 1e6:.3g} MB"
