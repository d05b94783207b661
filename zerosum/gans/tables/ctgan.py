"""Modeling Tabular Data using Conditional GAN (Xu et al. 2019), arXiv:1907.00503.

Rows of mixed columns: numbers as a place within a mode of a mixture (section 4.2), categories as one-hots. G is asked
for one category of one column at a time, rare ones more often than they occur, so that none is forgotten (section 4.3);
the critic judges ten rows at once, as PacGAN does, and is trained as WGAN-GP's. Unconditional samples ask for
categories as often as they occur.

Deviations: unless `--preset paper` is given, the critic looks at each row by itself before it judges the pack, nothing
is dropped, a higher learning rate falls to 0, and samples come from a moving average of G, whose logits are then moved
until every category and mode is as frequent as in the data; cells of the target are drawn by a rule that is learned
from real rows (measured: docs, results). Always: both players' steps take the same rows, and numbers leave G in full
precision where the rest is computed in bf16. Numbers may also have modes that are a single value or a tail
(`zerosum.data.tables.modes`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.core.schedules import constant, linear_decay
from zerosum.data.spec import Batch
from zerosum.networks.tabular import Critic, Generator, RowwiseCritic
from zerosum.objectives.adversarial import wasserstein_d, wasserstein_g
from zerosum.objectives.penalties import gradient_penalty
from zerosum.training.batches import Batches
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player
from zerosum.training.tabular import Tabular


@dataclass(frozen=True)
class Config:
    """Settings of CTGAN."""

    epochs: int = 300
    """Epochs, in each of which as many rows are shown as the data has (section 5.1)."""
    batch_size: int = 500
    """Rows a batch (section 5.1)."""
    latent: int = 128
    """Components of z, standard normal (section 4.4)."""
    hidden: int = 256
    """Units of each of the two hidden layers of G and of the critic (section 4.4)."""
    pack: int = 10
    """Rows that the critic judges together (section 4.4)."""
    penalty: float = 10.0
    """Weight of the gradient penalty (Gulrajani et al. 2017)."""
    temperature: float = 0.2
    """Of the Gumbel softmax (section 4.4)."""
    by_row: bool = True
    """Whether the critic looks at each row by itself before it judges the pack; off: at the pack alone, as in the
    paper."""
    dropout: float = 0.0
    """Share of the critic's hidden units dropped (section 4.4: 0.5)."""
    critic_steps: int = 1
    """Steps of the critic for one of G, each on the same rows."""
    label_steps: int = 1_000
    """Steps in which a rule for the target is learned from real rows, by which labels are then drawn, given the rest of
    a row; 0: by G, as in the paper."""
    fair: str | None = None
    """Protected column, whose groups are to be favoured alike; None: off, as in the paper."""
    favourable: str | None = None
    """What is favourable: a value of the target, or column=value."""
    fairness: float = 1.5
    """Weight of the squared difference between the groups' shares of favourable rows."""
    adam: Adam = Adam(1e-3, (0.5, 0.9), decay=1e-6)
    """Both players' optimizer (section 5.1: a learning rate of 2e-4)."""
    decay: bool = True
    """Whether the learning rate falls to 0 in a straight line (in the paper it stays)."""
    ema_half_life: float | None = 50_000.0
    """Half-life of the generator's moving average, in rows; None: off, as in the paper."""
    calibrate: bool = True
    """Whether the trained generator's categories and modes are made as frequent as in the data (not in the paper)."""


PRESETS = {
    "laptop": Config(epochs=30),
    "paper": Config(
        by_row=False, dropout=0.5, adam=Adam(2e-4, (0.5, 0.9), decay=1e-6), decay=False, ema_half_life=None,
        label_steps=0, calibrate=False,
    ),
}  # fmt: skip


class CTGAN(Tabular):
    """The critic tells packs of real rows from packs of generated ones, both of categories that were asked for."""

    Config = Config
    undecided = None

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        layout = self.prepared("ctgan", config.pack)
        self.latent, self.calibrates = Normal(config.latent), config.calibrate
        self.G = Generator(config.latent, self.spec, hidden=config.hidden)
        inputs = self.spec.shape[0] + len(layout.conditions)
        critic = RowwiseCritic if config.by_row else Critic
        self.D = critic(inputs, hidden=config.hidden, pack=config.pack, dropout=config.dropout)
        rate = linear_decay() if config.decay else constant
        self.critic = Player(self.D, optimizer=config.adam, rate=rate)
        self.generator = Player(self.G, optimizer=config.adam, rate=rate, ema_half_life=config.ema_half_life)
        self.labelled()

    def noise(self) -> dict[str, Latent]:
        """z, and where between real and generated packs the penalty is taken."""
        return {"z": self.latent, "mix": Uniform(1, 0.0, 1.0)}

    def round(self, batches: Batches) -> None:
        """Steps of the critic, one of G, all on the same rows (algorithm 1)."""
        batch = next(batches)
        for _ in range(self.config.critic_steps):
            self.critic.step(self.critic_loss, batch)
            batch = {**batch, "z": torch.randn_like(batch["z"]), "mix": torch.rand_like(batch["mix"])}
        self.generator.step(self.generator_loss, batch)

    def packed(self, rows: Tensor, condition: Tensor) -> Tensor:
        """Rows (n, d) with their conditions (n, k), side by side: (n / pack, pack (d + k))."""
        joined = torch.cat([rows, condition], 1)
        return joined.view(-1, self.config.pack * joined.shape[1])

    def critic_loss(self, batch: Batch) -> Losses:
        """D(G(z)) - D(x) + lambda (||grad D(x^)|| - 1)^2, of packs."""
        condition = self.condition(batch)
        made = self.blocks.gumbel(self.G(batch["z"], condition), self.config.temperature)
        real, fake = self.packed(batch["row"], condition), self.packed(made, condition)
        on_real, on_fake = self.D(torch.cat([real, fake])).chunk(2)
        penalty = gradient_penalty(self.D, real, fake, batch["mix"][:: self.config.pack])
        return {"adversarial": wasserstein_d(on_real, on_fake), "penalty": self.config.penalty * penalty}

    def generator_loss(self, batch: Batch) -> Losses:
        """-D(G(z)), and the cross-entropy of the category that was asked for (section 4.3)."""
        condition = self.condition(batch)
        logits = self.G(batch["z"], condition)
        made = self.blocks.gumbel(logits, self.config.temperature)
        log = self.blocks.log_softmax(logits).index_select(1, self.asked)
        return {
            "adversarial": wasserstein_g(self.D(self.packed(made, condition))),
            "condition": -(log * condition).sum() / len(condition),
        }

    def critique(self, batch: Batch) -> Tensor:
        """Each row's number (n,) is its pack's; the last pack is filled up with the first rows."""
        rows = torch.cat([batch["row"], self.condition(batch)], 1)
        places = torch.arange(-(-len(rows) // self.config.pack) * self.config.pack, device=rows.device) % len(rows)
        with torch.no_grad(), self.undisturbed(self.D), self.arena.autocast():
            return self.D(rows[places]).repeat_interleave(self.config.pack)[: len(rows)]
