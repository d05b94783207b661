"""Extractors: what they take, what they state, and what is said where one cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.metrics.fakes import image_data, point_data
from zerosum.core.errors import BadFile, BadOption
from zerosum.core.vision import load as load_vision
from zerosum.data import Dataset, load
from zerosum.metrics import features
from zerosum.metrics.dinov2 import VisionTransformer
from zerosum.metrics.features import Features, Pixels, choose, extract, quantise, to_rgb


@pytest.fixture(autouse=True)
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights on this computer, and no way to get any."""

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)


def images(channels: int, n: int = 12, side: int = 8) -> torch.Tensor:
    random = torch.Generator().manual_seed(channels)
    return torch.randint(0, 256, (n, channels, side, side), generator=random).to(torch.uint8)


def unlabelled(channels: int = 3) -> Dataset:
    return image_data(images(channels), None)


def test_quantise_is_the_inverse_of_loading() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(quantise(every.float() / 127.5 - 1), every)
    assert quantise(torch.tensor([-3.0, 3.0, 0.0])).tolist() == [0, 255, 128]


def test_to_rgb() -> None:
    grey = images(1)
    assert torch.equal(to_rgb(grey), torch.cat([grey] * 3, 1))
    rgba = images(4)
    rgba[0, 3], rgba[1, 3] = 0, 255
    opaque = to_rgb(rgba)
    assert (opaque[0] == 255).all()
    assert torch.equal(opaque[1], rgba[1, :3])
    assert torch.equal(to_rgb(images(3)), images(3))


def test_pixels_average_boxes() -> None:
    big = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    big[0, 0, :2, :2] = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8)
    pixels = Pixels((1, 32, 32))
    vectors = pixels(big).vectors
    assert vectors.shape == (1, 256)
    assert vectors[0, 0] == 0.5
    assert vectors[0, 1:].sum() == 0
    for channels in (1, 3, 4):
        extractor = Pixels((channels, 8, 8))
        assert extractor(images(channels)).vectors.shape == (12, extractor.size)


def test_features_can_be_cut() -> None:
    both = Features(torch.arange(6.0).view(3, 2), torch.full((3, 4), 0.25))
    assert len(both[:2]) == 2
    assert both[torch.tensor([2])].vectors.tolist() == [[4, 5]]


def test_auto() -> None:
    extractor, reason = choose("auto", load("digits"))
    assert (extractor.name, reason) == ("classifier", "auto: the data has labels")
    made = extract(extractor, [load("digits").train.fetch(torch.arange(20))["image"]])
    assert made.vectors.shape == (20, 128)
    assert made.probabilities is not None
    assert torch.allclose(made.probabilities.sum(1), torch.ones(20))
    extractor, reason = choose("auto", unlabelled())
    assert extractor.name == "pixels"
    assert "no Inception-v3 weights" in reason
    assert choose("auto", point_data("ring", torch.zeros(9, 2), None))[0].name == "coordinates"


def test_auto_takes_inception_where_its_weights_are(monkeypatch: pytest.MonkeyPatch, inception_weights: Path) -> None:
    monkeypatch.setattr(features, "on_disk", lambda url: inception_weights)
    extractor, reason = choose("auto", unlabelled())
    assert (extractor.name, extractor.size) == ("inception", 2048)
    assert "on this computer" in reason


@pytest.mark.parametrize("name", ["inception", "dinov2"])
def test_offline_says_how_to_get_the_weights(name: str) -> None:
    with pytest.raises(BadOption, match=r"could not be downloaded \(no network\).*https://.*--weights PATH"):
        choose(name, unlabelled())


def test_options_that_do_not_exist_or_fit() -> None:
    with pytest.raises(BadOption, match="--features clip: there is no such feature extractor. Choose one of: auto"):
        choose("clip", unlabelled())
    with pytest.raises(BadOption, match="has no labels"):
        choose("classifier", unlabelled())
    with pytest.raises(BadOption, match="no such file"):
        choose("inception", unlabelled(), Path("missing.pth"))
    with pytest.raises(BadOption, match="goes with --features inception or dinov2"):
        choose("pixels", unlabelled(), Path("some.pth"))
    with pytest.raises(BadOption, match="holds points"):
        choose("pixels", point_data("ring", torch.zeros(9, 2), None))


class Trap:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> tuple:
        return pytest.fail, ("a weights file ran code",)


@pytest.mark.parametrize("name", ["inception", "dinov2"])
def test_weights_files_cannot_run_code_and_must_fit(name: str, tmp_path: Path) -> None:
    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(BadFile, match="not a readable file"):
        choose(name, unlabelled(), tmp_path / "trap.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(BadFile, match="does not hold"):
        choose(name, unlabelled(), tmp_path / "other.pth")


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in a file of the real one's layout."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    module = load_vision("torch_fidelity.feature_extractor_inceptionv3")
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize("channels", [1, 4])
def test_inception_is_torch_fidelitys(channels: int, inception_weights: Path) -> None:
    extractor, reason = choose("inception", unlabelled(channels), inception_weights)
    pictures = images(channels, 2)
    made = extractor(pictures)
    module = load_vision("torch_fidelity.feature_extractor_inceptionv3")
    theirs = module.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(inception_weights)
    )
    vectors, logits = theirs(to_rgb(pictures))
    assert torch.equal(made.vectors, vectors)
    assert made.probabilities is not None
    assert torch.allclose(made.probabilities, logits.softmax(1))
    assert reason == "asked for by name"
    assert extractor.weights_sha256 == features.sha256(inception_weights)
    assert extractor.colours == {1: "grey repeated to RGB", 4: "RGBA over white"}[channels]


def test_dinov2_reads_a_file_of_the_published_layout(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = VisionTransformer()
    state = network.state_dict()
    assert len(state) == 175  # tensors in dinov2_vits14_pretrain.pth
    assert sum(value.numel() for value in state.values()) == 22_056_576
    torch.save(state, tmp_path / "dinov2.pth")
    extractor, _ = choose("dinov2", unlabelled(), tmp_path / "dinov2.pth")
    made = extractor(images(3, 2))
    assert made.vectors.shape == (2, 384)
    assert made.probabilities is None
    assert torch.isfinite(made.vectors).all()
