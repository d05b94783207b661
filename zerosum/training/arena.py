"""Where a game is played: the device, the precision, the processes, the clock and the log that all players share."""

from __future__ import annotations

import logging
import math
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zerosum.core.errors import BadOption, NotFinite
from zerosum.data.spec import Batch


class Log:
    """Means of named values since the last reading; adding one never waits for the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Take in one value (0-d, any device)."""
        value = value.detach().float()
        self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts[name] = self.counts.get(name, 0) + 1

    def read(self, round: int) -> dict[str, float]:
        """The means since the last reading. Raises NotFinite for the first value that is not a number."""
        names = list(self.sums)
        if not names:
            return {}
        sums = torch.stack([self.sums[name].to(self.sums[names[0]].device) for name in names]).tolist()
        means = {name: total / self.counts[name] for name, total in zip(names, sums, strict=True)}
        self.sums.clear()
        self.counts.clear()
        for name, mean in means.items():
            if not math.isfinite(mean):
                player, _, term = name.rpartition("/")
                raise NotFinite(term, player or "game", round)
        return means


@dataclass
class Arena:
    """One process's view of the run. Without Fabric: one process, full precision, on the CPU."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    world: int = 1
    precision: str = "fp32"
    micro_batch: int | None = None
    """Samples a process puts through a network at once; None: all."""
    fabric: Any = None
    round: int = 0
    samples: int = 0
    progress: float = 0.0
    """0 at the start of training, 1 at its end."""
    rate: float = 1.0
    """Factor on all learning rates (lowered after a roll-back)."""
    log: Log = field(default_factory=Log)

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where the precision says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of `tensor` over the processes, in all of them."""
        if self.world == 1:
            return tensor
        torch.distributed.all_reduce(tensor)
        return tensor.div_(self.world)

    def agree(self, *numbers: float) -> list[float]:
        """The first process's numbers, in all of them."""
        if self.world == 1:
            return list(numbers)
        tensor = torch.tensor(
            numbers, dtype=torch.float64 if self.device.type != "mps" else torch.float32, device=self.device
        )
        torch.distributed.broadcast(tensor, 0)
        return tensor.tolist()

    def same(self, tensors: list[Tensor]) -> None:
        """Overwrite the tensors of all processes by the first process's."""
        if self.world > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            torch.distributed.barrier()

    def place(self, batch: Batch) -> Batch:
        """The batch on this device; images channels-last, which convolutions are faster in."""
        return {
            name: value.to(self.device, memory_format=torch.channels_last, non_blocking=True)
            if value.dim() == 4
            else value.to(self.device, non_blocking=True)
            for name, value in batch.items()
        }


def processes() -> tuple[int | None, int]:
    """(processes on this machine, machines) as torchrun or SLURM set them; (None, 1) where neither started us."""
    env = os.environ
    if "LOCAL_WORLD_SIZE" in env:
        local = int(env["LOCAL_WORLD_SIZE"])
        return local, int(env["WORLD_SIZE"]) // local
    if "SLURM_NTASKS" in env and "SLURM_PROCID" in env and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        nodes = int(env.get("SLURM_NNODES", "1"))
        return int(env["SLURM_NTASKS"]) // nodes, nodes
    return None, 1


def requested(devices: str) -> tuple[str, int, int]:
    """(accelerator, processes on this machine, machines) that --run.devices and the launcher ask for."""
    accelerator, _, count = devices.partition(":")
    if accelerator.isdigit():
        accelerator, count = "auto", accelerator
    if accelerator not in ("auto", "cpu", "cuda", "mps") or (count and not count.isdigit()) or count == "0":
        raise BadOption(f"--run.devices {devices!r}: expected auto, cpu, cuda or mps, a number, or both as in cuda:4.")
    local, machines = processes()
    return accelerator, local or int(count or 1), machines


def open_arena(
    devices: str = "auto", precision: str = "auto", micro_batch: int | None = None, narrow: bool = True
) -> Arena:
    """Start the processes (through Lightning Fabric) and choose device and precision.

    Args:
        devices: "auto", "cpu", "cuda", "mps", each also with a count ("cuda:4", "cpu:2"), or a bare count.
        precision: "auto" (bf16 where processor and networks gain from it), "fp32" or "bf16".
        micro_batch: samples per process put through a network at once.
        narrow: whether the networks gain from bf16 (`Game.narrow`); "auto" keeps the others in fp32.
    """
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    accelerator, number, machines = requested(devices)
    try:
        strategy = "ddp" if number * machines > 1 else "auto"
        fabric = Fabric(accelerator=accelerator, devices=number, num_nodes=machines, strategy=strategy)
    except Exception as error:  # Fabric's own exception types differ between versions
        raise BadOption(f"--run.devices {devices!r} is not available on this machine: {error}") from error
    fabric.launch()
    if fabric.device.type == "cuda":
        torch.backends.cudnn.deterministic = True  # or a resumed run would not be the same run
    if precision == "auto":
        precision = "bf16" if narrow and has_bf16(fabric.device) else "fp32"
    return Arena(fabric.device, fabric.global_rank, fabric.world_size, precision, micro_batch, fabric)


def has_bf16(device: torch.device) -> bool:
    """Whether the processor has instructions for bf16 (not merely an emulation of it)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu":
        return False
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags
