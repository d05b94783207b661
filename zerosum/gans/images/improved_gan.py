"""Improved Techniques for Training GANs (Salimans et al. 2016), arXiv:1606.03498.

Three of its techniques on DCGAN, each of which can be switched off: minibatch discrimination, by which D sees when samples are too much
alike (section 3.2); one-sided label smoothing (section 3.4); feature matching, by which G matches the mean of D's features instead of
fooling D (section 3.1, off by default: the paper prefers it for semi-supervised learning, minibatch discrimination for samples).

Deviations: historical averaging, virtual batch normalisation and the semi-supervised classifier are left out; closeness is a mean over
the batch rather than a sum. Minibatch discrimination and feature matching compare the samples of a batch, so here micro-batches are not
equal to the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from zerosum.core.latents import Uniform
from zerosum.data.spec import Batch
from zerosum.networks.families import DCGAN, Networks
from zerosum.networks.minibatch import Comparing
from zerosum.objectives.adversarial import feature_matching, logistic_d, nonsaturating_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of the improved techniques."""

    rounds: int = 100_000
    """Rounds, each one step of D and one of G."""
    batch_size: int = 64
    """Samples a batch."""
    latent: int = 100
    """Components of z, uniform in [-1, 1]."""
    feature_matching: bool = False
    """G matches the mean of D's features (section 3.1)."""
    minibatch_discrimination: bool = True
    """D compares the samples of a batch (section 3.2)."""
    kernels: int = 100
    """Features of that comparison, B (section 3.2)."""
    kernel_size: int = 5
    """Dimensions in which each of them compares, C (section 3.2)."""
    smoothing: float = 0.9
    """Target of D for real samples, alpha (section 3.4); 1: no smoothing."""
    networks: Networks = DCGAN()
    """Generator and discriminator."""
    adam: Adam = Adam(2e-4, (0.5, 0.999))
    """Both players' optimizer."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off."""


PRESETS = {
    "feature-matching": Config(feature_matching=True, minibatch_discrimination=False),
}


class ImprovedGAN(Game):
    """D tells real from generated samples, comparing those of a batch; G makes samples that D takes for real."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        self.latent = Uniform(config.latent)
        self.G = config.networks.generator(self.spec, config.latent)
        self.D = config.networks.discriminator(self.spec)
        if config.minibatch_discrimination:
            self.D = Comparing(self.D, config.kernels, config.kernel_size)
        self.discriminator = Player(self.D, optimizer=config.adam)
        self.generator = Player(self.G, optimizer=config.adam, ema_half_life=config.ema_half_life)

    def round(self, batches: Batches) -> None:
        """One step of D, one of G."""
        batch = next(batches)
        self.discriminator.step(self.discriminator_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def discriminator_loss(self, batch: Batch) -> Losses:
        """-alpha log D(x) - (1 - alpha) log(1 - D(x)) - log(1 - D(G(z))) (section 3.4)."""
        real, fake = self.D(batch["image"]), self.D(self.G(batch["z"]))
        return {"adversarial": logistic_d(real, fake, self.config.smoothing)}

    def generator_loss(self, batch: Batch) -> Losses:
        """||E f(x) - E f(G(z))||^2 for D's features f (section 3.1), or -log D(G(z))."""
        fake = self.G(batch["z"])
        if self.config.feature_matching:
            real, fake = self.augment(batch["image"]), self.augment(fake)
            return {"features": feature_matching(self.D.features(real), self.D.features(fake))}
        return {"adversarial": nonsaturating_g(self.D(fake))}
