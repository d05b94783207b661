"""Optimizers as settings: frozen dataclasses that a system's Config holds and a Player turns into a torch optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import nn

from zerosum.core.errors import BadOption


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015)."""

    lr: float = 2e-4
    """Learning rate."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of the first and second moment."""
    eps: float = 1e-8
    """Added to the denominator."""
    decay: float = 0.0
    """Added to each gradient: the weight times this."""

    def lazily(self, every: int) -> Adam:
        """Corrected for a regulariser that joins only each `every`-th step (StyleGAN2, appendix B): rate and betas to
        the power k/(k+1).
        """
        ratio = every / (every + 1)
        return replace(self, lr=self.lr * ratio, betas=(self.betas[0] ** ratio, self.betas[1] ** ratio))

    def make(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimizer, fused where the device has it."""
        parameters = list(parameters)
        fused = all(p.device.type in ("cpu", "cuda", "mps") and p.is_floating_point() for p in parameters)
        return _made(
            lambda: torch.optim.Adam(
                parameters, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=self.decay, fused=fused
            )
        )


@dataclass(frozen=True)
class RMSProp:
    """RMSProp (Tieleman and Hinton 2012), as WGAN uses it."""

    lr: float = 5e-5
    """Learning rate."""
    alpha: float = 0.99
    """Decay rate of the squared gradient."""
    eps: float = 1e-8
    """Added to the denominator."""

    def lazily(self, every: int) -> RMSProp:
        """Corrected for a regulariser that joins only each `every`-th step."""
        ratio = every / (every + 1)
        return replace(self, lr=self.lr * ratio, alpha=self.alpha**ratio)

    def make(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimizer."""
        return _made(lambda: torch.optim.RMSprop(parameters, lr=self.lr, alpha=self.alpha, eps=self.eps))


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum, as the first GAN used it."""

    lr: float = 0.1
    """Learning rate."""
    momentum: float = 0.5
    """Momentum."""

    def lazily(self, every: int) -> SGD:
        """Corrected for a regulariser that joins only each `every`-th step."""
        return replace(self, lr=self.lr * every / (every + 1))

    def make(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimizer."""
        return _made(lambda: torch.optim.SGD(parameters, lr=self.lr, momentum=self.momentum))


def _made(make: Callable[[], torch.optim.Optimizer]) -> torch.optim.Optimizer:
    """torch's refusal of a setting (a negative rate, a beta of 1) as an error of ours."""
    try:
        return make()
    except ValueError as error:
        raise BadOption(f"the optimizer cannot be made: {error}.") from error


Optimizer = Adam | RMSProp | SGD
