"""BigGAN's networks: sizes of the paper, hierarchical latents, orthogonality."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zerosum.core.errors import BadOption
from zerosum.networks.biggan import (
    DISCRIMINATOR,
    GENERATOR,
    ConditionalNorm,
    Discriminator,
    Generator,
    orthogonality,
    widths,
)
from zerosum.networks.resnet import SelfAttention


def generator(shape: tuple[int, int, int] = (3, 16, 16), latent: int = 10, **options: object) -> Generator:
    torch.manual_seed(0)
    return Generator(latent, shape, 4, **{"width": 2, "embedding": 6, "attention": 8, **options})


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (4, 24, 40), (3, 64, 64)], ids=str)
def test_shapes(shape: tuple[int, int, int]) -> None:
    G, label = generator(shape, attention=16), torch.arange(3)
    image = G(torch.randn(3, 10), label)
    assert image.shape == (3, *shape)
    assert image.abs().max() <= 1
    assert Discriminator(shape, 4, width=2, attention=16)(image, label).shape == (3,)


def test_channels_are_those_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    for size, levels in ((128, 5), (256, 6), (512, 7)):
        assert 4 * 2**levels == size
        assert len(GENERATOR[levels]) == levels + 1 == len(DISCRIMINATOR[levels])
    assert widths(GENERATOR, 5, 96) == [1536, 1536, 768, 384, 192, 96]
    assert widths(DISCRIMINATOR, 8, 1) == [1, 1, 1, 2, 4, 8, 8, 16, 16]
    assert widths(GENERATOR, 8, 1) == [16, 16, 8, 8, 4, 2, 1, 1, 1]
    monkeypatch.setattr("zerosum.networks.biggan.normalise", lambda network: network)  # needs numbers, meta has none
    with torch.device("meta"):
        G = Generator(120, (3, 128, 128), 1000, deviation=0.02)
        D = Discriminator((3, 128, 128), 1000, deviation=0.02)
    millions = sum(p.numel() for network in (G, D) for p in network.parameters()) / 1e6
    assert millions == pytest.approx(158.4, abs=0.5)  # table 1: 158.3 with all of section 3


def test_attention_stands_where_it_is_asked_for() -> None:
    def places(network: nn.Module, x: tuple[torch.Tensor, ...]) -> list[int]:
        heights = []
        for module in network.modules():
            if isinstance(module, SelfAttention):
                module.register_forward_hook(lambda _, inputs, __: heights.append(inputs[0].shape[2]))
        network(*x)
        return heights

    z, image, label = torch.randn(2, 10), torch.randn(2, 3, 64, 64), torch.arange(2)
    for pixels in (8, 16, 32):
        assert places(generator((3, 64, 64), attention=pixels), (z, label)) == [pixels]
        assert places(Discriminator((3, 64, 64), 4, width=2, attention=pixels), (image, label)) == [pixels]
    assert places(generator((3, 64, 64), attention=None), (z, label)) == []
    assert places(generator((3, 64, 64), attention=128), (z, label)) == []


def test_each_piece_of_z_enters_one_layer() -> None:
    G = generator((3, 32, 32), latent=11)
    assert G.pieces == [5, 2, 2, 2]  # the first layer takes what is left over
    assert G.linear.in_features == 5
    assert {block.norm1.gain.in_features for block in G.blocks} == {6 + 2}
    seen: list[torch.Tensor] = []
    for block in G.blocks:
        block.norm1.gain.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    z, label = torch.randn(3, 11), torch.tensor([0, 1, 1])
    G(z, label)
    for i, y in enumerate(seen):
        torch.testing.assert_close(y[:, :6], G.shared(label), rtol=0, atol=0)
        torch.testing.assert_close(y[:, 6:], z[:, 5 + 2 * i : 7 + 2 * i], rtol=0, atol=0)


def test_without_shared_embedding_every_layer_has_a_table() -> None:
    G = generator(embedding=None, hierarchical=False)
    assert isinstance(G.blocks[0].norm1.gain, nn.Embedding)
    assert G.shared is None and G.linear.in_features == 10
    image = G(torch.randn(1, 10).expand(2, 10), torch.tensor([0, 3]))
    assert not torch.allclose(image[0], image[1])
    with pytest.raises(BadOption, match="--no-hierarchical"):
        generator(embedding=None)
    with pytest.raises(BadOption, match="--latent"):
        generator(latent=2)


def test_conditional_norm_by_hand() -> None:
    torch.manual_seed(0)
    norm = ConditionalNorm(4, lambda channels: nn.Linear(3, channels, bias=False)).eval()
    norm.norm.running_mean.normal_()
    norm.norm.running_var.uniform_(0.5, 2.0)
    x, y = torch.randn(5, 4, 2, 2), torch.randn(5, 3)
    scaled = (x - norm.norm.running_mean[:, None, None]) / (norm.norm.running_var[:, None, None] + 1e-5).sqrt()
    expected = scaled * (1 + y @ norm.gain.weight.T)[:, :, None, None] + (y @ norm.bias.weight.T)[:, :, None, None]
    torch.testing.assert_close(norm(x, y), expected)


def test_only_what_is_linear_is_normalised_in_the_generator() -> None:
    G, D = generator(), Discriminator((3, 16, 16), 4, width=2)
    normalised = {name.split(".parametrizations")[0] for name in G.state_dict() if name.endswith(".u")}
    assert "shared" not in normalised
    assert {"linear", "image", "blocks.0.conv1", "blocks.1.norm2.gain", "attention.query"} <= normalised
    assert "embed.parametrizations.weight.0.u" in D.state_dict()


def test_weights_start_at_right_angles() -> None:
    weight = generator().blocks[0].conv1.parametrizations.weight.original.flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), rtol=0, atol=1e-5)
    # The shared embedding is left out; more filters than inputs cannot be at right angles.
    assert orthogonality(nn.Sequential(*[block.conv1 for block in generator().blocks])).item() < 1e-8
    normal = generator(deviation=0.02).blocks[0].conv1.parametrizations.weight.original
    assert normal.std().item() == pytest.approx(0.02, rel=0.1)


def test_orthogonality_by_its_formula() -> None:
    """||W^T W . (1 - I)||_F^2 (equation 3) with the filters in W's columns."""
    torch.manual_seed(0)
    network = nn.ModuleDict({"conv": nn.Conv2d(3, 5, 3), "line": nn.Linear(4, 6), "shared": nn.Embedding(7, 2)})
    expected = 0.0
    for name in ("conv", "line"):
        W = network[name].weight.detach().flatten(1).T
        expected += (W.T @ W * (1 - torch.eye(W.shape[1]))).square().sum().item()
    assert orthogonality(network).item() == pytest.approx(expected, rel=1e-5)
    orthogonality(network).backward()
    W = network["line"].weight.detach()
    torch.testing.assert_close(network["line"].weight.grad, 4 * (W @ W.T * (1 - torch.eye(6))) @ W)
    assert network["shared"].weight.grad is None and network["line"].bias.grad is None
