"""Perceptual losses: against torchvision's architecture, closed forms, and what a loss must do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadData, BadFile, BadOption
from zerosum.core.vision import load
from zerosum.metrics import classifier
from zerosum.objectives import perceptual
from zerosum.objectives.perceptual import (
    ESRGAN,
    MEAN,
    REAL_ESRGAN,
    STD,
    VGG16,
    VGG19,
    Layers,
    Perceptual,
    content,
    exemplar,
    gram,
    style,
    vgg,
    vgg19,
)


def images(n: int = 2, channels: int = 3, side: int = 32, seed: int = 0) -> Tensor:
    """Noise in [-1, 1]."""
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def stack(channels: int = 3) -> nn.Sequential:
    """Two convolutions with batch normalisation, and ReLUs that work in place."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(inplace=True),
        )  # fmt: skip


@pytest.fixture(scope="module")
def theirs() -> nn.Sequential:
    """torchvision's VGG-19 with random weights, scaled so that maps neither vanish nor explode."""
    module = load("torchvision.models.vgg")
    torch.manual_seed(0)
    features = module.make_layers(module.cfgs["E"])
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.get_parameter("bias"), std=0.1)
    return features.eval()


@pytest.fixture(scope="module")
def file(theirs: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights as torchvision's file has them, with others that are not needed."""
    path = tmp_path_factory.mktemp("weights") / "vgg19-random.pth"
    state = {f"features.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


# --- VGG


def test_vgg19_is_torchvisions_before_its_activations(theirs: nn.Sequential, file: Path) -> None:
    x = images(1)
    state = torch.get_rng_state()
    found = vgg19(file)(x)
    assert torch.equal(torch.get_rng_state(), state), "no random numbers for weights that are replaced"
    y = ((x + 1) / 2 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    numbers = {2: "conv1_2", 7: "conv2_2", 16: "conv3_4", 25: "conv4_4", 34: "conv5_4"}
    assert set(found) == set(numbers.values()) == set(REAL_ESRGAN)
    with torch.no_grad():
        for number, layer in enumerate(theirs):
            y = layer(y)
            if number in numbers:
                torch.testing.assert_close(found[numbers[number]], y.clone())
                assert y.min() < 0


@pytest.mark.parametrize(("plan", "letter"), [(VGG16, "D"), (VGG19, "E")])
def test_layers_stand_where_torchvisions_stand(plan: tuple[int, ...], letter: str) -> None:
    module = load("torchvision.models.vgg")
    with torch.device("meta"):
        ours, others = vgg(plan), module.make_layers(module.cfgs[letter])
    assert [(type(a), getattr(a, "weight", a).__repr__()) for a in others] == [
        (type(a), getattr(a, "weight", a).__repr__().replace("ReLU()", "ReLU(inplace=True)")) for a in ours
    ]


def test_vgg19_says_what_it_is(file: Path) -> None:
    loss = Perceptual(vgg19(file), ESRGAN)
    assert loss.described() == {
        "network": "vgg19",
        "weights_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "layers": {"conv5_4": 1.0},
    }
    assert len(vgg19(file, ["conv1_1"]).stack) == 1, "nothing is computed after the last layer that is asked for"


def test_images_that_vanish_on_the_way_are_refused(file: Path) -> None:
    with pytest.raises(BadData, match="images of 8x8 pixels vanish at the layer pool4 of vgg19: choose earlier layers"):
        vgg19(file)(images(side=8))
    assert vgg19(file, ["conv4_4"])(images(side=8))["conv4_4"].shape == (2, 512, 1, 1)


def test_wrong_files_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BadFile, match=r"none\.pth: there is no such file\. Expected torchvision's VGG-19 weights \(vgg19-dcb"
    ):
        vgg19(tmp_path / "none.pth")
    garbage = tmp_path / "garbage.pth"
    garbage.write_bytes(b"not weights")
    with pytest.raises(BadFile, match=r"garbage\.pth is not a readable file of torchvision's VGG-19"):
        vgg19(garbage)
    torch.save(nn.ReLU(), tmp_path / "module.pth")  # a pickled object: code
    with pytest.raises(BadFile, match=r"module\.pth is not a readable file"):
        vgg19(tmp_path / "module.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(BadFile, match=r"it has a list, expected tensors by name"):
        vgg19(tmp_path / "list.pth")
    save_file({"features.0.weight": torch.zeros(64, 3, 11, 11)}, tmp_path / "alex.safetensors")
    with pytest.raises(
        BadFile, match=r"features\.0\.weight it has a tensor \(64, 3, 11, 11\); expected a tensor \(64, 3, 3, 3\)"
    ):
        vgg19(tmp_path / "alex.safetensors")
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.safetensors")
    with pytest.raises(BadFile, match=r"under features\.0\.bias it has nothing; expected a tensor \(64,\)"):
        vgg19(tmp_path / "part.safetensors")


# --- layers of any stack


def test_the_layers_before_activations_are_asked_for_unless_others_are_named() -> None:
    own = stack()
    assert Layers(own, name="own").taps == ("1", "4")
    x = images()
    own.eval()
    with torch.no_grad():
        first = own[1](own[0](x))
        second = own[4](own[3](F.relu(first)))
    found = Layers(own, name="own")(x)
    torch.testing.assert_close(found["1"], first)  # not overwritten by the ReLU that works in place
    torch.testing.assert_close(found["4"], second)
    assert own[2].inplace, "the caller's network is left as it was"
    with pytest.raises(BadOption, match="layers conv9 of own: it has 0, 1, 2, 3, 4, 5"):
        Layers(own, ["conv9"], name="own")


def test_it_stays_frozen_and_in_evaluation_mode() -> None:
    loss = Perceptual(Layers(stack(), name="own"))
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.train()
    x = images().requires_grad_()
    loss(x, images(seed=1)).backward()
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("network", [1, 3])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_are_brought_to_those_of_the_network(network: int, channels: int) -> None:
    x, features = images(channels=channels), Layers(stack(network), name="own")
    as_taken = x[:, :3]
    if network == 1 and channels != 1:
        as_taken = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:3]
    elif network == 3 and channels == 1:
        as_taken = x.repeat(1, 3, 1, 1)
    torch.testing.assert_close(features(x)["4"], features(as_taken)["4"])


def test_channels_that_cannot_be_brought_to_those_of_the_network_are_refused() -> None:
    with pytest.raises(BadOption, match="images with 2 channels for own, which takes 3"):
        Layers(stack(), name="own")(images(channels=2))


@pytest.mark.parametrize("side", [16, 24, 80])
def test_the_data_s_own_classifier_gives_maps_of_images_of_any_size(side: int) -> None:
    network = classifier.Network((3, 32, 32), 10).eval()
    features = Layers(network.convolutions, name="classifier of cifar10", sha256="abc")
    maps = features(images(side=side))
    assert [maps[name].shape[1:] for name in features.taps] == [
        (32, side // 2, side // 2), (64, side // 4, side // 4), (128, side // 8, side // 8), (128, side // 8, side // 8)
    ]  # fmt: skip
    assert features.described() == {
        "network": "classifier of cifar10",
        "weights_sha256": "abc",
        "layers": [*features.taps],
    }
    if side == 80:
        return
    whole = Layers(network.convolutions, [[*dict(network.convolutions.named_children())][-1]], name="whole")
    [last] = whole(images(side=32)).values()
    torch.testing.assert_close(last.mean(dim=(2, 3)), network.vectors(images(side=32)))


# --- the losses


def test_the_content_loss_is_the_weighted_mean_absolute_difference() -> None:
    a, b, features = images(), images(seed=1), Layers(stack(), name="own")
    loss = Perceptual(features, {"1": 0.5, "4": 2.0})
    found, wanted = features(a), features(b)
    expected = 0.5 * (found["1"] - wanted["1"]).abs().mean() + 2.0 * (found["4"] - wanted["4"]).abs().mean()
    torch.testing.assert_close(loss(a, b), expected)
    assert loss(a, a) == 0
    assert Perceptual(features).weights == {"1": 1.0, "4": 1.0}
    with pytest.raises(BadOption, match="weights of the layers conv5_4: the features give 1, 4"):
        Perceptual(features, ESRGAN)


def test_gradients_go_to_the_images_alone() -> None:
    a, b = images().requires_grad_(), images(seed=1).requires_grad_()
    Perceptual(Layers(stack(), name="own"))(a, b).backward()
    assert a.grad is not None
    assert b.grad is None


def test_any_module_with_maps_and_a_description_will_do() -> None:
    class Halves(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"half": F.avg_pool2d(x, 2)}

        def described(self) -> dict[str, object]:
            return {"network": "halves", "weights_sha256": None, "layers": ["half"]}

    loss = Perceptual(Halves())
    a, b = images(), images(seed=1)
    torch.testing.assert_close(loss(a, b), (F.avg_pool2d(a, 2) - F.avg_pool2d(b, 2)).abs().mean())
    assert loss.described()["layers"] == {"half": 1.0}


def test_the_gram_matrix_in_closed_form() -> None:
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])  # two channels, two positions
    torch.testing.assert_close(gram(maps), torch.tensor([[[5.0, 1.0], [1.0, 10.0]]]) / 4)
    other = torch.zeros_like(maps)
    torch.testing.assert_close(
        style({"a": maps}, {"a": other}, {"a": 2.0}), torch.tensor(2.0 * (25 + 1 + 1 + 100) / 16)
    )
    torch.testing.assert_close(content({"a": maps}, {"a": other}, {"a": 2.0}), torch.tensor(2.0 * 7 / 4))


def test_style_does_not_mind_where_things_are() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU())
    loss, x = Perceptual(Layers(network, name="pointwise")), images()
    moved = x.roll((3, 7), dims=(2, 3))
    assert loss.style(moved, x) < 1e-10 < loss.style(images(seed=1), x)
    assert loss(moved, x) > 0.1
    assert loss.style(images(side=64), x).isfinite()


# --- exemplars


def waves(n: int, side: int = 16) -> tuple[Tensor, Tensor]:
    """Patches of six images, each of waves in a direction and colour of its own, at random places."""
    random = torch.Generator().manual_seed(1)
    ids = torch.arange(n) % 6
    phase = torch.rand(n, 1, 1, generator=random) * 6.3
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    along = (ids % 3)[:, None, None] * 0.8 * x + (ids // 3 + 0.3)[:, None, None] * 0.7 * y
    return (0.5 * torch.sin(along + phase))[:, None].repeat(1, 3, 1, 1), ids * 10 + 7


def test_exemplar_features_know_images_apart() -> None:
    patches, ids = waves(120)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    features = exemplar(patches[:60], ids[:60], samples=1500, batch_size=30)
    assert torch.equal(torch.get_rng_state(), before)
    assert features.taps == ("norm1", "norm2", "norm3", "norm4")
    vectors = features(patches)["norm4"].relu().mean(dim=(2, 3))
    means = torch.stack([vectors[:60][ids[:60] == source].mean(0) for source in ids.unique()])
    right = ids.unique()[torch.cdist(vectors[60:], means).argmin(1)] == ids[60:]
    assert right.float().mean() > 0.8
    assert features.described()["network"] == "exemplar of 60 patches of 6 images, 1500 shown, seed 0"
    assert Perceptual(features)(patches[:6], patches[6:12]) > 0


def test_exemplar_features_depend_on_the_seed_alone() -> None:
    patches, ids = waves(24)
    one, two, other = (exemplar(patches, ids, samples=48, seed=seed) for seed in (1, 1, 2))
    assert one.sha256 == two.sha256 != other.sha256
    with torch.no_grad():
        assert exemplar(patches[:, :1], ids, samples=24).channels == 1


def test_too_little_for_exemplars_is_refused() -> None:
    patches, ids = waves(12)
    with pytest.raises(BadData, match=r"12 patches \(3, 16, 16\) with 12 ids of 1 images: expected an id a patch, two"):
        exemplar(patches, torch.zeros(12))
    with pytest.raises(BadData, match=r"12 patches \(3, 16, 16\) with 11 ids"):
        exemplar(patches, ids[:11])
    with pytest.raises(BadData, match=r"and 8 pixels a side or more"):
        exemplar(patches[:, :, :4], ids)


def test_changed_patches_keep_shape_and_most_of_their_look() -> None:
    patches, _ = waves(12)
    random = torch.Generator().manual_seed(0)
    found = perceptual.changed(patches, random)
    assert found.shape == patches.shape
    assert not torch.equal(found, perceptual.changed(patches, random))
    assert found.abs().max() < 1.5
