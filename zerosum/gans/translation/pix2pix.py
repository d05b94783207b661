"""Image-to-Image Translation with Conditional Adversarial Networks (Isola et al. 2017), arXiv:1611.07004.

G, a U-Net, makes the image that belongs to a source; D, shown the source too, judges patches of 70 x 70 pixels; an L1
term keeps G near the one true answer (equation 4). Where the data are photos alone, `--make` makes the sources from
them: grey (colouring), blurred (deblurring) or holed (filling in; give images with transparent holes).

Deviations: both players step at once, from the same weights, so that D reads G's image once for both; as deep as the
resolution allows, 8 halvings at most (the paper: 8 at 256 px); the jitter is bilinear; dropout is only for training
(section 3.1 leaves it on, and found that it makes little difference). Each sample is normalised by itself, as in the
paper's batches of one (section 3.3); `--norm batch` is for larger ones, and goes by the statistics of the training
sources afterwards, where the paper takes those of the test batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.core.schedules import linear_decay
from zerosum.data.spec import Batch
from zerosum.networks.patch import Patch
from zerosum.networks.shapes import image_size
from zerosum.networks.translator import InstanceNorm, Norm, ResNet, SampleNorm
from zerosum.networks.unet import UNet
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.objectives.degradations import BLUR_DRAWS, HOLE_DRAWS, blurred, grey, holed
from zerosum.objectives.jitter import DRAWS, jitter
from zerosum.training.batches import Batches
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player, simultaneously
from zerosum.training.translation import Translation, source_of
from zerosum.training.translator import Translator

NORMS: dict[str | None, Norm] = {
    "sample": SampleNorm, "batch": nn.BatchNorm2d, "instance": InstanceNorm, None: nn.Identity,
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Settings of pix2pix."""

    rounds: int = 80_000
    """Rounds, each one step of D and one of G (200 epochs of the 400 facades, appendix 6.2)."""
    batch_size: int = 1
    """Samples a batch (appendix 6.2: 1 to 10, by data set)."""
    make: Literal["grey", "blurred", "holed"] | None = None
    """Make the sources from the images: grey, blurred, or with holes; None: the data has them."""
    width: int = 64
    """Channels of the generator's first layer (appendix 6.1)."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer (appendix 6.1)."""
    depth: int | None = None
    """Halvings of the U-Net; None: down to a single pixel, 8 at most."""
    blocks: int | None = None
    """Residual blocks of CycleGAN's generator, which then takes the U-Net's place; None: the U-Net."""
    norm: Literal["sample", "batch", "instance"] | None = "sample"
    """Normalisation of both networks (appendix 6.1): sample: each sample by itself, with gains and biases; batch: each
    batch; instance: as sample, without gains; None: none, nor biases in its place, as in the authors' program."""
    layers: int = 3
    """Halvings of the discriminator: 3 make patches of 70 pixels (section 4.4)."""
    dropout: bool = True
    """Dropout in the innermost layers of the generator's second half (appendix 6.1)."""
    adversarial: float | None = 1.0
    """Weight of the adversarial term; None: L1 alone, without a discriminator (section 4.2's baseline)."""
    l1: float = 100.0
    """Weight of the L1 term, lambda (appendix 6.2)."""
    jitter: float = 286 / 256
    """Enlargement before the random crop (appendix 6.2); 1: none."""
    mirror: bool = True
    """Mirror half of the pairs (appendix 6.2)."""
    constant: float = 0.5
    """Share of the training after which the learning rate begins to fall to 0, in a straight line."""
    adam: Adam = Adam(2e-4, (0.5, 0.999))
    """Both players' optimizer (appendix 6.2)."""


PRESETS = {
    #                    rounds  batch  make       width  discriminator
    "laptop":    Config( 20_000,     4, None,         32, 16, norm="batch", layers=2),
    "l1":        Config( 80_000,     1, None,         64, 64, adversarial=None),
    "laptop-l1": Config( 20_000,     4, None,         32, 16, norm="batch", adversarial=None),
    "colorize":  Config( 80_000,     4, "grey",       64, 64, norm="batch"),
    "deblur":    Config( 80_000,     4, "blurred",    64, 64, norm="batch"),
    "inpaint":   Config( 80_000,     4, "holed",      64, 64, norm="batch"),
}  # fmt: skip


class Pix2Pix(Translation):
    """D tells true pairs from those of a source and G's answer; G answers what D takes for true, and what is near it."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config, shape = self.config, image_size(self.spec)
        self.latent = Normal(0)
        channels = {"grey": 1, "blurred": shape[0], "holed": shape[0] + 1}
        self.source = (
            (channels[config.make], *shape[1:]) if config.make else source_of(self.spec, "pix2pix", paired=True)
        )
        norm, bias = NORMS[config.norm], config.norm == "instance"
        if config.blocks is not None:
            self.G: nn.Module = ResNet(
                self.source, shape, width=config.width, blocks=config.blocks, norm=norm, dropout=config.dropout,
                bias=bias,
            )  # fmt: skip
        else:
            depth = config.depth or max(min(math.ceil(math.log2(min(shape[1:]))), 8), 2)
            self.G = UNet(
                self.source, shape, width=config.width, depth=depth, norm=norm, dropout=config.dropout, bias=bias
            )
        rate = linear_decay(config.constant)
        self.generator = Player(self.G, optimizer=config.adam, rate=rate)
        if config.adversarial is not None:
            self.D = Patch(
                self.source[0] + shape[0], width=config.discriminator_width, layers=config.layers, norm=norm, bias=bias
            )
            self.discriminator = Player(self.D, optimizer=config.adam, rate=rate)

    def noise(self) -> dict[str, Latent]:
        """Where a sample is cropped, and how its source is made."""
        return {"jitter": Uniform(DRAWS, 0.0, 1.0), "pose": Uniform(self.draws, 0.0, 1.0)}

    @property
    def draws(self) -> int:
        """Random numbers that making a source takes."""
        return {"blurred": BLUR_DRAWS, "holed": HOLE_DRAWS}.get(self.config.make or "", 1)

    def pose(self, images: Tensor, draws: Tensor) -> Tensor:
        """The source (n, c', h, w) that is made from images (n, c, h, w)."""
        match self.config.make:
            case "grey":
                return grey(images)
            case "blurred":
                return blurred(images, draws)
            case _:
                return holed(images, draws)

    def round(self, batches: Batches) -> None:
        """One step of both at once, on cropped and mirrored pairs."""
        batch = next(batches)
        config, parts = self.config, [name for name in ("source", "image") if name in batch]
        cropped = jitter(tuple(batch[name] for name in parts), batch["jitter"], config.jitter, config.mirror)
        batch |= dict(zip(parts, cropped, strict=True))
        if config.make:
            batch["source"] = self.pose(batch["image"], batch["pose"])
        if config.adversarial is None:
            self.generator.step(self.distance, batch)
        else:
            simultaneously(self.losses, batch, self.generator, self.discriminator)

    def losses(self, batch: Batch) -> tuple[Losses, Losses]:
        """G: -log D(x, G(x)) + lambda |y - G(x)|. D: half of -log D(x, y) - log(1 - D(x, G(x))) (equations 1, 3, 4)."""
        source, image = batch["source"], batch["image"]
        made = self.G(source)
        real, fake = self.D(torch.cat([source, image], 1)), self.D(torch.cat([source, made], 1))
        g = {"adversarial": self.config.adversarial * nonsaturating_g(fake), "l1": self.config.l1 * l1(made, image)}
        return g, {"adversarial": 0.5 * logistic_d(real, fake)}

    def distance(self, batch: Batch) -> Losses:
        """lambda |y - G(x)| (equation 3)."""
        return {"l1": self.config.l1 * l1(self.G(batch["source"]), batch["image"])}

    def judged(self, batch: Batch) -> Tensor:
        """The source and the image."""
        image = batch["image"]
        draws = image.new_full((len(image), self.draws), 0.5)
        source = self.pose(image, draws) if self.config.make else batch["source"]
        return torch.cat([source, image], 1)

    def trained(self) -> Translator:
        """G as it is: the paper keeps no average."""
        pose = self.pose if self.config.make else None
        return Translator(self.G, self.latent, self.spec, source=self.source, pose=pose, draws=self.draws)


def l1(made: Tensor, image: Tensor) -> Tensor:
    """Mean absolute difference of images (n, c, h, w)."""
    return (made.float() - image).abs().mean()
