"""The encoder of BicycleGAN (Zhu et al. 2017, section 4 and appendix), arXiv:1711.11586: a residual network that tells
which z would have made an image.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.networks.shapes import plan
from zerosum.networks.translator import InstanceNorm, Norm, initialise

SLOPE = 0.2


class Block(nn.Module):
    """norm, leaky ReLU, conv, norm, leaky ReLU, conv, mean of 2 x 2; beside it that mean and a 1 x 1 convolution."""

    def __init__(self, before: int, after: int, norm: Norm):
        super().__init__()
        self.norm1, self.norm2 = norm(before), norm(before)
        self.conv1, self.conv2 = nn.Conv2d(before, before, 3, 1, 1), nn.Conv2d(before, after, 3, 1, 1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) -> (n, after, h / 2, w / 2)."""
        y = self.conv1(F.leaky_relu(self.norm1(x), SLOPE))
        y = self.conv2(F.leaky_relu(self.norm2(y), SLOPE))
        return F.avg_pool2d(y, 2) + self.skip(F.avg_pool2d(x, 2))


class Encoder(nn.Module):
    """Images (n, *shape) to the mean and the logarithm of the variance of z, each (n, latent).

    Args:
        shape: (c, h, w) of the images.
        latent: components of z (the paper: 8).
        width: channels of the first layer; twice, three and then four times as many in the further ones.
        blocks: halvings, the first convolution's among them; None: as many as leave about 8 pixels a side.
        norm: makes the layers' normalisation; the first has none.

    Raises:
        BadOption: nothing would be left of the image.
    """

    def __init__(
        self, shape: tuple[int, int, int], latent: int, *, width: int = 64, blocks: int | None = None,
        norm: Norm = InstanceNorm,
    ):  # fmt: skip
        super().__init__()
        channels, height, across = shape
        blocks = plan(height, across, smallest=8)[0] if blocks is None else blocks
        if not 1 <= blocks <= min(height, across).bit_length() - 1:
            raise BadOption(
                f"an encoder cannot halve images of {height} x {across} pixels {blocks} times: change blocks."
            )
        widths = [width * min(i + 1, 4) for i in range(blocks)]
        self.first = nn.Conv2d(channels, width, 4, 2, 1)
        self.blocks = nn.Sequential(*(Block(a, b, norm) for a, b in zip(widths, widths[1:], strict=False)))
        self.mean, self.log_variance = nn.Linear(widths[-1], latent), nn.Linear(widths[-1], latent)
        self.apply(initialise)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, each (n, latent), in float32."""
        y = F.leaky_relu(self.blocks(self.first(x)), SLOPE).float().mean(dim=(2, 3))
        return self.mean(y).float(), self.log_variance(y).float()
