"""Writing files so that a crash or a full disk never leaves half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zerosum.core.errors import BadFile


@contextlib.contextmanager
def naming(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn the operating system's errors about `path` into one that says what to do."""
    try:
        yield
    except OSError as error:
        reason = {
            errno.ENOSPC: "the disk is full: free some space, or choose another place",
            errno.EDQUOT: "the disk quota is used up: free some space, or choose another place",
            errno.EACCES: "permission denied: choose a place you may write to",
            errno.EPERM: "not permitted: choose a place you may write to",
            errno.EROFS: "the file system is read-only: choose another place",
            errno.EFBIG: "the file would be larger than this system allows",
            errno.ENOTDIR: "part of the path is a file, not a folder",
            errno.EEXIST: "part of the path is a file, not a folder",
        }.get(error.errno or 0, str(error.strerror or error))
        raise BadFile(f"cannot {doing} {path}: {reason}.") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file in one piece: to a temporary name, flushed to the disk, then renamed."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one piece: to a temporary name, flushed to the disk, then renamed."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, in one piece. Values that JSON does not know become their text."""
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON, or say that the file is missing or broken."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise BadFile(f"{path} does not exist.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadFile(f"{path} is not readable JSON ({error}); restore it from a copy, or make it anew.") from error


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill, which becomes `path` on leaving, whole, or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    flush(file)
            if path.exists():
                old = path.with_name(f".{path.name}.{os.getpid()}.old")
                path.rename(old)
                temporary.rename(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                temporary.rename(path)
            flush(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def tidy(parent: Path) -> None:
    """Clear up what a killed process left of `new_folder` in `parent`: put back what was just being replaced, remove
    the rest.
    """
    for left in parent.glob(".*.old"):
        replaced = parent / left.name[1:].rpartition(".")[0].rpartition(".")[0]
        if not replaced.exists():
            left.rename(replaced)
    for left in (*parent.glob(".*.old"), *parent.glob(".*.tmp")):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make sure that what was written to a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.EACCES):  # some systems cannot sync folders
            raise
    finally:
        os.close(descriptor)
