"""The GAN is dead; long live the GAN! A Modern GAN Baseline (Huang et al. 2024), arXiv:2501.05441.

The objective of the paper alone, for any family of networks: D judges each real sample against a generated one (relativistic pairing,
equation 2), which leaves no state of dropped modes to get stuck in, and zero-centred gradient penalties on real and on generated
samples (R1 and R2, equation 3), with which training converges (section 2).

Deviations: the networks are DCGAN's without batch normalisation, not the paper's; gamma is chosen by the number of pixels where it is
"auto"; augmentation is a choice of the run. Learning rate and gamma fall along a cosine until the end of training, in the paper for a
set number of samples. `lazy` takes the penalties every k rounds as StyleGAN2 does (the paper: every round).
"""

from __future__ import annotations

from dataclasses import dataclass

from zerosum.core.latents import Normal
from zerosum.core.schedules import cosine
from zerosum.core.settings import Auto
from zerosum.data.spec import Batch
from zerosum.networks.families import DCGAN, Networks
from zerosum.networks.shapes import classes_of
from zerosum.objectives.adversarial import relativistic_d, relativistic_g
from zerosum.objectives.penalties import r1, r2, refuse_batch_norm
from zerosum.training.automatic import relativistic_gamma
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of RpGAN with R1 and R2."""

    rounds: int = 100_000
    """Rounds, each one step of D and one of G."""
    batch_size: int = 64
    """Samples a batch (the paper's settings: 256 and more)."""
    latent: int = 64
    """Components of z, standard normal (the paper's settings)."""
    conditional: bool = False
    """Whether generator and discriminator are given the label."""
    gamma: float | Auto = "auto"
    """Weight of R1 and R2 at the start (equation 3); auto: pixels / 64^2 (0.1 for points)."""
    gamma_end: float = 0.1
    """Share of gamma at the end (the paper's settings: a tenth)."""
    rate_end: float = 0.25
    """Share of the learning rate at the end (the paper's settings: 2e-4 to 5e-5)."""
    lazy: int | None = None
    """Take the penalties in every so many rounds only, in a step of their own; None: always, as in the paper."""
    networks: Networks = DCGAN(batch_norm=False, discriminator_norm=False)
    """Generator and discriminator; none of them normalises over the batch (section 3)."""
    adam: Adam = Adam(2e-4, (0.0, 0.99))
    """Both players' optimizer (the paper's settings)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off (the paper's settings: up to 0.5 million)."""


class RpGAN(Game):
    """D tells which of two samples is the real one; G makes the generated one look more real."""

    Config = Config
    undecided = None

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        self.conditional = config.conditional
        classes = classes_of(self.spec, "rpgan --conditional") if config.conditional else 0
        self.gamma = self.choose("gamma", config.gamma, *relativistic_gamma(self.spec))
        self.latent = Normal(config.latent)
        self.G = config.networks.generator(self.spec, config.latent, classes)
        self.D = config.networks.discriminator(self.spec, classes)
        refuse_batch_norm(self.D)
        rate = cosine(config.rate_end)
        self.discriminator = Player(self.D, optimizer=config.adam, rate=rate, lazy=config.lazy)
        self.generator = Player(self.G, optimizer=config.adam, rate=rate, ema_half_life=config.ema_half_life)

    def round(self, batches: Batches) -> None:
        """One step of D, one of G against the same real samples."""
        batch, lazy = next(batches), self.config.lazy
        if lazy is None:
            self.discriminator.step(lambda piece: self.discriminator_loss(piece) | self.penalties(piece), batch)
        else:
            self.discriminator.step(self.discriminator_loss, batch)
            if self.rounds % lazy == 0:
                self.discriminator.step(self.penalties, batch, gain=float(lazy))
        self.generator.step(self.generator_loss, batch)

    def discriminator_loss(self, batch: Batch) -> Losses:
        """f(D(G(z)) - D(x)) with f(t) = log(1 + e^t) (equation 2)."""
        label = batch["label"] if self.conditional else None
        fake = self.G(batch["z"], label)
        return {"adversarial": relativistic_d(self.D(batch["image"], label), self.D(fake, label))}

    def penalties(self, batch: Batch) -> Losses:
        """gamma/2 ||grad D(x)||^2 + gamma/2 ||grad D(G(z))||^2 (equation 3)."""
        label = batch["label"] if self.conditional else None
        gamma = self.gamma * cosine(self.config.gamma_end)(self.arena.progress)
        fake = self.G(batch["z"], label)
        return {
            "r1": gamma * r1(lambda x: self.D(x, label), batch["image"]),
            "r2": gamma * r2(lambda x: self.D(x, label), fake),
        }

    def generator_loss(self, batch: Batch) -> Losses:
        """f(D(x) - D(G(z)))."""
        label = batch["label"] if self.conditional else None
        fake = self.D(self.G(batch["z"], label), label)
        return {"adversarial": relativistic_g(self.D(batch["image"], label), fake)}
