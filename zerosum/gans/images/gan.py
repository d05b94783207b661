"""Generative Adversarial Nets (Goodfellow et al. 2014), arXiv:1406.2661.

The first GAN: two fully connected networks, D a maxout network with dropout. G minimises -log D(G(z)), which has the fixed point of
the minimax game but stronger gradients early on (section 3), or plays the minimax game itself.

Deviations: Adam and leaky ReLU by default, with which the same game trains faster and on any data; the preset `paper` has the
authors' MNIST settings (momentum SGD, maxout, dropout), without their decay of the learning rate and growth of the momentum. z is
normal; the paper leaves its distribution open. Images end in tanh instead of a sigmoid, because they lie in [-1, 1] here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from zerosum.core.latents import Normal
from zerosum.data.spec import Batch
from zerosum.networks.families import MLP, Networks
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g, saturating_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import SGD, Adam, RMSProp
from zerosum.training.player import Losses, Player

Optimizer = (
    Annotated[Adam, tyro.conf.subcommand("adam")]
    | Annotated[SGD, tyro.conf.subcommand("sgd")]
    | Annotated[RMSProp, tyro.conf.subcommand("rmsprop")]
)


@dataclass(frozen=True)
class Config:
    """Settings of the first GAN."""

    rounds: int = 100_000
    """Rounds, each `discriminator_steps` steps of D and one of G (algorithm 1)."""
    batch_size: int = 100
    """Samples a batch (the authors' MNIST settings)."""
    latent: int = 100
    """Components of z (the authors' MNIST settings)."""
    loss: Literal["non-saturating", "minimax"] = "non-saturating"
    """What G minimises: -log D(G(z)) (section 3), or log(1 - D(G(z))) (equation 1)."""
    discriminator_steps: int = 1
    """Steps of D per step of G, k (algorithm 1)."""
    networks: Networks = MLP(hidden=512, layers=3)
    """Generator and discriminator (section 5)."""
    optimizer: Optimizer = Adam(2e-4, (0.5, 0.999))
    """Both players' optimizer (algorithm 1: momentum)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off, as in the paper."""


PRESETS = {
    "paper": Config(
        networks=MLP(hidden=1200, discriminator_hidden=240, layers=2, pieces=5, dropout=0.5),
        optimizer=SGD(0.1, 0.5),
        ema_half_life=None,
    ),
}


class GAN(Game):
    """D tells real from generated samples; G makes samples that D takes for real."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        self.latent = Normal(config.latent)
        self.G = config.networks.generator(self.spec, config.latent)
        self.D = config.networks.discriminator(self.spec)
        self.discriminator = Player(self.D, optimizer=config.optimizer)
        self.generator = Player(self.G, optimizer=config.optimizer, ema_half_life=config.ema_half_life)

    def round(self, batches: Batches) -> None:
        """k steps of D, one of G (algorithm 1)."""
        for _ in range(self.config.discriminator_steps):
            batch = next(batches)
            self.discriminator.step(self.discriminator_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def discriminator_loss(self, batch: Batch) -> Losses:
        """-log D(x) - log(1 - D(G(z))) (equation 1)."""
        return {"adversarial": logistic_d(self.D(batch["image"]), self.D(self.G(batch["z"])))}

    def generator_loss(self, batch: Batch) -> Losses:
        """-log D(G(z)), or log(1 - D(G(z)))."""
        fake = self.D(self.G(batch["z"]))
        return {"adversarial": saturating_g(fake) if self.config.loss == "minimax" else nonsaturating_g(fake)}
