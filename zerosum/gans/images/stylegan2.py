"""Analyzing and Improving the Image Quality of StyleGAN (Karras et al. 2020), arXiv:1912.04958.

A mapping network turns z into w, which scales the channels of every convolution of the synthesis network (section 2);
images are summed up over the resolutions (section 4.1). Lazy R1 for D (section 3.1), path length regularisation
(section 3.2) and style mixing for G.
Settings are those released with its successors (arXiv:2006.06676, arXiv:2106.12423).

Deviations: noise of the synthesis network is drawn where it is used, so that micro-batches see other noise than one
batch does; the second z of style mixing starts at a layer of its own for each sample, not one for the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.core.settings import Auto
from zerosum.data.spec import Batch
from zerosum.networks import stylegan2
from zerosum.networks.shapes import classes_of, image_size
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.objectives.penalties import path_lengths, r1
from zerosum.training.automatic import ema_half_life, r1_gamma
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player
from zerosum.training.styled import StyledGenerator


@dataclass(frozen=True)
class Config:
    """Settings of StyleGAN2."""

    rounds: int = 781_250
    """Rounds, each one step of G and one of D (25 million images in batches of 32)."""
    batch_size: int = 32
    """Samples a batch (appendix B)."""
    latent: int = 512
    """Components of z, standard normal."""
    w: int = 512
    """Components of w."""
    mapping_layers: int = 8
    """Layers of the mapping network (2 for small data sets: StyleGAN2-ADA, appendix C)."""
    channel_base: int = 32768
    """Channels at a resolution of r pixels are channel_base / r ..."""
    channel_max: int = 512
    """... but never more than this."""
    conditional: bool = False
    """Whether generator and discriminator are given the label."""
    channels: tuple[int, ...] | None = None
    """Channels of each resolution, coarsest first; None: by channel_base and channel_max."""
    clamp: float | None = None
    """Largest magnitude of G's activations (256 in networks that were trained in half precision); None: any."""
    gamma: float | Auto = "auto"
    """Weight of R1; auto: 0.0002 pixels / batch size (StyleGAN2-ADA, appendix C)."""
    r1_every: int = 16
    """Rounds between two steps on R1 (section 3.1)."""
    path_length: float | None = 2.0
    """Weight of the path length regularisation (appendix B); None: off, as small data sets have it."""
    path_every: int = 4
    """Rounds between two steps on path lengths (section 3.1)."""
    path_decay: float = 0.01
    """Share of the new value in the moving average of path lengths (appendix B)."""
    style_mixing: float | None = 0.9
    """Probability of a second z from some layer on (StyleGAN, section 3.1); None: off."""
    minibatch_std: int = 4
    """Samples a group of the minibatch standard deviation; 0: off."""
    adam: Adam = Adam(0.002, (0.0, 0.99))
    """Both players' optimizer (appendix B; 0.0025 for small networks)."""
    ema_half_life: float | Auto | None = "auto"
    """Half-life of the generator's moving average, in samples; None: off; auto: 10,000 at batch size 32, in
    proportion to the batch size."""


FASTER = Adam(0.0025, (0.0, 0.99))
PRESETS = {
    #                   rounds  batch  z    w  layers  base  max
    "laptop":  Config(  78_125,  16, 512, 512,   2,   4096, 128, path_length=None, style_mixing=None, adam=FASTER),
    "small":   Config( 390_625,  64, 512, 512,   2,  16384, 512, path_length=None, style_mixing=None, adam=FASTER),
    "lighter": Config( 390_625,  64, 512, 512,   8,  16384, 512),
    "paper":   Config(),
}  # fmt: skip


class StyleGAN2(Game):
    """D tells real from generated images; G makes images that D takes for real, and moves evenly with w."""

    Config = Config
    path_mean: Tensor

    def build(self) -> None:
        """Networks and players."""
        config, shape = self.config, image_size(self.spec)
        self.conditional = config.conditional
        classes = classes_of(self.spec, "stylegan2 --conditional") if config.conditional else 0
        self.latent = Normal(config.latent)
        self.G = stylegan2.Generator(
            config.latent, shape, classes=classes, w=config.w, layers=config.mapping_layers, base=config.channel_base,
            most=config.channel_max, channels=config.channels, clamp=config.clamp,
        )  # fmt: skip
        self.D = stylegan2.Discriminator(
            shape, classes=classes, base=config.channel_base, most=config.channel_max, channels=config.channels,
            group=config.minibatch_std,
        )  # fmt: skip
        self.gamma = self.choose("gamma", config.gamma, *r1_gamma(self.spec, config.batch_size))
        half_life = config.ema_half_life
        if half_life is not None:
            half_life = self.choose("ema-half-life", half_life, *ema_half_life(config.batch_size))
        self.register_buffer("path_mean", torch.zeros(()))
        self.discriminator = Player(self.D, optimizer=config.adam, lazy=config.r1_every)
        lazy = config.path_every if config.path_length else None
        self.generator = Player(self.G, optimizer=config.adam, lazy=lazy, ema_half_life=half_life)

    def noise(self) -> dict[str, Latent]:
        """z; for style mixing also another z, and where it begins."""
        other: dict[str, Latent] = {"other": self.latent, "cut": Uniform(2, 0.0, 1.0)}
        return {"z": self.latent, **(other if self.config.style_mixing else {})}

    def trained(self) -> StyledGenerator:
        """The moving average of G, with its mapping network."""
        return StyledGenerator(self.averaged(self.G), self.latent, self.spec, conditional=self.conditional)

    def round(self, batches: Batches) -> None:
        """A step of G and one of D; every so often one of each on its regulariser alone, so much the longer."""
        config, batch = self.config, next(batches)
        self.generator.step(self.generator_loss, batch)
        if config.path_length and self.rounds % config.path_every == 0:
            half = {name: value[: (len(value) + 1) // 2] for name, value in batch.items()}
            lengths = self.generator.step(self.path_penalty, half, gain=float(config.path_every))["lengths"]
            self.path_mean.lerp_(self.arena.mean(lengths.mean()), config.path_decay)
        self.discriminator.step(self.discriminator_loss, batch)
        if self.rounds % config.r1_every == 0:
            self.discriminator.step(self.penalty, batch, gain=float(config.r1_every))

    def label(self, batch: Batch) -> Tensor | None:
        """What both networks are conditioned on."""
        return batch["label"] if self.conditional else None

    def styles(self, batch: Batch) -> Tensor:
        """w (n, layers, size), from some layer on of another z in most samples (style mixing)."""
        ws = self.G.mapping(batch["z"], self.label(batch))
        if not self.config.style_mixing:
            return ws
        others = self.G.mapping(batch["other"], self.label(batch))
        happens, place = batch["cut"].unbind(1)
        layers = ws.shape[1]
        cut = torch.where(happens < self.config.style_mixing, 1 + (place * (layers - 1)).floor(), layers)
        first = torch.arange(layers, device=cut.device) < cut[:, None]
        return torch.where(first[:, :, None], ws, others)

    def generator_loss(self, batch: Batch) -> Losses:
        """-log D(G(z))."""
        fake = self.G.synthesis(self.styles(batch))
        return {"adversarial": nonsaturating_g(self.D(fake, self.label(batch)))}

    def path_penalty(self, batch: Batch) -> Losses:
        """(||J^T y|| - a)^2: steps of a given length in w change the image by about as much everywhere (equation 4)."""
        ws = self.styles(batch)
        lengths = path_lengths(self.G.synthesis(ws), ws)
        target = self.path_mean.lerp(lengths.detach().mean(), self.config.path_decay)
        return {"path": self.config.path_length * (lengths - target).square().mean(), "lengths": lengths}

    def discriminator_loss(self, batch: Batch) -> Losses:
        """-log D(x) - log(1 - D(G(z)))."""
        fake, label = self.G.synthesis(self.styles(batch)), self.label(batch)
        return {"adversarial": logistic_d(self.D(batch["image"], label), self.D(fake, label))}

    def penalty(self, batch: Batch) -> Losses:
        """gamma/2 ||grad D(x)||^2 (Mescheder et al. 2018, equation 9)."""
        label = self.label(batch)
        return {"r1": self.gamma * r1(lambda x: self.D(x, label), batch["image"])}
