"""The parts of StyleGAN2, StyleGAN3 and R3GAN against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.networks import resnext, stylegan2, stylegan3
from zerosum.networks.equalized import EqualizedConv, EqualizedLinear, MinibatchStd, one_hot, unit_moment

STAGES = resnext.Stages((16, 16, 8), (4, 4, 2), (2, 1, 1))


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def test_equalised_layers_keep_the_variance() -> None:
    torch.manual_seed(0)
    x = noise(256, 400)
    for layer in (EqualizedLinear(400, 300), EqualizedLinear(400, 300, rate=0.01)):
        assert layer(x).std().item() == pytest.approx(1.0, abs=0.05)
    wide = EqualizedConv(64, 64, 3, bias=False)
    assert wide(noise(4, 64, 16, 16))[..., 1:-1, 1:-1].std().item() == pytest.approx(1.0, abs=0.05)
    assert EqualizedLinear(4, 3, rate=0.01, bias=1.0)(torch.zeros(1, 4)).tolist() == [[pytest.approx(1.0)] * 3]


def test_the_learning_rate_multiplier_scales_what_a_step_changes() -> None:
    torch.manual_seed(0)
    slow, fast = EqualizedLinear(8, 8, rate=0.01), EqualizedLinear(8, 8)
    with torch.no_grad():
        slow.weight.copy_(fast.weight / 0.01)
        slow.weight.add_(0.1)
        fast.weight.add_(0.1 * 0.01)
    x = noise(4, 8)
    assert torch.allclose(slow(x), fast(x), atol=1e-5)


def test_minibatch_std_is_that_of_the_group() -> None:
    x = noise(8, 4, 3, 3)
    y = MinibatchStd(group=4)(x)
    groups = x.view(4, 2, 4, 3, 3)  # samples 0, 2, 4, 6 form one group
    want = groups.var(0, unbiased=False).add(1e-8).sqrt().mean(dim=(1, 2, 3))
    assert torch.equal(y[:, :4], x)
    assert torch.allclose(y[:, 4, 0, 0], want.repeat(4), atol=1e-6)
    assert MinibatchStd(group=4)(x[:6]).shape == (6, 5, 3, 3)  # 6 samples: groups of 2
    assert float(MinibatchStd(group=4)(x[:1])[:, 4].max()) == pytest.approx(1e-4)


def test_labels_are_needed_and_may_be_one_hot() -> None:
    assert torch.equal(one_hot(torch.tensor([1]), 3), one_hot(torch.tensor([[0.0, 1.0, 0.0]]), 3))
    with pytest.raises(BadOption, match="class-conditional"):
        one_hot(None, 3)


def test_modulation_equals_weights_of_each_samples_own() -> None:
    torch.manual_seed(0)
    layer = stylegan2.ModulatedConv(5, 7, 3, 6, grid=(8, 8))
    layer.noise_strength.data.fill_(0.3)
    layer.bias.data.normal_()
    x, w = noise(3, 5, 8, 8), noise(3, 6)
    want = []
    for sample, style in zip(x, layer.affine(w), strict=True):
        weight = layer.weight / math.sqrt(5 * 9) * style[None, :, None, None]
        weight = weight * (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        y = F.conv2d(sample[None], weight, padding=1) + 0.3 * layer.noise_const + layer.bias[:, None, None]
        want.append(F.leaky_relu(y, 0.2) * math.sqrt(2))
    assert torch.allclose(layer(x, w, "const"), torch.cat(want), atol=1e-5)


def test_noise_is_random_while_training_and_constant_otherwise() -> None:
    torch.manual_seed(0)
    G = stylegan2.Generator(8, (3, 16, 16), w=8, layers=2, base=64, most=8)
    for block in G.synthesis.blocks:
        block.conv1.noise_strength.data.fill_(1.0)
    z = noise(2, 8)
    assert not torch.equal(G(z), G(z))
    assert torch.equal(G(z, noise="none"), G(z, noise="none"))
    G.eval()
    assert torch.equal(G(z), G(z)) and not torch.equal(G(z), G(z, noise="none"))


def test_mapping_normalises_z_and_keeps_the_mean_w_while_training() -> None:
    torch.manual_seed(0)
    mapping = stylegan2.Mapping(8, 0, 4, 3, layers=2)
    z = noise(64, 8)
    assert torch.allclose(mapping(z), mapping(5.0 * z), atol=1e-4)
    assert mapping(z).shape == (64, 3, 4)
    before = mapping.w_avg.clone()
    w = mapping(z)[:, 0]
    assert torch.allclose(mapping.w_avg, before.lerp(w.mean(0), 0.002), atol=1e-6)
    mapping.eval()
    kept = mapping.w_avg.clone()
    mapping(z)
    assert torch.equal(mapping.w_avg, kept)
    assert unit_moment(z).square().mean(1).allclose(torch.ones(64), atol=1e-4)


def test_residual_blocks_begin_as_the_identity() -> None:
    block = resnext.Block(16, 4, 2, blocks=4)
    x = noise(2, 16, 5, 5)
    assert torch.equal(block(x), x)
    assert block.conv1.weight.std().item() == pytest.approx(math.sqrt(2 / 1.04) * 4**-0.25 / 4.0, rel=0.15)
    assert block.conv2.weight.shape == (32, 8, 3, 3)  # 4 groups of 8
    assert block.conv2.weight.std().item() == pytest.approx(math.sqrt(2 / 1.04) * 4**-0.25 / math.sqrt(72), rel=0.1)


def test_no_sample_of_a_batch_changes_anothers_logit() -> None:
    torch.manual_seed(0)
    D = resnext.Discriminator((3, 16, 16), STAGES)
    for parameter in D.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    x = noise(4, 3, 16, 16)
    assert torch.allclose(D(x)[:2], D(x[:2]), atol=1e-5)


def test_discriminators_pad_sizes_that_are_no_power_of_two() -> None:
    torch.manual_seed(0)
    for D in (resnext.Discriminator((3, 15, 30), STAGES), stylegan2.Discriminator((3, 15, 30), base=64, most=8)):
        assert D(noise(2, 3, 15, 30)).shape == (2,)
    assert resnext.Generator(8, (3, 15, 30), STAGES)(noise(2, 8)).shape == (2, 3, 15, 30)


def test_bands_grow_to_the_image_and_end_critically_sampled() -> None:
    found = stylegan3.bands(256, 3)
    assert len(found) == 15 and found[-1].size == found[-2].size == 256 and found[-1].channels == 3
    assert found[0].cutoff == 2.0 and found[-1].cutoff == found[-2].cutoff == found[-3].cutoff == 128.0
    assert [band.rate for band in found] == sorted(band.rate for band in found) and found[-1].rate == 256
    assert found[0].size == found[0].rate + 20
    assert all(band.half_width >= band.rate / 2 - band.cutoff for band in found)


def test_low_pass_filters_pass_what_is_low() -> None:
    for radial in (False, True):
        taps = stylegan3.low_pass(24, 8.0, 8.0, 64.0, radial)
        assert taps is not None and taps.sum().item() == pytest.approx(1.0, abs=1e-5)
        flat = taps.sum(0) if radial else taps
        where = torch.arange(24) / 64.0
        response = [float((flat * torch.cos(2 * math.pi * f * (where - where.mean()))).sum()) for f in (1.0, 31.0)]
        assert response[0] > 0.95 and abs(response[1]) < 0.02
    assert stylegan3.low_pass(1, 8.0, 8.0, 64.0) is None


def test_fourier_features_follow_the_users_translation() -> None:
    torch.manual_seed(0)
    G = stylegan3.Generator(8, (3, 16, 16), w=8, layers=4, base=256, most=8).eval()
    source = G.synthesis.input
    w = G.mapping(noise(1, 8))[:, 0]
    first = source(w)
    source.transform[0, 2] = 4 / source.band.rate  # four pixels to the left
    moved = source(w)
    assert torch.allclose(moved[..., :-4], first[..., 4:], atol=1e-4)


def test_magnitudes_are_averaged_while_training_only() -> None:
    torch.manual_seed(0)
    G = stylegan3.Generator(8, (3, 16, 16), w=8, layers=4, base=256, most=8, decay=0.5)
    G(noise(2, 8))
    kept = [layer.magnitude_ema.clone() for layer in G.synthesis.layers]
    assert all(float(value) != 1.0 for value in kept)
    G.eval()(noise(2, 8))
    assert all(torch.equal(a, layer.magnitude_ema) for a, layer in zip(kept, G.synthesis.layers, strict=True))
