"""How networks lie in memory."""

import copy

import torch
from torch import nn

from zerosum.core import layout
from zerosum.networks.unet import UNet


def lies_last(weight: torch.Tensor) -> bool:
    """Whether it is channels-last, and not contiguous besides."""
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def test_convolutions_are_laid_channels_last() -> None:
    network = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU())
    layout.arrange(network)
    assert lies_last(network[0].weight)


def test_networks_that_do_not_convolve_are_left_alone() -> None:
    network = nn.Linear(4, 4)
    network.register_buffer("images", torch.zeros(2, 3, 4, 4))
    layout.arrange(network)
    assert not layout.convolves(network)
    assert network.images.is_contiguous()


def test_small_layers_of_a_u_net_keep_their_layout_and_make_the_same_images() -> None:
    torch.manual_seed(0)
    network = UNet((3, 64, 64), (3, 64, 64), width=4, depth=6).eval()
    arranged = copy.deepcopy(network)
    layout.arrange(arranged)
    assert [lies_last(layer.conv.weight) for layer in arranged.down] == [True] * 4 + [False] * 2
    assert [lies_last(layer.conv.weight) for layer in arranged.up] == [True] * 4 + [False] * 2
    x = torch.randn(2, 3, 64, 64)
    for given in (x, x.contiguous(memory_format=torch.channels_last)):
        torch.testing.assert_close(arranged(given), network(x), rtol=1e-4, atol=1e-5)
        gradients = torch.autograd.grad(arranged(given).square().sum(), list(arranged.parameters()))
        wanted = torch.autograd.grad(network(x).square().sum(), list(network.parameters()))
        torch.testing.assert_close(gradients, wanted, rtol=1e-3, atol=1e-4)
