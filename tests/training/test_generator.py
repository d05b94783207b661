"""The artifact: saved, loaded and sampled the same; asked for what it cannot give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from zerosum.core import discovery
from zerosum.core.errors import BadFile, BadOption
from zerosum.core.latents import Normal
from zerosum.core.settings import to_json
from zerosum.data import load
from zerosum.data.spec import Spec
from zerosum.networks.families import MLP
from zerosum.training.arena import Arena
from zerosum.training.generator import TrainedGenerator

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(40) % 4


def make(system: str = "gan", **settings: Any) -> TrainedGenerator:
    """An untrained generator of 8 x 8 images with everything that training gives it."""
    game_class: Any = discovery.game_class(system)
    data = load((IMAGES, LABELS))
    torch.manual_seed(0)
    game = game_class(game_class.Config(networks=MLP(hidden=16), **settings), data.spec).seat(Arena())
    generator = game.trained()
    generator.encoding = data.encoding
    names = ["ant", "bee", "cat", "dog"]
    generator.facts = {"system": system, "config": to_json(game.config), "data": {"name": "x", "class_names": names}}
    return generator


def conditional() -> TrainedGenerator:
    return make("rpgan", conditional=True)


@pytest.mark.parametrize("given", [make, conditional])
def test_saved_and_loaded_samples_are_the_same(given: Any, tmp_path: Path) -> None:
    generator = given()
    generator.save(tmp_path / "g")
    loaded = TrainedGenerator.load(tmp_path / "g")
    for one, other in zip(generator.sample(5, seed=3), loaded.sample(5, seed=3), strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))
    assert np.asarray(generator.sample(1)[0]).shape == (8, 8)
    assert loaded.facts == json.loads(json.dumps(generator.facts))
    assert sorted(path.name for path in (tmp_path / "g").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert not any(p.requires_grad for p in loaded.parameters()) and not loaded.network.training


def test_batches_and_seeds() -> None:
    generator = make()
    whole = torch.cat(list(generator.tensors(10, seed=1)))
    pieces = torch.cat(list(generator.tensors(10, seed=1, batch=3)))
    assert torch.allclose(whole, pieces, atol=1e-6)
    assert not torch.equal(whole, torch.cat(list(generator.tensors(10, seed=2))))
    assert whole.shape == (10, 1, 8, 8) and whole.abs().max() <= 1


def test_labels() -> None:
    generator = conditional()
    drawn = generator.labels(40, seed=1)
    assert drawn is not None and torch.bincount(drawn).tolist() == [10] * 4
    assert make().labels(40) is None
    one = torch.cat(list(generator.tensors(4, given={"label": 2})))
    for label in ([2, 2, 2, 2], torch.tensor([2] * 4), np.int64(2), (2,) * 4, np.full(4, 2)):
        assert torch.equal(one, torch.cat(list(generator.tensors(4, given={"label": label}))))
    assert not torch.equal(one, torch.cat(list(generator.tensors(4, given={"label": 3}))))


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda: make().sample(0), "cannot sample 0 images; ask for 1 or more"),
        (lambda: make().sample(2, given={"label": 1}), "not class-conditional"),
        (lambda: make().sample(2, given={"size": 1}), "knows the condition 'label' only, not size"),
        (
            lambda: conditional().sample(2, given={"label": 4}),
            r"class 4 does not exist: .* 0 to 3 \(ant, bee, cat, dog\)",
        ),
        (lambda: conditional().sample(2, given={"label": -1}), "class -1 does not exist"),
        (lambda: conditional().sample(2, given={"label": [1]}), r"2 samples need 2 labels .* \(1,\) were given"),
        (lambda: make("dcgan").sample(2, truncation=0.5), "truncation 0.5 needs a normal latent.*Uniform"),
    ],
)
def test_errors_by_their_text(ask: Any, complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        ask()


def test_truncation_brings_samples_nearer_to_each_other() -> None:
    generator = make()
    full, less = (torch.cat(list(generator.tensors(64, truncation=t))).std(0).mean() for t in (1.0, 0.3))
    assert less < full


def change(**entries: Any) -> Any:
    def act(folder: Path) -> None:
        described = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**described, **entries}))

    return act


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (cut, "is broken|cannot be read|can read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04pickle" * 9),
            "model.safetensors is broken",
        ),
        (lambda folder: (folder / "config.json").write_text('{"library": "zero'), "not readable JSON"),
        (lambda folder: (folder / "config.json").unlink(), "does not exist"),
        (change(library="other"), "does not describe a zerosum generator"),
        (change(system="nonsense"), "there is no system called 'nonsense'"),
        (change(system=None), "version of zerosum can read"),
        (change(spec={"type": "Spec", "shape": [3, 8, 8]}), "version of zerosum can read.*size mismatch"),
        (change(config={"type": "Config", "rounds": "many"}), '"many" is not a setting of the kind int'),
        (change(config={"type": "Config", "depth": 3}), "Config has no setting called depth"),
        (change(encoding={"kind": "odd"}), "odd"),
    ],
)
def test_damaged_generators(tmp_path: Path, damage: Any, complaint: str) -> None:
    make().save(tmp_path / "g")
    damage(tmp_path / "g")
    with pytest.raises(BadFile, match=complaint):
        TrainedGenerator.load(tmp_path / "g")


def test_averaged_weights_get_batch_norm_statistics_of_their_own() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    network[1].running_mean.fill_(3.0)  # as training left them
    generator = TrainedGenerator(network, Normal(4), Spec((2,), kind="points"))
    generator.settle(passes=50)
    x = generator.network[0](torch.randn(10_000, 4))
    norm = generator.network[1]
    assert torch.allclose(norm.running_mean, x.mean(0), atol=0.05) and torch.allclose(
        norm.running_var, x.var(0), rtol=0.1
    )
    assert norm.momentum == 0.1 and not norm.training
    assert float(network[1].running_mean[0]) == 3.0
    kept = norm.running_mean.clone()
    generator.settle(passes=50)
    assert torch.equal(norm.running_mean, kept)
