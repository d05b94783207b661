"""Augmentation of what a game's discriminator sees: its settings, its strength, and how that adapts.

With little data a discriminator learns the training images by heart. Shown only augmented images, real and generated
alike, it cannot; and as long as the augmentation leaves some images as they are, the generator does not learn to make
augmented ones (Karras et al. 2020, arXiv:2006.06676, section 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zerosum.core.errors import BadOption
from zerosum.core.schedules import between
from zerosum.objectives.augment import Policy, ada, diff_augment
from zerosum.training.player import pieces

if TYPE_CHECKING:
    from zerosum.training.batches import Batches
    from zerosum.training.game import Game


def _between_0_and_1(**settings: float) -> None:
    for name, value in settings.items():
        if not 0 <= value <= 1:
            raise BadOption(f"--augment.{name} is {value}; it must be between 0 and 1.")


@dataclass(frozen=True)
class DiffAugment:
    """Differentiable augmentation (Zhao et al. 2020, arXiv:2006.10738): every image, always."""

    policy: tuple[Policy, ...] = ("color", "translation", "cutout")
    """What is done: any of color, translation and cutout (section 4: all three where images are few)."""

    def __post_init__(self) -> None:
        if not self.policy:
            raise BadOption("--augment.policy is empty: name color, translation or cutout, or leave --augment out.")

    @property
    def start(self) -> float:
        """p: always 1."""
        return 1.0

    def apply(self, images: Tensor, p: Tensor) -> Tensor:
        """Images (n, c, h, w), augmented; `p` has no meaning here."""
        return diff_augment(images, self.policy)


@dataclass(frozen=True)
class ADA:
    """Adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676): as much as the discriminator needs.

    Its certainty r_t is the mean sign of what it says of real images, 0 where it guesses and 1 where it is sure of all.
    Above the target, the probability p of each operation grows, below it falls (section 3).
    """

    target: float = 0.6
    """The certainty r_t that is aimed at (section 3)."""
    p: float = 0.0
    """Probability of each operation at the beginning."""
    speed: float = 500_000.0
    """Samples in which p could go from 0 to 1 (section 3)."""
    every: int = 4
    """Rounds between two readings of r_t (section 3)."""
    limit: float = 0.8
    """Largest p: above, generated images may look augmented themselves (section 2)."""
    colour: float = 1.0
    """Factor on p for the operations on colours."""
    cutout: bool = False
    """Also cut squares out (not in the paper's own pipeline, for it gained little there)."""

    def __post_init__(self) -> None:
        _between_0_and_1(p=self.p, limit=self.limit, colour=self.colour)
        if not -1 < self.target < 1:
            raise BadOption(f"--augment.target is {self.target}; it is a mean sign, between -1 and 1.")
        if self.speed <= 0 or self.every < 1:
            raise BadOption(f"--augment.speed {self.speed:g} and --augment.every {self.every} must be more than 0.")

    @property
    def start(self) -> float:
        """p at the beginning."""
        return self.p

    def apply(self, images: Tensor, p: Tensor) -> Tensor:
        """Images (n, c, h, w), each operation with probability `p`, 0-d."""
        return ada(images, p, colour=self.colour, cutout=self.cutout)


@dataclass(frozen=True)
class Fixed:
    """ADA's operations with a probability that is set beforehand, as R3GAN has it (Huang et al. 2024, appendix)."""

    p: float = 0.2
    """Probability of each operation."""
    ramp: float | None = None
    """Samples over which it grows from 0, along half a cosine; None: it is there from the start."""
    colour: float = 1.0
    """Factor on p for the operations on colours (R3GAN: 0.5)."""
    cutout: bool = False
    """Also cut squares out (R3GAN does)."""

    def __post_init__(self) -> None:
        _between_0_and_1(p=self.p, colour=self.colour)
        if self.ramp is not None and self.ramp <= 0:
            raise BadOption(f"--augment.ramp is {self.ramp:g}; give the samples it takes, or leave it out.")

    @property
    def start(self) -> float:
        """p at the beginning."""
        return self.at(0)

    def at(self, samples: int) -> float:
        """p after so many samples."""
        return self.p if self.ramp is None else between(0.0, self.p)(samples / self.ramp)

    def apply(self, images: Tensor, p: Tensor) -> Tensor:
        """Images (n, c, h, w), each operation with probability `p`, 0-d."""
        return ada(images, p, colour=self.colour, cutout=self.cutout)


Augment = DiffAugment | ADA | Fixed

WORDS: dict[str, Augment] = {"diffaugment": DiffAugment(), "ada": ADA(), "fixed": Fixed()}
"""What the command line calls them (also the names of the classes in lower case)."""


class Augmentation(nn.Module):
    """What stands before a game's discriminator: augments images (n, c, h, w) in [-1, 1] while it is `active`.

    Random numbers are drawn from the global generator, which each round seeds anew, so a resumed training sees the same
    ones; micro-batches see others than the whole batch would.

    Args:
        settings: which augmentation.
        channels: of one image. A discriminator that is shown several images at once, joined along the channels, is
            shown each of them augmented by itself.

    Attributes:
        p: the strength, a 0-d buffer.
        direction: -1, 0 or 1: where p is going.
        active: whether the discriminator is shown augmented images now.
    """

    p: Tensor
    direction: Tensor

    def __init__(self, settings: Augment, channels: int):
        super().__init__()
        self.settings, self.channels, self.active = settings, channels, False
        self.register_buffer("p", torch.tensor(float(settings.start)))
        self.register_buffer("direction", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, k channels, h, w), k of them joined along the channels, augmented in full precision if active."""
        if not self.active:
            return images
        n, channels, height, width = images.shape
        with torch.autocast(images.device.type, enabled=False):
            single = images.reshape(n * channels // self.channels, self.channels, height, width)
            single = single if single.dtype == torch.float64 else single.float()
            return self.settings.apply(single, self.p).reshape(images.shape)

    def before(self, game: Game, batches: Batches) -> None:
        """Set the strength for the round to come; every so often read how certain the discriminator is."""
        settings = self.settings
        if isinstance(settings, Fixed):
            self.p.fill_(settings.at(batches.samples))
        elif isinstance(settings, ADA) and game.rounds % settings.every == 0:
            with game.augmenting():
                found = [game.certainty(piece) for piece in pieces(batches.peek(), game.arena.micro_batch)]
            certainty = game.arena.mean(torch.cat(found).sign().mean())
            self.direction.copy_((certainty - settings.target).sign())
            game.arena.log.add("augment/r_t", certainty)
        game.arena.log.add("augment/p", self.p)

    def after(self, samples: int) -> None:
        """Move the strength by what the round's samples allow."""
        if isinstance(self.settings, ADA):
            self.p.add_(self.direction, alpha=samples / self.settings.speed).clamp_(0.0, self.settings.limit)
