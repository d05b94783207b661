"""Super-resolution: edges are learned better than bicubic, the phases follow the papers, what they need survives."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.gans.games import Memory, play, seated, shrunk, store_of
from zerosum.core.errors import BadFile, BadOption
from zerosum.core.settings import to_json
from zerosum.data.encodings import ImageEncoding
from zerosum.data.spec import Spec
from zerosum.gans.translation import esrgan, real_esrgan, srgan
from zerosum.gans.translation.esrgan import Blend
from zerosum.gans.translation.real_esrgan import sharpened
from zerosum.networks.rrdb import RRDBNet
from zerosum.objectives.degradations import enlarge
from zerosum.objectives.perceptual import VGG19, vgg
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches
from zerosum.training.generator import TrainedGenerator
from zerosum.training.optimizers import Adam
from zerosum.training.superresolution import exemplars

SPEC = Spec((1, 32, 32))
SYSTEMS: dict[str, Any] = {"srgan": srgan, "esrgan": esrgan, "real_esrgan": real_esrgan}


def edges(n: int = 200) -> Tensor:
    """(n, 1, 32, 32): straight edges and lines, antialiased."""
    random = torch.Generator().manual_seed(0)
    angle, place, thickness, sign = torch.rand(4, n, 1, 1, generator=random)
    line = torch.arange(32.0) - 15.5
    direction = 2 * math.pi * angle
    across = line[:, None] * direction.sin() + line * direction.cos() + (place - 0.5) * 20
    stripe = (2.0 + 4.0 * thickness - across.abs()).clamp(-0.5, 0.5)
    step = across.clamp(-0.5, 0.5)
    return (1.6 * torch.where(thickness < 0.5, step, stripe) * torch.where(sign < 0.5, -1.0, 1.0))[:, None]


def state(network: torch.nn.Module) -> dict[str, Tensor]:
    """Weights and buffers, copied."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def psnr(made: Tensor, image: Tensor) -> float:
    """In dB, of images in [-1, 1], 4 pixels of the border left out."""
    error = (made.clamp(-1, 1) - image)[..., 4:-4, 4:-4].square().mean()
    return 10 * math.log10(4 / float(error))


def small(name: str, **changes: Any) -> Any:
    """A game of edges, x 4."""
    changes = {"width": 16, "patch": 32, "pixel_lr": 5e-3} | changes
    return seated(name, dataclasses.replace(shrunk(SYSTEMS[name].Config()), **changes), SPEC)


@pytest.mark.parametrize(
    ("name", "rounds", "gain"), [("srgan", 180, 1.0), ("esrgan", 140, 1.0), ("real_esrgan", 100, 0.5)]
)
def test_edges_are_enlarged_better_than_bicubically(name: str, rounds: int, gain: float) -> None:
    changes: dict[str, Any] = {} if name == "srgan" else {"growth": 8}
    changes |= {"sharpen": False, "ema_half_life": 500.0} if name == "real_esrgan" else {}
    game = small(name, pixel_rounds=rounds, rounds=5, **changes)
    play(game, Memory(edges()), game.total_rounds)
    assert game.act()[0]
    translator = game.trained().ask(Memory(edges()))
    [made] = translator.tensors(64)
    plain = enlarge(translator.sources(0, 64), 4)
    assert psnr(made, edges()[:64]) > psnr(plain, edges()[:64]) + gain


@pytest.mark.parametrize("name", SYSTEMS)
def test_phases(name: str) -> None:
    game = small(name, pixel_rounds=3, rounds=2)
    assert [(phase.name, phase.rounds) for phase in game.phases()] == [("pixel", 3), ("features", 1), ("game", 2)]
    alone = small(name, pixel_rounds=3, rounds=0)
    assert [phase.name for phase in alone.phases()] == ["pixel"]
    assert list(alone.players) == ["generator"] and not hasattr(alone, "D") and not alone.chosen
    assert [phase.name for phase in small(name, pixel_rounds=0, rounds=2).phases()] == ["features", "game"]
    assert {"pixel", "laptop", "laptop-pixel"} <= set(SYSTEMS[name].PRESETS)


def rates(game: Any) -> list[float]:
    """The factors on the learning rate in all rounds of the pixel phase and the game."""
    found = []
    for rounds in range(game.total_rounds):
        game.rounds = rounds
        if game.phase()[0].name != "features":
            found.append(game.rate(0.0))
    return found


def test_learning_rates_of_the_papers() -> None:
    changes: dict[str, Any] = {"adam": Adam(1e-4), "pixel_lr": 2e-4}
    assert rates(small("srgan", pixel_rounds=2, rounds=4, **changes)) == [2] * 2 + [1] * 2 + [0.1] * 2
    pixel, game = [2, 1, 1 / 2, 1 / 4, 1 / 8], [1, 1 / 2, 1 / 4, 1 / 4] + [1 / 8] * 2 + [1 / 16] * 2
    assert rates(small("esrgan", pixel_rounds=5, rounds=8, **changes)) == [*pixel, *game]
    assert rates(small("real_esrgan", pixel_rounds=2, rounds=2, **changes)) == [2, 2, 1, 1]


def test_features_are_a_function_of_the_data() -> None:
    stored, games = Memory(edges(40)), [small("esrgan", pixel_rounds=1) for _ in range(2)]
    noise = state(games[0].learned)
    for seed, game in enumerate(games):
        torch.manual_seed(seed)
        game.learn(Batches(stored, batch_size=4, noise=game.noise(), seed=(seed,), arena=game.arena))
    first, second = (state(game.learned) for game in games)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], noise[name]) for name in first if name.endswith("conv1.weight"))
    assert "learned from the data, without labels (320 patches shown)" in games[0].chosen["vgg"]
    patches = exemplars(stored, 16)
    assert patches.shape == (40, 1, 16, 16) and torch.equal(patches, exemplars(stored, 16))


def test_blend_lies_between_the_pixel_phase_and_the_game(tmp_path: Path) -> None:
    game = small("esrgan", pixel_rounds=2, rounds=3)
    source = store_of(SPEC, 2).image[:, :, :8, :8]
    play(game, Memory(edges()), 1)
    early = game.trained()
    assert torch.equal(early.network(source), game.G.eval()(source))
    play(game, Memory(edges()), 1)
    pixel = game.G(source)
    play(game, Memory(edges()), 4)
    translator = game.trained()
    network = translator.network
    assert isinstance(network, Blend)
    assert torch.equal(network(source), game.G(source)) and not torch.equal(game.G(source), pixel)
    network.blend.fill_(0.0)
    assert torch.equal(network(source), pixel)
    network.blend.fill_(0.25)
    expected = pixel.lerp(game.G(source), 0.25)
    assert (network(source) - expected).abs().max() < 0.1 * (pixel - game.G(source)).abs().max()
    translator.encoding = ImageEncoding(SPEC, "lanczos", "crop", 8)
    translator.facts = {"system": "esrgan", "config": to_json(game.config), "data": {"name": "edges"}}
    translator.save(tmp_path / "generator")
    loaded = TrainedGenerator.load(tmp_path / "generator")
    assert torch.equal(loaded.network(source), network(source))


def test_a_translator_without_blend_is_an_rrdbnet() -> None:
    for changes in ({"blend": None}, {"rounds": 0}):
        network = small("esrgan", **changes).trained().network
        plain = RRDBNet(1, features=16, blocks=1, growth=32)
        plain.load_state_dict(network.state_dict())
        values = torch.rand(1, 1, 8, 8)
        assert torch.allclose(plain(values) * 2 - 1, network(values * 2 - 1), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "scale"), [("srgan", 2), ("esrgan", 2), ("esrgan", 1), ("real_esrgan", 2), ("real_esrgan", 1)]
)
def test_other_scales(name: str, scale: int) -> None:
    game = small(name, scale=scale)
    play(game, Memory(edges(40)), 4)
    translator = game.trained().ask(Memory(edges(40)))
    assert translator.sources(0, 3).shape == (3, 1, 32 // scale, 32 // scale)
    assert next(iter(translator.tensors(3))).shape == (3, 1, 32, 32)
    [made] = translator.translate([np.zeros((21, 37, 1), np.uint8)])
    assert made.shape == (21 * scale, 37 * scale, 1)


def test_a_compact_generator_learns_and_is_small() -> None:
    game = small("real_esrgan", compact=2, pixel_rounds=60, rounds=3, sharpen=False, ema_half_life=None)
    assert len(game.G.convs) == 4
    play(game, Memory(edges()), game.total_rounds)
    translator = game.trained().ask(Memory(edges()))
    [made] = translator.tensors(64)
    assert psnr(made, edges()[:64]) > psnr(enlarge(translator.sources(0, 64), 4), edges()[:64])


def test_relativistic_losses_of_a_discriminator_that_cannot_tell() -> None:
    game = small("esrgan")
    game.D.head.weight.data.zero_()
    batch = game.posed({"image": edges(4), "crop": torch.rand(4, 4), "pose": torch.rand(4, 1)})
    g, d = game.losses(batch)
    assert float(d["adversarial"]) == pytest.approx(2 * math.log(2))
    assert float(g["adversarial"]) == pytest.approx(0.005 * 2 * math.log(2))
    assert float(g["l1"]) == pytest.approx(0.01 * float((game.G(batch["source"]) - batch["image"]).abs().mean()) / 2)


def test_certainty_compares_photos_with_enlargements() -> None:
    game = small("esrgan")
    batch = {"image": edges(4), "crop": torch.rand(4, 4), "pose": torch.rand(4, 1)}
    before = state(game)
    certainty = game.certainty(batch)
    posed = game.posed(batch)
    shown = game.critique({"image": posed["image"]}) - game.critique({"image": game.G(posed["source"])})
    assert certainty.shape == (4,) and torch.allclose(certainty, shown, atol=1e-5)
    assert all(torch.equal(before[name], value) for name, value in state(game).items())


@pytest.mark.parametrize("name", SYSTEMS)
def test_terms_of_the_game_in_bfloat16_are_those_in_full_precision(name: str) -> None:
    logs = []
    for precision in ("fp32", "bf16"):
        config = dataclasses.replace(shrunk(SYSTEMS[name].Config()), patch=32)
        game = seated(name, config, SPEC, Arena(precision=precision))
        game.rounds = 2
        play(game, Memory(edges(40)), 1)
        logs.append(game.arena.log.read(1))
    for term, value in logs[0].items():
        if not term.endswith("/gradient"):
            assert logs[1][term] == pytest.approx(value, rel=0.1, abs=0.02), term


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGG-19 with random weights, in torchvision's layout."""
    path = tmp_path_factory.mktemp("weights") / "vgg19-random.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stack = vgg(VGG19)
    names = {name: f"features.{number}" for number, (name, _) in enumerate(stack.named_children())}
    torch.save({f"{names[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in stack.state_dict().items()}, path)
    return path


def test_vgg_is_used_where_its_weights_are_named(weights: Path, tmp_path: Path) -> None:
    game = small("esrgan", vgg=weights, pixel_rounds=1, rounds=2)
    assert "conv5_4" in game.chosen["vgg"] and [phase.name for phase in game.phases()] == ["pixel", "game"]
    assert not any("vgg" in name or "learned" in name for name in game.state_dict())
    play(game, Memory(edges(40)), 2)
    assert game.perceptual.described()["network"] == "vgg19"
    translator = game.trained()
    translator.facts = {"system": "esrgan", "config": to_json(game.config) | {"vgg": "elsewhere.pth"}}
    translator.save(tmp_path / "generator")
    TrainedGenerator.load(tmp_path / "generator")


def test_a_file_of_vgg_that_is_missing_is_named() -> None:
    with pytest.raises(BadFile, match=r"nowhere\.pth: there is no such file"):
        small("srgan", vgg=Path("nowhere.pth"))


@pytest.mark.parametrize(
    ("changes", "spec", "words"),
    [
        ({"patch": 64}, SPEC, r"patches of 64 pixels a side.*gives 32 x 32.*--data\.fit tiles --data\.resolution 64"),
        ({"scale": 8, "patch": 12}, SPEC, r"--scale 8 must divide.*32 x 32 pixels and --patch 12"),
        ({"rounds": 0, "pixel_rounds": 0}, SPEC, r"--rounds and --pixel-rounds are both 0"),
        ({}, Spec((4, 32, 32)), r"--data\.channels 3"),
    ],
)
def test_refusals(changes: dict[str, Any], spec: Spec, words: str) -> None:
    for name, module in SYSTEMS.items():
        with pytest.raises(BadOption, match=words) as caught:
            seated(name, dataclasses.replace(shrunk(module.Config()), **changes), spec)
        assert name in str(caught.value) or "--scale" in str(caught.value)


def test_sharpening() -> None:
    flat, step = torch.full((1, 1, 64, 64), 0.3), edges(1)
    assert torch.allclose(sharpened(flat), flat, atol=1e-5)
    weak = flat + 0.02 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(sharpened(weak, threshold=20.0), weak)
    sharp = sharpened(step)
    assert sharp.abs().max() <= 1.0 and sharp.var() > step.var()


def test_games_start_from_the_average_of_the_pixel_phase() -> None:
    game = small("real_esrgan", pixel_rounds=3, rounds=2)
    play(game, Memory(edges(40)), 4)
    average = state(game.generator.ema(game.G))
    assert any(not torch.equal(average[name], value) for name, value in state(game.G).items())
    game.begin()
    assert all(torch.equal(average[name], value) for name, value in state(game.G).items())
    assert all(not bool(value.any()) for memory in game.generator.optimizer.state.values() for value in memory.values())
