"""Adversarial losses, a family of functions with one signature each.

Discriminator: f(real_logits, fake_logits) -> 0-d loss. Generator: f(fake_logits) -> 0-d loss; the relativistic one also
takes real_logits. Logits have any shape with the samples on axis 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def logistic_d(real: Tensor, fake: Tensor, real_target: float = 1.0) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) (Goodfellow et al. 2014, equation 1), stable in the logits.

    Args:
        real_target: below 1: one-sided label smoothing (Salimans et al. 2016, section 3.4).
    """
    # Cross-entropy against the target t: softplus(-l) + (1 - t) l.
    return (F.softplus(-real) + (1.0 - real_target) * real).mean() + F.softplus(fake).mean()


def saturating_g(fake: Tensor) -> Tensor:
    """log(1 - D(G(z))): the minimax game itself (Goodfellow et al. 2014, equation 1)."""
    return -F.softplus(fake).mean()


def nonsaturating_g(fake: Tensor) -> Tensor:
    """-log D(G(z)): the same fixed point with stronger gradients early on (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake).mean()


def least_squares_d(real: Tensor, fake: Tensor, real_target: float = 1.0, fake_target: float = 0.0) -> Tensor:
    """1/2 (D(x) - b)^2 + 1/2 (D(G(z)) - a)^2 (Mao et al. 2017, equation 2; a = 0, b = 1 in equation 9)."""
    return 0.5 * (real - real_target).square().mean() + 0.5 * (fake - fake_target).square().mean()


def least_squares_g(fake: Tensor, target: float = 1.0) -> Tensor:
    """1/2 (D(G(z)) - c)^2 (Mao et al. 2017, equation 2; c = 1 in equation 9)."""
    return 0.5 * (fake - target).square().mean()


def wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """E D(G(z)) - E D(x): minus the Wasserstein estimate (Arjovsky et al. 2017, equation 2)."""
    return fake.mean() - real.mean()


def wasserstein_g(fake: Tensor) -> Tensor:
    """-E D(G(z)) (Arjovsky et al. 2017, Algorithm 1)."""
    return -fake.mean()


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))) (Lim and Ye 2017; Miyato et al. 2018, equation 16)."""
    return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()


def hinge_g(fake: Tensor) -> Tensor:
    """-E D(G(z)) (Miyato et al. 2018, equation 17)."""
    return -fake.mean()


def relativistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """softplus(-(D(x) - D(G(z)))), paired (Jolicoeur-Martineau 2019; Huang et al. 2024, equation 2)."""
    return F.softplus(fake - real).mean()


def relativistic_g(real: Tensor, fake: Tensor) -> Tensor:
    """softplus(-(D(G(z)) - D(x))), paired: the generator's side of `relativistic_d`."""
    return F.softplus(real - fake).mean()


def feature_matching(real: Tensor, fake: Tensor) -> Tensor:
    """||E f(x) - E f(G(z))||^2 for features (n, k) of the discriminator (Salimans et al. 2016, section 3.1)."""
    return (real.detach().mean(0) - fake.mean(0)).float().square().sum()


def relativistic_pull(real: Tensor, fake: Tensor, image: Tensor, gradient: Tensor) -> Tensor:
    """`relativistic_g`, differentiable through `image` alone, where the gradient of D is known already.

    By the chain rule d/d image_i = -sigmoid(D(x_i) - D(G(z_i))) / n * grad D(G(z_i)): the gradient that R2 is about,
    as long as no sample influences another's logit.

    Args:
        real, fake: logits (n,).
        image: G(z), (n, ...), in G's graph.
        gradient: of each image's own logit with respect to the image, (n, ...).
    """
    slope = -torch.sigmoid(real - fake).detach() / len(real)
    pull = (image * (gradient.detach() * slope.view(-1, *[1] * (image.dim() - 1)))).sum()
    return relativistic_g(real.detach(), fake.detach()) + pull - pull.detach()
