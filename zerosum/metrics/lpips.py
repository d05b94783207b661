"""LPIPS, the learned perceptual distance of two images (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep
Features as a Perceptual Metric", arXiv:1801.03924), version 0.1 with its linear heads.

It needs two files, which are not downloaded: torchvision's weights of the network below, and the published heads:

    distance = lpips(Path("alexnet-owt-7be5be79.pth"), Path("alex.pth"))
    distance(answers, targets)  # (n,); 0: equal

Without them there is no LPIPS: a distance of other features goes by another name (`objectives.perceptual`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.core.errors import BadFile, BadOption
from zerosum.objectives.perceptual import MEAN, STD, VGG16, Layers, file_sha256, filled, read_state, vgg

EPSILON = 1e-10
"""Added to the length of a position's features before these are divided by it."""


@dataclass(frozen=True)
class Network:
    """A network that LPIPS may rest on."""

    name: str
    make: Callable[[], nn.Sequential]
    taps: tuple[str, ...]
    """Its five activations."""
    widths: tuple[int, ...]
    """Their channels."""
    backbone: str
    """What torchvision calls the file of its weights."""
    heads: str
    """What the authors call the file of the heads."""


def alexnet() -> nn.Sequential:
    """The convolutions of AlexNet, in torchvision's order (Krizhevsky 2014, arXiv:1404.5997)."""
    stack, inputs = nn.Sequential(), 3
    layers = [
        (64, 11, 4, 2, True),
        (192, 5, 1, 2, True),
        (384, 3, 1, 1, False),
        (256, 3, 1, 1, False),
        (256, 3, 1, 1, True),
    ]
    for number, (outputs, kernel, stride, padding, pooled) in enumerate(layers, start=1):
        stack.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, kernel, stride, padding))
        stack.add_module(f"relu{number}", nn.ReLU())
        if pooled:
            stack.add_module(f"pool{number}", nn.MaxPool2d(3, 2))
        inputs = outputs
    return stack


def vgg16() -> nn.Sequential:
    """The convolutions of VGG-16."""
    return vgg(VGG16)


ALEX = Network(
    "alexnet",
    alexnet,
    ("relu1", "relu2", "relu3", "relu4", "relu5"),
    (64, 192, 384, 256, 256),
    "alexnet-owt-7be5be79.pth",
    "alex.pth",
)
"""The authors' choice for measuring."""
VGG = Network(
    "vgg16",
    vgg16,
    ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),
    (64, 128, 256, 512, 512),
    "vgg16-397923af.pth",
    "vgg.pth",
)
"""Their choice for training."""


class LPIPS(nn.Module):
    """Squared differences of features of unit length, weighed channel by channel, averaged over positions, summed over
    layers (equation 1).

    Args:
        features: the activations of the layers.
        heads: for each layer the weights (channels,) of its channels.
        heads_sha256: of the file that they are from.
    """

    def __init__(self, features: Layers, heads: Sequence[Tensor], heads_sha256: str):
        super().__init__()
        self.features, self.heads_sha256 = features, heads_sha256
        self.heads = nn.ParameterList(nn.Parameter(head, requires_grad=False) for head in heads)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n,): distances of images (n, c, h, w) in [-1, 1], one by one; differentiable. Raises BadData where they are
        too small: AlexNet takes 31 pixels a side or more, VGG-16 16.
        """
        first, second = self.features(a), self.features(b)
        parts = [
            ((_unit(first[tap]) - _unit(second[tap])).square().mean(dim=(2, 3)) * head).sum(dim=1)
            for tap, head in zip(self.features.taps, self.heads)
        ]
        return torch.stack(parts).sum(dim=0)

    def described(self) -> dict[str, Any]:
        """What a protocol must state: version, network, both files."""
        return {"distance": "LPIPS 0.1", **self.features.described(), "heads_sha256": self.heads_sha256}


def _unit(maps: Tensor) -> Tensor:
    maps = maps.float()
    return maps / (torch.linalg.vector_norm(maps, dim=1, keepdim=True) + EPSILON)


def lpips(backbone: Path | None, heads: Path | None, network: Network = ALEX) -> LPIPS:
    """LPIPS from its two files.

    Args:
        backbone: torchvision's weights of the network, .pth or .safetensors.
        heads: the authors' heads (lpips/weights/v0.1 of their repository), with the names "lin0.model.1.weight" ...
        network: `ALEX` or `VGG`.

    Raises:
        BadOption: one of the files was not given.
        BadFile: one does not exist, or holds something else.
    """
    missing = [
        what
        for path, what in (
            (backbone, f"torchvision's weights of {network.name} ({network.backbone})"),
            (
                heads,
                f"the linear heads of LPIPS 0.1 ({network.heads}, from lpips/weights/v0.1 of PerceptualSimilarity)",
            ),
        )
        if path is None
    ]
    if backbone is None or heads is None:
        raise BadOption(f"LPIPS needs two files of weights; not given: {' and '.join(missing)}.")
    stack = filled(network.make, backbone, f"torchvision's weights of {network.name} ({network.backbone})")
    features = Layers(stack, network.taps, name=network.name, sha256=file_sha256(backbone), mean=MEAN, std=STD)
    return LPIPS(features, read_heads(heads, network), file_sha256(heads)).eval()


def read_heads(path: Path, network: Network) -> list[Tensor]:
    """The weights (channels,) of each layer's head. Raises BadFile where they are missing, misshapen or below 0."""
    what = f"the linear heads of LPIPS on {network.name} ({network.heads})"
    state, heads = read_state(path, what), []
    for number, width in enumerate(network.widths):
        name = f"lin{number}.model.1.weight"
        head = state.get(name)
        if head is None or head.shape != (1, width, 1, 1):
            have = "nothing" if head is None else f"a tensor {tuple(head.shape)}"
            raise BadFile(
                f"{path} does not hold {what}: under {name} it has {have}; expected a tensor (1, {width}, 1, 1)."
            )
        if not bool((head >= 0).all()):
            raise BadFile(f"{path} does not hold {what}: {name} has weights below 0, so distances would be, too.")
        heads.append(head.float().flatten())
    return heads
