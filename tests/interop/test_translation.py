"""Weights of networks that translate: files written from a network make that network's images again."""

from __future__ import annotations

import itertools
import json
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
from tests.cli.conftest import call
from tests.interop.files import difference, randomised, saved, written
from tests.interop.test_hostile import Call
from tests.interop.test_superresolution import rrdb_tensors
from zerosum.core import discovery
from zerosum.core.errors import BadFile, BadOption
from zerosum.interop import read_weights
from zerosum.networks.patch import Patch
from zerosum.networks.rrdb import RRDBNet
from zerosum.networks.translator import Double, Halve, InstanceNorm, ResNet
from zerosum.networks.unet import UNet
from zerosum.training.translator import Translator

PARITY = Path(os.environ.get("ZEROSUM_PARITY", "."))
Weights = dict[str, Tensor]
needs_references = pytest.mark.skipif("ZEROSUM_PARITY" not in os.environ, reason="ZEROSUM_PARITY is not set")


def taps(*values: float) -> Tensor:
    line = torch.tensor(values)
    return torch.outer(line, line) / line.sum() ** 2


def resnet_tensors(network: ResNet) -> Weights:
    """The state of a residual network by its authors' names, with the filters that CUT's files hold."""
    dropout = any(isinstance(module, nn.Dropout) for module in network.modules())
    parts = {"conv1": 1, "norm1": 2, "conv2": 6 if dropout else 5, "norm2": 7 if dropout else 6}
    found = {}
    for name, value in network.state_dict().items():
        name = re.sub("conv1|norm1|conv2|norm2", lambda m: f"conv_block.{parts[m[0]]}", name)
        found[name.replace("layers", "model")] = value
    for number, layer in enumerate(network.layers):
        if isinstance(layer, Halve | Double):
            filt = taps(1, 2, 1) if isinstance(layer, Halve) else 4 * taps(1, 3, 3, 1)
            found[f"model.{number}.filt"] = filt.repeat(5, 1, 1, 1)
    return found


def unet_tensors(network: UNet) -> Weights:
    """The state of a U-Net by its authors' names: each block is the fourth part of the one around it."""
    found = {}
    for name, value in network.state_dict().items():
        half, level, part, leaf = name.split(".")
        depth, deepest = int(level), int(level) == len(network.down) - 1
        if not depth:
            place = {"down.conv": 0, "up.conv": 3}[f"{half}.{part}"]
        else:
            places = {"down.conv": 1, "down.norm": 2} | (
                {"up.conv": 3, "up.norm": 4} if deepest else {"up.conv": 5, "up.norm": 6}
            )
            place = places[f"{half}.{part}"]
        block = "model.model" + (".1.model" + ".3.model" * (depth - 1) if depth else "")
        found[f"{block}.{place}.{leaf}"] = value
    return found


def trained(network: nn.Module) -> Any:
    """With the statistics and the gains that training would have left."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.0, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            module.num_batches_tracked.fill_(7)  # type: ignore[union-attr]
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, (2 / module.weight[0].numel()) ** 0.5)
    return randomised(network)


def same_images(found: Any, network: nn.Module, given: int, size: tuple[int, int] = (37, 50)) -> None:
    """It is a translator that makes the network's images of any size, and so is what it is saved as."""
    assert isinstance(found, Translator) and found.source[0] == given and found.scale == 1
    x = torch.rand(2, given, *size, generator=torch.Generator().manual_seed(2)) * 2 - 1
    wanted = network(x)
    assert wanted.std() > 0.05
    assert difference(found(torch.zeros(2, 0), {"source": x}), wanted) < 1e-4


def instance(channels: int) -> Any:
    return InstanceNorm(channels)


SIZES: list[tuple[int, int, int, int]] = [(3, 3, 4, 6), (1, 3, 3, 9), (4, 1, 2, 1), (3, 4, 5, 2)]
"""Channels given and made, width, and blocks or (from 2 on) halvings."""
KINDS: dict[str, tuple[Any, bool]] = {
    "batch": (nn.BatchNorm2d, False), "instance": (InstanceNorm, True), "none": (nn.Identity, False),
}  # fmt: skip


@pytest.mark.parametrize("norm", KINDS)
@pytest.mark.parametrize(("given", "made", "width", "blocks"), SIZES)
def test_residual_networks(norm: str, given: int, made: int, width: int, blocks: int, tmp_path: Path) -> None:
    kind, bias = KINDS[norm]
    for dropout in (False, True):
        network = trained(
            ResNet((given, 8, 8), (made, 8, 8), width=width, blocks=blocks, norm=kind, bias=bias, dropout=dropout)
        )
        file = written(tmp_path, saved(resnet_tensors(network)), "latest_net_G_A.pth")
        found = read_weights(file)
        assert found.facts["system"] == ("cyclegan" if norm == "instance" else "pix2pix")
        assert f"{blocks} residual blocks" in found.facts["source"]["layout"]
        same_images(found, network, given)
        same_images(read_weights(file, "pix2pix"), network, given)


@pytest.mark.parametrize(("given", "made", "width", "blocks"), SIZES)
def test_networks_with_filters(given: int, made: int, width: int, blocks: int, tmp_path: Path) -> None:
    network = trained(ResNet((given, 8, 8), (given, 8, 8), width=width, blocks=blocks, antialias=True))
    found = read_weights(written(tmp_path, saved(resnet_tensors(network))))
    assert found.facts["system"] == "cut" and found.facts["config"]["antialias"]
    same_images(found, network, given)


@pytest.mark.parametrize("norm", KINDS)
@pytest.mark.parametrize(("given", "made", "width", "depth"), [*SIZES[:2], (4, 1, 2, 2), (3, 3, 1, 8), (1, 1, 2, 7)])
def test_u_nets(norm: str, given: int, made: int, width: int, depth: int, tmp_path: Path) -> None:
    kind, bias = KINDS[norm]
    network = trained(UNet((given, 8, 8), (made, 8, 8), width=width, depth=depth, norm=kind, bias=bias))
    found = read_weights(written(tmp_path, saved(unet_tensors(network))))
    assert found.facts["system"] == "pix2pix" and found.spec.shape[1] == max(2**depth, 8)
    assert found.facts["source"]["layout"].startswith(f"a U-Net of {depth} halvings with {norm.replace('none', 'no')}")
    same_images(found, network, given)


def test_every_kind_of_file(tmp_path: Path) -> None:
    network = trained(ResNet((3, 8, 8), (3, 8, 8), width=4, blocks=2))
    tensors = resnet_tensors(network)
    parallel = {f"module.{name}": value for name, value in tensors.items()}
    for content in (
        saved(tensors), saved(tensors, legacy=True), saved(parallel), saved(parallel, legacy=True),
        to_safetensors({name: value.contiguous() for name, value in tensors.items()}),
        saved({"state_dict": {f"netG.{name}": value for name, value in tensors.items()}, "epoch": 200}),
        saved({name: nn.Parameter(value) for name, value in tensors.items()}),
    ):  # fmt: skip
        same_images(read_weights(written(tmp_path, content)), network, 3)


def test_files_of_versions_before_0_4_1(tmp_path: Path) -> None:
    """Batch norms did not count batches then, and instance norms kept statistics that nobody used."""
    batch = trained(UNet((3, 8, 8), (3, 8, 8), width=2, depth=5, bias=False))
    tensors = {n: value for n, value in unet_tensors(batch).items() if not n.endswith("num_batches_tracked")}
    same_images(read_weights(written(tmp_path, saved(tensors, legacy=True))), batch, 3)
    network = trained(ResNet((3, 8, 8), (3, 8, 8), width=2, blocks=2))
    tensors = resnet_tensors(network)
    for place, wide in (("2", 2), ("5", 4), ("10.conv_block.2", 8), ("11.conv_block.6", 8), ("17", 2)):
        tensors |= {f"model.{place}.running_mean": torch.ones(wide), f"model.{place}.running_var": torch.ones(wide)}
    found = read_weights(written(tmp_path, saved(tensors, legacy=True)))
    assert found.facts["system"] == "cyclegan"
    same_images(found, network, 3)


def test_a_saved_import_is_the_same_again(tmp_path: Path) -> None:
    networks = (
        (trained(ResNet((1, 8, 8), (3, 8, 8), width=2, blocks=2)), resnet_tensors),
        (trained(ResNet((1, 8, 8), (1, 8, 8), width=2, blocks=1, antialias=True)), resnet_tensors),
        (trained(UNet((1, 8, 8), (3, 8, 8), width=2, depth=4, norm=instance)), unet_tensors),
        (trained(ResNet((1, 8, 8), (3, 8, 8), width=2, blocks=2, norm=nn.BatchNorm2d)), resnet_tensors),
    )
    for number, (network, named) in enumerate(networks):
        found: Any = zerosum.import_weights(written(tmp_path, saved(named(network))))
        found.save(tmp_path / f"folder {number}")
        again: Any = zerosum.load(tmp_path / f"folder {number}")
        same_images(again, network, 1)
        assert again.facts["source"]["layout"] == found.facts["source"]["layout"]
        assert "BSD" in (tmp_path / f"folder {number}" / "README.md").read_text()
        photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (45, 61, 3), dtype=np.uint8))
        [made] = again.translate(photo)
        assert made.size == photo.size and made.mode == ("L" if number == 1 else "RGB")
        assert np.array_equal(np.asarray(made), np.asarray(found.translate(photo)[0]))


@needs_references
@pytest.mark.parametrize(("name", "system"), [("cyclegan_resnet_g", "cyclegan"), ("pix2pix_unet_g", "pix2pix")])
def test_images_are_those_of_the_reference(name: str, system: str, tmp_path: Path) -> None:
    io = load_file(PARITY / f"{name}.io.safetensors")
    found = zerosum.import_weights(PARITY / f"{name}.weights.safetensors")
    assert found.facts["system"] == system
    found.save(tmp_path / "folder")
    for generator in (found, zerosum.load(tmp_path / "folder")):
        assert difference(generator(torch.zeros(2, 0), {"source": io["x"]}), io["y"]) < 1e-4


@needs_references
def test_a_discriminator_of_the_references_is_no_generator() -> None:
    with pytest.raises(BadFile, match="holds no generator, which alone can be imported, but a discriminator of patch"):
        zerosum.import_weights(PARITY / "patchgan_d.weights.safetensors")


def test_networks_beside_the_generators(tmp_path: Path) -> None:
    D = Patch(3, width=4, norm=instance).state_dict()
    numbers = {"layers.0.conv": 0, "layers.1.conv": 2, "layers.2.conv": 5, "layers.3.conv": 8, "head": 11}
    patches = {f"model.{numbers[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": D[name] for name in D}
    pixels = {f"net.{number}.weight": torch.zeros(4, 3, 1, 1) for number in (0, 2, 5)}
    for tensors, reason in (
        (patches, "patches"), ({f"module.{name}": value for name, value in patches.items()}, "patches"),
        (pixels, "discriminator of pixels"), ({"mlp_0.0.weight": torch.zeros(2, 3)}, "heads that CUT"),
    ):  # fmt: skip
        file = written(tmp_path, saved(tensors))
        for system in (None, "pix2pix"):
            with pytest.raises(BadFile, match=f"holds no generator, which alone can be imported, but .*{reason}"):
                read_weights(file, system)
    G = trained(ResNet((3, 8, 8), (3, 8, 8), width=4, blocks=1))
    both = {"netD_A": patches, "netG_A": resnet_tensors(G)}
    same_images(read_weights(written(tmp_path, saved(both))), G, 3)


def test_whose_it_is(tmp_path: Path) -> None:
    """Residual networks of three systems look alike: the likeliest reads them, --as chooses, what differs is named."""
    plain = written(tmp_path, saved(resnet_tensors(trained(ResNet((3, 8, 8), (3, 8, 8), width=2)))), "plain.pth")
    batch = ResNet((3, 8, 8), (3, 8, 8), width=2, blocks=1, norm=nn.BatchNorm2d)
    batch_norms = written(tmp_path, saved(resnet_tensors(batch)), "batch.pth")
    filters = ResNet((3, 8, 8), (3, 8, 8), width=2, blocks=1, antialias=True)
    filtered = written(tmp_path, saved(resnet_tensors(filters)), "filters.pth")
    u_net = written(tmp_path, saved(unet_tensors(UNet((3, 8, 8), (3, 8, 8), width=2, depth=3))), "unet.pth")
    whose = {(plain, "cyclegan"), (plain, "cut"), (plain, "pix2pix"), (batch_norms, "pix2pix"), (filtered, "cut")}
    for file, system in itertools.product((plain, batch_norms, filtered), ("cyclegan", "cut", "pix2pix")):
        if (file, system) in whose:
            assert read_weights(file, system).facts["system"] == system
        else:
            with pytest.raises(BadFile, match=f"cannot be imported as {system}: it is a network of 1 residual blocks"):
                read_weights(file, system)
    for system in ("cyclegan", "cut", "esrgan", "stylegan2"):
        with pytest.raises(BadOption, match=f"--as {system}: .* looks like pix2pix"):
            read_weights(u_net, system)


def changed(tensors: Weights, change: dict[str, Tensor | None]) -> bytes:
    return saved({name: value for name, value in (tensors | change).items() if value is not None})


def test_what_zerosums_networks_do_not_express(tmp_path: Path) -> None:
    plain = resnet_tensors(trained(ResNet((3, 8, 8), (3, 8, 8), width=2, blocks=2)))
    batch = resnet_tensors(trained(ResNet((3, 8, 8), (3, 8, 8), width=2, blocks=2, norm=nn.BatchNorm2d)))
    filters = resnet_tensors(trained(ResNet((3, 8, 8), (3, 8, 8), width=2, blocks=2, antialias=True)))
    u_net = unet_tensors(trained(UNet((3, 8, 8), (3, 8, 8), width=2, depth=3)))
    transparent = unet_tensors(UNet((4, 8, 8), (3, 8, 8), width=2, depth=3))
    block = "model.10.conv_block"
    zero = {f"{block}.{n}.{leaf}": None for n in (1, 5) for leaf in ("weight", "bias")}
    zero |= {f"{block}.{n}.weight": torch.zeros(8, 8, 3, 3) for n in (0, 3)}
    for tensors, change, reason in (
        (plain, zero, r"nothing that does what its model.10.conv_block.0.weight"),
        (plain, {f"model.12{name[8:]}": value for name, value in plain.items() if name.startswith("model.10")},
         "nothing that does|layers|lacks"),
        (plain, {"model.1.weight": torch.zeros(2, 2, 7, 7)}, "the images it translates have 2 channels"),
        (plain, {"model.19.weight": torch.zeros(5, 2, 7, 7), "model.19.bias": torch.zeros(5)}, "makes have 5 channels"),
        (plain, {"model.4.weight": torch.full((4, 2, 3, 3), torch.nan)}, "not finite"),
        (plain, {"model.1.weight": torch.zeros(())}, "do not make a network"),
        (plain, {"extra.weight": torch.zeros(2)}, "nothing that does what its extra.weight"),
        (batch, {"model.1.bias": torch.zeros(2)}, "biases before batch norms|bias is of no use|bias is missing"),
        (batch, {name: None for name in batch if "running" in name}, "weights but no statistics"),
        (filters, {"model.7.filt": torch.ones(4, 1, 3, 3)}, r"model.7.filt is not made of \[1, 2, 1\]"),
        (filters, {"model.14.filt": torch.ones(4, 1, 3, 3) / 9}, r"model.14.filt is not made of \[1, 3, 3, 1\]"),
        (filters, {"model.14.filt": None}, "its filters are layers"),
        (transparent, {}, "of 3 channels from 4, the last of which zerosum takes for holes"),
        (u_net, {"model.model.1.model.1.weight": torch.zeros(5, 2, 4, 4)}, r"instead of"),
        (u_net, {"model.model.1.model.3.model.3.weight": None}, "it is no U-Net of pix2pix"),
    ):  # fmt: skip
        with pytest.raises(BadFile, match=reason):
            read_weights(written(tmp_path, changed(tensors, change)))


@pytest.mark.parametrize("kind", ["residual", "U-Net"])
def test_no_single_tensor_is_dispensable(kind: str, tmp_path: Path) -> None:
    """Whatever is missing or has another shape, there is a message."""
    if kind == "residual":
        tensors = resnet_tensors(ResNet((3, 8, 8), (3, 8, 8), width=2, blocks=1, norm=nn.BatchNorm2d))
    else:
        tensors = unet_tensors(UNet((3, 8, 8), (3, 8, 8), width=2, depth=4))
    for name in tensors:
        for value in (None, torch.zeros(()), torch.zeros(3, 1)):
            if name.endswith("num_batches_tracked") and (value is None or not value.dim()):
                continue
            with pytest.raises(BadFile):
                read_weights(written(tmp_path, changed(tensors, {name: value})))


def test_small_files_do_not_make_large_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes ask for a network of many gigabytes; it is refused before anything is made."""

    def made(name: str) -> Any:
        raise AssertionError("a network was made")

    monkeypatch.setattr(discovery, "game_class", made)
    inner = "model.model.1.model" + ".3.model" * 8
    deep = {"model.model.0.weight": torch.zeros(60_000, 1, 1, 1), "model.model.3.weight": torch.zeros(9, 3, 1, 1)}
    deep |= {f"{inner}.{place}.weight": torch.zeros(9, 9, 1, 1) for place in (1, 3)}
    wide = {"model.1.weight": torch.zeros(60_000, 3, 1, 1), "model.10.conv_block.1.weight": torch.zeros(9, 9, 1, 1)}
    wide |= {"model.18.weight": torch.zeros(3, 1, 1, 1)}
    for tensors in (deep, wide):
        with pytest.raises(BadFile, match="is missing|instead of"):
            read_weights(written(tmp_path, saved(tensors)))


def test_files_that_are_cut_off_or_run_something(tmp_path: Path) -> None:
    tensors = resnet_tensors(ResNet((3, 8, 8), (3, 8, 8), width=2, blocks=1))
    for content in (saved(tensors), saved(tensors, legacy=True), to_safetensors(tensors)):
        for share in (0.1, 0.5, 0.9, 0.999):
            with pytest.raises(BadFile, match="cannot be read"):
                read_weights(written(tmp_path, content[: int(len(content) * share)]))
    for legacy in (False, True):
        hostile = saved(tensors | {"model.1.hook": Call(os.system, f"touch {tmp_path / 'canary'}")}, legacy=legacy)
        with pytest.raises(BadFile, match=r"asks for (posix|nt).system"):
            read_weights(written(tmp_path, hostile))
        assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("scale", [None, 4])
def test_the_command(scale: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if scale is None:
        tensors, found = unet_tensors(UNet((1, 8, 8), (3, 8, 8), width=2, depth=3)), "a U-Net of 3 halvings"
        told = "images of any size, 1 channels to 3; imported as pix2pix"
    else:
        tensors = rrdb_tensors(RRDBNet(3, features=4, blocks=1, growth=2), "oldest")
        found, told = "an RRDBNet of 1 blocks", "3 channels to 3, 4 times as large; imported as esrgan"
    file = written(tmp_path, saved(tensors), "net.pth")
    code, out, err = call(capsys, "import", file, "--out", tmp_path / "folder")
    assert code == 0 and "translate" in out and found in err and told in err and "licence" in err
    code, out, _ = call(capsys, "import", file, "--out", tmp_path / "other", "--json")
    assert code == 0 and json.loads(out)["translates"]["scale"] == (scale or 1)
    assert isinstance(zerosum.load(tmp_path / "folder"), Translator)
