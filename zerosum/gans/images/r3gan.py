"""The GAN is dead; long live the GAN! A Modern GAN Baseline (Huang et al. 2024), arXiv:2501.05441.

The whole baseline: relativistic pairing (equation 2), gradient penalties on real and on generated images (equation 3),
ResNeXt networks without normalisation (section 3), and schedules of learning rate, gamma, Adam's beta2 and the moving
average (appendix).

Deviations: both players step at once, which makes their step one pass through D: no sample of a batch influences
another's logit, so the gradient that R2 penalises, times a number for each sample, is also the one that G descends;
bf16 in the 4 x 4 stage too; augmentation is a choice of the run (`--augment`), not part of the system. `lazy` takes
the penalties every k rounds only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zerosum.core.latents import Normal
from zerosum.core.schedules import between
from zerosum.core.settings import Auto
from zerosum.data.spec import Batch
from zerosum.networks import resnext
from zerosum.networks.shapes import classes_of, image_size, plan
from zerosum.objectives.adversarial import relativistic_d, relativistic_pull
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player, simultaneously


@dataclass(frozen=True)
class Config:
    """Settings of R3GAN. A schedule goes from its first to its second value along half a cosine."""

    rounds: int = 390_625
    """Rounds, each one step of both players (200 million images in batches of 512)."""
    batch_size: int = 512
    """Samples a batch."""
    latent: int = 64
    """Components of z, standard normal."""
    conditional: bool = False
    """Whether generator and discriminator are given the label."""
    width: int = 768
    """Channels of the coarse stages ..."""
    wide_to: int = 32
    """... up to so many pixels; each finer stage has half the channels of the one before."""
    group: int = 8
    """Channels of a block's input per group of its grouped convolution (16 for ImageNet)."""
    blocks: int = 2
    """Residual blocks a stage."""
    expansion: int = 2
    """Of the channels inside a block."""
    widths: tuple[int, ...] | None = None
    """Channels of each stage, coarsest first; None: by width and wide_to."""
    cardinalities: tuple[int, ...] | None = None
    """Groups of each stage; None: by group."""
    blocks_each: tuple[int, ...] | None = None
    """Residual blocks of each stage; None: blocks."""
    embedding: int = 64
    """Components of the embedded label in G."""
    gamma: tuple[float, float] | Auto = "auto"
    """Schedule of the weight of R1 and R2; auto: (pixels / 64^2)^1.5, falling to a tenth of it."""
    lr: tuple[float, float] = (2e-4, 5e-5)
    """Schedule of the learning rate."""
    beta2: tuple[float, float] = (0.9, 0.99)
    """Schedule of Adam's beta2; beta1 is 0."""
    ema_half_life: tuple[float, float] | None = (0.0, 500_000.0)
    """Schedule of the half-life of the generator's moving average, in samples; None: off."""
    decay: float | None = 20e6
    """Samples after which the schedules have arrived; None: at the end of training."""
    lazy: int | None = None
    """Take the penalties in every so many rounds only, so much heavier; None: always, as in the paper."""


def recipe(
    rounds: int, batch_size: int, latent: int, conditional: bool, width: int, wide_to: int, group: int, blocks: int,
    half_life: float, decay: float | None, gamma: tuple[float, float] | Auto = "auto", lr: tuple[float, float] = (2e-4, 5e-5),
) -> Config:  # fmt: skip
    """One line of the table of presets; the half-life of the moving average rises from nothing.

    The laptop's batch size and learning rate are the best of six by the Fréchet distance to the training images of
    CIFAR-10 after 60,000 images (classifier features; 5.5 to 12.1): the paper's are for far larger networks.
    """
    return Config(
        rounds, batch_size, latent, conditional, width, wide_to, group, blocks,
        gamma=gamma, lr=lr, ema_half_life=(0.0, half_life), decay=decay,
    )  # fmt: skip


PRESETS = {
    #                      rounds  batch  z  cond. width  to group blocks  EMA half-life    decay  gamma
    "laptop":     recipe( 312_500,   32, 64, False,  128,  8,    8,     1,          10e3,   None, lr=(1e-3, 1e-4)),
    "cifar10":    recipe( 390_625,  512, 64, True,   768, 32,    8,     2,           5e6,   20e6, (0.05, 0.005)),
    "ffhq64":     recipe( 781_250,  256, 64, False,  768, 32,    8,     2,           5e5,   20e6, (2.0, 0.2)),
    "ffhq256":    recipe( 781_250,  256, 64, False,  768, 32,    8,     2,           5e5,   20e6, (150.0, 15.0)),
    "imagenet32": recipe( 244_140, 4096, 64, True,  1536, 32,   16,     2,          50e6,  200e6, (0.5, 0.05)),
    "imagenet64": recipe( 244_140, 4096, 64, True,  1536, 64,   16,     2,          50e6,  200e6, (1.0, 0.1)),
}  # fmt: skip


class R3GAN(Game):
    """D tells which of two images is the real one; G makes the generated one look more real."""

    Config = Config
    undecided = None

    def build(self) -> None:
        """Networks and players."""
        config, shape = self.config, image_size(self.spec)
        self.conditional = config.conditional
        classes = classes_of(self.spec, "r3gan --conditional") if config.conditional else 0
        stages = self.stages(shape[1], shape[2])
        self.latent = Normal(config.latent)
        self.G = resnext.Generator(config.latent, shape, stages, classes=classes, embedding=config.embedding)
        self.D = resnext.Discriminator(shape, stages, classes=classes)
        self.gamma = self.gammas(shape[1] * shape[2])
        adam = Adam(config.lr[0], (0.0, config.beta2[0]))
        falling = between(1.0, config.lr[1] / config.lr[0])
        self.discriminator = Player(self.D, optimizer=adam, rate=lambda _: falling(self.arrived))
        averaged = None if config.ema_half_life is None else config.ema_half_life[0]
        self.generator = Player(self.G, optimizer=adam, rate=lambda _: falling(self.arrived), ema_half_life=averaged)

    def stages(self, height: int, width: int) -> resnext.Stages:
        """Widths, cardinalities and blocks of the stages, coarsest (4 px) first."""
        config, (levels, _) = self.config, plan(height, width)
        widths = config.widths or tuple(
            max(config.width * min(config.wide_to, 4 * 2**level) // (4 * 2**level), config.group)
            for level in range(levels + 1)
        )
        groups = config.cardinalities or tuple(max(wide // config.group, 1) for wide in widths)
        blocks = config.blocks_each or (config.blocks,) * len(widths)
        return resnext.Stages(widths, groups, blocks, config.expansion)

    def gammas(self, pixels: int) -> tuple[float, float]:
        """The schedule of gamma: within a factor of 4 of all the paper's settings, 0.05 at 32 px to 150 at 256 px."""
        if self.config.gamma != "auto":
            return self.config.gamma
        start = (pixels / 64**2) ** 1.5
        start = self.choose("gamma", "auto", start, f"({pixels} pixels / 64^2)^1.5, falling to a tenth")
        return start, start / 10

    @property
    def arrived(self) -> float:
        """How far the schedules are, 0 to 1."""
        return self.arena.progress if self.config.decay is None else min(self.arena.samples / self.config.decay, 1.0)

    def round(self, batches: Batches) -> None:
        """One step of both at once."""
        batch, config = next(batches), self.config
        for player in (self.discriminator, self.generator):
            player.retune(beta2=between(*config.beta2)(self.arrived))
        if config.ema_half_life is not None:
            self.generator.ema_half_life = between(*config.ema_half_life)(self.arrived)
        weight = 1.0 if config.lazy is None else float(config.lazy) * (self.rounds % config.lazy == 0)
        simultaneously(lambda piece: self.losses(piece, weight), batch, self.generator, self.discriminator)

    def losses(self, batch: Batch, weight: float) -> tuple[Losses, Losses]:
        """G: f(D(x) - D(G(z))). D: f(D(G(z)) - D(x)) + gamma/2 ||grad D(x)||^2 + gamma/2 ||grad D(G(z))||^2.

        f(t) = log(1 + e^t) (equations 2 and 3); `weight` is that of the penalties.
        """
        label = batch["label"] if self.conditional else None
        fake = self.G(batch["z"], label)
        images = torch.cat([batch["image"], fake.detach()]).requires_grad_(True)
        logits = self.D(images, None if label is None else torch.cat([label, label]))
        (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=weight > 0, retain_graph=True)
        real, generated = logits.chunk(2)
        g = {"adversarial": relativistic_pull(real, generated, fake, gradients.chunk(2)[1])}
        d = {"adversarial": relativistic_d(real, generated)}
        if weight:
            gamma = weight * between(*self.gamma)(self.arrived)
            r1, r2 = gradients.float().flatten(1).square().sum(1).chunk(2)
            d |= {"r1": gamma * 0.5 * r1.mean(), "r2": gamma * 0.5 * r2.mean()}
        return g, d
