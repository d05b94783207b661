"""Gradient penalties, a family of functions: critic and samples -> 0-d penalty (not yet weighted).

Each needs a second derivative, so the critic must be an eager module (torch.compile refuses double backward).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zerosum.core.errors import BadOption

Critic = Callable[[Tensor], Tensor]


def refuse_batch_norm(critic: nn.Module) -> None:
    """Raise BadOption where `critic` normalises over the batch: a sample would then have no gradient of its own."""
    if any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in critic.modules()):
        raise BadOption(
            "a gradient penalty needs a critic without batch normalisation (Gulrajani et al. 2017, section 4): "
            "give --networks.no-discriminator-norm, or choose networks:resnet or networks:mlp."
        )


def squared_gradient_norm(critic: Critic, x: Tensor) -> Tensor:
    """||grad_x D(x)||^2 per sample: (n,) for x of shape (n, ...)."""
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = critic(x)
    # The sum separates the samples (no batch statistics in D), so one backward gives every sample's own gradient.
    (gradient,) = torch.autograd.grad(logits.float().sum(), x, create_graph=True)
    return gradient.float().flatten(1).square().sum(1)


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor, target: float = 1.0) -> Tensor:
    """E (||grad D(x^)|| - target)^2 with x^ = mix real + (1 - mix) fake (Gulrajani et al. 2017, equation 3).

    Args:
        critic: without batch normalisation.
        real, fake: (n, ...).
        mix: (n, 1) uniform in [0, 1).
        target: 1, or 0 for a zero-centred penalty.
    """
    mix = mix.view(-1, *[1] * (real.dim() - 1))
    between = mix * real + (1.0 - mix) * fake.detach()
    # The square root's derivative is infinite at zero.
    norm = (squared_gradient_norm(critic, between) + 1e-12).sqrt()
    return (norm - target).square().mean()


def r1(critic: Critic, real: Tensor) -> Tensor:
    """1/2 E ||grad D(x)||^2 on real samples (Mescheder et al. 2018, equation 9); weight it with gamma."""
    return 0.5 * squared_gradient_norm(critic, real).mean()


def r2(critic: Critic, fake: Tensor) -> Tensor:
    """1/2 E ||grad D(G(z))||^2 on generated samples (Mescheder et al. 2018, equation 10); weight it with gamma."""
    return 0.5 * squared_gradient_norm(critic, fake).mean()


def path_lengths(image: Tensor, w: Tensor) -> Tensor:
    """||J^T y||, J = d image / d w, for y standard normal / sqrt(pixels) (Karras et al. 2020, equation 4): (n,).

    Args:
        image: (n, c, h, w), made from w.
        w: (n, layers, size); the mean over the layers is taken of the squares.
    """
    y = torch.randn_like(image) / math.sqrt(image.shape[2] * image.shape[3])
    (gradient,) = torch.autograd.grad((image * y).sum(), w, create_graph=True)
    return gradient.float().square().sum(2).mean(1).sqrt()
