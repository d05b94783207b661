"""Tiny trainings, healthy and ill, for the tests of the health check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from zerosum.core import discovery, randomness
from zerosum.core.latents import Normal
from zerosum.core.settings import to_json
from zerosum.data import load
from zerosum.data.encodings import PointEncoding
from zerosum.data.spec import Batch, Dataset, Spec
from zerosum.data.stores import MemoryStore
from zerosum.health.evidence import Evidence
from zerosum.health.monitor import Monitor
from zerosum.networks.families import MLP
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g, wasserstein_d, wasserstein_g
from zerosum.training import loop
from zerosum.training.batches import Batches
from zerosum.training.callback import Callback
from zerosum.training.game import Game
from zerosum.training.optimizers import SGD, Adam
from zerosum.training.player import Losses, Player
from zerosum.training.trackers import JsonLines

SMALL = MLP(hidden=64, layers=2)


def ring(n: int = 4000, std: float = 0.15, seed: int = 0) -> np.ndarray:
    """(n, 2): 8 Gaussians on the unit circle that overlap a little, so that a small network learns them in seconds."""
    random = np.random.default_rng(seed)
    angle = random.integers(8, size=n) * 2 * np.pi / 8
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) + std * random.standard_normal((n, 2))
    return points.astype(np.float32)


def dataset(train: np.ndarray, test: np.ndarray | None) -> Dataset:
    """Points with a split of one's own."""
    spec = Spec((2,), 0, "points")
    stores = [None if part is None else MemoryStore(torch.from_numpy(part)) for part in (train, test)]
    assert stores[0] is not None
    return Dataset("points", spec, PointEncoding(spec), stores[0], stores[1], "0" * 64, [])


def play(
    game: Game, data: Dataset, folder: Path, *, samples: int, snapshots: int = 10, on_illness: Any = "warn",
    facts: Any = None, callbacks: Sequence[Callback] = (),
) -> Monitor:  # fmt: skip
    """Train with a monitor; give it back."""
    monitor = Monitor(on_illness)
    run = loop.Run(samples=samples, save_every=samples // snapshots, on_illness=on_illness)
    watching = [JsonLines(), *callbacks, monitor]
    if facts is not None:
        loop.train(game, data, run, folder, watching, facts)
    else:  # a game that is no published system cannot be loaded by its name at the end
        with patch.object(loop.TrainedGenerator, "load", return_value=None):
            loop.train(game, data, run, folder, watching)
    return monitor


def train(system: str, data: np.ndarray | Dataset, folder: Path, **how: Any) -> Monitor:
    """Train a published system with small networks; settings of its Config may be among `how`."""
    own = {name: how.pop(name) for name in ("samples", "snapshots", "on_illness", "callbacks") if name in how}
    game_class: Any = discovery.game_class(system)
    config = replace(game_class.Config(), **{"networks": SMALL, "latent": 4, **how})
    loaded = load(data)
    randomness.reseed(0, "build")
    facts = {"system": system, "config": to_json(config)}
    return play(game_class(config, loaded.spec), loaded, folder, facts=facts, **own)


@dataclass(frozen=True)
class Config:
    """Of the games below, which are no published systems."""

    rounds: int = 100_000
    batch_size: int = 100


class Line(nn.Module):
    """A linear critic without a bias: f(x) = w . x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """(n, 2) -> (n,)."""
        return x @ self.weight


class Shift(nn.Module):
    """z moved by a learned vector."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor([2.0, 1.0]))

    def forward(self, z: Tensor) -> Tensor:
        """(n, 2) -> (n, 2)."""
        return z + self.place


class Bilinear(Game):
    """The Dirac-GAN with a Wasserstein loss and no penalty (Mescheder et al. 2018): it circles around the
    equilibrium."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        self.latent = Normal(2)
        self.G, self.D = Shift(), Line()
        self.critic = Player(self.D, optimizer=SGD(0.02, 0.0))
        self.generator = Player(self.G, optimizer=SGD(0.02, 0.0))

    def round(self, batches: Batches) -> None:
        """One step each."""
        batch = next(batches)
        self.critic.step(self.critic_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def critic_loss(self, batch: Batch) -> Losses:
        """D(G(z)) - D(x)."""
        return {"adversarial": wasserstein_d(self.D(batch["image"]), self.D(self.G(batch["z"])))}

    def generator_loss(self, batch: Batch) -> Losses:
        """-D(G(z))."""
        return {"adversarial": wasserstein_g(self.D(self.G(batch["z"])))}


class Memory(nn.Module):
    """Samples that are remembered, one of them for each z, all of them moved by a learned vector that stays small."""

    def __init__(self, samples: Tensor):
        super().__init__()
        self.register_buffer("samples", samples)
        self.place = nn.Parameter(torch.zeros(2))

    def forward(self, z: Tensor) -> Tensor:
        """(n, 1) -> (n, 2)."""
        index = (torch.special.ndtr(z[:, 0]) * len(self.samples)).long().clamp(max=len(self.samples) - 1)
        return self.samples[index] + self.place


class Remembering(Game):
    """A generator that gives back the samples in `memory`, and a discriminator that learns."""

    Config = Config
    memory = torch.zeros(1, 2)

    def build(self) -> None:
        """Networks and players."""
        self.latent = Normal(1)
        self.G, self.D = Memory(self.memory), MLP(hidden=64, layers=2).discriminator(self.spec)
        self.discriminator = Player(self.D, optimizer=Adam(1e-4))
        self.generator = Player(self.G, optimizer=SGD(1e-9, 0.0))

    def round(self, batches: Batches) -> None:
        """One step each."""
        batch = next(batches)
        self.discriminator.step(self.discriminator_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def discriminator_loss(self, batch: Batch) -> Losses:
        """-log D(x) - log(1 - D(G(z)))."""
        return {"adversarial": logistic_d(self.D(batch["image"]), self.D(self.G(batch["z"])))}

    def generator_loss(self, batch: Batch) -> Losses:
        """-log D(G(z))."""
        return {"adversarial": nonsaturating_g(self.D(self.G(batch["z"])))}


def evidence(**values: Any) -> Evidence:
    """Hand-made evidence: `values` are numbers or lists, one entry for each of as many snapshots; "floor" and the like
    as they are."""
    count = max((len(value) for value in values.values() if isinstance(value, list)), default=5)
    lines = []
    for index in range(count):
        here = {name: value[index] if isinstance(value, list) else value for name, value in values.items()}
        lines.append(
            {
                "kind": "scores",
                "samples": 1000 * (index + 1),
                **{k: here.pop(k) for k in ("floor", "missing") if k in here},
            }
        )
        lines.append({"kind": "health", "samples": 1000 * (index + 1), **here})
    return Evidence.of_lines(lines)


def ticks(name: str, values: list[float]) -> list[dict[str, Any]]:
    """Log lines of one value."""
    return [{"kind": "log", "samples": 100 * (index + 1), name: value} for index, value in enumerate(values)]
