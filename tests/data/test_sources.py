"""Every kind of source loads, with its labels, splits and names."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.data.pictures import classes, folder, pixels, png
from zerosum.core import vision
from zerosum.core.errors import BadData, BadOption
from zerosum.data import Data, Dataset, ImageEncoding, builtin, load
from zerosum.data.hub import parse_source


def images(dataset: Dataset) -> np.ndarray:
    """All training images as uint8 (n, h, w, c)."""
    assert isinstance(dataset.encoding, ImageEncoding)
    return dataset.encoding.values(dataset.train.fetch(torch.arange(len(dataset.train)))["image"])


def same(one: Dataset, other: Dataset) -> None:
    """Both hold the same samples (in whatever order) with the same labels."""
    rows = []
    for dataset in (one, other):
        batch = dataset.train.fetch(torch.arange(len(dataset.train)))
        labels = [dataset.class_names[label] for label in batch["label"].tolist()]
        rows.append(sorted(zip(labels, [image.numpy().tobytes() for image in batch["image"]], strict=True)))
    assert rows[0] == rows[1]


def test_digits() -> None:
    data = load("digits")
    assert (data.name, data.spec.shape, data.spec.classes) == ("digits", (1, 8, 8), 10)
    assert data.test is not None and len(data.train) + len(data.test) == 1797
    assert len(data.test) == 179
    batch = data.train.fetch(torch.arange(len(data.train)))
    assert batch["image"].dtype == torch.float32 and batch["label"].dtype == torch.int64
    assert set(np.unique(images(data))) <= set(np.rint(np.arange(17) * 255 / 16).astype(int))
    assert batch["image"].min() == -1 and batch["image"].max() == 1


@pytest.mark.parametrize(("name", "modes", "std"), [("ring", 8, 0.02), ("grid", 25, 0.05)])
def test_points(name: str, modes: int, std: float) -> None:
    data = load(name)
    centres = {"ring": builtin.ring_modes, "grid": builtin.grid_modes}[name]()
    assert data.spec.kind == "points" and data.spec.shape == (2,) and data.spec.classes == 0
    assert data.test is not None and len(data.train) + len(data.test) == 100_000
    points = data.encoding.decode(data.train.fetch(torch.arange(len(data.train))))
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2)
    counts = np.bincount(distances.argmin(axis=1), minlength=modes)
    assert len(counts) == modes and counts.min() > 0.9 * counts.mean()
    # The squared distance to the centre has the mean 2 std^2.
    assert np.sqrt((distances.min(axis=1) ** 2).mean() / 2) == pytest.approx(std, rel=0.01)


def test_ring_has_radius_two() -> None:
    assert np.allclose(np.linalg.norm(builtin.ring_modes(), axis=1), 2.0)


def test_class_folders(tmp_path: Path) -> None:
    data = load(classes(tmp_path / "my pets"))
    assert data.name == "my pets" and data.class_names == ["cats", "dogs"] and data.spec.classes == 2
    assert data.spec.shape == (3, 6, 6) and data.test is not None and len(data.test) == 2


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_split_folders(tmp_path: Path, held_out: str) -> None:
    names = [f"{split}/{name}/{i}.png" for split in ("train", held_out) for name in "ab" for i in range(3)]
    data = load(folder(tmp_path, names))
    assert data.test is not None and (len(data.train), len(data.test)) == (6, 6)
    assert (
        data.class_names == ["a", "b"]
        and data.test.labels is not None
        and data.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    )


def test_validation_beside_test_is_left_out(tmp_path: Path) -> None:
    data = load(folder(tmp_path, [f"{split}/{i}.png" for split in ("train", "val", "test") for i in range(3)]))
    assert data.test is not None and (len(data.train), len(data.test)) == (3, 3)
    assert any("validation split of 3" in note for note in data.notes or [])


def test_images_without_folders_have_no_labels(tmp_path: Path) -> None:
    data = load(folder(tmp_path, [f"{i}.png" for i in range(5)]))
    assert data.spec.classes == 0 and data.train.labels is None and "label" not in data.train.fetch(torch.tensor([0]))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_archives_equal_the_folder(tmp_path: Path, kind: str) -> None:
    root = classes(tmp_path / "pets")
    path = tmp_path / f"pets.{kind}"
    files = sorted(root.rglob("*.png"))
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(tmp_path))
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            for file in files:
                archive.add(file, file.relative_to(tmp_path))
    data = load(path)
    assert data.name == "pets" and data.class_names == ["cats", "dogs"]
    same(data, load(root))


def test_hostile_archive_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "inner" / "bad.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../outside.png", png(pixels(4, 4)))
        archive.writestr("ok.png", png(pixels(4, 4, seed=1)))
    assert len(load(path).train) == 2
    assert sorted(tmp_path.rglob("*.png")) == []


def test_archive_member_of_absurd_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(3 * 2**20))
        archive.writestr("ok.png", png(pixels(4, 4)))
    data = load(path, Data(max_pixels=1000))
    assert [problem.file for problem in data.report.unusable] == ["bomb.png"] if data.report else False


@pytest.mark.parametrize("kind", ["labels.csv", "dataset.json", "elsewhere"])
def test_labels_files(tmp_path: Path, kind: str) -> None:
    root = folder(tmp_path / "set", [f"{i}.png" for i in range(6)])
    rows = [[f"{i}.png", ["x", "y"][i % 2]] for i in range(6)]
    options = Data()
    if kind == "dataset.json":
        (root / kind).write_text(json.dumps({"labels": rows}))
    else:
        path = tmp_path / "own.csv" if kind == "elsewhere" else root / kind
        path.write_text("file,label\n" + "\n".join(",".join(row) for row in rows))
        options = Data(labels=str(path)) if kind == "elsewhere" else options
    data = load(root, options)
    assert data.class_names == ["x", "y"] and data.train.labels is not None
    assert data.train.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_numbers_as_labels_are_ordered_as_numbers(tmp_path: Path) -> None:
    root = folder(tmp_path, [f"{i}.png" for i in range(3)])
    (root / "labels.csv").write_text("0.png,10\n1.png,9\n2.png,100\n")
    data = load(root)
    assert data.class_names == ["9", "10", "100"] and data.train.labels is not None
    assert data.train.labels.tolist() == [1, 0, 2]


def test_unlabelled(tmp_path: Path) -> None:
    assert load(classes(tmp_path), Data(unlabelled=True)).spec.classes == 0


def test_keras_npz(tmp_path: Path) -> None:
    x, y = pixels(20, 5, 7), np.arange(20) % 3
    np.savez(tmp_path / "set.npz", x_train=x[:15], y_train=y[:15], x_test=x[15:], y_test=y[15:])
    data = load(tmp_path / "set.npz")
    assert data.spec.shape == (1, 5, 7) and data.test is not None and (len(data.train), len(data.test)) == (15, 5)
    assert np.array_equal(images(data)[..., 0], x[:15]) and data.test.labels is not None
    assert data.test.labels.tolist() == y[15:].tolist()
    same(data, load(tmp_path))  # a folder that holds nothing else


@pytest.mark.parametrize("keys", [("images", "labels"), ("x", "y"), ("X", "y"), ("arr_0", "arr_1")])
def test_plain_npz(tmp_path: Path, keys: tuple[str, str]) -> None:
    x, y = pixels(20, 5, 7, 3), np.arange(20) % 2
    np.savez(tmp_path / "set.npz", **{keys[0]: x, keys[1]: y})  # type: ignore[arg-type]
    data = load(tmp_path / "set.npz")
    assert data.spec.shape == (3, 5, 7) and data.spec.classes == 2 and len(data.train) == 18


@pytest.mark.parametrize("shape", [(12, 5, 7), (12, 5, 7, 1), (12, 5, 7, 3), (12, 3, 5, 7), (12, 5, 7, 4)])
def test_arrays(shape: tuple[int, ...]) -> None:
    x = pixels(*shape)
    data = load((x, np.arange(12) % 2))
    last = x[..., None] if x.ndim == 3 else x.transpose(0, 2, 3, 1) if shape[1] == 3 else x
    assert data.spec.shape == (last.shape[3], 5, 7)
    assert {image.tobytes() for image in images(data)} <= {image.tobytes() for image in last}


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1)])
def test_float_arrays(low: float, high: float) -> None:
    x = pixels(9, 4, 4)
    data = load(x / 255 * (high - low) + low)
    assert np.array_equal(images(data)[..., 0], x)
    assert "rounded to 8 bits" in (data.notes or [""])[0]


@pytest.mark.parametrize("nested", [False, True])
def test_parquet(tmp_path: Path, nested: bool) -> None:
    files = [png(pixels(4, 6, 3, seed=i)) for i in range(10)]
    info = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    columns = {
        "image": [{"bytes": file, "path": None} for file in files] if nested else files,
        "label": [i % 2 for i in range(10)],
        "split": ["train"] * 7 + ["test"] * 3,
    }
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(table, tmp_path / "set.parquet", row_group_size=3)
    data = load(tmp_path / "set.parquet")
    assert data.class_names == ["no", "yes"] and data.test is not None
    assert (len(data.train), len(data.test), data.spec.shape) == (7, 3, (3, 4, 6))
    assert np.array_equal(images(data)[0], pixels(4, 6, 3, seed=0))


def test_parquet_columns_by_name(tmp_path: Path) -> None:
    files = [png(pixels(4, 4, seed=i)) for i in range(4)]
    table = pa.table({"left": files, "right": files[::-1], "mood": ["sad", "glad"] * 2})
    pq.write_table(table, tmp_path / "set.parquet")
    with pytest.raises(BadData, match=r"which of left, right holds the images\? Say so with --data.column"):
        load(tmp_path / "set.parquet")
    data = load(tmp_path / "set.parquet", Data(column="right", labels="mood"))
    assert data.class_names == ["glad", "sad"] and np.array_equal(images(data)[0, ..., 0], pixels(4, 4, seed=3))


def test_parquet_shards_of_a_folder(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 2)):
        table = pa.table({"image": [png(pixels(4, 4, seed=i + count)) for i in range(count)]})
        pq.write_table(table, tmp_path / f"{split}-00000-of-00001.parquet")
    data = load(tmp_path)
    assert data.test is not None and (len(data.train), len(data.test)) == (3, 2)


def hub_rows(count: int = 12) -> dict[str, list[object]]:
    return {
        "img": [{"bytes": png(pixels(4, 4, 3, seed=i)), "path": None} for i in range(count)],
        "label": [i % 2 for i in range(count)],
    }


def test_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["no", "yes"])})
    loaded = datasets.Dataset.from_dict(hub_rows(), features=features)
    asked = []

    def load_dataset(name: str, config: str | None, **settings: object) -> object:
        asked.append((name, config))
        return datasets.DatasetDict({"train": loaded, "test": loaded.select(range(4))})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    data = load("hf://owner/pets?config=small")
    assert asked == [("owner/pets", "small")] and data.name == "pets" and data.class_names == ["no", "yes"]
    assert data.test is not None and (len(data.train), len(data.test)) == (12, 4)
    assert np.array_equal(images(data)[5], pixels(4, 4, 3, seed=5))


def test_hub_streaming_keeps_what_arrived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("ZEROSUM_CACHE", str(tmp_path))
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["no", "yes"])})
    loaded = datasets.Dataset.from_dict(hub_rows(), features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: loaded.to_iterable_dataset())
    source = "hf://owner/pets?split=train&streaming=1"
    with pytest.raises(BadData, match="streaming needs a --data.limit"):
        load(source)
    first = load(source, Data(limit=6))
    assert len(first.train) + len(first.test or []) == 6 and first.class_names == ["no", "yes"]
    shards = list(tmp_path.rglob("*.parquet"))
    before = [shard.stat().st_mtime_ns for shard in shards]
    assert load(source, Data(limit=6)).fingerprint == first.fingerprint
    load(source, Data(limit=10))
    assert [shard.stat().st_mtime_ns for shard in shards] == before and len(list(tmp_path.rglob("*.parquet"))) == 2


def test_hub_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadData, match=r"expected hf://owner/name"):
        parse_source("hf://owner/name?colour=red")
    datasets = pytest.importorskip("datasets")

    def offline(*arguments: object, **settings: object) -> object:
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(BadData, match=r"could not be loaded \(ConnectionError: no route\)"):
        load("hf://owner/name")


@pytest.mark.parametrize("name", ["mnist", "cifar10", "fashion_mnist"])
def test_download_without_network_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZEROSUM_DATA", raising=False)

    def offline(*arguments: object, **settings: object) -> object:
        raise OSError("no network")

    datasets = vision.load("torchvision.datasets")
    for known in ("MNIST", "CIFAR10", "FashionMNIST"):
        monkeypatch.setattr(datasets, known, offline)
    with pytest.raises(BadData, match=rf"(?s){name} could not be downloaded.*--data path/to/{name}.npz"):
        load(name)


def test_stacked_mnist(tmp_path: Path) -> None:
    x, y = pixels(50, 28, 28), np.arange(50) % 10
    np.savez(tmp_path / "mnist.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    data = load(f"stacked_mnist:{tmp_path / 'mnist.npz'}", Data(limit=100))
    assert data.spec.shape == (3, 28, 28) and data.spec.classes == 0 and len(data.train) == 100
    planes = {plane.tobytes() for image in images(data) for plane in image.transpose(2, 0, 1)}
    assert planes <= {digit.tobytes() for digit in x[:40]}


def test_loaded_data_passes_through() -> None:
    data = load("digits")
    assert load(data) is data
    with pytest.raises(BadOption, match="is loaded already"):
        load(data, Data(limit=3))


needs_data = pytest.mark.skipif("ZEROSUM_DATA" not in os.environ, reason="ZEROSUM_DATA is not set")


@needs_data
@pytest.mark.parametrize(
    ("path", "labels", "shape", "classes"),
    [
        ("mnist", None, (1, 28, 28), 10),
        ("cifar10", None, (3, 32, 32), 10),
        ("faces/utkface_96.parquet", "gender", (3, 96, 96), 2),
        ("faces/smiles_64_gray.parquet", "smile", (1, 64, 64), 2),
        ("medical", None, (1, 128, 128), 4),
        ("emoji", None, (4, 72, 72), 0),
        ("anomaly/magnetic_tile_128.parquet", "defect", (1, 128, 128), 6),
        ("yosemite", "domain", (3, 128, 128), 2),
    ],
)
def test_real_sets(path: str, labels: str | None, shape: tuple[int, ...], classes: int) -> None:
    data = load(Path(os.environ["ZEROSUM_DATA"]) / path, Data(labels=labels, limit=200))
    assert data.spec.shape == shape and data.spec.classes == classes
    assert len(data.train) == 200 and data.test is not None and len(data.test) > 10
    assert data.report is not None and data.report.unusable == []


@needs_data
def test_cifar10_says_that_it_is_jpeg() -> None:
    data = load("cifar10", Data(limit=20))
    assert data.name == "cifar10-jpeg" and any("JPEG version" in note for note in data.notes or [])
    assert data.class_names[0] == "airplane"


def test_missing_npz_for_stacked_mnist() -> None:
    with pytest.raises(BadData, match="there is no such file; give the path of mnist.npz"):
        load("stacked_mnist:nowhere.npz")


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", pixels(11, 4, 4))
    assert len(load(tmp_path / "set.npy").train) == 10


def test_nested_zip_bytes_are_not_images(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.png", png(pixels(4, 4)))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
        archive.writestr("b.png", png(pixels(4, 4)))
    data = load(tmp_path / "outer.zip")
    assert data.report is not None and [(p.file, p.kind) for p in data.report.unusable] == [
        ("inner.zip", "not an image")
    ]
