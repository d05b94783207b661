"""Differentially Private GAN (Xie et al. 2018), arXiv:1802.06739, for tables.

Rows are encoded as for CTGAN (Xu et al. 2019, arXiv:1907.00503). Only D and a rule for the target, by which its cells
are drawn given the rest of a row, ever see real rows. Their steps are private (Abadi et al. 2016, arXiv:1607.00133,
algorithm 1): each row is drawn with the same probability, its gradient is clipped by itself, noise is added. G learns
from D alone, and rows are made from G and the rule alone, which costs nothing more.

Guaranteed is (epsilon, delta)-differential privacy of the generator with respect to single training rows, one added or
taken away. Their number is public. So is the encoding: kinds, categories, ranges and mixtures are those of the data.

Why it holds. A row's part in a step is the gradient of its own loss, joint with that of a made row that it is paired
with. As many rows are made as in every step, whatever was drawn, so that batch norm in G knows nothing of it; which one
a real row is paired with, and which column its condition is on, is drawn for each row by itself, in secret. So a row that
is taken away takes one clipped gradient with it, and the others' are as likely as before. Real rows are never chosen by a
condition: they are shown with a category of their own. What is asked of G is drawn from frequencies that are uniform or
noised; those of categories and modes are counted once, with noise, at a share of the budget. Nothing else comes from the
rows: no score chooses a snapshot, no loss of a row ends or turns back the training, steps turned back have been paid for.

Deviations: the logistic loss in the place of Wasserstein's with clipped weights, and columns of mixed types. No pack, no
batch norm in D, no gradient penalty, because a row's gradient must be its own. Several steps of D for one of G (Bie et
al. 2023, arXiv:2302.02936).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core import randomness
from zerosum.core.errors import BadOption
from zerosum.core.latents import Normal
from zerosum.core.settings import Auto
from zerosum.data.spec import Batch, Store
from zerosum.data.tables.store import TableStore
from zerosum.networks.tabular import Blind, Critic, Generator
from zerosum.networks.tabular_label import learned
from zerosum.objectives.adversarial import nonsaturating_g
from zerosum.training.accounting import Accountant, Plan, planned
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches
from zerosum.training.callback import StopTraining
from zerosum.training.conditions import choose, vectors
from zerosum.training.game import Phase
from zerosum.training.labels import private_rule
from zerosum.training.optimizers import Adam
from zerosum.training.player import Losses, Player
from zerosum.training.private import Ledger, Poisson, PrivatePlayer, noised_shares, step_together
from zerosum.training.table_generator import TableGenerator
from zerosum.training.tabular import Tabular


@dataclass(frozen=True)
class Config:
    """Settings of the private CTGAN."""

    epsilon: float = 3.0
    """What the generator may tell about a row: less is more private. No step is made that would exceed it."""
    delta: float | Auto = "auto"
    """The probability with which epsilon may not hold; auto: 1 / (n sqrt(n)) for n training rows."""
    noise: float | Auto = "auto"
    """Standard deviation of the noise, in units of `clip`; auto: the least with which the epochs fit into epsilon."""
    clip: float = 1.0
    """The norm that each row's gradient is clipped to."""
    epochs: float = 40.0
    """Epochs: how often D sees each row on average. Fewer leave less noise in each step."""
    batch_size: int = 1000
    """Rows a batch, on average."""
    conditions: Literal["none", "uniform", "noised"] = "none"
    """What G is asked for while training: nothing, each category of a column alike, or as often as noised frequencies
    say."""
    calibrate: bool = True
    """Move the logits of the trained generator, until categories and modes are as frequent as noised frequencies say."""
    share: float = 0.1
    """The share of the budget for the frequencies, where either needs them."""
    accountant: Accountant = "rdp"
    """How epsilon is counted: by moments (rdp), or by the distribution of the privacy loss (prv), tighter and slower."""
    label_share: float = 0.3
    """The share of each private step that the rule for the target has, where there is one; 0: its cells are G's."""
    discriminator_steps: int = 2
    """Private steps of D for one of G."""
    latent: int = 128
    """Components of z, standard normal."""
    hidden: int = 256
    """Units of each of the two hidden layers of G."""
    discriminator_hidden: int = 64
    """Units of each of the two hidden layers of D. The fewer weights, the less noise in all of them together."""
    temperature: float = 0.2
    """Of the Gumbel softmax."""
    adam_g: Adam = Adam(5e-4, (0.5, 0.9))
    """G's optimizer."""
    adam_d: Adam = Adam(1e-3, (0.5, 0.9))
    """D's optimizer."""
    adam_label: Adam = Adam(1e-2, (0.9, 0.999))
    """The rule's optimizer."""
    ema_half_life: float | None = 50_000.0
    """Half-life of the generator's moving average, in rows; None: off."""

    def __post_init__(self) -> None:
        for name in ("epsilon", "delta", "noise", "clip", "epochs", "discriminator_steps"):
            value = getattr(self, name)
            if value != "auto" and not value > 0:
                raise BadOption(f"--{name.replace('_', '-')} is {value}; it must be more than 0.")
        if not (0.0 < self.share < 1.0 and 0.0 <= self.label_share < 1.0):
            raise BadOption(f"--share is {self.share}, --label-share {self.label_share}; they must be between 0 and 1.")


class DPCTGAN(Tabular):
    """D tells rows from made ones without learning any of them by heart; G learns from D."""

    Config = Config
    private: ClassVar[bool] = True
    by_sampling: ClassVar[bool] = False

    def build(self) -> None:
        """Networks, players, and the ledger of what was spent."""
        config, layout = self.config, self.prepared("dp_ctgan")
        self.latent, self.calibrates = Normal(config.latent), config.calibrate
        self.asks = config.conditions != "none" and len(self.asked) > 0
        made = Generator if self.asks else Blind
        self.G = made(config.latent, self.spec, hidden=config.hidden)
        inputs = self.spec.shape[0] + len(layout.conditions) * self.asks
        self.D = Critic(inputs, hidden=config.discriminator_hidden, pack=1, dropout=0.0)
        self.discriminator = PrivatePlayer(self.D, bound=config.clip, optimizer=config.adam_d)
        self.generator = Player(self.G, optimizer=config.adam_g, ema_half_life=config.ema_half_life)
        if config.label_share and learned(self.spec.target, self.spec):
            self.rule, self.teacher = private_rule(self.spec, self.spec.target, config.adam_label)
        self.ledger = Ledger()
        self._plan: Plan | None = None

    def seat(self, arena: Arena) -> DPCTGAN:
        """As of every game. Raises BadOption for several processes, whose rows would be drawn and noised apart."""
        if arena.world > 1:
            raise BadOption(f"dp_ctgan trains in one process, not in {arena.world}: give --run.devices no number.")
        super().seat(arena)
        return self

    # -- the budget ---------------------------------------------------------------------------------------------------

    def meet(self, store: Store) -> None:
        """How many rows there are, and, where they are needed, how often each category and mode occurs, noised."""
        self.length, self._plan = len(store), None
        if not (self.counted and isinstance(store, TableStore)):
            return
        draw = randomness.generator("cpu", *self.ledger.seed(), "frequencies")
        self.shares.copy_(noised_shares(store, self.plan.before[0].noise, draw))
        if self.config.conditions == "noised":
            self.counts.copy_(self.length * self.shares[self.asked])

    @property
    def counted(self) -> bool:
        """Whether noised frequencies are needed."""
        return self.calibrates or self.config.conditions == "noised"

    @property
    def plan(self) -> Plan:
        """How the budget is spent. Before the game has met rows, it counts as many as a batch has."""
        if self._plan is None:
            config, n = self.config, self.length
            self._plan = planned(
                config.epsilon, n, config.batch_size, self._wanted, delta=config.delta, noise=config.noise,
                share=config.share if self.counted else 0.0, accountant=config.accountant,
            )  # fmt: skip
        return self._plan

    @property
    def _wanted(self) -> int:
        """Private steps in the epochs."""
        return max(round(self.config.epochs * self.length / self.config.batch_size), 1)

    @property
    def epsilon(self) -> float:
        """What was spent so far."""
        return self.plan.epsilon(self.ledger.steps) if self._plan else 0.0

    def facts(self) -> dict[str, Any]:
        """What was spent, for the facts of the generator; nothing before it was planned."""
        if not self._plan:
            return {}
        shared = {"clip": self.config.clip, "label share": self.config.label_share if self.rule is not None else 0.0}
        return {"privacy": self.plan.facts(self.ledger.steps) | shared}

    def notes(self) -> list[str]:
        """What is guaranteed, and what is not."""
        plan = self.plan
        return [
            f"private: epsilon {self.config.epsilon:g}, delta {plan.delta:.2g}; up to {plan.steps:,} steps with noise "
            f"{plan.noise:.3g} on {plan.rate:.2%} of {plan.rows:,} rows each",
            "not private: kinds, categories and ranges of columns and the mixtures of numbers are those of the data, and "
            "stand in the generator",
            "share the folder generator alone: checkpoints, logs, scores and reports of this run tell about single rows",
        ]

    def trained(self) -> TableGenerator:
        """The generator, with what its privacy cost."""
        generator = super().trained()
        generator.facts |= self.facts()
        return generator

    # -- the game -----------------------------------------------------------------------------------------------------

    def order(self, store: Store, seed: tuple[int | str, ...]) -> Poisson:
        """Each row is drawn with the same probability for each batch."""
        return Poisson(len(store), min(self.config.batch_size / len(store), 1.0), (*self.ledger.seed(), *seed))

    def phases(self) -> list[Phase]:
        """As many rounds as the epochs take, or the budget pays for."""
        steps = self._wanted if self.config.noise == "auto" else self.plan.steps
        return [Phase("game", -(-steps // self.config.discriminator_steps), self.round)]

    def round(self, batches: Batches) -> None:
        """Private steps of D, as many as are paid for; then one of G, which is free.

        Raises:
            StopTraining: none is.
        """
        left = self.plan.steps - self.ledger.steps
        if left <= 0:
            raise StopTraining(
                f"{self.ledger.steps:,} private steps are made, those included that were turned back, and epsilon is "
                f"{self.epsilon:.3f}: one more would exceed {self.config.epsilon:g}"
            )
        for _ in range(min(left, self.config.discriminator_steps)):
            batch = next(batches)
            self.private_step(batch["row"])
        self.generator.step(self.generator_loss, {"z": batch["z"]})
        if self.plan.worth_telling(self.ledger.steps):
            self.log(**{"discriminator/epsilon": torch.tensor(self.epsilon)})

    def private_step(self, rows: Tensor) -> None:
        """One step of D on the rows (m, d) that were drawn."""
        with self.ledger.step(rows.device) as draw:
            made = self.made()
            pair, column = torch.rand(len(rows), 2).to(rows.device).unbind(1)  # two numbers of each row's own
            own = self.shown(rows, self.own(rows, column))
            batch = {"real": own, "made": made[(pair * len(made)).long().clamp_max(len(made) - 1)]}
            share = 0.0 if self.rule is None else self.config.label_share
            parts = [(self.discriminator, self.discriminator_loss, batch, 1.0 - share)]
            if self.rule is not None:
                parts.append((self.teacher, self.rule_loss, {"row": rows}, share))
            step_together(parts, noise=self.plan.noise, expected=self.plan.rate * self.length, draw=draw)

    @torch.no_grad()
    def made(self) -> Tensor:
        """Rows of G as D sees them, as many as a batch has on average, without gradients."""
        count = max(self.config.batch_size, 2)  # batch norm needs two
        asked = self.asked_for(count)
        with self.arena.autocast():
            logits = self.G(torch.randn(count, self.latent.size, device=asked.device), asked)
        return self.shown(self.blocks.gumbel(logits, self.config.temperature), asked)

    def asked_for(self, m: int) -> Tensor:
        """What G is asked for: (m, k), zeros where that is nothing."""
        if not self.asks:
            return torch.zeros(m, len(self.asked), device=self.asked.device)
        column, u = torch.rand(2, m)
        log = self.config.conditions == "noised"
        return vectors(choose(self.layout, self.counts, column, u, log)[1].to(self.asked.device), len(self.asked))

    def own(self, rows: Tensor, u: Tensor) -> Tensor:
        """For each of the rows (m, d) one of its categories (m, k), in the column that u (m,) in [0, 1) says."""
        if not self.asks:
            return rows.new_zeros(len(rows), len(self.asked))
        sizes = torch.tensor([self.layout.choices[j].size for j in self.layout.discrete], device=rows.device)
        owner = torch.repeat_interleave(torch.arange(len(sizes), device=rows.device), sizes)
        column = (u * len(sizes)).long().clamp_max(len(sizes) - 1)
        return rows.index_select(1, self.asked) * (owner == column[:, None])

    def shown(self, rows: Tensor, condition: Tensor) -> Tensor:
        """What D sees of rows (m, d) and conditions (m, k)."""
        return torch.cat([rows, condition], 1) if self.asks else rows

    def discriminator_loss(self, batch: Batch) -> Losses:
        """-log D(x) - log(1 - D(G(z))) of each pair (m,)."""
        return {"adversarial": F.softplus(-self.D(batch["real"])) + F.softplus(self.D(batch["made"]))}

    def rule_loss(self, batch: Batch) -> Losses:
        """-log p(label | rest) of each row (m,)."""
        assert self.rule is not None
        return {"label": self.rule.error(batch["row"], *self.rule(batch["row"]))}

    def generator_loss(self, batch: Batch) -> Losses:
        """-log D(G(z)), and the cross-entropy of the category that was asked for."""
        asked = self.asked_for(len(batch["z"]))
        logits = self.G(batch["z"], asked)
        made = self.blocks.gumbel(logits, self.config.temperature)
        terms = {"adversarial": nonsaturating_g(self.D(self.shown(made, asked)))}
        if self.asks:
            log = self.blocks.log_softmax(logits).index_select(1, self.asked)
            terms["condition"] = -(log * asked).sum() / len(asked)
        return terms

    def critique(self, batch: Batch) -> Tensor:
        """D's logits (n,)."""
        rows = batch["row"]
        with torch.no_grad(), self.arena.autocast():
            return self.D(self.shown(rows, self.condition(batch) if self.asks else rows))
