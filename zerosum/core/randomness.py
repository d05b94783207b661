"""Random numbers that depend on (seed, position) alone, so that nothing about them has to be saved."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch
from torch import Tensor


def derive(*parts: int | str) -> int:
    """A 63-bit seed from any sequence of integers and words; equal on every machine and in every process."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def reseed(*parts: int | str) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators from `parts`."""
    seed = derive(*parts)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # the same, without noting the calling stack for accelerators that are not there
        torch.default_generator.manual_seed(seed)


def generator(device: torch.device | str, *parts: int | str) -> torch.Generator:
    """A torch generator on `device`, seeded from `parts`."""
    return torch.Generator(device).manual_seed(derive(*parts))


def permutation(n: int, *parts: int | str) -> Tensor:
    """A permutation of range(n) as int64 on the CPU, seeded from `parts`."""
    return torch.randperm(n, generator=generator("cpu", *parts))
