"""R3GAN's weights: a file written from a network makes that network's images again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as to_safetensors

from tests.interop.files import (
    Generator,
    difference,
    persistent,
    pickled,
    r3gan_tensors,
    randomised,
    saved,
    written,
)
from zerosum.core.errors import BadFile
from zerosum.interop import read_weights
from zerosum.networks import resnext
from zerosum.training.generator import TrainedGenerator

MODELS = {
    "colour": ((3, 16, 16), resnext.Stages((16, 16, 8), (4, 4, 2), (2, 2, 2)), 0),
    "grey, 3 classes": ((1, 32, 32), resnext.Stages((16, 12, 12, 4), (2, 3, 1, 4), (1, 3, 2, 1), 3), 3),
    "two stages": ((3, 8, 8), resnext.Stages((8, 8), (8, 1), (1, 1), 1), 0),
}


@pytest.fixture(params=MODELS, scope="module")
def model(request: pytest.FixtureRequest) -> resnext.Generator:
    torch.manual_seed(0)
    shape, stages, classes = MODELS[request.param]
    return randomised(resnext.Generator(10, shape, stages, classes=classes, embedding=6))


def same_images(found: TrainedGenerator, model: resnext.Generator) -> None:
    z = torch.randn(3, 10, generator=torch.Generator().manual_seed(2))
    label = torch.tensor([0, model.classes - 1, 0]) if model.classes else None
    assert difference(found(z, {"label": label}), model(z, label)) < 1e-5
    assert len(found.sample(2)) == 2
    if label is not None:
        hot = torch.nn.functional.one_hot(label, model.classes).float()
        assert difference(found(z, {"label": hot}), model(z, label)) < 1e-5


def plain(tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """The network as an ordinary module, which is how files hold what is not stored with its source code."""
    network = Generator()
    for name, value in tensors.items():
        module: Any = network
        *path, last = name.split(".")
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Module())
            module = module._modules[part]
        if last == "Kernel":
            module.register_buffer(last, value)
        else:
            module.register_parameter(last, torch.nn.Parameter(value))
    network.DataType = torch.bfloat16
    return network


def test_every_kind_of_file(model: resnext.Generator, tmp_path: Path) -> None:
    tensors = r3gan_tensors(model)
    wrapped = {f"Model.{name}": value for name, value in tensors.items()}
    outer = persistent({}, {})
    outer.state["_modules"] = {"Model": plain(tensors)}
    for content in (
        pickled({"G": None, "D": None, "G_ema": persistent(wrapped)}),
        pickled({"G_ema": persistent(tensors)}, 5),
        pickled({"G_ema": outer}),
        saved(tensors), saved({"G_ema": wrapped}, legacy=True),
        saved({f"module.Model.{name}": value for name, value in tensors.items()}),
        to_safetensors({f"G_ema.{name}": value for name, value in wrapped.items()}),
    ):  # fmt: skip
        found = read_weights(written(tmp_path, content))
        assert found.facts["system"] == "r3gan" and found.spec.classes == model.classes
        same_images(found, model)


def test_a_saved_import_is_the_same_again(model: resnext.Generator, tmp_path: Path) -> None:
    found = read_weights(written(tmp_path, saved(r3gan_tensors(model)), "r3.pth"), "r3gan")
    found.save(tmp_path / "folder")
    again = TrainedGenerator.load(tmp_path / "folder")
    same_images(again, model)
    assert "without a licence" in (tmp_path / "folder" / "README.md").read_text()


def test_what_zerosums_network_does_not_express(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape, stages, _ = MODELS["colour"]
    tensors = r3gan_tensors(randomised(resnext.Generator(10, shape, stages)))
    first, second = "MainLayers.1.Layers.1.", "MainLayers.1.Layers.2."
    for change, reason in (
        ({"MainLayers.1.Layers.0.Resampler.Kernel": torch.ones(4, 4)}, "Resampler.Kernel is not made of"),
        ({f"{first}LinearLayer2.Layer.weight": torch.zeros(32, 32, 3, 3)}, "the blocks of its stage 1 differ"),
        ({f"{first}LinearLayer1.Layer.weight": torch.zeros(33, 16, 1, 1)}, "widens 16 channels to 33"),
        ({f"{first}Norm.weight": torch.zeros(3)}, r"Layers.1.Norm.weight"),
        ({"AggregationLayer.Layer.weight": None}, "lacks"),
        ({name: None for name in tensors if name.startswith(second)} | {f"{second}x": torch.zeros(1)}, "Layers.2.x do"),
        ({name: None for name in tensors if name.startswith("MainLayers.1.")}, r"its stages are \[0, 2\]"),
        ({name: None for name in tensors if "NonLinearity1" in name}, "bias1 is missing"),
    ):  # fmt: skip
        changed = {name: value for name, value in (tensors | change).items() if value is not None}
        with pytest.raises(BadFile, match=reason):
            read_weights(written(tmp_path, saved(changed)))
    wider = {name.replace("MainLayers.2", "MainLayers.3"): value for name, value in tensors.items()}
    with pytest.raises(BadFile, match=r"its stages are \[0, 1, 3\]"):
        read_weights(written(tmp_path, saved(wider)))
