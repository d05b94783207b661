"""Scores of translators: what the right answer, the source, a memory and noise get."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.test_translator import translator
from zerosum.core.errors import BadOption
from zerosum.data import Dataset, ImageEncoding, Spec
from zerosum.data.stores import MemoryStore, Unpaired
from zerosum.metrics import translation
from zerosum.metrics.quality import Protocol
from zerosum.metrics.scores import MEANINGS, Scores, evaluate
from zerosum.objectives.degradations import bicubic, grey
from zerosum.training.pictures import strips
from zerosum.training.translator import Translator

SIDE = 16


def smooth(n: int, seed: int, channels: int = 3, side: int = SIDE) -> Tensor:
    """uint8 images (n, c, h, w) with structure."""
    coarse = torch.rand(n, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear") * 255).to(torch.uint8)


def data(paired: bool = True, train: int = 40, test: int = 12, **options: Any) -> Dataset:
    """Images whose sources are their negatives."""
    spec = Spec((3, SIDE, SIDE), source=(3, SIDE, SIDE), paired=paired)

    def store(n: int, seed: int) -> Any:
        images = smooth(n, seed)
        if paired:
            return MemoryStore(torch.cat([255 - images, images], 1), source=3)
        return Unpaired(MemoryStore(images), MemoryStore(255 - smooth(n // 2, seed + 9)))

    held_out = store(test, 2) if test else None
    named = f"negatives {paired} {train} {test}"
    return Dataset(named, spec, ImageEncoding(spec), store(train, 1), held_out, named, [], **options)


def plain(train: int = 40, side: int = SIDE) -> Dataset:
    """Images alone."""
    spec = Spec((3, side, side))
    stores = MemoryStore(smooth(train, 1, side=side)), MemoryStore(smooth(12, 2, side=side))
    return Dataset(f"plain {side}", spec, ImageEncoding(spec), *stores, f"plain {side} {train}", [])


def scored(generator: Translator, dataset: Dataset, **options: Any) -> Scores:
    return evaluate(generator, dataset, **{"features": "pixels", "n": 40, **options})


def sized(function: Callable[..., Tensor] = lambda x: -x, **options: Any) -> Translator:
    """A translator of images of this size."""
    shape = (3, SIDE, SIDE)
    return translator(function, **{"given": shape, "made": shape, **options})


def test_the_right_answer() -> None:
    scores = scored(sized(), data())
    values = scores.values
    assert values["psnr"] == math.inf and values["ssim"] == pytest.approx(1) and values["l1"] == 0
    assert values["sharpness"] == pytest.approx(1) and values["psnr_source"] < values["psnr_nearest"] < 30
    assert values["ssim_source"] < 0 < values["l1_nearest"] < values["l1_source"]
    assert scores.floor["ssim"] == scores.floor["sharpness"] == 1 and scores.floor["l1"] == 0
    assert set(values) <= set(MEANINGS) and "diversity" not in values
    assert Scores.from_json(scores.to_json()).values["psnr"] == math.inf


def test_the_source_as_it_is() -> None:
    values = scored(sized(lambda x: x), data()).values
    assert all(values[key] == pytest.approx(values[f"{key}_source"]) for key in ("psnr", "ssim", "l1"))
    assert values["sharpness"] == pytest.approx(1)  # as strong, though inverted


def test_a_blurred_answer_is_seen() -> None:
    def blur(x: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(-x, 5, 1, 2, count_include_pad=False)

    values = scored(sized(blur), data()).values
    assert values["sharpness"] < 0.8 and 15 < values["psnr"] < 40 and 0.5 < values["ssim"] < 1


def test_psnr_against_its_definition() -> None:
    made, right = torch.zeros(2, 3, 12, 12), torch.full((2, 3, 12, 12), 51 / 127.5)
    found = translation.rows(made - 1, right - 1, Protocol("rgb", 0))
    assert found["psnr"] / 2 == pytest.approx(10 * math.log10(255**2 / 51**2)) and found["l1"] / 2 == pytest.approx(0.2)
    assert found["edges"] == found["right_edges"] == 0
    assert "ssim" not in translation.rows(made[..., :8], right[..., :8], Protocol("rgb", 0))  # no room for its window


def test_a_memory_finds_what_it_has_seen() -> None:
    twice = data()
    twice.test = twice.train
    values, protocol = translation.truth(sized(lambda x: x), twice)
    assert protocol["pairs_split"] == "train" and "psnr_nearest" not in values  # it would answer with the very pair
    library = translation.Library(twice.train)
    batch = twice.train.fetch(torch.arange(5, 9))
    assert torch.equal(library.nearest(batch["source"] + 0.01), batch["image"])


def test_the_protocol_is_stated() -> None:
    scores = scored(sized(), data())
    assert scores.protocol["pairs"] == 12 and scores.protocol["pairs_split"] == "held-out"
    assert scores.protocol["fidelity"] == {"colours": "rgb", "border": 0, "rounded": True}
    assert scores.protocol["n_fake"] == 12 and "compared on 12 held-out pairs" in scores.caption()
    assert scores.values["psnr"] == scored(sized(), data()).values["psnr"]


def test_repetitions_are_not_measured_and_few_held_out_sources_neither() -> None:
    assert scored(sized(), data(), n=1000).protocol["n_fake"] == 12
    few = scored(sized(), data(test=7))
    assert few.protocol["n_fake"] == 40 and few.protocol["pairs"] == 7 and few.protocol["pairs_split"] == "held-out"
    none = scored(sized(), data(test=0))
    assert none.protocol["pairs_split"] == "train" and none.protocol["pairs"] == 40
    noisy = sized(lambda x, z: -x + 0 * z[:, :1, None, None], latent=1)
    assert scored(noisy, data(), n=70).protocol["n_fake"] == 70


def test_unpaired_data_has_no_right_answers() -> None:
    generator = sized()
    generator.spec = data(paired=False).spec
    scores = scored(generator, data(paired=False))
    assert not {"psnr", "ssim", "l1", "sharpness"} & set(scores.values) and "fd" in scores.values
    assert "psnr" not in scored(sized(), data(paired=False)).values  # trained on pairs, measured on others
    assert scores.protocol["n_fake"] == 20  # 6 held-out sources are too few: these are of training


def test_noise_that_is_ignored_and_noise_that_is_not() -> None:
    deaf = scored(sized(lambda x, z: -x + 0 * z[:, :1, None, None], latent=2), data())
    lively = scored(sized(lambda x, z: -x + z[:, :1, None, None], latent=2), data())
    assert deaf.values["diversity"] == pytest.approx(0, abs=1e-6) and lively.values["diversity"] > 0.3
    assert "5 answers to each" in lively.protocol["diversity"]


def test_colouring() -> None:
    def pose(images: Tensor, draws: Tensor) -> Tensor:
        return grey(images)

    colour = sized(lambda x: x.repeat(1, 3, 1, 1), given=(1, SIDE, SIDE), pose=pose)
    values = scored(colour, plain()).values
    assert values["psnr"] == pytest.approx(values["psnr_source"]) and "psnr_nearest" not in values
    assert values["ssim"] > 0.98  # luma is right; the colours are not
    assert 10 < values["psnr"] < 30


def test_super_resolution_is_measured_as_its_field_does() -> None:
    def pose(images: Tensor, draws: Tensor) -> Tensor:
        return bicubic(images, 2)

    def nearest(x: Tensor) -> Tensor:
        return torch.nn.functional.interpolate(x, scale_factor=2)

    side = 24
    larger = sized(nearest, given=(3, side // 2, side // 2), made=(3, side, side), scale=2, pose=pose)
    scores = scored(larger, plain(side=side))
    assert scores.protocol["fidelity"] == {"colours": "y", "border": 2, "rounded": True}
    assert scores.values["psnr"] < scores.values["psnr_source"]  # bicubic is better than repeating pixels


def test_holes() -> None:
    def pose(images: Tensor, draws: Tensor) -> Tensor:
        known = torch.ones_like(images[:, :1])
        known[..., :5, :5] = 0
        return torch.cat([images * known, known], 1)

    filled = sized(lambda x: x[:, :3], given=(4, SIDE, SIDE), pose=pose)
    values = scored(filled, plain()).values
    assert values["psnr"] == pytest.approx(values["psnr_source"])
    picture = strips(filled, plain().train)
    assert picture.mode == "RGB"


def test_data_without_sources() -> None:
    with pytest.raises(BadOption, match=r"translates images, but plain 16 tells no sources: give --data.source"):
        scored(sized(), plain())


# -- pictures ---------------------------------------------------------------------------------------------------------


def cells(generator: Translator, dataset: Dataset) -> list[list[Tensor]]:
    """The cells of `strips`, row by row, as pixels (h, w, 3)."""
    import numpy as np

    sheet = torch.from_numpy(np.asarray(strips(generator, dataset.train)).copy())
    height, width = generator.spec.shape[1:]
    factor = max(96 // width, 1)
    wide, tall = width * factor + 2, height * factor + 2
    return [[sheet[2 + i * tall : (i + 1) * tall, 2 + j * wide : (j + 1) * wide][::factor, ::factor]
             for j in range(sheet.shape[1] // wide)] for i in range(sheet.shape[0] // tall)]  # fmt: skip


def pixels_at(dataset: Dataset, index: int, name: str) -> Tensor:
    return ((dataset.train.fetch(torch.tensor([index]))[name][0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8)


def test_a_strip_shows_source_answer_and_right_answer() -> None:
    pairs = data()
    rows = cells(sized(), pairs)
    assert len(rows) == 8 and all(len(row) == 3 for row in rows)
    for row, index in zip(rows, torch.linspace(0, 39, 8).round().long().tolist(), strict=True):
        assert torch.equal(row[0], pixels_at(pairs, index, "source"))
        assert torch.equal(row[1], row[2]) and torch.equal(row[2], pixels_at(pairs, index, "image"))


def test_a_strip_of_several_answers_or_labels() -> None:
    unpaired = data(paired=False)
    noisy = sized(lambda x, z: -x + z[:, :1, None, None], latent=2)
    noisy.spec = unpaired.spec
    [row, *_] = cells(noisy, unpaired)
    assert len(row) == 5 and not torch.equal(row[1], row[2])
    labelled = sized(lambda x, label: 0 * x + label[:, None, None, None] - 1, classes=3)
    labelled.spec = Spec((3, SIDE, SIDE), classes=3)
    [row, *_] = cells(labelled, unpaired)
    assert [int(cell[0, 0, 0]) for cell in row[1:]] == [0, 128, 255]


def test_a_strip_of_super_resolution_has_equal_cells() -> None:
    def pose(images: Tensor, draws: Tensor) -> Tensor:
        return images[..., ::2, ::2]

    small = (3, SIDE // 2, SIDE // 2)
    larger = sized(lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3), given=small, scale=2, pose=pose)
    rows = cells(larger, plain())
    assert all(torch.equal(source, made) for source, made, _ in rows) and not torch.equal(rows[0][1], rows[0][2])


def test_large_images_get_fewer_rows() -> None:
    spec = Spec((1, 300, 300), source=(1, 300, 300), paired=True)
    values = torch.zeros(9, 2, 300, 300, dtype=torch.uint8)
    large = Dataset("large", spec, ImageEncoding(spec), MemoryStore(values, source=1), None, "large", [])
    picture = strips(translator(given=(1, 300, 300), made=(1, 300, 300)), large.train)
    assert picture.size == (3 * 302 + 2, 3 * 302 + 2)
