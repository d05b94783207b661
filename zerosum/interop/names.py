"""The names that a pickle may use, and the inert value that stands for each. Nothing that a file names is imported."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from zerosum.core.errors import BadFile
from zerosum.interop.arrays import SIZES, Array, Storage, dense, shown, view
from zerosum.interop.pickles import Named, Ordered, Reader, Record, checked_key

PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
TENSORFLOW = "dnnlib.tflib.network.Network"
NETWORKS = re.compile(r"torch\.nn\.modules\.\w+|R3GAN\.\w+|training\.networks\w*")
"""Modules whose classes some files hold as plain objects: of those only the name and the state are kept."""
STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip
NUMPY = {
    "f8": "float64", "f4": "float32", "f2": "float16", "i8": "int64", "i4": "int32", "i2": "int16", "i1": "int8",
    "u1": "uint8", "b1": "bool",
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A type of elements, or a class of storages, which is the same here."""

    kind: str


class NumpyType:
    """numpy's dtype, of plain numbers only."""

    def __init__(self, code: str):
        self.kind = NUMPY.get(code.lstrip("<>|="), "")
        self.swapped = code[:1] == (">" if sys.byteorder == "little" else "<")
        if not self.kind:
            raise BadFile(f"it has a numpy array of type {shown(code)}; weights are plain numbers")

    def build(self, state: Any) -> None:
        """Take the byte order. What else a state can hold belongs to types that are no plain numbers."""
        if type(state) is not tuple or len(state) < 5 or state[1] not in ("<", ">", "|", "=") or any(state[2:5]):
            wrong("numpy type")
        self.swapped = state[1] == (">" if sys.byteorder == "little" else "<")


class NumpyArray:
    """A numpy array between its making and its state, which brings the content."""

    def __init__(self, reader: Reader):
        self.reader = reader
        self.array: Array | None = None

    def build(self, state: Any) -> None:
        """(version, shape, dtype, whether in Fortran's order, content); the oldest have no version."""
        if type(state) is not tuple or len(state) not in (4, 5) or self.array is not None:
            wrong("numpy array")
        shape, kind, fortran, content = state[-4:]
        self.array = _array(self.reader, content, kind, shape, fortran)


def wrong(what: str) -> NoReturn:
    """Something is made of arguments that the real thing is never made of."""
    raise BadFile(f"it has a {what} that is not made as one is: it is broken or forged")


def _array(reader: Reader, content: Any, kind: Any, shape: Any, fortran: Any) -> Array:
    if isinstance(content, str):  # Python 2 wrote bytes as text
        content = _encode(reader, (content, "latin1"))
    if not isinstance(content, memoryview) or not isinstance(kind, NumpyType):
        wrong("numpy array")
    count, rest = divmod(len(content), SIZES[kind.kind])
    if rest:
        wrong("numpy array")
    return dense(Storage(kind.kind, count, content, kind.swapped), shape, fortran=fortran is True)


def _encode(reader: Reader, arguments: tuple[Any, ...]) -> memoryview:
    """_codecs.encode(text, codec): how bytes are written in old protocols."""
    match arguments:
        case (str(text), "latin1" | "latin-1" as codec):
            reader.budget.copy(len(text))
            return memoryview(text.encode(codec))
    wrong("string of bytes")


def _bytes(reader: Reader, arguments: tuple[Any, ...]) -> memoryview:
    match arguments:
        case ():
            return memoryview(b"")
        case (memoryview() as content,):
            return content
    return _encode(reader, arguments)


def _set(reader: Reader, arguments: tuple[Any, ...]) -> set[Any]:
    match arguments:
        case ():
            return set()
        case (list() as items,):
            reader.budget.copy(len(items))
            return set(map(checked_key, items))
    wrong("set")


def _ordered(reader: Reader, arguments: tuple[Any, ...]) -> Ordered:
    match arguments:
        case ():
            return Ordered()
        case (list() as pairs,):
            reader.budget.copy(len(pairs))
            return Ordered((checked_key(key), value) for key, value in pairs)
    wrong("dictionary")


def _reconstructor(reader: Reader, arguments: tuple[Any, ...]) -> Any:
    """copyreg._reconstructor(class, base, state): how objects are written in protocols 0 and 1."""
    what, _, state = arguments
    if not isinstance(what, Named) or what.new is None:
        raise BadFile(f"it makes an object of {shown(getattr(what, 'name', what))}, which files of weights do not hold")
    made = what.new()
    if isinstance(made, Ordered) and isinstance(state, dict):
        reader.budget.copy(len(state))
        made.update(state)
    return made


def _persistent(reader: Reader, arguments: tuple[Any, ...]) -> Record:
    """An object that NVIDIA's files hold together with its source code, which is left alone: its class and state."""
    match arguments:
        case ({"type": "class", "class_name": str(name), "state": state},):
            record = Record(name)
            record.build(state)
            return record
    wrong("persistent object")


def _tensor(reader: Reader, arguments: tuple[Any, ...]) -> Array:
    """_rebuild_tensor(storage, offset, size, stride); _v2 adds what only training needs."""
    match arguments:
        case (Storage() as storage, offset, size, stride, *_):
            return view(storage, offset, size, stride)
    wrong("tensor")


def _parameter(reader: Reader, arguments: tuple[Any, ...]) -> Array:
    match arguments:
        case (Array() as data, *_):
            return data
    wrong("parameter")


def _numpy_array(reader: Reader, arguments: tuple[Any, ...]) -> NumpyArray:
    match arguments:
        case (Named("numpy.ndarray"), *_):
            return NumpyArray(reader)
    wrong("numpy array")


def _numpy_buffer(reader: Reader, arguments: tuple[Any, ...]) -> Array:
    content, kind, shape, order = arguments
    return _array(reader, content, kind, shape, order == "F")


def _numpy_type(reader: Reader, arguments: tuple[Any, ...]) -> NumpyType:
    match arguments:
        case (str(code), *_):
            return NumpyType(code)
    wrong("numpy type")


def _numpy_number(reader: Reader, arguments: tuple[Any, ...]) -> Any:
    kind, content = arguments
    return _array(reader, content, kind, (), False).tensor().item()


def _size(reader: Reader, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    match arguments:
        case (tuple(sizes),):
            return sizes
    wrong("size")


def _nowhere(reader: Reader, arguments: tuple[Any, ...]) -> None:
    """Which device a tensor was on is of no interest."""


CALLED: dict[str, Callable[[Reader, tuple[Any, ...]], Any]] = {
    PERSISTENT: _persistent,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _size,
    "torch.device": _nowhere,
    "numpy.dtype": _numpy_type,
    "numpy.core.multiarray._reconstruct": _numpy_array,
    "numpy.core.multiarray.scalar": _numpy_number,
    "numpy.core.numeric._frombuffer": _numpy_buffer,
    "_codecs.encode": _encode,
    "builtins.set": _set,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "copyreg._reconstructor": _reconstructor,
}
MADE: dict[str, Callable[[], Any]] = {
    "dnnlib.util.EasyDict": Ordered,
    "dnnlib.EasyDict": Ordered,
    TENSORFLOW: lambda: Record(TENSORFLOW),
}
MENTIONED = ("numpy.ndarray", "builtins.object", "builtins.dict")
RENAMED = {"numpy._core": "numpy.core", "__builtin__": "builtins", "copy_reg": "copyreg"}
"""Newer or older spellings of the same module."""
TABLE = {
    "collections.OrderedDict": Named("collections.OrderedDict", _ordered, Ordered),
    **{name: Named(name, call) for name, call in CALLED.items()},
    **{name: Named(name, new=new) for name, new in MADE.items()},
    **{name: Named(name) for name in MENTIONED},
}


def find(module: str, name: str) -> Named | Kind | None:
    """What stands for module.name; None: files of weights do not use it."""
    for spelling, usual in RENAMED.items():
        if module == spelling or module.startswith(f"{spelling}."):
            module = usual + module.removeprefix(spelling)
    full = f"{module}.{name}"
    if not name.isidentifier():  # a dotted name would be looked up step by step
        return None
    if full in TABLE:
        return TABLE[full]
    if NETWORKS.fullmatch(module):
        return Named(full, new=lambda: Record(full))
    if module in ("torch", "torch.cuda") and name in STORAGES:
        return Kind(STORAGES[name])
    return Kind(name) if module == "torch" and name in SIZES else None
