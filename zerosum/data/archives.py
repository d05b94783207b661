"""Zip and tar archives of images, read in place: nothing is extracted to a path that an archive names."""

from __future__ import annotations

import io
import lzma
import shutil
import tarfile
import tempfile
import threading
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from zerosum.core.errors import BadData
from zerosum.data.files import Unusable
from zerosum.data.folders import Reads, arrange, hidden
from zerosum.data.found import Files
from zerosum.data.options import Data


def read_zip(path: Path, options: Data) -> Files:
    """The images in a zip archive."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadData(f"{path} cannot be read as a zip archive: {error}.") from error
    lock = threading.Lock()

    def read(member: zipfile.ZipInfo) -> bytes:
        _refuse_large(member.file_size, options)
        try:
            with lock:
                return archive.read(member)
        except RuntimeError as error:  # encrypted, or packed by a method that is not built in
            raise Unusable("unreadable", str(error)) from error

    members = {member.filename: member for member in archive.infolist() if not member.is_dir()}
    reads: Reads = {name: partial(read, member) for name, member in members.items()}
    return arrange(path.stem, str(path), _visible(reads), options)


def read_tar(path: Path, options: Data) -> Files:
    """The images in a tar archive. A compressed one is unpacked, in one piece, to a temporary file without a name."""
    try:
        with tarfile.open(path) as archive:
            members = [member for member in archive if member.isreg()]
            file = path.open("rb") if isinstance(archive.fileobj, io.BufferedReader) else _unpacked(archive.fileobj)
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
        raise BadData(f"{path} cannot be read as a tar archive: {error}.") from error
    lock = threading.Lock()

    def read(member: tarfile.TarInfo) -> bytes:
        _refuse_large(member.size, options)
        with lock:
            file.seek(member.offset_data)
            return file.read(member.size)

    reads: Reads = {member.name: partial(read, member) for member in members}
    return arrange(path.name.split(".")[0], str(path), _visible(reads), options)


def _unpacked(stream: Any) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the items that read it)
    stream.seek(0)
    shutil.copyfileobj(stream, file)
    return file


def _refuse_large(size: int, options: Data) -> None:
    """A packed member may claim any size; no image of the permitted number of pixels is larger than this."""
    most = 8 * options.max_pixels + 2**20
    if size > most:
        raise Unusable(
            "too large", f"unpacked it has {size:,} bytes, more than an image of --data.max-pixels can have ({most:,})"
        )


def _visible(reads: Reads) -> Reads:
    tidy = {name.removeprefix("./"): read for name, read in reads.items()}
    return {name: read for name, read in tidy.items() if not any(hidden(part) for part in name.split("/"))}
