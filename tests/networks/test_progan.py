"""ProGAN's networks: how they grow, and their parts against the definitions."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from zerosum.networks.progan import Discriminator, Generator, Start, channels_at

SHAPES = [(3, 16, 16), (1, 28, 28), (4, 24, 40), (3, 8, 8)]


def networks(shape: tuple[int, int, int], growth: float, classes: int = 0) -> tuple[Generator, Discriminator]:
    torch.manual_seed(0)
    G = Generator(8, shape, classes=classes, base=64, most=8)
    D = Discriminator(shape, classes=classes, base=64, most=8)
    G.growth = D.growth = growth
    return G, D


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_have_the_full_size_at_every_growth(shape: tuple[int, int, int]) -> None:
    levels = networks(shape, 0.0)[0].levels
    for growth in (0.0, 0.3, 1.0, 1.5, float(levels)):
        G, D = networks(shape, growth)
        z = torch.randn(4, 8)
        assert G(z).shape == (4, *shape)
        seen, grown = D.seen(torch.rand(4, *shape)), G.grown(z)
        assert seen.shape == grown.shape
        assert D(grown).shape == D(seen).shape == (4,)


def test_a_level_that_is_not_faded_in_yet_changes_nothing() -> None:
    (before, judge), (after, other) = networks((3, 16, 16), 1.0), networks((3, 16, 16), 1.0 + 1e-9)
    z, image = torch.randn(4, 8), torch.rand(4, 3, 16, 16)
    assert before.grown(z).shape[2] == 8 and after.grown(z).shape[2] == 16
    torch.testing.assert_close(after.grown(z), F.interpolate(before.grown(z), scale_factor=2))
    torch.testing.assert_close(after(z), before(z))
    torch.testing.assert_close(other.seen(image), F.interpolate(judge.seen(image), scale_factor=2))
    torch.testing.assert_close(other(other.seen(image)), judge(judge.seen(image)))


def test_a_level_that_is_faded_in_stands_alone() -> None:
    G, D = networks((3, 16, 16), 2.0)
    z, image = torch.randn(4, 8), torch.rand(4, 3, 16, 16)
    made, judged = G(z), D(image)
    torch.testing.assert_close(D.seen(image), image, rtol=0, atol=0)
    G.growth = D.growth = math.nextafter(2.0, 0.0)
    torch.testing.assert_close(G(z), made)
    torch.testing.assert_close(D(image), judged)
    G.growth = D.growth = 2.0
    for network in (G, D):  # the paths of the coarser level are out of use
        for layer in (network.to_image if network is G else network.from_image)[:2]:
            layer.weight.data.mul_(3.0)
    torch.testing.assert_close(G(z), made, rtol=0, atol=0)
    torch.testing.assert_close(D(image), judged, rtol=0, atol=0)


def test_what_fades_in_is_a_weighted_mean() -> None:
    G, D = networks((3, 16, 16), 1.25)
    z, image = torch.randn(4, 8), torch.rand(4, 3, 16, 16)
    mixed, seen = G(z), D.seen(image)
    G.growth = 1.0
    coarse = G(z)
    G.growth = 2.0
    torch.testing.assert_close(mixed, 0.75 * coarse + 0.25 * G(z))
    blurred = F.interpolate(F.avg_pool2d(image, 2), scale_factor=2)
    torch.testing.assert_close(seen, 0.75 * blurred + 0.25 * image)


def test_growth_is_saved_with_the_weights() -> None:
    G, _ = networks((3, 16, 16), 1.25)
    other, _ = networks((3, 16, 16), 0.0)
    assert copy.deepcopy(G).growth == 1.25
    state = G.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    other.load_state_dict(state)
    assert other.growth == 1.25
    with pytest.raises(RuntimeError, match="_extra_state"):
        other.load_state_dict({name: value for name, value in state.items() if name != "_extra_state"})


def test_real_images_are_averaged_and_borders_repeated() -> None:
    _, D = networks((1, 28, 28), 0.0)
    image = torch.zeros(1, 1, 28, 28)
    image[:, :, :, 0] = 1.0
    seen = D.seen(image)
    assert seen.shape == (1, 1, 4, 4)
    # 28 pixels in the middle of 32: the first column is repeated twice, so 3 of the first 8 columns are 1.
    torch.testing.assert_close(seen[0, 0], torch.tensor([3 / 8, 0.0, 0.0, 0.0]).expand(4, 4))


def test_channels_are_those_of_the_paper() -> None:
    sizes = [channels_at(level, 8192, 512) for level in range(9)]
    assert sizes == [512, 512, 512, 512, 256, 128, 64, 32, 16]  # table 2, 4 to 1024 px
    with torch.device("meta"):
        G, D = Generator(512, (3, 1024, 1024)), Discriminator((3, 1024, 1024))
    millions = [sum(p.numel() for p in network.parameters()) / 1e6 for network in (G, D)]
    # Table 2 counts 23.1 million each, with the to- and from-image layers of the last resolution alone.
    assert millions == pytest.approx([23.1, 23.1], abs=0.1)


def test_weights_are_of_unit_variance_and_scaled_when_used() -> None:
    """He's constant: sqrt(2 / fan-in) before a leaky ReLU, sqrt(1 / fan-in) in the layers that make images."""
    torch.manual_seed(0)
    G = Generator(64, (3, 8, 8), base=1024, most=64)
    for name, parameter in G.named_parameters():
        if name.endswith("weight"):
            assert parameter.std().item() == pytest.approx(1.0, abs=0.15), name
    block = G.blocks[0]
    x = torch.randn(2, 64, 4, 4)
    by_hand = F.leaky_relu(F.conv2d(x, block.conv1.weight * math.sqrt(2 / (9 * 64)), padding=1), 0.2)
    torch.testing.assert_close(block.conv1(x), by_hand)
    by_hand = F.conv2d(x, G.to_image[0].weight / math.sqrt(64))
    torch.testing.assert_close(G.to_image[0](x), by_hand)


def test_the_first_layer_is_a_convolution_over_the_grid() -> None:
    """A vector of 1 x 1 pixels, surrounded by zeros, through a 4 x 4 convolution (table 2)."""
    torch.manual_seed(0)
    start = Start(6, 5, (4, 4))
    start.bias.data.normal_()
    z = torch.randn(3, 6)
    kernel = start.weight.view(5, 4, 4, 6).permute(0, 3, 1, 2).flip(2, 3)
    x = F.conv2d(z[:, :, None, None], kernel * math.sqrt(2 / (6 * 16)), start.bias, padding=3)
    x = F.leaky_relu(x, 0.2)
    x = x / x.square().mean(1, keepdim=True).sqrt()
    x = start.conv(x)
    torch.testing.assert_close(start(z), x / x.square().mean(1, keepdim=True).sqrt(), rtol=1e-4, atol=1e-5)


def test_features_of_a_pixel_have_unit_mean_square() -> None:
    G, _ = networks((3, 16, 16), 2.0)
    x = G.blocks[0](G.start(torch.randn(2, 8)))
    torch.testing.assert_close(x.square().mean(1), torch.ones(2, 8, 8), rtol=1e-4, atol=1e-4)


def test_length_of_z_does_not_matter() -> None:
    G, _ = networks((3, 16, 16), 2.0)
    z = torch.randn(2, 8)
    torch.testing.assert_close(G(z), G(3.0 * z), rtol=1e-4, atol=1e-5)


def test_labels_are_obeyed() -> None:
    G, D = networks((3, 16, 16), 2.0, classes=4)
    z = torch.randn(1, 8).expand(4, 8)
    label = torch.arange(4)
    images = G(z, label)
    assert (images[1:] - images[:1]).abs().amax(dim=(1, 2, 3)).min() > 0.01
    same = images[:1].expand(4, -1, -1, -1)
    logits = D(same, label)
    torch.testing.assert_close(logits, D.out(D.features(same))[0])
