"""Stores: encoded samples fetched by index, from memory or decoded while training. Which index comes when is not
theirs to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerosum.data.encodings import normalise, to_tensor
from zerosum.data.spec import Batch, Store


class MemoryStore:
    """All samples in one tensor: uint8 or int16 (less 32768) images (n, c, h, w), or float32 points (n, d).

    Args:
        source: how many channels, the first ones, are those of the image that a sample is translated from.
    """

    def __init__(
        self, values: Tensor, labels: Tensor | None = None, device: torch.device | str = "cpu", source: int = 0
    ):
        self.values, self.labels, self.device, self.source = values, labels, torch.device(device), source

    def __len__(self) -> int:
        return len(self.values)

    def fetch(self, indices: Tensor, flip: Tensor | None = None) -> Batch:
        """The samples at `indices` (int64 (m,), CPU) as float32 on the store's device; those where `flip` is set
        mirrored.
        """
        chosen = self.values.index_select(0, indices.to(self.values.device, non_blocking=True))
        return _batch(chosen, self.labels, indices, flip, self.device, self.source)

    def prefetch(self, indices: Tensor) -> None:
        """Nothing to do: everything is here."""

    def to(self, device: Any) -> MemoryStore:
        """The same samples delivered to `device`, and kept there where they take less than half of its free memory."""
        device = torch.device(device)
        values = self.values
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if values.nbytes < free / 2:
                values = values.to(device)
        elif device.type != "cpu":
            values = values.to(device)
        return MemoryStore(values, self.labels, device, self.source)


class StreamingStore:
    """Samples decoded on demand by a pool of threads.

    Args:
        read: gives the stored pixels (c, h, w), uint8 or uint16, of the sample at an index; called in several threads.
        count: how many samples there are.
        ahead: how many prefetched samples are held at most; further hints are ignored.
        source: how many channels, the first ones, are those of the image that a sample is translated from.
    """

    def __init__(
        self,
        read: Callable[[int], np.ndarray],
        count: int,
        labels: Tensor | None = None,
        device: torch.device | str = "cpu",
        threads: int = 4,
        ahead: int = 1024,
        source: int = 0,
    ):
        self.read, self.count, self.labels, self.device = read, count, labels, torch.device(device)
        self.threads, self.ahead, self.source = threads, ahead, source
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="zerosum-decode")
        self._waiting: dict[int, Future[np.ndarray]] = {}

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: Tensor, flip: Tensor | None = None) -> Batch:
        """The samples at `indices` (int64 (m,), CPU) as float32 on the store's device; those where `flip` is set
        mirrored.
        """
        wanted = indices.tolist()
        for index in wanted:
            if not 0 <= index < self.count:
                raise IndexError(f"sample {index} of {self.count}")
        futures = {
            index: self._waiting.pop(index) if index in self._waiting else self._pool.submit(self.read, index)
            for index in dict.fromkeys(wanted)
        }
        chosen = to_tensor(np.stack([futures[index].result() for index in wanted]))
        return _batch(chosen, self.labels, indices, flip, self.device, self.source)

    def prefetch(self, indices: Tensor) -> None:
        """Start decoding the samples at `indices`, which are fetched next."""
        for index in indices.tolist():
            if len(self._waiting) >= self.ahead:
                return
            if index not in self._waiting:
                self._waiting[index] = self._pool.submit(self.read, index)

    def to(self, device: Any) -> StreamingStore:
        """The same samples, delivered to `device`."""
        return StreamingStore(self.read, self.count, self.labels, device, self.threads, self.ahead, self.source)


class Part:
    """Some samples of a store, in an order of its own, without their labels."""

    labels: Tensor | None = None

    def __init__(self, store: Store, indices: Tensor):
        self.store, self.indices = store, indices

    def __len__(self) -> int:
        return len(self.indices)

    def fetch(self, indices: Tensor, flip: Tensor | None = None) -> Batch:
        """The samples at `indices` of this part."""
        batch = self.store.fetch(self.indices[indices], flip)
        return {name: value for name, value in batch.items() if name != "label"}

    def prefetch(self, indices: Tensor) -> None:
        """Hand the hint on."""
        self.store.prefetch(self.indices[indices])

    def to(self, device: Any) -> Part:
        """The same samples, delivered to `device`."""
        return Part(self.store.to(device), self.indices)


class Unpaired:
    """Images of two domains that have nothing to do with each other: those to be made, and those to start from.

    Training draws the two independently of each other; `fetch` puts sources beside images in turn.
    """

    labels: Tensor | None = None

    def __init__(self, image: Store, source: Store):
        self.image, self.source = image, source

    def __len__(self) -> int:
        return len(self.image)

    def fetch(self, indices: Tensor, flip: Tensor | None = None) -> Batch:
        """{"image": ..., "source": ...} (m, c, h, w) each."""
        beside = self.source.fetch(indices % len(self.source), flip)
        return {"image": self.image.fetch(indices, flip)["image"], "source": beside["image"]}

    def prefetch(self, indices: Tensor) -> None:
        """Hand the hint on."""
        self.image.prefetch(indices)

    def to(self, device: Any) -> Unpaired:
        """The same samples, delivered to `device`; what both are parts of only once."""
        image, source = self.image, self.source
        if isinstance(image, Part) and isinstance(source, Part) and source.store is image.store:
            shared = image.store.to(device)
            return Unpaired(Part(shared, image.indices), Part(shared, source.indices))
        return Unpaired(image.to(device), source.to(device))


class Sources:
    """The images that a data set's samples are translated from, as a store of their own."""

    labels: Tensor | None = None

    def __init__(self, store: Store):
        self.store = store

    def __len__(self) -> int:
        return len(self.store.source) if isinstance(self.store, Unpaired) else len(self.store)

    def fetch(self, indices: Tensor, flip: Tensor | None = None) -> Batch:
        """{"image": (m, c, h, w)}: sources in the place of images."""
        if isinstance(self.store, Unpaired):
            return self.store.source.fetch(indices, flip)
        return {"image": self.store.fetch(indices, flip)["source"]}

    def prefetch(self, indices: Tensor) -> None:
        """Hand the hint on."""
        (self.store.source if isinstance(self.store, Unpaired) else self.store).prefetch(indices)

    def to(self, device: Any) -> Sources:
        """The same images, delivered to `device`."""
        return Sources(self.store.to(device))


def subset(store: MemoryStore, indices: Sequence[int]) -> MemoryStore:
    """A store with only the samples at `indices`, in that order."""
    chosen = torch.as_tensor(indices, dtype=torch.int64)
    return MemoryStore(store.values[chosen], None if store.labels is None else store.labels[chosen], store.device)


def _batch(
    chosen: Tensor, labels: Tensor | None, indices: Tensor, flip: Tensor | None, device: torch.device, source: int
) -> Batch:
    images = normalise(chosen.to(device, non_blocking=True))
    if flip is not None and images.ndim == 4:
        where = flip.nonzero().squeeze(1).to(device, non_blocking=True)  # found on the CPU: no waiting for the device
        images[where] = images[where].flip(-1)
    batch = {"source": images[:, :source], "image": images[:, source:]} if source else {"image": images}
    if labels is not None:
        batch["label"] = labels[indices].to(device, non_blocking=True)
    return batch
