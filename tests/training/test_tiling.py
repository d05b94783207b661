"""Tiles: they cover every image, fade into each other, and change nothing that a local network makes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.networks.translator import InstanceNorm, SampleNorm
from zerosum.training.tiling import LEAST, OUTPUT, Tiling, bands, common_statistics, enlarged, reflected, thumbnail

CPU = torch.device("cpu")
SIZES = [(1, 1), (1, 70), (5, 3), (31, 33), (64, 64), (65, 40), (100, 131), (197, 64)]


def image(height: int, width: int, channels: int = 3) -> Tensor:
    """A random image (1, c, h, w)."""
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def whole(network: nn.Module, picture: Tensor, tiling: Tiling) -> Tensor:
    """All bands of the output."""
    with torch.no_grad():
        return torch.cat(list(bands(network, picture, tiling)), 2)


class Local(nn.Module):
    """A network that sees one pixel beyond each, and enlarges."""

    def __init__(self, scale: int = 1):
        super().__init__()
        self.scale, self.conv = scale, nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        made = torch.tanh(self.conv(F.pad(x, (1, 1, 1, 1), mode="reflect")))
        return F.interpolate(made, scale_factor=self.scale, mode="nearest")


class Pooling(nn.Module):
    """Blocks of pixels to their means: it needs sizes that are multiples of 8, and tiles that begin at them."""

    def forward(self, x: Tensor) -> Tensor:
        assert all(side % 8 == 0 for side in x.shape[2:])
        return F.interpolate(F.avg_pool2d(x, 8), scale_factor=8.0)


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize(("tile", "overlap", "multiple"), [
    (8, 0, 1), (8, 4, 1), (8, 3, 1), (9, 4, 1), (16, 2, 4), (16, 5, 4), (24, 4, 8), (16, 8, 8), (64, 32, 32),
])  # fmt: skip
def test_weights_of_all_tiles_add_up_to_one(tile: int, overlap: int, multiple: int, scale: int) -> None:
    tiling = Tiling(tile, overlap, scale, multiple)
    for size in range(multiple, 12 * tile, multiple):
        starts, part = tiling.starts(size), min(tiling.side, size)
        total = torch.zeros(size * scale)
        for start, weight in zip(starts, tiling.weights(starts, part, CPU), strict=True):
            assert start % multiple == 0 and weight.shape == (part * scale,) and bool((weight >= 0).all())
            total[start * scale : (start + part) * scale] += weight
        assert torch.allclose(total, torch.ones_like(total), atol=1e-5), size


def test_tiles_share_what_they_should_and_are_no_more_than_needed() -> None:
    for size, multiple in itertools.product(range(16, 400), (1, 4, 8)):
        tiling = Tiling(32, 8, 1, multiple)
        size = tiling.whole(size)
        starts = tiling.starts(size)
        assert starts[0] == 0 and starts[-1] + min(tiling.side, size) == size
        shared = [start + tiling.side - after for start, after in itertools.pairwise(starts)]
        assert all(8 <= pixels < 32 for pixels in shared)
        assert len(starts) == 1 + max(0, -(-(size - 32) // 24))


def test_edges_without_surroundings_are_thrown_away() -> None:
    tiling = Tiling(32, 16)
    starts = tiling.starts(48)
    first, second = tiling.weights(starts, 32, CPU)
    assert not first[-4:].any() and not second[:4].any()  # a quarter of what they share
    assert bool((first[:20] == 1).all()) and bool((second[12:] == 1).all())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [1, 2])
def test_a_local_network_makes_the_same_in_tiles(size: tuple[int, int], scale: int) -> None:
    network, picture = Local(scale), image(*size)
    at_once = whole(network, picture, Tiling(4096, 0, scale))
    for tiling in (Tiling(16, 4, scale), Tiling(33, 16, scale), Tiling(64, 8, scale), Tiling(32, 8, scale, 4)):
        made = whole(network, picture, tiling)
        assert made.shape == (1, 2, size[0] * scale, size[1] * scale)
        assert torch.allclose(made, at_once, atol=1e-6), (size, tiling)


def test_a_local_network_sees_the_image_as_it_is() -> None:
    network, picture = Local(), image(40, 50)
    with torch.no_grad():
        assert torch.allclose(whole(network, picture, Tiling(16, 4)), network(picture), atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (64, 40), (13, 90)])
def test_multiples(size: tuple[int, int]) -> None:
    picture = image(*size)
    made = whole(Pooling(), picture, Tiling(32, 8, 1, 8))
    expected = Pooling()(reflected(picture, *(Tiling(multiple=8).whole(side) for side in size)))
    assert torch.allclose(made, expected[:, :, : size[0], : size[1]], atol=1e-6)


def test_networks_never_see_less_than_the_least() -> None:
    seen: list[tuple[int, ...]] = []

    def network(piece: Tensor) -> Tensor:
        seen.append(tuple(piece.shape[2:]))
        return piece

    for size in SIZES:
        picture = image(*size)
        assert torch.equal(torch.cat(list(bands(network, picture, Tiling(64, 16))), 2)[..., :1], picture[..., :1])
    assert min(map(min, seen)) == LEAST and max(map(max, seen)) == 64


def test_reflection_repeats_as_often_as_needed() -> None:
    row = torch.tensor([[[[0.0, 1.0, 2.0]]]])
    assert reflected(row, 2, 9)[0, 0].tolist() == [[0, 1, 2, 1, 0, 1, 2, 1, 0]] * 2
    assert reflected(torch.ones(1, 1, 1, 1), 3, 2).tolist() == [[[[1.0] * 2] * 3]]
    assert reflected(row, 1, 3) is row


class Styled(nn.Module):
    """Instance normalisation, of one kind or another."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), norm

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.conv(x)))


@pytest.mark.parametrize(
    "norm", [InstanceNorm(4), SampleNorm(4), nn.InstanceNorm2d(4), nn.InstanceNorm2d(4, affine=True)]
)
def test_tiles_of_instance_norms_have_one_tone(norm: nn.Module) -> None:
    torch.manual_seed(0)
    network, tiling = Styled(norm), Tiling(32, 8)
    if norm.weight is not None:
        nn.init.uniform_(norm.weight, 0.8, 1.2), nn.init.uniform_(norm.bias, -0.2, 0.2)
    picture = image(96, 80) * 0.02 + torch.linspace(-0.9, 0.9, 80)  # dark at the left, bright at the right
    with torch.no_grad():
        right = network(picture)
        wrong = whole(network, picture, tiling)
        with common_statistics(network, lambda: network(thumbnail(picture, tiling))):
            made = whole(network, picture, tiling)
        assert (made - right).abs().max() < 0.05 < 0.5 < (wrong - right).abs().max()
        assert torch.equal(network(picture), right)  # nothing stays behind


def test_statistics_are_let_go_of_after_an_error() -> None:
    network = Styled(InstanceNorm(4))

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), common_statistics(network, fail):
        pass
    with pytest.raises(ValueError, match="no"), common_statistics(network, lambda: network(image(8, 8))):
        fail()
    assert not network.norm._forward_hooks and not network.norm._forward_pre_hooks


def test_running_statistics_are_left_alone() -> None:
    network = Styled(nn.InstanceNorm2d(4, track_running_stats=True)).eval()
    with common_statistics(network, lambda: pytest.fail("no thumbnail is needed")):
        assert not network.norm._forward_hooks


def test_thumbnails_keep_the_shape_where_they_can() -> None:
    assert thumbnail(image(200, 100), Tiling(64, 8)).shape[2:] == (64, 32)
    assert thumbnail(image(2000, 4), Tiling(64, 8)).shape[2:] == (64, 32)  # never less than LEAST
    assert thumbnail(image(100, 290), Tiling(100, 8, 1, 16)).shape[2:] == (48, 96)


def test_what_is_chosen() -> None:
    assert Tiling.of(1, 1) == Tiling(OUTPUT, 64, 1, 1)
    assert Tiling.of(4, 1) == Tiling(OUTPUT // 4, 64, 4, 1)
    assert Tiling.of(1, 1, tile=100) == Tiling(100, 25, 1, 1)
    assert Tiling.of(1, 1, overlap=700) == Tiling(1400, 700, 1, 1)
    assert Tiling.of(1, 48).side == 1056 and Tiling.of(1, 32, tile=40) == Tiling(40, 0, 1, 32)


@pytest.mark.parametrize(("options", "says"), [
    ({"tile": 31}, "--tile 31: a tile has 32 pixels a side or more"),
    ({"tile": 0}, "--tile 0"),
    ({"tile": -5}, "--tile -5"),
    ({"tile": 64, "overlap": 33}, "64 pixels that overlap by 33: give --tile at least twice --overlap, here 66"),
    ({"overlap": -1}, "--overlap 0 or more"),
    ({"tile": 40, "overlap": 1, "multiple": 32}, r"takes multiples of 32\): give --tile at least .*, here 64 or more"),
    ({"tile": 40, "multiple": 64}, "here 64 or more"),
])  # fmt: skip
def test_tiles_that_are_too_small(options: dict[str, int], says: str) -> None:
    with pytest.raises(BadOption, match=says):
        Tiling.of(1, options.pop("multiple", 1), **options)


def test_alpha_is_enlarged() -> None:
    ramp = (torch.arange(8).repeat(6, 1) * 30).numpy().astype("uint16")[..., None]
    large = enlarged(ramp, 4)
    assert large.shape == (24, 32, 1) and large.dtype == ramp.dtype and enlarged(ramp, 1) is ramp
    assert abs(int(large[10, 16, 0]) - 105) < 8 and large.max() <= 240
