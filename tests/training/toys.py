"""A game of two phases on points, small enough for hundreds of rounds a second, and the data it is played on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zerosum.core.latents import Normal
from zerosum.data import load
from zerosum.data.spec import Batch, Dataset
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches
from zerosum.training.callback import Callback
from zerosum.training.game import Game, Phase
from zerosum.training.loop import Run, Training, train
from zerosum.training.optimizers import SGD, Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of the toy."""

    rounds: int = 6
    batch_size: int = 8
    norm: bool = True
    """Batch normalisation in both networks."""
    sgd: bool = False
    ill: int | None = None
    """The round from which on losses are NaN at the full learning rate."""
    ill_below: float = 0.0
    """... and at rates above this factor."""


def network(inputs: int, outputs: int, norm: bool) -> nn.Sequential:
    """Two layers, with batch normalisation between them if `norm`."""
    middle = [nn.BatchNorm1d(12)] if norm else []
    return nn.Sequential(nn.Linear(inputs, 12), *middle, nn.LeakyReLU(0.2), nn.Linear(12, outputs))


class Toy(Game):
    """Two phases: D alone, then both; entering the second one shifts G's last bias and clears D's memory."""

    Config = Config

    def build(self) -> None:
        self.latent = Normal(4)
        self.G, self.D = network(4, 2, self.config.norm), network(2, 1, self.config.norm)
        adam = SGD(0.05) if self.config.sgd else Adam(1e-2, (0.5, 0.99))
        self.discriminator = Player(self.D, optimizer=adam)
        self.generator = Player(self.G, optimizer=adam, ema_half_life=30.0)

    def phases(self) -> list[Phase]:
        first = self.config.rounds // 2
        return [
            Phase("alone", first, self.alone, batch_size=4),
            Phase("both", self.config.rounds - first, self.round, enter=self.shift),
        ]

    def shift(self) -> None:
        self.discriminator.reset()
        self.G[-1].bias.add_(0.5)

    def alone(self, batches: Batches) -> None:
        self.discriminator.step(self.discriminator_loss, next(batches))

    def round(self, batches: Batches) -> None:
        self.discriminator.step(self.discriminator_loss, next(batches))
        self.generator.step(self.generator_loss, next(batches))

    def discriminator_loss(self, batch: Batch) -> Losses:
        loss = logistic_d(self.D(batch["image"]).flatten(), self.D(self.G(batch["z"])).flatten())
        ill = self.config.ill is not None and self.rounds >= self.config.ill and self.arena.rate > self.config.ill_below
        return {"adversarial": loss * float("nan") if ill else loss}

    def generator_loss(self, batch: Batch) -> Losses:
        fake = self.G(batch["z"])
        return {"adversarial": nonsaturating_g(self.D(fake).flatten()), "fake": fake}


def points(n: int = 50) -> Dataset:
    """n points in two clusters."""
    random = np.random.default_rng(0)
    where = random.integers(2, size=(n, 1)) * 2.0 - 1.0
    return load((where + 0.1 * random.standard_normal((n, 2))).astype(np.float32))


def toy(arena: Arena | None = None, seed: int = 0, **settings: Any) -> Toy:
    """A fresh game; seated if an arena is given."""
    torch.manual_seed(seed)
    data = points()
    game = Toy(Config(**settings), data.spec)
    if arena is not None:
        game.seat(arena)
    return game


def batches(game: Game, arena: Arena, batch_size: int = 8, data: Dataset | None = None) -> Batches:
    """A stream for `game`."""
    store = (data or points()).train
    return Batches(store, batch_size=batch_size, noise=game.noise(), seed=(0, 0), arena=arena)


def state(game: Game) -> dict[str, torch.Tensor]:
    """Copies of everything that a game keeps, optimizers included."""
    kept = {name: value.clone() for name, value in game.state_dict().items()}
    for name, player in game.players.items():
        for index, memory in player.memory()["state"].items():
            kept |= {f"{name}.{index}.{key}": v.clone() for key, v in memory.items() if isinstance(v, torch.Tensor)}
    return kept


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two states are equal, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Lines(Callback):
    """Keeps every line in memory."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.closed = 0

    def note(self, training: Training, line: dict[str, Any]) -> None:
        self.lines.append(line)

    def close(self, training: Training) -> None:
        self.closed += 1

    @property
    def events(self) -> list[str]:
        """The texts of the events."""
        return [line["event"] for line in self.lines if line["kind"] == "event"]


def play(
    folder: Path, *callbacks: Callback, run: Run | None = None, data: Dataset | None = None, **settings: Any
) -> Toy:
    """Train a toy in `folder` (from its checkpoint, if it has one) and return the game."""
    game = toy(**settings)
    run = replace(run or Run(save_every=16), folder=folder)
    train(game, data or points(), run, folder, callbacks, {"system": "toy", "config": {}})
    return game
