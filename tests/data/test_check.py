"""The data check lists what is wrong by name and goes on; what cannot be used at all is one clear error."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.data.pictures import classes, folder, pixels, png
from zerosum.cli import check_data
from zerosum.core.errors import BadData, BadOption
from zerosum.data import Data, load
from zerosum.data.check import check


def huge_png() -> bytes:
    """A PNG of few bytes that claims 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Twelve good images beside one of each kind of problem."""
    root = folder(tmp_path / "bäd set", [f"good {index}.png" for index in range(12)], 40, 40, 3)
    good = png(pixels(40, 40, 3, seed=99))
    (root / "empty.png").write_bytes(b"")
    (root / "truncated.png").write_bytes(good[: len(good) // 2])
    (root / "text.png").write_text("this is not an image")
    (root / "movie.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    (root / "huge.png").write_bytes(huge_png())
    (root / "dot.png").write_bytes(png(pixels(1, 1, 3)))
    (root / "long.png").write_bytes(png(pixels(8, 300, 3)))
    (root / "grey.png").write_bytes(png(pixels(40, 40)))
    (root / "copy.png").write_bytes((root / "good 3.png").read_bytes())
    (root / "README.md").write_text("about these pictures")
    return root


EXPECTED = {
    "empty.png": "empty",
    "truncated.png": "truncated",
    "text.png": "not an image",
    "movie.mp4": "not an image",
    "huge.png": "too large",
    "dot.png": "single pixel",
    "long.png": "odd size",
    "grey.png": "converted",
    "good 3.png": "duplicate",
    "README.md": "other file",
}


@pytest.mark.parametrize("memory", [None, 1e-9])
def test_everything_is_listed_by_name(broken: Path, memory: float | None) -> None:
    data = load(broken, Data(memory=memory))
    assert data.report is not None
    assert {problem.file: problem.kind for problem in data.report.problems} == EXPECTED
    assert data.report.usable == 15 == len(data.train) + len(data.test or [])
    assert any(note.startswith("truncated: 1 (truncated.png)") for note in data.notes or [])
    assert data.spec.shape == (3, 64, 64) and any("different sizes" in note for note in data.notes or [])


def test_check_alone(broken: Path) -> None:
    report = check(broken)
    assert {problem.file: problem.kind for problem in report.problems} == EXPECTED and report.usable == 15
    content = json.loads(json.dumps(report.to_json()))
    assert content["unusable"] == 6 and len(content["problems"]) == len(EXPECTED) and content["counts"]["empty"] == 1
    assert "huge.png: 60000 x 60000 pixels are more than --data.max-pixels 100,000,000; left out" in report.summary()


def test_strict_stops(broken: Path) -> None:
    with pytest.raises(BadData, match=r"6 unusable files, and --strict is set.*empty.png: the file has 0 bytes"):
        load(broken, Data(strict=True))


def test_strict_does_not_mind_duplicates_and_text_files(tmp_path: Path) -> None:
    root = classes(tmp_path)
    (root / "cats" / "again.png").write_bytes((root / "cats" / "cats 0é.png").read_bytes())
    (root / "README").write_text("pets")
    data = load(root, Data(strict=True))
    assert data.report is not None and [problem.kind for problem in data.report.problems] == ["other file", "duplicate"]


def test_headers_alone(tmp_path: Path) -> None:
    root = folder(tmp_path, [f"{index}.png" for index in range(5)], 40, 40, 3)
    content = (root / "2.png").read_bytes()
    (root / "2.png").write_bytes(content[: len(content) // 2])
    data = load(root, Data(check="headers", memory=1e-9))
    assert len(data.train) == 5 and any("only the headers were checked" in note for note in data.notes or [])


def test_long_lists_are_cut(tmp_path: Path) -> None:
    root = folder(tmp_path, ["good.png"])
    for index in range(50):
        (root / f"bad {index:02}.png").write_bytes(b"")
    report = check(root)
    text = report.summary()
    assert text.count("bad ") == 20 and "... and 30 more" in text and len(report.to_json()["problems"]) == 50


def test_unlabelled_files_are_left_out(tmp_path: Path) -> None:
    root = folder(tmp_path, [f"{index}.png" for index in range(4)])
    (root / "labels.csv").write_text("file,label\n0.png,a\n1.png,b\n2.png,a\n")
    data = load(root)
    assert len(data.train) == 3 and data.report is not None
    assert [(problem.file, problem.kind) for problem in data.report.problems] == [("3.png", "unlabelled")]


def test_16_bit_folder_and_mixed_bits(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(png(pixels(5, 7, seed=index, dtype=np.uint16)))
    data = load(tmp_path)
    assert data.spec.shape == (1, 5, 7) and data.encoding.to_json()["bits"] == 16
    (tmp_path / "9.png").write_bytes(png(pixels(5, 7)))
    report = check(tmp_path)
    assert [(problem.file, problem.problem) for problem in report.problems] == [("9.png", "8 bits made 16")]


def test_animation_is_noted(tmp_path: Path) -> None:
    frames = [Image.fromarray(pixels(6, 6, 3, seed=seed)) for seed in range(3)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    (tmp_path / "a.gif").write_bytes(file.getvalue())
    (problem,) = check(tmp_path).problems
    assert problem.kind == "converted" and "animated: first of 3 frames" in problem.problem


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_file_without_permission(tmp_path: Path) -> None:
    root = folder(tmp_path, ["a.png", "b.png"])
    (root / "b.png").chmod(0)
    assert [problem.kind for problem in check(root).problems] == ["unreadable"]


def test_unreadable_file(tmp_path: Path) -> None:
    root = folder(tmp_path, ["a.png"])
    (root / "b.png").symlink_to(root / "nowhere.png")
    (problem,) = check(root).problems
    assert (problem.file, problem.kind, problem.problem) == ("b.png", "unreadable", "No such file or directory")


def test_damaged_zip_member(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    content = png(pixels(20, 20, 3))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", content)
        archive.writestr("b.png", png(pixels(20, 20, 3, seed=1)))
    raw = bytearray(path.read_bytes())
    raw[raw.find(content) + 100] ^= 1
    path.write_bytes(raw)
    (problem,) = check(path).problems
    assert (problem.file, problem.kind) == ("a.png", "broken") and "CRC" in problem.problem


def text_as_image(root: Path) -> Path:
    (root / "a.png").write_text("hello")
    return root


def labels(text: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        folder(root, ["a.png", "b.png"])
        (root / "labels.csv").write_text(text)
        return root

    return make


def npz(**arrays: np.ndarray) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        np.savez(root / "set.npz", **arrays)  # type: ignore[arg-type]
        return root / "set.npz"

    return make


def table(**columns: list[object]) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        pq.write_table(pa.table(columns), root / "set.parquet")
        return root / "set.parquet"

    return make


def file(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        (root / name).write_bytes(content)
        return root / name

    return make


NAN = np.zeros((3, 4, 4))
NAN[1, 2, 3] = np.nan
RAGGED = np.empty(2, dtype=object)
RAGGED[0], RAGGED[1] = np.zeros((4, 4, 3)), np.zeros((4, 4))
MALFORMED: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty folder": (lambda root: root, "holds no images: it is empty"),
    "missing path": (lambda root: root / "digit", "there is no file, folder or built-in data set called"),
    "near name": (lambda root: "digit", "Did you mean digits?"),
    "text as image": (
        text_as_image,
        "holds no usable image. a.png: no image format is recognised in it (it begins with b'hello')",
    ),
    "unknown ending": (file("set.xyz", b"?"), "is not a kind of data set that can be read"),
    "absurd path": (lambda root: "a" * 5000, "cannot be a path"),
    "labels for missing files": (labels("file,label\na.png,x\nc.png,y\n"), "names files that are not in"),
    "labels twice": (labels("file,label\na.png,x\na.png,y\n"), "gives a.png two labels, 'x' and 'y'"),
    "labels without label": (labels("file,label\na.png\n"), "a line without a label: 'a.png'"),
    "labels empty": (labels(""), "names no file"),
    "npz broken": (file("set.npz", b"PK\x03\x04 no"), "cannot be read as npz"),
    "npz unknown keys": (npz(weights=np.zeros(3)), "holds the arrays weights; expected x_train"),
    "npz objects": (npz(images=RAGGED), "made by numpy.savez with plain arrays (no objects)"),
    "npz label count": (npz(x=pixels(5, 4, 4), y=np.zeros(4, int)), "has 5 images but the labels have the shape (4,)"),
    "npz float labels": (npz(x=pixels(5, 4, 4), y=np.zeros(5)), "are float64; expected whole numbers or names"),
    "npz unlike splits": (
        npz(x_train=pixels(5, 4, 4), x_test=pixels(5, 4, 4, 3)),
        "x_train has images of uint8 4 x 4 x 1 and x_test",
    ),
    "npz one label": (
        npz(x_train=pixels(5, 4, 4), x_test=pixels(5, 4, 4), y_test=np.zeros(5, int)),
        "only one of y_train and y_test is there",
    ),
    "NaN": (lambda root: NAN, "holds 1 values that are NaN or infinite"),
    "float range": (lambda root: np.full((3, 4, 4), 7.5), "has floats from 7.5 to 7.5; scale them to [0, 1]"),
    "integer range": (lambda root: np.full((3, 4, 4), -2), "has whole numbers from -2 to -2"),
    "5 axes": (lambda root: np.zeros((2, 2, 2, 2, 2)), "has 5 axes, shape (2, 2, 2, 2, 2)"),
    "table": (lambda root: np.zeros((10, 6)), "that is a table, not images"),
    "channels": (lambda root: np.zeros((2, 5, 5, 2), np.uint8), "neither axis 1 nor axis 3 can be channels"),
    "mixed channels": (lambda root: RAGGED, "all images must have one size and channel count"),
    "no images": (lambda root: np.zeros((0, 4, 4), np.uint8), "is empty: its shape is (0, 4, 4, 1)"),
    "text values": (lambda root: np.full((2, 4, 4), "a"), "has values of type <U1"),
    "triple": (lambda root: (NAN, NAN, NAN), "a tuple of 3 was given as data; expected (images, labels)"),
    "list": (lambda root: [1, 2], "a list was given as data; expected a path, a name, an array"),
    "zip broken": (file("set.zip", b"no"), "cannot be read as a zip archive"),
    "tar broken": (file("set.tar.gz", b"no"), "cannot be read as a tar archive"),
    "parquet broken": (file("set.parquet", b"no"), "cannot be read as parquet"),
    "parquet without images": (table(number=[1]), "set.parquet has one row; there must be two at least"),
    "parquet float labels": (table(image=[b"x"], label=[0.5]), "the label column 'label' of"),
    "parquet empty rows": (table(image=[b"", None]), "row 0: the file has 0 bytes; row 1: the file has 0 bytes"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_input_is_one_clear_error(name: str, tmp_path: Path) -> None:
    make, message = MALFORMED[name]
    with pytest.raises(BadData, match=re.escape(message)):
        load(make(tmp_path))  # type: ignore[arg-type]


def test_several_data_sets_in_a_folder(tmp_path: Path) -> None:
    table(image=[b"x"])(tmp_path).rename(tmp_path / "a.parquet")
    table(image=[b"x"], age=[3])(tmp_path).rename(tmp_path / "b.parquet")
    with pytest.raises(BadData, match="have different columns, so they are different data sets"):
        load(tmp_path)


def test_missing_labels_file_and_column(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"the labels file nowhere.csv \(--data.labels\) cannot be read"):
        load(classes(tmp_path / "set"), Data(labels="nowhere.csv"))
    with pytest.raises(BadData, match=r"no column called 'mood' \(--data.labels\); it has label"):
        load(table(image=[b"x"], label=[1])(tmp_path), Data(labels="mood"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": "64by64"}, "give one number (64) or HEIGHTxWIDTH (48x64)"),
        ({"resolution": 0}, "it must be between 1 and 16384 pixels"),
        ({"channels": 2}, "it must be 1 (grey), 3 (colour) or 4"),
        ({"limit": 0}, "--data.limit is 0; it must be more than 0"),
        ({"memory": -1.0}, "--data.memory is -1.0"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadOption, match=re.escape(message)):
        Data(**options)  # type: ignore[arg-type]


def test_command(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_data.main([str(broken)]) == 1
    shown = capsys.readouterr().out
    assert "15 of 21 samples are usable" in shown and "huge.png" in shown
    assert check_data.main([str(broken), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["usable"] == 15
    assert check_data.main([str(classes(tmp_path / "good")), "--data.resolution", "8x4"]) == 0
    with pytest.raises(BadData, match="unusable files"):
        check_data.main([str(broken), "--strict"])


def test_command_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        check_data.main(["--help"])
    shown = capsys.readouterr().out
    assert "zerosum check-data photos/" in shown and "--json" in shown and "--data.max-pixels" in shown
