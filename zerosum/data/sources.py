"""Which source a user means: a built-in name, a folder, an archive, a table, an array, or a Hugging Face data set."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

import numpy as np

from zerosum.core.errors import BadData
from zerosum.data import builtin
from zerosum.data.arrays import from_array, read_npz
from zerosum.data.found import Found
from zerosum.data.options import Data

Source = str | os.PathLike[str] | np.ndarray | tuple[np.ndarray, np.ndarray]
TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
ARROW = (".feather", ".arrow", ".ipc")
DATABASE = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?://", re.IGNORECASE)
"""How the address of a database begins: sqlite:///shop.db, postgresql+psycopg://user@host/shop."""


def is_table(source: object, options: Data) -> bool:
    """Whether a source is a table: a frame, a text, Arrow or parquet file, or the address of a database.

    A parquet file with encoded images is none. Nothing that reads tables is imported to find out.
    """
    if not isinstance(source, str | os.PathLike):
        return type(source).__module__.partition(".")[0] in ("pandas", "polars", "pyarrow")
    text = os.fspath(source)
    if text.lower().endswith(".parquet") and options.column is None:
        from zerosum.data.parquet import without_images

        return without_images(Path(text))
    if DATABASE.match(text):
        return not text.startswith("hf://")
    return text.lower().endswith((*TEXT, *ARROW))


def find(source: Source, options: Data) -> Found:
    """What `source` holds, not yet checked or decoded. Raises BadData where there is no such thing."""
    if isinstance(source, np.ndarray):
        return from_array(source)
    if isinstance(source, tuple):
        if len(source) != 2:
            raise BadData(f"a tuple of {len(source)} was given as data; expected (images, labels).")
        return from_array(np.asarray(source[0]), np.asarray(source[1]))
    if not isinstance(source, str | os.PathLike):
        raise BadData(
            f"a {type(source).__name__} was given as data; expected a path, a name, an array or (images, labels)."
        )
    text = os.fspath(source)
    if text in builtin.BY_NAME:
        return builtin.BY_NAME[text](options)
    if text.startswith("stacked_mnist:"):
        return builtin.stacked_mnist(options, text.removeprefix("stacked_mnist:"))
    if text.startswith("hf://"):
        from zerosum.data.hub import read_hub

        return read_hub(text, options)
    return _find_path(Path(text), text, options)


def _find_path(path: Path, text: str, options: Data) -> Found:
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError) as error:
        raise BadData(f"{text!r} cannot be a path: {error}.") from error
    if not exists:
        near = difflib.get_close_matches(text, builtin.BY_NAME, n=2, cutoff=0.6)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise BadData(
            f"there is no file, folder or built-in data set called {text!r}. {hint}Built-in: "
            f"{', '.join(builtin.BY_NAME)}. "
            "A Hugging Face data set is written hf://owner/name."
        )
    if is_folder:
        from zerosum.data.folders import read_folder

        return read_folder(path, options)
    kind = path.suffix.lower()
    if kind == ".npz":
        return read_npz(path)
    if kind == ".npy":
        return _read_npy(path)
    if kind == ".parquet":
        from zerosum.data.parquet import read_parquet

        return read_parquet([path], options)
    if kind == ".zip":
        from zerosum.data.archives import read_zip

        return read_zip(path, options)
    if ".tar" in path.name.lower() or kind == ".tgz":
        from zerosum.data.archives import read_tar

        return read_tar(path, options)
    raise BadData(
        f"{path} is not a kind of data set that can be read: expected a folder, .zip, .tar, .npz, .npy, .parquet, or a "
        f"table ({', '.join((*TEXT, *ARROW))})."
    )


def _read_npy(path: Path) -> Found:
    try:
        return from_array(np.load(path, allow_pickle=False), None, str(path), path.stem)
    except (ValueError, OSError, EOFError) as error:
        raise BadData(f"{path} cannot be read as npy ({error}).") from error
