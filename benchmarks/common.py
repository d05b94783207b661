"""What all benchmarks share: describing the machine, and keeping results."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from zerosum.core.errors import BadOption

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """Processor, cores and versions, in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{model}, {os.cpu_count()} cores{gpu}; torch {torch.__version__}, Python {platform.python_version()}"


def keep(name: str, rows: list[dict[str, Any]]) -> Path:
    """Write benchmarks/results/<name>.json and return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps([{"hardware": machine(), **row} for row in rows], indent=2) + "\n")
    return path


def real_data(name: str) -> Path:
    """A data set of the folder that ZEROSUM_DATA names."""
    folder = os.environ.get("ZEROSUM_DATA")
    if not folder:
        raise BadOption("set ZEROSUM_DATA to the folder that holds mnist/mnist.npz and cifar10/cifar10_jpeg.parquet.")
    return Path(folder) / {"mnist": "mnist/mnist.npz", "cifar10": "cifar10/cifar10_jpeg.parquet"}[name]
