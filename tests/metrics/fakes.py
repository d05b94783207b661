"""Small stand-ins: a data set in memory, and a generator that hands out given samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from zerosum.data import Dataset, ImageEncoding, PointEncoding, Spec
from zerosum.data.stores import MemoryStore


def image_data(train: Tensor, test: Tensor | None, labels: Tensor | None = None, classes: int = 0) -> Dataset:
    """A data set of uint8 images (n, c, h, w)."""
    spec = Spec(tuple(train.shape[1:]), classes)
    content = hashlib.sha256(train.numpy().tobytes()).hexdigest()
    return Dataset(
        name="fake",
        spec=spec,
        encoding=ImageEncoding(spec),
        train=MemoryStore(train, labels),
        test=None if test is None else MemoryStore(test),
        fingerprint=content,
        class_names=[],
    )


def point_data(name: str, train: Tensor, test: Tensor | None) -> Dataset:
    """A data set of float points (n, d)."""
    spec = Spec(tuple(train.shape[1:]), 0, "points")
    content = hashlib.sha256(train.numpy().tobytes()).hexdigest()
    held_out = None if test is None else MemoryStore(test)
    return Dataset(name, spec, PointEncoding(spec), MemoryStore(train), held_out, content, [])


class Replay:
    """A generator that hands out `samples` (n, ...), encoded, from the first on, and over again when they run out."""

    def __init__(self, samples: Tensor, spec: Spec, labels: Tensor | None = None):
        self.samples, self.spec, self.given = samples, spec, labels
        self.device = torch.device("cpu")

    def labels(self, n: int, *, seed: int = 0) -> Tensor | None:
        return None if self.given is None else self.given[torch.arange(n) % len(self.given)]

    def tensors(self, n: int, *, seed: int = 0, batch: int = 256) -> Iterator[Tensor]:
        for indices in (torch.arange(n) % len(self.samples)).split(batch):
            yield self.samples[indices]
