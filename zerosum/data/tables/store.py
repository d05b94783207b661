"""The rows of a table, kept compactly, and the data set that they make."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.data.options import Data, Table
from zerosum.data.report import Report
from zerosum.data.spec import Batch, Dataset
from zerosum.data.tables.cells import recognise
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.reading import Rows, read_table
from zerosum.data.tables.summary import summary


class TableStore:
    """Encoded rows: scalars and choices; one-hots are made when rows are fetched.

    Attributes:
        encoding: how the rows were encoded.
        scalars: (n, s) float32, the places of numbers within their modes.
        choices: (n, c) int16 or int32: of each softmax block (`encoding.layout.choices`) which one it is.
        labels: None; conditions on categories are asked for with `matching`.
    """

    labels: Tensor | None = None

    def __init__(self, encoding: TableEncoding, scalars: Tensor, choices: Tensor, device: torch.device | str = "cpu"):
        self.encoding, self.device = encoding, torch.device(device)
        self.scalars, self.choices = scalars, choices

    def __len__(self) -> int:
        return len(self.scalars)

    def fetch(self, indices: Tensor, flip: Tensor | None = None) -> Batch:
        """{"row": float32 (m, d)} of the rows at `indices` (int64 (m,), CPU), on the store's device."""
        if flip is not None:
            raise BadOption("rows of a table cannot be mirrored: leave out --data.flip.")
        place = indices.to(self.scalars.device, non_blocking=True)
        rows = self.encoding.layout.expand(self.scalars.index_select(0, place), self.choices.index_select(0, place))
        return {"row": rows.to(self.device)}

    def prefetch(self, indices: Tensor) -> None:
        """Nothing to do: everything is here."""

    def to(self, device: Any) -> TableStore:
        """The same rows delivered to `device`, and kept there where they take less than half of its free memory."""
        device = torch.device(device)
        scalars, choices = self.scalars, self.choices
        fits = device.type != "cuda" or scalars.nbytes + choices.nbytes < torch.cuda.mem_get_info(device)[0] / 2
        if device.type != "cpu" and fits:
            scalars, choices = scalars.to(device), choices.to(device)
        other = TableStore(self.encoding, scalars, choices, device)
        if "index" in self.__dict__:
            other.__dict__["index"] = self.index
        return other

    def frame(self, indices: Tensor | None = None) -> pd.DataFrame:
        """The rows (all, or those at `indices`) as the table was, but for what is lost to seven digits."""
        if indices is None:
            return self.encoding.restore(self.scalars, self.choices)
        place = indices.to(self.scalars.device)
        return self.encoding.restore(self.scalars[place], self.choices[place])

    @cached_property
    def counts(self) -> tuple[Tensor, ...]:
        """Of each choice how often its categories occur: int64 (categories,), on the CPU. -1 (none) does not count."""
        made = (self.choices[:, j].cpu().to(torch.int64) for j in range(self.choices.shape[1]))
        blocks = self.encoding.layout.choices
        return tuple(
            torch.bincount(own[own >= 0], minlength=block.size) for own, block in zip(made, blocks, strict=True)
        )

    def frequencies(self, choice: int, log: bool = False) -> Tensor:
        """How probable the categories of a choice are: float64 (categories,), adding up to 1.

        Args:
            choice: j, of `encoding.layout.choices[j]`; `encoding.choice(name)` finds it.
            log: in proportion to log(1 + count) instead, which shows rare categories more often while training (Xu et
                al. 2019, section 4.3). What is made must follow the true frequencies.
        """
        counts = self.counts[choice].double()
        weights = counts.log1p() if log else counts
        return weights / weights.sum()

    @cached_property
    def index(self) -> tuple[Tensor, Tensor, Tensor]:
        """For `matching`: rows sorted by each choice (c, n) int32, where each category's begin in them, and how many
        they are, both (all categories,) in the order of the choices.
        """
        order = torch.empty(len(self.counts), len(self), dtype=torch.int32)
        for j in range(len(self.counts)):
            order[j] = torch.argsort(self.choices[:, j].cpu(), stable=True).to(torch.int32)
        counts = torch.cat([*self.counts, torch.zeros(0, dtype=torch.int64)])
        # Rows of -1 come first in the order.
        own = (len(self) - count.sum() + count.cumsum(0) - count for count in self.counts)
        begins = torch.cat([*own, torch.zeros(0, dtype=torch.int64)])
        return order, begins, counts

    def matching(self, choice: Tensor, category: Tensor, u: Tensor) -> Tensor:
        """For each of m conditions a row that fulfils it, each such row equally likely: indices int64 (m,), CPU.

        Args:
            choice: int64 (m,), j of `encoding.layout.choices[j]`.
            category: int64 (m,), which of its categories.
            u: float (m,) in [0, 1), by which the row is drawn.

        Raises:
            BadOption: no row fulfils one of them.
        """
        choice, category, u = choice.cpu(), category.cpu(), u.cpu().double()
        order, begins, counts = self.index
        place = self.encoding.layout.offsets[choice] + category
        if (none := counts[place] == 0).any():
            j = int(choice[none][0])
            name = self.encoding.layout.choices[j].name
            raise BadOption(f"no row has category {int(category[none][0])} of column {name!r}.")
        rank = begins[place] + (u * counts[place]).to(torch.int64).clamp_max(counts[place] - 1)
        return order[choice, rank].to(torch.int64)


def load_table(source: Any, options: Data) -> Dataset:
    """The data set of a table: read, checked, split by the content of its rows, encoded.

    A tenth of the rows is set apart, those with the lowest hashes, so that equal rows are never on both sides.
    Kinds, categories and ranges are those of all rows; mixtures are fitted to the training rows alone.

    Raises:
        BadData: it cannot be read or encoded.
        BadOption: an option that is for images, or that names no column.
    """
    from zerosum.data.loading import separate

    own = replace(options, table=Table(), target=None, limit=None, strict=False, memory=None)
    if own != Data():
        wrong = next(name for name in vars(own) if getattr(own, name) != getattr(Data(), name))
        raise BadOption(f"--data.{wrong.replace('_', '-')} is for images; {_name(source)} is a table.")
    rows = read_table(source, options.table)
    hashes = row_hashes(rows.frame.drop(columns=[name for name in options.table.drop if name in rows.frame]))
    if repeated := len(hashes) - len(np.unique(hashes)):
        rows.notes.append(f"{repeated:,} rows are equal to earlier ones; kept")
    digests = [value.tobytes() for value in hashes]
    train, test = separate(digests, [None] * len(digests), options.limit, rows.notes)
    encoding = _fitted(rows, options, np.array(train))
    scalars, choices = encoding.compact(rows.frame)
    train_rows, test_rows = torch.tensor(train), torch.tensor(test, dtype=torch.int64)
    total = hashlib.sha256(json.dumps(encoding.to_json(), sort_keys=True).encode())
    for split, indices in (("train", train), ("test", test)):
        total.update(split.encode() + hashes[indices].tobytes())
    notes, columns = [*rows.notes, *encoding.notes], summary(encoding, rows.frame)
    report = Report(rows.name, len(hashes), len(hashes), notes=notes, columns=columns)
    return Dataset(
        name=rows.name,
        spec=encoding.spec,
        encoding=encoding,
        train=TableStore(encoding, scalars[train_rows], choices[train_rows]),
        test=TableStore(encoding, scalars[test_rows], choices[test_rows]) if test else None,
        fingerprint=total.hexdigest(),
        class_names=[],
        notes=notes,
        report=report,
    )


def row_hashes(frame: pd.DataFrame) -> np.ndarray:
    """A hash of each row's content: uint64 (n,), the highest byte first. Raises BadData for cells that have none."""
    try:
        return pd.util.hash_pandas_object(frame, index=False).to_numpy().astype(">u8")
    except TypeError:
        for name in frame.columns:
            recognise(frame[name], name)  # says which column it is
        raise


def _name(source: Any) -> str:
    return str(source) if isinstance(source, str) or hasattr(source, "__fspath__") else "a frame"


def _fitted(rows: Rows, options: Data, train: np.ndarray) -> TableEncoding:
    table = options.table
    return TableEncoding.fit(
        rows.frame, kinds=table.named_kinds(), drop=table.drop, constraints=table.constraints, target=options.target,
        scaling=table.scaling, modes=table.modes, categories=table.categories, rows=train, dialect=rows.dialect,
    )  # fmt: skip
