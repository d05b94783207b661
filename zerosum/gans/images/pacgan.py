"""PacGAN: The power of two samples in generative adversarial networks (Lin et al. 2018), arXiv:1712.04086.

D decides on `pack` samples together, all real or all generated, joined along the channels (section 2). A lack of variety, invisible
in one sample, shows in a pack; nothing else changes, so any GAN can be packed. Here DCGAN with the logistic loss is.

Deviations: a batch of n samples makes n / pack packs, so that all pack sizes see as many samples; the authors' programs draw
`pack` times as many. Half of DCGAN's width by default; samples come from a moving average (`--ema-half-life None`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.core.latents import Uniform
from zerosum.data.spec import Batch
from zerosum.networks.families import DCGAN, Networks
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of PacGAN."""

    rounds: int = 100_000
    """Rounds, each one step of D and one of G."""
    batch_size: int = 64
    """Samples a batch (the authors' stacked MNIST settings: 64 packs)."""
    pack: int = 2
    """Samples that D judges together, m (section 2; section 4 has 2, 3 and 4)."""
    latent: int = 100
    """Components of z, uniform in [-1, 1] (the authors' stacked MNIST settings)."""
    networks: Networks = DCGAN()
    """Generator and discriminator (section 4.2: DCGAN's)."""
    adam: Adam = Adam(2e-4, (0.5, 0.999))
    """Both players' optimizer (the authors' stacked MNIST settings)."""
    ema_half_life: float | None = 10_000.0
    """Half-life of the generator's moving average, in samples; None: off, as in the paper."""


def packed(x: Tensor, pack: int) -> Tensor:
    """(n, c, ...) -> (n / pack, pack * c, ...): neighbours in the batch share a pack.

    Raises:
        BadOption: n is no multiple of `pack`.
    """
    if len(x) % pack:
        raise BadOption(
            f"{len(x)} samples cannot be packed by {pack}: choose a --run.batch-size (and --run.micro-batch) "
            f"that is a multiple of {pack}."
        )
    return x.reshape(len(x) // pack, pack * x.shape[1], *x.shape[2:])


class PacGAN(Game):
    """D tells packs of real samples from packs of generated ones; G makes samples whose packs D takes for real."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        channels, *size = self.spec.shape
        self.latent = Uniform(config.latent)
        self.G = config.networks.generator(self.spec, config.latent)
        self.D = config.networks.discriminator(replace(self.spec, shape=(config.pack * channels, *size)))
        self.discriminator = Player(self.D, optimizer=config.adam)
        self.generator = Player(self.G, optimizer=config.adam, ema_half_life=config.ema_half_life)

    def round(self, batches: Batches) -> None:
        """One step of D, one of G."""
        batch = next(batches)
        self.discriminator.step(self.discriminator_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def judge(self, x: Tensor) -> Tensor:
        """Logits (n / pack,) of the packs of x (n, ...)."""
        return self.D(packed(x, self.config.pack))

    def discriminator_loss(self, batch: Batch) -> Losses:
        """-log D(x_1, ..., x_m) - log(1 - D(G(z_1), ..., G(z_m)))."""
        return {"adversarial": logistic_d(self.judge(batch["image"]), self.judge(self.G(batch["z"])))}

    def generator_loss(self, batch: Batch) -> Losses:
        """-log D(G(z_1), ..., G(z_m))."""
        return {"adversarial": nonsaturating_g(self.judge(self.G(batch["z"])))}

    def critique(self, batch: Batch) -> Tensor:
        """Each sample's logit (n,) is its pack's; the last pack is filled up with the first samples."""
        x, pack = batch["image"], self.config.pack
        missing = -len(x) % pack
        filled = torch.cat([x, *[x[:1]] * missing]) if missing > len(x) else torch.cat([x, x[:missing]])
        with torch.no_grad(), self.undisturbed(self.D), self.arena.autocast():
            return self.judge(filled).float().repeat_interleave(pack)[: len(x)]
