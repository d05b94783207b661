"""ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks (Wang et al. 2018), arXiv:1809.00219.

SRGAN with a deeper G without batch normalisation (RRDBNet), a D that judges how much more real photos are than
enlargements (relativistic average), and features before their activation. G first learns to be near the pixels. The
translator keeps its weights of then: `--blend` sets how far its weights are from these to those of the game's end
(network interpolation, section 3.4), and so does `translator.network.blend.fill_(0.8)` later on.

Give photos in tiles: `--data photos/ --data.fit tiles --data.resolution 128`. Features are VGG-19's where `--vgg` names
its weights, else those of a small network that learns between the two phases, without labels, to tell patches of the
training photos from each other.

Deviations: both players step at once, from the same weights, so that D reads each image once for both; without VGG-19,
features are of four layers, with the same weight in all.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from zerosum.data.spec import Batch
from zerosum.networks.rrdb import SignedRRDBNet
from zerosum.networks.srdiscriminator import VGG
from zerosum.objectives import perceptual
from zerosum.objectives.adversarial import logistic_d
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player
from zerosum.training.superresolution import SuperResolution
from zerosum.training.translator import Translator


@dataclass(frozen=True)
class Config:
    """Settings of ESRGAN."""

    rounds: int = 400_000
    """Rounds of the game, each one step of D and one of G (the authors' code); 0: the pixel phase alone."""
    pixel_rounds: int = 1_000_000
    """Rounds before them, each one step of G towards the least absolute error (section 4.1 and the authors' code)."""
    batch_size: int = 16
    """Patches a batch (section 4.1)."""
    scale: int = 4
    """How many times larger the images become: 1, 2, 4 or 8 (section 4.1: 4)."""
    patch: int = 128
    """Pixels of a patch's side, cut at random from what the data gives (section 4.1)."""
    width: int = 64
    """Channels of the generator's trunk (the authors' code)."""
    blocks: int = 23
    """Residual-in-residual dense blocks of the generator (section 4.1)."""
    growth: int = 32
    """Channels that each convolution of a dense block adds (the authors' code)."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layers (the authors' code)."""
    levels: int = 5
    """Halvings of the discriminator (the authors' code)."""
    discriminator_hidden: int = 100
    """Units of the discriminator's layer before the last (the authors' code)."""
    unshuffle: int | None = None
    """Squares of so many pixels a side are put side by side as channels before the trunk; None: 4 / scale, at least 1
    (the authors' code; the oldest has 1)."""
    vgg: Path | None = None
    """VGG-19's weights (vgg19-dcbb9e9d.pth); None: features are learned from the data, without labels."""
    exemplar: int = 50_000
    """Patches shown to learn these."""
    perceptual: float = 1.0
    """Weight of the difference of features (equation 3)."""
    adversarial: float = 5e-3
    """Weight of the adversarial term, lambda (section 4.1)."""
    l1: float = 1e-2
    """Weight of the L1 term in the game, eta (section 4.1)."""
    blend: float | None = 1.0
    """What the game's weights count in the translator; the rest is the pixel phase's (alpha, equation 4). None: the
    translator has the game's weights alone, and half the size."""
    pixel_lr: float = 2e-4
    """Learning rate of the pixel phase, halved after each fifth of it (section 4.1)."""
    adam: Adam = Adam(1e-4, (0.9, 0.999))
    """Both players' optimizer in the game; its learning rate is halved after 1/8, 1/4, 1/2 and 3/4 of it (section 4.1)."""


PRESETS = {
    #                      rounds  pixel rounds  batch  scale  patch  width  blocks  growth  discriminator
    "pixel":        Config(     0,    1_000_000,    16,     4,   128,    64,     23,     32),
    "laptop":       Config( 5_000,       10_000,     8,     4,    96,    32,      4,     16,            16, pixel_lr=1e-3),
    "laptop-pixel": Config(     0,       10_000,     8,     4,    96,    32,      4,     16,            16, pixel_lr=1e-3),
}  # fmt: skip

PIXEL_FALLS, GAME_FALLS = (1 / 5, 2 / 5, 3 / 5, 4 / 5), (1 / 8, 1 / 4, 1 / 2, 3 / 4)
"""Shares of the two phases after which the learning rate is halved (section 4.1)."""


class Blend(nn.Module):
    """Two networks as one whose weights lie between theirs: network interpolation (equation 4).

    Args:
        before: G after the pixel phase.
        after: G after the game.
        blend: what the weights of `after` count, from 0 to 1; a buffer, to be set at any time.
    """

    blend: Tensor

    def __init__(self, before: nn.Module, after: nn.Module, blend: float):
        super().__init__()
        self.before, self.after = copy.deepcopy(before), after  # a copy: the two may be the same network
        self.register_buffer("blend", torch.tensor(blend))

    def forward(self, source: Tensor) -> Tensor:
        """(n, c, scale h, scale w)."""
        before = dict(self.before.named_parameters())
        weights = {name: before[name].lerp(weight, self.blend) for name, weight in self.after.named_parameters()}
        made: Tensor = functional_call(self.after, weights, (source,))
        return made


class ESRGAN(SuperResolution):
    """D tells how much more real photos are than enlargements; G makes them no less so, near what the features say."""

    Config = Config
    layers = perceptual.ESRGAN
    undecided = None

    def build(self) -> None:
        """Networks, features and players."""
        config, shape = self.config, self.prepared("esrgan")
        width, blocks, growth = config.width, config.blocks, config.growth
        self.G = SignedRRDBNet(
            shape[0], scale=config.scale, features=width, blocks=blocks, growth=growth, unshuffle=config.unshuffle
        )
        self.generator = Player(self.G, optimizer=config.adam, rate=self.rate)
        if config.rounds:
            hidden, width = config.discriminator_hidden, config.discriminator_width
            self.D = VGG(shape, width=width, levels=config.levels, kernel=4, hidden=hidden)
            self.discriminator = Player(self.D, optimizer=config.adam, rate=self.rate)
            self.before = copy.deepcopy(self.G)
            self.perceiving(shape[0])

    def rate(self, progress: float) -> float:
        """Factor on the learning rate, halved as each phase goes on."""
        game, played = self.act()
        start, falls = (1.0, GAME_FALLS) if game else (self.config.pixel_lr / self.config.adam.lr, PIXEL_FALLS)
        return start * 0.5 ** sum(played >= fall for fall in falls)

    def begin(self) -> None:
        """What the game starts from is kept."""
        super().begin()
        self.before.load_state_dict(self.G.state_dict())

    def pixel_loss(self, batch: Batch) -> Losses:
        """|y - G(x)|, of values from 0 to 1."""
        return {"l1": l1(self.G(batch["source"]), batch["image"])}

    def losses(self, batch: Batch) -> tuple[Losses, Losses]:
        """G: the difference of features, lambda (-log(1 - D_Ra(y, G(x))) - log D_Ra(G(x), y)), eta |y - G(x)|
        (equations 2 and 3). D: -log D_Ra(y, G(x)) - log(1 - D_Ra(G(x), y)) (equation 1), where D_Ra compares each logit
        with the mean of the others'.
        """
        config, image, made = self.config, batch["image"], self.G(batch["source"])
        real, fake = self.D(image), self.D(made)
        above, below = real - fake.mean(), fake - real.mean()
        g = {
            "perceptual": config.perceptual * self.perceptual(made, image),
            "adversarial": config.adversarial * logistic_d(below, above),
            "l1": config.l1 * l1(made, image),
        }
        return g, {"adversarial": logistic_d(above, below)}

    def certainty(self, batch: Batch) -> Tensor:
        """D(y) - D(G(x)), (n,): only the difference has a meaning."""
        posed = self.posed(batch)
        with torch.no_grad(), self.undisturbed(self.G), self.arena.autocast():
            made = self.G(posed["source"])
        real, fake = (self.critique({"image": images}) for images in (posed["image"], made))
        assert real is not None and fake is not None
        return real - fake

    def trained(self) -> Translator:
        """G; where there is a game, with its weights before that."""
        if not self.config.rounds or self.config.blend is None:
            return super().trained()
        game, played = self.act()
        before = self.before if game and played else self.G
        return self.translator(Blend(before, self.G, self.config.blend))


def l1(made: Tensor, image: Tensor) -> Tensor:
    """Mean absolute difference of images (n, c, h, w) in [-1, 1], as that of values from 0 to 1."""
    return (made.float() - image).abs().mean() / 2
