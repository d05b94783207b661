"""What games of tables share: epochs, training by sampling, and the generator of rows that they leave."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.data.spec import Batch, Store
from zerosum.data.tables.rows import Layout
from zerosum.data.tables.store import TableStore
from zerosum.networks.tabular import Blocks
from zerosum.networks.tabular_label import LabelRule, learned
from zerosum.training.batches import Order, Shuffled
from zerosum.training.conditions import BySampling, counted, shares, vectors
from zerosum.training.fairness import Parity
from zerosum.training.game import Game, Phase
from zerosum.training.labels import learn
from zerosum.training.table_generator import TableGenerator


class Tabular(Game):
    """A game of rows. Its Config has `epochs` and `batch_size`; its G, made by `build`, takes z and a condition (n, k)
    and has the buffer `counts` (k,) (`zerosum.networks.tabular.Generator`). Where `build` calls `labelled`, labels
    are drawn by a rule that is learned first, and rows can be asked to be fair.

    Attributes:
        layout: where scalars and choices are in a row.
        length: rows of the training data.
        asked: int64 (k,), where the categories that a condition can ask for are in a row.
        calibrates: whether categories and modes of the trained generator are made as frequent as in the data.
        shares: (d,) how frequent they are there.
        rule: how the label depends on the rest of a row; None: it is left to G.
        by_sampling: whether rows come as conditions ask for them, rare categories more often than they occur.
    """

    by_sampling: ClassVar[bool] = True
    calibrates: bool = False
    asked: Tensor
    shares: Tensor
    parity: Parity
    rule: LabelRule | None

    def prepared(self, system: str, pack: int = 1) -> Layout:
        """The layout of the rows.

        Raises:
            BadOption: the data is no table, or rows cannot be packed.
        """
        if self.spec.kind != "table":
            raise BadOption(f"{system} learns tables, but the data is {self.spec.kind}: give a CSV or Parquet file.")
        if self.config.batch_size < 1 or pack < 1:
            raise BadOption(f"rows in batches of {self.config.batch_size}, packed by {pack}: both must be 1 or more.")
        if self.config.batch_size % pack:
            raise BadOption(f"a batch of {self.config.batch_size} rows cannot be packed by {pack}: choose a multiple.")
        self.layout, self.blocks = Layout(self.spec), Blocks(self.spec)
        self.register_buffer("asked", self.layout.conditions, persistent=False)
        self.register_buffer("shares", torch.zeros(self.spec.shape[0]))
        self.length, self.rule = self.config.batch_size, None
        return self.layout

    def meet(self, store: Store) -> None:
        """How many rows an epoch has, how often each category occurs, how the label depends on the rest of a row.

        Raises:
            BadOption: what is asked to be fair is not in the table, or more than one column could be meant.
        """
        self.length = len(store)
        if isinstance(store, TableStore):
            self.counts.copy_(counted(store))
            self.shares.copy_(shares(store))
            for part in self.children():
                if isinstance(part, Parity):
                    part.meet(store.encoding)
            if self.rule is not None:
                if self.parity.known and not self.rule.hidden[self.parity.good].all():
                    raise BadOption(f"--favourable {self.config.favourable}: write it as column=value.")
                learn(self.rule, store, self.parity, self.config.label_steps)

    @property
    def counts(self) -> Tensor:
        """(k,): how often the categories occur that a condition can ask for."""
        counts = self.get_submodule("G").counts
        assert isinstance(counts, Tensor)
        return counts

    def order(self, store: Store, seed: tuple[int | str, ...]) -> Order:
        """By sampling, where there are columns of categories; else shuffled."""
        if self.by_sampling and isinstance(store, TableStore) and len(self.asked):
            return BySampling(store, seed, self.counts)
        return Shuffled(len(store), seed)

    def phases(self) -> list[Phase]:
        """As many rounds as the epochs take, each of one batch."""
        return [Phase("game", self.config.epochs * self.rounds_of_an_epoch, self.round)]

    @property
    def rounds_of_an_epoch(self) -> int:
        """Rounds in which as many rows are shown as there are."""
        return max(round(self.length / self.config.batch_size), 1)

    def condition(self, batch: Batch) -> Tensor:
        """The conditions (n, k) of a batch; where it brings none, one of each row's own categories, in turn."""
        if "condition" in batch:
            return batch["condition"]
        rows, discrete = batch["row"], self.layout.discrete
        if not discrete:
            return rows.new_zeros(len(rows), 0)
        sizes = torch.tensor([self.layout.choices[j].size for j in discrete], device=rows.device)
        owner = torch.repeat_interleave(torch.arange(len(discrete), device=rows.device), sizes)
        turn = torch.arange(len(rows), device=rows.device) % len(discrete)
        own = rows.index_select(1, self.asked).masked_fill(owner != turn[:, None], -1.0)
        return vectors(own.argmax(1), len(self.asked))

    def labelled(self, pulls: bool = False) -> None:
        """Labels are drawn by a rule where there is a target and `label_steps` to learn it in; where the settings
        `fair`, `favourable` and `fairness` ask for it, by a fair one. Called by `build`.

        Args:
            pulls: whether the game can make G's own labels fair, where there is no rule.
        """
        config = self.config
        if config.label_steps < 0:
            raise BadOption(f"--label-steps is {config.label_steps}; it is a number of steps, or 0 for none.")
        if config.fair and not config.label_steps and not pulls:
            raise BadOption("--fair makes the rule for labels fair, but --label-steps is 0, so that there is none.")
        self.parity = Parity(config.fair, config.favourable, config.fairness)
        column = self.parity.column(self.spec)
        if config.label_steps and learned(column, self.spec):
            self.rule = LabelRule(self.spec, column)

    def notes(self) -> list[str]:
        """Where labels come from."""
        return [] if self.rule is None else [f"{self.said_of_labels}; --label-steps 0: by G"]

    @property
    def said_of_labels(self) -> str:
        """Where labels come from, where there is a rule."""
        assert self.rule is not None
        name = next(block.name for block in self.spec.blocks if block.column == self.rule.column)
        text = f"{name!r} is drawn by a rule learned from real rows, given the rest of a row"
        fair = getattr(self.config, "fair", None)
        how = f", which favours the groups of {fair!r} alike (weight {self.config.fairness:g})" if fair else ""
        return text + how

    def trained(self) -> TableGenerator:
        """The generator, from its moving average where one is kept, its frequencies calibrated where that is wanted."""
        rule = None if self.rule is None else self.averaged(self.rule)
        made = TableGenerator(self.averaged(self.get_submodule("G")), self.latent, self.spec, rule)
        made.facts = {} if rule is None else {"labels": self.said_of_labels}
        if self.rounds and self.calibrates:
            if any(player.averages for player in self.players.values()):
                made.settle()
            made.calibrate(self.shares)
        return made
