"""The networks against stored outputs of the reference implementations, by the names that imported weights have."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from zerosum.interop import r3gan, read_weights, stylegan2
from zerosum.interop.weights import renamed
from zerosum.networks import resnext
from zerosum.networks.stylegan2 import Discriminator

FOLDER = Path(os.environ.get("ZEROSUM_PARITY", "."))
TOLERANCE = 1e-4

pytestmark = pytest.mark.skipif("ZEROSUM_PARITY" not in os.environ, reason="ZEROSUM_PARITY is not set")
GENERATORS = ["stylegan2_g", "stylegan2_g_cond", "stylegan3_t_g", "stylegan3_r_g", "r3gan_g", "r3gan_g_cond"]
DISCRIMINATORS = ["stylegan2_d", "stylegan2_d_cond", "r3gan_d", "r3gan_d_cond"]


def outputs(name: str) -> tuple[dict[str, Tensor], Tensor | None]:
    """Stored inputs and outputs, and the labels among them."""
    io = load_file(FOLDER / f"{name}.io.safetensors")
    return io, io.get("c", io.get("y"))


def assert_close(given: Tensor, wanted: Tensor) -> None:
    """The largest difference is small beside the largest value."""
    assert given.shape == wanted.shape
    assert float((given - wanted).detach().abs().max()) <= TOLERANCE * float(wanted.abs().max())


@pytest.mark.parametrize("name", GENERATORS)
def test_generators(name: str) -> None:
    generator = read_weights(FOLDER / f"{name}.weights.safetensors")
    io, label = outputs(name)
    given = None if label is None else {"label": label}
    assert_close(generator(io["z"], given), io["image"])
    if name.startswith("stylegan"):
        assert_close(generator.map(io["z"], given), io["w"])
        assert_close(generator.map(io["z"], given, 0.5), io["w_truncated"])
        assert_close(generator.synthesise(io["w"]), io["image"])
        assert_close(generator(io["z"], given, truncation=0.5), io["image_truncated"])
    assert set(io) <= {"z", "c", "y", "image", "w", "w_truncated", "image_truncated"}


def discriminator(name: str) -> nn.Module:
    """The network with the stored weights."""
    with safe_open(FOLDER / f"{name}.weights.safetensors", "pt") as file:
        stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if name.startswith("stylegan2"):
        classes = stored["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in stored else 0
        network: nn.Module = Discriminator((3, 32, 32), classes=classes, base=512, most=32)
        tensors = renamed(stored, lambda key: stylegan2.discriminator_name(key, 32))
    else:
        last = max(int(match[1]) for key in stored if (match := re.match(r"MainLayers\.(\d+)", key)))
        embed = stored.get("EmbeddingLayer.weight", torch.zeros(1, 0))
        stages = resnext.Stages((64, 64, 32), (8, 8, 4), (2, 2, 2))
        network = resnext.Discriminator((3, 16, 16), stages, classes=embed.shape[1], embedding=embed.shape[0])
        tensors = renamed(stored, lambda key: r3gan.discriminator_name(key, last))
    network.load_state_dict(tensors)
    return network.eval()


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminators(name: str) -> None:
    D, (io, label) = discriminator(name), outputs(name)
    image = io["image" if "image" in io else "x"].requires_grad_()
    logits = D(image, label)
    assert_close(logits, io["logits"].flatten())
    (gradient,) = torch.autograd.grad(logits.sum(), image)
    assert_close(gradient.square().sum((1, 2, 3)), io["r1"])


def test_every_reference_of_these_systems_is_compared() -> None:
    stored = {path.name.removesuffix(".io.safetensors") for path in FOLDER.glob("*.io.safetensors")}
    of_these = {name for name in stored if name.startswith(("stylegan", "r3gan"))}
    assert of_these == {*GENERATORS, *DISCRIMINATORS}
