"""Networks of translation and super-resolution against stored outputs of the reference implementations, and built from
the names and shapes of state dicts alone, in every layout that files have.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadFile
from zerosum.interop.weights import renamed
from zerosum.networks import patch, rrdb, srdiscriminator, translator, unet
from zerosum.networks.translator import InstanceNorm

FOLDER = Path(os.environ.get("ZEROSUM_PARITY", "."))
TOLERANCE = 1e-4
CASES: dict[str, tuple[ModuleType, type[nn.Module], dict[str, Any]]] = {
    "cyclegan_resnet_g": (translator, translator.ResNet, {"blocks": 3, "norm": InstanceNorm, "antialias": False}),
    "pix2pix_unet_g": (unet, unet.UNet, {"depth": 5, "norm": nn.BatchNorm2d, "bias": False}),
    "patchgan_d": (patch, patch.Patch, {"layers": 3, "width": 8, "channels": 3, "antialias": False}),
    "rrdbnet_x4": (rrdb, rrdb.RRDBNet, {"scale": 4, "unshuffle": 1, "features": 16, "blocks": 2, "growth": 8}),
    "rrdbnet_x2": (rrdb, rrdb.RRDBNet, {"scale": 2, "unshuffle": 2, "channels": 3}),
}
NORMS = [InstanceNorm, nn.BatchNorm2d, nn.Identity]

needs_references = pytest.mark.skipif("ZEROSUM_PARITY" not in os.environ, reason="ZEROSUM_PARITY is not set")


def built(module: ModuleType, network: type[nn.Module], stored: dict[str, Tensor]) -> nn.Module:
    """The network that a state dict is of, with its weights; everything but the state dict is found out."""
    made = network(**module.reference_arguments(stored))
    made.load_state_dict(renamed(stored, module.reference_names(stored).get))
    return made.eval()


@needs_references
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@torch.no_grad()
def test_outputs_are_those_of_the_reference(name: str, memory_format: torch.memory_format) -> None:
    module, network, arguments = CASES[name]
    stored, io = (load_file(FOLDER / f"{name}.{part}.safetensors") for part in ("weights", "io"))
    found = module.reference_arguments(stored)
    assert found | arguments == found
    given, wanted = (io["low"], io["high"]) if "low" in io else (io["x"], io["logits"] if "logits" in io else io["y"])
    made = built(module, network, stored).to(memory_format=memory_format)(given.to(memory_format=memory_format))
    assert len(io) == 2 and made.shape == wanted.shape
    assert float((made - wanted).abs().max()) <= TOLERANCE * float(wanted.abs().max())


@needs_references
def test_every_reference_of_these_systems_is_compared() -> None:
    stored = {path.name.removesuffix(".io.safetensors") for path in FOLDER.glob("*.io.safetensors")}
    of_these = {name for name in stored if name.startswith(("cyclegan", "pix2pix", "patchgan", "rrdbnet"))}
    assert of_these == set(CASES)


class Layout:
    """State dicts in the authors' layouts, written down place by place, with random numbers."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.Identity):
        self.tensors, self.norm_kind = dict[str, Tensor](), norm

    def conv(self, name: str, *shape: int, bias: bool | None = None, outputs: int = 0) -> None:
        self.tensors[f"{name}.weight"] = 0.1 * torch.randn(shape)
        if self.norm_kind is InstanceNorm if bias is None else bias:
            self.tensors[f"{name}.bias"] = torch.randn(shape[outputs])

    def norm(self, name: str, channels: int) -> None:
        if self.norm_kind is nn.BatchNorm2d:
            state = nn.BatchNorm2d(channels).state_dict()
            self.tensors |= {f"{name}.{leaf}": value for leaf, value in state.items()}

    def old_statistics(self) -> None:
        """What versions of PyTorch before 0.4 kept of instance norms, beside what DataParallel does to names."""
        for name in [name for name in self.tensors if re.search(r"[147]\.weight$", name)]:
            module, _, place = name.removesuffix(".weight").rpartition(".")
            for leaf in translator.STATISTICS:
                self.tensors[f"{module}.{int(place) + 1}.{leaf}"] = torch.randn(3)
        self.tensors = {f"module.{name}": value for name, value in self.tensors.items()}


def resnet(width: int, blocks: int, norm: Any, dropout: bool, antialias: bool) -> dict[str, Tensor]:
    layout, place = Layout(norm), 4
    layout.conv("model.1", width, 2, 7, 7)
    layout.norm("model.2", width)
    for wide in (2 * width, 4 * width):
        layout.conv(f"model.{place}", wide, wide // 2, 3, 3)
        layout.norm(f"model.{place + 1}", wide)
        if antialias:
            layout.conv(f"model.{place + 3}", wide, 1, 3, 3, bias=False)
            layout.tensors[f"model.{place + 3}.filt"] = layout.tensors.pop(f"model.{place + 3}.weight")
        place += 4 if antialias else 3
    for _ in range(blocks):
        for inside in (1, 6 if dropout else 5):
            layout.conv(f"model.{place}.conv_block.{inside}", 4 * width, 4 * width, 3, 3)
            layout.norm(f"model.{place}.conv_block.{inside + 1}", 4 * width)
        place += 1
    for wide in (4 * width, 2 * width):
        if antialias:
            layout.tensors[f"model.{place}.filt"] = torch.ones(wide, 1, 4, 4)
            layout.conv(f"model.{place + 1}", wide // 2, wide, 3, 3)
        else:
            layout.conv(f"model.{place}", wide, wide // 2, 3, 3, outputs=1)
        place += 2 if antialias else 1
        layout.norm(f"model.{place}", wide // 2)
        place += 2
    layout.conv(f"model.{place + 1}", 5, width, 7, 7, bias=True)
    return layout.tensors


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dropout", [False, True], ids=["", "dropout"])
@pytest.mark.parametrize("antialias", [False, True], ids=["", "filters"])
@pytest.mark.parametrize("width, blocks", [(3, 1), (2, 6), (1, 9)])
def test_resnets_of_files(norm: Any, dropout: bool, antialias: bool, width: int, blocks: int) -> None:
    torch.manual_seed(0)
    stored = resnet(width, blocks, norm, dropout, antialias)
    found = translator.reference_arguments(stored, (20, 24))
    assert found == {
        "source": (2, 20, 24), "shape": (5, 20, 24), "width": width, "blocks": blocks, "norm": norm,
        "dropout": dropout, "antialias": antialias, "bias": norm is InstanceNorm,
    }  # fmt: skip
    G = built(translator, translator.ResNet, stored)
    assert G(torch.randn(1, 2, 20, 24)).shape == (1, 5, 20, 24)
    last = f"model.{len(G.layers) - 2}.weight"
    assert torch.equal(G.layers[-2].weight, stored.pop(last))
    with pytest.raises(BadFile, match="it lacks layer 1 or"):
        translator.reference_arguments(stored)


def test_files_of_old_versions_and_of_several_devices() -> None:
    torch.manual_seed(0)
    layout, x = Layout(), torch.randn(2, 2, 20, 24)
    layout.tensors = resnet(2, 2, InstanceNorm, False, False)
    wanted = built(translator, translator.ResNet, layout.tensors)(x)
    layout.old_statistics()
    names = translator.reference_names(layout.tensors)
    assert names["module.model.2.running_mean"] == "" == names["module.model.10.conv_block.2.num_batches_tracked"]
    torch.testing.assert_close(built(translator, translator.ResNet, layout.tensors)(x), wanted)


def test_filters_in_half_of_the_network_are_refused() -> None:
    stored = resnet(2, 2, InstanceNorm, False, True)
    del stored["model.14.filt"]
    with pytest.raises(BadFile, match=r"filters are layers \[7, 11, 18\]"):
        translator.reference_arguments(stored)
    with pytest.raises(BadFile, match=r"residual blocks are layers \[\]"):
        translator.reference_arguments({})
    assert set(translator.reference_names({"model.10.conv_block.9.weight": torch.ones(1)}).values()) == {None}


def nested(width: int, depth: int, norm: Any) -> dict[str, Tensor]:
    layout, start = Layout(norm), "model.model"
    layout.conv(f"{start}.0", width, 2, 4, 4)
    layout.conv(f"{start}.3", 2 * width, 5, 4, 4, bias=True, outputs=1)
    start += ".1.model"
    for level in range(1, depth):
        outer, inner = (width * min(2**i, 8) for i in (level - 1, level))
        layout.conv(f"{start}.1", inner, outer, 4, 4)
        if level < depth - 1:
            layout.norm(f"{start}.2", inner)
            layout.conv(f"{start}.5", 2 * inner, outer, 4, 4, outputs=1)
            layout.norm(f"{start}.6", outer)
            start += ".3.model"
        else:
            layout.conv(f"{start}.3", inner, outer, 4, 4, outputs=1)
            layout.norm(f"{start}.4", outer)
    return layout.tensors


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("width, depth", [(3, 2), (2, 5), (1, 8)])
def test_u_nets_of_files(norm: Any, width: int, depth: int) -> None:
    torch.manual_seed(0)
    stored = nested(width, depth, norm)
    found = unet.reference_arguments(stored, (20, 24))
    assert found == {
        "source": (2, 20, 24), "shape": (5, 20, 24), "width": width, "depth": depth, "norm": norm,
        "bias": norm is InstanceNorm,
    }  # fmt: skip
    G = built(unet, unet.UNet, {f"module.{name}": value for name, value in stored.items()})
    assert G(torch.randn(1, 2, 20, 24)).shape == (1, 5, 20, 24)
    innermost = "model.model.1.model" + ".3.model" * (depth - 2)
    assert torch.equal(G.up[-1].conv.weight, stored[f"{innermost}.3.weight"])
    del stored[f"{innermost}.3.weight"]
    with pytest.raises(BadFile, match=re.escape(f"it lacks {innermost}.3.weight")):
        unet.reference_arguments(stored)


def sequence(width: int, layers: int, norm: Any, antialias: bool) -> dict[str, Tensor]:
    layout, place, before = Layout(norm), 0, 2
    for i in range(layers + 1):
        after = width * min(2**i, 8)
        layout.conv(f"model.{place}", after, before, 4, 4, bias=None if i else True)
        if i:
            layout.norm(f"model.{place + 1}", after)
        place += 3 if i else 2
        if antialias and i < layers:
            layout.tensors[f"model.{place}.filt"] = torch.ones(after, 1, 3, 3)
            place += 1
        before = after
    layout.conv(f"model.{place}", 1, before, 4, 4, bias=True)
    return layout.tensors


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("antialias", [False, True], ids=["", "filters"])
@pytest.mark.parametrize("width, layers", [(3, 1), (2, 3), (1, 5)])
def test_patch_discriminators_of_files(norm: Any, antialias: bool, width: int, layers: int) -> None:
    torch.manual_seed(0)
    stored = sequence(width, layers, norm, antialias)
    bias = norm is InstanceNorm
    found = {"channels": 2, "width": width, "layers": layers, "norm": norm, "antialias": antialias, "bias": bias}
    assert patch.reference_arguments(stored) == found
    D = built(patch, patch.Patch, stored)
    assert D(torch.randn(1, 2, D.smallest, D.smallest)).shape == (1, 1, 1, 1)
    assert torch.equal(D.head.weight, list(stored.values())[-2])
    del stored["model.0.weight"]
    with pytest.raises(BadFile, match="stand in other places"):
        patch.reference_arguments(stored)


@pytest.mark.parametrize("norm", NORMS)
def test_pixel_discriminators_of_files(norm: Any) -> None:
    layout = Layout(norm)
    layout.conv("net.0", 3, 2, 1, 1, bias=True)
    layout.conv("net.2", 6, 3, 1, 1)
    layout.norm("net.3", 6)
    layout.conv("net.5", 1, 6, 1, 1)
    wanted = {"channels": 2, "width": 3, "norm": norm, "bias": norm is InstanceNorm}
    assert patch.reference_arguments(layout.tensors) == wanted
    assert built(patch, patch.Pixel, layout.tensors)(torch.randn(2, 2, 5, 7)).shape == (2, 1, 5, 7)


NEW = {"first": "conv_first", "dense": "body.{}.rdb{}.conv{}", "merge": "conv_body", "up": "conv_up{}"}
NEW |= {"fine": "conv_hr", "image": "conv_last"}
MIDDLE = {"first": "conv_first", "dense": "RRDB_trunk.{}.RDB{}.conv{}", "merge": "trunk_conv", "up": "upconv{}"}
MIDDLE |= {"fine": "HRconv", "image": "conv_last"}


def oldest(blocks: int, ups: int) -> dict[str, str]:
    """After the trunk an enlargement, a convolution, an activation, and so on; then a convolution, an activation."""
    numbers = {"fine": 2 + 3 * ups, "image": 4 + 3 * ups}
    names = {"first": "model.0", "dense": "model.1.sub.{}.RDB{}.conv{}.0", "merge": f"model.1.sub.{blocks}"}
    return names | {"up": ""} | {name: f"model.{number}" for name, number in numbers.items()}


def super_resolution(names: dict[str, str], channels: int, unshuffle: int, blocks: int, ups: int) -> dict[str, Tensor]:
    """Random numbers of 6 features and 3 more from each convolution: the same ones in every layout."""
    torch.manual_seed(0)
    layout = Layout()
    layout.conv(names["first"], 6, channels * unshuffle**2, 3, 3, bias=True)
    for block in range(blocks):
        for dense in (1, 2, 3):
            for conv in range(1, 6):
                name = names["dense"].format(block, dense, conv)
                layout.conv(name, 6 if conv == 5 else 3, 3 + 3 * conv, 3, 3, bias=True)
    layout.conv(names["merge"], 6, 6, 3, 3, bias=True)
    for up in range(ups):
        layout.conv(names["up"].format(up + 1) or f"model.{3 * up + 3}", 6, 6, 3, 3, bias=True)
    layout.conv(names["fine"], 6, 6, 3, 3, bias=True)
    layout.conv(names["image"], channels, 6, 3, 3, bias=True)
    return layout.tensors


SCALES = [(3, 1, 2, 2), (3, 2, 1, 2), (1, 4, 1, 2), (3, 1, 1, 1), (4, 1, 1, 0), (1, 1, 12, 3)]


@pytest.mark.parametrize("channels, unshuffle, blocks, ups", SCALES)
def test_super_resolution_of_files_in_three_layouts(channels: int, unshuffle: int, blocks: int, ups: int) -> None:
    x, made = torch.randn(1, channels, 5, 8), list[Tensor]()
    for names in (NEW, MIDDLE, oldest(blocks, ups)):
        stored = super_resolution(names, channels, unshuffle, blocks, ups)
        assert rrdb.reference_arguments(stored) == {
            "channels": channels, "scale": 2**ups // unshuffle, "features": 6, "blocks": blocks, "growth": 3,
            "unshuffle": unshuffle,
        }  # fmt: skip
        made.append(built(rrdb, rrdb.RRDBNet, {f"module.{name}": value for name, value in stored.items()})(x))
    assert made[0].shape[2:] == (5 * 2**ups // unshuffle, 8 * 2**ups // unshuffle)
    assert all(torch.equal(made[0], other) for other in made)


def test_files_of_other_networks_are_refused() -> None:
    stored = super_resolution(NEW, 3, 1, 1, 2)
    assert rrdb.reference_names({"body.0.rdb1.conv1x1.weight": torch.ones(1)}) == {"body.0.rdb1.conv1x1.weight": None}
    with pytest.raises(BadFile, match="images of 3 channels of 6"):
        rrdb.reference_arguments(stored | {"conv_first.weight": torch.ones(6, 6, 3, 3)})
    with pytest.raises(BadFile, match="divides them by 4 and doubles them 1 times"):
        rrdb.reference_arguments(super_resolution(MIDDLE, 3, 4, 1, 1))
    with pytest.raises(BadFile, match="no RRDBNet"):
        rrdb.reference_arguments(resnet(2, 2, InstanceNorm, False, False))
    with pytest.raises(BadFile, match="no discriminator of Real-ESRGAN"):
        srdiscriminator.reference_arguments(stored)


def test_discriminators_of_real_esrgan() -> None:
    """The names and the arithmetic are those of PyTorch's own spectral norm, which the authors use."""
    torch.manual_seed(0)
    sizes = [(2, 3, 3), (3, 6, 4), (6, 12, 4), (12, 24, 4), (24, 12, 3), (12, 6, 3), (6, 3, 3), (3, 3, 3), (3, 3, 3)]
    convs = nn.ModuleDict()
    for i, (before, after, kernel) in enumerate([*sizes, (3, 1, 3)]):
        conv = nn.Conv2d(before, after, kernel, 2 if kernel == 4 else 1, 1, bias=i in (0, 9))
        convs[f"conv{i}"] = conv if i in (0, 9) else nn.utils.spectral_norm(conv)
    x = torch.randn(2, 2, 16, 24)
    convs.eval()
    kept, y = list[Tensor](), x
    for i in range(10):
        y = F.interpolate(y, scale_factor=2, mode="bilinear") if i in (4, 5, 6) else y
        y = F.leaky_relu(convs[f"conv{i}"](y), 0.2) if i < 9 else convs["conv9"](y)
        y = y + kept.pop() if i in (4, 5, 6) else y
        kept += [y] if i < 3 else []
    assert srdiscriminator.reference_arguments(convs.state_dict()) == {"channels": 2, "width": 3}
    torch.testing.assert_close(built(srdiscriminator, srdiscriminator.UNet, convs.state_dict())(x), y)
