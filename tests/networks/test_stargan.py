"""The networks of StarGAN v2: sizes of the authors', domains with layers of their own, any size, any precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from zerosum.networks import stargan
from zerosum.networks.stargan import AdaIN, Generator, Layers, Mapping, Norm, Reader, Synthesis


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_networks_have_the_authors_numbers_of_parameters() -> None:
    with torch.device("meta"):
        shape = (3, 256, 256)
        assert count(Synthesis(shape, 64)) == 33_892_995  # without the masks for faces
        assert count(Mapping(16, 64, 2)) == 2_438_272
        assert count(Reader(shape, 2, outputs=64)) == 20_916_928
        assert count(Reader(shape, 2)) == 20_852_290


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 30, 17), (4, 48, 96)], ids=str)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_any_size_any_precision_and_gradients_for_all(shape: tuple[int, int, int], precision: torch.dtype) -> None:
    torch.manual_seed(0)
    G = Generator(4, shape, 3, style=5, width=4, most=8, hidden=6, layers=2)
    E, D = (Reader(shape, 3, outputs=outputs, width=4, most=8) for outputs in (5, None))
    x, label = noise(2, *shape), torch.tensor([2, 0])
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        y = G(x, noise(2, 4), label)
        style, logits = E(y, label), D(y, label)
    assert y.shape == x.shape and style.shape == (2, 5) and logits.shape == (2,)
    assert style.dtype == logits.dtype == torch.float32
    (style.square().sum() + logits.sum()).backward()
    for network in (G, E, D):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_sizes_may_change_after_training() -> None:
    G = Generator(4, (3, 32, 32), 2, style=5, width=4, hidden=6).eval()
    assert G(noise(1, 3, 45, 70), noise(1, 4), torch.tensor([1])).shape == (1, 3, 45, 70)


def test_residual_networks_begin_with_the_image_and_learn() -> None:
    G, x, z, label = Generator(4, (3, 32, 32), 2, width=4, hidden=6, residual=True), noise(2, 3, 32, 32), noise(2, 4), 1
    labels = torch.full((2,), label)
    torch.testing.assert_close(G(x, z, labels), x)
    optimizer = torch.optim.Adam(G.parameters(), lr=1e-2)
    for _ in range(2):  # of the last layer, then of all
        optimizer.zero_grad()
        G(x, z, labels).square().mean().backward()
        optimizer.step()
    assert not torch.allclose(G(x, z, labels), x)
    assert G.mapping.own[-1].weight.grad[label].abs().max() > 0
    assert G(noise(1, 3, 45, 70), noise(1, 4), torch.tensor([1])).shape == (1, 3, 45, 70)


@pytest.mark.parametrize("kind", ["norm", "adain"])
def test_norms_are_the_same_in_one_go(kind: str) -> None:
    """What training computes in one go is what the norm and its gains and biases give one after the other."""
    torch.manual_seed(0)
    x, style = noise(3, 4, 6, 5).mul(3).add(2), noise(3, 2)
    layer = Norm(4) if kind == "norm" else AdaIN(4, 2)
    if isinstance(layer, Norm):
        nn.init.normal_(layer.gain)
        nn.init.normal_(layer.bias)
    given = (x,) if kind == "norm" else (x, style)
    trained, whole = layer.train()(*given), layer.eval()(*given)
    torch.testing.assert_close(trained, whole, atol=1e-5, rtol=1e-5)
    if isinstance(layer, Norm):
        expected = nn.functional.instance_norm(x) * layer.gain[:, :, None, None] + layer.bias[:, :, None, None]
        torch.testing.assert_close(whole, expected, atol=1e-5, rtol=1e-5)


def test_domains_have_layers_of_their_own() -> None:
    torch.manual_seed(0)
    mapping, D = Mapping(4, 5, 3, hidden=6, layers=2), Reader((3, 16, 16), 3, width=4)
    z, x, label = noise(3, 4), noise(3, 3, 16, 16), torch.tensor([0, 1, 2])
    styles, logits = mapping(z, label), D(x, label)
    assert (styles - mapping(z, label.roll(1))).abs().amax(1).min() > 1e-4
    with torch.no_grad():
        mapping.own[-1].weight[1] += 1.0
        D.heads.weight[1] += 1.0
    changed = (mapping(z, label) != styles).any(1), D(x, label) != logits
    assert [part.tolist() for part in changed] == [[False, True, False]] * 2
    torch.testing.assert_close(mapping(z[:1], label[2:]), mapping(z[:1].repeat(3, 1), label)[2:])


def test_a_rate_slows_learning_and_nothing_else() -> None:
    torch.manual_seed(0)
    fast, slow = Layers(3, 4, 2, 1.0), Layers(3, 4, 2, 0.01)
    slow.load_state_dict({name: value / 0.01 for name, value in fast.state_dict().items()})
    x = noise(1, 5, 3)
    torch.testing.assert_close(fast(x), slow(x))
    before = fast.weight.detach().clone()
    for layer in (fast, slow):
        optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3, eps=0.0)
        layer(x).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(slow.weight * 0.01 - before, 0.01 * (fast.weight - before), atol=1e-6, rtol=1e-2)


def test_blocks_halve_and_double() -> None:
    x, style = noise(2, 4, 8, 6), noise(2, 3)
    assert stargan.Block(4, 6, norm=True, down=True)(x).shape == (2, 6, 4, 3)
    assert stargan.StyledBlock(4, 2, 3, up=True)(x, style).shape == (2, 2, 16, 12)
    plain = stargan.Block(4, 4)
    for conv in (plain.conv1, plain.conv2):
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    torch.testing.assert_close(plain(x), x * 0.5**0.5)  # the variance of a sum of two stays that of one
