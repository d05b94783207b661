"""The generator of rows: tables of any length, as they come or under conditions."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from zerosum.core import randomness
from zerosum.core.errors import BadOption
from zerosum.core.latents import Latent
from zerosum.core.randomness import derive
from zerosum.data.spec import Spec
from zerosum.data.tables.columns import Name
from zerosum.data.tables.constraints import Condition
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.given import Wanted, asked, balanced, told
from zerosum.data.tables.rows import Layout
from zerosum.networks.tabular import Blocks, gumbel_noise
from zerosum.networks.tabular_label import LabelRule
from zerosum.training.arena import has_bf16
from zerosum.training.conditions import choose, vectors
from zerosum.training.generator import Given, TrainedGenerator

NUMBERS = 20_000_000
"""Numbers, of all rows together, that are decoded at once."""
PIECE = 600_000
"""Numbers that leave the network at once: few enough for a processor's cache."""
POOL = 4_096
"""Rows drawn at least where choices are asked for: which of them are the most willing shows only among many."""
NEVER = -14.0
"""The logarithm of the probability below which the most willing of these counts as unwilling."""
SETTLED = 20_000
"""Rows by which frequencies are calibrated."""
FARTHEST = 5.0
"""How far a logit is moved at most."""
PATIENCE, LEAST = 2_000, 500_000
"""Rows drawn for each row asked for, and in all, before conditions count as such that are hardly ever fulfilled."""


class TableGenerator(TrainedGenerator):
    """A generator whose network takes z and a condition (n, k), and gives scalars and logits of the choices (n, d).

    Where nobody asks for anything, conditions are drawn as often as the data fulfils them.

    Args:
        network: with the buffer `counts` (k,): how often each category occurs.
        latent: the distribution of z.
        spec: of the rows.
        rule: a `LabelRule`, by which labels are drawn, given the rest of a row; None: they are the network's own.
    """

    example = 'import zerosum\n\nframe = zerosum.load("this/folder").sample(1000, seed=1)'

    def __init__(self, network: nn.Module, latent: Latent, spec: Spec, rule: nn.Module | None = None):
        super().__init__(network, latent, spec)
        self.layout, self.blocks = Layout(spec), Blocks(spec)
        self.network.register_buffer("tilt", torch.zeros(spec.shape[0]))
        if rule is not None:
            self.network.add_module("rule", copy.deepcopy(rule).eval().requires_grad_(False))

    @property
    def rule(self) -> LabelRule | None:
        """How labels depend on the rest of a row; None: they are the network's own."""
        rule = getattr(self.network, "rule", None)
        return rule if isinstance(rule, LabelRule) else None

    @property
    def at_once(self) -> int:
        """Rows decoded at once."""
        return max(NUMBERS // self.spec.shape[0], POOL)

    @property
    def table(self) -> TableEncoding:
        """The encoding. Raises BadOption where there is none."""
        if not isinstance(self.encoding, TableEncoding):
            raise BadOption("this generator has no encoding, so that it cannot make tables: load it from its folder.")
        return self.encoding

    def synthesise(self, w: Tensor, given: Given | None = None) -> Tensor:
        """Scalars and logits (n, d) from z; `given` may hold a "condition" (n, k)."""
        counts = self.counts
        condition = (given or {}).get("condition")
        if condition is None:
            condition = torch.zeros(len(w), len(counts), device=w.device)
        with torch.autocast(w.device.type, torch.bfloat16, enabled=has_bf16(w.device)):
            return self.network(w, condition) + self.tilt

    @property
    def tilt(self) -> Tensor:
        """(d,): what is added to the logits."""
        return self.network.get_buffer("tilt")

    @property
    def counts(self) -> Tensor:
        """(k,): how often each category occurs that can be asked for."""
        return self.network.get_buffer("counts")

    def conditions(self, start: int, count: int, draw: torch.Generator) -> Given:
        """Conditions as in training, where rare categories are shown more often than they occur."""
        column, u = torch.rand(2, count, generator=draw)
        return {"condition": self._conditions(column, u, log=True)}

    def _conditions(self, column: Tensor, u: Tensor, log: bool = False) -> Tensor:
        if not len(self.counts):
            return torch.zeros(len(u), 0, device=self.device)
        _, place = choose(self.layout, self.counts, column, u, log)
        return vectors(place.to(self.device), len(self.counts))

    @torch.no_grad()
    def calibrate(self, shares: Tensor, steps: int = 8) -> None:
        """Move the logits of each category and mode, for all rows alike, until it is as frequent as in the data.

        Each step adds the logarithm of how much too rare it is, which is iterative proportional fitting (Deming and
        Stephan 1940): of all tables with these frequencies the one nearest to what the network makes.

        Args:
            shares: (d,) how frequent each number of a row is to be 1; of scalars nothing.
            steps: how often.
        """
        draw = randomness.generator("cpu", "calibration")
        column, u = spread(SETTLED, max(len(self.layout.discrete), 1), draw)
        self.tilt.zero_()
        pieces = self._conditions(column, u).split(max(PIECE // self.spec.shape[0], 1))
        rows = torch.cat([
            self.synthesise(self.latent.draw(len(own), draw).to(self.device), {"condition": own}) for own in pieces
        ])  # fmt: skip
        wanted, least = shares.to(rows.device), 0.1 / SETTLED
        for _ in range(steps):
            made = self.blocks.softmax(rows + self.tilt).mean(0)
            step = ((wanted + least) / (made + least)).log()
            step[self.layout.starts[0].to(step.device)] = 0.0
            self.tilt.add_(step).clamp_(-FARTHEST, FARTHEST)

    # -- drawing ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def tensors(
        self, n: int, *, given: Any = None, seed: int = 0, truncation: float = 1.0, batch: int | None = None
    ) -> Iterator[Tensor]:
        """Encoded rows (m, d) with one-hots, in batches, on the generator's device; the same for the same seed, n and
        batch.

        Args:
            given: as `sample` takes it, of columns of categories alone. Fewer rows than n may then come.

        Raises:
            BadOption: no such category, or a condition on numbers.
        """
        wanted, rest = asked(given, self.table) if given else ({}, [])
        if rest:
            raise BadOption(f"{rest[0]} is a condition on decoded rows: ask `sample` for it.")
        size = batch or self.at_once
        for turn, start in enumerate(range(0, n, size)):
            yield self.layout.expand(*self._draw(min(size, n - start), wanted, truncation, seed, turn))

    @torch.no_grad()
    def sample(
        self, n: int, *, given: Any = None, balance: Name | None = None, seed: int = 0, truncation: float = 1.0
    ) -> pd.DataFrame:
        """A table of n rows with the columns, dtypes and formats of the training data; the same for the same seed, n.

        Args:
            n: how many rows.
            given: what all rows are to fulfil: column -> value, or conditions as text: ["sex=Female", "age>60"].
            balance: a column each of whose categories is to be equally frequent (missing cells are then none of it).
            seed: decides which.
            truncation: factor on a normal z.

        Raises:
            BadOption: there is no such column or category, a number is out of the range of the training data, or
                nearly no row that the generator makes fulfils the conditions (or the table's constraints).

        Example:
            >>> frame = generator.sample(1000, given={"sex": "Female"}, seed=1)
        """
        if n < 1:
            raise BadOption(f"cannot sample {n} rows; ask for 1 or more.")
        wanted, rest = asked(given, self.table) if given else ({}, [])
        pieces: list[pd.DataFrame] = []
        if balance is None:
            self._collect(pieces, n, wanted, rest, given, truncation, seed)
        else:
            parts = balanced(balance, wanted, self.table, self.counts)
            for i, (value, own) in enumerate(parts):
                asked_for = (f"{balance}={value}", *([told(given)] if given else []))
                count = n // len(parts) + (i < n % len(parts))
                self._collect(pieces, count, own, rest, asked_for, truncation, derive(seed, "balance", i))
        whole = [piece for piece in pieces if len(piece)]
        frame = whole[0] if len(whole) == 1 else pd.concat(whole, ignore_index=True)
        if balance is not None:
            frame = frame.iloc[np.random.default_rng(derive(seed, "shuffle")).permutation(n)]
        return frame.reset_index(drop=True)

    def _collect(
        self, pieces: list[pd.DataFrame], n: int, wanted: Wanted, rest: Sequence[Condition], given: Any,
        truncation: float, seed: int,
    ) -> None:  # fmt: skip
        """Append n rows to the pieces of a table."""
        found = drawn = turn = 0
        while found < n:
            count = self._next(n - found, found / drawn if drawn else 1.0, bool(wanted))
            frame = self.table.restore(*self._draw(count, wanted, truncation, seed, turn), seed=derive(seed, turn))
            made = self._fulfilling(pieces, frame, rest)
            pieces.append(made.iloc[: n - found])
            found, drawn, turn = found + len(made), drawn + count, turn + 1
            if found < n and drawn >= max(PATIENCE * n, LEAST):
                raise BadOption(self._hopeless(n, found, drawn, given))

    def _next(self, lacking: int, share: float, wanted: bool) -> int:
        """How many rows to draw next, where `lacking` are missing and a share of those before was good."""
        spare = 1.0 if share == 1.0 else 1.1
        count = round(lacking * spare / max(share, 1e-4))
        return min(max(count, POOL if wanted else 1), self.at_once)

    def _fulfilling(
        self, before: Sequence[pd.DataFrame], frame: pd.DataFrame, rest: Sequence[Condition]
    ) -> pd.DataFrame:
        """The rows that fulfil conditions and constraints, together with those made before."""
        table = self.table
        good = np.ones(len(frame), dtype=bool)
        for condition in rest:
            good &= condition.holds(frame, table.by_name)
        frame = frame if good.all() else frame[good]
        if not table.constraints or frame.empty:
            return frame
        known = sum(map(len, before))  # values that are to be unique are so among all rows
        wrong = table.broken(pd.concat([*before, frame], ignore_index=True) if known else frame)[known:]
        return frame[~wrong] if wrong.any() else frame

    def _draw(self, n: int, wanted: Wanted, truncation: float, seed: int, turn: int) -> tuple[Tensor, Tensor]:
        """Scalars (m, s) and choices (m, c) of m <= n rows; m = n where nothing is wanted."""
        draw = randomness.generator("cpu", seed, "rows", turn)
        column, u = spread(n, max(len(self.layout.discrete), 1), draw)
        condition = self._wanting(wanted, u) if wanted else self._conditions(column, u)
        label = self.rule.number if self.rule else None
        others = {j: allowed for j, allowed in wanted.items() if j != label}
        never = self._never(others).to(self.device) if others else None
        size = max(PIECE // self.spec.shape[0], POOL if wanted else 1)
        made = []
        for own in condition.split(size):
            w = self.map(self.latent.draw(len(own), draw), None, truncation).to(self.device)
            rows = self.synthesise(w, {"condition": own}).float()
            if never is not None:
                rows = rows[willing(self._likely(rows, others), draw)].masked_fill(never, -torch.inf)
            scalars = rows.index_select(1, self.layout.starts[0].to(rows.device)).clamp(-1.0, 1.0)
            # The largest logit with Gumbel noise is a choice drawn by its probability.
            noise = gumbel_noise(torch.rand(rows.shape, generator=draw)).to(rows.device)
            choices = self.layout.condense(rows + noise)[1]
            if self.rule is not None:
                scalars, choices = self.labelled(scalars, choices, draw, None if label is None else wanted.get(label))
            made.append((scalars, choices))
        return torch.cat([scalars for scalars, _ in made]), torch.cat([choices for _, choices in made])

    def _never(self, wanted: Wanted) -> Tensor:
        """Which numbers of a row stand for categories that it may not have: bool (d,), CPU."""
        result = torch.zeros(self.spec.shape[0], dtype=torch.bool)
        for j, allowed in wanted.items():
            start = int(self.layout.starts[1][j])
            result[start : start + len(allowed)] = ~allowed
        return result

    def _likely(self, rows: Tensor, wanted: Wanted) -> Tensor:
        """The logarithm of how probable it is that logits (n, d) become rows of the wanted categories (n,)."""
        log = self.blocks.log_softmax(rows)
        likely = torch.zeros(len(rows), device=rows.device)
        for j, allowed in wanted.items():
            start = int(self.layout.starts[1][j])
            likely += log[:, start : start + len(allowed)][:, allowed.to(rows.device)].logsumexp(1)
        return likely

    def labelled(
        self, scalars: Tensor, choices: Tensor, draw: torch.Generator, allowed: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scalars (n, s) and choices (n, c) of rows, given labels by the rule, in place.

        Args:
            draw: decides which.
            allowed: bool (categories,), those that are wanted: m <= n rows are then left, which are the likeliest to
                have one of them.
        """
        rule = self.rule
        assert rule is not None
        logits, means, deviations = rule(self.layout.expand(scalars, choices))
        if allowed is not None:
            logits = logits.log_softmax(1).masked_fill(~allowed.to(logits.device), -torch.inf)
            kept = willing(logits.logsumexp(1), draw)
            scalars, choices, logits = scalars[kept], choices[kept], logits[kept]
            means, deviations = means[kept], deviations[kept]
        places, chosen = rule.drawn(logits, means, deviations, draw)
        if rule.number is not None:
            choices[:, rule.number] = chosen
        if rule.scalar is not None:
            scalars[:, rule.scalar] = places
        return scalars, choices

    # -- conditions ---------------------------------------------------------------------------------------------------

    def _wanting(self, wanted: Wanted, u: Tensor) -> Tensor:
        """Conditions (n, k) that ask for the rarest of what is wanted, its categories as often as they occur."""
        sizes = [self.layout.choices[j].size for j in self.layout.discrete]
        pieces = dict(zip(self.layout.discrete, self.counts.cpu().split(sizes), strict=True))
        j = min(wanted, key=lambda j: float(pieces[j][wanted[j]].sum()))
        counts = torch.cat(
            [(own + 1e-9) * wanted[j] if other == j else torch.zeros_like(own) for other, own in pieces.items()]
        )
        number = (self.layout.discrete.index(j) + 0.5) / len(sizes)
        _, place = choose(self.layout, counts, torch.full((len(u),), number), u)
        return vectors(place.to(self.device), len(counts))

    def _hopeless(self, n: int, found: int, drawn: int, given: Any) -> str:
        what = told(given) or "the constraints " + "; ".join(map(str, self.table.constraints))
        return (
            f"of {drawn:,} rows drawn {found:,} fulfil {what}, but {n:,} were asked for: ask for fewer rows or less "
            "strict conditions, or train longer."
        )


def willing(likely: Tensor, draw: torch.Generator) -> Tensor:
    """Which rows are kept under a condition: bool (n,).

    How probable it is that a row is of the wanted categories (`likely`, its logarithm), its logits tell. Rows are kept
    in proportion to that, and then given one of these categories: what throwing away all others would leave, too, from
    far fewer draws.
    """
    if not len(likely):
        return torch.zeros(0, dtype=torch.bool, device=likely.device)
    most = likely.max()
    kept = torch.rand(len(likely), generator=draw).log().to(likely.device) < likely - most
    return kept & (most > NEVER)


def spread(n: int, columns: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two numbers in [0, 1) for each of n conditions, by which column and category are chosen: evenly spread in random
    order, so that what is asked for is as frequent as it is to be, and not merely so on average.
    """
    place = torch.randperm(n, generator=draw)
    within = torch.div(place, columns, rounding_mode="floor") + torch.rand(n, generator=draw, dtype=torch.float64)
    return (place % columns + 0.5) / columns, within / -(-n // columns)
