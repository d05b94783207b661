"""Perceptual losses: distances between what a frozen network makes of two images, layer by layer.

It is VGG-19 where its weights are at hand (`vgg19`), a stack of convolutions that knows the data, such as zerosum's
own classifier (`Layers(classifier.convolutions, name="classifier")`), or one trained without labels (`exemplar`):

    loss = Perceptual(vgg19(Path("vgg19-dcbb9e9d.pth")), REAL_ESRGAN)
    loss(images, target)

Images are (n, c, h, w) in [-1, 1] with 1 (grey), 3 (colour) or 4 channels; the last of 4, transparency, is left out.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadData, BadFile, BadOption
from zerosum.core.randomness import derive, generator
from zerosum.objectives.augment import Geometry, brighten, contrasted, saturate, transform
from zerosum.objectives.degradations import grey

Maps = Mapping[str, Tensor]
"""Feature maps (n, channels, height, width) by the names of the layers that they come from."""

ESRGAN = {"conv5_4": 1.0}
"""Weights of VGG-19's layers in ESRGAN (Wang et al. 2018, arXiv:1809.00219, section 3.3)."""
REAL_ESRGAN = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
"""In Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833, section 4.1)."""
VGG16, VGG19 = (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)
"""Convolutions before each halving (Simonyan and Zisserman 2014, arXiv:1409.1556, table 1: D and E)."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours in [0, 1]: what torchvision's networks expect to be taken off and divided by."""


class Features(Protocol):
    """What a perceptual loss rests on; a frozen nn.Module, such as `Layers`."""

    def __call__(self, images: Tensor) -> Maps:
        """Feature maps of images (n, c, h, w) in [-1, 1]."""
        ...

    def described(self) -> dict[str, Any]:
        """What a protocol must state about it."""
        ...


class Layers(nn.Module):
    """The outputs of some layers of a stack, which is copied, frozen, and stays in evaluation mode.

    Args:
        stack: its layers have names (`named_children`).
        taps: names of the layers that are asked for; None: all that stand right before a ReLU.
        name: of the network, for protocols.
        sha256: of its weights' file; None: of the weights themselves, as a safetensors file.
        mean, std: taken off and divided by, for each channel of images in [0, 1]; None: images stay in [-1, 1].

    Raises:
        BadOption: a tap that the stack does not have.
    """

    def __init__(
        self,
        stack: nn.Sequential,
        taps: Sequence[str] | None = None,
        *,
        name: str,
        sha256: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        layers = [*stack.named_children()]
        names = [child for child, _ in layers]
        self.taps = tuple(before_activations(stack) if taps is None else taps)
        if not self.taps or not set(self.taps) <= set(names):
            raise BadOption(f"layers {', '.join(self.taps) or 'none'} of {name}: it has {', '.join(names)}.")
        last = max(names.index(tap) for tap in self.taps)
        self.stack = copy.deepcopy(nn.Sequential(OrderedDict(layers[: last + 1])))
        self.stack.eval().requires_grad_(False)
        for layer in self.stack:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # it would overwrite the map before it
        self.channels = next(layer.in_channels for layer in stack if isinstance(layer, nn.Conv2d))
        self.name, self.sha256 = name, sha256 or _fingerprint(self.stack)
        self.mean: Tensor
        self.std: Tensor
        for key, value in (("mean", mean), ("std", std)):
            self.register_buffer(key, torch.tensor(value or [0.5] * self.channels).view(-1, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Layers:
        """Stays in evaluation mode whatever the game does: batch normalisation must not learn here."""
        return super().train(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (n, 1 | 3 | 4, h, w) in [-1, 1] to the maps of the taps.

        Raises:
            BadData: they are too small.
            BadOption: the network takes other channels.
        """
        x = ((self._coloured(images) + 1) / 2 - self.mean) / self.std
        found = {}
        for name, layer in self.stack.named_children():
            if isinstance(layer, nn.MaxPool2d) and min(x.shape[2:]) < _side(layer.kernel_size):
                raise BadData(
                    f"images of {images.shape[2]}x{images.shape[3]} pixels vanish at the layer {name} of {self.name}: "
                    "choose earlier layers, or larger images."
                )
            x = layer(x)
            if name in self.taps:
                found[name] = x
        return found

    def _coloured(self, images: Tensor) -> Tensor:
        """The channels that the network takes: grey repeated, colours as their luma, transparency left out."""
        channels = images.shape[1]
        if channels == self.channels:
            return images
        if channels not in (1, 3, 4) or self.channels not in (1, 3):
            raise BadOption(f"images with {channels} channels for {self.name}, which takes {self.channels}.")
        return grey(images) if self.channels == 1 else images[:, :3].expand(-1, 3, -1, -1)

    def described(self) -> dict[str, Any]:
        """What a protocol must state: network, weights, layers."""
        return {"network": self.name, "weights_sha256": self.sha256, "layers": list(self.taps)}


def before_activations(stack: nn.Sequential) -> list[str]:
    """Names of the layers right before each ReLU: their maps are not clipped yet (ESRGAN, section 3.3)."""
    layers = [*stack.named_children()]
    return [name for (name, _), (_, following) in zip(layers, layers[1:]) if isinstance(following, nn.ReLU)]


def _side(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else max(size)


def _fingerprint(network: nn.Module) -> str:
    return hashlib.sha256(save({name: value.contiguous() for name, value in network.state_dict().items()})).hexdigest()


class Perceptual(nn.Module):
    """Sum over layers of weight times the mean absolute difference of their maps.

    Args:
        features: makes the maps, of images (n, c, h, w) in [-1, 1].
        weights: of its layers; None: all 1.

    Raises:
        BadOption: weights of layers that `features` does not give.
    """

    def __init__(self, features: Features, weights: Mapping[str, float] | None = None):
        super().__init__()
        self.features = features
        layers = features.described()["layers"]
        self.weights = dict.fromkeys(layers, 1.0) if weights is None else dict(weights)
        if unknown := sorted(set(self.weights) - set(layers)):
            raise BadOption(f"weights of the layers {', '.join(unknown)}: the features give {', '.join(layers)}.")

    def maps(self, images: Tensor, target: Tensor) -> tuple[Maps, Maps]:
        """Those of images and, without gradients, of what they should be."""
        with torch.no_grad():
            wanted = self.features(target)
        return self.features(images), wanted

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        """0-d: how far `images` are from `target`, both (n, c, h, w); gradients go to the former."""
        return content(*self.maps(images, target), self.weights)

    def style(self, images: Tensor, target: Tensor) -> Tensor:
        """0-d: how far textures are from those of `target`, wherever they are; sizes may differ."""
        return style(*self.maps(images, target), self.weights)

    def described(self) -> dict[str, Any]:
        """What a protocol must state: network, weights' sha256, layers and their weights."""
        return {**self.features.described(), "layers": dict(self.weights)}


def content(found: Maps, wanted: Maps, weights: Mapping[str, float]) -> Tensor:
    """0-d: the mean absolute difference of maps (n, c, h, w), weighed layer by layer."""
    return _sum([weight * F.l1_loss(found[name].float(), wanted[name].float()) for name, weight in weights.items()])


def style(found: Maps, wanted: Maps, weights: Mapping[str, float]) -> Tensor:
    """0-d: squared differences of the maps' Gram matrices, summed over their elements, averaged over images, weighed
    layer by layer (Johnson et al. 2016, arXiv:1603.08155, equations 3 and 4).
    """
    differences = {name: gram(found[name]) - gram(wanted[name]) for name in weights}
    return _sum([weight * differences[name].square().sum(dim=(1, 2)).mean() for name, weight in weights.items()])


def gram(maps: Tensor) -> Tensor:
    """(n, c, c): products of the channels of (n, c, h, w), summed over positions, divided by c h w."""
    flat = maps.float().flatten(2)
    with torch.autocast(maps.device.type, enabled=False):
        return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack([*terms]).sum()


# --- VGG


def vgg19(weights: Path, taps: Sequence[str] = tuple(REAL_ESRGAN)) -> Layers:
    """VGG-19's layers `taps`: "conv1_1", "relu1_1" ... "conv5_4".

    Args:
        weights: torchvision's file of IMAGENET1K_V1 weights, vgg19-dcbb9e9d.pth, or the same as safetensors.
        taps: names of layers.

    Raises:
        BadFile: there is no such file, or it holds something else.
        BadOption: a layer that there is not.
    """
    stack = filled(lambda: vgg(VGG19), weights, "torchvision's VGG-19 weights (vgg19-dcbb9e9d.pth)")
    return Layers(stack, taps, name="vgg19", sha256=file_sha256(weights), mean=MEAN, std=STD)


def vgg(plan: Sequence[int]) -> nn.Sequential:
    """The convolutions of VGG, in torchvision's order: "conv1_1", "relu1_1" ... "pool1", "conv2_1" ..."""
    stack, inputs = nn.Sequential(), 3
    for block, (convolutions, outputs) in enumerate(zip(plan, (64, 128, 256, 512, 512)), start=1):
        for number in range(1, convolutions + 1):
            stack.add_module(f"conv{block}_{number}", nn.Conv2d(inputs, outputs, 3, padding=1))
            stack.add_module(f"relu{block}_{number}", nn.ReLU())
            inputs = outputs
        stack.add_module(f"pool{block}", nn.MaxPool2d(2))
    return stack


def filled(make: Callable[[], nn.Sequential], path: Path, what: str) -> nn.Sequential:
    """The stack that `make` makes, with the weights "features.<number of the layer>.weight" and ".bias" of a file.

    Raises:
        BadFile: there is no such file, or it does not hold `what`.
    """
    state = read_state(path, what)
    with torch.device("meta"):  # neither time nor random numbers for weights that are replaced
        stack = make()
    wanted = {}
    for number, (layer, module) in enumerate(stack.named_children()):
        for kind, parameter in module.named_parameters():
            value = state.get(f"features.{number}.{kind}")
            if value is None or value.shape != parameter.shape:
                have = "nothing" if value is None else f"a tensor {tuple(value.shape)}"
                raise BadFile(
                    f"{path} does not hold {what}: under features.{number}.{kind} it has {have}; expected a tensor "
                    f"{tuple(parameter.shape)}."
                )
            wanted[f"{layer}.{kind}"] = value.float()
    stack.load_state_dict(wanted, assign=True)
    return stack


def read_state(path: Path, what: str) -> dict[str, Tensor]:
    """The tensors in a .pth or .safetensors file, read so that nothing in it can run. Raises BadFile."""
    if not path.is_file():
        raise BadFile(f"{path}: there is no such file. Expected {what}.")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:
        raise BadFile(f"{path} is not a readable file of {what}: {error}") from error
    if not isinstance(state, Mapping):
        raise BadFile(f"{path} does not hold {what}: it has a {type(state).__name__}, expected tensors by name.")
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def file_sha256(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- features of the data's own, without labels


def exemplar(
    patches: Tensor,
    ids: Tensor,
    *,
    samples: int = 100_000,
    seed: int = 0,
    name: str = "exemplar",
    batch_size: int = 128,
) -> Layers:
    """A small network that has learned to tell from which image a patch is, however it is moved, scaled and coloured
    (exemplar training: Dosovitskiy et al. 2014, arXiv:1406.6909).

    Four convolutions, of which the first three are followed by a halving; its maps are those before the activations.
    Trained on the device of the patches; the caller's random state is left as it was.

    Args:
        patches: (n, c, h, w) in [-1, 1], 8 pixels a side at least, 32 or so at best.
        ids: (n,) whole numbers: the image that each patch is from. Patches may all be from different ones.
        samples: patches to show, repetitions counted.
        seed: of weights, order and changes.
        name: of the network, for protocols.
        batch_size: patches a step.

    Raises:
        BadData: fewer than two images; ids that are not one a patch; patches of less than 8 pixels.
    """
    sources, labels = ids.unique(return_inverse=True)
    if len(sources) < 2 or len(ids) != len(patches) or min(patches.shape[2:]) < 8:
        raise BadData(
            f"{len(patches)} patches {tuple(patches.shape[1:])} with {len(ids)} ids of {len(sources)} images: expected "
            "an id a patch, two images or more, and 8 pixels a side or more."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "exemplar"))
        stack, head = _small(patches.shape[1]), nn.Linear(WIDTHS[-1], len(sources))
    random = generator("cpu", seed, "exemplar", "batches")
    with torch.enable_grad():
        _descend(stack.to(patches.device), head.to(patches.device), patches, labels, samples, batch_size, random)
    return Layers(
        stack, name=f"{name} of {len(patches)} patches of {len(sources)} images, {samples} shown, seed {seed}"
    )


WIDTHS = (32, 64, 128, 128)


def _small(channels: int) -> nn.Sequential:
    stack = nn.Sequential()
    for block, (inputs, outputs) in enumerate(zip((channels, *WIDTHS), WIDTHS), start=1):
        stack.add_module(f"conv{block}", nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
        stack.add_module(f"norm{block}", nn.BatchNorm2d(outputs))
        stack.add_module(f"relu{block}", nn.ReLU())
        if block < len(WIDTHS):
            stack.add_module(f"pool{block}", nn.MaxPool2d(2))
    return stack.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on CPUs


def _descend(
    stack: nn.Sequential,
    head: nn.Linear,
    patches: Tensor,
    labels: Tensor,
    samples: int,
    size: int,
    random: torch.Generator,
) -> None:
    """One-cycle training of stack and head in place, with AdamW."""
    size = min(size, len(patches))
    # The schedule needs more than four steps to rise and fall in.
    steps, order = max(math.ceil(samples / size), 5), torch.empty(0, dtype=torch.int64)
    optimizer = torch.optim.AdamW([*stack.parameters(), *head.parameters()], lr=1e-2, weight_decay=5e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps, pct_start=0.25)
    for _ in range(steps):
        if len(order) < size:
            order = torch.cat([order, torch.randperm(len(patches), generator=random)])
        chosen, order = order[:size].to(patches.device), order[size:]
        images = changed(patches[chosen], random).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(head(stack(images).mean(dim=(2, 3))), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def changed(patches: Tensor, random: torch.Generator) -> Tensor:
    """Patches (n, c, h, w), each moved by up to a fifth of its size, scaled by 0.7 to 1.4, mirrored or not, in a
    brightness, contrast and saturation of its own: the paper's changes (section 2.1) without rotations.
    """
    n, _, height, width = patches.shape
    u = torch.rand(8, n, generator=random).to(patches.device)
    geometry = replace(
        Geometry.still(n, patches.device),
        flip=u[0] < 0.5,
        scale=torch.exp2(u[1] - 0.5),
        move_x=(u[2] - 0.5) * 0.4 * width,
        move_y=(u[3] - 0.5) * 0.4 * height,
    )
    moved = contrasted(brighten(transform(patches, geometry), u[4] * 0.4 - 0.2), 0.75 + 0.5 * u[5])
    return saturate(moved, 0.5 + u[6]) if patches.shape[1] > 1 else moved
