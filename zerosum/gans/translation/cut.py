"""Contrastive Learning for Unpaired Image-to-Image Translation (Park et al. 2020), arXiv:2007.15651.

One generator, one discriminator, and no way back: a patch of the translation has to be more like the patch of the source
at its own place than like any other (equation 3), as G's own encoder sees them. Half the networks of CycleGAN; `fast` is
the paper's FastCUT.

Deviations: both players step at once, from the same weights, so that D reads G's image once for both; places are drawn
one from each of 256 equal stretches of a layer, so that no part of the image goes without (the paper: anywhere); the
contrastive terms are means over layers and, with the identity term, over the two (equations 4 and 5 add them; the
authors' code has these means); weights begin as CycleGAN's; the jitter is bilinear.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.core.schedules import linear_decay
from zerosum.data.spec import Batch
from zerosum.networks.patch import Patch
from zerosum.networks.projector import Projector
from zerosum.networks.shapes import image_size
from zerosum.networks.translator import InstanceNorm, ResNet
from zerosum.objectives.adversarial import least_squares_d, least_squares_g
from zerosum.objectives.contrastive import patch_nce
from zerosum.objectives.jitter import DRAWS, jitter
from zerosum.training.batches import Batches
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player, simultaneously
from zerosum.training.translation import Translation, source_of
from zerosum.training.translator import Translator


@dataclass(frozen=True)
class Config:
    """Settings of CUT."""

    rounds: int = 500_000
    """Rounds, each one step of D and one of G (400 epochs of about 1,250 photos, appendix C.1; FastCUT: 200)."""
    batch_size: int = 1
    """Samples of each domain a batch (appendix C.1)."""
    width: int = 64
    """Channels of the generator's first layer (appendix C.1)."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer (appendix C.1)."""
    blocks: int = 9
    """Residual blocks of the generator (appendix C.1)."""
    contrast: float = 1.0
    """Weight of the contrastive terms, lambda (section 3: 1 with the identity term, 10 without)."""
    identity: bool = True
    """Contrast images of the target domain with what the generator makes of them, too (section 3)."""
    equivariant: bool = False
    """Mirror half of what the generator is given, and mirror the features of what it makes back (FastCUT, appendix
    C.1)."""
    patches: int = 256
    """Places contrasted in each layer of each image (appendix C.1)."""
    head_width: int = 256
    """Units of the heads' layers (section 4)."""
    temperature: float = 0.07
    """Temperature of the contrast, tau (section 3)."""
    antialias: bool = True
    """Low-pass filters where images are halved and doubled, instead of strides (the authors' code)."""
    layers: int = 3
    """Halvings of the discriminator: 3 make patches of 70 pixels (section 4)."""
    jitter: float = 286 / 256
    """Enlargement before the random crop (the authors' code); 1: none."""
    mirror: bool = True
    """Mirror half of the images (the authors' code)."""
    constant: float = 0.5
    """Share of the training after which the learning rate begins to fall to 0, in a straight line (FastCUT: 0.75)."""
    adam: Adam = Adam(2e-4, (0.5, 0.999))
    """Both players' optimizer (the authors' code)."""


PRESETS = {
    #                       rounds  batch  width  discriminator  blocks  contrast  identity  equivariant
    "fast":        Config( 250_000,     1,    64,            64,      9,     10.0,    False,        True, constant=0.75),
    "laptop":      Config(  40_000,     1,    16,            32,      5,      1.0,     True,       False),
    "laptop-fast": Config(  40_000,     1,    16,            32,      5,     10.0,    False,        True),
}  # fmt: skip


class CUT(Translation):
    """D tells images from translations; G makes what D takes for real, each patch like the one that it was made from."""

    Config = Config
    undecided = 0.5

    def build(self) -> None:
        """Networks and players."""
        config, shape = self.config, image_size(self.spec)
        self.source = source_of(self.spec, "cut")
        if self.source[0] != shape[0]:
            raise BadOption(
                f"cut sees sources and translations with the same encoder, but sources have {self.source[0]} channels "
                f"and images {shape[0]}: give --data.channels, or train cyclegan with --identity None."
            )
        self.latent = Normal(0)
        self.G = ResNet(self.source, shape, width=config.width, blocks=config.blocks, antialias=config.antialias)
        self.D = Patch(
            shape[0], width=config.discriminator_width, layers=config.layers, norm=InstanceNorm,
            antialias=config.antialias,
        )  # fmt: skip
        self.contrasted = self.G.encoder_layers
        with torch.no_grad():
            sizes = self.G.features(torch.zeros(1, shape[0], 16, 16), self.contrasted)
        self.heads = Projector([layer.shape[1] for layer in sizes], config.head_width)
        rate = linear_decay(config.constant)
        self.generator = Player(self.G, self.heads, optimizer=config.adam, rate=rate)
        self.discriminator = Player(self.D, optimizer=config.adam, rate=rate)

    def noise(self) -> dict[str, Latent]:
        """Where images and sources are cropped, which places are contrasted, and what is mirrored."""
        sizes = {"jitter": 2 * DRAWS, "places": self.config.patches * len(self.contrasted)}
        sizes |= {"turned": 1} if self.config.equivariant else {}
        return {name: Uniform(size, 0.0, 1.0) for name, size in sizes.items()}

    def round(self, batches: Batches) -> None:
        """One step of both at once, on cropped and mirrored images."""
        batch = next(batches)
        for name, draws in zip(("source", "image"), batch["jitter"].chunk(2, 1), strict=True):
            [batch[name]] = jitter((batch[name],), draws, self.config.jitter, self.config.mirror)
        simultaneously(self.losses, batch, self.generator, self.discriminator)

    def losses(self, batch: Batch) -> tuple[Losses, Losses]:
        """G: (D(G(x)) - 1)^2 + lambda (contrast of G(x) with x + of G(y) with y) / 2. D: half of (D(y) - 1)^2 +
        D(G(x))^2 (equations 1, 4, 5, with the squares of section 4).
        """
        config, source, image = self.config, batch["source"], batch["image"]
        parts = {"contrast": source} | ({"identity": image} if config.identity else {})
        made, contrasts = self.contrasts(
            torch.cat(list(parts.values())),
            batch["places"].repeat(len(parts), 1),
            batch["turned"].repeat(len(parts), 1) if config.equivariant else None,
        )
        fake = self.D(made[: len(source)])
        g = {"adversarial": 2 * least_squares_g(fake)}
        for name, contrast in zip(parts, contrasts.chunk(len(parts)), strict=True):
            g[name] = config.contrast / len(parts) * contrast.mean()
        return g, {"adversarial": least_squares_d(self.D(image), fake)}

    def contrasts(self, given: Tensor, draws: Tensor, turned: Tensor | None) -> tuple[Tensor, Tensor]:
        """What G makes of images, and how unlike their patches and its own are: the mean over the layers, (n,).

        Args:
            given: (n, c, h, w).
            draws: where the patches lie, (n, layers x patches).
            turned: (n, 1), uniform in [0, 1): which images are mirrored before G, and their features after; None: none.
        """
        if turned is None:  # the features of what is given lie on G's way
            *keys, made = self.G.features(given, (*self.contrasted, len(self.G.layers) - 1))
            made = made[:, :, : given.shape[2], : given.shape[3]]
            queries = self.G.features(made, self.contrasted)
        else:
            where = (turned < 0.5)[:, :, None, None]
            made = self.G(mirrored(given, where))
            queries = [mirrored(layer, where) for layer in self.G.features(made, self.contrasted)]
            keys = self.G.features(given, self.contrasted)
        pairs = zip(self.heads(queries, draws), self.heads(keys, draws), strict=True)
        return made, torch.stack([patch_nce(query, key, self.config.temperature) for query, key in pairs]).mean(0)

    def trained(self) -> Translator:
        """G as it is: the paper keeps no average."""
        return Translator(self.G, self.latent, self.spec, source=self.source)


def mirrored(images: Tensor, where: Tensor) -> Tensor:
    """Images or features (n, c, h, w), mirrored left to right where `where` (n, 1, 1, 1)."""
    return torch.where(where, images.flip(3), images)
