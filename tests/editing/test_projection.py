"""Projection: finds the point an image was made from, each image by itself, the same for the same seed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.editing.generators import make
from zerosum.core.errors import BadData, BadOption
from zerosum.editing import distance, points
from zerosum.editing.projection import Settings, encode, errors, project

QUICK = Settings(steps=60, samples=200)


@pytest.mark.parametrize(
    ("system", "settings"),
    [
        ("stylegan2", {"noise": None}), ("stylegan2", {"space": "w+", "noise": None}), ("stylegan3", {"start": 100}),
        ("wgan_gp", {}), ("dcgan", {}), ("infogan", {}),
    ],
)  # fmt: skip
def test_comes_near_an_image_of_the_generator_itself(system: str, settings: dict) -> None:
    generator = make(system)
    target = points.images_of(generator, points.population(generator, 3, seed=5))
    found = project(generator, target, settings=dataclasses.replace(QUICK, steps=150, **settings))
    others = points.images_of(generator, points.population(generator, 100, seed=6))
    nearest = torch.stack([distance.pyramid(one.expand_as(others))(others).min() for one in target])
    assert (found.distance < 0.5 * nearest).all(), (found.distance, nearest)
    assert found.curve.shape == (150, 3) and (found.curve[-1] < found.curve[0]).all()
    assert torch.allclose(points.images_of(generator, found.points), found.images)


def test_the_same_seed_and_alone_or_together() -> None:
    generator = make("stylegan2")
    target = points.images_of(generator, points.population(generator, 3, seed=5))
    whole, again = (project(generator, target, settings=QUICK, seed=1) for _ in range(2))
    assert torch.equal(whole.points.w, again.points.w) and torch.equal(whole.images, again.images)
    alone = project(generator, target[1:2], settings=QUICK, seed=1)
    assert torch.allclose(alone.points.w, whole.points.w[1:2], atol=1e-3)
    assert not torch.allclose(project(generator, target, settings=QUICK, seed=2).points.w, whole.points.w, atol=1e-4)


def test_w_has_one_vector_and_w_plus_many() -> None:
    generator = make("stylegan2")
    target = points.images_of(generator, points.population(generator, 2, seed=5))
    w = project(generator, target, settings=QUICK).points.w
    assert torch.equal(w, w[:, :1].expand_as(w))
    plus = project(generator, target, settings=dataclasses.replace(QUICK, space="w+")).points.w
    assert plus.shape == w.shape and plus.std(1).mean() > 0.01


def test_the_pull_keeps_w_among_random_samples() -> None:
    generator = make("stylegan2")
    target = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1  # which it cannot make
    free, held = (
        project(generator, target, settings=dataclasses.replace(QUICK, steps=200, space="w+", pull=pull)).points.w
        for pull in (None, 10.0)
    )
    around = points.spread(points.population(generator, 200).w)
    radius = [((w - around.mean).norm(dim=2) / around.deviation).mean() for w in (free, held)]
    assert radius[1] < 1.1 < radius[0]


def test_noise_maps_stay_noise() -> None:
    generator = make("stylegan2")
    target = points.images_of(generator, points.population(generator, 2, seed=5))
    found = project(generator, target, settings=QUICK)
    assert set(found.points.noise) == set(points.noise_buffers(generator))
    for value in found.points.noise.values():
        assert value.shape[:2] == (2, 1)
        assert torch.allclose(value.mean(dim=(2, 3)), torch.zeros(2, 1), atol=1e-5)
        assert torch.allclose(value.square().mean(dim=(2, 3)), torch.ones(2, 1), atol=1e-4)
    largest = next(value for name, value in found.points.noise.items() if value.shape[-1] == 16)
    correlation = (largest * largest.roll(1, dims=3)).mean(dim=(1, 2, 3))
    assert correlation.abs().max() < 0.05
    free = project(generator, target, settings=dataclasses.replace(QUICK, noise=0.0)).points.noise
    assert not torch.allclose(next(iter(free.values())), next(iter(found.points.noise.values())))


def test_codes_stay_within_their_bounds() -> None:
    generator = make("infogan")
    target = torch.rand(2, 3, 16, 16) * 2 - 1
    z = project(generator, target, settings=QUICK).points.w
    assert z.abs().max() <= 1
    first = generator.latent.parts[0].size
    assert z[:, first : first + generator.latent.parts[1].size].min() >= 0


def test_classes_of_a_conditional_generator() -> None:
    for system in ("stylegan2", "r3gan"):
        generator = make(system, conditional=True)
        target = points.images_of(generator, points.drawn(generator, [1, 2], 3))
        found = project(generator, target, label=3, settings=QUICK)
        assert found.points.label.tolist() == [3, 3]
        with pytest.raises(BadOption, match="class-conditional: say which class, with --class"):
            project(generator, target, settings=QUICK)


def test_photos_of_any_size_and_mode(tmp_path: Path) -> None:
    generator = make("dcgan")
    photos = [Image.new("L", (50, 40), 99), Image.new("RGB", (7, 90), (1, 2, 3)), np.zeros((16, 16, 3), np.uint8)]
    assert encode(generator, photos).shape == (3, 3, 16, 16)
    generator.encoding = None
    with pytest.raises(BadData, match="has no encoding"):
        encode(generator, photos)


def test_features_are_handed_in() -> None:
    generator = make("dcgan")
    target = points.images_of(generator, points.population(generator, 2, seed=5))
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 8, 3), torch.nn.ReLU())
    network.requires_grad_(False)
    measure = distance.perceptual(distance.activations(network))(target)
    assert torch.equal(measure(target), torch.zeros(2))
    assert (measure(target.flip(3)) > distance.pyramid(target)(target.flip(3))).all()
    found = project(generator, target, settings=QUICK, distance=distance.perceptual(distance.activations(network)))
    assert (found.distance < 0.5 * found.curve[0]).all()
    vectors = distance.perceptual(lambda images: [images.mean(dim=(2, 3))])(target)
    assert vectors(target.flip(0)).shape == (2,)


def test_the_pyramid_sees_edges_and_every_scale() -> None:
    target = torch.zeros(1, 1, 32, 32)
    fine = torch.zeros_like(target)
    fine[..., ::2] = 0.1
    fine[..., 1::2] = -0.1
    coarse = torch.full_like(target, 0.1)
    assert len(distance.scales(target)) == 3
    # Equal in pixels; the fine one has edges, the coarse one shows at all scales.
    assert distance.pyramid(target)(coarse) > 0 and distance.pyramid(target)(fine) > 0
    assert torch.allclose(distance.pyramid(target)(coarse), torch.tensor([0.01]), atol=1e-6)


def test_errors() -> None:
    found = errors(torch.full((1, 1, 2, 2), 0.2), torch.zeros(1, 1, 2, 2))
    assert abs(float(found["mse"]) - 0.04) < 1e-6 and abs(float(found["psnr"]) - 20) < 1e-3


def test_errors_by_their_text() -> None:
    generator = make("dcgan")
    with pytest.raises(BadOption, match=r"--space w\+ needs a generator with a w for each layer"):
        project(generator, torch.zeros(1, 3, 16, 16), settings=Settings("w+"))
    with pytest.raises(BadData, match=r"shape \(1, 1, 16, 16\) were given; this generator makes \(n, 3 x 16 x 16\)"):
        project(generator, torch.zeros(1, 1, 16, 16))
    with pytest.raises(BadOption, match="--steps is 0"):
        Settings(steps=0)
    with pytest.raises(BadOption, match="--rate is -1"):
        Settings(rate=-1)
    with pytest.raises(BadOption, match="--start is 1; give 2 samples or more"):
        Settings(start=1)


def test_progress_is_told() -> None:
    generator, seen = make("gan"), []
    project(
        generator,
        torch.zeros(1, 3, 16, 16),
        settings=dataclasses.replace(QUICK, steps=7),
        progress=lambda: seen.append(1),
    )
    assert len(seen) == 7
