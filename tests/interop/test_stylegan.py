"""StyleGAN2's and StyleGAN3's weights: a file written from a network makes that network's images again."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from tests.interop.files import (
    EasyDict,
    Network,
    Persistent,
    difference,
    persistent,
    pickled,
    randomised,
    saved,
    stylegan2_tensors,
    stylegan3_tensors,
    tensorflow_variables,
    written,
)
from zerosum.core.errors import BadFile, BadOption
from zerosum.interop import read_weights
from zerosum.networks import stylegan2, stylegan3
from zerosum.training.generator import TrainedGenerator

MODELS: dict[str, dict[str, Any]] = {
    "colour": {"latent": 16, "shape": (3, 32, 32), "w": 24, "layers": 3, "base": 256, "most": 20, "clamp": 2.0},
    "grey, 4 classes": {"latent": 8, "shape": (1, 64, 64), "classes": 4, "w": 8, "base": 512, "most": 16},
    "smallest": {"latent": 8, "shape": (3, 8, 8), "w": 8, "layers": 1, "channels": (12, 6)},
    "channels by no rule": {"latent": 8, "shape": (4, 16, 16), "w": 8, "channels": (7, 12, 5), "clamp": 1.0},
    "wide": {"latent": 8, "shape": (3, 16, 32), "w": 8, "layers": 2, "base": 128, "most": 12},
}


@pytest.fixture(params=MODELS, scope="module")
def model(request: pytest.FixtureRequest) -> stylegan2.Generator:
    torch.manual_seed(0)
    return randomised(stylegan2.Generator(**MODELS[request.param]))


@pytest.fixture(scope="module")
def small() -> stylegan2.Generator:
    torch.manual_seed(0)
    return randomised(stylegan2.Generator(8, (3, 16, 16), w=8, layers=2, base=64, most=8))


def attributes(tensors: dict[str, Tensor], clamp: float | None, rate: float = 0.01) -> dict[str, dict[str, Any]]:
    """What the program stores beside the tensors of a StyleGAN2 generator."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in tensors.items():
        module, _, part = name.rpartition(".")
        if part == "weight" and value.dim() == 2:
            multiplier = rate if module.startswith("mapping.fc") else 1.0
            found[module] = {
                "in_features": value.shape[1], "activation": "lrelu" if module.startswith("mapping.fc") else "linear",
                "weight_gain": torch.tensor(multiplier / math.sqrt(value.shape[1])).double().numpy()[()],
                "bias_gain": multiplier, "_init_args": tuple(value.shape),
            }  # fmt: skip
        elif part == "weight":
            found[module] = {"conv_clamp": clamp, "_init_args": (value.shape[1], value.shape[0])}
            if not module.endswith("torgb"):
                found[module] |= {"activation": "lrelu", "act_gain": math.sqrt(2.0), "use_noise": True, "up": 2}
            else:
                found[module] |= {"weight_gain": 1 / math.sqrt(value.shape[1])}
        elif part == "const":
            found[module] = {"architecture": "skip", "_init_kwargs": {"resample_filter": [1, 3, 3, 1]}}
    return found


def official(model: stylegan2.Generator, **settings: Any) -> Persistent:
    """The generator as StyleGAN2-ADA's and StyleGAN3's programs store it."""
    tensors = stylegan2_tensors(model)
    return persistent(tensors, {**attributes(tensors, model.synthesis.blocks[0].conv1.clamp), **settings})


def same_images(found: TrainedGenerator, model: Any, classes: int = 0) -> None:
    """Images, also truncated and from one-hot labels, are the network's own."""
    z = torch.randn(3, found.latent.size, generator=torch.Generator().manual_seed(2))
    label = torch.tensor([0, classes - 1, 0]) if classes else None
    given = {"label": label} if classes else None
    for truncation in (1.0, 0.5):
        wanted = model(z, label, truncation=truncation)
        assert difference(found(z, given, truncation), wanted) < 1e-5
    if label is not None:
        hot = torch.nn.functional.one_hot(label, classes).float()
        assert difference(found(z, {"label": hot}), model(z, label)) < 1e-5
    assert len(found.sample(2)) == 2


def test_nvidias_pickles(model: stylegan2.Generator, tmp_path: Path) -> None:
    untrained = randomised(stylegan2.Generator(8, (3, 16, 16), w=8, layers=2, base=64, most=8))
    content = pickled(
        {"G": official(untrained), "D": None, "G_ema": official(model), "training_set_kwargs": EasyDict()}
    )
    found = read_weights(written(tmp_path, content))
    same_images(found, model, model.mapping.classes)
    assert found.facts["system"] == "stylegan2" and found.facts["source"]["network"] == "G_ema"
    assert found.facts["config"]["clamp"] == model.synthesis.blocks[0].conv1.clamp
    assert found.spec.shape[0] == model.synthesis.blocks[0].to_image.weight.shape[0]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols_and_ordered_dictionaries(protocol: int, small: stylegan2.Generator, tmp_path: Path) -> None:
    tree = persistent(stylegan2_tensors(small), ordered=True)
    same_images(read_weights(written(tmp_path, pickled({"G_ema": tree}, protocol))), small)


def test_the_older_naming(small: stylegan2.Generator, tmp_path: Path) -> None:
    # StyleGAN2-ADA's first program: settings are nested in the generator's arguments, filters are not stored.
    arguments = {
        "z_dim": 8, "c_dim": 0, "w_dim": 8, "img_resolution": 16, "img_channels": 3,
        "mapping_kwargs": EasyDict(num_layers=2, activation="lrelu", lr_multiplier=0.01),
        "synthesis_kwargs": EasyDict(channel_base=64, channel_max=8, num_fp16_res=4, conv_clamp=256),
    }  # fmt: skip
    tree = persistent(stylegan2_tensors(small, filters=False), {"": {"_init_kwargs": EasyDict(arguments)}})
    found = read_weights(written(tmp_path, pickled({"G_ema": tree})))
    same_images(found, small)
    config = found.facts["config"]
    assert (config["clamp"], config["channel_base"], config["channel_max"], config["channels"]) == (256.0, 64, 8, None)


def test_without_any_settings(small: stylegan2.Generator, tmp_path: Path) -> None:
    tensors = stylegan2_tensors(small)
    for content in (
        pickled({"G_ema": persistent(tensors)}), pickled(persistent(tensors)), to_safetensors(tensors),
        saved({"g_ema": tensors, "d": {"b4.out.weight": torch.zeros(1, 8)}}), saved(tensors, legacy=True),
        saved({f"module.{name}": value for name, value in tensors.items()}),
    ):  # fmt: skip
        same_images(read_weights(written(tmp_path, content)), small)


def test_the_average_is_preferred(small: stylegan2.Generator, tmp_path: Path) -> None:
    good, bad = stylegan2_tensors(small), {k: v + 1 for k, v in stylegan2_tensors(small).items()}
    content = saved({"G": bad, "G_ema": good, "EG": bad})
    same_images(read_weights(written(tmp_path, content)), small)


def test_another_learning_rate_multiplier(small: stylegan2.Generator, tmp_path: Path) -> None:
    tensors = stylegan2_tensors(small)
    scaled = {name: value / 10 if ".fc" in name and "w_avg" not in name else value for name, value in tensors.items()}
    for settings in (
        attributes(tensors, None, 0.1),
        {"": {"_init_kwargs": {"mapping_kwargs": {"lr_multiplier": 0.1}}}},
    ):
        same_images(read_weights(written(tmp_path, pickled({"G_ema": persistent(scaled, settings)}))), small)


def test_layers_without_noise(small: stylegan2.Generator, tmp_path: Path) -> None:
    tensors = {name: value for name, value in stylegan2_tensors(small).items() if "noise" not in name}
    found = read_weights(written(tmp_path, pickled({"G_ema": persistent(tensors)})))
    z = torch.randn(2, 8)
    assert difference(found(z), small(z, noise="none")) < 1e-5


Tensors = dict[str, Tensor]


def same(tensors: Tensors) -> Tensors:
    """Only settings are changed."""
    return tensors


def without(part: str) -> Callable[[Tensors], Tensors]:
    """Tensors whose names contain `part` are missing."""
    return lambda tensors: {name: value for name, value in tensors.items() if part not in name}


def having(name: str, *shape: int) -> Callable[[Tensors], Tensors]:
    """One tensor is added or replaced."""
    return lambda tensors: {**tensors, name: torch.ones(shape)}


REFUSED: dict[str, tuple[Callable[[Tensors], Tensors], dict[str, dict[str, Any]], str]] = {
    "filter": (having("synthesis.b8.resample_filter", 4, 4), {}, "synthesis.b8.resample_filter is not made of"),
    "wavelet": (same, {"synthesis": {"_init_kwargs": {"resample_filter": [1, 2, 1]}}}, "resample_filter is a list"),
    "resnet": (same, {"synthesis.b8": {"architecture": "resnet"}}, "b8.architecture is resnet"),
    "skip weights": (having("synthesis.b8.skip.weight", 8, 8, 1, 1), {}, "'resnet'"),
    "no image layer": (without("b8.torgb"), {}, "has no synthesis.b8.torgb"),
    "ReLU": (same, {"mapping.fc0": {"activation": "relu"}}, "mapping.fc0.activation is relu"),
    "clamps": (same, {"synthesis.b8.conv0": {"conv_clamp": 1}, "synthesis.b8.conv1": {"conv_clamp": None}}, "clamp"),
    "gap": (without("b8."), {}, "its resolutions are 4, 16"),
    "no average": (without("w_avg"), {}, "mapping.w_avg is missing"),
    "no mapping": (without("mapping"), {}, "no mapping network"),
    "unknown": (having("synthesis.b8.attention.weight", 1), {}, "b8.attention.weight"),
    "shape": (having("synthesis.b8.conv0.weight", 8, 8, 5, 5), {}, r"shape \(8, 8, 5, 5\)"),
    "axes": (having("synthesis.b4.const", 8, 4), {}, "do not make a network"),
    "NaN": (lambda tensors: {**tensors, "mapping.fc0.bias": torch.full((8,), math.nan)}, {}, "not finite"),
    "empty": (having("synthesis.b8.torgb.bias", 0), {}, "synthesis.b8.torgb.bias has no elements"),
    "gain": (same, {"mapping.fc0": {"weight_gain": "much"}}, "mapping.fc0.weight_gain is much"),
    "embedding": (having("mapping.embed.weight", 5, 3), {}, "several sizes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_zerosums_network_does_not_express(case: str, small: stylegan2.Generator, tmp_path: Path) -> None:
    change, settings, reason = REFUSED[case]
    tree = persistent(change(stylegan2_tensors(small)), settings)
    path = written(tmp_path, pickled({"G_ema": tree}))
    with pytest.raises(BadFile, match=reason) as caught:
        read_weights(path)
    assert "weights.pkl" in str(caught.value)


def test_images_of_a_size_that_is_not_made_here(tmp_path: Path) -> None:
    tensors = {"synthesis.b4.const": torch.zeros(2, 2000, 1), "synthesis.b4.conv1.weight": torch.zeros(2, 2, 3, 3)}
    tensors |= {"synthesis.b4.torgb.weight": torch.zeros(3, 2, 1, 1), "mapping.fc0.weight": torch.zeros(2, 2)}
    with pytest.raises(BadFile, match="its images have 1 x 2000 pixels"):
        read_weights(written(tmp_path, saved(tensors)))


def test_the_wrong_system(small: stylegan2.Generator, tmp_path: Path) -> None:
    path = written(tmp_path, saved(stylegan2_tensors(small)))
    assert read_weights(path, "stylegan2").facts["system"] == "stylegan2"
    with pytest.raises(BadOption, match="--as stylegan3: .*weights.pkl looks like stylegan2"):
        read_weights(path, "stylegan3")
    with pytest.raises(BadOption, match="--as dcgan: no weights of dcgan can be imported, only those of"):
        read_weights(path, "dcgan")
    with pytest.raises(BadOption, match="no system called 'stylegan9'"):
        read_weights(path, "stylegan9")
    with pytest.raises(BadFile, match=r"holds no generator of .*stylegan2.*: it has 1 tensors called layer.weight"):
        read_weights(written(tmp_path, saved({"layer.weight": torch.zeros(1)})))
    with pytest.raises(BadFile, match="it has no tensors"):
        read_weights(written(tmp_path, pickled({"G_ema": None})))


# -- TensorFlow


def tensorflow(model: stylegan2.Generator, **arguments: Any) -> Network:
    """Gs, all variables in one network."""
    return Network("Gs", tensorflow_variables(model), {}, resolution=16, **arguments)


def components(model: stylegan2.Generator, **arguments: Any) -> Network:
    """Gs, its mapping and synthesis networks having variables of their own."""
    variables = tensorflow_variables(model)
    parts = {
        part: Network(part, {k.removeprefix(f"G_{part}/"): v for k, v in variables.items() if part in k}, {})
        for part in ("mapping", "synthesis")
    }
    return Network("Gs", {"dlatent_avg": variables["dlatent_avg"]}, parts, **arguments)


@pytest.mark.parametrize("write", [tensorflow, components])
def test_tensorflows_pickles(write: Callable[..., Network], model: stylegan2.Generator, tmp_path: Path) -> None:
    arguments = {"mapping_lrmul": 0.01, "architecture": "skip", "resample_kernel": [1, 3, 3, 1], "truncation_psi": 0.5}
    clamp = model.synthesis.blocks[0].conv1.clamp
    gs, other = write(model, conv_clamp=clamp, **arguments), write(model, **arguments)
    for content in (pickled((other, other, gs), 3), pickled((other, other, gs), 0), pickled(gs, 2)):
        found = read_weights(written(tmp_path, content), "stylegan2")
        same_images(found, model, model.mapping.classes)
        assert found.facts["source"]["layout"] == "NVIDIA's StyleGAN2 (TensorFlow)"
        assert found.facts["config"]["clamp"] == clamp


def test_what_tensorflow_networks_cannot_be_imported(small: stylegan2.Generator, tmp_path: Path) -> None:
    variables = tensorflow_variables(small)
    extra = {
        "G_synthesis/8x8/Conv1/StyleMod/weight": "first StyleGAN", "G_mapping/LabelConcat/weight": "joined to z",
        "G_synthesis/8x8/Skip/weight": "resnet", "G_synthesis/8x8/Conv1/attention": "it is not known what",
    }  # fmt: skip
    for name, reason in extra.items():
        network = Network("Gs", {**variables, name: variables["dlatent_avg"]}, {})
        with pytest.raises(BadFile, match=reason):
            read_weights(written(tmp_path, pickled((network, network, network))))
    for argument, value in {"normalize_latents": False, "nonlinearity": "relu", "architecture": "orig"}.items():
        with pytest.raises(BadFile, match=f"{argument} is {value}"):
            read_weights(written(tmp_path, pickled(tensorflow(small, **{argument: value}))))


# -- StyleGAN3

ALIAS_FREE: dict[str, dict[str, Any]] = {
    "T": {"latent": 8, "shape": (3, 32, 32), "w": 12, "layers": 6, "base": 256, "most": 16},
    "R, grey": {
        "latent": 8, "shape": (1, 16, 16), "w": 8, "layers": 5, "kernel": 1, "radial": True, "base": 512, "most": 24,
        "critical": 1,
    },
    "T, classes, odd channels": {
        "latent": 8, "shape": (3, 16, 16), "classes": 3, "w": 8, "mapping_layers": 1, "layers": 4,
        "widths": (6, 9, 5, 7), "clamp": 1.5,
    },
}  # fmt: skip


@pytest.fixture(params=ALIAS_FREE, scope="module")
def smooth(request: pytest.FixtureRequest) -> stylegan3.Generator:
    torch.manual_seed(0)
    return randomised(stylegan3.Generator(**ALIAS_FREE[request.param]))


def official3(model: stylegan3.Generator, **changed: Any) -> Persistent:
    """The generator as StyleGAN3's program stores it."""
    tensors, synthesis = stylegan3_tensors(model), model.synthesis
    band, image = synthesis.bands[0], synthesis.layers[-1]
    critical = sum(band.cutoff == synthesis.bands[-1].cutoff for band in synthesis.bands) - 1
    settings: dict[str, dict[str, Any]] = {
        "synthesis": {"num_critical": critical, "margin_size": 10, "output_scale": 0.25} | changed,
        "synthesis.input": {"bandwidth": band.cutoff, "sampling_rate": float(band.rate)},
    }
    for name in tensors:
        module = name.rpartition(".")[0]
        if name.endswith("weight") and ".L" in module and not module.endswith("affine"):
            settings[module] = {"conv_clamp": image.clamp, "magnitude_ema_beta": 0.999}
    return persistent(tensors, settings)


def test_stylegan3(smooth: stylegan3.Generator, tmp_path: Path) -> None:
    found = read_weights(written(tmp_path, pickled({"G_ema": official3(smooth)})))
    same_images(found, smooth, smooth.mapping.classes)
    assert found.facts["config"]["variant"] == ("t" if smooth.synthesis.layers[0].weight.shape[2] == 3 else "r")
    assert found.facts["config"]["clamp"] == smooth.synthesis.layers[0].clamp


def test_stylegan3_turns_what_its_transform_turns(smooth: stylegan3.Generator, tmp_path: Path) -> None:
    tensors = stylegan3_tensors(smooth)
    moved = torch.tensor([[0.0, -1.0, 0.1], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    tensors["synthesis.input.transform"] = moved
    critical = official3(smooth).state["_modules"]["synthesis"].state["num_critical"]
    tree = persistent(
        tensors, {"synthesis": {"num_critical": critical}, "": {"conv_clamp": smooth.synthesis.layers[0].clamp}}
    )
    found = read_weights(written(tmp_path, pickled({"G_ema": tree})))
    z, label = torch.randn(2, 8), torch.tensor([0, 1]) if smooth.mapping.classes else None
    before = smooth.synthesis.input.transform.clone()
    smooth.synthesis.input.transform.copy_(moved)
    try:
        assert difference(found(z, {"label": label}), smooth(z, label)) < 1e-5
    finally:
        smooth.synthesis.input.transform.copy_(before)


def test_what_stylegan3s_cannot_be_imported(tmp_path: Path) -> None:
    model = randomised(stylegan3.Generator(**ALIAS_FREE["T"]))
    tensors = stylegan3_tensors(model)
    name = next(key for key in tensors if key.startswith("synthesis.L2") and key.endswith("up_filter"))
    for settings, reason in (
        ({"num_critical": 1}, "should be 36 pixels large"), ({"margin_size": 12}, "margin_size is 12"),
        ({"output_scale": 1.0}, "output_scale is 1.0"), ({"first_cutoff": 3}, "first_cutoff is 3"),
        ({"num_critical": 6}, "6 of its 6 layers"),
    ):  # fmt: skip
        with pytest.raises(BadFile, match=reason):
            read_weights(written(tmp_path, pickled({"G_ema": official3(model, **settings)})))
    for changed, reason in (
        ({**tensors, name: tensors[name] * 1.01}, "the filter L2_.*up_filter"),
        ({**tensors, name: torch.ones(18) / 18}, "the filter L2_.*up_filter"),
        ({key.replace("L2_", "L9_"): value for key, value in tensors.items()}, "its layers are L0"),
        ({k: v[:, :, :1, :1] if v.dim() == 4 else v for k, v in tensors.items()}, "1 x 1 with separable filters"),
    ):  # fmt: skip
        with pytest.raises(BadFile, match=reason):
            read_weights(written(tmp_path, saved(changed)))


# -- folders


@pytest.mark.parametrize("system", ["stylegan2", "stylegan3"])
def test_a_saved_import_is_the_same_again(system: str, small: stylegan2.Generator, tmp_path: Path) -> None:
    smooth = randomised(stylegan3.Generator(**ALIAS_FREE["R, grey"]))
    tree = official(small) if system == "stylegan2" else official3(smooth)
    found = read_weights(written(tmp_path, pickled({"G_ema": tree})))
    found.save(tmp_path / "folder")
    again = TrainedGenerator.load(tmp_path / "folder")
    z = torch.randn(2, 8)
    assert torch.equal(again(z), found(z)) and again.facts == found.facts and again.encoding == found.encoding
    card = (tmp_path / "folder" / "README.md").read_text()
    assert "imported from weights.pkl" in card and "non-commercial" in card and "Trained on" not in card
    assert found.facts["source"]["sha256"] in card and "license: other" in card
