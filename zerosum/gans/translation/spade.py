"""Semantic Image Synthesis with Spatially-Adaptive Normalization (Park et al. 2019), arXiv:1903.07291.

A map that tells what is where becomes an image: each normalisation of G gets its gains and biases from the map at its
own resolution, so that normalising does not wash the map out (section 3). D judges map and image together at two
scales, and G's images are to have the features that true ones have in all layers of D. With `--latent 256`, G makes its
coarsest layer of z, which an encoder tells of the true image as in a variational autoencoder: several images of a map.

Deviations: the map is the source image as it is, its channels continuous, where the paper has a channel for each class;
both players step at once, from the same weights; the perceptual term needs VGG-19's weights (`--vgg`) and is left out
without them; the encoder is BicycleGAN's; images are enlarged, cropped and mirrored as in pix2pix.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.core.schedules import linear_decay
from zerosum.data.spec import Batch
from zerosum.networks import spade
from zerosum.networks.encoder import Encoder
from zerosum.networks.patch import MultiScale
from zerosum.networks.shapes import image_size
from zerosum.networks.spectral import normalise
from zerosum.networks.translator import InstanceNorm
from zerosum.objectives.adversarial import hinge_d, hinge_g
from zerosum.objectives.jitter import DRAWS, jitter
from zerosum.objectives.perceptual import Perceptual, vgg19
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player, simultaneously
from zerosum.training.translation import Translation, source_of
from zerosum.training.translator import Translator

LAYERS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}
"""Weights of VGG-19's layers in the perceptual term (the authors' code)."""


@dataclass(frozen=True)
class Config:
    """Settings of SPADE."""

    rounds: int = 126_000
    """Rounds, each one step of both players (200 epochs of the 20,210 images of ADE20K, section 4)."""
    batch_size: int = 32
    """Samples a batch (the authors' code)."""
    width: int = 64
    """Channels of the generator's finest block, up to 16 times as many in the coarser ones (appendix A)."""
    discriminator_width: int = 64
    """Channels of the discriminators' first layers (appendix A)."""
    discriminator_layers: int = 3
    """Halvings of each discriminator (appendix A)."""
    scales: int = 2
    """Scales that images are judged at (appendix A)."""
    latent: int | None = None
    """Components of z (section 3 and appendix A: 256); None: one image for each map, of any size."""
    encoder_width: int = 64
    """Channels of the encoder's first layer, where there is a z."""
    feature_matching: float = 10.0
    """Weight of the difference of D's features (as in pix2pixHD, appendix A)."""
    vgg: Path | None = None
    """VGG-19's weights (vgg19-dcbb9e9d.pth) for the perceptual term; None: without it."""
    perceptual: float = 10.0
    """Weight of the perceptual term (as in pix2pixHD, appendix A)."""
    kl: float = 0.05
    """Weight of the divergence of what the encoder tells from z's distribution (appendix A)."""
    jitter: float = 286 / 256
    """Enlargement before the random crop (the authors' code); 1: none."""
    mirror: bool = True
    """Mirror half of the pairs (the authors' code)."""
    constant: float = 0.5
    """Share of the training after which the learning rates begin to fall to 0, in a straight line (section 4)."""
    adam: Adam = Adam(1e-4, (0.0, 0.999))
    """Optimizer of G and the encoder (section 4)."""
    discriminator_adam: Adam = Adam(4e-4, (0.0, 0.999))
    """Optimizer of D (section 4)."""


PRESETS = {
    #                   rounds  batch  width  discriminator
    "laptop":   Config( 20_000,     4,     8, 32),
    "multiple": Config(latent=256),
}  # fmt: skip


class SPADE(Translation):
    """D tells true images of a map from G's; G makes of a map what has the features of a true image."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config, shape = self.config, image_size(self.spec)
        self.latent = Normal(config.latent or 0)
        self.source = source_of(self.spec, "spade", paired=True)
        self.G = spade.Generator(self.source[0], shape, width=config.width, latent=config.latent or 0)
        self.D = MultiScale(
            self.source[0] + shape[0], scales=config.scales, width=config.discriminator_width,
            layers=config.discriminator_layers, norm=InstanceNorm,
        )  # fmt: skip
        for name, part in self.D.named_modules():
            if name.endswith("conv") and not name.endswith("layers.0.conv"):  # the first and the last have none
                normalise(part)
        networks: list[nn.Module] = [self.G]
        if config.latent:
            self.E = Encoder(shape, config.latent, width=config.encoder_width)
            networks.append(self.E)
        rate = linear_decay(config.constant)
        self.generator = Player(*networks, optimizer=config.adam, rate=rate)
        self.discriminator = Player(self.D, optimizer=config.discriminator_adam, rate=rate)
        self.vgg = tuple[Perceptual, ...]()

    def seat(self, arena: Arena) -> Game:
        """As every game; VGG-19's weights are read here, where training begins: a trained generator needs no such file.

        Raises:
            BadFile: `--vgg` names no such weights.
        """
        if self.config.vgg is not None:
            # A tuple is not registered: it never changes, so checkpoints need not hold it.
            self.vgg = (Perceptual(vgg19(self.config.vgg, tuple(LAYERS)), LAYERS).to(arena.device),)
        return super().seat(arena)

    def noise(self) -> dict[str, Latent]:
        """z, which in training is drawn of what the encoder tells; where a sample is cropped."""
        return {"z": self.latent, "jitter": Uniform(DRAWS, 0.0, 1.0)}

    def round(self, batches: Batches) -> None:
        """One step of both at once, on cropped and mirrored pairs."""
        batch, config = next(batches), self.config
        pair = jitter((batch["source"], batch["image"]), batch["jitter"], config.jitter, config.mirror)
        batch |= dict(zip(("source", "image"), pair, strict=True))
        simultaneously(self.losses, batch, self.generator, self.discriminator)

    def losses(self, batch: Batch) -> tuple[Losses, Losses]:
        """G: -D(x, G(x)), lambda |D_i(x, y) - D_i(x, G(x))| of all layers i of D but the last, the perceptual term and,
        where there is a z, its divergence. D: the hinge of both (section 3 and appendix A).
        """
        config, source, image, g = self.config, batch["source"], batch["image"], Losses()
        z = None
        if config.latent:
            mean, log_variance = self.E(image)
            z = mean + (0.5 * log_variance).exp() * batch["z"]
            g["kl"] = config.kl * 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(1).mean()
        made = self.G(source, z)
        pairs = torch.cat([torch.cat([source, made.float()], 1), torch.cat([source, image], 1)])
        maps = [[layer.chunk(2) for layer in scale] for scale in self.D.features(self.augment(pairs))]
        logits = [scale[-1] for scale in maps]
        g["adversarial"] = mean_of([hinge_g(fake) for fake, _ in logits])
        g["features"] = config.feature_matching * mean_of([distance(scale[:-1]) for scale in maps])
        if self.vgg:
            g["perceptual"] = config.perceptual * self.vgg[0](made, image)
        return g, {"adversarial": mean_of([hinge_d(real, fake) for fake, real in logits])}

    def judged(self, batch: Batch) -> Tensor:
        """The map and the image."""
        return torch.cat([batch["source"], batch["image"]], 1)

    def trained(self) -> Translator:
        """G as it is: the paper keeps no average."""
        return Translator(self.G, self.latent, self.spec, source=self.source)


def distance(layers: list[tuple[Tensor, ...]]) -> Tensor:
    """The sum over layers of the mean absolute difference of features: made, and of the true image, which stay."""
    return torch.stack([(fake - real.detach()).float().abs().mean() for fake, real in layers]).sum()


def mean_of(terms: list[Tensor]) -> Tensor:
    """The mean of 0-d tensors."""
    return torch.stack(terms).mean()
