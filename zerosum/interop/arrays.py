"""Tensors as files describe them: a stretch of bytes, a type, a shape. Nothing is copied before it is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zerosum.core.errors import BadFile

if TYPE_CHECKING:
    from torch import Tensor

SIZES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1,
    "bool": 1,
}  # fmt: skip
"""Bytes of an element of each type, by torch's names."""
AXES = 16
"""The most that an array may have."""


@dataclass
class Storage:
    """Elements in a row.

    Attributes:
        kind: their type, one of SIZES.
        count: how many.
        data: their bytes; None until the place in the file is known where they stand.
        swapped: each element's bytes are in the order that this machine does not use.
    """

    kind: str
    count: int
    data: memoryview | None = None
    swapped: bool = False

    def __post_init__(self) -> None:
        if type(self.count) is not int or self.count < 0:
            raise BadFile(f"a storage claims {shown(self.count)} elements")
        if self.data is not None:
            self.fill(self.data)

    def fill(self, data: memoryview) -> None:
        """Say where the bytes are. Raises BadFile where there are fewer than claimed."""
        if len(data) < self.count * SIZES[self.kind]:
            raise BadFile(
                f"a storage claims {self.count:,} elements of type {self.kind}, but has {len(data):,} bytes; "
                "the file is cut off or forged"
            )
        self.data = data


@dataclass(frozen=True)
class Array:
    """A view of a storage. Make it with `view`, which checks that it lies inside."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of a copy."""
        return math.prod(self.shape) * SIZES[self.storage.kind]

    def tensor(self) -> Tensor:
        """A copy, in this machine's byte order."""
        import torch

        kind, size = self.storage.kind, SIZES[self.storage.kind]
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=getattr(torch, kind))
        if self.storage.data is None:
            raise BadFile("a tensor's bytes are not in the file")
        span = 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        content = bytearray(self.storage.data[self.offset * size : (self.offset + span) * size])
        if self.storage.swapped and size > 1:
            for byte in range(size // 2):
                a, b = content[byte::size], content[size - 1 - byte :: size]
                content[byte::size], content[size - 1 - byte :: size] = b, a
        flat = torch.frombuffer(content, dtype=getattr(torch, kind))
        return flat.as_strided(self.shape, self.strides).contiguous()


def view(storage: Storage, offset: Any, shape: Any, strides: Any) -> Array:
    """An array inside a storage.

    Raises:
        BadFile: it reaches beyond, has negative sizes or strides, or more elements than the storage.
    """
    claim = f"a tensor of shape {shown(shape)}, strides {shown(strides)}, offset {shown(offset)}"
    for sizes in (shape, strides):
        if not isinstance(sizes, tuple) or len(sizes) > AXES or any(type(n) is not int or n < 0 for n in sizes):
            raise BadFile(f"{claim} is not possible")
    if type(offset) is not int or offset < 0 or len(shape) != len(strides):
        raise BadFile(f"{claim} is not possible")
    if 0 not in shape:
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if last >= storage.count or math.prod(shape) > storage.count:
            raise BadFile(f"{claim} reaches beyond its storage of {storage.count:,} elements")
    return Array(storage, offset, shape, strides)


def dense(storage: Storage, shape: Any, *, fortran: bool = False) -> Array:
    """An array whose elements stand one after the other, the last (or, Fortran's order, the first) axis fastest."""
    if not isinstance(shape, tuple) or len(shape) > AXES or any(type(n) is not int or n < 0 for n in shape):
        raise BadFile(f"an array of shape {shown(shape)} is not possible")
    if math.prod(shape) != storage.count:
        raise BadFile(f"an array of shape {shown(shape)} does not have {storage.count:,} elements")
    strides, step = [], 1
    for n in shape if fortran else shape[::-1]:
        strides.append(step)
        step *= max(n, 1)
    return view(storage, 0, shape, tuple(strides if fortran else strides[::-1]))


def shown(value: Any) -> str:
    """A value of a foreign file for a message: short, printable, and never a nested structure."""
    if type(value) in (int, float, bool, str, type(None)):
        text = str(value) if type(value) is not int or abs(value) < 2**63 else "a number beyond 2^63"
    elif type(value) is tuple and len(value) <= AXES and all(type(item) is int for item in value):
        text = str(tuple(value)) if all(abs(item) < 2**63 for item in value) else "numbers beyond 2^63"
    else:
        text = f"a {type(value).__name__}"
    return "".join(c if c.isprintable() else "?" for c in text[:120])
