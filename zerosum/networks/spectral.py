"""Spectral normalisation (Miyato et al. 2018, section 2 and algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from zerosum.networks.resnet import ConditionalBatchNorm


class SpectralNorm(nn.Module):
    """weight / sigma(weight), sigma its largest singular value; one power iteration each time it is used in training.

    PyTorch's own parametrization iterates in the precision of autocast; this one always in full precision. The two
    vectors are buffers, so a resumed training goes on with them.

    Args:
        weight: of the layer to be normalised.
        outputs: the axis of the layer's outputs.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, outputs: int = 0):
        super().__init__()
        self.outputs = outputs
        matrix = self.matrix(weight.detach())
        self.register_buffer("u", F.normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(matrix.shape[1]), dim=0))
        for _ in range(15):
            self.iterate(matrix)

    def matrix(self, weight: Tensor) -> Tensor:
        """(outputs, everything else)."""
        return weight.transpose(0, self.outputs).flatten(1)

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> None:
        """One power iteration (algorithm 1, step 1)."""
        self.v.copy_(F.normalize(matrix.T @ self.u, dim=0))
        self.u.copy_(F.normalize(matrix @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """Same shape as weight, largest singular value 1."""
        with torch.autocast(weight.device.type, enabled=False):
            matrix = self.matrix(weight)
            if self.training:
                self.iterate(matrix.detach())
            # Copies, because the next use overwrites the vectors that this one's gradient needs.
            return weight / torch.dot(self.u.clone(), matrix @ self.v.clone())


def normalise(network: nn.Module) -> nn.Module:
    """`network` with all convolutions, linear layers and embeddings normalised (not conditional batch norms' gains)."""
    gains = {
        id(child)
        for module in network.modules()
        if isinstance(module, ConditionalBatchNorm)
        for child in module.modules()
    }
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding) and id(module) not in gains:
            outputs = 1 if isinstance(module, nn.ConvTranspose2d) else 0
            parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight, outputs))
    return network
