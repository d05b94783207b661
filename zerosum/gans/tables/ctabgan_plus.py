"""CTAB-GAN+: Enhancing Tabular Data Synthesis (Zhao et al. 2022), arXiv:2204.00401.

Rows are square images that are convolved; the game is WGAN-GP's, under CTGAN's conditions and training by sampling. G is
also to agree with the data in the statistics of the critic's features (information loss), and with a network that learns
from real rows to predict the target from the rest of a row (downstream loss): --data.target names it.

Deviations: numbers are encoded as for CTGAN, which has modes for single values and for tails (the paper's mixed and
long-tailed columns; its general ones: --data.kinds, --data.scaling range). The critic ends linearly (the authors'
program: in a ReLU), and the information loss takes Euclidean norms (there: sums of magnitudes, which drown the critic).
G's label is to be as probable as the predictor says, not its most probable one, and only in rows of which no label was
asked for, so that labels stay as uncertain as they are. Samples come from a moving average of G, whose categories and
modes are then made as frequent as in the data; but the target's cells are drawn by a rule that is learned from real rows
(--label-steps 0: by G).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.data.spec import Batch, Spec
from zerosum.data.tables.rows import Layout
from zerosum.networks.tabular_conv import Critic, Generator
from zerosum.networks.tabular_label import Label
from zerosum.networks.tabular_mlp import Predictor
from zerosum.objectives.adversarial import wasserstein_d, wasserstein_g
from zerosum.objectives.penalties import gradient_penalty
from zerosum.training.automatic import explained
from zerosum.training.batches import Batches
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player
from zerosum.training.tabular import Tabular


@dataclass(frozen=True)
class Config:
    """Settings of CTAB-GAN+."""

    epochs: int = 150
    """Epochs (the authors' program)."""
    batch_size: int = 500
    """Rows a batch (the authors' program)."""
    latent: int = 100
    """Components of z, standard normal (the authors' program)."""
    width: int = 64
    """Channels of the finest convolutions; doubled at each coarser stage (the authors' program)."""
    critic_steps: int = 5
    """Steps of the critic for one of G (section 3.1)."""
    penalty: float = 10.0
    """Weight of the gradient penalty (section 3.1)."""
    slerp: bool = False
    """Take the penalty along arcs between real and generated rows, as the authors' program does, not along lines."""
    temperature: float = 0.2
    """Of the Gumbel softmax (the authors' program)."""
    information: float = 1.0
    """Weight of the gap between the means, and the deviations, of the critic's features (section 3.1)."""
    downstream: float = 1.0
    """Weight of the disagreement with the predictor of the target (section 3.1)."""
    units: int = 256
    """Units of each of the predictor's four hidden layers (the authors' program)."""
    label_steps: int = 1_000
    """Steps in which a rule for the target is learned from real rows, by which labels are then drawn, given the rest of
    a row; 0: by G, as in the paper."""
    fair: str | None = None
    """Protected column, whose groups are to be favoured alike; None: off, as in the paper."""
    favourable: str | None = None
    """What is favourable: a value of the target, or column=value."""
    fairness: float = 1.5
    """Weight of the squared difference between the groups' shares of favourable rows."""
    adam: Adam = Adam(2e-4, (0.5, 0.9), eps=1e-3, decay=1e-5)
    """All players' optimizer (the authors' program)."""
    ema_half_life: float | None = 50_000.0
    """Half-life of the generator's moving average, in rows; None: off, as in the paper."""
    calibrate: bool = True
    """Whether the trained generator's categories and modes are made as frequent as in the data (not in the paper)."""


PRESETS = {
    "program": Config(slerp=True, label_steps=0, ema_half_life=None, calibrate=False),
    "laptop": Config(epochs=20, width=16, critic_steps=1, adam=Adam(2e-3, (0.5, 0.9), eps=1e-3, decay=1e-5)),
}


class Target(Label):
    """The target's cell, of whose choice a predictor gives the logits, and of whose place a guess for each mode.

    Attributes:
        asked: int64, which categories that a condition can ask for are the target's.
        outputs: of the predictor.

    Args:
        spec: with a target that is learned.
    """

    asked: Tensor

    def __init__(self, spec: Spec):
        assert spec.target is not None
        super().__init__(spec, spec.target)
        self.outputs = self.choices + self.modes
        asked = self.hidden.index_select(0, Layout(spec).conditions).nonzero().squeeze(1)
        self.register_buffer("asked", asked, persistent=False)

    def error(self, guess: Tensor, rows: Tensor) -> Tensor:
        """How wrong a predictor's outputs are (n,): cross-entropy of the choice, and the place as a normal number of
        standard deviation 1/4, as it is within a mode.
        """
        total = self.misplaced(guess, rows)
        if self.choice is not None:
            total = total - (rows[:, self.choice] * guess[:, : self.choices].log_softmax(1)).sum(1)
        return total

    def disagreement(self, guess: Tensor, made: Tensor, log: Tensor) -> Tensor:
        """How far generated rows, and the logarithms of their choices' probabilities, are from the predictor's (n,):
        KL(predictor || G) of the choice; the place, which is pulled in the rest of the row alone: else numbers would
        shrink to their expectations.
        """
        total = self.misplaced(guess, made.detach())
        if self.choice is not None:
            known = guess[:, : self.choices].log_softmax(1)
            total = total + (known.exp() * (known - log[:, self.choice])).sum(1)
        return total

    def misplaced(self, guess: Tensor, rows: Tensor) -> Tensor:
        """Squared distance of places, in standard deviations, halved (n,); 0 where the target has none."""
        if self.place is None:
            return rows.new_zeros(len(rows))
        places = guess[:, self.choices :]
        guessed = (places * rows[:, self.choice]).sum(1) if self.choice is not None else places[:, 0]
        return 8.0 * (guessed - rows[:, self.place]).square()


def spherical(real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Points on the arcs between rows (n, d), `mix` (n, 1) of the way from the second (Shoemake 1985)."""
    cosine = F.cosine_similarity(real, fake, dim=1)[:, None].clamp(-0.999, 0.999)
    angle = cosine.acos()
    return ((mix * angle).sin() * real + ((1.0 - mix) * angle).sin() * fake) / angle.sin()


def moments_gap(real: Tensor, fake: Tensor) -> Tensor:
    """||E f(x) - E f(G(z))|| + ||sd f(x) - sd f(G(z))|| of features (n, k): the information loss (section 3.1)."""
    # Where all are alike a standard deviation has no gradient.
    deviations = [(features.var(0, correction=0) + 1e-8).sqrt() for features in (real, fake)]
    gaps = torch.stack([real.mean(0) - fake.mean(0), deviations[0] - deviations[1]])
    return torch.linalg.vector_norm(gaps, dim=1).sum()


class CTABGANPlus(Tabular):
    """G makes rows that the critic takes for real, and whose target a predictor would have guessed."""

    Config = Config
    undecided = None

    def build(self) -> None:
        """Networks and players."""
        config = self.config
        layout = self.prepared("ctabgan_plus")
        self.latent = Normal(config.latent)
        self.G = Generator(config.latent, self.spec, width=config.width)
        self.D = Critic(self.spec.shape[0] + len(layout.conditions), width=config.width)
        self.critic = Player(self.D, optimizer=config.adam)
        self.generator = Player(self.G, optimizer=config.adam, ema_half_life=config.ema_half_life)
        self.calibrates = config.calibrate
        self.labelled()
        target = [block.column == self.spec.target for block in self.spec.blocks]
        self.predicting = bool(config.downstream) and any(target)
        if self.predicting:
            self.target = Target(self.spec)
            self.C = Predictor(self.target.hidden, self.target.outputs, units=config.units)
            self.predictor = Player(self.C, optimizer=config.adam)
        elif config.downstream:
            self.chosen["downstream"] = explained("off", "no column is to be predicted (--data.target)")

    def noise(self) -> dict[str, Latent]:
        """z, and where between real and generated rows the penalty is taken."""
        return {"z": self.latent, "mix": Uniform(1, 0.0, 1.0)}

    def round(self, batches: Batches) -> None:
        """Steps of the critic, one of the predictor, one of G."""
        for _ in range(self.config.critic_steps):
            batch = next(batches)
            self.critic.step(self.critic_loss, batch)
        if self.predicting:
            self.predictor.step(self.predictor_loss, batch)
        self.generator.step(self.generator_loss, batch)

    def critic_loss(self, batch: Batch) -> Losses:
        """D(G(z)) - D(x) + lambda (||grad D(x^)|| - 1)^2."""
        condition = self.condition(batch)
        made = self.blocks.gumbel(self.G(batch["z"], condition), self.config.temperature)
        real, fake = (torch.cat([rows, condition], 1) for rows in (batch["row"], made.detach()))
        if self.config.slerp:
            between = spherical(real, fake, batch["mix"])
            penalty = gradient_penalty(self.D, between, between, batch["mix"])
        else:
            penalty = gradient_penalty(self.D, real, fake, batch["mix"])
        return {"adversarial": wasserstein_d(self.D(real), self.D(fake)), "penalty": self.config.penalty * penalty}

    def generator_loss(self, batch: Batch) -> Losses:
        """-D(G(z)), the cross-entropy of the category that was asked for, the gap between features, the disagreement
        with the predictor (section 3.1).
        """
        condition = self.condition(batch)
        logits = self.G(batch["z"], condition)
        made = self.blocks.gumbel(logits, self.config.temperature)
        log = self.blocks.log_softmax(logits)
        with torch.no_grad():
            real = self.D.features(torch.cat([batch["row"], condition], 1))
        fake = self.D.features(torch.cat([made, condition], 1))
        terms = {
            "adversarial": wasserstein_g(self.D.judge(fake)),
            "condition": -(log.index_select(1, self.asked) * condition).sum() / len(condition),
            "information": self.config.information * moments_gap(real, fake),
        }
        if self.predicting:
            free = 1.0 - condition.index_select(1, self.target.asked).sum(1)
            gap = self.target.disagreement(self.C(made), made, log)
            terms["downstream"] = self.config.downstream * (gap * free).mean()
        return terms

    def predictor_loss(self, batch: Batch) -> Losses:
        """Cross-entropy of the target's category (or mode), squared error of its place."""
        return {"target": self.target.error(self.C(batch["row"]), batch["row"]).mean()}

    def critique(self, batch: Batch) -> Tensor:
        """The critic's number of each row (n,)."""
        with torch.no_grad(), self.arena.autocast():
            return self.D(torch.cat([batch["row"], self.condition(batch)], 1))
