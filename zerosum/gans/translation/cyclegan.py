"""Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks (Zhu et al. 2017), arXiv:1703.10593.

Two generators, one there and one back, learn from two heaps of images that have nothing to do with each other. Each has
a discriminator that knows one domain, and what goes there and back has to arrive where it began (equation 3). The
trained generator translates sources into images; its `back` translates images into sources.

Deviations: a discriminator is shown images of the pool only where it is full (the authors' code does so, too); each
process of a parallel training has a pool of its own; the jitter is bilinear.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from zerosum.core.errors import BadOption
from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.core.schedules import linear_decay
from zerosum.data.spec import Batch
from zerosum.networks.patch import Patch
from zerosum.networks.shapes import image_size
from zerosum.networks.translator import InstanceNorm, ResNet
from zerosum.objectives import jitter
from zerosum.objectives.adversarial import least_squares_d, least_squares_g
from zerosum.training import pool
from zerosum.training.augmentation import Augment
from zerosum.training.batches import Batches
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player
from zerosum.training.translation import Translation, source_of
from zerosum.training.translator import Translator


@dataclass(frozen=True)
class Config:
    """Settings of CycleGAN."""

    rounds: int = 250_000
    """Rounds, each one step of both generators and one of both discriminators (200 epochs of about 1,250 photos,
    section 4)."""
    batch_size: int = 1
    """Samples of each domain a batch (section 4)."""
    width: int = 64
    """Channels of the generators' first layer (appendix 7.2)."""
    discriminator_width: int = 64
    """Channels of the discriminators' first layer (appendix 7.2)."""
    blocks: int | None = None
    """Residual blocks of each generator; None: 9 from 256 pixels on, 6 below (appendix 7.2)."""
    antialias: bool = False
    """Low-pass filters where the generators halve and double images, as in CUT, instead of strides, which leave a grid
    of dots in short trainings."""
    layers: int = 3
    """Halvings of the discriminators: 3 make patches of 70 pixels (section 4)."""
    cycle: float = 10.0
    """Weight of the cycle-consistency terms, lambda (section 4)."""
    identity: float | None = 0.5
    """Weight of the identity terms, as a share of `cycle` (section 5.2 and appendix 7.1): what is of the target domain
    already shall stay as it is; None: none."""
    one_way: bool = False
    """Leave the generator of the way back out of what is kept when training ends; the authors' files hold one each."""
    pool: int | None = 50
    """Earlier translations that each discriminator may be shown again (section 4); None: it sees the newest alone."""
    jitter: float = 286 / 256
    """Enlargement before the random crop (the authors' code); 1: none."""
    mirror: bool = True
    """Mirror half of the images (the authors' code)."""
    constant: float = 0.5
    """Share of the training after which the learning rate begins to fall to 0, in a straight line (section 4)."""
    adam: Adam = Adam(2e-4, (0.5, 0.999))
    """Both players' optimizer (section 4)."""


PRESETS = {
    # Without the identity terms, as the paper translates seasons: one pass of each generator fewer a round.
    #                 rounds  batch  width  discriminator  blocks
    "laptop": Config( 40_000,     1,    16,            32,      4, identity=None),
}  # fmt: skip


class ThereAndBack(nn.Module):
    """Two networks as one: forward translates sources (n, c', h, w) into images (n, c, h, w), `back` the other way."""

    def __init__(self, there: nn.Module, back: nn.Module):
        super().__init__()
        self.there, self.back = there, back

    def forward(self, source: Tensor) -> Tensor:
        """Images (n, c, h, w)."""
        return self.there(source)


class CycleGAN(Translation):
    """Each discriminator tells images of its domain from translations; the generators make what both take for real, and
    what leads back to where it came from.
    """

    Config = Config
    undecided = 0.5

    def build(self) -> None:
        """Networks, pools and players."""
        config, shape = self.config, image_size(self.spec)
        self.source = source_of(self.spec, "cyclegan")
        if config.identity is not None and self.source[0] != shape[0]:
            raise BadOption(
                f"--identity {config.identity:g} shows each generator images of its target domain, but sources have "
                f"{self.source[0]} channels and images {shape[0]}: give --identity None, or --data.channels."
            )
        self.latent = Normal(0)
        blocks = config.blocks or (9 if min(shape[1:]) >= 256 else 6)
        there, back = (
            ResNet(given, made, width=config.width, blocks=blocks, antialias=config.antialias)
            for given, made in ((self.source, shape), (shape, self.source))
        )
        self.G = ThereAndBack(there, back)
        self.D, self.D_back = (
            Patch(channels, width=config.discriminator_width, layers=config.layers, norm=InstanceNorm)
            for channels in (shape[0], self.source[0])
        )
        if config.pool is not None:
            self.pool, self.pool_back = pool.Pool(config.pool, shape), pool.Pool(config.pool, self.source)
        rate = linear_decay(config.constant)
        self.generator = Player(self.G, optimizer=config.adam, rate=rate)
        self.discriminator = Player(self.D, self.D_back, optimizer=config.adam, rate=rate)

    def noise(self) -> dict[str, Latent]:
        """Where images and sources are cropped, and what the pools are asked for."""
        sizes = {"jitter": 2 * jitter.DRAWS} | ({} if self.config.pool is None else {"pool": 2 * pool.DRAWS})
        return {name: Uniform(size, 0.0, 1.0) for name, size in sizes.items()}

    def round(self, batches: Batches) -> None:
        """One step of the generators on cropped and mirrored images, one of the discriminators on what they made."""
        batch, config = next(batches), self.config
        for name, draws in zip(("source", "image"), batch["jitter"].chunk(2, 1), strict=True):
            [batch[name]] = jitter.jitter((batch[name],), draws, config.jitter, config.mirror)
        batch |= self.generator.step(self.generator_loss, batch)
        if config.pool is not None:
            there, back = batch["pool"].chunk(2, 1)
            batch |= {"made": self.pool(batch["made"], there), "back": self.pool_back(batch["back"], back)}
        self.discriminator.step(self.discriminator_loss, batch)

    def generator_loss(self, batch: Batch) -> Losses:
        """(D(G(x)) - 1)^2 + lambda |F(G(x)) - x| + 0.5 lambda |G(y) - y|, and the same of the way back (equations 2, 3,
        with the squares of section 4).
        """
        source, image, cycle, identity = batch["source"], batch["image"], self.config.cycle, self.config.identity
        made, back = self.G(source), self.G.back(image)
        terms = {
            "adversarial": 2 * least_squares_g(self.D(made)),
            "adversarial_back": 2 * least_squares_g(self.D_back(back)),
            "cycle": cycle * l1(self.G.back(made), source),
            "cycle_back": cycle * l1(self.G(back), image),
        }
        if identity is not None:
            terms["identity"] = cycle * identity * l1(self.G(image), image)
            terms["identity_back"] = cycle * identity * l1(self.G.back(source), source)
        return terms | {"made": made, "back": back}

    def discriminator_loss(self, batch: Batch) -> Losses:
        """Half of (D(y) - 1)^2 + D(G(x))^2, and of the same for the sources' domain (section 4; appendix 7.1 halves)."""
        return {
            "adversarial": least_squares_d(self.D(batch["image"]), self.D(batch["made"])),
            "adversarial_back": least_squares_d(self.D_back(batch["source"]), self.D_back(batch["back"])),
        }

    def augment_with(self, settings: Augment) -> None:
        """Both discriminators are shown augmented images. Raises BadOption where their domains differ in channels."""
        if self.source[0] != self.spec.shape[0]:
            raise BadOption(
                f"--augment changes both domains alike, but sources have {self.source[0]} channels and images "
                f"{self.spec.shape[0]}: leave it out, or give --data.channels."
            )
        super().augment_with(settings)
        self.D_back.register_forward_pre_hook(lambda module, given: (self.augment(given[0]), *given[1:]))

    def trained(self) -> Translator:
        """Both generators as they are: the paper keeps no average."""
        network = self.G.there if self.config.one_way else self.G
        return Translator(network, self.latent, self.spec, source=self.source)


def l1(made: Tensor, image: Tensor) -> Tensor:
    """Mean absolute difference of images (n, c, h, w)."""
    return (made.float() - image).abs().mean()
