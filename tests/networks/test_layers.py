"""Spectral normalisation, self-attention, minibatch discrimination, conditional batch normalisation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from zerosum.networks.minibatch import Comparing, MinibatchDiscrimination
from zerosum.networks.mlp import Discriminator, Maxout
from zerosum.networks.resnet import ConditionalBatchNorm, SelfAttention
from zerosum.networks.spectral import normalise

LAYERS = [
    (nn.Linear(12, 7), torch.randn(3, 12)),
    (nn.Conv2d(3, 5, 3), torch.randn(2, 3, 8, 8)),
    (nn.ConvTranspose2d(3, 5, 4, 2, 1), torch.randn(2, 3, 8, 8)),
    (nn.Embedding(6, 4), torch.arange(6)),
]


def largest(layer: nn.Module) -> float:
    weight = layer.weight.detach()
    return torch.linalg.matrix_norm(
        weight.transpose(0, int(isinstance(layer, nn.ConvTranspose2d))).flatten(1), 2
    ).item()


@pytest.mark.parametrize("layer, x", LAYERS, ids=lambda value: type(value).__name__)
def test_largest_singular_value_becomes_one(layer: nn.Module, x: torch.Tensor) -> None:
    torch.manual_seed(0)
    layer = copy.deepcopy(layer)
    layer.reset_parameters()  # how fast the iteration is depends on the weights
    layer = normalise(layer)
    for _ in range(100):
        layer(x)
    assert largest(layer.eval()) == pytest.approx(1.0, abs=1e-3)


def test_power_iteration_stops_in_eval_mode_and_its_vectors_are_saved() -> None:
    torch.manual_seed(0)
    network = normalise(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 1)))
    assert sum(name.endswith((".u", ".v")) for name in network.state_dict()) == 4
    x = torch.randn(2, 6)
    network.train()(x)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.eval()(x)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    network.train()(x)
    assert not torch.equal(
        before["0.parametrizations.weight.0.u"], network.state_dict()["0.parametrizations.weight.0.u"]
    )


def test_power_iteration_is_in_full_precision_under_autocast() -> None:
    torch.manual_seed(0)
    half = normalise(nn.Linear(6, 6))
    full = copy.deepcopy(half)
    with torch.autocast("cpu", torch.bfloat16):
        half(torch.randn(2, 6))
    full(torch.randn(2, 6))
    torch.testing.assert_close(half.parametrizations.weight[0].u, full.parametrizations.weight[0].u, rtol=0, atol=0)


def test_two_passes_before_one_backward() -> None:
    layer = normalise(nn.Linear(4, 1))
    (layer(torch.randn(3, 4)).sum() - layer(torch.randn(3, 4)).sum()).backward()
    assert torch.isfinite(layer.parametrizations.weight.original.grad).all()


def test_gains_of_conditional_batch_norm_are_left_alone() -> None:
    network = normalise(nn.ModuleList([ConditionalBatchNorm(4, 3), nn.Embedding(3, 4)]))
    assert not hasattr(network[0].gain, "parametrizations")
    assert hasattr(network[1], "parametrizations")


def test_attention_starts_as_the_identity() -> None:
    torch.manual_seed(0)
    attention, x = SelfAttention(16), torch.randn(2, 16, 6, 6)
    assert torch.equal(attention(x), x)
    attention.gamma.data.fill_(1.0)
    changed = x.clone()
    changed[:, :, 0, 0] += 3.0
    # What is in one corner reaches the other one.
    assert not torch.allclose(attention(changed)[:, :, 5, 5], attention(x)[:, :, 5, 5])


def test_minibatch_discrimination_tells_identical_from_varied_batches() -> None:
    torch.manual_seed(0)
    compare = MinibatchDiscrimination(10, kernels=6, size=3)
    varied, identical = compare(torch.randn(8, 10)), compare(torch.randn(1, 10).expand(8, 10))
    assert varied.shape == (8, 16)
    torch.testing.assert_close(identical[:, 10:], torch.ones(8, 6))
    assert varied[:, 10:].max() < 0.9
    assert torch.equal(compare(torch.randn(1, 10))[:, 10:], torch.zeros(1, 6))


def test_a_comparing_discriminator_sees_the_batch() -> None:
    torch.manual_seed(0)
    D, x = Comparing(Discriminator((2,), hidden=8), kernels=4), torch.randn(6, 2)
    D.compare.project.weight.data *= 3
    assert D(x).shape == (6,)
    assert not torch.allclose(D(x)[:1], D(x[:1].expand(6, 2))[:1])
    assert "body.head.weight" not in D.state_dict()


def test_maxout_is_the_largest_of_its_pieces() -> None:
    layer, x = Maxout(3, 4, 5), torch.randn(2, 3)
    torch.testing.assert_close(layer(x), layer.linear(x).view(2, 4, 5).amax(2))


def test_conditional_batch_norm_starts_plain() -> None:
    x, label = torch.randn(8, 4, 3, 3), torch.arange(8) % 3
    torch.testing.assert_close(ConditionalBatchNorm(4, 3)(x, label), nn.BatchNorm2d(4)(x))
