"""What the data says about itself, and the interfaces that everything above relies on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from zerosum.data.report import Report

Batch = dict[str, Tensor]
"""Named tensors; every one has the samples on axis 0. Images: "image" float32 (n, c, h, w) in [-1, 1], "label" int64
(n,), "source" float32 (n, c', h, w), the image that a translation starts from. Tables: "row" float32 (n, d).
"""


@dataclass(frozen=True)
class Block:
    """A stretch of an encoded row: a scalar in [-1, 1] (tanh), or one choice of several as a one-hot (softmax)."""

    column: int
    """Which column of the table it is of, counted from 0 in `TableEncoding.columns`."""
    kind: Literal["scalar", "softmax"]
    size: int
    """How many numbers of the row it takes; 1 for a scalar."""
    role: str
    """"value": the place of a number within its mode; "mode": which mode; "category"; "ordinal": a category, in order;
    "missing": whether a cell is, of identifiers."""
    name: str = ""
    """The column's name."""
    missing: bool = False
    """Whether the last choice means that the cell is missing."""

    @property
    def discrete(self) -> bool:
        """Whether it holds the categories of a column, and not the modes of a number."""
        return self.role in ("category", "ordinal")


@dataclass(frozen=True)
class Spec:
    """What one encoded sample looks like. The data states it; the networks are built from it."""

    shape: tuple[int, ...]
    """(channels, height, width) of an image, (coordinates,) of a point, (numbers,) of an encoded row."""
    classes: int = 0
    """Number of classes; 0 means that there are no labels."""
    kind: str = "image"
    """"image", "points" or "table"."""
    source: tuple[int, int, int] | None = None
    """(channels, height, width) of the images that are translated into these; None: the data holds no such images."""
    paired: bool = False
    """Whether each sample has a source of its own; else any source goes with any sample."""
    blocks: tuple[Block, ...] = ()
    """What an encoded row of a table is made of, from left to right."""
    target: int | None = None
    """The column of the table that models are to predict, counted as `Block.column` is; None: none was named."""

    @property
    def key(self) -> str:
        """The name that batches carry samples under."""
        return "row" if self.kind == "table" else "image"

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where each block is in the row."""
        ends = list(itertools.accumulate(block.size for block in self.blocks))
        return tuple(slice(end - block.size, end) for end, block in zip(ends, self.blocks, strict=True))


class Encoding(Protocol):
    """An invertible map between data as its user knows it and tensors as networks want them."""

    @property
    def spec(self) -> Spec:
        """What one encoded sample looks like."""
        ...

    def encode(self, raw: Any) -> Batch:
        """Raw samples to a batch."""
        ...

    def decode(self, batch: Batch) -> Any:
        """A batch (or what a generator made: {"image": ...}) back to what the user knows: a list of PIL images, an
        array, a DataFrame.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """All that `from_json` needs to make this encoding again, with its "kind"."""
        ...


class Store(Protocol):
    """Encoded samples that can be fetched by index, on some device."""

    labels: Tensor | None
    """int64 (n,) on the CPU, or None."""

    def __len__(self) -> int: ...

    def fetch(self, indices: Tensor, flip: Tensor | None = None) -> Batch:
        """The samples at `indices` (int64 (m,), CPU), normalised to float32; those where `flip` (bool (m,)) is set
        mirrored.
        """
        ...

    def prefetch(self, indices: Tensor) -> None:
        """A hint that these are fetched next; a store in memory ignores it."""
        ...

    def to(self, device: Any) -> Store:
        """The same store, delivering to `device` (kept there where it fits)."""
        ...


@dataclass
class Dataset:
    """A data set, checked, split and encoded: what `zerosum.data.load` gives and training and measuring take."""

    name: str
    spec: Spec
    encoding: Encoding
    train: Store
    test: Store | None
    """Held-out samples, never trained on: the data's own test split, or a tenth set apart."""
    fingerprint: str
    """sha256 over the content; names caches and is written into every run."""
    class_names: list[str]
    flip: bool = False
    """Mirror half of the training samples."""
    notes: list[str] | None = None
    """What was left out or changed, one line each, for the person who started the training."""
    report: Report | None = None
    """Everything the data check found; None for data sets that were put together by hand."""
