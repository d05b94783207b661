"""Self-Attention Generative Adversarial Networks (Zhang et al. 2019), arXiv:1805.08318.

Residual networks in which one stage of G and of D attends to itself, so that distant parts of an image agree (section 3); spectral
normalisation in both (section 4.1) and a faster D instead of more steps of it (section 4.2). Class-conditional: D projects the label
onto its features, G's batch normalisation is looked up by class.

Deviations: batches of 64 rather than 256; samples come from a moving average of the generator (`--ema-half-life None`); images of 32 px
or less have attention at half their size.
"""

from __future__ import annotations

from dataclasses import dataclass

from zerosum.core.latents import Normal
from zerosum.data.spec import Batch
from zerosum.networks.families import ResNet
from zerosum.networks.shapes import classes_of
from zerosum.networks.spectral import normalise
from zerosum.objectives.adversarial import hinge_d, hinge_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of SAGAN."""

    rounds: int = 1_000_000
    """Rounds, each one step of D and one of G (table 1 is of a million)."""
    batch_size: int = 64
    """Samples a batch (the authors' program: 256)."""
    latent: int = 128
    """Components of z, standard normal (the authors' program)."""
    networks: ResNet = ResNet(generator_width=128, discriminator_width=128, attention=32, sum_pool=True)
    """Generator and discriminator; attention on the stage of 32 px (table 1: the best)."""
    discriminator_adam: Adam = Adam(4e-4, (0.0, 0.9))
    """D's optimizer (section 5)."""
    generator_adam: Adam = Adam(1e-4, (0.0, 0.9))
    """G's optimizer (section 5)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off, as in the paper."""


PRESETS = {
    "paper": Config(batch_size=256, ema_half_life=None),
}


class SAGAN(Game):
    """A Lipschitz-continuous D tells real from generated samples of a class by a margin; G raises D of its samples."""

    Config = Config
    conditional = True

    def build(self) -> None:
        """Networks and players."""
        config, classes = self.config, classes_of(self.spec, "sagan")
        self.latent = Normal(config.latent)
        self.G = normalise(config.networks.generator(self.spec, config.latent, classes))
        self.D = normalise(config.networks.discriminator(self.spec, classes))
        self.discriminator = Player(self.D, optimizer=config.discriminator_adam)
        self.generator = Player(self.G, optimizer=config.generator_adam, ema_half_life=config.ema_half_life)

    def round(self, batches: Batches) -> None:
        """One step of D, one of G."""
        batch = next(batches)
        self.discriminator.step(self.discriminator_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def discriminator_loss(self, batch: Batch) -> Losses:
        """max(0, 1 - D(x, y)) + max(0, 1 + D(G(z, y), y)) (equation 4)."""
        label = batch["label"]
        return {"adversarial": hinge_d(self.D(batch["image"], label), self.D(self.G(batch["z"], label), label))}

    def generator_loss(self, batch: Batch) -> Losses:
        """-D(G(z, y), y) (equation 4)."""
        label = batch["label"]
        return {"adversarial": hinge_g(self.D(self.G(batch["z"], label), label))}
