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
from zerosum.training.batches import Order, Shuffled
from zerosum.training.conditions import BySampling, counted, shares, vectors
from zerosum.training.fairness import Parity
from zerosum.training.game import Game, Phase
from zerosum.training.optimizers import Adam
from zerosum.training.player import Player
from zerosum.training.table_generator import TableGenerator

TEACHER = Adam(1e-3, (0.9, 0.999), decay=1e-4)
"""The optimizer of the teacher of fairness."""


class Tabular(Game):
    """A game of rows. Its Config has `epochs` and `batch_size`; its G, made by `build`, takes z and a condition (n, k)
    and has the buffer `counts` (k,) (`zerosum.networks.tabular.Generator`). Where `build` calls `fairly`, rows can
    be asked to be fair.

    Attributes:
        layout: where scalars and choices are in a row.
        length: rows of the training data.
        asked: int64 (k,), where the categories that a condition can ask for are in a row.
        calibrates: whether categories and modes of the trained generator are made as frequent as in the data.
        shares: (d,) how frequent they are there.
        by_sampling: whether rows come as conditions ask for them, rare categories more often than they occur.
    """

    by_sampling: ClassVar[bool] = True
    calibrates: bool = False
    asked: Tensor
    shares: Tensor
    parity: Parity

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
        self.length = self.config.batch_size
        return self.layout

    def meet(self, store: Store) -> None:
        """How many rows an epoch has, and how often each category occurs."""
        self.length = len(store)
        if isinstance(store, TableStore):
            self.counts.copy_(counted(store))
            self.shares.copy_(shares(store))
            for part in self.children():
                if isinstance(part, Parity):
                    part.meet(store.encoding)

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

    def fairly(self, teacher: bool = True) -> None:
        """Rows are to be fair where the settings `fair`, `favourable` and `fairness` ask for it: called by `build`."""
        config = self.config
        width = self.spec.shape[0] if teacher else 0
        self.parity = Parity(config.fair, config.favourable, config.fairness, width)
        if self.parity.C is not None:
            self.teacher = Player(self.parity.C, optimizer=TEACHER)

    def taught(self, batch: Batch) -> Batch:
        """The batch as it is; or, where rows are to be fair and there is a teacher, with fair labels, after a step of
        the teacher. Where a label is asked for, it is that of another row, drawn as if nothing had been asked for.
        """
        if self.parity.C is None or not self.parity.known:
            return batch
        self.teacher.step(lambda piece: self.parity.lesson(piece["row"], self.as_drawn(piece)), batch)
        rows, weights = batch["row"], self.as_drawn(batch)
        if weights is None:
            return {**batch, "row": self.parity.relabelled(rows)}
        conditions = batch["condition"].clone()
        place = torch.isin(self.asked, self.parity.label).nonzero().squeeze(1)
        which = (conditions.index_select(1, place).sum(1) > 0).nonzero().squeeze(1)
        if len(which):
            others = torch.multinomial(weights[which], len(which), replacement=True)
            rows = rows.index_copy(0, which, rows[which[others]])
        rows = self.parity.relabelled(rows)
        conditions[which[:, None], place] = rows[which[:, None], self.parity.label]
        return {**batch, "row": rows, "condition": conditions}

    def as_drawn(self, batch: Batch) -> Tensor | None:
        """How much each row of a batch counts (n,), so that conditions are as frequent as the data fulfils them, and
        not as often as training by sampling asks for them; None: all alike.
        """
        if "condition" not in batch:
            return None
        sizes = [self.layout.choices[j].size for j in self.layout.discrete]
        ratios = [
            own * own.log1p().sum() / (own.log1p().clamp_min(0.5) * own.sum().clamp_min(1.0))
            for own in self.counts.split(sizes)
        ]
        return batch["condition"] @ torch.cat(ratios).to(batch["condition"].dtype)

    def trained(self) -> TableGenerator:
        """The generator, from its moving average where one is kept, its frequencies calibrated where that is wanted."""
        made = TableGenerator(self.averaged(self.get_submodule("G")), self.latent, self.spec)
        if self.rounds and self.calibrates:
            if any(player.averages for player in self.players.values()):
                made.settle()
            made.calibrate(self.shares)
        return made
