"""Folders of images: class sub-folders or a labels file, and the splits in the names of their top folders.

The rules about names are those of archives too; they work on relative paths with "/" between the parts.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from zerosum.core.errors import BadData
from zerosum.data.arrays import read_npz
from zerosum.data.found import Files, Found, Item, Label, split_name
from zerosum.data.options import Data
from zerosum.data.pairs import domain_of
from zerosum.data.report import Problem

IMAGES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
    ".pnm", ".tga", ".ico", ".jp2", ".j2k", ".avif", ".pcx", ".sgi", ".mpo",
}  # fmt: skip
BESIDE = {
    ".txt", ".md", ".rst", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".html", ".pdf", ".ini", ".toml",
    ".sha256", ".md5",
}  # fmt: skip
"""Endings of files that lie beside images and are not meant to be one."""
Reads = dict[str, Callable[[], bytes]]
"""Relative path to a function that reads the file."""
LABEL_FILES = ("labels.csv", "dataset.json")


def read_folder(path: Path, options: Data) -> Found:
    """A folder of images, or one that holds a single npz or the parts of one parquet data set and nothing else."""
    reads: Reads = {}
    for folder, folders, files in os.walk(path, onerror=_raise):
        folders[:] = sorted(name for name in folders if not hidden(name))
        for name in files:
            file = Path(folder, name)
            if not hidden(name):
                reads[file.relative_to(path).as_posix()] = file.read_bytes
    tables = sorted(name for name in reads if name.endswith(".parquet"))
    arrays = sorted(name for name in reads if name.endswith(".npz"))
    images = any(PurePosixPath(name).suffix.lower() in IMAGES for name in reads)
    if tables and not images:
        from zerosum.data.parquet import read_parquet

        return read_parquet([path / name for name in tables], options, path.resolve().name)
    if arrays and not images:
        if len(arrays) > 1:
            raise BadData(f"{path} holds several data sets ({', '.join(arrays[:5])}); name one of them.")
        return read_npz(path / arrays[0])
    return arrange(path.resolve().name or str(path), str(path), reads, options)


def _raise(error: OSError) -> None:
    raise BadData(f"the folder {error.filename} cannot be read: {error.strerror}.") from error


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is the system's and not the user's."""
    return (name.startswith(".") and name not in (".", "..")) or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def arrange(name: str, place: str, reads: Reads, options: Data) -> Files:
    """Files by relative path to items with labels and splits.

    Folders that all images share are ignored. Then, if every image lies in a folder named like a split (train, test,
    val ...), that is its split (trainA, trainB, testA ... tell the class A or B too); and if every image lies in a
    further folder, the uppermost is its class. A labels file comes first.
    """
    names = sorted(reads)
    beside = [name for name in names if PurePosixPath(name).suffix.lower() in BESIDE or _plain(name)]
    candidates = [name for name in names if name not in set(beside)]
    if not candidates:
        raise BadData(f"{place} holds no images{f' ({len(beside)} other files)' if beside else ': it is empty'}.")
    parts = {name: PurePosixPath(name).parts[:-1] for name in candidates}
    depth = _shared_depth(list(parts.values()))
    shared = parts[candidates[0]][:depth]
    if shared and split_name(shared[-1]):
        shared = shared[:-1]
    folders = {name: folder[len(shared) :] for name, folder in parts.items()}
    splits: dict[str, str | None] = dict.fromkeys(candidates)
    if all(folder and split_name(folder[0]) for folder in folders.values()):
        splits = {name: split_name(folder[0]) for name, folder in folders.items()}
        folders = {name: folder[1:] for name, folder in folders.items()}
    elif all(folder and domain_of(folder[0]) for folder in folders.values()):
        domains = {name: domain_of(folder[0]) or ("", "") for name, folder in folders.items()}
        splits = {name: split for name, (split, _) in domains.items()}
        folders = {name: (domain,) for name, (_, domain) in domains.items()}
    files = Files(name, [Item(name, reads[name], None, splits[name]) for name in candidates])
    files.problems += [Problem(name, "other file", "it is not meant to be an image", "ignored") for name in beside]
    if not options.unlabelled:
        _label(files, place, reads, folders, options)
    return files


def _shared_depth(folders: list[tuple[str, ...]]) -> int:
    """How many leading folders are the same in all."""
    depth = 0
    for level in zip(*folders, strict=False):
        if len(set(level)) > 1:
            break
        depth += 1
    return depth


def _plain(name: str) -> bool:
    return "." not in PurePosixPath(name).name and PurePosixPath(name).name.isupper()  # README, LICENSE


def _label(files: Files, place: str, reads: Reads, folders: dict[str, tuple[str, ...]], options: Data) -> None:
    """Give the items their labels: from a labels file, else from the folders they lie in."""
    content = _labels_file(place, reads, options)
    if content is None:
        if all(folders.values()):
            files.items = [replace(item, label=folders[item.name][0]) for item in files.items]
        elif any(folders.values()):
            files.notes.append(
                "some images lie in sub-folders and some do not: the sub-folders are not used as classes"
            )
        return
    source, text, base = content
    labels = {_joined(base, name): label for name, label in parse_labels(text, source).items()}
    known = {item.name for item in files.items}
    missing = [name for name in labels if name not in known]
    if missing:
        some = ", ".join(missing[:5]) + (f" and {len(missing) - 5:,} more" if len(missing) > 5 else "")
        raise BadData(f"{source} names files that are not in {place}: {some}. Remove these lines, or add the files.")
    files.items = [replace(item, label=labels.get(item.name)) for item in files.items]
    files.problems[:] = [problem for problem in files.problems if problem.file != source]


def _joined(base: str, name: str) -> str:
    return (PurePosixPath(base) / name.replace("\\", "/")).as_posix()


def _labels_file(place: str, reads: Reads, options: Data) -> tuple[str, bytes, str] | None:
    """(name, content, folder its names are relative to) of the labels file that was named or lies among the files."""
    if options.labels is not None:
        if options.labels in reads:
            return options.labels, reads[options.labels](), ""
        try:
            return options.labels, Path(options.labels).read_bytes(), ""
        except OSError as error:
            raise BadData(
                f"the labels file {options.labels} (--data.labels) cannot be read: {error.strerror}."
            ) from error
    found = sorted(
        (name for name in reads if PurePosixPath(name).name in LABEL_FILES), key=lambda name: name.count("/")
    )
    if not found:
        return None
    base = PurePosixPath(found[0]).parent.as_posix()
    return found[0], reads[found[0]](), "" if base == "." else base


def parse_labels(content: bytes, source: str) -> dict[str, Label]:
    """File name to label, from csv (a header with file and label, or two columns) or StyleGAN's dataset.json."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadData(f"the labels file {source} is not UTF-8 text ({error}).") from error
    rows = _json_rows(text, source) if text.lstrip().startswith("{") else _csv_rows(text, source)
    labels: dict[str, Label] = {}
    for file, label in rows:
        if labels.setdefault(file, label) != label:
            raise BadData(f"the labels file {source} gives {file} two labels, {labels[file]!r} and {label!r}.")
    if not labels:
        raise BadData(
            f"the labels file {source} names no file; expected csv with the columns file and label, or dataset.json."
        )
    try:  # whole numbers are ordered as numbers
        return {file: int(label) for file, label in labels.items()}
    except ValueError:
        return labels


def _csv_rows(text: str, source: str) -> list[tuple[str, Label]]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if any(len(row) < 2 for row in rows):
        line = next(row for row in rows if len(row) < 2)
        raise BadData(f"the labels file {source} has a line without a label: {','.join(line)!r}; expected file,label.")
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    file = next(
        (head.index(key) for key in ("file", "filename", "file_name", "image", "path", "name") if key in head), None
    )
    label = next((head.index(key) for key in ("label", "class", "category", "target") if key in head), None)
    if file is None or label is None:
        return [(row[0].strip(), row[1].strip()) for row in rows]
    if any(len(row) <= max(file, label) for row in rows):
        raise BadData(f"the labels file {source} has lines with fewer columns than its header.")
    return [(row[file].strip(), row[label].strip()) for row in rows[1:]]


def _json_rows(text: str, source: str) -> list[tuple[str, Label]]:
    expected = 'expected {"labels": [["file.png", 3], ...]}'
    try:
        rows = json.loads(text)["labels"]
    except (json.JSONDecodeError, KeyError) as error:
        raise BadData(f"the labels file {source} cannot be used ({error}); {expected}.") from error
    if not isinstance(rows, list):
        raise BadData(f"the labels file {source} has no list of labels; {expected}.")
    for row in rows:
        if not (isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], int | str)):
            raise BadData(f"the labels file {source} has the entry {row!r}; {expected}, one label for each file.")
    return [(row[0], row[1]) for row in rows]
