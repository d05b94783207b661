"""Spectral Normalization for Generative Adversarial Networks (Miyato et al. 2018), arXiv:1802.05957.

Every layer of D is divided by its largest singular value, found by one power iteration a step, so that D is Lipschitz-continuous
without a penalty (section 2). Hinge loss (equations 16 and 17), residual networks. With `conditional`, D projects the label onto its
features and G's batch normalisation is looked up by class (Miyato and Koyama 2018, arXiv:1802.05637, equation 3).

Deviations: G's steps use as many samples as D's (the authors' CIFAR-10 settings: 128); power iteration also takes place in G's
steps; samples come from a moving average of the generator (`--ema-half-life None`).
"""

from __future__ import annotations

from dataclasses import dataclass

from zerosum.core.latents import Normal
from zerosum.core.schedules import constant, linear_decay
from zerosum.data.spec import Batch
from zerosum.networks.families import Networks, ResNet
from zerosum.networks.shapes import classes_of
from zerosum.networks.spectral import normalise
from zerosum.objectives.adversarial import hinge_d, hinge_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of SNGAN."""

    rounds: int = 50_000
    """Rounds, each `discriminator_steps` steps of D and one of G (the authors' CIFAR-10 settings)."""
    batch_size: int = 64
    """Samples a batch (section 4.1)."""
    latent: int = 128
    """Components of z, standard normal (table 4)."""
    conditional: bool = False
    """Projection discriminator and class-conditional batch normalisation (Miyato and Koyama 2018)."""
    discriminator_steps: int = 5
    """Steps of D per step of G, n_dis (section 4.1; the authors' CIFAR-10 settings)."""
    networks: Networks = ResNet(generator_width=256, discriminator_width=128, sum_pool=True)
    """Generator and discriminator (table 4)."""
    adam: Adam = Adam(2e-4, (0.0, 0.9))
    """Both players' optimizer (the authors' CIFAR-10 settings)."""
    decay: bool = True
    """Whether the learning rate falls to 0 in a straight line (the authors' CIFAR-10 settings)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off, as in the paper."""


PRESETS = {
    "paper": Config(ema_half_life=None),
    "projection": Config(conditional=True),
}


class SNGAN(Game):
    """A Lipschitz-continuous D tells real from generated samples by a margin; G raises D of its samples."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        self.conditional = config.conditional
        classes = classes_of(self.spec, "sngan --conditional") if config.conditional else 0
        self.latent = Normal(config.latent)
        self.G = config.networks.generator(self.spec, config.latent, classes)
        self.D = normalise(config.networks.discriminator(self.spec, classes))
        rate = linear_decay() if config.decay else constant
        self.discriminator = Player(self.D, optimizer=config.adam, rate=rate)
        self.generator = Player(self.G, optimizer=config.adam, rate=rate, ema_half_life=config.ema_half_life)

    def round(self, batches: Batches) -> None:
        """n_dis steps of D, one of G."""
        for _ in range(self.config.discriminator_steps):
            self.discriminator.step(self.discriminator_loss, next(batches))
        self.generator.step(self.generator_loss, next(batches))

    def discriminator_loss(self, batch: Batch) -> Losses:
        """max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (equation 16)."""
        label = batch["label"] if self.conditional else None
        fake = self.G(batch["z"], label)
        return {"adversarial": hinge_d(self.D(batch["image"], label), self.D(fake, label))}

    def generator_loss(self, batch: Batch) -> Losses:
        """-D(G(z)) (equation 17)."""
        label = batch["label"] if self.conditional else None
        return {"adversarial": hinge_g(self.D(self.G(batch["z"], label), label))}
