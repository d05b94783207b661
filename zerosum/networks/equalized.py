"""Layers with an equalised learning rate (Karras et al. 2018, section 4.1): weights of unit variance, scaled when
used.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption

SLOPE = 0.2
"""Of the leaky ReLU in ProGAN and all StyleGANs."""


class EqualizedLinear(nn.Module):
    """A fully connected layer.

    Args:
        rate: learning-rate multiplier: weights and biases are stored divided by it (Karras et al. 2019, appendix C).
        bias: initial bias.
        activate: leaky ReLU of slope 0.2 with gain sqrt 2 afterwards.
    """

    def __init__(self, before: int, after: int, *, rate: float = 1.0, bias: float = 0.0, activate: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / rate)
        self.bias = nn.Parameter(torch.full((after,), bias / rate))
        self.gain, self.rate, self.activate = rate / math.sqrt(before), rate, activate

    def forward(self, x: Tensor) -> Tensor:
        """(n, before) -> (n, after)."""
        # leaky ReLU commutes with a positive gain, so the gain sqrt 2 is multiplied into weight and bias.
        gain = math.sqrt(2.0) if self.activate else 1.0
        x = F.linear(x, self.weight * (self.gain * gain), self.bias * (self.rate * gain))
        return F.leaky_relu(x, SLOPE) if self.activate else x


class EqualizedConv(nn.Module):
    """A convolution with odd kernel and `padding` zeros around (by default so many that the size stays).

    Args:
        bias: whether it has one.
        activate: leaky ReLU of slope 0.2 with gain sqrt 2 afterwards.
        gain: factor on the result (after the activation).
    """

    def __init__(
        self, before: int, after: int, kernel: int, *, bias: bool = True, activate: bool = False, gain: float = 1.0
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after)) if bias else None
        self.scale, self.activate = 1.0 / math.sqrt(before * kernel * kernel), activate
        self.gain = gain * (math.sqrt(2.0) if activate else 1.0)

    def forward(self, x: Tensor, *, stride: int = 1, padding: int | None = None) -> Tensor:
        """(n, before, h, w) -> (n, after, h', w')."""
        padding = self.weight.shape[2] // 2 if padding is None else padding
        bias = None if self.bias is None else self.bias * self.gain
        x = F.conv2d(x, self.weight * (self.scale * self.gain), bias, stride=stride, padding=padding)
        return F.leaky_relu_(x, SLOPE) if self.activate else x


class MinibatchStd(nn.Module):
    """Append the standard deviation over a group of samples as further channels (Karras et al. 2018, section 3).

    Args:
        group: samples a group; fewer where the batch is smaller.
        channels: groups of channels that have a deviation of their own.
    """

    def __init__(self, group: int = 4, channels: int = 1):
        super().__init__()
        self.group, self.channels = group, channels

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c + channels, h, w)."""
        n, c, h, w = x.shape
        group = math.gcd(n, self.group) if n % min(self.group, n) else min(self.group, n)
        y = x.float().view(group, n // group, self.channels, c // self.channels, h, w)
        deviation = (y.var(0, unbiased=False) + 1e-8).sqrt().mean(dim=(2, 3, 4))
        deviation = deviation.to(x.dtype).view(-1, self.channels, 1, 1).repeat(group, 1, h, w)
        return torch.cat([x, deviation], dim=1)


def unit_moment(x: Tensor) -> Tensor:
    """x (n, k) scaled so that the mean of its squares over k is 1 (pixel norm; Karras et al. 2018, section 4.2)."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def one_hot(label: Tensor | None, classes: int) -> Tensor:
    """Labels (n,) int64 as (n, classes) float; labels that are given as (n, classes) already stay what they are."""
    if label is None:
        raise BadOption(f"this network is class-conditional ({classes} classes): give it labels.")
    return label.float() if label.dim() == 2 else F.one_hot(label, classes).float()
