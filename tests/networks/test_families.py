"""Every family of networks: shapes, precision, labels, errors."""

from __future__ import annotations

import pytest
import torch

from zerosum.core.errors import BadOption
from zerosum.data.spec import Spec
from zerosum.networks.families import DCGAN, MLP, Networks, ResNet
from zerosum.networks.shapes import classes_of, plan

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 30, 50), (4, 64, 64), (3, 128, 96), (3, 256, 256)]
FAMILIES = [
    MLP(hidden=8),
    MLP(hidden=8, discriminator_hidden=6, pieces=3, dropout=0.5, batch_norm=True),
    DCGAN(width=2),
    DCGAN(width=2, batch_norm=False, discriminator_norm=False, dropout=0.2),
    ResNet(generator_width=4, discriminator_width=4),
    ResNet(generator_width=8, discriminator_width=8, batch_norm=False, layer_norm=True, attention=16, sum_pool=True),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{type(f).__name__}-{FAMILIES.index(f)}")
@pytest.mark.parametrize("classes", [0, 5])
def test_shapes_and_bfloat16(family: Networks, shape: tuple[int, int, int], classes: int) -> None:
    torch.manual_seed(0)
    spec = Spec(shape, classes)
    G, D = family.generator(spec, 7, classes), family.discriminator(spec, classes)
    label = torch.tensor([0, 4, 2]) if classes else None
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        fake = G(torch.randn(3, 7), label)
        logits = D(fake.float(), label)
    assert fake.shape == (3, *shape)
    assert fake.abs().max() <= 1.0
    assert logits.shape == (3,)
    assert D.features(fake.float(), label).shape == (3, D.width)
    assert torch.isfinite(fake).all() and torch.isfinite(logits).all()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{type(f).__name__}-{FAMILIES.index(f)}")
def test_labels_matter(family: Networks) -> None:
    torch.manual_seed(0)
    spec = Spec((3, 16, 16), 4)
    G, D = family.generator(spec, 7, 4).eval(), family.discriminator(spec, 4).eval()
    z, x = torch.randn(4, 7), torch.rand(4, 3, 16, 16)
    if isinstance(family, ResNet) and family.batch_norm:  # its gains start equal for all classes
        for module in G.modules():
            if isinstance(module, torch.nn.Embedding):
                torch.nn.init.normal_(module.weight)
    one, other = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.int64)
    assert not torch.allclose(G(z, one), G(z, other))
    assert not torch.allclose(D(x, one), D(x, other))
    torch.testing.assert_close(G(z, one)[:2], G(z[:2], one[:2]))


def test_points_take_fully_connected_networks_only() -> None:
    points = Spec((2,), kind="points")
    G, D = MLP(hidden=8).generator(points, 3), MLP(hidden=8).discriminator(points)
    assert D(G(torch.randn(5, 3))).shape == (5,)
    assert (MLP(hidden=8).generator(points, 3)(1000 * torch.randn(50, 3)).abs() > 1).any()  # not squashed
    for family in (DCGAN(), ResNet()):
        with pytest.raises(BadOption, match="networks:mlp"):
            family.generator(points, 3)


def test_too_small_images_are_refused() -> None:
    with pytest.raises(BadOption, match="at least 8 x 8"):
        DCGAN().generator(Spec((1, 8, 6)), 3)


def test_missing_labels_are_refused() -> None:
    assert classes_of(Spec((2,), 3), "cgan") == 3
    with pytest.raises(BadOption, match=r"cgan is class-conditional.*--data.labels"):
        classes_of(Spec((2,)), "cgan")


def test_depth_follows_the_shorter_side() -> None:
    assert plan(32, 32) == (3, (4, 4))
    assert plan(64, 64) == (4, (4, 4))
    assert plan(28, 28) == (3, (4, 4))
    assert plan(256, 256) == (6, (4, 4))
    assert plan(128, 96) == (5, (4, 3))


def test_networks_are_as_large_as_the_papers() -> None:
    shape = Spec((3, 64, 64))
    G = DCGAN(width=128).generator(shape, 100)
    assert G.project.out_features == 1024 * 4 * 4  # Radford et al. 2016, figure 1
    small, large = (
        ResNet(discriminator_width=128).discriminator(Spec((3, 32, 32))),
        ResNet().discriminator(Spec((3, 128, 128))),
    )
    assert small.width == 128 and len(small.blocks) == 4  # Gulrajani et al. 2017, table 3
    assert large.width == 1024 and len(large.blocks) == 6  # Miyato et al. 2018, table 5


def test_without_batch_normalisation_the_variance_is_kept() -> None:
    torch.manual_seed(0)
    spec, family = Spec((3, 64, 64)), DCGAN(width=16, batch_norm=False, discriminator_norm=False)
    fake = family.generator(spec, 64)(torch.randn(16, 64))
    features = family.discriminator(spec).features(torch.randn(16, 3, 64, 64))
    assert 0.2 < fake.std() < 0.9
    assert 0.3 < features.square().mean().sqrt() < 2.0


def test_fully_connected_generators_start_varied() -> None:
    torch.manual_seed(0)
    G = MLP(hidden=512).generator(Spec((1, 8, 8)), 100)
    assert G(torch.randn(64, 100)).std(0).mean() > 0.3
