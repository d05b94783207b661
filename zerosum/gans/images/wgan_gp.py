"""Improved Training of Wasserstein GANs (Gulrajani et al. 2017), arXiv:1704.00028.

The critic estimates the Wasserstein distance; that its gradient has norm 1 between real and generated samples is asked of it by a
penalty instead of clipped weights. The networks are the residual ones of the paper's CIFAR-10 experiments.

Deviations: G's steps use as many samples as the critic's (the authors' CIFAR-10 program: twice as many); samples come from a moving
average of the generator (`--ema-half-life None`); above 32 px the networks are wider at each coarser stage, as in SNGAN.
"""

from __future__ import annotations

from dataclasses import dataclass

from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.core.schedules import constant, linear_decay
from zerosum.data.spec import Batch
from zerosum.networks.families import Networks, ResNet
from zerosum.objectives.adversarial import wasserstein_d, wasserstein_g
from zerosum.objectives.penalties import gradient_penalty, refuse_batch_norm
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of WGAN-GP."""

    rounds: int = 100_000
    """Rounds, each `critic_steps` steps of the critic and one of G (appendix F: 100,000 for CIFAR-10)."""
    batch_size: int = 64
    """Samples a batch, m (algorithm 1)."""
    latent: int = 128
    """Components of z, standard normal (table 3)."""
    critic_steps: int = 5
    """Steps of the critic per step of G, n_critic (algorithm 1)."""
    penalty: float = 10.0
    """Weight of the gradient penalty, lambda (algorithm 1)."""
    networks: Networks = ResNet(generator_width=128, discriminator_width=128)
    """Generator and critic, without batch normalisation in the critic (table 3)."""
    adam: Adam = Adam(2e-4, (0.0, 0.9))
    """Both players' optimizer (appendix F; algorithm 1: a learning rate of 1e-4)."""
    decay: bool = True
    """Whether the learning rate falls to 0 in a straight line (appendix F)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off, as in the paper."""


PRESETS = {
    "paper": Config(ema_half_life=None),
    "algorithm1": Config(adam=Adam(1e-4, (0.0, 0.9)), decay=False, ema_half_life=None),
}


class WGANGP(Game):
    """The critic estimates how far generated samples are from real ones; G brings them nearer."""

    Config = Config
    undecided = None

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        self.latent = Normal(config.latent)
        self.G = config.networks.generator(self.spec, config.latent)
        self.D = config.networks.discriminator(self.spec)
        refuse_batch_norm(self.D)
        rate = linear_decay() if config.decay else constant
        self.critic = Player(self.D, optimizer=config.adam, rate=rate)
        self.generator = Player(self.G, optimizer=config.adam, rate=rate, ema_half_life=config.ema_half_life)

    def noise(self) -> dict[str, Latent]:
        """z, and where between real and generated samples the penalty is taken, epsilon (algorithm 1, line 4)."""
        return {"z": self.latent, "mix": Uniform(1, 0.0, 1.0)}

    def round(self, batches: Batches) -> None:
        """n_critic steps of the critic, one of G (algorithm 1)."""
        for _ in range(self.config.critic_steps):
            self.critic.step(self.critic_loss, next(batches))
        self.generator.step(self.generator_loss, next(batches))

    def critic_loss(self, batch: Batch) -> Losses:
        """D(G(z)) - D(x) + lambda (||grad D(x^)|| - 1)^2 (equation 3)."""
        real, fake = batch["image"], self.G(batch["z"])
        return {
            "adversarial": wasserstein_d(self.D(real), self.D(fake)),
            "penalty": self.config.penalty * gradient_penalty(self.D, real, fake, batch["mix"]),
        }

    def generator_loss(self, batch: Batch) -> Losses:
        """-D(G(z))."""
        return {"adversarial": wasserstein_g(self.D(self.G(batch["z"])))}
