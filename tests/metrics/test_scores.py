"""Evaluation as a whole: what scores say of good and bad generators, floor, protocol, and the names in print."""

from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests.metrics.fakes import Replay, image_data
from zerosum.core.errors import BadData, BadFile, BadOption
from zerosum.data import Dataset, load
from zerosum.metrics import reference
from zerosum.metrics.features import Features
from zerosum.metrics.scores import MEANINGS, Scores, compare, evaluate


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


def samples(data: Dataset, start: int, stop: int) -> torch.Tensor:
    return data.train.fetch(torch.arange(start, stop))["image"]


@pytest.fixture(scope="module")
def scores(digits: Dataset) -> Scores:
    """Of a conditional generator that hands out digits of the training split with the right labels."""
    assert digits.train.labels is not None
    generator = Replay(samples(digits, 0, 400), digits.spec, digits.train.labels[:400])
    return evaluate(generator, digits, n=400, per_class=True)  # type: ignore[arg-type]


def test_copied_training_samples(scores: Scores, digits: Dataset) -> None:
    assert scores.values["precision"] > 0.8
    assert scores.values["conditional_accuracy"] > 0.97
    assert scores.values["missing_classes"] == 0
    assert scores.values["copy_distance"] == pytest.approx(0, abs=1e-3)
    assert scores.values["copies"] > 0.9
    assert scores.values["spread"] == pytest.approx(1, abs=0.1)
    for suspect, source in zip(scores.details["suspects"], scores.details["sources"]):
        assert torch.equal(samples(digits, suspect, suspect + 1), samples(digits, source, source + 1))


def test_every_score_has_a_floor_and_a_meaning(scores: Scores) -> None:
    assert set(scores.values) <= set(MEANINGS)
    assert set(scores.values) - set(scores.floor) == {"class_fd"}
    assert scores.floor["coverage"] > 0.8
    assert "179 held-out against 179 training samples" in scores.protocol["floor"]


def test_the_protocol_is_complete(scores: Scores, digits: Dataset) -> None:
    p = scores.protocol
    assert (p["extractor"], p["reason"], p["resize"], p["quantised"]) == (
        "classifier", "auto: the data has labels", "none", "uint8",
    )  # fmt: skip
    assert (p["n_real"], p["n_fake"], p["split"], p["seed"]) == (400, 400, "train", 0)
    assert (p["data"], p["fingerprint"]) == ("digits", digits.fingerprint)
    assert len(p["weights_sha256"]) == 64
    assert p["classifier_accuracy"] > 0.97
    assert p["versions"]["torch"] == torch.__version__
    assert p["versions"]["torch-fidelity"] != "not installed"


def test_json_and_back(scores: Scores) -> None:
    assert Scores.from_json(scores.to_json()) == scores
    odd = dataclasses.replace(scores, values={"class_kl": math.inf, "class_fd": math.nan})
    back = Scores.from_json(odd.to_json())
    assert math.isinf(back.values["class_kl"])
    assert math.isnan(back.values["class_fd"])
    for text in ["{}", "no json", '{"values": {"fid": 3}, "floor": {}, "protocol": {}}', "[]"]:
        with pytest.raises(BadFile, match="no scores of zerosum"):
            Scores.from_json(text)


def printed(scores: Scores) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(scores.table())
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_never_called_fid_without_inception(scores: Scores) -> None:
    text = printed(scores)
    assert "FD (classifier)" in text
    assert "FID" not in text + scores.to_json()
    assert "Inception" not in text
    assert '"is"' not in scores.to_json()
    inception = dataclasses.replace(scores, protocol={**scores.protocol, "extractor": "inception"})
    assert "FID" in printed(inception)


def test_the_table_states_what_the_numbers_rest_on(scores: Scores) -> None:
    text = printed(scores)
    assert "digits: 400 generated against 400 real (train)" in text
    assert scores.protocol["weights_sha256"][:8] in text
    assert "Floor" in text
    assert "↑" in text
    assert "↓" in text


def test_same_seed_same_scores(digits: Dataset, scores: Scores) -> None:
    assert digits.train.labels is not None
    reference._references.clear()
    generator = Replay(samples(digits, 0, 400), digits.spec, digits.train.labels[:400])
    assert evaluate(generator, digits, n=400, per_class=True) == scores  # type: ignore[arg-type]
    other = evaluate(generator, digits, n=400, seed=1)  # type: ignore[arg-type]
    assert other.values["fd"] != scores.values["fd"]


def test_a_collapsed_generator(digits: Dataset) -> None:
    assert digits.train.labels is not None
    one = samples(digits, 0, 1)
    found = evaluate(Replay(one, digits.spec), digits, n=200)  # type: ignore[arg-type]
    assert found.values["spread"] == pytest.approx(0, abs=1e-3)
    assert found.values["missing_classes"] == 9
    assert len(found.details["missing"]) == 9
    assert found.values["class_kl"] == pytest.approx(math.log(10), abs=0.1)
    assert found.values["class_score"] == pytest.approx(1, abs=1e-3)
    assert found.values["coverage"] < 0.1
    assert found.values["fd"] > 10 * found.floor["fd"]
    assert sum(found.details["class_counts"]) == 200


def test_noise_is_told_from_digits(digits: Dataset) -> None:
    noise = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = evaluate(Replay(noise, digits.spec), digits, n=200, features="pixels")  # type: ignore[arg-type]
    assert found.values["precision"] < 0.2
    assert found.values["copies"] < 0.05
    assert "class_kl" not in found.values
    assert found.protocol["classifier_accuracy"] is None


def test_wrong_labels_show(digits: Dataset) -> None:
    assert digits.train.labels is not None
    generator = Replay(samples(digits, 0, 200), digits.spec, (digits.train.labels[:200] + 1) % 10)
    assert evaluate(generator, digits, n=200).values["conditional_accuracy"] < 0.05  # type: ignore[arg-type]


def test_without_held_out_samples_halves_are_compared() -> None:
    images = torch.randint(0, 256, (60, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    data = image_data(images, None)
    found = evaluate(Replay(images[:30].float() / 127.5 - 1, data.spec), data, n=60)  # type: ignore[arg-type]
    assert found.protocol["floor"] == "two halves of the training samples, 30 each"
    assert found.protocol["n_searched_for_copies"] == 30
    assert math.isfinite(found.floor["fd"])


@pytest.mark.parametrize("held_out", [1, 3, 11])
def test_a_few_held_out_samples_are_no_floor(held_out: int) -> None:
    images = torch.randint(0, 256, (12, 3, 8, 8), generator=torch.Generator().manual_seed(held_out)).to(torch.uint8)
    data = image_data(images, images[:held_out].flip(1))
    found = evaluate(Replay(images.float() / 127.5 - 1, data.spec), data, n=12)  # type: ignore[arg-type]
    wanted = f"two halves of the training samples, 6 each ({held_out} held-out ones are too few)"
    assert found.protocol["floor"] == wanted and all(math.isfinite(value) for value in found.floor.values())
    with pytest.raises(BadData, match="11 training samples; scores need at least 12.*--features none"):
        evaluate(Replay(images.float(), data.spec), image_data(images[:11], None), n=12)  # type: ignore[arg-type]


def test_the_real_side_is_computed_once(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = reference.reference(digits, "pixels", 100)
    assert first.train is first.train
    monkeypatch.setattr(reference.Reference, "features", lambda *_: pytest.fail("computed again"))
    assert reference.reference(digits, "pixels", 100) is first
    assert len(reference.reference(digits, "pixels", 100).train) == 100


def test_what_cannot_be_measured(digits: Dataset) -> None:
    generator = Replay(torch.zeros(10, 3, 8, 8), dataclasses.replace(digits.spec, shape=(3, 8, 8)))
    with pytest.raises(BadOption, match=r"samples of shape \(3, 8, 8\), but digits holds \(1, 8, 8\)"):
        evaluate(generator, digits, n=100)  # type: ignore[arg-type]
    with pytest.raises(BadOption, match="n = 3 samples mean nothing"):
        evaluate(generator, digits, n=3)  # type: ignore[arg-type]
    broken = Replay(torch.full((10, 1, 8, 8), math.nan), digits.spec)
    with pytest.raises(BadData, match="not finite; it diverged"):
        evaluate(broken, digits, n=100)  # type: ignore[arg-type]
    with pytest.raises(BadOption, match="per class need labelled data and --features classifier"):
        fine = Replay(samples(digits, 0, 50), digits.spec)
        evaluate(fine, digits, n=50, features="pixels", per_class=True)  # type: ignore[arg-type]


def test_compare_needs_features_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    real = Features(torch.randn(100, 4, generator=draw))
    fake = Features(torch.randn(120, 4, generator=draw), torch.full((120, 3), 1 / 3))
    assert set(compare(real, fake, full=False)) == {"fd", "precision", "recall", "coverage", "spread"}
    assert "class_score" in compare(real, fake)
    assert "is" in compare(real, fake, inception=True)


def test_doc_page_names_every_score() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tasks" / "measure.md").read_text(encoding="utf-8")
    assert [key for key in MEANINGS if f"`{key}`" not in page and not key.endswith("_std")] == []
