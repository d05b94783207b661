"""TabFairGAN: Fair Tabular Data Generation with Generative Adversarial Networks (Rajabi and Garibay 2022), arXiv:2109.00666.

A WGAN-GP of rows that favour the groups of a protected column alike (`--fair sex --favourable '>50K'`).

Deviations: labels are drawn, given the rest of a row, by a rule that is learned from real rows and is fair on them. The
paper's way is --preset paper: a second phase, at half the learning rate, with fairness as a term of G's loss (equation
6). Either is the squared difference of the groups' shares, which is bounded and least at parity, where the paper's goes
on beyond it. The critic ends in one number (the authors'
program: the mean of d); numbers leave G through tanh. Numbers are encoded by modes unless --data.scaling quantile asks
for the paper's transform (section 3.1). Samples come from a moving average of G, its frequencies calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.data.spec import Batch
from zerosum.networks.tabular import Critic
from zerosum.networks.tabular_mlp import Generator
from zerosum.objectives.adversarial import wasserstein_d, wasserstein_g
from zerosum.objectives.penalties import gradient_penalty
from zerosum.training.batches import Batches
from zerosum.training.game import Phase
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player
from zerosum.training.tabular import Tabular


@dataclass(frozen=True)
class Config:
    """Settings of TabFairGAN."""

    epochs: int = 200
    """Epochs of both phases (section 5.1: 200 for Adult)."""
    fair_share: float = 0.15
    """Share of these with the fairness term, where labels are drawn by G (section 5.1: 30 of 200 for Adult)."""
    batch_size: int = 256
    """Rows a batch (section 5.1)."""
    hidden: int | None = None
    """Units of each hidden layer, and components of z, standard normal; None: as many as a row has numbers."""
    penalty: float = 10.0
    """Weight of the gradient penalty (section 3.3)."""
    temperature: float = 0.2
    """Of the Gumbel softmax (section 3.2)."""
    critic_steps: int = 4
    """Steps of the critic for one of G (section 3.3)."""
    label_steps: int = 1_000
    """Steps in which a rule for the target is learned from real rows, by which labels are then drawn, given the rest of
    a row; 0: by G, as in the paper."""
    fair: str | None = None
    """Protected column, whose groups are to be favoured alike; None: off."""
    favourable: str | None = None
    """What is favourable: a value of the target, or column=value."""
    fairness: float = 1.5
    """Weight of the squared difference between the groups' shares of favourable rows."""
    fair_rate: float = 0.5
    """Factor on the learning rate in the second phase (the authors' program)."""
    adam: Adam = Adam(2e-4, (0.5, 0.999))
    """Both players' optimizer (the authors' program)."""
    ema_half_life: float | None = 50_000.0
    """Half-life of the generator's moving average, in rows; None: off, as in the paper."""
    calibrate: bool = True
    """Whether the trained generator's categories and modes are made as frequent as in the data (not in the paper)."""


PRESETS = {
    "paper": Config(label_steps=0, fairness=30.0, ema_half_life=None, calibrate=False),
    "laptop": Config(epochs=60, hidden=256, adam=Adam(6e-4, (0.5, 0.999))),
}


class TabFairGAN(Tabular):
    """The critic estimates how far generated rows are from real ones; G brings them nearer, and may make them fair."""

    Config = Config
    undecided = None
    by_sampling: ClassVar[bool] = False

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        self.prepared("tabfairgan")
        if not 0.0 <= config.fair_share <= 1.0:
            raise BadOption(f"--fair-share is {config.fair_share}; it is a share of the epochs, from 0 to 1.")
        width = self.spec.shape[0]
        hidden = config.hidden or width
        self.latent = Normal(hidden)
        self.G = Generator(hidden, self.spec, hidden=hidden)
        self.D = Critic(width, hidden=hidden, pack=1, dropout=0.0)
        self.critic = Player(self.D, optimizer=config.adam, rate=self.rate)
        ema = config.ema_half_life
        self.generator = Player(self.G, optimizer=config.adam, rate=self.rate, ema_half_life=ema)
        self.calibrates = config.calibrate
        self.labelled(pulls=True)

    @property
    def fair_rounds(self) -> int:
        """Rounds of the second phase."""
        share = self.config.fair_share if self.config.fair and self.rule is None else 0.0
        return round(share * self.config.epochs * self.rounds_of_an_epoch)

    def rate(self, progress: float) -> float:
        """Factor on the learning rate."""
        second = self.fair_rounds and progress * self.total_rounds >= self.total_rounds - self.fair_rounds
        return self.config.fair_rate if second else 1.0

    def phases(self) -> list[Phase]:
        """To learn the table; to be fair, where that is asked for."""
        whole = self.config.epochs * self.rounds_of_an_epoch
        first = Phase("game", whole - self.fair_rounds, self.round)
        return [first, Phase("fair", self.fair_rounds, self.fair_round)] if self.fair_rounds else [first]

    def noise(self) -> dict[str, Latent]:
        """z, and where between real and generated rows the penalty is taken."""
        return {"z": self.latent, "mix": Uniform(1, 0.0, 1.0)}

    def round(self, batches: Batches) -> None:
        """Steps of the critic, one of G (algorithm 1)."""
        for _ in range(self.config.critic_steps):
            batch = next(batches)
            self.critic.step(self.critic_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def fair_round(self, batches: Batches) -> None:
        """The same with fairness as a term of G's loss."""
        for _ in range(self.config.critic_steps):
            batch = next(batches)
            self.critic.step(self.critic_loss, batch)
        self.generator.step(self.fair_loss, batch)

    def critic_loss(self, batch: Batch) -> Losses:
        """D(G(z)) - D(x) + lambda (||grad D(x^)|| - 1)^2 (equation 4)."""
        real, fake = batch["row"], self.blocks.gumbel(self.G(batch["z"]), self.config.temperature)
        penalty = gradient_penalty(self.D, real, fake, batch["mix"])
        return {"adversarial": wasserstein_d(self.D(real), self.D(fake)), "penalty": self.config.penalty * penalty}

    def generator_loss(self, batch: Batch) -> Losses:
        """-D(G(z)) (equation 5)."""
        return {"adversarial": wasserstein_g(self.D(self.blocks.gumbel(self.G(batch["z"]), self.config.temperature)))}

    def fair_loss(self, batch: Batch) -> Losses:
        """-D(G(z)), and the difference between the groups (equation 6, but for what the file's docstring says)."""
        logits = self.G(batch["z"])
        made = self.blocks.gumbel(logits, self.config.temperature)
        return {"adversarial": wasserstein_g(self.D(made)), **self.parity.of_labels(self.blocks.log_softmax(logits))}

    def critique(self, batch: Batch) -> Tensor:
        """The critic's number of each row (n,)."""
        with torch.no_grad(), self.arena.autocast():
            return self.D(batch["row"])
