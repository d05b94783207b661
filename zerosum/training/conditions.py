"""Training by sampling: which category a row is to have is drawn first, then one of the rows that have it.

Modeling Tabular Data using Conditional GAN (Xu et al. 2019), arXiv:1907.00503, section 4.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zerosum.core import randomness
from zerosum.data.spec import Batch
from zerosum.data.tables.rows import Layout
from zerosum.data.tables.store import TableStore


def counted(store: TableStore) -> Tensor:
    """How many rows have each category that a condition can ask for: float64 (k,)."""
    pieces = [store.counts[j].double() for j in store.encoding.layout.discrete]
    return torch.cat([*pieces, torch.zeros(0, dtype=torch.float64)])


def shares(store: TableStore) -> Tensor:
    """How frequent each number of a row is to be 1: float32 (d,); of scalars 0."""
    layout = store.encoding.layout
    result = torch.zeros(layout.spec.shape[0])
    for start, counts in zip(layout.starts[1].tolist(), store.counts, strict=True):
        result[start : start + len(counts)] = counts / counts.sum().clamp_min(1)
    return result


def choose(layout: Layout, counts: Tensor, column: Tensor, u: Tensor, log: bool = False) -> tuple[Tensor, Tensor]:
    """A condition for each of m rows: the choice j it is on (m,), and its place among the k categories (m,).

    Args:
        layout: of the rows.
        counts: (k,) how often each category occurs; those of no rows are not chosen.
        column: float (m,) in [0, 1), by which the column is chosen, each of them equally likely.
        u: float (m,) in [0, 1), by which the category is.
        log: in proportion to log(1 + count), which shows rare categories more often; for training alone.
    """
    sizes = [layout.choices[j].size for j in layout.discrete]
    weights = counts.double().cpu()
    weights = weights.log1p() if log else weights
    # The ends of the categories of the first column lie between 0 and 1, of the second between 1 and 2 ...
    ends = torch.cat([number + ends_of(own) for number, own in enumerate(weights.split(sizes))])
    which = (column.double() * len(sizes)).long().clamp_max(len(sizes) - 1)
    return torch.tensor(layout.discrete)[which], torch.searchsorted(ends, which + u.double(), right=True)


def ends_of(weights: Tensor) -> Tensor:
    """Where the stretches of [0, 1) end that are as long as the weights say; alike where all of these are 0."""
    sums = (weights if weights.sum() > 0 else torch.ones_like(weights)).cumsum(0)
    return sums / sums[-1]  # exactly 1 from the last weight on that is not 0


class BySampling:
    """The order in which a conditional generator meets the rows of a table, and the conditions that they fulfil.

    Args:
        store: the rows.
        seed: decides everything.
        counts: (k,) how often conditions are taken for being fulfilled; by default as often as they are.
        log: show rare categories more often than they occur, in proportion to log(1 + count).
    """

    def __init__(self, store: TableStore, seed: tuple[int | str, ...], counts: Tensor | None = None, log: bool = True):
        self.store, self.seed, self.log = store, seed, log
        self.layout = store.encoding.layout
        present = counted(store)
        # A category without rows can be asked for by noised counts; there is nothing to show for it.
        self.counts = present if counts is None else counts.double().cpu() * (present > 0)

    def __call__(self, start: int, count: int) -> Tensor:
        """Rows, each equally likely among those that fulfil the condition of its place."""
        column, u, row = self._numbers(start, count)
        choice, place = choose(self.layout, self.counts, column, u, self.log)
        sizes = torch.tensor([block.size if block.discrete else 0 for block in self.layout.choices])
        return self.store.matching(choice, place - (sizes.cumsum(0) - sizes)[choice], row)

    def beside(self, start: int, count: int) -> Batch:
        """{"condition": (count, k)}."""
        column, u, _ = self._numbers(start, count)
        _, place = choose(self.layout, self.counts, column, u, self.log)
        return {"condition": vectors(place, len(self.counts))}

    def _numbers(self, start: int, count: int) -> Tensor:
        return torch.rand(3, count, generator=randomness.generator("cpu", *self.seed, "conditions", start))


def vectors(place: Tensor, k: int) -> Tensor:
    """Conditions (m, k) float32: 1 at the place (m,) of each."""
    return torch.zeros(len(place), k, device=place.device).scatter_(1, place[:, None], 1.0)
