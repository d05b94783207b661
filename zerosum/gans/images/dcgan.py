"""Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks (Radford et al. 2016), arXiv:1511.06434.

Strided convolutions instead of pooling, batch normalisation, Adam with a low beta1: the networks and settings that made GANs
trainable. The generator minimises -log D(G(z)), the non-saturating loss of Goodfellow et al. (2014).

Deviations: half the paper's width by default (64 channels at the finest stage; the paper's 128 is the preset `paper`);
batches of 32 rather than 128, with which the same minutes bring a better generator; samples come from a moving average
of the generator, which the paper does not have (`--ema-half-life None`); both players step at once (Algorithm 1 of the
first GAN takes turns), which saves a third of the forward passes through D.
"""

from __future__ import annotations

from dataclasses import dataclass

from zerosum.core.latents import Uniform
from zerosum.data.spec import Batch
from zerosum.networks.families import DCGAN as DCGANNetworks
from zerosum.networks.families import Networks
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player, simultaneously


@dataclass(frozen=True)
class Config:
    """Settings of DCGAN."""

    rounds: int = 100_000
    """Rounds, each one step of D and one of G."""
    batch_size: int = 32
    """Samples a batch (section 4: 128)."""
    latent: int = 100
    """Components of z, uniform in [-1, 1] (section 4)."""
    networks: Networks = DCGANNetworks()
    """Generator and discriminator (section 3)."""
    adam: Adam = Adam(2e-4, (0.5, 0.999))
    """Both players' optimizer (section 4)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off, as in the paper."""


PRESETS = {
    "paper": Config(batch_size=128, networks=DCGANNetworks(width=128), ema_half_life=None),
}


class DCGAN(Game):
    """D tells real from generated images; G makes images that D takes for real."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        self.latent = Uniform(config.latent)
        self.G = config.networks.generator(self.spec, config.latent)
        self.D = config.networks.discriminator(self.spec)
        self.discriminator = Player(self.D, optimizer=config.adam)
        # A ramp of 5 % of the samples, as elsewhere, averages over weights that still differ too much (CIFAR-10).
        self.generator = Player(self.G, optimizer=config.adam, ema_half_life=config.ema_half_life, ema_ramp=0.01)

    def round(self, batches: Batches) -> None:
        """One step of both at once: D reads the images of G once for the two."""
        simultaneously(self.losses, next(batches), self.generator, self.discriminator)

    def losses(self, batch: Batch) -> tuple[Losses, Losses]:
        """G: -log D(G(z)). D: -log D(x) - log(1 - D(G(z)))."""
        real, fake = self.D(batch["image"]), self.D(self.G(batch["z"]))
        return {"adversarial": nonsaturating_g(fake)}, {"adversarial": logistic_d(real, fake)}
