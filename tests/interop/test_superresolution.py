"""Weights of ESRGAN and Real-ESRGAN, in every layout that their files have: they make the images of the network."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

import zerosum
from tests.interop.files import difference, randomised, saved, written
from zerosum.core.errors import BadFile, BadOption
from zerosum.interop import read_weights
from zerosum.networks.rrdb import RRDBNet
from zerosum.training.translator import Translator

PARITY = Path(os.environ.get("ZEROSUM_PARITY", "."))
Weights = dict[str, Tensor]
NAMES = {
    "new": {"first": "conv_first", "dense": "body.{}.rdb{}.conv{}", "merge": "conv_body", "ups": "conv_up",
            "fine": "conv_hr", "image": "conv_last"},
    "middle": {"first": "conv_first", "dense": "RRDB_trunk.{}.RDB{}.conv{}", "merge": "trunk_conv", "ups": "upconv",
               "fine": "HRconv", "image": "conv_last"},
    "oldest": {"first": "model.0", "dense": "model.1.sub.{}.RDB{}.conv{}.0"},
}  # fmt: skip
LAYOUTS = pytest.mark.parametrize("layout", NAMES)


def rrdb_tensors(network: RRDBNet, layout: str) -> Weights:
    """The state of a network by the names of one of the three layouts."""
    names, ups, blocks = NAMES[layout], len(network.ups), len(network.blocks)
    numbers = {"merge": f"model.1.sub.{blocks}", "fine": f"model.{2 + 3 * ups}", "image": f"model.{4 + 3 * ups}"}
    found = {}
    for name, value in network.state_dict().items():
        module, _, leaf = name.rpartition(".")
        if match := re.fullmatch(r"blocks\.(\d+)\.dense\.(\d)\.convs\.(\d)", module):
            new = names["dense"].format(match[1], int(match[2]) + 1, int(match[3]) + 1)
        elif match := re.fullmatch(r"ups\.(\d)", module):
            new = f"{names['ups']}{int(match[1]) + 1}" if "ups" in names else f"model.{3 + 3 * int(match[1])}"
        else:
            new = (numbers | names)[module]
        found[f"{new}.{leaf}"] = value
    return found


def network(channels: int = 3, scale: int = 4, blocks: int = 2, unshuffle: int = 1) -> Any:
    torch.manual_seed(0)
    made = RRDBNet(channels, scale=scale, features=8, blocks=blocks, growth=4, unshuffle=unshuffle)
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, math.sqrt(1 / module.weight[0].numel()))
    return randomised(made)


def same_images(found: Any, wanted: nn.Module, channels: int, scale: int) -> None:
    """It is a translator from [-1, 1] to [-1, 1]; the network works from 0 to 1."""
    assert isinstance(found, Translator) and found.source[0] == channels and found.scale == scale
    source = torch.rand(2, channels, 13, 18, generator=torch.Generator().manual_seed(2)) * 2 - 1
    image = 2 * wanted((source + 1) / 2) - 1
    assert image.std() > 0.05 and image.shape[2:] == (13 * scale, 18 * scale)
    assert difference(found(torch.zeros(2, 0), {"source": source}), image) < 1e-4


@LAYOUTS
@pytest.mark.parametrize(
    ("channels", "scale", "blocks", "unshuffle"),
    [(3, 4, 2, 1), (1, 4, 1, 1), (3, 2, 1, 2), (3, 2, 12, 1), (3, 1, 1, 4), (1, 1, 1, 1), (3, 8, 1, 1)],
)
def test_every_scale_in_every_layout(
    layout: str, channels: int, scale: int, blocks: int, unshuffle: int, tmp_path: Path
) -> None:
    wanted = network(channels, scale, blocks, unshuffle)
    found = read_weights(written(tmp_path, saved(rrdb_tensors(wanted, layout)), "4x.pth"))
    system = "real_esrgan" if layout == "new" else "esrgan"
    assert found.facts["system"] == system and f"{blocks} blocks" in found.facts["source"]["layout"]
    same_images(found, wanted, channels, scale)
    found.save(tmp_path / "folder")
    same_images(zerosum.load(tmp_path / "folder"), wanted, channels, scale)
    other = "esrgan" if layout == "new" else "real_esrgan"
    same_images(read_weights(tmp_path / "4x.pth", other), wanted, channels, scale)


@LAYOUTS
def test_every_kind_of_file(layout: str, tmp_path: Path) -> None:
    wanted = network()
    tensors = rrdb_tensors(wanted, layout)
    plain = {name: torch.zeros_like(value) for name, value in tensors.items()}
    for content in (
        saved(tensors), saved(tensors, legacy=True), saved({f"module.{n}": value for n, value in tensors.items()}),
        saved({"params": plain, "params_ema": tensors}), saved({"params_ema": tensors}, legacy=True),
        saved({"params": tensors}), to_safetensors(tensors),
        saved({n: value.double() for n, value in tensors.items()}),
    ):  # fmt: skip
        same_images(read_weights(written(tmp_path, content)), wanted, 3, 4)
    half = read_weights(written(tmp_path, saved({n: value.half() for n, value in tensors.items()})))
    assert next(half.network.parameters()).dtype == torch.float32


@pytest.mark.skipif("ZEROSUM_PARITY" not in os.environ, reason="ZEROSUM_PARITY is not set")
@pytest.mark.parametrize(("name", "scale"), [("rrdbnet_x4", 4), ("rrdbnet_x2", 2)])
def test_images_are_those_of_the_reference(name: str, scale: int, tmp_path: Path) -> None:
    io = load_file(PARITY / f"{name}.io.safetensors")
    for system in (None, "esrgan", "real-esrgan"):
        found = zerosum.import_weights(PARITY / f"{name}.weights.safetensors", system)
        assert isinstance(found, Translator) and found.scale == scale
        made = found(torch.zeros(2, 0), {"source": 2 * io["low"] - 1})
        assert difference(made, 2 * io["high"] - 1) < 1e-4
    found.save(tmp_path / "folder")
    again = zerosum.load(tmp_path / "folder")
    assert torch.equal(again(torch.zeros(2, 0), {"source": 2 * io["low"] - 1}), made)


def test_images_of_any_size_are_enlarged(tmp_path: Path) -> None:
    wanted = network(3, 2, 1, 2)
    found: Any = read_weights(written(tmp_path, saved(rrdb_tensors(wanted, "new"))))
    pixels = np.random.default_rng(0).integers(0, 256, (34, 40, 3), dtype=np.uint8)
    [made] = found.translate(Image.fromarray(pixels))
    assert made.size == (80, 68) and made.mode == "RGB"
    whole = 255 * wanted(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255).clamp(0, 1)[0].permute(1, 2, 0)
    assert np.abs(np.asarray(made, dtype=np.float32) - whole.numpy()).max() < 0.6
    [see_through] = found.translate(Image.new("RGBA", (9, 7), (200, 100, 50, 128)))
    assert see_through.mode == "RGBA" and see_through.size == (18, 14)


def test_what_cannot_be_enlarged_alike(tmp_path: Path) -> None:
    tensors = rrdb_tensors(network(), "new")
    conv, first = torch.zeros(8, 8, 3, 3), "body.0.rdb1.conv1"
    for change, reason in (
        ({f"{first}x1.weight": torch.zeros(4, 8, 1, 1)}, "nothing that does what its body.0.rdb1.conv1x1.weight"),
        ({f"{first}.weight": torch.zeros(5, 8, 3, 3)}, r"has the shape \(4,\) instead of \(5,\)"),
        ({"conv_up2.weight": torch.zeros(32, 8, 3, 3)}, r"ups.1.weight has the shape"),
        ({"conv_up2.weight": None, "conv_up2.bias": None, "conv_up3.weight": conv}, "ups.1.weight is missing"),
        ({"conv_first.weight": None}, "no RRDBNet"), ({"conv_last.weight": torch.zeros(())}, "do not make a network"),
        ({"conv_last.weight": torch.zeros(2, 8, 3, 3)}, "of 2 channels of 3"),
        ({"conv_body.bias": torch.full((8,), math.nan)}, "not finite"),
    ):  # fmt: skip
        changed = {name: value for name, value in (tensors | change).items() if value is not None}
        with pytest.raises(BadFile, match=reason):
            read_weights(written(tmp_path, saved(changed)))
    with pytest.raises(BadFile, match="enlarges images of 4 channels"):
        read_weights(written(tmp_path, saved(rrdb_tensors(network(4), "oldest"))))


def test_networks_beside_the_generators(tmp_path: Path) -> None:
    spectral = {"conv0.weight": torch.zeros(8, 3, 3, 3), "conv1.weight_orig": torch.zeros(16, 8, 4, 4)}
    small = {"body.0.weight": torch.zeros(8, 3, 3, 3), "body.2.weight": torch.zeros(48, 8, 3, 3)}
    strided = {"conv0_0.weight": torch.zeros(8, 3, 3, 3), "bn0_1.weight": torch.zeros(8)}
    for tensors, reason in (
        (spectral, "the discriminator of Real-ESRGAN"), (small, "small networks have PReLU"), (strided, "of ESRGAN"),
    ):  # fmt: skip
        with pytest.raises(BadFile, match=f"holds no generator, which alone can be imported, but .*{reason}"):
            read_weights(written(tmp_path, saved({"params": tensors})))


def compact(channels: int = 3, scale: int = 4, layers: int = 2, features: int = 8) -> nn.Sequential:
    """The trunk of Real-ESRGAN's small network, as its authors number the layers."""
    torch.manual_seed(0)
    made: list[nn.Module] = [nn.Conv2d(channels, features, 3, 1, 1), nn.PReLU(features)]
    for _ in range(layers):
        made += [nn.Conv2d(features, features, 3, 1, 1), nn.PReLU(features)]
    network = nn.Sequential(*made, nn.Conv2d(features, channels * scale**2, 3, 1, 1))
    for module in network.modules():
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, -0.5, 0.5)
    randomised(network)
    return network


class Repeated(nn.Module):
    """Every pixel repeated, and the trunk's, put in their places, added."""

    def __init__(self, trunk: nn.Sequential, scale: int):
        super().__init__()
        self.trunk, self.scale = trunk, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        base = x.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        return nn.PixelShuffle(self.scale)(self.trunk(x)) + base


@pytest.mark.parametrize(("channels", "scale", "layers"), [(3, 4, 2), (3, 2, 1), (1, 3, 0), (3, 1, 12)])
def test_small_networks(channels: int, scale: int, layers: int, tmp_path: Path) -> None:
    trunk = compact(channels, scale, layers)
    wanted = Repeated(trunk, scale)
    tensors = {f"body.{name}": value for name, value in trunk.state_dict().items()}
    for system, content in (
        (None, saved({"params": tensors})), ("real_esrgan", saved(tensors, legacy=True)),
        (None, to_safetensors(tensors)),
        (None, saved({"params": {n: torch.zeros_like(v) for n, v in tensors.items()}, "params_ema": tensors})),
        (None, saved({f"module.{name}": value for name, value in tensors.items()})),
    ):  # fmt: skip
        found = read_weights(written(tmp_path, content, "small.pth"), system)
        assert found.facts["system"] == "real_esrgan" and "SRVGGNetCompact" in found.facts["source"]["layout"]
        assert found.facts["config"]["compact"] == layers and found.facts["config"]["scale"] == scale
        source = torch.rand(2, channels, 13, 18, generator=torch.Generator().manual_seed(2)) * 2 - 1
        assert difference(found(torch.zeros(2, 0), {"source": source}), 2 * wanted((source + 1) / 2) - 1) < 1e-4
    found.save(tmp_path / "folder")
    assert zerosum.load(tmp_path / "folder").network.state_dict().keys() == found.network.state_dict().keys()
    with pytest.raises(BadOption, match="looks like real_esrgan"):
        read_weights(written(tmp_path, saved(tensors)), "esrgan")


def test_what_a_small_network_cannot_be(tmp_path: Path) -> None:
    tensors = {f"body.{name}": value for name, value in compact().state_dict().items()}
    for change, reason in (
        ({"body.6.weight": torch.zeros(20, 8, 3, 3), "body.6.bias": torch.zeros(20)}, "20 channels, no square times"),
        ({"body.3.weight": torch.zeros(1)}, r"activations.1.weight has the shape \(1,\)"),
        ({"body.2.weight": None}, "convs.1.weight is missing"), ({"tail.weight": torch.zeros(3)}, "nothing that does"),
        ({"body.6.weight": None, "body.6.bias": None}, "no SRVGGNetCompact"),
        ({"body.0.bias": torch.full((8,), math.inf)}, "not finite"),
        ({"body.900.weight": torch.zeros(48, 8, 3, 3)}, "is missing"),
    ):  # fmt: skip
        changed = {name: value for name, value in (tensors | change).items() if value is not None}
        with pytest.raises(BadFile, match=reason):
            read_weights(written(tmp_path, saved(changed)))
    wide = {f"body.{name}": value for name, value in compact(channels=2).state_dict().items()}
    with pytest.raises(BadFile, match="images of 2 channels"):
        read_weights(written(tmp_path, saved(wide)))
