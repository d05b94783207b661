"""Progressive Growing of GANs for Improved Quality, Stability, and Variation (Karras et al. 2018), arXiv:1710.10196.

G and D begin on a grid of 4 x 4 pixels; layers for twice the resolution are faded in again and again (section 2,
figure 2). D sees how much the samples of a batch vary (section 3); weights are scaled when used, G's features
normalised in each pixel (section 4). The loss is that of WGAN-GP with a term that keeps D's values near 0 (appendix A).

Deviations: minibatch standard deviation in groups of 4, as in the authors' second program, rather than over the whole
batch; biases share the gain sqrt 2 of the weights before a leaky ReLU; no ramp of the learning rate over the first
40,000 images; G steps on the z that D has just seen. Labels are an option: concatenated to z, and projected in D
(the authors' program: a classifier in D). Phases are counted in rounds of their batch size: `--run.batch-size` makes
them longer or shorter, and `--run.minutes` may end before the full size is reached; images are then enlarged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.data.spec import Batch
from zerosum.networks import progan
from zerosum.networks.shapes import classes_of, image_size, plan
from zerosum.objectives.adversarial import wasserstein_d, wasserstein_g
from zerosum.objectives.penalties import gradient_penalty
from zerosum.training.batches import Batches
from zerosum.training.game import Game, Phase
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of ProGAN; by default those for CelebA-HQ (appendix A.1)."""

    stabilise: int = 800_000
    """Images shown at each resolution once it is there (appendix A.1; the authors' second program: 600,000)."""
    fade_in: int = 800_000
    """Images shown while a resolution fades in (appendix A.1)."""
    finish: int = 5_400_000
    """Further images at full size (the authors' program: 19 million in all at 1024 px)."""
    batch_size: int = 16
    """Samples a batch, up to 128 px (appendix A.1) ..."""
    fine_batches: tuple[int, int, int] = (14, 6, 3)
    """... and at most so many at 256, 512 and 1024 px, where memory is short."""
    latent: int = 512
    """Components of z, normalised to unit mean square."""
    channel_base: int = 8192
    """Channels at a resolution of r pixels are 2 channel_base / r ..."""
    channel_max: int = 512
    """... but never more than this (table 2)."""
    conditional: bool = False
    """Whether generator and discriminator are given the label."""
    minibatch_std: int = 4
    """Samples a group of the minibatch standard deviation (section 3); 0: off."""
    penalty: float = 10.0
    """Weight of the gradient penalty, lambda."""
    target: float = 1.0
    """Norm that the penalty asks of D's gradient, gamma (750 for CIFAR-10, appendix D)."""
    drift: float = 0.001
    """Weight of D(x)^2, epsilon_drift (appendix A)."""
    adam: Adam = Adam(1e-3, (0.0, 0.99), 1e-8)
    """Both players' optimizer (appendix A); its memory is cleared when a resolution begins to fade in."""
    ema_half_life: float | None = 11_085.0
    """Half-life of the generator's moving average, in samples (a decay of 0.999 a batch of 16, appendix A); None: off.
    """


PRESETS = {
    #                      stabilise  fade_in   finish  batch  fine_batches    z   base   max
    "laptop":       Config(   10_000,  10_000, 400_000,    32, (16, 8, 4),   128,   512,   64, ema_half_life=5_000.0),
    "cifar10":      Config(  400_000, 400_000, 17_200_000, 16, (16, 16, 16), 128,  4096,  128, target=750.0),
    "lsun256":      Config(  800_000, 800_000, 9_600_000,  16, (16, 16, 16), 512,  8192,  512),
    "celebahq1024": Config(),
}  # fmt: skip


class ProGAN(Game):
    """The critic tells how far generated images are from real ones, at a resolution that grows; G brings them nearer."""

    Config = Config
    undecided = None

    def build(self) -> None:
        """Networks and players."""
        config, shape = self.config, image_size(self.spec)
        self.conditional = config.conditional
        classes = classes_of(self.spec, "progan --conditional") if config.conditional else 0
        self.latent = Normal(config.latent)
        self.levels, self.grid = plan(shape[1], shape[2])
        base, most = config.channel_base, config.channel_max
        self.G = progan.Generator(config.latent, shape, classes=classes, base=base, most=most)
        self.D = progan.Discriminator(shape, classes=classes, base=base, most=most, group=config.minibatch_std)
        self.critic = Player(self.D, optimizer=config.adam)
        self.generator = Player(self.G, optimizer=config.adam, ema_half_life=config.ema_half_life)

    def noise(self) -> dict[str, Latent]:
        """z, and where between real and generated samples the penalty is taken."""
        return {"z": self.latent, "mix": Uniform(1, 0.0, 1.0)}

    def phases(self) -> list[Phase]:
        """From the coarsest grid on: each resolution fades in, then stays a while (section 2)."""
        config, phases = self.config, []
        for level in range(self.levels + 1):
            size = "x".join(str(side * 2**level) for side in self.grid)
            batch = self.batch_at(level)
            if level:
                rounds = math.ceil(config.fade_in / batch)
                phases.append(Phase(f"{size} fades in", rounds, partial(self.fade, level), batch, self.forget))
            shown = config.stabilise + (config.finish if level == self.levels else 0)
            phases.append(Phase(size, math.ceil(shown / batch), partial(self.play, float(level)), batch))
        return phases

    def batch_at(self, level: int) -> int:
        """Samples a batch where images are 4 * 2**level pixels high."""
        fine = self.config.fine_batches
        limit = fine[min(level - 6, 2)] if level >= 6 else self.config.batch_size
        return min(self.config.batch_size, limit)

    def forget(self) -> None:
        """Other layers, other gradients: the optimizers begin anew."""
        for player in self.players.values():
            player.reset()

    def fade(self, level: int, batches: Batches) -> None:
        """A round in which the weight alpha of this level, linear in the phase's rounds, is that much nearer to 1."""
        phase, played = self.phase()
        self.play(level - 1 + (played + 1) / phase.rounds, batches)

    def play(self, growth: float, batches: Batches) -> None:
        """A round with all networks, averages too, grown so far."""
        for network in self.modules():
            if isinstance(network, progan.Growing):
                network.growth = growth
        self.round(batches)

    def round(self, batches: Batches) -> None:
        """One step of the critic, one of G (n_critic = 1, appendix A)."""
        batch = next(batches)
        batch["image"] = self.D.seen(batch["image"])
        self.critic.step(self.critic_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def critique(self, batch: Batch) -> Tensor | None:
        """Logits (n,) of the images of `batch`, at the resolution grown to."""
        return super().critique({**batch, "image": self.D.seen(batch["image"])})

    def label(self, batch: Batch) -> Tensor | None:
        """What both networks are conditioned on."""
        return batch["label"] if self.conditional else None

    def critic_loss(self, batch: Batch) -> Losses:
        """D(G(z)) - D(x) + lambda (||grad D(x^)|| - gamma)^2 / gamma^2 + epsilon D(x)^2 (appendices A and D)."""
        config, label = self.config, self.label(batch)
        fake = self.G.grown(batch["z"], label)
        real = self.D(batch["image"], label)
        norms = gradient_penalty(lambda x: self.D(x, label), batch["image"], fake, batch["mix"], config.target)
        return {
            "adversarial": wasserstein_d(real, self.D(fake, label)),
            "penalty": config.penalty / config.target**2 * norms,
            "drift": config.drift * real.square().mean(),
        }

    def generator_loss(self, batch: Batch) -> Losses:
        """-D(G(z))."""
        label = self.label(batch)
        return {"adversarial": wasserstein_g(self.D(self.G.grown(batch["z"], label), label))}
