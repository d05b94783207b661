"""What a source holds before it is checked and encoded: files, arrays of images, or points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from zerosum.data.report import Problem

Label = int | str


@dataclass(frozen=True)
class Item:
    """One encoded image: a file, a member of an archive, or a row of a table."""

    name: str
    read: Callable[[], bytes]
    label: Label | None = None
    split: str | None = None
    """"train", "test" or "val" where the source says so."""
    source: Item | None = None
    """The image that this one is translated from, where each has its own."""


@dataclass
class Files:
    """Encoded images, in an order that is the same on every machine."""

    name: str
    items: list[Item]
    class_names: list[str] | None = None
    """Names of the labels 0, 1, 2 ... where the source tells them."""
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass
class Arrays:
    """Images (n, h, w, c) as uint8 or uint16 with labels (n,) and, where the source says so, a split for each."""

    name: str
    images: np.ndarray
    labels: np.ndarray | None = None
    splits: list[str] | None = None
    class_names: list[str] | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class Points:
    """Points (n, d) as float32."""

    name: str
    points: np.ndarray
    notes: list[str] = field(default_factory=list)


Found = Files | Arrays | Points


def split_name(text: str) -> str | None:
    """Give "train", "test" or "val" for the usual names of splits, else None."""
    names = {
        "train": "train",
        "training": "train",
        "test": "test",
        "testing": "test",
        "val": "val",
        "valid": "val",
        "validation": "val",
        "dev": "val",
    }
    return names.get(text.lower())
