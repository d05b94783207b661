"""Alias-Free Generative Adversarial Networks (Karras et al. 2021), arXiv:2106.12423: StyleGAN3.

Every layer of G treats its pixels as samples of a smooth signal and filters what a non-linearity would fold over
(section 3), so that details
move with what they belong to: T with translations, R with rotations too. D, its losses and R1 are StyleGAN2's; no path
lengths, no style mixing, no noise inputs.

Deviations: square images only; weights and styles are not brought to unit size before modulation, which demodulation
makes good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.core.latents import Normal
from zerosum.core.settings import Auto
from zerosum.data.spec import Batch
from zerosum.networks import stylegan2, stylegan3
from zerosum.networks.resample import gaussian_blur
from zerosum.networks.shapes import classes_of, image_size
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.objectives.penalties import r1
from zerosum.training.automatic import ema_half_life, r1_gamma
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player
from zerosum.training.styled import StyledGenerator


@dataclass(frozen=True)
class Config:
    """Settings of StyleGAN3."""

    rounds: int = 781_250
    """Rounds, each one step of G and one of D (25 million images in batches of 32)."""
    batch_size: int = 32
    """Samples a batch (appendix D)."""
    variant: Literal["t", "r"] = "t"
    """T: equivariant to translation (3 x 3 convolutions); R: also to rotation (1 x 1 convolutions, radial filters)."""
    latent: int = 512
    """Components of z, standard normal."""
    w: int = 512
    """Components of w."""
    mapping_layers: int = 2
    """Layers of the mapping network (section 3.2)."""
    layers: int = 14
    """Layers of the synthesis network besides the last (section 3.2)."""
    critical: int = 2
    """How many of the last of them are critically sampled (section 3.2)."""
    channel_base: int = 32768
    """Channels of G: channel_base / 2 / cutoff ... (R: 65536)."""
    channel_max: int = 512
    """... but never more than this (R: 1024)."""
    discriminator_base: int = 32768
    """Channels of D at a resolution of r pixels: discriminator_base / r ..."""
    discriminator_max: int = 512
    """... but never more than this."""
    conditional: bool = False
    """Whether generator and discriminator are given the label."""
    channels: tuple[int, ...] | None = None
    """Channels of G's layers but the last; None: by channel_base and channel_max."""
    clamp: float | None = 256.0
    """Largest magnitude of G's activations; None: any."""
    gamma: float | Auto = "auto"
    """Weight of R1; auto: 0.0002 pixels / batch size."""
    r1_every: int = 16
    """Rounds between two steps on R1."""
    blur: float | None = None
    """Standard deviation, in pixels, of the blur that D sees at first (R: 10; appendix D.2); None: off."""
    magnitude_half_life: float = 20_000.0
    """Half-life of the moving averages of magnitudes, in samples (section 3.2)."""
    generator_adam: Adam = Adam(0.0025, (0.0, 0.99))
    """G's optimizer (appendix D)."""
    discriminator_adam: Adam = Adam(0.002, (0.0, 0.99))
    """D's optimizer (appendix D)."""
    ema_half_life: float | Auto | None = "auto"
    """Half-life of the generator's moving average, in samples; None: off; auto: 10,000 at batch size 32, in
    proportion to the batch size."""


PRESETS = {
    "laptop-t": Config(78_125, 16, "t", 512, 512, 2, 14, 2, 4096, 128, 4096, 128),
    "laptop-r": Config(78_125, 16, "r", 512, 512, 2, 14, 2, 8192, 256, 4096, 128, blur=10.0),
    "paper-t":  Config(),
    "paper-r":  Config(variant="r", channel_base=65536, channel_max=1024, blur=10.0),
}  # fmt: skip


class StyleGAN3(Game):
    """D tells real from generated images; G makes images that D takes for real."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config, shape = self.config, image_size(self.spec)
        if shape[1] != shape[2]:
            size = f"{shape[1]} x {shape[2]}"
            raise BadOption(f"stylegan3 makes square images, not {size}: give --data.resolution 64, say.")
        self.conditional = config.conditional
        classes = classes_of(self.spec, "stylegan3 --conditional") if config.conditional else 0
        self.latent = Normal(config.latent)
        rotating = config.variant == "r"
        self.G = stylegan3.Generator(
            config.latent, shape, classes=classes, w=config.w, mapping_layers=config.mapping_layers,
            layers=config.layers, kernel=1 if rotating else 3, radial=rotating, base=config.channel_base,
            most=config.channel_max, widths=config.channels, critical=config.critical, clamp=config.clamp,
            decay=0.5 ** (config.batch_size / config.magnitude_half_life),
        )  # fmt: skip
        self.D = stylegan2.Discriminator(
            shape, classes=classes, base=config.discriminator_base, most=config.discriminator_max
        )
        self.gamma = self.choose("gamma", config.gamma, *r1_gamma(self.spec, config.batch_size))
        half_life = config.ema_half_life
        if half_life is not None:
            half_life = self.choose("ema-half-life", half_life, *ema_half_life(config.batch_size))
        self.discriminator = Player(self.D, optimizer=config.discriminator_adam, lazy=config.r1_every)
        self.generator = Player(self.G, optimizer=config.generator_adam, ema_half_life=half_life)

    def trained(self) -> StyledGenerator:
        """The moving average of G, with its mapping network."""
        return StyledGenerator(self.averaged(self.G), self.latent, self.spec, conditional=self.conditional)

    def round(self, batches: Batches) -> None:
        """A step of G and one of D; every so often one of D on R1 alone, so much the longer."""
        batch = next(batches)
        self.generator.step(self.generator_loss, batch)
        self.discriminator.step(self.discriminator_loss, batch)
        if self.rounds % self.config.r1_every == 0:
            self.discriminator.step(self.penalty, batch, gain=float(self.config.r1_every))

    def critic(self, x: Tensor, label: Tensor | None) -> Tensor:
        """D's logits (n,) of images that are blurred at first, so that it does not tell R by its details."""
        fading = 1.0 - self.arena.samples / (self.config.batch_size * 200_000 / 32)
        sigma = (self.config.blur or 0.0) * max(fading, 0.0)
        logits: Tensor = self.D(gaussian_blur(x, sigma), label)
        return logits

    def label(self, batch: Batch) -> Tensor | None:
        """What both networks are conditioned on."""
        return batch["label"] if self.conditional else None

    def generator_loss(self, batch: Batch) -> Losses:
        """-log D(G(z))."""
        label = self.label(batch)
        return {"adversarial": nonsaturating_g(self.critic(self.G(batch["z"], label), label))}

    def discriminator_loss(self, batch: Batch) -> Losses:
        """-log D(x) - log(1 - D(G(z)))."""
        label = self.label(batch)
        fake = self.G(batch["z"], label)
        return {"adversarial": logistic_d(self.critic(batch["image"], label), self.critic(fake, label))}

    def penalty(self, batch: Batch) -> Losses:
        """gamma/2 ||grad D(x)||^2 (Mescheder et al. 2018, equation 9)."""
        label = self.label(batch)
        return {"r1": self.gamma * r1(lambda x: self.critic(x, label), batch["image"])}
