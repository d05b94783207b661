"""From a source to a Dataset: find, check, split, encode."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from zerosum.core.errors import BadData, BadOption
from zerosum.data.encodings import ImageEncoding, PointEncoding, to_tensor
from zerosum.data.found import Arrays, Files, Found, Points
from zerosum.data.labels import used_labels
from zerosum.data.options import Data, Table
from zerosum.data.pairs import HALVES, between_classes, between_sets, classes_in, matched
from zerosum.data.report import Report
from zerosum.data.scan import Checked, Decoder, FileReader, check_files
from zerosum.data.sources import Source, find, is_table
from zerosum.data.spec import Dataset, Spec, Store
from zerosum.data.stores import MemoryStore, StreamingStore

MOST_TEST = 10_000


def load(source: Source | Dataset, options: Data | None = None) -> Dataset:
    """Find, check, split and encode a data set.

    Args:
        source: a folder, zip, tar, npz, parquet or labels file; "hf://name"; the name of a built-in set; an array of
            images (n, h, w[, c]) or points (n, 2); a pair (images, labels); a table (csv, tsv, parquet, feather, the
            address of a database, or a pandas or polars frame); or a Dataset, which is given back.
        options: sizes, labels, limits; see `Data`.

    Raises:
        BadData: the source does not exist or holds nothing usable, or (options.strict) some of it is not usable.
    """
    if isinstance(source, Dataset):
        if options not in (None, Data()):
            raise BadOption("this data set is loaded already: give the options (--data...) where it is loaded first.")
        return source
    options = options or Data()
    if is_table(source, options):
        from zerosum.data.tables.store import load_table

        return load_table(source, options)
    if options.table != Table():
        raise BadOption(f"options of tables were given ({options.table}), but {source} is none.")
    if options.source is None:
        for name, wanted in (("unpaired", options.unpaired), ("target", options.target is not None)):
            if wanted:
                raise BadOption(
                    f"--data.{name} says how images are translated, but nothing says from what: add --data.source "
                    "(left, right, a folder, or a class)."
                )
    found = find(source, options)
    if options.source is None:
        return assemble(found, options)
    if options.source in HALVES:
        return assemble(of_files(found, "halves of images"), options)
    return _translated(found, options)


def _translated(found: Found, options: Data) -> Dataset:
    """The data set of a source whose images are translated from those of a class, or of another source."""
    assert options.source is not None
    alone = replace(options, source=None, target=None, unpaired=False)
    if options.source in classes_in(found):
        return between_classes(assemble(found, alone), options.source, options.target)
    if not Path(options.source).exists():
        known = classes_in(found)
        raise BadData(
            f"--data.source {options.source} is neither left nor right, nor a file or folder, nor a class of "
            f"{found.name}, which has {', '.join(known[:10]) if known else 'no classes (--data.labels names them)'}."
        )
    sources = find(options.source, replace(alone, labels=None, column=None))
    if not options.unpaired:
        return assemble(matched(of_files(found, "pairs"), sources, options.source), alone)
    images = assemble(found, replace(alone, unlabelled=True))
    channels, height, width = images.spec.shape
    same = replace(alone, labels=None, column=None, unlabelled=True, channels=channels, resolution=f"{height}x{width}",
                   bits=images.encoding.to_json()["bits"])  # fmt: skip
    return between_sets(images, assemble(sources, same))


def of_files(found: Found, what: str) -> Files:
    """`found`, if it holds files. Raises BadData."""
    if not isinstance(found, Files):
        raise BadData(f"{found.name} holds arrays; {what} are read from image files, archives and parquet files.")
    return found


def assemble(found: Found, options: Data) -> Dataset:
    """The data set of what a source holds."""
    if options.fit == "tiles":
        files = of_files(found, "tiles")
        if options.size is None:
            raise BadOption("--data.fit tiles needs --data.resolution, the size of a tile.")
        if options.source in HALVES or any(item.source for item in files.items):
            raise BadOption("--data.fit tiles and --data.source do not go together: cut the pairs beforehand.")
    if isinstance(found, Points):
        return _load_points(found, options)
    if isinstance(found, Arrays):
        return _load_arrays(found, options)
    return _load_files(found, options)


def separate(
    hashes: Sequence[bytes], splits: Sequence[str | None], limit: int | None, notes: list[str]
) -> tuple[list[int], list[int]]:
    """The indices of the training and of the test samples, ascending.

    The source's own "test" (or else "val") is the test split. A source with neither gives a tenth, at most 10,000:
    the samples whose content has the lowest hashes, so that equal images are never on both sides and the order of
    the files does not matter. `limit` keeps, in the same way, the lowest hashes of each side.
    """
    counts = Counter(splits)
    held_out = "test" if counts["test"] else "val"
    test = [index for index, split in enumerate(splits) if split == held_out]
    train = [index for index, split in enumerate(splits) if split not in ("test", "val")]
    if held_out == "test" and counts["val"]:
        notes.append(
            f"the validation split of {counts['val']:,} samples is not used, because there is a test split too"
        )
    if test and not train:
        notes.append("the source has no training split; all of it is used for training")
        train, test = test, []
    if not test:
        ranked = sorted(train, key=lambda index: hashes[index])
        threshold = hashes[ranked[min(len(ranked) // 10, MOST_TEST)]]
        test = [index for index in train if hashes[index] < threshold]
        train = [index for index in train if hashes[index] >= threshold]
    if limit is not None:
        train, test = (sorted(sorted(side, key=lambda index: hashes[index])[:limit]) for side in (train, test))
    return train, test


def _load_points(found: Points, options: Data) -> Dataset:
    hashes = [hashlib.sha256(row.tobytes()).digest() for row in found.points]
    train, test = separate(hashes, [None] * len(hashes), options.limit, found.notes)
    spec = Spec((found.points.shape[1],), 0, "points")
    report = Report(found.name, len(hashes), len(hashes), notes=found.notes)
    samples = Samples(hashes, [str(index) for index in range(len(hashes))], train, test)
    return samples.dataset(found.name, PointEncoding(spec), options, report, found.points[train + test])


def _load_arrays(found: Arrays, options: Data) -> Dataset:
    images, notes = found.images, found.notes
    hashes = [hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest() for image in images]
    names = [f"image {index}" for index in range(len(images))]
    report = Report(found.name, len(images), len(images), notes=notes)
    report.duplicates(names, hashes)
    train, test = separate(hashes, found.splits or [None] * len(images), options.limit, notes)
    labels, class_names = used_labels(found.labels, found.class_names, options, notes)
    height, width = options.size or images.shape[1:3]
    spec = Spec((options.channels or images.shape[3], height, width), len(class_names))
    encoding = ImageEncoding(spec, options.resize, options.fit, options.bits or images.dtype.itemsize * 8)
    chosen = train + test
    if images.shape[1:] == (height, width, spec.shape[0]) and encoding.bits == images.dtype.itemsize * 8:
        pixels = np.ascontiguousarray(images[chosen].transpose(0, 3, 1, 2))
    else:
        pixels = np.stack([encoding.pixels(images[index]) for index in chosen])
    samples = Samples(hashes, names, train, test, labels, class_names)
    return samples.dataset(found.name, encoding, options, report, pixels)


def _load_files(found: Files, options: Data) -> Dataset:
    checked = check_files(found, options)
    report, good = checked.report, checked.good
    hashes = [one.digest for one in good]
    train, test = separate(hashes, [one.item.split for one in good], options.limit, report.notes)
    samples = Samples(hashes, [one.item.name for one in good], train, test, checked.labels, checked.class_names)
    chosen = train + test
    if checked.pixels is not None:
        # In place of a second copy of everything where nothing has to move.
        pixels = checked.pixels if chosen == list(range(len(checked.pixels))) else checked.pixels[chosen]
        return samples.dataset(found.name, checked.encoding, options, report, pixels)
    return samples.dataset(found.name, checked.encoding, options, report, [good[index] for index in chosen])


@dataclass
class Samples:
    """What is known about the samples of a source, and which of them are for training and for testing."""

    hashes: list[bytes]
    names: list[str]
    train: list[int]
    test: list[int]
    labels: np.ndarray | None = None
    class_names: list[str] = field(default_factory=list)

    def dataset(
        self,
        name: str,
        encoding: ImageEncoding | PointEncoding,
        options: Data,
        report: Report,
        content: np.ndarray | list[Checked],
    ) -> Dataset:
        """The finished data set. `content` holds the training samples and after them the test samples: pixels or
        files.
        """
        count = len(self.train)
        chosen = self.train + self.test
        labels = None if self.labels is None else torch.from_numpy(self.labels[chosen])

        def store(part: slice) -> Store:
            own = None if labels is None else labels[part]
            if isinstance(content, np.ndarray):
                source = encoding.spec.source[0] if encoding.spec.source else 0
                return MemoryStore(to_tensor(content[part]), own, source=source)
            assert isinstance(encoding, ImageEncoding)
            decoder = Decoder(encoding, options)
            reader = FileReader(content[part], decoder)
            return StreamingStore(reader, len(content[part]), own, source=decoder.sources)

        return Dataset(
            name=name,
            spec=encoding.spec,
            encoding=encoding,
            train=store(slice(0, count)),
            test=store(slice(count, None)) if self.test else None,
            fingerprint=self.fingerprint(encoding, options.source if options.source in HALVES else None),
            class_names=self.class_names,
            flip=options.flip,
            notes=report.notes + report.lines(),
            report=report,
        )

    def fingerprint(self, encoding: ImageEncoding | PointEncoding, reading: str | None = None) -> str:
        """sha256 over the names, labels and content of the chosen samples, their split, and all that shapes their
        pixels.
        """
        total = hashlib.sha256(json.dumps(encoding.to_json(), sort_keys=True).encode())
        if reading:
            total.update(reading.encode())
        for split, indices in (("train", self.train), ("test", self.test)):
            for index in indices:
                label = "" if self.labels is None else self.class_names[self.labels[index]]
                total.update(f"{split}\0{self.names[index]}\0{label}\0".encode() + self.hashes[index])
        return total.hexdigest()
