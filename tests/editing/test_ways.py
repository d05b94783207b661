"""Interpolation, truncation, style mixing: ends, lengths, layers."""

from __future__ import annotations

import math

import pytest
import torch

from tests.editing.generators import make
from zerosum.core.errors import BadOption
from zerosum.editing import interpolation, mixing, points


def test_great_circles_keep_the_length() -> None:
    a, b = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    a, b = a / a.norm() * 10, b / b.norm() * 10
    way = interpolation.spherical(a, b, torch.linspace(0, 1, 7))
    assert torch.allclose(way.norm(dim=1), torch.full((7,), 10.0), atol=1e-4)
    assert torch.allclose(way[[0, -1]], torch.stack([a, b]), atol=1e-4)
    steps = way.diff(dim=0).norm(dim=1)
    assert torch.allclose(steps, steps[0].expand(6), atol=1e-4)
    assert interpolation.linear(a, b, torch.tensor([0.5])).norm() < 9
    same = interpolation.spherical(a, a, torch.linspace(0, 1, 3))
    assert torch.allclose(same, a.expand(3, -1)) and same.isfinite().all()


@pytest.mark.parametrize("system", ["wgan_gp", "dcgan", "stylegan2"])
@pytest.mark.parametrize("closed", [False, True])
def test_a_way_goes_through_its_keys(system: str, closed: bool) -> None:
    generator = make(system)
    keys = points.drawn(generator, [1, 2, 3])
    way = interpolation.path(generator, keys, 4, closed=closed)
    assert len(way) == (12 if closed else 9)
    assert torch.allclose(way.w[::4][:3], keys.w, atol=1e-5)
    middle = way.w[2]
    straight = (keys.w[0] + keys.w[1]) / 2
    assert torch.allclose(middle, straight, atol=1e-4) == (system != "wgan_gp")  # whose z is normal


def test_noise_is_blended_with_its_variance() -> None:
    generator = make("stylegan2")
    keys = points.drawn(generator, [1, 2])
    noise = {name: torch.randn(2, 1, *value.shape) for name, value in points.noise_buffers(generator).items()}
    way = interpolation.path(generator, points.Points(keys.w, None, noise), 2)
    name = max(noise, key=lambda name: noise[name].numel())
    assert torch.allclose(way.noise[name][[0, 2]], noise[name], atol=1e-6)
    assert abs(float(way.noise[name][1].std()) - 1) < 0.1


def test_a_way_in_z_is_mapped() -> None:
    generator = make("stylegan2", conditional=True)
    way = interpolation.path_in_z(generator, [1, 2], 3, label=2)
    keys = points.drawn(generator, [1, 2], 2)
    assert len(way) == 4 and torch.allclose(way.w[[0, 3]], keys.w, atol=1e-5)
    assert not torch.allclose(way.w[1], keys.w[0].lerp(keys.w[1], 1 / 3), atol=1e-3)
    with pytest.raises(BadOption, match="--between z needs a normal latent"):
        interpolation.path_in_z(make("dcgan"), [1, 2], 3)


def test_the_class_of_a_plain_generator_stays() -> None:
    generator = make("r3gan", conditional=True)
    mixed = points.join([points.drawn(generator, [1], 0), points.drawn(generator, [2], 1)])
    with pytest.raises(BadOption, match="cannot change the class on the way"):
        interpolation.path(generator, mixed, 3)
    styled = make("stylegan2", conditional=True)
    mixed = points.join([points.drawn(styled, [1], 0), points.drawn(styled, [2], 1)])
    assert len(interpolation.path(styled, mixed, 3)) == 4


def test_ways_that_are_none() -> None:
    generator = make("gan")
    for keys, frames in ((points.drawn(generator, [1]), 3), (points.drawn(generator, [1, 2]), 0)):
        with pytest.raises(BadOption, match="a way needs 2 points or more and 1 frame or more"):
            interpolation.path(generator, keys, frames)
    with pytest.raises(BadOption, match="2 seeds or more"):
        interpolation.path_in_z(make("wgan_gp"), [1], 3)


@pytest.mark.parametrize("system", ["wgan_gp", "stylegan2"])
def test_truncation_goes_to_the_mean(system: str) -> None:
    generator = make(system)
    found = interpolation.truncations(generator, [1, 2], [0.0, 0.5, 1.0])
    assert torch.allclose(found.w[[2, 5]], points.drawn(generator, [1, 2]).w)
    assert torch.allclose(found.w[0], found.w[3])
    assert torch.allclose(found.w[1], (found.w[0] + found.w[2]) / 2, atol=1e-5)
    with pytest.raises(BadOption, match="no truncations were given"):
        interpolation.truncations(generator, [1], [])
    with pytest.raises(BadOption, match=r"truncation 0.5 needs a normal latent"):
        interpolation.truncations(make("dcgan"), [1], [0.5])


def test_layers_by_name() -> None:
    generator = make("stylegan2")  # 16 px: 6 layers
    names = {text: mixing.layers_named(generator, text) for text in ("coarse", "middle", "fine", "all", "0-2,5", "3")}
    assert names["coarse"] + names["middle"] + names["fine"] == names["all"] == list(range(6))
    assert names["0-2,5"] == [0, 1, 2, 5] and names["3"] == [3]
    for text in ("6", "3-1", "x", "0-9", ""):
        with pytest.raises(BadOption, match=rf"--layers {text}"):
            mixing.layers_named(generator, text)
    with pytest.raises(BadOption, match="no layers with a w of their own; stylegan2 and stylegan3 have"):
        mixing.layers_named(make("gan"), "fine")


def test_mixing_takes_layers_from_the_columns() -> None:
    generator = make("stylegan2")
    rows, columns = points.drawn(generator, [1, 2]), points.drawn(generator, [3, 4, 5])
    mixed = mixing.mix(rows, columns, [4, 5])
    assert len(mixed) == 6
    assert torch.equal(mixed.w[4, :4], rows.w[1, :4]) and torch.equal(mixed.w[4, 4:], columns.w[1, 4:])
    whole = mixing.mix(rows, columns, list(range(6)))
    assert torch.equal(whole.w[:3], columns.w)
    with pytest.raises(BadOption, match=r"layers \[6\] were asked for; there are layers 0 to 5"):
        mixing.mix(rows, columns, [6])
    with pytest.raises(BadOption, match="needs points of one generator with layers"):
        mixing.mix(points.drawn(make("gan"), [1]), columns, [0])


def test_points_are_joined_and_chosen() -> None:
    generator = make("stylegan2")
    one = points.drawn(generator, [1, 2])
    assert torch.equal(points.join([one[[1]], one]).w, one.w[[1, 0, 1]])
    assert torch.equal(one.repeat(2).w, one.w[[0, 0, 1, 1]])
    noisy = points.Points(one.w, None, {"x": torch.zeros(2, 1, 4, 4)})
    with pytest.raises(BadOption, match="with noise of their own cannot be joined"):
        points.join([one, noisy])
    assert math.isclose(points.spread(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).deviation, 1.0)
