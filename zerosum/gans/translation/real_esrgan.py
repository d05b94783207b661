"""Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data (Wang et al. 2021), arXiv:2107.10833.

ESRGAN's G learns to restore what was blurred, made small, noisy and pressed as JPEG, all of it twice,
at random (second-order degradation, section 3.2); D, a U-Net with spectral normalisation, judges each pixel. G first
learns to be near the pixels; the translator has the moving average of its weights.

Give photos in tiles: `--data photos/ --data.fit tiles --data.resolution 256`. Features are VGG-19's where `--vgg` names
its weights, else those of a small network that learns between the two phases, without labels, to tell patches of the
training photos from each other.

Deviations: both players step at once, from the same weights, so that D reads G's image once for both; each patch has
degradations of its own, so no pool of earlier ones is needed; patches are cut before they are degraded and sharpened;
the game starts from the average of the pixel phase, and its own goes on from there; without VGG-19, features are of four
layers, with weight 1 each.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zerosum.data.spec import Batch
from zerosum.networks.compact import SignedCompact
from zerosum.networks.rrdb import SignedRRDBNet
from zerosum.networks.srdiscriminator import UNet
from zerosum.objectives import perceptual
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.objectives.degradations import REAL_WORLD_DRAWS, real_world
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player
from zerosum.training.superresolution import SuperResolution


@dataclass(frozen=True)
class Config:
    """Settings of Real-ESRGAN."""

    rounds: int = 400_000
    """Rounds of the game, each one step of D and one of G (section 4.1); 0: the pixel phase alone, Real-ESRNet."""
    pixel_rounds: int = 1_000_000
    """Rounds before them, each one step of G towards the least absolute error (section 4.1)."""
    batch_size: int = 48
    """Patches a batch (section 4.1)."""
    scale: int = 4
    """How many times larger the images become: 4, 2, or 1, which restores only (section 3.4)."""
    patch: int = 256
    """Pixels of a patch's side, cut at random from what the data gives (section 4.1)."""
    width: int = 64
    """Channels of the generator's trunk (the authors' code)."""
    blocks: int = 23
    """Residual-in-residual dense blocks of the generator (section 3.4: as in ESRGAN)."""
    growth: int = 32
    """Channels that each convolution of a dense block adds (the authors' code)."""
    compact: int | None = None
    """Convolutions between the first and the last one of a small, fast G, `width` channels each (the authors' code: 32
    for photos, 16 for videos); None: RRDBNet."""
    discriminator_width: int = 64
    """Channels of the discriminator's finest layers (the authors' code)."""
    unshuffle: int | None = None
    """Squares of so many pixels a side are put side by side as channels before the trunk; None: 4 / scale (figure 4)."""
    sharpen: bool = True
    """G is to be near sharpened patches (section 4.1: Real-ESRGAN+); D sees them as they are."""
    vgg: Path | None = None
    """VGG-19's weights (vgg19-dcbb9e9d.pth); None: features are learned from the data, without labels."""
    exemplar: int = 50_000
    """Patches shown to learn these."""
    perceptual: float = 1.0
    """Weight of the difference of features (section 4.1)."""
    adversarial: float = 0.1
    """Weight of the adversarial term (section 4.1)."""
    l1: float = 1.0
    """Weight of the L1 term in the game (section 4.1)."""
    ema_half_life: float | None = 33_000.0
    """Half-life of the generator's moving average, in samples (a decay of 0.999 a batch, the authors' code); None: off."""
    pixel_lr: float = 2e-4
    """Learning rate of the pixel phase (section 4.1)."""
    adam: Adam = Adam(1e-4, (0.9, 0.999))
    """Both players' optimizer in the game (section 4.1)."""


PRESETS = {
    #                      rounds  pixel rounds  batch  scale  patch  width  blocks  growth  discriminator
    "pixel":        Config(     0,    1_000_000,    48,     4,   256,    64,     23,     32),
    "laptop":       Config( 5_000,       10_000,     8,     4,   128,    32,      4,     16,            16, pixel_lr=1e-3),
    "laptop-pixel": Config(     0,       10_000,     8,     4,   128,    32,      4,     16,            16, pixel_lr=1e-3),
    "x2":           Config(scale=2),
    "restore":      Config(scale=1),
    "compact":      Config(compact=32),
}  # fmt: skip


class RealESRGAN(SuperResolution):
    """D judges each pixel of photos and of restored images; G makes what D takes for photos, near sharpened ones."""

    Config = Config
    layers = perceptual.REAL_ESRGAN
    draws = REAL_WORLD_DRAWS

    def build(self) -> None:
        """Networks, features and players."""
        config, (channels, _, _) = self.config, self.prepared("real_esrgan")
        self.G = self.network(channels)
        self.generator = Player(self.G, optimizer=config.adam, rate=self.rate, ema_half_life=config.ema_half_life)
        if config.rounds:
            self.D = UNet(channels, width=config.discriminator_width)
            self.discriminator = Player(self.D, optimizer=config.adam)
            self.perceiving(channels)

    def network(self, channels: int) -> nn.Module:
        """G, large or compact."""
        config = self.config
        if config.compact is not None:
            return SignedCompact(channels, scale=config.scale, features=config.width, layers=config.compact)
        return SignedRRDBNet(
            channels, scale=config.scale, features=config.width, blocks=config.blocks, growth=config.growth,
            unshuffle=config.unshuffle,
        )  # fmt: skip

    def rate(self, progress: float) -> float:
        """Factor on the learning rate: of the pixel phase, then 1."""
        game, _ = self.act()
        return 1.0 if game else self.config.pixel_lr / self.config.adam.lr

    def pose(self, images: Tensor, draws: Tensor) -> Tensor:
        """What is to be restored into images (n, c, h, w): the images degraded (sections 3.1 to 3.3)."""
        return real_world(images, self.config.scale, draws)

    def posed(self, batch: Batch) -> Batch:
        """Patches, what they are to be made from, and, where G is to be near those, sharpened ones."""
        posed = super().posed(batch)
        return posed | {"near": sharpened(posed["image"]) if self.config.sharpen else posed["image"]}

    def pixel_loss(self, batch: Batch) -> Losses:
        """|y - G(x)|, of values from 0 to 1."""
        return {"l1": l1(self.G(batch["source"]), batch["near"])}

    def losses(self, batch: Batch) -> tuple[Losses, Losses]:
        """G: |y - G(x)|, the difference of features, and -log D(G(x)) for each pixel. D: -log D(y) - log(1 - D(G(x)))
        (section 4.1).
        """
        config, made = self.config, self.G(batch["source"])
        real, fake = self.D(batch["image"]), self.D(made)
        g = {
            "l1": config.l1 * l1(made, batch["near"]),
            "perceptual": config.perceptual * self.perceptual(made, batch["near"]),
            "adversarial": config.adversarial * nonsaturating_g(fake),
        }
        return g, {"adversarial": logistic_d(real, fake)}


def l1(made: Tensor, image: Tensor) -> Tensor:
    """Mean absolute difference of images (n, c, h, w) in [-1, 1], as that of values from 0 to 1."""
    return (made.float() - image).abs().mean() / 2


def sharpened(images: Tensor, strength: float = 0.5, sigma: float = 8.0, threshold: float = 10.0) -> Tensor:
    """Images (n, c, h, w) in [-1, 1] after unsharp masking, where they differ from their blur by more than `threshold`
    levels of 256; with the settings of the published code.

    Args:
        images: kept in their range.
        strength: what is added of the difference from the blur.
        sigma: of the Gaussian blur, in pixels; beyond its borders an image has nothing to say.
        threshold: in levels.
    """

    def blurred(images: Tensor) -> Tensor:
        down, across = (gaussian(size, sigma, images.device) for size in images.shape[2:])
        return down @ images @ across.T

    residual = images - blurred(images)
    where = blurred((residual.abs() * 127.5 > threshold).to(images.dtype))
    return images + where * ((images + strength * residual).clamp(-1, 1) - images)


def gaussian(size: int, sigma: float, device: torch.device) -> Tensor:
    """(size, size): what each pixel of a row counts for each blurred one; rows sum to 1."""
    places = torch.arange(size, device=device)
    weights = (-(places[:, None] - places).square() / (2 * sigma**2)).exp()
    return weights / weights.sum(1, keepdim=True)
