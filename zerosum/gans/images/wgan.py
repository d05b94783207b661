"""Wasserstein GAN (Arjovsky et al. 2017), arXiv:1701.07875.

The critic estimates the Wasserstein distance between real and generated samples; that it be Lipschitz-continuous is enforced by
clipping its weights after each step (algorithm 1). Several steps of the critic for each of G keep the estimate good.

Deviations: half of DCGAN's width by default; samples come from a moving average of the generator (`--ema-half-life None`). The preset
`authors` has the 100 steps of the critic in each of the first 25 rounds and every 500th that their program takes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zerosum.core.latents import Normal
from zerosum.data.spec import Batch
from zerosum.networks.families import DCGAN, Networks
from zerosum.objectives.adversarial import wasserstein_d, wasserstein_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import RMSProp
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of WGAN."""

    rounds: int = 100_000
    """Rounds, each `critic_steps` steps of the critic and one of G."""
    batch_size: int = 64
    """Samples a batch, m (algorithm 1)."""
    latent: int = 100
    """Components of z, standard normal (the authors' program)."""
    critic_steps: int = 5
    """Steps of the critic per step of G, n_critic (algorithm 1)."""
    many_steps: int | None = None
    """Steps of the critic in the first 25 rounds and every 500th (the authors' program: 100); None: never more than the others."""
    clip: float = 0.01
    """Largest weight of the critic, c (algorithm 1)."""
    networks: Networks = DCGAN()
    """Generator and critic (section 4.1: DCGAN's)."""
    rmsprop: RMSProp = RMSProp(5e-5)
    """Both players' optimizer (algorithm 1; section 4.3: momentum makes the critic unstable)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off, as in the paper."""


PRESETS = {
    "authors": Config(many_steps=100, ema_half_life=None),
}


class WGAN(Game):
    """The critic estimates how far generated samples are from real ones; G brings them nearer."""

    Config = Config
    undecided = None

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        self.latent = Normal(config.latent)
        self.G = config.networks.generator(self.spec, config.latent)
        self.D = config.networks.discriminator(self.spec)
        self.critic = Player(self.D, optimizer=config.rmsprop)
        self.generator = Player(self.G, optimizer=config.rmsprop, ema_half_life=config.ema_half_life)

    def round(self, batches: Batches) -> None:
        """n_critic steps of the critic, one of G (algorithm 1)."""
        many = self.config.many_steps is not None and (self.rounds < 25 or self.rounds % 500 == 0)
        for _ in range(self.config.many_steps if many else self.config.critic_steps):
            self.critic.step(self.critic_loss, next(batches))
            self.clip()
        self.generator.step(self.generator_loss, next(batches))

    @torch.no_grad()
    def clip(self) -> None:
        """Clip the weights to c (algorithm 1, line 7)."""
        for weight in self.D.parameters():
            weight.clamp_(-self.config.clip, self.config.clip)

    def critic_loss(self, batch: Batch) -> Losses:
        """D(G(z)) - D(x) (algorithm 1, line 5)."""
        return {"adversarial": wasserstein_d(self.D(batch["image"]), self.D(self.G(batch["z"])))}

    def generator_loss(self, batch: Batch) -> Losses:
        """-D(G(z)) (algorithm 1, line 10)."""
        return {"adversarial": wasserstein_g(self.D(self.G(batch["z"])))}
