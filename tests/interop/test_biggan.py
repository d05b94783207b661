"""BigGAN-PyTorch's weights make the images that its formulas make."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core.errors import BadFile
from zerosum.interop import read_weights
from zerosum.training.generator import TrainedGenerator

Weights = dict[str, Tensor]


def layer(state: Weights, name: str, shape: tuple[int, ...], bias: bool = True) -> None:
    """A spectrally normalised layer as the program stores it."""
    state[f"{name}.weight"] = torch.randn(shape)
    state[f"{name}.u0"], state[f"{name}.sv0"] = torch.randn(1, shape[0]), torch.ones(1)
    if bias:
        state[f"{name}.bias"] = torch.randn(shape[0]) * 0.1


def norm(state: Weights, name: str, channels: int, given: int, table: bool) -> None:
    for part in ("gain", "bias"):
        if table:
            state[f"{name}.{part}.weight"] = torch.randn(given, channels) * 0.1
        else:
            layer(state, f"{name}.{part}", (channels, given), bias=False)
    state[f"{name}.stored_mean"], state[f"{name}.stored_var"] = torch.randn(channels), torch.rand(channels) + 0.5


def released(
    sizes: list[int], classes: int = 5, *, latent: int = 12, embedding: int | None = 6, hierarchical: bool = True,
    attention: int | None = 1,
) -> Weights:  # fmt: skip
    """A state dict with the names and shapes of the released ones."""
    torch.manual_seed(0)
    state: Weights = {}
    piece = latent // len(sizes) if hierarchical else 0
    if embedding is not None:
        state["shared.weight"] = torch.randn(classes, embedding)
    layer(state, "linear", (sizes[0] * 16, piece or latent))
    for i, (before, after) in enumerate(zip(sizes, sizes[1:], strict=False)):
        start = f"blocks.{i}.0"
        layer(state, f"{start}.conv1", (after, before, 3, 3))
        layer(state, f"{start}.conv2", (after, after, 3, 3))
        layer(state, f"{start}.conv_sc", (after, before, 1, 1))
        given = classes if embedding is None else embedding + piece
        norm(state, f"{start}.bn1", before, given, embedding is None)
        norm(state, f"{start}.bn2", after, given, embedding is None)
        if i == attention:
            for name, shape in (("theta", (after // 8, after)), ("phi", (after // 8, after)),
                                ("g", (after // 2, after)), ("o", (after, after // 2))):  # fmt: skip
                layer(state, f"blocks.{i}.1.{name}", (*shape, 1, 1), bias=False)
            state[f"blocks.{i}.1.gamma"] = torch.tensor(0.7)
    for part in ("gain", "bias", "stored_mean"):
        state[f"output_layer.0.{part}"] = torch.randn(sizes[-1])
    state["output_layer.0.stored_var"] = torch.rand(sizes[-1]) + 0.5
    layer(state, "output_layer.2", (3, sizes[-1], 3, 3))
    return state


def sharp(state: Weights, name: str) -> Tensor:
    """The weight at evaluation: W / sigma, sigma = u' W v with v along u W and u' along W v."""
    weight = state[f"{name}.weight"]
    matrix = weight.flatten(1)
    v = state[f"{name}.u0"] @ matrix
    v = v / v.norm()
    u = v @ matrix.T
    return weight / ((v @ matrix.T) @ (u / u.norm()).T).squeeze()


def scaled(state: Weights, name: str, x: Tensor, y: Tensor) -> Tensor:
    """Class-conditional batch norm at evaluation."""
    mean, variance = state[f"{name}.stored_mean"], state[f"{name}.stored_var"]
    x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    if f"{name}.gain.u0" in state:
        gain, bias = (y @ sharp(state, f"{name}.{part}").T for part in ("gain", "bias"))
    else:
        gain, bias = (state[f"{name}.{part}.weight"][y] for part in ("gain", "bias"))
    return x * (1 + gain)[:, :, None, None] + bias[:, :, None, None]


def conv(state: Weights, name: str, x: Tensor) -> Tensor:
    weight = sharp(state, name)
    return F.conv2d(x, weight, state.get(f"{name}.bias"), padding=weight.shape[2] // 2)


def attended(state: Weights, name: str, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    theta = conv(state, f"{name}.theta", x).flatten(2)
    phi, g = (F.max_pool2d(conv(state, f"{name}.{part}", x), 2).flatten(2) for part in ("phi", "g"))
    beta = torch.softmax(torch.einsum("ncq,nck->nqk", theta, phi), dim=2)
    o = conv(state, f"{name}.o", torch.einsum("nck,nqk->ncq", g, beta).view(n, c // 2, h, w))
    return state[f"{name}.gamma"] * o + x


def evaluated(state: Weights, z: Tensor, label: Tensor, hierarchical: bool = True) -> Tensor:
    """Images by the program's formulas."""
    blocks = max(int(name.split(".")[1]) for name in state if name.startswith("blocks.")) + 1
    pieces = list(z.chunk(blocks + 1, dim=1)) if hierarchical else [z]
    y = state["shared.weight"][label] if "shared.weight" in state else label
    x = F.linear(pieces[0], sharp(state, "linear"), state["linear.bias"]).view(len(z), -1, 4, 4)
    for i in range(blocks):
        start, given = f"blocks.{i}.0", torch.cat([y, pieces[i + 1]], dim=1) if hierarchical else y
        h = F.interpolate(scaled(state, f"{start}.bn1", x, given).relu(), scale_factor=2)
        h = conv(state, f"{start}.conv1", h)
        h = conv(state, f"{start}.conv2", scaled(state, f"{start}.bn2", h, given).relu())
        x = h + conv(state, f"{start}.conv_sc", F.interpolate(x, scale_factor=2))
        if f"blocks.{i}.1.gamma" in state:
            x = attended(state, f"blocks.{i}.1", x)
    last = "output_layer.0"
    x = (x - state[f"{last}.stored_mean"][:, None, None]) / (state[f"{last}.stored_var"][:, None, None] + 1e-5).sqrt()
    x = x * state[f"{last}.gain"][:, None, None] + state[f"{last}.bias"][:, None, None]
    return conv(state, "output_layer.2", x.relu()).tanh()


def saved(state: Weights, folder: Path, name: str = "G_ema.pth") -> Path:
    torch.save(state, folder / name)
    return folder / name


@pytest.mark.parametrize(
    "sizes, hierarchical, embedding, attention",
    [
        ([32, 32, 16, 8, 4], True, 6, 1),  # 64 px
        ([64, 64, 32, 16, 8, 4], True, 6, 3),  # 128 px: attention at 64
        ([16, 16, 16, 16], False, None, None),  # 32 px, as CIFAR-10's
        ([16, 16, 16, 16], False, 6, 0),
    ],
)
def test_images_are_those_of_the_formulas(
    sizes: list[int], hierarchical: bool, embedding: int | None, attention: int | None, tmp_path: Path
) -> None:
    state = released(sizes, hierarchical=hierarchical, embedding=embedding, attention=attention)
    generator = read_weights(saved(state, tmp_path))
    size = 4 * 2 ** (len(sizes) - 1)
    assert generator.spec.shape == (3, size, size) and generator.spec.classes == 5
    assert generator.facts["system"] == "biggan" and "MIT" in generator.facts["licence"]
    label = torch.tensor([0, 4, 2])
    z = torch.randn(3, generator.latent.size)
    with torch.no_grad():
        expected = evaluated(state, z, label, hierarchical)
        found = generator(z, {"label": label})
    assert expected.std() > 0.05
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    generator.save(tmp_path / "generator")
    again = TrainedGenerator.load(tmp_path / "generator")
    assert torch.equal(again(z, {"label": label}), found)
    assert not torch.allclose(generator(generator.map(z, truncation=0.5), {"label": label}), found, atol=1e-3)


def test_sizes_are_read_from_the_shapes(tmp_path: Path) -> None:
    generator = read_weights(saved(released([32, 32, 16, 8, 4, 2], latent=17), tmp_path))
    settings = generator.facts["config"]
    # 17 components are 6 pieces of 2; the rest is not used, as in the program.
    assert [settings[name] for name in ("latent", "width", "embedding", "hierarchical", "attention")] == [
        12, 2, 6, True, 16,
    ]  # fmt: skip


def test_names_within_a_checkpoint_are_found(tmp_path: Path) -> None:
    plain, average = released([16] * 4, attention=None), released([16] * 4, attention=None)
    plain = {name: value + 1.0 for name, value in plain.items()}
    wrapped = {"G": plain, "G_ema": {f"module.{name}": value for name, value in average.items()}}
    torch.save(wrapped, tmp_path / "both.pth")
    generator = read_weights(tmp_path / "both.pth")
    z, label = torch.randn(2, 12), torch.tensor([0, 1])
    torch.testing.assert_close(generator(z, {"label": label}), evaluated(average, z, label), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"blocks.0.0.conv4.weight": torch.zeros(1)}, "BigGAN-deep"),
        ({"linear.u0": None}, "spectral normalisation"),
        ({"blocks.1.0.conv1.weight": torch.zeros(24, 16, 3, 3)}, "16, 16, 24, 16 channels"),
        ({"blocks.0.1.theta.weight": torch.zeros(2, 16, 1, 1)}, "self-attention at 2 resolutions"),
        ({"blocks.0.0.bn3.gain.weight": torch.zeros(1)}, "bn3"),
        ({"blocks.2.0.conv_sc.weight": None}, "do not make a network"),
        ({"output_layer.2.weight": torch.full((3, 16, 3, 3), math.nan)}, "not finite"),
    ],
)
def test_what_is_not_biggan_is_refused(change: dict[str, Tensor | None], complaint: str, tmp_path: Path) -> None:
    state = {name: value for name, value in (released([16] * 4) | change).items() if value is not None}
    with pytest.raises(BadFile, match=complaint):
        read_weights(saved(state, tmp_path))
