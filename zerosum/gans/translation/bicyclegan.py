"""Toward Multimodal Image-to-Image Translation (Zhu et al. 2017), arXiv:1711.11586.

One source has many answers, and z says which. Two cycles tie z and the answer together (figure 2): E reads z off the
true image, and G makes that image of the source and z again (cVAE-GAN, section 3.2); G makes an image of a random z,
and E reads that z off it again (cLR-GAN, section 3.3). Each cycle has a discriminator of its own, at two scales; it
sees the image without its source (section 4).

Deviations: all players step at once, from the same weights, so that each image is made once; both cycles take the whole
batch; the U-Net is as deep as the resolution allows, 8 halvings at most, and normalises by instances, as the authors'
code does; images are enlarged, cropped and mirrored as in pix2pix, with which it is compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.core.schedules import linear_decay
from zerosum.data.spec import Batch
from zerosum.networks.encoder import Encoder
from zerosum.networks.patch import MultiScale
from zerosum.networks.shapes import image_size
from zerosum.networks.translator import InstanceNorm
from zerosum.networks.unet import UNet
from zerosum.objectives.adversarial import least_squares_d, least_squares_g
from zerosum.objectives.jitter import DRAWS, jitter
from zerosum.training.batches import Batches
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player, fixed, simultaneously
from zerosum.training.translation import Translation, source_of
from zerosum.training.translator import Translator


@dataclass(frozen=True)
class Config:
    """Settings of BicycleGAN."""

    rounds: int = 80_000
    """Rounds, each one step of all networks (200 epochs of the 400 facades, as pix2pix)."""
    batch_size: int = 1
    """Samples a batch (section 4)."""
    latent: int = 8
    """Components of z (section 4)."""
    width: int = 64
    """Channels of the generator's first layer."""
    discriminator_width: int = 64
    """Channels of the discriminators' first layers."""
    encoder_width: int = 64
    """Channels of the encoder's first layer."""
    depth: int | None = None
    """Halvings of the U-Net; None: down to a single pixel, 8 at most."""
    discriminator_layers: int = 3
    """Halvings of each discriminator: 3 make patches of 70 pixels, and 140 at the other scale (section 4)."""
    scales: int = 2
    """Scales that images are judged at (section 4)."""
    l1: float = 10.0
    """Weight of the L1 term, lambda_image (section 4)."""
    latent_l1: float = 0.5
    """Weight of the distance of z from what E reads, lambda_latent (section 4)."""
    kl: float = 0.01
    """Weight of the divergence of what E reads from z's distribution, lambda_KL (section 4)."""
    jitter: float = 286 / 256
    """Enlargement before the random crop; 1: none."""
    mirror: bool = True
    """Mirror half of the pairs."""
    constant: float = 0.5
    """Share of the training after which the learning rate begins to fall to 0, in a straight line."""
    adam: Adam = Adam(2e-4, (0.5, 0.999))
    """All players' optimizer (section 4 gives the rate)."""


PRESETS = {
    #                 rounds  batch  z  width  D   E
    "laptop": Config( 20_000,     4, 8, 32,   32, 32),
}  # fmt: skip


class BicycleGAN(Translation):
    """D tells true images from G's; G makes of a source and z what E reads as z again; E says which z an image has."""

    Config = Config
    undecided = 0.5

    def build(self) -> None:
        """Networks and players."""
        config, shape = self.config, image_size(self.spec)
        self.latent = Normal(config.latent)
        self.source = source_of(self.spec, "bicyclegan", paired=True)
        depth = config.depth or max(min(math.ceil(math.log2(min(shape[1:]))), 8), 2)
        self.G = UNet(self.source, shape, width=config.width, depth=depth, norm=InstanceNorm, latent=config.latent)
        self.E = Encoder(shape, config.latent, width=config.encoder_width)
        # Of images of random z, which are those that are made after training, and of images of encoded z.
        self.D, self.D_encoded = (self.judge(shape[0]) for _ in range(2))
        rate = linear_decay(config.constant)
        self.generator = Player(self.G, self.E, optimizer=config.adam, rate=rate)
        self.discriminator = Player(self.D, self.D_encoded, optimizer=config.adam, rate=rate)

    def judge(self, channels: int) -> MultiScale:
        """A discriminator."""
        config = self.config
        return MultiScale(
            channels, scales=config.scales, width=config.discriminator_width, layers=config.discriminator_layers,
            norm=InstanceNorm,
        )  # fmt: skip

    def noise(self) -> dict[str, Latent]:
        """z; what is drawn of E's distribution; where a sample is cropped."""
        return {"z": self.latent, "drawn": self.latent, "jitter": Uniform(DRAWS, 0.0, 1.0)}

    def round(self, batches: Batches) -> None:
        """One step of all at once, on cropped and mirrored pairs."""
        batch, config = next(batches), self.config
        pair = jitter((batch["source"], batch["image"]), batch["jitter"], config.jitter, config.mirror)
        batch |= dict(zip(("source", "image"), pair, strict=True))
        simultaneously(self.losses, batch, self.generator, self.discriminator)

    def losses(self, batch: Batch) -> tuple[Losses, Losses]:
        """G and E: (D(fake) - 1)^2 of both discriminators, lambda_1 |B - G(A, E(B))|, lambda_latent |z - E(G(A, z))|,
        lambda_KL KL(E(B) || N(0, 1)); of the third term E learns nothing. D: the squares of both (equation 9, with the
        squares of section 4).
        """
        config, source, image = self.config, batch["source"], batch["image"]
        mean, log_variance = self.E(image)
        encoded = mean + (0.5 * log_variance).exp() * batch["drawn"]
        again, made = self.G(source, encoded), self.G(source, batch["z"])
        read, _ = fixed(self.E)(made)
        critics = (self.D_encoded, again), (self.D, made)
        judged = [(D(image), D(fake)) for D, fake in critics]
        g = {
            "adversarial": 2 * total([least_squares_g(fake) for _, maps in judged for fake in maps]),
            "l1": config.l1 * (again.float() - image).abs().mean(),
            "latent": config.latent_l1 * (read - batch["z"]).abs().mean(),
            "kl": config.kl * divergence(mean, log_variance),
        }
        pairs = [pair for real, maps in judged for pair in zip(real, maps, strict=True)]
        return g, {"adversarial": total([least_squares_d(real, fake) for real, fake in pairs])}

    def trained(self) -> Translator:
        """G as it is: the paper keeps no average."""
        return Translator(self.G, self.latent, self.spec, source=self.source)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) (equation 4) of both (n, latent): the sum over components, averaged."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(1).mean()


def total(terms: list[Tensor]) -> Tensor:
    """The sum of 0-d tensors."""
    return torch.stack(terms).sum()
