"""Latent distributions: what is drawn anew for each sample. Each is a frozen dataclass that can be written as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Normal:
    """Standard normal vectors of `size` components."""

    size: int

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, size) float32 on the generator's device."""
        return torch.randn(n, self.size, generator=generator, device=generator.device)


@dataclass(frozen=True)
class Uniform:
    """Vectors of `size` components, uniform in [low, high)."""

    size: int
    low: float = -1.0
    high: float = 1.0

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, size) float32 on the generator's device."""
        return (
            torch.rand(n, self.size, generator=generator, device=generator.device) * (self.high - self.low) + self.low
        )


@dataclass(frozen=True)
class Categorical:
    """One-hot vectors over `size` equally likely classes."""

    size: int

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, size) float32 on the generator's device."""
        index = torch.randint(self.size, (n,), generator=generator, device=generator.device)
        return F.one_hot(index, self.size).float()


@dataclass(frozen=True)
class Joined:
    """Several independent latents, concatenated (InfoGAN's noise and codes)."""

    parts: tuple[Normal | Uniform | Categorical, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, size) float32 on the generator's device."""
        return torch.cat([part.draw(n, generator) for part in self.parts], dim=1)


Latent = Normal | Uniform | Categorical | Joined


def to_json(latent: Latent) -> dict[str, Any]:
    """The latent as plain JSON."""
    if isinstance(latent, Joined):
        return {"kind": "Joined", "parts": [to_json(part) for part in latent.parts]}
    return {"kind": type(latent).__name__, **asdict(latent)}
