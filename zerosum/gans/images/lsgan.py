"""Least Squares Generative Adversarial Networks (Mao et al. 2017), arXiv:1611.04076.

D regresses real samples to 1 and generated ones to 0; G pulls its samples to 1 (equation 9). Samples on the right side of the decision
boundary but far from it still give a gradient, which the logistic loss does not.

Deviations: DCGAN's networks and learning rate, which fit any size, instead of the paper's for 112 x 112 px; samples come from a moving
average of the generator (`--ema-half-life None`).
"""

from __future__ import annotations

from dataclasses import dataclass

from zerosum.core.latents import Uniform
from zerosum.data.spec import Batch
from zerosum.networks.families import DCGAN, Networks
from zerosum.objectives.adversarial import least_squares_d, least_squares_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of LSGAN."""

    rounds: int = 100_000
    """Rounds, each one step of D and one of G (the authors' LSUN settings: a million)."""
    batch_size: int = 64
    """Samples a batch (the authors' LSUN settings)."""
    latent: int = 1024
    """Components of z, uniform in [-1, 1] (figure 3)."""
    fake_target: float = 0.0
    """What D is to say of generated samples, a (equation 9)."""
    real_target: float = 1.0
    """What D is to say of real samples, b (equation 9)."""
    generator_target: float = 1.0
    """What G wants D to say of generated samples, c (equation 9; equation 8: 0 with a = -1)."""
    networks: Networks = DCGAN()
    """Generator and discriminator (section 4; figure 3)."""
    adam: Adam = Adam(2e-4, (0.5, 0.999))
    """Both players' optimizer (section 4.1; the authors' LSUN settings: a learning rate of 1e-3)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off, as in the paper."""


PRESETS = {
    "pearson": Config(fake_target=-1.0, generator_target=0.0),
}


class LSGAN(Game):
    """D regresses samples to 1 or 0; G makes samples that D regresses to 1."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        self.latent = Uniform(config.latent)
        self.G = config.networks.generator(self.spec, config.latent)
        self.D = config.networks.discriminator(self.spec)
        self.undecided = (config.real_target + config.fake_target) / 2
        self.discriminator = Player(self.D, optimizer=config.adam)
        self.generator = Player(self.G, optimizer=config.adam, ema_half_life=config.ema_half_life)

    def round(self, batches: Batches) -> None:
        """One step of D, one of G."""
        batch = next(batches)
        self.discriminator.step(self.discriminator_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def discriminator_loss(self, batch: Batch) -> Losses:
        """1/2 (D(x) - b)^2 + 1/2 (D(G(z)) - a)^2 (equation 2)."""
        real, fake = self.D(batch["image"]), self.D(self.G(batch["z"]))
        return {"adversarial": least_squares_d(real, fake, self.config.real_target, self.config.fake_target)}

    def generator_loss(self, batch: Batch) -> Losses:
        """1/2 (D(G(z)) - c)^2 (equation 2)."""
        return {"adversarial": least_squares_g(self.D(self.G(batch["z"])), self.config.generator_target)}
