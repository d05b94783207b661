"""Pickles that try to run code, to exhaust memory or time, or to read beyond what is there."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interop.files import persistent, pickled, saved, stylegan2_tensors, written
from zerosum.core.errors import BadFile, ZerosumError
from zerosum.interop import read_weights
from zerosum.interop.containers import read
from zerosum.interop.foreign import networks
from zerosum.networks.stylegan2 import Generator

MEMORY = 40 * 2**20
"""Bytes that refusing a small file may take."""


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


def refused(folder: Path, content: bytes, reason: str) -> None:
    """The file is refused with one message that gives the reason; nothing runs, and little memory and time are used."""
    path = written(folder, content)
    began = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(BadFile, match=reason) as caught:
            networks(read(path)).tensors()
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 10
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert not (folder / "canary").exists()


def text(value: str) -> bytes:
    """The operation that pushes a text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def named(module: str, name: str) -> bytes:
    """The operation that pushes what a name stands for."""
    return b"c" + f"{module}\n{name}\n".encode()


@pytest.fixture
def touch(tmp_path: Path) -> str:
    """A command that leaves a canary."""
    return f"touch {tmp_path / 'canary'}"


def test_functions_that_run_programs(tmp_path: Path, touch: str) -> None:
    for protocol in range(6):
        refused(tmp_path, pickle.dumps({"a": Call(os.system, touch)}, protocol), "(posix|nt).system")
    refused(tmp_path, named("os", "system") + text(touch) + b"\x85R.", "os.system")
    refused(tmp_path, named("subprocess", "Popen") + text(touch) + b"\x85R.", "subprocess.Popen")


@pytest.mark.parametrize("name", ["eval", "exec", "getattr", "__import__", "open", "compile", "print"])
def test_builtins(name: str, tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'canary')!r}, 'w')"
    for module in ("builtins", "__builtin__"):
        refused(tmp_path, named(module, name) + text(code) + b"\x85R.", f"builtins?__?.{name}|builtins.{name}")
    refused(tmp_path, pickle.dumps(Call(getattr(builtins, name), code)), f".{name}")


def test_names_with_dots_and_odd_letters(tmp_path: Path, touch: str) -> None:
    tricks = [
        ("builtins", "set.__init__"), ("collections", "OrderedDict.__class__"), ("torch", "_utils._rebuild_tensor"),
        ("numpy.core.multiarray", "scalar.__globals__"), ("torch", "serialization.os.system"), ("R3GAN", "os"),
        ("torch.nn.modules.module", "os.system"), ("", ""), ("torch", "float32.__class__"),
    ]  # fmt: skip
    for module, name in tricks:
        content = b"\x80\x04" + text(module) + text(name) + b"\x93" + text(touch) + b"\x85R."
        refused(tmp_path, content, "asks for")
    refused(tmp_path, b"\x80\x04" + text("os\n\x1b[2J") + text("system") + b"\x93.", r"asks for os\?\?\[2J.system")
    refused(tmp_path, b"\x80\x04K\x01K\x02\x93.", "a name that is no text")


def test_calls_in_calls(tmp_path: Path, touch: str) -> None:
    inner = Call(os.system, touch)
    refused(tmp_path, pickle.dumps(Call(OrderedDict, [("a", inner)])), "system")
    refused(tmp_path, pickle.dumps({"state": [({"x": (inner,)},)]}), "system")
    # in the state of an object that is allowed, and in a storage's own file
    refused(tmp_path, pickled(persistent({"a": torch.zeros(1)}, {"": {"hook": inner}})), "system")
    load = Call(torch.storage._load_from_bytes, pickle.dumps(inner))
    refused(tmp_path, pickle.dumps(load), "system")


def test_what_is_allowed_is_not_called_as_something_else(tmp_path: Path) -> None:
    record = named("torch.nn.modules.linear", "Linear") + b")\x81"
    refused(tmp_path, record + b"q\x000h\x00" + text("x") + b"\x85R.", "it calls torch.nn.modules.linear.Linear")
    refused(tmp_path, named("torch.nn.modules.linear", "Linear") + text("x") + b"\x85R.", "it calls")
    refused(tmp_path, named("torch", "FloatStorage") + b"K\x05\x85R.", "it calls")
    refused(tmp_path, b"]q\x000h\x00)R.", "it calls a list")
    refused(tmp_path, b"\x80\x02" + text("os.system") + b")R.", "it calls os.system")
    refused(tmp_path, named("torch.nn.modules.linear", "Linear") + text("x") + b"\x85\x81.", "it makes an object of")
    refused(tmp_path, named("numpy", "ndarray") + b")\x81.", "it makes an object of numpy.ndarray")
    refused(
        tmp_path, b"\x80\x04" + named("collections", "OrderedDict") + b")}" + text("x") + b"Ns\x92.", "with keywords"
    )


def test_states_set_nothing(tmp_path: Path, touch: str) -> None:
    record = named("torch.nn.modules.linear", "Linear") + b")\x81"
    tricks = b"}(" + text("__class__") + text("x") + text("__setstate__") + text(touch) + text("build") + b"Nu"
    root = read(written(tmp_path, record + tricks + b"b.")).root
    assert type(root).__name__ == "Record" and callable(root.build) and root.state["build"] is None
    refused(tmp_path, record + tricks + b"b}b.", "two of them")
    refused(tmp_path, record + b"N" + tricks + b"\x86b.", "no dictionary")
    refused(tmp_path, record + b"]b.", "no dictionary")
    refused(tmp_path, b"]}b.", "gives a state to a list")
    refused(tmp_path, named("os", "environ") + tricks + b"b.", "os.environ")
    refused(tmp_path, named("collections", "OrderedDict") + tricks + b"b.", "gives a state to collections.OrderedDict")


def test_operations_of_old_protocols_and_registries(tmp_path: Path, touch: str) -> None:
    refused(tmp_path, b"(" + text(touch) + b"ios\nsystem\n.", "os.system")
    refused(tmp_path, b"(" + text(touch) + b"icollections\nOrderedDict\n.", "INST")
    refused(tmp_path, b"(" + named("collections", "OrderedDict") + text(touch) + b"o.", "OBJ")
    for code in (b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"):
        refused(tmp_path, b"\x80\x02" + code + b".", "EXT")
    refused(tmp_path, b"\x80\x05\x97.", "NEXT_BUFFER")
    refused(tmp_path, b"\x80\x05]\x98.", "READONLY_BUFFER")
    refused(tmp_path, b"\x80\x06N.", "protocol 6")


def test_persistent_ids(tmp_path: Path) -> None:
    refused(tmp_path, b"(Pcanary\n.", "persistent id")
    refused(tmp_path, b"\x80\x02" + text("canary") + b"Q.", "persistent id")
    for identity in (b"K\x05", b"(" + text("module") + text("x") + b"t", b"(" + text("storage") + text("x") + b"t"):
        refused(tmp_path, archive({"a/data.pkl": b"\x80\x02" + identity + b"Q."}), "no storage")


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def stored(count: int, kind: str = "FloatStorage", key: str = "0") -> bytes:
    """The operations that push a storage of an archive."""
    identity = b"(" + text("storage") + named("torch", kind) + text(key) + text("cpu")
    return identity + b"\x8a\x09" + count.to_bytes(9, "little", signed=True) + b"tQ"


def viewed(storage: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """An archive with one tensor that is a view of a storage of 12 elements."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"\x8a\x09" + v.to_bytes(9, "little", signed=True) for v in values) + b"t"

    tensor = named("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + numbers((offset,))[1:-1]
    tensor += numbers(shape) + numbers(strides) + b"\x89" + named("collections", "OrderedDict") + b")RtR"
    pickle_ = b"\x80\x02}" + text("a") + tensor + b"s."
    return archive({"a/data.pkl": pickle_, "a/data/0": np.arange(12, dtype=np.float32).tobytes()})


def test_views_beyond_their_storage(tmp_path: Path) -> None:
    whole = read(written(tmp_path, viewed(stored(12), 1, (2, 5), (6, 1)))).root["a"]
    assert whole.tensor().tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0], [7.0, 8.0, 9.0, 10.0, 11.0]]
    beyond = {
        (2, (2, 5), (6, 1)): "reaches beyond", (0, (13,), (1,)): "reaches beyond", (12, (1,), (1,)): "reaches beyond",
        (-1, (2,), (1,)): "not possible", (0, (-2,), (1,)): "not possible", (11, (2,), (-1,)): "not possible",
        (0, (2**40,), (0,)): "reaches beyond", (0, (10**12, 10**12), (1, 1)): "reaches beyond",
        (0, (2,), (2**62,)): "reaches beyond", (2**63 - 1, (2,), (1,)): "reaches beyond",
        (0, (2, 2), (1,)): "not possible", (0, (1,) * 60, (1,) * 60): "not possible",
    }  # fmt: skip
    for (offset, shape, strides), reason in beyond.items():
        refused(tmp_path, viewed(stored(12), offset, shape, strides), reason)


def test_storages_that_claim_more_than_there_is(tmp_path: Path) -> None:
    refused(tmp_path, viewed(stored(13), 0, (13,), (1,)), "claims 13 elements of type float32, but has 48 bytes")
    refused(tmp_path, viewed(stored(12, "DoubleStorage"), 0, (12,), (1,)), "but has 48 bytes")
    refused(tmp_path, viewed(stored(2**60), 0, (12,), (1,)), "claims")
    refused(tmp_path, viewed(stored(-1), 0, (0,), (1,)), "claims")
    refused(tmp_path, viewed(stored(12, key="../../etc/passwd"), 0, (12,), (1,)), "not in the archive")
    legacy = saved(torch.zeros(12).untyped_storage(), legacy=True)
    typed = saved({"a": torch.zeros(12)}, legacy=True)
    claim = b"K\x0cNtq"
    assert typed.count(claim) == 1
    refused(tmp_path, typed.replace(claim, b"K\x0dNtq"), "claims 13 elements, its place in the file says 12")
    forged = typed.replace(struct.pack("<q", 12) + bytes(8), struct.pack("<q", 2**61) + bytes(8))
    refused(tmp_path, forged, "its place in the file says")
    refused(tmp_path, legacy[:-1], "asks for|has 4[0-9] bytes|no storage")


def test_rebuilding_with_hostile_arguments(tmp_path: Path, touch: str) -> None:
    hostile = named("torch._utils", "_rebuild_tensor_v2") + b"(" + named("os", "system")
    refused(tmp_path, hostile + b"K\x00))tR.", "os.system")
    for arguments in (b")", b"(Nt", b"(" + text(touch) + b"K\x00))t", b"(]K\x00))t"):
        refused(tmp_path, named("torch._utils", "_rebuild_tensor_v2") + arguments + b"R.", "tensor that is not made")
    for name in ("torch._utils _rebuild_parameter", "torch_utils.persistence _reconstruct_persistent_obj"):
        refused(tmp_path, named(*name.split()) + b"(" + text(touch) + b"tR.", "not made as one is")
    for function in ("_rebuild_wrapper_subclass", "_rebuild_device_tensor_from_numpy", "_import_dotted_name"):
        refused(tmp_path, named("torch._utils", function) + b")R.", function)
    refused(tmp_path, named("torch.jit._serialization", "load") + b")R.", "torch.jit._serialization.load")
    refused(tmp_path, named("torch", "load") + text(touch) + b"\x85R.", "torch.load")
    refused(tmp_path, named("numpy", "load") + text(touch) + b"\x85R.", "numpy.load")


def test_numpy_objects(tmp_path: Path, touch: str) -> None:
    refused(tmp_path, pickle.dumps({"a": np.array([Call(os.system, touch)], dtype=object)}), "system|type O8")
    refused(tmp_path, pickle.dumps({"a": np.array([[1], 2], dtype=object)}), "numpy array of type O8")
    refused(tmp_path, pickle.dumps({"a": np.zeros(2, dtype=[("x", "f4")])}), "numpy array of type V4")
    refused(tmp_path, pickle.dumps({"a": np.array(["text"])}), "numpy array of type U4")
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    kind = b"cnumpy\ndtype\n" + text("f4") + b"\x89\x88\x87R"
    for shape in (
        b"(\x8a\x06" + (10**12).to_bytes(6, "little") + b"t",
        b"(J\xff\xff\xff\xfft",
        b"K\x02",
        b"(K\x02K\x02t",
    ):
        refused(tmp_path, array + b"(K\x01" + shape + kind + b"\x89C\x08" + bytes(8) + b"tb.", "an array of shape")
    refused(tmp_path, array + b"(K\x01)" + kind + b"\x89]tb.", "numpy array that is not made")
    refused(tmp_path, b"cnumpy.core.multiarray\nscalar\n" + kind + b"C\x02ab\x86R.", "numpy array that is not made")


def test_memory_bombs(tmp_path: Path) -> None:
    doubled = b"]q\x00" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(200))
    root = read(written(tmp_path, doubled + b".")).root  # no more than its operations, as long as nobody unfolds it
    assert len(root) == 2
    keys = b"K\x01q\x00" + b"".join(
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(200)
    )
    refused(tmp_path, b"\x80\x02" + keys + b"}h\xc8Ns.", "a key that is")  # its hash would take for ever
    refused(tmp_path, b"\x80\x05\x8f(" + keys + b"h\xc8\x90.", "a key that is")
    for claim in (b"B\xff\xff\xff\x7f", b"\x8e" + struct.pack("<Q", 2**60), b"\x8d" + struct.pack("<Q", 2**40),
                  b"X\xff\xff\xff\xff", b"\x96" + struct.pack("<Q", 2**62), b"T\xff\xff\xff\x7f"):  # fmt: skip
        refused(tmp_path, b"\x80\x05" + claim + b"abc.", "cut off")
    refused(tmp_path, b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"N.", "a frame of")
    refused(tmp_path, b"\x80\x02\x8b\x00\x00\x00\x01" + bytes(2**24) + b".", "a number of 16,777,216 bytes")
    refused(tmp_path, b"(I" + b"9" * 100_000 + b"\n.", "a whole number that is none")
    refused(tmp_path, b"\x80\x04" + b"]" * 600_000, "more than 500,000 operations")
    refused(tmp_path, b"\x80\x04" + b"(" * 2_000 + b".", "nested more than")


def test_copies_without_end(tmp_path: Path) -> None:
    long = b"\x80\x02" + text("x" * 100_000) + b"q\x000" + text("latin1") + b"q\x010"
    encode = named("_codecs", "encode") + b"q\x020"
    refused(tmp_path, long + encode + b"](" + b"h\x02h\x00h\x01\x86R" * 100_000 + b"e.", "unfolds into far more")
    items = b"\x80\x02](" + b"K\x01" * 50_000 + b"eq\x000" + named("builtins", "set") + b"q\x010"
    refused(tmp_path, items + b"](" + b"h\x01h\x00\x85R" * 100_000 + b"e.", "unfolds into far more")
    load = b"\x80\x03" + named("torch.storage", "_load_from_bytes") + b"q\x000B" + struct.pack("<I", 100_000)
    inner = pickled(torch.zeros(8))
    inner = inner[inner.index(b"\x80\x02\x8a\n") :]  # the file that torch made of the storage
    content = load + inner.ljust(100_000, b"\0") + b"q\x010](" + b"h\x00h\x01\x85R" * 100_000 + b"e."
    refused(tmp_path, content, "unfolds into far more")


def test_files_in_files(tmp_path: Path) -> None:
    inner = pickle.dumps(0)
    for _ in range(5):
        inner = named("torch.storage", "_load_from_bytes") + b"B" + struct.pack("<I", len(inner)) + inner + b"\x85R."
    refused(tmp_path, inner, "files in files")
    refused(tmp_path, archive({"a.zip": archive({"b.zip": archive({"a/data.pkl": b"N."})})}), "no data.pkl")
    bomb = archive({"a/data.pkl": b"N.", "a/data/0": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    refused(tmp_path, bomb, "compressed")
    refused(tmp_path, archive({"a/data.pkl": b"N.", "b/data.pkl": b"N."}), "no data.pkl")
    entries = b"PK\x03\x04" + b"PK\x01\x02" * 100_001
    refused(tmp_path, entries, "more than 100,000 files")


def test_modules_that_hold_each_other(tmp_path: Path) -> None:
    leaf = {"a": torch.zeros(4)}
    tree: Any = persistent(leaf)
    for _ in range(25):
        tree = type(tree)("M", {"_modules": {"x": tree, "y": tree}})
    refused(tmp_path, pickled(tree), "more than 200,000 parts")
    chain: Any = persistent(leaf)
    for _ in range(50):
        chain = type(chain)("M", {"_modules": {"x": chain}})
    refused(tmp_path, pickled(chain), "nested more than 32 deep")
    shared = torch.zeros(200_000)
    refused(tmp_path, saved({f"{i}": shared for i in range(100)}), "unfold into 80,000,000 bytes")
    refused(tmp_path, pickle.dumps({"x" * 1000: {"y": torch.zeros(1)}}), "endless names")
    loop: dict[str, Any] = {}
    loop["self"] = loop
    refused(tmp_path, pickle.dumps(loop), "nested more than 32 deep")


def test_safetensors_that_lie(tmp_path: Path) -> None:
    def forged(header: bytes) -> bytes:
        return struct.pack("<Q", len(header)) + header + bytes(16)

    entry = b'{"a":{"dtype":"%s","shape":%s,"data_offsets":%s}}'
    lies = [
        (b"F32", b"[5]", b"[0,16]"), (b"F32", b"[2]", b"[0,8000]"), (b"F32", b"[4]", b"[16,0]"),
        (b"F32", b"[-4]", b"[0,16]"), (b"F32", b"[1e99]", b"[0,16]"), (b"X9", b"[4]", b"[0,16]"),
        (b"F32", b"4", b"[0,16]"), (b"F32", b"[4]", b"[0,1]"),
    ]  # fmt: skip
    for kind, shape, offsets in lies:
        refused(tmp_path, forged(entry % (kind, shape, offsets)), "safetensors|forged|array of shape|elements")
    refused(tmp_path, forged(b"{" + b"[" * 100_000), "broken safetensors")
    refused(tmp_path, forged(b'{"a": 1}'), "broken safetensors")


def test_a_hostile_network_is_refused_by_the_import(tmp_path: Path, touch: str) -> None:
    tensors = stylegan2_tensors(Generator(8, (3, 16, 16), w=8, layers=2, base=64, most=8))
    tree = persistent(tensors, {"synthesis": {"trick": Call(os.system, touch)}})
    path = written(tmp_path, pickled({"G_ema": tree}))
    with pytest.raises(BadFile, match="system"):
        read_weights(path)
    assert not (tmp_path / "canary").exists()


SMALL = pickled({"G_ema": persistent({"a.weight": torch.zeros(2, 2), "b.w_avg": torch.zeros(3)}), "n": np.eye(2)})
ZIPPED = saved({"a": torch.zeros(3)})


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_broken_bytes_give_a_message_or_a_value(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([SMALL, ZIPPED])))
    places = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(places, min_size=1, max_size=5)):
        content[place] = value
    path = written(tmp_path_factory.getbasetemp(), bytes(content), "broken.pkl")
    try:
        networks(read(path)).tensors()
    except ZerosumError as error:
        assert "broken.pkl" in str(error) or "bytes" in str(error)
