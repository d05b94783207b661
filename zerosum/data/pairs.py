"""Images and the images that they are translated from: side by side in one file, with equal names in two folders, or
unpaired, of two classes or in two folders.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import sys
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from zerosum.core.errors import BadData
from zerosum.data.encodings import ImageEncoding
from zerosum.data.files import Unusable, content_of, header, own_limit
from zerosum.data.found import Files, Found, Item
from zerosum.data.spec import Dataset, Store
from zerosum.data.stores import Part, Unpaired

HALVES = ("left", "right")
SHOWN = 5
"""Names in a message."""


def halves(image: np.ndarray, source: str | None) -> tuple[np.ndarray, np.ndarray]:
    """(source, image) of two images side by side (h, w, c); a middle column of an odd width belongs to neither."""
    width = image.shape[1] // 2
    left, right = image[:, :width], image[:, image.shape[1] - width :]
    return (left, right) if source == "left" else (right, left)


def classes_in(found: Found) -> list[str]:
    """Names of the classes that a source tells."""
    if found_names := getattr(found, "class_names", None):
        return list(found_names)
    labels = [item.label for item in found.items] if isinstance(found, Files) else getattr(found, "labels", None)
    return [] if labels is None else sorted({str(label) for label in labels if label is not None})


def matched(found: Files, sources: Found, place: str) -> Files:
    """The images of `found`, each with the image of `sources` that has the same name; folders and endings do not count
    where the names alone are unique.

    Raises:
        BadData: some have no partner, several have the same name, or two partners have different shapes.
    """
    if not isinstance(sources, Files):
        raise BadData(f"--data.source {place} holds arrays, whose images have no names to pair by: give image files.")
    ours, theirs = _by_name(found, sources, place)
    lonely = [item.name for key, item in ours.items() if key not in theirs]
    lonely_sources = [item.name for key, item in theirs.items() if key not in ours]
    if lonely or lonely_sources:
        told = [f"{len(names):,} of {whose} without a partner ({_some(names)})"
                for names, whose in ((lonely, found.name), (lonely_sources, place)) if names]  # fmt: skip
        raise BadData(
            f"images and their sources are paired by name: {' and '.join(told)}. Rename or remove them, or, where the "
            "two have nothing to do with each other, add --data.unpaired."
        )
    items = [replace(item, source=theirs[key]) for key, item in ours.items()]
    if odd := _of_other_shapes(items):
        raise BadData(
            f"{len(odd):,} pairs show different sections, because their shapes differ: {_some(odd)}. Crop or resize "
            "them to one shape; the size alone does not matter."
        )
    notes = found.notes + [f"sources: {note}" for note in sources.notes]
    return replace(found, items=items, notes=notes, problems=found.problems + sources.problems)


def _by_name(found: Files, sources: Files, place: str) -> tuple[dict[str, Item], dict[str, Item]]:
    """Items of both by what makes them partners: their name, or, where that is not unique, their path; of several ways
    the first by which all have a partner, else the first by which all are told apart.
    """
    ways = []
    for key in (_stem, _path, _inner_path):
        ours, theirs = (dict(zip(key(items), items, strict=True)) for items in (found.items, sources.items))
        if len(ours) == len(found.items) and len(theirs) == len(sources.items):
            ways.append((ours, theirs))
    if ways:
        return next((way for way in ways if way[0].keys() == way[1].keys()), ways[0])
    for items, whose in ((found.items, found.name), (sources.items, place)):
        if twice := sorted(name for name, count in Counter(_path(items)).items() if count > 1):
            raise BadData(f"{whose} has several images called {_some(twice)}: which one is meant in a pair is unclear.")
    raise AssertionError("paths are unique")


def _stem(items: list[Item]) -> list[str]:
    return [PurePosixPath(item.name).stem for item in items]


def _path(items: list[Item]) -> list[str]:
    return [PurePosixPath(item.name).with_suffix("").as_posix() for item in items]


def _inner_path(items: list[Item]) -> list[str]:
    """Paths without the folders that all share, such as the uppermost one of an archive."""
    shared = posixpath.commonpath([PurePosixPath("/", item.name).parent for item in items])
    return [PurePosixPath("/", name).relative_to(shared).as_posix() for name in _path(items)]


def _of_other_shapes(items: list[Item]) -> list[str]:
    """Pairs whose images have another aspect ratio than their sources, by more than the rounding of a pixel."""

    def look(item: Item) -> str | None:
        assert item.source is not None
        try:
            (a, b), (c, d) = (header(content_of(part), sys.maxsize)[:2] for part in (item, item.source))
        except Unusable:  # reported, under its name, where everything is checked
            return None
        same = abs(a * d - b * c) <= max(a, b, c, d)
        return None if same else f"{item.name} is {b} x {a} pixels, its source {item.source.name} {d} x {c}"

    with own_limit, warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")
        return [odd for odd in pool.map(look, items) if odd]


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def domain_of(folder: str) -> tuple[str, str] | None:
    """(split, class) of the names of CycleGAN's folders: trainA, trainB, testA, testB; else None."""
    match = re.fullmatch(r"(train|test|val)[_-]?([AB])", folder)
    return (match[1], match[2]) if match else None


def between_classes(dataset: Dataset, source: str, target: str | None) -> Dataset:
    """The data set as two unpaired domains, its classes `source` and `target`.

    Raises:
        BadData: there are no such classes.
    """
    names = dataset.class_names
    if target is None:
        others = [name for name in names if name != source]
        if len(others) != 1:
            raise BadData(
                f"--data.source {source}: into which class? There are {', '.join(others[:10]) or 'no others'}: "
                "name one with --data.target."
            )
        target = others[0]
    for option, name in (("source", source), ("target", target)):
        if name not in names:
            raise BadData(f"--data.{option} {name}: there is no such class; there are {', '.join(names) or 'none'}.")
    if source == target:
        raise BadData(f"--data.source and --data.target are both {source}: name two classes.")

    def split(store: Store | None) -> Store | None:
        if store is None or store.labels is None:
            return None
        image, beside = (
            Part(store, (store.labels == names.index(name)).nonzero().flatten()) for name in (target, source)
        )
        return Unpaired(image, beside) if len(image) and len(beside) else None

    train = split(dataset.train)
    if train is None:
        raise BadData(f"{dataset.name} has no training images of {source}, or none of {target}.")
    fingerprint = hashlib.sha256(f"{dataset.fingerprint} {source} to {target}".encode()).hexdigest()
    return _unpaired(dataset, train, split(dataset.test), fingerprint)


def between_sets(images: Dataset, sources: Dataset) -> Dataset:
    """Two data sets of equal size as unpaired domains: `sources` are translated into `images`."""
    test = Unpaired(images.test, sources.test) if images.test is not None and sources.test is not None else None
    fingerprint = hashlib.sha256(f"{images.fingerprint} from {sources.fingerprint}".encode()).hexdigest()
    dataset = _unpaired(images, Unpaired(images.train, sources.train), test, fingerprint)
    return replace(dataset, notes=(images.notes or []) + [f"sources: {note}" for note in sources.notes or []])


def _unpaired(dataset: Dataset, train: Store, test: Store | None, fingerprint: str) -> Dataset:
    channels, height, width = dataset.spec.shape
    spec = replace(dataset.spec, classes=0, source=(channels, height, width))
    encoding = dataset.encoding
    assert isinstance(encoding, ImageEncoding)
    return replace(
        dataset, spec=spec, encoding=replace(encoding, spec=spec), train=train, test=test, class_names=[],
        fingerprint=fingerprint,
    )  # fmt: skip
