"""The stream of encoded batches on the device. What comes next depends only on (seed, samples so far)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from zerosum.core import randomness
from zerosum.core.errors import BadOption
from zerosum.core.latents import Latent
from zerosum.data.spec import Batch, Store
from zerosum.data.stores import Unpaired
from zerosum.training.arena import Arena


def equal_share(batch_size: int, processes: int) -> int:
    """Samples of a batch that each process gets. Raises BadOption where that is not a whole number above 0."""
    if batch_size < 1:
        raise BadOption(f"the batch size is {batch_size}; it must be 1 or more.")
    if batch_size % processes:
        raise BadOption(
            f"--run.batch-size {batch_size} cannot be shared equally by {processes} processes; choose a multiple."
        )
    return batch_size // processes


class Batches:
    """Iterator over batches: data in an order fixed by the seed, with the noise that the game asks for.

    Order and noise are those of the whole batch; each process takes its own slice, so two processes see what one would.

    Args:
        store: the training samples.
        batch_size: over all processes.
        noise: name -> distribution of what each batch brings besides data.
        seed: decides everything.
        arena: device, rank and number of processes.
        samples: how many samples were shown before.
        flip: mirror half of the images.
        order: which samples come, and what comes with them; by default all of them, shuffled, epoch after epoch.
    """

    def __init__(
        self,
        store: Store,
        *,
        batch_size: int,
        noise: dict[str, Latent],
        seed: tuple[int | str, ...],
        arena: Arena,
        samples: int = 0,
        flip: bool = False,
        order: Order | None = None,
    ):
        equal_share(batch_size, arena.world)
        self.store, self.noise, self.seed, self.arena = store, noise, seed, arena
        self.batch_size, self.samples, self.flip = batch_size, samples, flip
        self.order: Order = order or Shuffled(len(store), seed)
        self.beside = Shuffled(len(store.source), (*seed, "source")) if isinstance(store, Unpaired) else None
        self._ahead: Batch | None = None

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Batch:
        """The next batch: data and noise, on the device, this process's share of it."""
        batch, self._ahead = self.peek(), None
        self.samples += self.batch_size
        self.arena.samples = self.samples
        self.store.prefetch(self.order(self.samples, self.batch_size)[self._mine()])
        return batch

    def peek(self) -> Batch:
        """The batch that comes next, without taking it."""
        if self._ahead is None:
            self._ahead = self._fetch(self.samples)
        return self._ahead

    def _mine(self) -> slice:
        """This process's share of a batch; all of it where there is no other, also where an order drew more or fewer
        samples than a batch has on average.
        """
        if self.arena.world == 1:
            return slice(None)
        share = equal_share(self.batch_size, self.arena.world)
        return slice(self.arena.rank * share, (self.arena.rank + 1) * share)

    def _fetch(self, start: int) -> Batch:
        """The batch that begins at position `start` of the stream."""
        mine = self._mine()
        indices = self.order(start, self.batch_size)[mine]
        batch = self.arena.place(self.store.fetch(indices, self._flips("flip", start)))
        if self.beside is not None and isinstance(self.store, Unpaired):
            beside = self.beside(start, self.batch_size)[mine]
            sources = self.store.source.fetch(beside, self._flips("flip source", start))
            batch["source"] = self.arena.place(sources)["image"]
        extra = self.order.beside(start, self.batch_size)
        batch |= self.arena.place({name: value[mine] for name, value in extra.items()})
        draw = randomness.generator(self.arena.device, *self.seed, "noise", start)
        for name, latent in self.noise.items():
            batch[name] = latent.draw(self.batch_size, draw)[mine]
        return batch

    def _flips(self, name: str, start: int) -> Tensor | None:
        """Which samples of this process's share are mirrored (bool); None where none ever is."""
        if not self.flip:
            return None
        draw = randomness.generator("cpu", *self.seed, name, start)
        return torch.rand(self.batch_size, generator=draw)[self._mine()] < 0.5


class Order(Protocol):
    """An endless stream of samples. What is at a position of it depends on the position alone."""

    def __call__(self, start: int, count: int) -> Tensor:
        """Indices int64 (count,), CPU, of the samples at positions start, start + 1, ... of the stream. In games of a
        single process there may be more or fewer of them.
        """
        ...

    def beside(self, start: int, count: int) -> Batch:
        """What comes with these samples, besides what the store has of them."""
        ...


class Shuffled:
    """All samples, each epoch in an order of its own."""

    def __init__(self, n: int, seed: tuple[int | str, ...]):
        self.n, self.seed = n, seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def __call__(self, start: int, count: int) -> Tensor:
        """Indices (count,)."""
        pieces = []
        while count:
            epoch, offset = divmod(start, self.n)
            if epoch != self._epoch:
                self._epoch, self._order = epoch, randomness.permutation(self.n, *self.seed, "epoch", epoch)
            piece = self._order[offset : offset + count]
            pieces.append(piece)
            start, count = start + len(piece), count - len(piece)
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def beside(self, start: int, count: int) -> Batch:
        """Nothing."""
        return {}
