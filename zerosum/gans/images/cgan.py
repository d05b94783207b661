"""Conditional Generative Adversarial Nets (Mirza and Osindero 2014), arXiv:1411.1784.

Both networks are given the label: G makes a sample of the class it is asked for, D decides whether sample and label belong together
(equation 2).

Deviations: DCGAN's networks and Adam by default (the label joins z in G and becomes further channels in D); the preset `paper` has
fully connected networks of about the paper's size, a maxout discriminator with dropout and momentum SGD, without its decay of the
learning rate and growth of the momentum. G is asked for the labels of the real batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from zerosum.core.latents import Uniform
from zerosum.data.spec import Batch
from zerosum.networks.families import DCGAN, MLP, Networks
from zerosum.networks.shapes import classes_of
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import SGD, Adam
from zerosum.training.player import Losses, Player

Optimizer = Annotated[Adam, tyro.conf.subcommand("adam")] | Annotated[SGD, tyro.conf.subcommand("sgd")]


@dataclass(frozen=True)
class Config:
    """Settings of the conditional GAN."""

    rounds: int = 100_000
    """Rounds, each one step of D and one of G."""
    batch_size: int = 100
    """Samples a batch (section 4.1)."""
    latent: int = 100
    """Components of z, uniform in [-1, 1] (section 4.1: 100, uniform)."""
    networks: Networks = DCGAN()
    """Generator and discriminator (section 4.1: fully connected)."""
    optimizer: Optimizer = Adam(2e-4, (0.5, 0.999))
    """Both players' optimizer (section 4.1: SGD with a learning rate of 0.1 and a momentum of 0.5)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off, as in the paper."""


PRESETS = {
    "paper": Config(
        networks=MLP(hidden=1200, discriminator_hidden=240, layers=2, pieces=5, dropout=0.5),
        optimizer=SGD(0.1, 0.5),
        ema_half_life=None,
    ),
}


class CGAN(Game):
    """D tells real from generated samples of a class; G makes samples of a class that D takes for real."""

    Config = Config
    conditional = True

    def build(self) -> None:
        """Networks and players."""
        config, classes = self.config, classes_of(self.spec, "cgan")
        self.latent = Uniform(config.latent)
        self.G = config.networks.generator(self.spec, config.latent, classes)
        self.D = config.networks.discriminator(self.spec, classes)
        self.discriminator = Player(self.D, optimizer=config.optimizer)
        self.generator = Player(self.G, optimizer=config.optimizer, ema_half_life=config.ema_half_life)

    def round(self, batches: Batches) -> None:
        """One step of D, one of G."""
        batch = next(batches)
        self.discriminator.step(self.discriminator_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def discriminator_loss(self, batch: Batch) -> Losses:
        """-log D(x | y) - log(1 - D(G(z | y) | y)) (equation 2)."""
        label = batch["label"]
        return {"adversarial": logistic_d(self.D(batch["image"], label), self.D(self.G(batch["z"], label), label))}

    def generator_loss(self, batch: Batch) -> Losses:
        """-log D(G(z | y) | y)."""
        label = batch["label"]
        return {"adversarial": nonsaturating_g(self.D(self.G(batch["z"], label), label))}
