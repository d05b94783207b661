"""Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network (Ledig et al. 2017), arXiv:1609.04802.

G, SRResNet, enlarges photos that were made small bicubically. It first learns to be near their pixels
(the pixel phase), which leaves textures smooth; then D, which tells photos from enlargements, and a distance of
features make them look real (the game). The features are VGG-19's where `--vgg` names its weights, else those of a small
network that learns between the two phases, without labels, to tell patches of the training photos from each other.

Give photos in tiles: `--data photos/ --data.fit tiles --data.resolution 128`.

Deviations: both players step at once, from the same weights, so that D reads G's image once for both; patches are also
turned and mirrored; without VGG-19, features are of four layers before their activation, with the same weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from zerosum.data.spec import Batch
from zerosum.networks.rrdb import SRResNet
from zerosum.networks.srdiscriminator import VGG
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player
from zerosum.training.superresolution import SuperResolution


@dataclass(frozen=True)
class Config:
    """Settings of SRGAN."""

    rounds: int = 200_000
    """Rounds of the game, each one step of D and one of G (section 3.2); 0: the pixel phase alone."""
    pixel_rounds: int = 1_000_000
    """Rounds before them, each one step of G towards the least squared error (section 3.2)."""
    batch_size: int = 16
    """Patches a batch (section 3.2)."""
    scale: int = 4
    """How many times larger the images become: 2, 3, 4 or 8 (section 3.1: 4)."""
    patch: int = 96
    """Pixels of a patch's side, cut at random from what the data gives (section 3.2)."""
    width: int = 64
    """Channels of the generator (figure 4)."""
    blocks: int = 16
    """Residual blocks of the generator (section 3.2)."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layers (figure 4)."""
    levels: int = 4
    """Halvings of the discriminator (figure 4)."""
    discriminator_hidden: int = 1024
    """Units of the discriminator's layer before the last (figure 4)."""
    vgg: Path | None = None
    """VGG-19's weights (vgg19-dcbb9e9d.pth); None: features are learned from the data, without labels."""
    exemplar: int = 50_000
    """Patches shown to learn these."""
    perceptual: float = 0.006
    """Weight of the squared difference of features (section 3.2: VGG-19's are divided by 12.75 before)."""
    adversarial: float = 1e-3
    """Weight of the adversarial term (equation 3)."""
    pixel_lr: float = 1e-4
    """Learning rate of the pixel phase (section 3.2)."""
    adam: Adam = Adam(1e-4, (0.9, 0.999))
    """Both players' optimizer in the game (section 3.2); in its second half, a tenth of the learning rate."""


PRESETS = {
    #                      rounds  pixel rounds  batch  scale  patch  width  blocks  discriminator
    "pixel":        Config(     0,    1_000_000,    16,     4,    96,    64,     16),
    "laptop":       Config( 5_000,       10_000,     8,     4,    96,    32,      8,            16, pixel_lr=1e-3,
                           discriminator_hidden=128),
    "laptop-pixel": Config(     0,       10_000,     8,     4,    96,    32,      8,            16, pixel_lr=1e-3),
}  # fmt: skip


class Unit(SRResNet):
    """SRResNet from images in [-1, 1] to such; it sees them from 0 to 1 (section 3.2)."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, scale h, scale w)."""
        return super().forward((x + 1) / 2)


class SRGAN(SuperResolution):
    """D tells photos from enlargements; G, that began near their pixels, makes what D and the features take for photos."""

    Config = Config
    layers: ClassVar[Mapping[str, float]] = {"relu5_4": 1.0}

    def build(self) -> None:
        """Networks, features and players."""
        config, shape = self.config, self.prepared("srgan")
        self.G = Unit(shape[0], scale=config.scale, features=config.width, blocks=config.blocks)
        self.generator = Player(self.G, optimizer=config.adam, rate=self.rate)
        if config.rounds:
            hidden = config.discriminator_hidden
            self.D = VGG(shape, width=config.discriminator_width, levels=config.levels, hidden=hidden)
            self.discriminator = Player(self.D, optimizer=config.adam, rate=self.rate)
            self.perceiving(shape[0])

    def rate(self, progress: float) -> float:
        """Factor on the learning rate: of the pixel phase; then 1, and a tenth in the game's second half."""
        game, played = self.act()
        return (1.0 if played < 0.5 else 0.1) if game else self.config.pixel_lr / self.config.adam.lr

    def pixel_loss(self, batch: Batch) -> Losses:
        """(y - G(x))^2 (equation 4)."""
        return {"mse": (self.G(batch["source"]).float() - batch["image"]).square().mean()}

    def losses(self, batch: Batch) -> tuple[Losses, Losses]:
        """G: the squared difference of features, and -log D(G(x)) (equations 3, 5, 6). D: -log D(y) - log(1 - D(G(x)))
        (equation 2).
        """
        image, made = batch["image"], self.G(batch["source"])
        real, fake = self.D(image), self.D(made)
        found, wanted = self.perceptual.maps(made, image)
        squares = torch.stack([(found[name].float() - wanted[name].float()).square().mean() for name in wanted])
        g = {
            "perceptual": self.config.perceptual * squares.sum(),
            "adversarial": self.config.adversarial * nonsaturating_g(fake),
        }
        return g, {"adversarial": logistic_d(real, fake)}
