"""GAIN: Missing Data Imputation using Generative Adversarial Nets (Yoon, Jordon and van der Schaar 2018), arXiv:1806.02920.

G fills in missing cells; D tells which cells were there, given a hint that reveals most of the mask. Where all columns
are numbers scaled by their range (--data.scaling range, kinds continuous) it is the paper's system, with the settings of
the authors' program, where the paper does not state them (batch, rounds, hint rate, optimizer).

Deviations: unless `--preset paper` or `program` is given, the hidden layers are narrower than a row, so that G cannot
just copy what it knows, and the learning rate falls to 0 (measured: docs, results). Always: a number may have modes and a column categories: these are softmaxes, reconstructed by cross-entropy (the
paper has it for binary columns), and D judges columns, not numbers; the paper's sums over cells are divided by how many
cells there are (of reconstruction: known ones), as in the authors' program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.core.latents import Latent, Uniform
from zerosum.core.schedules import constant, linear_decay
from zerosum.data.spec import Batch
from zerosum.networks.gain import GainDiscriminator, GainGenerator
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.imputer import Imputer
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of GAIN."""

    rounds: int = 10_000
    """Rounds, each one step of D and one of G on the same rows (the authors' program)."""
    batch_size: int = 128
    """Rows a batch (the authors' program)."""
    width: int | None = None
    """Units of each of the two hidden layers; None: `narrow` times as many as a row has numbers."""
    narrow: float = 0.75
    """Units of a hidden layer for each number of a row (the authors' program: 1)."""
    alpha: float = 100.0
    """Weight of the reconstruction of known cells (section 5; the authors' program: 100)."""
    hint: Literal["paper", "program"] = "paper"
    """paper: a cell that is not revealed looks half known (section 3.3), and D and G are judged by such cells alone
    (section 5); program: it looks missing, and all cells count, those too whose mask D was told."""
    hint_rate: float = 0.9
    """Share of cells whose mask is revealed (the authors' program)."""
    noise: float = 0.01
    """What is in the place of missing cells is uniform in [0, this) (the authors' program)."""
    adversary: float = 1.0
    """Weight of what D says; 0: no D at all, a denoising autoencoder."""
    adam: Adam = Adam(1e-3, (0.9, 0.999))
    """Both players' optimizer (the authors' program)."""
    decay: bool = True
    """Whether the learning rate falls to 0 in a straight line (in the authors' program it stays)."""


PRESETS = {
    "paper": Config(narrow=1.0, decay=False),
    "program": Config(hint="program", narrow=1.0, decay=False),
    "no-adversary": Config(adversary=0.0),
}


class GAIN(Game):
    """G fills in, D tells known cells from those that were filled in."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        if not 0.0 <= config.hint_rate <= 1.0:
            raise BadOption(f"--hint-rate is {config.hint_rate}; it is a share, from 0 to 1.")
        if config.narrow <= 0.0:
            raise BadOption(f"--narrow is {config.narrow}; it is how many units there are for a number, above 0.")
        self.G = GainGenerator(self.spec, config.width, narrow=config.narrow)
        self.latent = Uniform(self.G.latent, 0.0, config.noise)
        rate = linear_decay() if config.decay else constant
        self.generator = Player(self.G, optimizer=config.adam, rate=rate)
        if config.adversary > 0:
            self.D = GainDiscriminator(self.spec, config.width, narrow=config.narrow)
            self.discriminator = Player(self.D, optimizer=config.adam, rate=rate)

    def noise(self) -> dict[str, Latent]:
        """z, and by which cells are revealed."""
        return {"z": self.latent, "reveal": Uniform(len(self.G.cells), 0.0, 1.0)}

    def trained(self) -> Imputer:
        """The generator, which fills in."""
        return Imputer(self.averaged(self.G), self.latent, self.spec)

    def critique(self, batch: Batch) -> Tensor | None:
        """None: D judges cells, not rows."""
        return None

    def round(self, batches: Batches) -> None:
        """A step of D, one of G (algorithm 1)."""
        batch = next(batches)
        if self.config.adversary > 0:
            self.discriminator.step(self.discriminator_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def fill(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Numbers (n, k) in [0, 1] as they are and as G makes them of known cells and noise, G's logits (n, k), and the
        mask (n, c).
        """
        rows = batch["row"]
        known = self.G.cells.known(rows)
        x = self.G.numbers(rows)
        logits = self.G.logits(x, known, batch["z"]).float()
        return x, self.G.activate(logits), logits, known.float()

    def judged(self, x: Tensor, made: Tensor, mask: Tensor, reveal: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits (n, c) of the numbers with missing cells filled in and of the hint (sections 3.2 and 3.3), and which
        cells count (n, c).
        """
        own = mask.index_select(1, self.G.numbers.owner)
        b = (reveal < self.config.hint_rate).float()
        paper = self.config.hint == "paper"
        hint = b * mask + (0.5 * (1.0 - b) if paper else 0.0)
        return self.D(own * x + (1.0 - own) * made, hint).float(), 1.0 - b if paper else torch.ones_like(b)

    def discriminator_loss(self, batch: Batch) -> Losses:
        """Cross-entropy of the mask (section 5)."""
        x, made, _, mask = self.fill(batch)
        logits, counting = self.judged(x, made, mask, batch["reveal"])
        return {"mask": (counting * F.binary_cross_entropy_with_logits(logits, mask, reduction="none")).mean()}

    def generator_loss(self, batch: Batch) -> Losses:
        """-log D of cells that were filled in, and alpha times the reconstruction of the others (section 5)."""
        x, made, logits, mask = self.fill(batch)
        terms = {"reconstruction": self.config.alpha * self.reconstruction(x, made, logits, mask)}
        if self.config.adversary > 0:
            judged, counting = self.judged(x, made, mask, batch["reveal"])
            terms["adversarial"] = self.config.adversary * (counting * (1.0 - mask) * F.softplus(-judged)).mean()
        return terms

    def reconstruction(self, x: Tensor, made: Tensor, logits: Tensor, mask: Tensor) -> Tensor:
        """The mean over known cells of squared errors of places and cross-entropies of choices."""
        numbers = self.G.numbers
        wrong = torch.where(numbers.place, (made - x).square(), -x * numbers.log_chances(logits))
        return (wrong * mask.index_select(1, numbers.owner)).sum() / mask.sum().clamp_min(1.0)
