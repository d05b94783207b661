"""Masked imputation with a critic (after Du, Melis and Wang 2023; Yoon et al. 2018), arXiv:2309.13793, arXiv:1806.02920.

Rows are hidden in part, more of one row than of another, and a network guesses what was hidden (ReMasker, Du, Melis and
Wang 2023, section 3): numbers as distributions over places whose mean is taken (Imani and White 2018; two-hot targets of
Schrittwieser et al. 2020), categories as categories, in a residual perceptron (Gorishniy et al. 2021, arXiv:2106.11959).
Then a critic joins, which sees the hidden cells of a row, true ones or drawn ones, beside the visible ones: a
conditional game on what GAIN (Yoon et al. 2018) leaves to a hint, with the relativistic loss and the two gradient
penalties of R3GAN (Huang et al. 2024, arXiv:2501.05441) and draws by the straight-through Gumbel softmax (Jang et al.
2017, arXiv:1611.01144). Cells are drawn in groups, each after those before are known (Hoogeboom et al. 2022,
arXiv:2110.02037).

Deviations: a system of zerosum's own, not one paper's: a perceptron and not a transformer, a loss on hidden cells alone,
mixed types, and the game.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.core.schedules import between
from zerosum.data.spec import Batch
from zerosum.networks.masked_rows import MaskedRows, RowCritic
from zerosum.objectives.adversarial import relativistic_d, relativistic_g
from zerosum.objectives.penalties import r1, r2
from zerosum.training.batches import Batches
from zerosum.training.game import Game, Phase
from zerosum.training.imputer import Imputer
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player


@dataclass(frozen=True)
class Config:
    """Settings of the masked imputer."""

    rounds: int = 2_000
    """Rounds in which G learns to guess."""
    adversarial_rounds: int = 500
    """Rounds after these in which the critic joins; 0: no critic at all."""
    batch_size: int = 512
    """Rows a batch."""
    width: int = 256
    """Of G's residual perceptron."""
    critic_width: int = 128
    """Of the critic's."""
    layers: int = 2
    """Residual blocks of G and of the critic."""
    dropout: float = 0.3
    """Share of the hidden units of G that are dropped while training."""
    bins: int = 32
    """Places that a number may have, shared out to its modes."""
    latent: int = 16
    """Components of z, standard normal, by which drawn cells of a row vary together; none without a critic."""
    passes: int = 4
    """In how many groups the missing cells of a row are drawn, each after those before are known."""
    hiding: tuple[float, float] = (0.0, 0.6)
    """The share of a row's known cells that is hidden: uniform between these."""
    adversary: float = 1.0
    """Weight of the critic's loss for G; that of guessing is 1."""
    gamma: float = 1.0
    """Weight of the critic's gradient penalties, on true and on drawn rows."""
    temperature: float = 1.0
    """Of the Gumbel softmax."""
    adam: Adam = Adam(1e-3, (0.9, 0.99))
    """G's optimizer."""
    critic_adam: Adam = Adam(5e-4, (0.0, 0.99))
    """The critic's optimizer."""
    final_rate: float = 0.1
    """What G's learning rate falls to along half a cosine, and stays at in the game."""
    ema_half_life: float | None = 50_000.0
    """Half-life of G's moving average, in samples; None: off."""


PRESETS = {"no-adversary": Config(rounds=2_500, adversarial_rounds=0)}


class MaskedImputer(Game):
    """G guesses hidden cells; a critic tells rows with drawn cells from true ones."""

    Config = Config

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        low, high = config.hiding
        if not 0.0 <= low <= high <= 1.0 or high == 0.0:
            raise BadOption(f"--hiding is {low} {high}; it takes two shares, the lower first, the higher above 0.")
        if config.rounds + config.adversarial_rounds < 1:
            raise BadOption("--rounds and --adversarial-rounds are both 0: there is nothing to learn.")
        latent = config.latent if config.adversarial_rounds else 0
        self.G = MaskedRows(
            self.spec, width=config.width, blocks=config.layers, bins=config.bins, latent=latent,
            passes=config.passes, dropout=config.dropout,
        )  # fmt: skip
        self.latent = Normal(latent)
        self.generator = Player(
            self.G, optimizer=config.adam, clip=1.0, rate=self.rate, ema_half_life=config.ema_half_life
        )
        if config.adversarial_rounds:
            self.D = RowCritic(self.spec, width=config.critic_width, blocks=config.layers)
            self.critic = Player(self.D, optimizer=config.critic_adam)

    def rate(self, progress: float) -> float:
        """Factor on G's learning rate: up in the first fiftieth, down along half a cosine, level in the game."""
        config = self.config
        share = config.rounds / (config.rounds + config.adversarial_rounds)
        done = progress / share if progress < share else 1.0
        return min(1.0, done * 50 + 0.02) * between(1.0, config.final_rate)(done)

    def phases(self) -> list[Phase]:
        """Guessing alone, then against the critic."""
        config = self.config
        found = [Phase("guessing", config.rounds, self.guessing)] if config.rounds else []
        return found + ([Phase("game", config.adversarial_rounds, self.round)] if config.adversarial_rounds else [])

    def noise(self) -> dict[str, Latent]:
        """z, and by which cells are hidden: first how many, then which. For draws: which atom, and where beside it."""
        cells, atoms = len(self.G.cells), self.G.atoms.total
        return {
            "z": self.latent, "hide": Uniform(1 + cells, 0.0, 1.0), "atom": Uniform(atoms, 0.0, 1.0),
            "beside": Uniform(cells, 0.0, 1.0),
        }  # fmt: skip

    def trained(self) -> Imputer:
        """The guesser."""
        return Imputer(self.averaged(self.G), self.latent, self.spec)

    def critique(self, batch: Batch) -> Tensor | None:
        """None: the critic judges hidden cells beside visible ones, not rows alone."""
        return None

    def guessing(self, batches: Batches) -> None:
        """One step of G, without the critic."""
        self.generator.step(self.guess_loss, next(batches))

    def round(self, batches: Batches) -> None:
        """One step of the critic, one of G."""
        self.critic.step(self.critic_loss, next(batches))
        self.generator.step(self.generator_loss, next(batches))

    def hide(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Which cells (n, c) are visible, and which are hidden and to be guessed; cells that are missing are neither."""
        low, high = self.config.hiding
        known = self.G.cells.known(batch["row"])
        share = low + (high - low) * batch["hide"][:, :1]
        hidden = (batch["hide"][:, 1:] < share) & known
        return known & ~hidden, hidden

    def guess(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """G's logits (n, atoms), how little it expected the hidden cells (0-d), and what `hide` gives."""
        place, choice = self.G.cells.place(batch["row"]), self.G.cells.choice(batch["row"])
        visible, hidden = self.hide(batch)
        logits = self.G.logits(place, choice, visible, batch["z"]).float()
        surprise = self.G.atoms.surprise(logits, place, choice) * hidden
        return logits, surprise.sum() / hidden.sum().clamp_min(1), visible, hidden

    def drawn(self, batch: Batch, logits: Tensor, hidden: Tensor) -> Tensor:
        """The rows (n, d) with drawn cells in the place of the hidden ones; gradients pass through the draws."""
        u = batch["atom"].clamp(1e-6, 1.0 - 1e-6)
        gumbel = -torch.log(-torch.log(u))
        made = self.G.sample(logits, gumbel, batch["beside"], self.config.temperature)
        own = self.G.cells.spread(hidden.float())
        return own * made + (1.0 - own) * batch["row"]

    def guess_loss(self, batch: Batch) -> Losses:
        """Cross-entropy of the hidden cells."""
        _, surprise, _, _ = self.guess(batch | {"z": self.G.calm(batch["z"])})
        return {"guess": surprise}

    def critic_loss(self, batch: Batch) -> Losses:
        """The relativistic loss, and both penalties."""
        with torch.no_grad():
            logits, _, visible, hidden = self.guess(batch)
            fake = self.drawn(batch, logits, hidden)
        real, half = batch["row"], self.config.gamma
        return {
            "adversarial": relativistic_d(self.D(real, visible, hidden), self.D(fake, visible, hidden)),
            "penalty": half * r1(lambda rows: self.D(rows, visible, hidden), real)
            + half * r2(lambda rows: self.D(rows, visible, hidden), fake),
        }

    def generator_loss(self, batch: Batch) -> Losses:
        """Cross-entropy of the hidden cells, and the relativistic loss of the draws."""
        logits, surprise, visible, hidden = self.guess(batch)
        fake = self.drawn(batch, logits, hidden)
        real = self.D(batch["row"], visible, hidden)
        adversarial = relativistic_g(real, self.D(fake, visible, hidden))
        return {"guess": surprise, "adversarial": self.config.adversary * adversarial}
