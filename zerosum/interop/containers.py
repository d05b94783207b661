"""Files that hold weights, told apart by their first bytes: pickles, torch.save (zip or older), safetensors.

All are read by the reader in `pickles.py`; torch.load is never used. The file is mapped into memory, and arrays are
stretches of it until they are asked for.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import struct
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerosum.core.errors import BadFile
from zerosum.core.files import naming
from zerosum.interop import names
from zerosum.interop.arrays import SIZES, Array, Storage, dense, shown
from zerosum.interop.pickles import Budget, Named, Reader

LEGACY = 0x1950A86A20F9469CFC6C
"""The number that torch.save's files began with before they were zip archives."""
MEMBERS = 100_000
"""Files in an archive; torch.save makes one for each tensor."""
HEADER = 16 * 2**20
"""Bytes of a safetensors header."""
SAFETENSORS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


@dataclass(frozen=True)
class Content:
    """What a file holds."""

    path: Path
    size: int
    """In bytes."""
    sha256: str
    kind: str
    """"pickle", "torch.save" or "safetensors"."""
    root: Any
    """The value: dictionaries, lists, text, numbers, Array and Record."""


def read(path: Path) -> Content:
    """Read a file of weights without running anything in it.

    Raises:
        BadFile: it is missing, cut off, broken, no file of weights, or asks for code to be run.
    """
    if path.is_dir():
        raise BadFile(f"{path} is a folder; give the file with the weights.")
    with naming(path, "read"), path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.seek(0, io.SEEK_END)
        if size == 0:
            raise BadFile(f"{path} is empty.")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        kind, root = open_bytes(data, Budget(size))
    except BadFile as error:
        raise BadFile(f"{path} cannot be read: {error}.") from None
    return Content(path, size, sha256, kind, root)


def open_bytes(data: memoryview, budget: Budget, depth: int = 0) -> tuple[str, Any]:
    """What the bytes of a file are, and the value they hold."""
    if data[:4] == b"PK\x03\x04":
        return "torch.save", _archive(data, budget, depth)
    if (length := _safetensors_header(data)) is not None:
        return "safetensors", _safetensors(data, length)
    if data[:1] not in (b"\x80", b"(", b"}", b"]", b"c", b")"):
        raise BadFile("it is neither a pickle nor a torch.save nor a safetensors file, or not a whole one")
    reader = Reader(data, find, budget, depth=depth)
    value = reader.load()
    if value == LEGACY and type(value) is int:
        return "torch.save", _legacy(data[reader.position :], budget, depth)
    return "pickle", value


def find(module: str, name: str) -> Any:
    """What stands for a name, the storages that a pickle holds as files of their own included."""
    if (module, name) == ("torch.storage", "_load_from_bytes"):
        return Named("torch.storage._load_from_bytes", _load_from_bytes)
    return names.find(module, name)


def _load_from_bytes(reader: Reader, arguments: tuple[Any, ...]) -> Storage:
    match arguments:
        case (memoryview() as content,):
            reader.budget.copy(len(content))
            _, value = open_bytes(content, reader.budget, reader.depth + 1)
            if isinstance(value, Storage):
                return value
    names.wrong("storage")


def _claimed(identity: Any, limit: int) -> tuple[str, str, int]:
    """(key, type, elements) of a storage that a persistent id announces in a file of `limit` bytes."""
    match identity:
        case ("storage", names.Kind(kind), str(key), str(), int(count)) | (
            "storage", names.Kind(kind), str(key), str(), int(count), None,
        ):  # fmt: skip
            if 0 <= count * SIZES[kind] <= limit:
                return key, kind, count
            raise BadFile(f"a storage claims {shown(count)} elements in a file of {limit:,} bytes")
    raise BadFile("it refers to something outside itself that is no storage (a persistent id)")


def _legacy(data: memoryview, budget: Budget, depth: int) -> Any:
    """torch.save until 1.5, and of a storage inside a pickle: five pickles, then the storages one after the other."""
    storages: dict[str, Storage] = {}

    def storage(identity: Any) -> Storage:
        key, kind, count = _claimed(identity, len(data))
        return storages.setdefault(key, Storage(kind, count))

    place = 0
    values = []
    for persistent in (None, None, storage, None):
        reader = Reader(data[place:], find, budget, persistent=persistent, depth=depth)
        values.append(reader.load())
        place += reader.position
    version, machine, value, keys = values
    if version != 1001 or not isinstance(machine, dict) or not isinstance(keys, list):
        raise BadFile("it begins like a torch.save file, but does not go on like one")
    little = machine.get("little_endian", True)
    for key in keys:
        if key not in storages or storages[key].data is not None:
            raise BadFile("it has storages that nothing refers to, or one twice")
        found = storages[key]
        count = int.from_bytes(data[place : place + 8], "little" if little else "big")
        if count != found.count:
            raise BadFile(f"a storage claims {found.count:,} elements, its place in the file says {shown(count)}")
        place, end = place + 8, place + 8 + count * SIZES[found.kind]
        found.swapped = bool(little) != (sys.byteorder == "little")
        found.fill(data[place:end])
        place = end
    return value


class _File(io.RawIOBase):
    """Bytes in memory as a file that can be read and sought in, without a copy."""

    def __init__(self, data: memoryview):
        self.data, self.place = data, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = max(offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: len(self.data)}[whence], 0)
        return self.place

    def readinto(self, buffer: Any) -> int:
        piece = self.data[self.place : self.place + len(buffer)]
        buffer[: len(piece)] = piece
        self.place += len(piece)
        return len(piece)


def _members(data: memoryview) -> dict[str, memoryview]:
    """The files in a zip archive, which must not be compressed."""
    step = 2**20
    entries = sum(bytes(data[i : i + step + 3]).count(b"PK\x01\x02") for i in range(0, len(data), step))
    if entries > MEMBERS:
        raise BadFile(f"it is an archive of more than {MEMBERS:,} files, which torch.save does not make")
    found = {}
    try:
        for info in zipfile.ZipFile(_File(data)).infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise BadFile(
                    f"it is a zip archive with {shown(info.filename)} compressed; torch.save compresses nothing"
                )
            name, extra = struct.unpack("<HH", data[info.header_offset + 26 : info.header_offset + 30])
            start = info.header_offset + 30 + name + extra
            found[info.filename] = data[start : start + info.file_size]
            if len(found[info.filename]) < info.file_size:
                raise BadFile(f"it is cut off: {shown(info.filename)} is not all there")
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError, struct.error) as error:
        raise BadFile(f"it is a broken zip archive ({shown(str(error))})") from None
    return found


def _archive(data: memoryview, budget: Budget, depth: int) -> Any:
    """torch.save since 1.6: a zip archive with a pickle, and a file for each storage."""
    budget.copy(len(data))
    members = _members(data)
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise BadFile("it is a zip archive, but none that torch.save has made: it has no data.pkl. Unpack it first")
    folder = pickles[0].removesuffix("data.pkl")
    order = bytes(members.get(f"{folder}byteorder", memoryview(b"little"))[:6])
    storages: dict[str, Storage] = {}

    def storage(identity: Any) -> Storage:
        key, kind, count = _claimed(identity, len(data))
        if key not in storages:
            if f"{folder}data/{key}" not in members:
                raise BadFile(f"the storage {shown(key)} is not in the archive")
            content = members[f"{folder}data/{key}"]
            storages[key] = Storage(kind, count, content, swapped=order.decode("ascii", "replace") != sys.byteorder)
        return storages[key]

    return Reader(members[pickles[0]], find, budget, persistent=storage, depth=depth).load()


def _safetensors_header(data: memoryview) -> int | None:
    """Length of the header of a safetensors file; None: it is none."""
    if len(data) < 10 or data[8:9] != b"{":
        return None
    (length,) = struct.unpack("<Q", data[:8])
    return length if length <= min(len(data) - 8, HEADER) else None


def _safetensors(data: memoryview, length: int) -> dict[str, Array]:
    """name -> array: a JSON header with types, shapes and places, then the bytes."""
    body = data[8 + length :]
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
        found = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, end = entry["data_offsets"]
            kind, shape = SAFETENSORS[entry["dtype"]], tuple(entry["shape"])
            if not 0 <= start <= end <= len(body) or (end - start) % SIZES[kind]:
                raise BadFile(f"{shown(name)} is said to lie outside the file; it is cut off or forged")
            storage = Storage(kind, (end - start) // SIZES[kind], body[start:end], sys.byteorder == "big")
            found[name] = dense(storage, shape)
        return found
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadFile(f"it is a broken safetensors file ({type(error).__name__})") from None
