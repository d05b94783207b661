"""Points: drawn as `sample` draws, kept with the fingerprint of their generator, refused elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.editing.generators import PLAIN, STYLED, make
from zerosum.core.errors import BadFile, BadOption
from zerosum.data.spec import Spec
from zerosum.editing import points
from zerosum.training.generator import TrainedGenerator


@pytest.mark.parametrize("system", [*PLAIN, *STYLED])
def test_a_seed_is_the_image_that_sample_draws(system: str) -> None:
    generator = make(system)
    found = points.drawn(generator, [3, 4])
    sampled = [np.asarray(generator.sample(1, seed=seed)[0]) for seed in (3, 4)]
    for image, expected in zip(points.pictures(generator, points.images_of(generator, found)), sampled, strict=True):
        assert np.abs(np.asarray(image).astype(int) - expected).max() <= 1
    assert found.w.dim() == (3 if system in STYLED else 2)
    assert points.size_of(generator) == found.w.shape[-1]


@pytest.mark.parametrize("system", ["dcgan", "stylegan2"])
def test_a_population_is_what_sample_draws(system: str) -> None:
    generator = make(system)
    expected = torch.cat(list(generator.tensors(70, seed=2)))
    found = points.images_of(generator, points.population(generator, 70, seed=2))
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("system", ["r3gan", "stylegan2"])
def test_classes(system: str) -> None:
    generator = make(system, conditional=True)
    one, other = (points.images_of(generator, points.drawn(generator, [1], label)) for label in (0, 3))
    assert not torch.allclose(one, other)
    assert torch.equal(points.population(generator, 8, label=2).label, torch.full((8,), 2))
    for ask in (lambda: points.drawn(generator, [1], 4), lambda: points.labels_for(generator, 2, None)):
        with pytest.raises(BadOption, match="class 4 does not exist: there are classes 0 to 3|say which class"):
            ask()
    with pytest.raises(BadOption, match="class 1 was asked for, but this generator is not class-conditional"):
        points.drawn(make(system), [1], 1)


@pytest.mark.parametrize(("system", "settings"), [("stylegan2", {}), ("r3gan", {"conditional": True})])
def test_saved_and_loaded(system: str, settings: dict[str, Any], tmp_path: Path) -> None:
    generator = make(system, **settings)
    kept = points.drawn(generator, [1, 2, 3], 2 if settings else None)
    noise = {name: torch.randn(3, 1, *value.shape) for name, value in points.noise_buffers(generator).items()}
    kept = points.Points(kept.w, kept.label, noise)
    points.save(kept, generator, tmp_path / "p.safetensors", ["a.png", "b.png", "c.png"])
    generator.save(tmp_path / "g")
    loaded_generator = TrainedGenerator.load(tmp_path / "g")
    loaded = points.load(tmp_path / "p.safetensors", loaded_generator)
    assert torch.equal(points.images_of(loaded_generator, loaded), points.images_of(generator, kept))
    assert points.read(tmp_path / "p.safetensors", "points", generator)[1]["names"] == ["a.png", "b.png", "c.png"]


def test_noise_of_its_own_changes_the_image() -> None:
    generator = make("stylegan2")
    plain = points.drawn(generator, [1, 2])
    noise = {name: torch.randn(2, 1, *value.shape) for name, value in points.noise_buffers(generator).items()}
    assert noise
    own = points.images_of(generator, points.Points(plain.w, None, noise))
    assert (own - points.images_of(generator, plain)).abs().max() > 1e-3
    assert not points.noise_buffers(make("stylegan3"))


def test_the_fingerprint_is_that_of_the_weights(tmp_path: Path) -> None:
    generator = make("gan")
    assert points.fingerprint(generator) == points.fingerprint(make("gan"))
    assert points.fingerprint(generator) != points.fingerprint(make("gan", seed=1))
    next(generator.parameters()).data.view(-1)[0] += 1e-6
    assert points.fingerprint(generator) != points.fingerprint(make("gan"))


def test_errors_by_their_text(tmp_path: Path) -> None:
    generator = make("gan")
    path = tmp_path / "p.safetensors"
    with pytest.raises(BadFile, match=r"p.safetensors does not exist: expected a file of points"):
        points.load(path, generator)
    path.write_bytes(b"hello")
    with pytest.raises(BadFile, match="not a readable safetensors file"):
        points.load(path, generator)
    points.write(path, "directions", {"vectors": torch.zeros(1, 8)}, {})
    with pytest.raises(BadFile, match="holds directions, not points"):
        points.load(path, generator)
    points.save(points.drawn(generator, [1]), generator, path)
    with pytest.raises(BadFile, match=r"made for another generator \(fingerprint [0-9a-f]{12}; this one has"):
        points.load(path, make("gan", seed=1))
    with pytest.raises(BadOption, match="no seeds were given"):
        points.drawn(generator, [])
    with pytest.raises(BadOption, match="at least 2 are needed"):
        points.population(generator, 1)
    generator.spec = Spec((2,), 0, "points")
    with pytest.raises(BadOption, match="only image generators can be edited with; this one makes points"):
        points.check(generator)


def test_pictures_of_every_kind() -> None:
    generator = make("gan")
    images = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
    generator.encoding = None
    assert points.pictures(generator, images)[0].mode == "RGB"
    assert points.pictures(generator, images[:, :1])[0].mode == "L"
