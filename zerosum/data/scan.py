"""The check of files: each is read, hashed and decoded by a pool of threads, and what is wrong with it is reported."""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from zerosum.core.errors import BadData
from zerosum.data.encodings import ImageEncoding
from zerosum.data.files import Header, Unusable, content_of, decode, header, own_limit
from zerosum.data.found import Files, Item
from zerosum.data.labels import used_labels
from zerosum.data.options import Data
from zerosum.data.pairs import HALVES, halves
from zerosum.data.report import SHOWN, Report
from zerosum.data.spec import Spec

DEFAULT_SIZE = 64
ODD = 4
"""A side is odd where it is this many times longer or shorter than the median's."""
EDGE = 65_536
"""Bytes at each end of a file that stand for its content where only headers are checked."""
SHOW_FROM = 2_000
"""Files from which on a progress bar is shown."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Checked:
    """A file whose header is good."""

    item: Item
    digest: bytes
    """sha256 of the content."""
    header: Header
    corner: tuple[int, int] | None = None
    """(top, left) of the tile of the image that is meant; None: the whole image."""


@dataclass
class CheckedFiles:
    """The good files of a source, how they are encoded, and, where they fit into memory, their pixels (n, c, h, w)."""

    report: Report
    good: list[Checked]
    encoding: ImageEncoding
    labels: np.ndarray | None
    class_names: list[str]
    pixels: np.ndarray | None


class Decoder:
    """Decodes files to stored pixels (c, h, w); those of an image's source, where it has one, come first.

    Args:
        encoding: size, channels and bits.
        options: the largest size, and which half of an image is the source.
    """

    def __init__(self, encoding: ImageEncoding, options: Data):
        self.encoding, self.options = encoding, options
        self._last = threading.local()  # tiles of one image are mostly asked for one after the other

    @property
    def sources(self) -> int:
        """Channels of the source."""
        return self.encoding.spec.source[0] if self.encoding.spec.source else 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels of source and image, height, width)."""
        channels, height, width = self.encoding.spec.shape
        return self.sources + channels, height, width

    def __call__(self, file: Checked) -> np.ndarray:
        """The stored pixels. Raises Unusable."""
        image = self._decoded(file.item)
        if file.item.source is not None:
            return np.concatenate([self.encoding.pixels(self._decoded(file.item.source)), self.encoding.pixels(image)])
        if self.options.source in HALVES:
            return np.concatenate([self.encoding.pixels(half) for half in halves(image, self.options.source)])
        if file.corner is not None:
            (top, left), (_, height, width) = file.corner, self.encoding.spec.shape
            image = image[top : top + height, left : left + width]
        return self.encoding.pixels(image)

    def _decoded(self, item: Item) -> np.ndarray:
        if self.options.fit != "tiles":
            return decode(content_of(item), self.options.max_pixels)
        if getattr(self._last, "name", None) != item.name:
            self._last.image = decode(content_of(item), self.options.max_pixels)
            self._last.name = item.name
        return self._last.image


class FileReader:
    """Decodes one file of a list, for a StreamingStore."""

    def __init__(self, files: Sequence[Checked], decoder: Decoder):
        self.files, self.decoder = files, decoder

    def __call__(self, index: int) -> np.ndarray:
        """(c, h, w) of the file at `index`. Raises BadData where it has become unusable since it was checked."""
        item = self.files[index].item
        try:
            with own_limit:
                return self.decoder(self.files[index])
        except Unusable as error:
            raise BadData(
                f"{item.name} cannot be decoded: {error}. Run `zerosum check-data` on the data set and "
                "remove what it lists."
            ) from error


def check_files(found: Files, options: Data, keep: bool = True) -> CheckedFiles:
    """Check all files of a source, decide how they are encoded, and decode them.

    Args:
        found: the files.
        options: what was asked for.
        keep: whether the pixels are wanted; they are kept where they fit into memory.

    Raises:
        BadData: nothing is usable, or (options.strict) something is not.
    """
    report = Report(found.name, notes=found.notes, problems=list(found.problems))
    items = _preselected(_labelled(found, report, options), options.limit)
    report.total += len(items)
    with own_limit, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters of them is in the report
        good = _scan(items, report, options)
        _stop_if_unusable(report, good, strict=False)
        encoding = _encoding(good, report, options)
        _odd_sizes(good, report)
        duplicates = [one.item.name for one in good], [one.digest for one in good]
        if options.fit == "tiles":
            good = tiles(good, encoding, report)
            _stop_if_unusable(report, good, strict=False)
        decoder = Decoder(encoding, options)
        decoded = len(good) * int(np.prod(decoder.shape)) * encoding.bits // 8
        fits = decoded <= memory_limit(options)
        kept, pixels = _decode(good, decoder, report, options, keep and fits)
    if not fits:
        gigabytes = decoded / 2**30
        report.notes.append(f"decoded they take {gigabytes:.2f} GB: they are decoded while training (--data.memory)")
    if options.check == "headers":
        checked = "only the headers were checked" if not (keep and fits) else "every image was decoded"
        report.notes.append(f"{checked}; the fingerprint covers 64 KiB at both ends of each file")
    good = [good[index] for index in kept]
    _stop_if_unusable(report, good, options.strict)
    report.duplicates(*duplicates)
    report.usable = len(good)
    found_labels = [one.item.label for one in good if one.item.label is not None]
    values = found_labels if len(found_labels) == len(good) else None
    labels, class_names = used_labels(values, found.class_names, options, report.notes)
    spec = replace(encoding.spec, classes=len(class_names))
    return CheckedFiles(
        report, good, ImageEncoding(spec, encoding.resize, encoding.fit, encoding.bits), labels, class_names, pixels
    )


def memory_limit(options: Data) -> float:
    """Bytes that the decoded images may take: what was asked for, else a quarter of the RAM (1 GB where that is
    unknown).
    """
    if options.memory is not None:
        return options.memory * 2**30
    if not hasattr(os, "sysconf"):
        return 2.0**30
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 4


def _labelled(found: Files, report: Report, options: Data) -> list[Item]:
    """Without the files that have no label though others have one; they could not be trained on together."""
    without = [item for item in found.items if item.label is None]
    if options.unlabelled or not without or len(without) == len(found.items):
        return found.items
    for item in without:
        report.add(
            item.name, "unlabelled", "it has no label, others have one", "left out (--data.unlabelled keeps all)"
        )
    report.total += len(without)
    return [item for item in found.items if item.label is not None]


def _preselected(items: list[Item], limit: int | None) -> list[Item]:
    """With a limit, only as many files as are needed for it (in each split, or for both halves of a split of ours) are
    read.
    """
    if limit is None:
        return items
    own = any(item.split in ("test", "val") for item in items)
    count = limit if own else limit + max(1, limit // 9 + 1)
    chosen: set[int] = set()
    for split in {item.split for item in items}:
        members = [index for index, item in enumerate(items) if item.split == split]
        chosen.update(sorted(members, key=lambda index: hashlib.sha256(items[index].name.encode()).digest())[:count])
    return [items[index] for index in sorted(chosen)]


def _scan(items: list[Item], report: Report, options: Data) -> list[Checked]:
    """Read the header of each file, and hash its content."""

    def look(item: Item) -> Checked | Unusable:
        digest = hashlib.sha256()
        for part in (item, item.source):
            if part is None:
                continue
            try:
                content = content_of(part)
                head = header(content, options.max_pixels)
            except Unusable as error:
                return error if part is item else Unusable(error.kind, f"its source {part.name}: {error}")
            if head.height * head.width == 1:
                return Unusable("single pixel", "it is 1 x 1 pixel")
            if part is item:
                own = head
            if options.check == "headers" and len(content) > 2 * EDGE:
                content = f"{len(content)}".encode() + content[:EDGE] + content[-EDGE:]
            digest.update(content)
        if options.source in HALVES and own.width < 2:
            return Unusable("single pixel", "it is 1 pixel wide: it has no halves")
        return Checked(item, digest.digest(), own)

    good = []
    for item, result in zip(items, _in_threads(look, items, "checking"), strict=True):
        if isinstance(result, Unusable):
            report.add(item.name, result.kind, str(result), "left out")
        else:
            good.append(result)
    return good


def _encoding(good: list[Checked], report: Report, options: Data) -> ImageEncoding:
    """One size, channel count and number of bits for all: what was asked for, else what the files have."""
    channels = options.channels or _most_common([one.header.channels for one in good])
    bits = options.bits or _most_common([one.header.bits for one in good])
    sizes = {(one.header.height, one.header.width) for one in good}
    if options.source in HALVES:
        sizes = {(height, width // 2) for height, width in sizes}
    if options.size is not None:
        height, width = options.size
    elif len(sizes) == 1:
        height, width = next(iter(sizes))
    else:
        height = width = DEFAULT_SIZE
        report.notes.append(
            f"the images have {len(sizes):,} different sizes; they are resized to {DEFAULT_SIZE} x "
            f"{DEFAULT_SIZE} pixels ({options.resize}, fit: {options.fit}); choose with --data.resolution"
        )
    mode = {1: "grey", 3: "RGB", 4: "RGBA"}
    for one in good:
        changes = list(one.header.conversions)
        if one.header.channels != channels:
            changes.append(f"{mode[one.header.channels]} made {mode[channels]}")
        if one.header.bits != bits:
            changes.append(f"{one.header.bits} bits made {bits}")
        if changes:
            report.add(one.item.name, "converted", ", ".join(changes), "converted and kept")
    shape = (channels, height, width)
    paired = options.source in HALVES or good[0].item.source is not None
    spec = Spec(shape, source=shape, paired=True) if paired else Spec(shape)
    return ImageEncoding(spec, options.resize, options.fit, bits)


def tiles(good: list[Checked], encoding: ImageEncoding, report: Report) -> list[Checked]:
    """Every image as the fewest tiles of the encoding's size that cover it, evenly spread; smaller ones left out."""
    _, height, width = encoding.spec.shape
    found = []
    for one in good:
        if one.header.height < height or one.header.width < width:
            size = f"{one.header.width} x {one.header.height}"
            report.add(one.item.name, "too small", f"its {size} pixels are less than a tile", "left out")
            continue
        rows, columns = (
            np.linspace(0, whole - part, -(-whole // part)).round().astype(int)
            for whole, part in ((one.header.height, height), (one.header.width, width))
        )
        found += [replace(one, corner=(int(top), int(left))) for top in rows for left in columns]
    report.notes.append(f"cut into {len(found):,} tiles of {width} x {height} pixels")
    return found


def _most_common(values: list[int]) -> int:
    """The most frequent value; of several, the largest, which loses nothing."""
    counts = Counter(values)
    return max(counts, key=lambda value: (counts[value], value))


def _decode(
    good: list[Checked], decoder: Decoder, report: Report, options: Data, keep: bool
) -> tuple[list[int], np.ndarray | None]:
    """Decode all files: the indices of those that could be, and their pixels if they are kept."""
    if not keep and options.check == "headers":
        return list(range(len(good))), None
    dtype = np.uint16 if decoder.encoding.bits == 16 else np.uint8
    pixels = np.empty((len(good) if keep else 0, *decoder.shape), dtype)

    def one(index: int) -> Unusable | None:
        try:
            decoded = decoder(good[index])
        except Unusable as error:
            return error
        if keep:
            pixels[index] = decoded
        return None

    kept = []
    for index, error in enumerate(_in_threads(one, range(len(good)), "decoding")):
        if error is None:
            kept.append(index)
        else:
            report.add(good[index].item.name, error.kind, str(error), "left out")
    if not keep:
        return kept, None
    return kept, pixels if len(kept) == len(good) else pixels[kept]


def _odd_sizes(good: list[Checked], report: Report) -> None:
    sizes = np.array([(one.header.height, one.header.width) for one in good])
    median = np.median(sizes, axis=0)
    odd = ((sizes > ODD * median) | (sizes * ODD < median)).any(axis=1)
    for index in np.flatnonzero(odd):
        height, width = sizes[index]
        problem = f"{width} x {height} pixels, where the median is {median[1]:g} x {median[0]:g}"
        report.add(good[index].item.name, "odd size", problem, "resized like the others and kept")


def _stop_if_unusable(report: Report, good: list[Checked], strict: bool) -> None:
    bad = report.unusable
    if good and not (strict and bad):
        return
    listed = "; ".join(f"{problem.file}: {problem.problem}" for problem in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
    if not good:
        raise BadData(f"{report.source} holds no usable image. {listed}{more}")
    raise BadData(f"{report.source} has {len(bad):,} unusable files, and --strict is set. {listed}{more}")


def _in_threads(function: Callable[[T], R], over: Sequence[T], doing: str) -> Iterable[R]:
    """`function` of each element, in order, by a pool of threads, with a progress bar where there are many."""
    pieces = [over[start : start + 64] for start in range(0, len(over), 64)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True, disable=len(over) < SHOW_FROM)
    results: list[R] = []
    with progress, ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
        task = progress.add_task(doing, total=len(over))
        for piece in pool.map(lambda part: [function(one) for one in part], pieces):
            results += piece
            progress.update(task, advance=len(piece))
    return results
