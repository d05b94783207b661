"""Large Scale GAN Training for High Fidelity Natural Image Synthesis (Brock et al. 2019), arXiv:1809.11096.

SAGAN made wide and trained in large batches (section 3): one class embedding for all layers, pieces of z for every
block, orthogonal initialisation and regularisation; images become more typical and less varied by truncating z
(section 3.1).

Deviations: settings that the paper leaves open are those of the authors' PyTorch program: the first layer sees its
piece of z alone, without the class; batch statistics are those of each process, not of all. The average of G's weights
has a half-life that grows with training instead of a start at 20,000 iterations.
Truncation t stands for the normal distribution cut off so that its standard deviation is t: thresholds of 2, 1 and 0.5
(figure 2) are truncations of 0.88, 0.54 and 0.28. Values are moved by their rank instead of being drawn again, so that a
seed keeps its image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.core.latents import Normal
from zerosum.data.spec import Batch
from zerosum.networks import biggan
from zerosum.networks.shapes import classes_of, image_size
from zerosum.objectives.adversarial import hinge_d, hinge_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.generator import Given, TrainedGenerator
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of BigGAN; by default those for ImageNet at 128 px (section 3, appendix C)."""

    rounds: int = 150_000
    """Rounds, each `discriminator_steps` steps of D and one of G (the authors' program)."""
    batch_size: int = 2048
    """Samples a batch (section 3)."""
    latent: int = 120
    """Components of z, standard normal (appendix B)."""
    width: int = 96
    """Channels of both networks are multiples of it, ch (section 3)."""
    embedding: int | None = 128
    """Components of the class embedding that G's layers share (section 3); None: each has a table of its own."""
    hierarchical: bool = True
    """Whether every block of G gets a piece of z (section 3)."""
    attention: int | None = 64
    """Pixels of the stage at which G and D attend to themselves (appendix B); images without it have none; None: off."""
    deviation: float | None = None
    """Standard deviation of normal initial weights; None: orthogonal ones (section 3)."""
    orthogonal: float | None = 1e-4
    """Weight of orthogonal regularisation in G, beta (section 3.1); None: off."""
    discriminator_steps: int = 2
    """Steps of D per step of G (section 3)."""
    discriminator_adam: Adam = Adam(2e-4, (0.0, 0.999))
    """D's optimizer (appendix C)."""
    generator_adam: Adam = Adam(5e-5, (0.0, 0.999))
    """G's optimizer (appendix C)."""
    ema_half_life: float | None = 14_200_000.0
    """Half-life of the generator's moving average, in samples (a decay of 0.9999 a batch of 2048); None: off."""


PRESETS = {
    "laptop":      Config( 50_000,   32,  64, 16,   64, attention=16, discriminator_steps=1,
                         discriminator_adam=Adam(4e-4, (0.0, 0.999)), generator_adam=Adam(1e-4, (0.0, 0.999)),
                         ema_half_life=10_000.0),
    "cifar10":     Config(125_000,   50, 128, 64, None, hierarchical=False, attention=None, deviation=0.02,
                         orthogonal=None, discriminator_steps=4, discriminator_adam=Adam(2e-4, (0.0, 0.999)),
                         generator_adam=Adam(2e-4, (0.0, 0.999)), ema_half_life=346_600.0),
    "imagenet128": Config(),
    "imagenet256": Config(150_000, 2048, 140, 96,  128),
}  # fmt: skip


class BigGAN(Game):
    """D tells real from generated samples of a class by a margin; G raises D of its samples."""

    Config = Config
    conditional = True

    def build(self) -> None:
        """Networks and players."""
        config, shape, classes = self.config, image_size(self.spec), classes_of(self.spec, "biggan")
        self.latent = Normal(config.latent)
        self.G = biggan.Generator(
            config.latent, shape, classes, width=config.width, embedding=config.embedding,
            hierarchical=config.hierarchical, attention=config.attention, deviation=config.deviation,
        )  # fmt: skip
        self.D = biggan.Discriminator(
            shape, classes, width=config.width, attention=config.attention, deviation=config.deviation
        )
        self.discriminator = Player(self.D, optimizer=config.discriminator_adam)
        self.generator = Player(self.G, optimizer=config.generator_adam, ema_half_life=config.ema_half_life)

    def trained(self) -> Truncatable:
        """The moving average of G, truncated by rank."""
        return Truncatable(self.averaged(self.G), self.latent, self.spec, conditional=True)

    def round(self, batches: Batches) -> None:
        """Several steps of D, one of G (section 3)."""
        for _ in range(self.config.discriminator_steps):
            self.discriminator.step(self.discriminator_loss, next(batches))
        self.generator.step(self.generator_loss, next(batches))

    def discriminator_loss(self, batch: Batch) -> Losses:
        """max(0, 1 - D(x, y)) + max(0, 1 + D(G(z, y), y))."""
        label = batch["label"]
        both = torch.cat([batch["image"], self.G(batch["z"], label)])
        real, fake = self.D(both, torch.cat([label, label])).chunk(2)
        return {"adversarial": hinge_d(real, fake)}

    def generator_loss(self, batch: Batch) -> Losses:
        """-D(G(z, y), y) + beta ||W W^T . (1 - I)||_F^2 (equation 3)."""
        label = batch["label"]
        terms = {"adversarial": hinge_g(self.D(self.G(batch["z"], label), label))}
        if self.config.orthogonal is not None:
            terms["orthogonal"] = self.config.orthogonal * biggan.orthogonality(self.G)
        return terms


class Truncatable(TrainedGenerator):
    """A generator whose z can be cut off (section 3.1)."""

    def map(self, z: Tensor, given: Given | None = None, truncation: float = 1.0) -> Tensor:
        """z (n, latent.size) as if drawn from the truncated normal distribution of standard deviation `truncation`.

        Each value keeps its rank: what was at the 70th percentile of the one distribution is at that of the other.

        Raises:
            BadOption: truncation is not between 0 (all of z is 0) and 1 (none is cut off).
        """
        if truncation == 1.0:
            return z
        limit = threshold(truncation) if truncation else 0.0
        within = math.erf(limit / math.sqrt(2.0))
        return (math.sqrt(2.0) * torch.erfinv(torch.erf(z / math.sqrt(2.0)) * within)).clamp(-limit, limit)


def threshold(deviation: float) -> float:
    """Where to cut a standard normal distribution off on both sides so that its standard deviation is `deviation`."""
    if not 0.0 < deviation < 1.0:
        raise BadOption(f"truncation {deviation:g}: BigGAN's is between 0 (the mean alone) and 1 (off).")
    low, high = 0.0, 8.0
    for _ in range(60):
        t = (low + high) / 2
        inside, density = math.erf(t / math.sqrt(2.0)), math.exp(-t * t / 2) / math.sqrt(2.0 * math.pi)
        # Variance of the normal distribution between -t and t.
        low, high = (t, high) if 1.0 - 2.0 * t * density / inside < deviation**2 else (low, t)
    return high
