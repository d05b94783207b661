"""What the readers read: every protocol and every kind of file gives the same tensors."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_safetensors
from torch import nn

from tests.interop.files import EasyDict, pickled, saved, written
from zerosum.core.errors import BadFile
from zerosum.interop.arrays import Array
from zerosum.interop.containers import read
from zerosum.interop.foreign import networks
from zerosum.interop.pickles import Record

STATE = {
    "matrix": torch.arange(12.0).view(3, 4), "turned": torch.arange(12.0).view(3, 4).T,
    "piece": torch.arange(12.0).view(3, 4)[1:, 1:3], "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([1.5, -2.0], dtype=torch.bfloat16), "double": torch.tensor([1e-300], dtype=torch.float64),
    "number": torch.tensor(7), "yes": torch.tensor([True, False]), "nothing": torch.zeros(0, 3),
    "bytes": torch.tensor([1, 255], dtype=torch.uint8),
}  # fmt: skip


def arrays(folder: Path, content: bytes) -> dict[str, Any]:
    """The tensors in a file."""
    found = networks(read(written(folder, content)))
    return {name: array.tensor() for name, array in found.arrays.items()}


def same(found: dict[str, Any], state: dict[str, Any] = STATE) -> bool:
    return found.keys() == state.keys() and all(
        torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in state.items()
    )


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_torch_save(legacy: bool, tmp_path: Path) -> None:
    assert same(arrays(tmp_path, saved(STATE, legacy=legacy)))
    assert read(tmp_path / "weights.pkl").kind == "torch.save"


@pytest.mark.parametrize("protocol", range(6))
def test_tensors_in_plain_pickles(protocol: int, tmp_path: Path) -> None:
    assert same(arrays(tmp_path, pickle.dumps(STATE, protocol)))


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_arrays_in_pickles(protocol: int, tmp_path: Path) -> None:
    state = {
        "c": np.arange(12, dtype=np.float32).reshape(3, 4), "fortran": np.asfortranarray(np.eye(3, 2)),
        "big": np.arange(4, dtype=">f4"), "small": np.arange(4, dtype="<i8"), "scalar": np.array(3.0, np.float16),
        "empty": np.zeros((0, 2), np.float32),
    }  # fmt: skip
    found = arrays(tmp_path, pickle.dumps(state, protocol))
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert np.array_equal(found[name].numpy(), value) and found[name].shape == value.shape


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values(protocol: int, tmp_path: Path) -> None:
    value = [
        None, True, False, 0, -1, 255, 65_535, -(2**31), 2**62, 1.5, "text", "ü\n\\'", (1,), (1, 2), (1, 2, 3),
        (1, 2, 3, 4), {"a": [1, {2: "b"}]}, {1, 2}, np.float64(2.5), np.int64(-3), np.bool_(True), [],
        OrderedDict(a=1), EasyDict(b=2), torch.Size([1, 2]), torch.device("cpu"),
    ]  # fmt: skip
    root = read(written(tmp_path, pickled(value, protocol))).root
    assert root[:-1] == value[:-1] and root[-1] is None  # devices are left out


def test_bytes_of_all_protocols(tmp_path: Path) -> None:
    for protocol in range(6):
        root = read(written(tmp_path, pickle.dumps([b"", b"\x00\xff", bytearray(b"ab")], protocol))).root
        assert [bytes(item) for item in root] == [b"", b"\x00\xff", b"ab"]


def test_safetensors(tmp_path: Path) -> None:
    state = {name: value.contiguous() for name, value in STATE.items()}
    assert same(arrays(tmp_path, to_safetensors(state, {"format": "pt"})), state)
    assert read(tmp_path / "weights.pkl").kind == "safetensors"


def test_what_was_saved_by_python_2(tmp_path: Path) -> None:
    # Its pickle writes text and bytes alike, and names two modules differently.
    content = b"\x80\x02}q\x00(U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85"
    content += b"U\x01b\x87Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
    content += b"J\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00\x80?\x00\x00\x00@tbU\x01bc__builtin__\nset\n]K\x05a\x85Ru."
    found = networks(read(written(tmp_path, content)))
    assert found.arrays["a"].tensor().tolist() == [1.0, 2.0]
    assert found.content.root["b"] == {5}


def test_modules_that_were_pickled_as_they_are(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    for content in (pickle.dumps(network), saved(network)):
        found = networks(read(written(tmp_path, content)))
        assert found.arrays.keys() == network.state_dict().keys()
        assert all(torch.equal(found.arrays[k].tensor(), v) for k, v in network.state_dict().items())
        assert found.settings["0"]["out_channels"] == 3
        assert isinstance(found.content.root, Record) and found.content.root.name.endswith("container.Sequential")


def test_shared_tensors_share_their_bytes(tmp_path: Path) -> None:
    weight = torch.randn(1000)
    root = read(written(tmp_path, saved({"a": weight, "b": weight}))).root
    assert isinstance(root["a"], Array) and root["a"].storage is root["b"].storage


def test_the_fingerprint_is_that_of_the_file(tmp_path: Path) -> None:
    import hashlib

    content = pickle.dumps({"a": 1})
    found = read(written(tmp_path, content))
    assert found.sha256 == hashlib.sha256(content).hexdigest() and found.size == len(content)


@pytest.mark.parametrize("kind", ["pickle", "zip", "legacy", "safetensors"])
def test_a_file_that_is_cut_off_anywhere(kind: str, tmp_path: Path) -> None:
    state = {"a": torch.randn(40), "b": torch.randn(3)}
    whole = {
        "pickle": lambda: pickle.dumps(state), "zip": lambda: saved(state),
        "legacy": lambda: saved(state, legacy=True), "safetensors": lambda: to_safetensors(state),
    }[kind]()  # fmt: skip
    for end in sorted({0, 1, 2, 5, 9, *range(11, len(whole), max(len(whole) // 60, 1)), len(whole) - 1}):
        path = written(tmp_path, whole[:end])
        with pytest.raises(BadFile, match=r"weights\.pkl"):
            read(path)


def test_other_files(tmp_path: Path) -> None:
    archive = io.BytesIO()
    import zipfile

    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inner.zip", saved({"a": torch.zeros(1)}))
    for content, reason in {
        b"": "is empty",
        b"version https://git-lfs.github.com/spec/v1\n": "neither a pickle nor",
        b"<!DOCTYPE html>": "neither a pickle nor",
        b"\x89HDF\r\n\x1a\n": "neither a pickle nor",
        archive.getvalue(): "none that torch.save has made",
    }.items():
        with pytest.raises(BadFile, match=reason):
            read(written(tmp_path, content))
    with pytest.raises(BadFile, match="is a folder"):
        read(tmp_path)
    with pytest.raises(BadFile, match="No such file"):
        read(tmp_path / "missing.pkl")
