"""The options of a data set: `--data.resolution`, `--data.labels` ... on the command line. Needs no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from zerosum.core.errors import BadOption

Resize = Literal["lanczos", "bicubic", "bilinear", "box"]
Fit = Literal["crop", "stretch", "pad", "tiles"]


Scaling = Literal["modes", "range", "quantile"]


@dataclass(frozen=True)
class Table:
    """How the columns of a table are read and encoded."""

    kinds: tuple[str, ...] = ()
    """Tables: what columns are, such as age=continuous zip=categorical, where that is not to be found out: continuous,
    integer, categorical, ordinal, boolean, datetime (datetime:%d/%m/%Y), identifier, text (left out), constant."""
    drop: tuple[str, ...] = ()
    """Tables: columns to leave out."""
    constraints: tuple[str, ...] = ()
    """Tables: what rows obey: '0 <= age <= 120', 'start <= end', 'total = net + tax', 'unique email', 'never sex=Male,
    pregnant=yes'."""
    query: str | None = None
    """Databases (--data sqlite:///shop.db): a SELECT, or the name of a table (default: the only one)."""
    missing: tuple[str, ...] = ()
    """Text files: what means that a cell is missing, besides NA, NaN, NULL, None and nothing at all."""
    encoding: str = "utf-8"
    """Text files: how characters are encoded, such as latin-1."""
    headless: bool = False
    """Text files: the first line is a row already, and has no names."""
    scaling: Scaling = "modes"
    """Tables: numbers by the modes of a mixture, by their range, or by rank."""
    modes: int = 10
    """Tables: Gaussians that the mixture of a column starts with; it keeps those that it needs."""
    categories: int = 256
    """Tables: at most so many categories of a column; the rarest share one place."""

    def named_kinds(self) -> dict[str, str]:
        """Column -> kind. Raises BadOption for anything but name=kind."""
        found = {}
        for pair in (pair for text in self.kinds for pair in text.split(",")):
            name, equals, kind = pair.rpartition("=")
            if not (name and equals and kind):
                raise BadOption(f"--data.kinds {pair!r} is not understood; write name=kind, such as age=continuous.")
            found[name.strip()] = kind.strip()
        return found


@dataclass(frozen=True)
class Data:
    """How samples are read, made equal in shape, and checked."""

    resolution: int | str | None = None
    """Pixels: one number for a square, or HEIGHTxWIDTH such as 48x64 (default: the images' own size where all have
    the same, else 64)."""
    channels: int | None = None
    """1 (grey), 3 (colour) or 4 (colour and transparency) (default: what most images have)."""
    bits: Literal[8, 16] | None = None
    """Bits per value (default: 16 where most images have 16, else 8)."""
    resize: Resize = "lanczos"
    """Filter of the resize, always antialiased."""
    fit: Fit = "crop"
    """For another aspect ratio: crop the centre, stretch, or pad with black (transparent with 4 channels). tiles: cut
    images of any size into overlapping tiles of the resolution, at their own scale."""
    source: str | None = None
    """Translate images: from the left or the right half of each (left, right); from the images of a second folder or
    archive that have the same names (PATH); or, unpaired, from the images of one class (its name)."""
    target: str | None = None
    """Translation: the class that a class given as --data.source is translated into (default: the only other one).
    Tables: the column that models are to predict; --target for short."""
    unpaired: bool = False
    """The images of --data.source PATH have nothing to do with those of --data: any goes with any."""
    labels: str | None = None
    """A labels file (csv with the columns file and label, or dataset.json), or the label column of a parquet file or
    hub data set (default: class folders, labels.csv, dataset.json, or a column called label or class)."""
    unlabelled: bool = False
    """Ignore all labels."""
    column: str | None = None
    """The image column of a parquet file or hub data set (default: image, or the only one that can be)."""
    flip: bool = False
    """Mirror a random half of the training images left to right."""
    limit: int | None = None
    """Use at most this many training samples, and at most as many test samples: a fixed random choice."""
    strict: Annotated[bool, tyro.conf.arg(name="strict", prefix_name=False, aliases=["--data.strict"])] = False
    """Stop at unusable files instead of going on without them."""
    check: Literal["full", "headers"] = "full"
    """Decode every file while checking, or read the headers alone of sets too large for the memory."""
    max_pixels: int = 100_000_000
    """Refuse images with more pixels than this (a small file can claim to be enormous)."""
    memory: float | None = None
    """Gigabytes that the decoded images may take; larger sets are decoded while training (default: a quarter of the
    RAM)."""
    table: Annotated[Table, tyro.conf.arg(name="")] = Table()

    def __post_init__(self) -> None:
        size = self.size
        if size is not None and not all(1 <= side <= 16384 for side in size):
            raise BadOption(f"--data.resolution is {self.resolution}; it must be between 1 and 16384 pixels.")
        if self.channels not in (None, 1, 3, 4):
            raise BadOption(
                f"--data.channels is {self.channels}; it must be 1 (grey), 3 (colour) or 4 (with transparency)."
            )
        for name in ("limit", "max_pixels", "memory"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise BadOption(f"--data.{name.replace('_', '-')} is {value}; it must be more than 0.")

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) asked for, or None."""
        if self.resolution is None:
            return None
        match = re.fullmatch(r"(\d+)(?:x(\d+))?", str(self.resolution))
        if match is None:
            raise BadOption(f"--data.resolution is {self.resolution!r}; give one number (64) or HEIGHTxWIDTH (48x64).")
        return int(match[1]), int(match[2] or match[1])
