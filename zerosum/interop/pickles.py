"""A reader of pickles that runs nothing.

A pickle is a program for a small stack machine. Two of its operations name and call anything that Python can import,
which is how a file can take over a computer. This machine has them too, but it looks names up in a table of its own
(`names.py`) and calls only the functions there, which build inert values; any other name ends the reading.
What is read is bounded by the file: no value is larger than the bytes it was made from, and operations are counted.
"""

from __future__ import annotations

import pickletools
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from zerosum.core.errors import BadFile
from zerosum.interop.arrays import shown

OPERATIONS = 500_000
"""Of all the pickles in a file; small networks take some 10,000 each."""
NESTED = 3
"""Files in files: a pickle holds the files that torch.save made of its storages."""
MARKS = 1_000
"""Collections that may be open at once."""
NAMES = {ord(operation.code): operation.name for operation in pickletools.opcodes}
PROTOCOL = 5
"""The newest that is known."""
NOTHING = object()


@dataclass
class Budget:
    """What may still be done for one file, shared by all the pickles in it."""

    size: int
    """Of the file, in bytes."""
    operations: int = OPERATIONS
    copied: int = field(init=False)
    """Bytes that may still be copied, or read a second time."""

    def __post_init__(self) -> None:
        self.copied = 4 * self.size + 2**20

    def operate(self) -> None:
        """Count one operation."""
        self.operations -= 1
        if self.operations < 0:
            raise BadFile(
                f"it takes more than {OPERATIONS:,} operations, which no file of weights does: it may be forged"
            )

    def copy(self, amount: int) -> None:
        """Count bytes, or elements, that are about to be copied."""
        self.copied -= amount
        if self.copied < 0:
            raise BadFile(f"it unfolds into far more than its {self.size:,} bytes, which no file of weights does")


@dataclass(frozen=True)
class Named:
    """What stands for a name of the table.

    Attributes:
        name: module.name.
        call: what REDUCE makes of the arguments (reader, arguments) -> value; None: it cannot be called.
        new: what NEWOBJ makes of it; None: it has no instances here.
    """

    name: str
    call: Callable[[Reader, tuple[Any, ...]], Any] | None = None
    new: Callable[[], Any] | None = None


@dataclass
class Record:
    """An object of a class that was never imported: the class's name, and the state that was stored with it."""

    name: str
    state: dict[str, Any] | None = None

    def build(self, state: Any) -> None:
        """Keep the state as it is; no attribute is set and no method is called."""
        if not isinstance(state, dict) or self.state is not None:
            raise BadFile(f"an object of {shown(self.name)} has a state that is no dictionary, or two of them")
        self.state = state


class Ordered(dict[Any, Any]):
    """A dictionary that stands for one of its sub-classes; attributes that were stored with it are left out."""

    def build(self, state: Any) -> None:
        """Leave the attributes out (`_metadata` of a state dict)."""
        if not isinstance(state, dict):
            raise BadFile("a dictionary has a state that is none")


class Reader:
    """The machine.

    Args:
        data: from the first byte of the pickle on.
        find: (module, name) -> what stands for it; None: it is not known, and ends the reading.
        budget: shared by all the pickles in one file.
        persistent: makes a value of a persistent id; None: there are none.
        depth: how many files this one is in.

    Attributes:
        position: of the next byte; after `load` that after the pickle.
    """

    def __init__(
        self, data: memoryview, find: Callable[[str, str], Named | None], budget: Budget, *,
        persistent: Callable[[Any], Any] | None = None, depth: int = 0,
    ):  # fmt: skip
        if depth > NESTED:
            raise BadFile(f"it has files in files in files, more than {NESTED} deep")
        self.data, self.find, self.budget, self.persistent, self.depth = data, find, budget, persistent, depth
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The value that the pickle builds.

        Raises:
            BadFile: it is cut off, broken, or names anything that `find` does not know.
        """
        try:
            while (name := self._operation()) != "STOP":
                method: Callable[[], None] | None = getattr(self, f"_{name.lower()}", None)
                if method is None:
                    raise BadFile(f"it has the operation {name}, which no file of weights needs")
                method()
            return self.stack.pop()
        except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
            kind = type(error).__name__
            raise BadFile(f"it is not a whole, valid pickle ({kind} at byte {self.position:,})") from None

    def take(self, n: int) -> memoryview:
        """The next n bytes."""
        piece = self.data[self.position : self.position + n]
        if len(piece) < n:
            raise BadFile(
                f"it is cut off: {n:,} bytes are announced at byte {self.position:,}, {len(piece):,} are there"
            )
        self.position += n
        return piece

    def _operation(self) -> str:
        self.budget.operate()
        code = self.take(1)[0]
        if code not in NAMES:
            raise BadFile(f"it is no pickle: byte {self.position - 1:,} is no operation")
        return NAMES[code]

    def _unpack(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def _line(self) -> bytes:
        """Up to the next end of line."""
        window = 256
        while True:
            content = bytes(self.data[self.position : self.position + window])
            end = content.find(b"\n")
            if end >= 0:
                self.position += end + 1
                return content[:end]
            if len(content) < window:
                raise BadFile("it is cut off in a line")
            window *= 4

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _marked(self) -> list[Any]:
        """What was pushed since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    # -- frames and constants

    def _proto(self) -> None:
        version = self.take(1)[0]
        if version > PROTOCOL:
            raise BadFile(f"it is of pickle protocol {version}; {PROTOCOL} is the newest that is known")

    def _frame(self) -> None:
        length = self._unpack("<Q")
        if length > len(self.data) - self.position:
            raise BadFile(f"it is cut off: a frame of {length:,} bytes is announced at byte {self.position:,}")

    def _none(self) -> None:
        self._push(None)

    def _newtrue(self) -> None:
        self._push(True)

    def _newfalse(self) -> None:
        self._push(False)

    # -- numbers

    def _binint(self) -> None:
        self._push(self._unpack("<i"))

    def _binint1(self) -> None:
        self._push(self._unpack("B"))

    def _binint2(self) -> None:
        self._push(self._unpack("<H"))

    def _long1(self) -> None:
        self._push(_integer(self.take(self._unpack("B"))))

    def _long4(self) -> None:
        self._push(_integer(self.take(self._unpack("<I"))))

    def _int(self) -> None:
        text = self._line()
        self._push({b"00": False, b"01": True}.get(text, NOTHING))
        if self.stack[-1] is NOTHING:
            self.stack[-1] = _decimal(text)

    def _long(self) -> None:
        self._push(_decimal(self._line().removesuffix(b"L")))

    def _float(self) -> None:
        self._push(float(self._line()[:64]))

    def _binfloat(self) -> None:
        self._push(self._unpack(">d"))

    # -- text and bytes

    def _text(self, n: int) -> None:
        self._push(str(self.take(n), "utf-8", "surrogatepass"))

    def _short_binunicode(self) -> None:
        self._text(self._unpack("B"))

    def _binunicode(self) -> None:
        self._text(self._unpack("<I"))

    def _binunicode8(self) -> None:
        self._text(self._unpack("<Q"))

    def _unicode(self) -> None:
        self._push(str(self._line(), "raw-unicode-escape"))

    def _string(self) -> None:
        # Python 2 wrote text and bytes alike; latin-1 keeps either.
        quoted = self._line().strip()
        if len(quoted) < 2 or quoted[:1] not in (b'"', b"'") or quoted[-1:] != quoted[:1]:
            raise BadFile("it has a string without quotes")
        self._push(quoted[1:-1].decode("unicode-escape"))

    def _binstring(self) -> None:
        self._push(str(self.take(self._unpack("<I")), "latin-1"))

    def _short_binstring(self) -> None:
        self._push(str(self.take(self._unpack("B")), "latin-1"))

    def _binbytes(self) -> None:
        self._push(self.take(self._unpack("<I")))

    def _short_binbytes(self) -> None:
        self._push(self.take(self._unpack("B")))

    def _binbytes8(self) -> None:
        self._push(self.take(self._unpack("<Q")))

    def _bytearray8(self) -> None:
        self._push(self.take(self._unpack("<Q")))

    # -- the stack and the memo

    def _mark(self) -> None:
        if len(self.marks) >= MARKS:
            raise BadFile(f"it is nested more than {MARKS:,} deep")
        self.marks.append(self.stack)
        self.stack = []

    def _pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._marked()

    def _pop_mark(self) -> None:
        self._marked()

    def _dup(self) -> None:
        self._push(self.stack[-1])

    def _put(self) -> None:
        self.memo[_decimal(self._line())] = self.stack[-1]

    def _binput(self) -> None:
        self.memo[self._unpack("B")] = self.stack[-1]

    def _long_binput(self) -> None:
        self.memo[self._unpack("<I")] = self.stack[-1]

    def _memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self) -> None:
        self._push(self.memo[_decimal(self._line())])

    def _binget(self) -> None:
        self._push(self.memo[self._unpack("B")])

    def _long_binget(self) -> None:
        self._push(self.memo[self._unpack("<I")])

    # -- collections

    def _empty_list(self) -> None:
        self._push([])

    def _empty_tuple(self) -> None:
        self._push(())

    def _empty_dict(self) -> None:
        self._push({})

    def _empty_set(self) -> None:
        self._push(set())

    def _list(self) -> None:
        self._push(self._marked())

    def _tuple(self) -> None:
        self._push(tuple(self._marked()))

    def _tuple1(self) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def _tuple2(self) -> None:
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def _tuple3(self) -> None:
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    def _dict(self) -> None:
        self._push(_filled({}, self._marked()))

    def _frozenset(self) -> None:
        self._push(frozenset(map(checked_key, self._marked())))

    def _append(self) -> None:
        item = self.stack.pop()
        _of(list, self.stack[-1]).append(item)

    def _appends(self) -> None:
        items = self._marked()
        _of(list, self.stack[-1]).extend(items)

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _filled(_of(dict, self.stack[-1]), [key, value])

    def _setitems(self) -> None:
        items = self._marked()
        _filled(_of(dict, self.stack[-1]), items)

    def _additems(self) -> None:
        items = self._marked()
        _of(set, self.stack[-1]).update(map(checked_key, items))

    # -- names and objects

    def _global(self) -> None:
        module, name = (str(self._line(), "utf-8") for _ in range(2))
        self._push(self._find(module, name))

    def _stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push(self._find(module, name))

    def _inst(self) -> None:
        self._global()  # which refuses all that Python 2's classes without a base could be
        raise BadFile("it has the operation INST, which no file of weights needs")

    def _find(self, module: Any, name: Any) -> Named:
        if not isinstance(module, str) or not isinstance(name, str):
            raise BadFile("it looks up a name that is no text")
        found = self.find(module, name)
        if found is not None:
            return found
        raise BadFile(
            f"it asks for {shown(f'{module}.{name}')}, which files of weights have no need of. Nothing of it was run. "
            "If you trust where the file comes from, convert it there to safetensors"
        )

    def _reduce(self) -> None:
        arguments, what = self.stack.pop(), self.stack.pop()
        if not isinstance(what, Named) or what.call is None:
            raise BadFile(f"it calls {_called(what)}, which is not called in files of weights. Nothing of it was run")
        if type(arguments) is not tuple:
            raise BadFile(f"it calls {_called(what)} with arguments that are no tuple")
        self._push(what.call(self, arguments))

    def _newobj(self) -> None:
        arguments, what = self.stack.pop(), self.stack.pop()
        self._instance(what, arguments)

    def _newobj_ex(self) -> None:
        keywords, arguments, what = self.stack.pop(), self.stack.pop(), self.stack.pop()
        if keywords != {}:
            raise BadFile(f"it makes {_called(what)} with keywords")
        self._instance(what, arguments)

    def _instance(self, what: Any, arguments: Any) -> None:
        if not isinstance(what, Named) or what.new is None or arguments != ():
            raise BadFile(f"it makes an object of {_called(what)}, which files of weights do not hold")
        self._push(what.new())

    def _build(self) -> None:
        state = self.stack.pop()
        build = getattr(self.stack[-1], "build", None)
        if build is None:
            raise BadFile(f"it gives a state to {_called(self.stack[-1])}, which has none")
        build(state)

    def _persid(self) -> None:
        self._refer(str(self._line(), "ascii"))

    def _binpersid(self) -> None:
        self._refer(self.stack.pop())

    def _refer(self, identity: Any) -> None:
        if self.persistent is None:
            raise BadFile("it refers to something outside itself (a persistent id)")
        self._push(self.persistent(identity))


def checked_key(key: Any) -> Any:
    """A key of a dictionary, or an item of a set: text or a small number, whose hash is quickly found."""
    if type(key) is str or key is None or type(key) is bool or (type(key) is int and abs(key) < 2**63):
        return key
    raise BadFile(f"it has a dictionary or a set with a key that is {shown(key)}, neither text nor a number")


def _filled(target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise BadFile("it has a dictionary with a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[checked_key(key)] = value
    return target


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise BadFile(f"it adds items to {_called(value)}, which is no {kind.__name__}")
    return value


def _integer(content: memoryview) -> int:
    if len(content) > 16:
        raise BadFile(f"it has a number of {len(content):,} bytes")
    return int.from_bytes(content, "little", signed=True)


def _decimal(text: bytes) -> int:
    if not re.fullmatch(rb"[+-]?\d{1,38}", text):
        raise BadFile("it has a whole number that is none")
    return int(text)


def _called(value: Any) -> str:
    return shown(value.name) if isinstance(value, Named | Record) else shown(value)
