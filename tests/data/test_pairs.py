"""Pairs side by side and by name, unpaired classes and folders, tiles: what goes with what, in memory and streamed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.data.pictures import folder, pixels
from zerosum.core.errors import BadData, BadOption
from zerosum.core.latents import Uniform
from zerosum.data import Data, load
from zerosum.data.check import check
from zerosum.data.encodings import encoding_from_json
from zerosum.data.spec import Batch, Dataset, Store
from zerosum.data.stores import MemoryStore, StreamingStore, Unpaired
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches

STREAMED = 1e-9


def everything(store: Store | None) -> Batch:
    """All samples of a store."""
    assert store is not None
    return store.fetch(torch.arange(len(store)))


def levels(images: Tensor, bits: int = 8) -> np.ndarray:
    """Images (n, c, h, w) in [-1, 1] as whole numbers (n, h, w, c)."""
    half = 32767.5 if bits == 16 else 127.5
    return ((images + 1) * half).round().permute(0, 2, 3, 1).numpy().astype(np.uint16 if bits == 16 else np.uint8)


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def partners(root: Path, names: list[str], other_names: list[str] | None = None) -> tuple[Path, Path]:
    """Two folders: images, and as their sources the negatives."""
    for seed, (name, other) in enumerate(zip(names, other_names or names, strict=True)):
        image = pixels(6, 8, 3, seed=seed)
        write(root / "photos" / name, image)
        write(root / "maps" / other, 255 - image)
    return root / "photos", root / "maps"


def negatives(data: Dataset) -> bool:
    """Whether each source is the negative of its image."""
    batches = [everything(store) for store in (data.train, data.test) if store is not None]
    return all(torch.allclose(batch["source"], -batch["image"], atol=1e-6) for batch in batches)


def domain(root: Path, name: str, grey: int, count: int = 12, size: int = 6) -> Path:
    """A folder of images about as bright as `grey`, told apart by it."""
    for index in range(count):
        write(root / name / f"{index}.png", np.full((size, size, 3), grey + index, np.uint8))
    return root / name


def darkest(images: Tensor) -> tuple[int, int]:
    """The darkest and the brightest level."""
    found = levels(images)
    return int(found.min()), int(found.max())


# -- pairs side by side -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [None, STREAMED])
@pytest.mark.parametrize("width", [12, 13])
def test_halves(tmp_path: Path, memory: float | None, width: int) -> None:
    image = pixels(6, width, 3)
    write(tmp_path / "pair.png", image)
    left, right = image[:, :6], image[:, -6:]  # a column in the middle belongs to neither
    for side, source, target in (("left", left, right), ("right", right, left)):
        data = load(tmp_path, Data(source=side, memory=memory))
        assert isinstance(data.train, MemoryStore if memory is None else StreamingStore)
        assert data.spec.shape == data.spec.source == (3, 6, 6) and data.spec.paired
        batch = everything(data.train)
        assert np.array_equal(levels(batch["source"])[0], source) and np.array_equal(levels(batch["image"])[0], target)


def test_fingerprints_tell_the_sides_apart(tmp_path: Path) -> None:
    folder(tmp_path, [f"{i}.png" for i in range(5)], 6, 12, 3)
    prints = {load(tmp_path, Data(source=side)).fingerprint for side in ("left", "right", None)}
    assert len(prints) == 3
    assert load(tmp_path, Data(source="left", memory=STREAMED)).fingerprint in prints


@pytest.mark.parametrize("memory", [None, STREAMED])
def test_both_are_mirrored_or_neither(tmp_path: Path, memory: float | None) -> None:
    photos, maps = partners(tmp_path, [f"{i}.png" for i in range(4)])
    data = load(photos, Data(source=str(maps), memory=memory))
    straight = everything(data.train)
    flip = torch.tensor([True, False, True, False])
    flipped = data.train.fetch(torch.arange(4), flip)
    for name in ("image", "source"):
        assert torch.equal(flipped[name][flip], straight[name][flip].flip(-1))
        assert torch.equal(flipped[name][~flip], straight[name][~flip])


def test_halves_are_resized_and_keep_their_own_shape(tmp_path: Path) -> None:
    folder(tmp_path, ["a.png", "b.png"], 20, 80, 3)
    data = load(tmp_path, Data(source="right", resolution=10))
    assert data.spec.shape == data.spec.source == (3, 10, 10)
    assert load(tmp_path, Data(source="right")).spec.shape == (3, 20, 40)
    assert encoding_from_json(json.loads(json.dumps(data.encoding.to_json()))).spec == data.spec


def test_an_image_too_narrow_for_halves(tmp_path: Path) -> None:
    write(tmp_path / "thin.png", pixels(6, 1, 3))
    with pytest.raises(BadData, match=r"thin.png: it is 1 pixel wide: it has no halves"):
        load(tmp_path, Data(source="left"))


def test_arrays_have_no_halves() -> None:
    with pytest.raises(BadData, match="holds arrays; halves of images are read from image files"):
        load(pixels(5, 6, 12, 3), Data(source="left"))


# -- pairs by name ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [None, STREAMED])
def test_two_folders_by_name(tmp_path: Path, memory: float | None) -> None:
    photos, maps = partners(tmp_path, [f"é {i}.png" for i in range(15)])
    data = load(photos, Data(source=str(maps), memory=memory))
    assert negatives(data) and data.spec.paired and data.test is not None and len(data.train) + len(data.test) == 15


def test_names_count_without_folders_and_endings_where_they_are_unique(tmp_path: Path) -> None:
    names = [f"{split}/{i + 10 * (split == 'test')}.png" for split in ("train", "test") for i in range(5)]
    photos, maps = partners(tmp_path, names, [f"elsewhere/{Path(name).stem}.bmp" for name in names])
    data = load(photos, Data(source=str(maps)))
    assert negatives(data) and data.test is not None and (len(data.train), len(data.test)) == (5, 5)


@pytest.mark.parametrize("inside", ["", "labels/"])
def test_equal_names_in_several_folders_are_told_by_their_path(tmp_path: Path, inside: str) -> None:
    names = [f"{split}/{i}.png" for split in ("train", "test") for i in range(4)]
    photos, maps = partners(tmp_path, names, [f"{inside}{name}" for name in names])
    data = load(photos, Data(source=str(maps)))
    assert negatives(data) and data.test is not None and len(data.test) == 4
    packed = shutil.make_archive(str(tmp_path / "maps"), "zip", tmp_path, "maps")
    assert negatives(load(photos, Data(source=packed)))


def test_labels_stay_with_the_images(tmp_path: Path) -> None:
    names = [f"{kind}/{kind}{i}.png" for kind in ("cat", "dog") for i in range(4)]
    photos, maps = partners(tmp_path, names, [Path(name).name for name in names])
    data = load(photos, Data(source=str(maps)))
    assert negatives(data) and data.class_names == ["cat", "dog"] and "label" in everything(data.train)


def test_names_without_a_partner(tmp_path: Path) -> None:
    photos, maps = partners(tmp_path, [f"{i}.png" for i in range(4)])
    for index in range(7):
        write(photos / f"alone{index}.png", pixels(6, 8, 3))
    write(maps / "lonely.png", pixels(6, 8, 3))
    with pytest.raises(BadData, match=r"7 of photos without a partner \(alone0.png, .*alone4.png and 2 more\) and 1 of "
                       r".*maps without a partner \(lonely.png\).*--data.unpaired"):  # fmt: skip
        load(photos, Data(source=str(maps)))


def test_a_missing_partner_is_all_that_is_told(tmp_path: Path) -> None:
    names = [f"{split}/{i}.png" for split in ("train", "test") for i in range(3)]
    photos, maps = partners(tmp_path, names)
    shutil.rmtree(maps / "test")
    with pytest.raises(BadData, match=r"3 of photos without a partner \(test/0.png, test/1.png, test/2.png\)\. Rename"):
        load(photos, Data(source=str(maps)))


def test_two_of_one_name(tmp_path: Path) -> None:
    photos, maps = partners(tmp_path, ["a.png", "b.png"])
    write(maps / "a.bmp", pixels(6, 8, 3))
    with pytest.raises(BadData, match=r"maps has several images called a: which one is meant"):
        load(photos, Data(source=str(maps)))


def test_partners_of_other_shapes(tmp_path: Path) -> None:
    photos, maps = partners(tmp_path, [f"{i}.png" for i in range(3)])
    write(maps / "1.png", pixels(12, 16, 3))  # twice as large: the same section
    assert load(photos, Data(source=str(maps))).spec.source == (3, 6, 8)
    write(maps / "2.png", pixels(12, 13, 3))
    with pytest.raises(BadData, match=r"1 pairs show different.*: 2.png is 8 x 6 pixels, its source 2.png 13 x 12"):
        load(photos, Data(source=str(maps)))


def test_a_broken_source_is_named_and_its_pair_left_out(tmp_path: Path) -> None:
    photos, maps = partners(tmp_path, [f"{i}.png" for i in range(5)])
    (maps / "3.png").write_bytes(b"nonsense")
    data = load(photos, Data(source=str(maps)))
    assert len(data.train) == 4 and data.report is not None
    [problem] = data.report.unusable
    assert problem.file == "3.png" and "its source 3.png: no image format" in problem.problem
    with pytest.raises(BadData, match=r"3.png: its source 3.png"):
        load(photos, Data(source=str(maps), strict=True))


def test_the_data_check_looks_at_the_sources_too(tmp_path: Path) -> None:
    photos, maps = partners(tmp_path, [f"{i}.png" for i in range(5)])
    assert check(photos, Data(source=str(maps))).usable == 5
    (maps / "3.png").write_bytes(b"nonsense")
    assert [problem.file for problem in check(photos, Data(source=str(maps))).unusable] == ["3.png"]
    (maps / "3.png").unlink()
    with pytest.raises(BadData, match=r"1 of photos without a partner \(3.png\)"):
        check(photos, Data(source=str(maps)))
    assert check(photos, Data(source="left")).usable == 5


def test_arrays_as_sources(tmp_path: Path) -> None:
    photos, _ = partners(tmp_path, ["a.png"])
    np.savez(tmp_path / "maps.npz", images=pixels(1, 6, 8, 3))
    with pytest.raises(BadData, match=r"maps.npz holds arrays, whose images have no names to pair by"):
        load(photos, Data(source=str(tmp_path / "maps.npz")))
    with pytest.raises(BadData, match="holds arrays; pairs are read from image files"):
        load(pixels(5, 6, 8, 3), Data(source=str(photos)))


@pytest.mark.parametrize("memory", [None, STREAMED])
@pytest.mark.parametrize(("shape", "bits"), [((6, 8), 16), ((6, 8, 4), 8), ((6, 8), 8)])
def test_depth_and_channels_of_pairs(tmp_path: Path, shape: tuple[int, ...], bits: int, memory: float | None) -> None:
    dtype = np.uint16 if bits == 16 else np.uint8
    for index in range(3):
        write(tmp_path / "photos" / f"{index}.png", pixels(*shape, seed=index, dtype=dtype))
        write(tmp_path / "maps" / f"{index}.png", pixels(*shape, seed=index + 9, dtype=dtype))
    data = load(tmp_path / "photos", Data(source=str(tmp_path / "maps"), memory=memory))
    channels = shape[2] if len(shape) == 3 else 1
    assert data.spec.shape == data.spec.source == (channels, 6, 8) and data.encoding.to_json()["bits"] == bits
    batch = everything(data.train)
    for name, offset in (("image", 0), ("source", 9)):
        expected = np.stack([pixels(*shape, seed=index + offset, dtype=dtype) for index in range(3)])
        assert np.array_equal(levels(batch[name], bits).reshape(expected.shape), expected)


def test_changed_sources_change_the_fingerprint(tmp_path: Path) -> None:
    photos, maps = partners(tmp_path, ["a.png", "b.png"])
    before = load(photos, Data(source=str(maps))).fingerprint
    write(maps / "a.png", pixels(6, 8, 3, seed=77))
    assert load(photos, Data(source=str(maps))).fingerprint != before != load(photos).fingerprint


# -- unpaired ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [None, STREAMED])
def test_classes_as_domains(tmp_path: Path, memory: float | None) -> None:
    domain(tmp_path, "night", 0)
    domain(tmp_path, "day", 200, count=20)
    there = load(tmp_path, Data(source="night", memory=memory))
    back = load(tmp_path, Data(source="day", target="night", memory=memory))
    assert there.spec.source == (3, 6, 6) and not there.spec.paired and there.spec.classes == 0
    for data, dark, bright in ((there, "source", "image"), (back, "image", "source")):
        assert isinstance(data.train, Unpaired)
        batch = everything(data.train)
        assert darkest(batch[dark])[1] < 20 and darkest(batch[bright])[0] >= 200 and "label" not in batch
        moved = data.train.to("cpu")
        assert moved.image.store is moved.source.store  # both domains are parts of one copy
        assert all(torch.equal(value, batch[name]) for name, value in everything(moved).items())
    assert there.fingerprint != back.fingerprint and len(there.train) > len(back.train)


def test_the_layout_of_cyclegan(tmp_path: Path) -> None:
    for part, count in (("train", 9), ("test", 3)):
        domain(tmp_path, f"{part}A", 0, count)
        domain(tmp_path, f"{part}B", 200, count + 1)
    data = load(tmp_path, Data(source="A"))
    assert isinstance(data.train, Unpaired) and isinstance(data.test, Unpaired)
    assert (len(data.train), len(data.train.source), len(data.test), len(data.test.source)) == (10, 9, 4, 3)
    assert darkest(everything(data.train)["source"])[1] < 20 and darkest(everything(data.test)["image"])[0] >= 200
    assert darkest(everything(load(tmp_path, Data(source="B")).train)["image"])[1] < 20


@pytest.mark.parametrize("memory", [None, STREAMED])
def test_two_folders_of_any_sizes_and_depths(tmp_path: Path, memory: float | None) -> None:
    summer = domain(tmp_path, "summer", 200, 15, size=9)
    folder(tmp_path / "winter", [f"{kind}/{i}.png" for kind in "ab" for i in range(20)], 6, 6)
    options = Data(source=str(tmp_path / "winter"), unpaired=True, memory=memory)
    data = load(summer, options)
    assert isinstance(data.train, Unpaired) and data.spec.shape == data.spec.source == (3, 9, 9)
    assert data.test is not None and len(data.train.source) + len(data.test.source) == 40
    other = load(tmp_path / "winter", Data(source=str(summer), unpaired=True))
    assert other.spec.source == (1, 6, 6) and other.fingerprint != data.fingerprint
    assert {load(summer, replace(options, memory=limit)).fingerprint for limit in (None, 1.0)} == {data.fingerprint}


@pytest.mark.parametrize(("options", "says"), [
    (Data(source="nigt"), r"--data.source nigt is neither left nor right.*a class of .*, which has day, dusk, night"),
    (Data(source="night"), r"--data.source night: into which class\? There are day, dusk: name one with --data.target"),
    (Data(source="night", target="noon"), r"--data.target noon: there is no such class; there are day, dusk, night"),
    (Data(source="night", target="night"), "are both night"),
])  # fmt: skip
def test_classes_that_do_not_exist(tmp_path: Path, options: Data, says: str) -> None:
    for grey, name in enumerate(("night", "dusk", "day")):
        domain(tmp_path, name, 50 * grey)
    with pytest.raises(BadData, match=says):
        load(tmp_path, options)


def test_an_empty_domain(tmp_path: Path) -> None:
    domain(tmp_path, "trainA", 0)
    domain(tmp_path, "testB", 200)
    with pytest.raises(BadData, match="has no training images of A, or none of B"):
        load(tmp_path, Data(source="A"))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(BadData, match=r"nothing holds no images: it is empty"):
        load(tmp_path / "trainA", Data(source=str(tmp_path / "nothing"), unpaired=True))
    with pytest.raises(BadData, match="has no classes"):
        load(tmp_path / "trainA", Data(source="B"))


# -- tiles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [None, STREAMED])
def test_tiles_cover_images_at_their_own_scale(tmp_path: Path, memory: float | None) -> None:
    large = pixels(20, 33, 3)
    write(tmp_path / "large.png", large)
    write(tmp_path / "small.png", pixels(7, 40, 3))
    data = load(tmp_path, Data(fit="tiles", resolution=8, memory=memory))
    found = np.concatenate([levels(everything(store)["image"]) for store in (data.train, data.test) if store])
    windows = np.lib.stride_tricks.sliding_window_view(large, (8, 8), (0, 1)).transpose(0, 1, 3, 4, 2)
    seen = np.zeros(large.shape[:2], int)
    for tile in found:
        top, left = np.argwhere((windows == tile).all((2, 3, 4)))[0]
        seen[top : top + 8, left : left + 8] += 1
    assert len(found) == 3 * 5 and seen.min() == 1
    assert data.report is not None and [problem.file for problem in data.report.problems] == ["small.png"]
    # What is trained on must not be held out, however the tiles overlap: all of an image are on one side.
    assert data.test is None


def test_tiles_of_several_images_are_split_by_image(tmp_path: Path) -> None:
    folder(tmp_path, [f"{i}.png" for i in range(20)], 20, 20, 3)
    data = load(tmp_path, Data(fit="tiles", resolution=8))
    assert data.test is not None and (len(data.train), len(data.test)) == (18 * 9, 2 * 9)


@pytest.mark.parametrize(("options", "says"), [
    (Data(fit="tiles"), "--data.fit tiles needs --data.resolution"),
    (Data(fit="tiles", resolution=4, source="left"), "--data.fit tiles and --data.source do not go together"),
])  # fmt: skip
def test_tiles_that_cannot_be_cut(tmp_path: Path, options: Data, says: str) -> None:
    folder(tmp_path, ["a.png"], 12, 12, 3)
    with pytest.raises(BadOption, match=says):
        load(tmp_path, options)


def test_no_image_is_as_large_as_a_tile(tmp_path: Path) -> None:
    folder(tmp_path, ["a.png"], 12, 12, 3)
    with pytest.raises(BadData, match=r"a.png: its 12 x 12 pixels are less than a tile"):
        load(tmp_path, Data(fit="tiles", resolution=16))


# -- batches ----------------------------------------------------------------------------------------------------------


def batches(data: Dataset, samples: int = 0, rank: int = 0, world: int = 1) -> Batches:
    """The stream that a training sees."""
    return Batches(
        data.train, batch_size=4, noise={"jitter": Uniform(2)}, seed=(3,), arena=Arena(rank=rank, world=world),
        samples=samples, flip=True,
    )  # fmt: skip


@pytest.fixture
def unpaired(tmp_path: Path) -> Dataset:
    """Two domains of random images."""
    folder(tmp_path, [f"{kind}/{i}.png" for kind, count in (("a", 15), ("b", 10)) for i in range(count)], 6, 6, 3)
    return load(tmp_path, Data(source="a"))


def same(one: Batch, other: Batch) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_batches_of_unpaired_data_are_deterministic_and_resume(unpaired: Dataset) -> None:
    one, two = batches(unpaired), batches(unpaired)
    stream = [next(one) for _ in range(12)]
    assert all(same(batch, next(two)) for batch in stream) and set(stream[0]) == {"image", "source", "jitter"}
    later = batches(unpaired, samples=5 * 4)
    assert all(same(batch, next(later)) for batch in stream[5:])


def test_two_ranks_see_what_one_would(unpaired: Dataset) -> None:
    whole = batches(unpaired)
    ranks = [batches(unpaired, rank=rank, world=2) for rank in (0, 1)]
    for _ in range(8):
        parts = [next(rank) for rank in ranks]
        assert same(next(whole), {name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def test_every_source_meets_many_images(tmp_path: Path) -> None:
    domain(tmp_path, "a", 0, 10)
    domain(tmp_path, "b", 200, 10)
    data, pairs = load(tmp_path, Data(source="a")), set()
    stream = batches(data)
    for _ in range(100):
        batch = next(stream)
        pairs |= set(zip(levels(batch["image"])[:, 0, 0, 0], levels(batch["source"])[:, 0, 0, 0], strict=True))
    assert isinstance(data.train, Unpaired) and len(pairs) > 0.9 * len(data.train) * len(data.train.source)


def test_streamed_batches_are_the_same(tmp_path: Path) -> None:
    folder(tmp_path, [f"{kind}/{i}.png" for kind in "ab" for i in range(9)], 6, 6, 3)
    memory, streamed = (batches(load(tmp_path, Data(source="a", memory=limit))) for limit in (None, STREAMED))
    assert all(same(next(memory), next(streamed)) for _ in range(9))
