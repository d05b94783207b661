"""ProGAN grows as the paper says, and what it is in the middle of growing survives."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.gans.games import play, seated, shrunk, store_of
from tests.gans.quadrants import SPEC, nearest, quadrants
from tests.gans.test_contract import state
from zerosum.core.settings import to_json
from zerosum.data.encodings import ImageEncoding
from zerosum.data.spec import Spec
from zerosum.gans.images.progan import PRESETS, Config, ProGAN
from zerosum.training import checkpoint
from zerosum.training.generator import TrainedGenerator
from zerosum.training.optimizers import Adam

SMALL_SPEC = Spec((3, 16, 16), classes=4)
SMALL = dataclasses.replace(shrunk(Config()), minibatch_std=4)


def at(rounds: int, config: Config = SMALL) -> ProGAN:
    """A game that has played so many rounds."""
    game: Any = seated("progan", config, SMALL_SPEC)
    play(game, store_of(SMALL_SPEC), rounds)
    return game


def test_phases_of_the_paper() -> None:
    with torch.device("meta"):
        game = ProGAN(dataclasses.replace(PRESETS["celebahq1024"], channel_max=1), Spec((3, 1024, 1024)))
    phases = game.phases()
    assert [phase.name for phase in phases[:4]] == ["4x4", "8x8 fades in", "8x8", "16x16 fades in"]
    assert phases[-1].name == "1024x1024" and len(phases) == 17
    assert [phase.batch_size for phase in phases] == [16] * 11 + [14] * 2 + [6] * 2 + [3] * 2
    shown = sum(phase.rounds * phase.batch_size for phase in phases if phase.batch_size)
    assert shown == pytest.approx(19e6, rel=1e-4)


def test_alpha_rises_in_a_straight_line() -> None:
    game: Any = seated("progan", SMALL, SMALL_SPEC)
    seen = []
    for _ in range(game.total_rounds):
        play(game, store_of(SMALL_SPEC), 1)
        seen.append((game.phase()[0].name, game.D.growth))
        assert {network.growth for network in (game.G, game.D, game.generator.ema(game.G))} == {seen[-1][1]}
    fading = [0.25, 0.5, 0.75, 1.0]
    expected = [0.0] * 3 + fading + [1.0] * 3 + [1.0 + alpha for alpha in fading] + [2.0] * 4
    assert [growth for _, growth in seen] == expected
    assert game.trained().network.growth == 2.0


@pytest.mark.parametrize("rounds", [2, 5, 8, 12], ids=["before a phase", "fading", "whole", "fading again"])
def test_a_game_goes_on_bit_for_bit_while_it_grows(rounds: int, tmp_path: Path) -> None:
    game = at(rounds)
    progress = {**dict.fromkeys(checkpoint.PROGRESS), "samples": game.arena.samples, "rounds": game.rounds}
    path = checkpoint.save(tmp_path, game, progress)
    other: Any = seated("progan", SMALL, SMALL_SPEC)
    other.arena.samples = checkpoint.load(path, other)["samples"]
    assert other.G.growth == game.G.growth
    for one in (game, other):
        play(one, store_of(SMALL_SPEC), 3)
    expected, found = state(game), state(other)
    assert [key for key, value in expected.items() if not torch.equal(value, found[key])] == []


def test_a_half_grown_generator_is_saved_as_it_is(tmp_path: Path) -> None:
    game = at(5)
    generator = game.trained()
    generator.encoding = ImageEncoding(SMALL_SPEC, "lanczos", "crop", 8)
    generator.facts = {"system": "progan", "config": to_json(SMALL), "data": {"name": "noise"}}
    generator.save(tmp_path / "generator")
    loaded = TrainedGenerator.load(tmp_path / "generator")
    [expected], [found] = list(generator.tensors(4, seed=5)), list(loaded.tensors(4, seed=5))
    assert torch.equal(expected, found) and expected.shape == (4, 3, 16, 16)
    # 8 x 8 pixels, enlarged by nearest neighbours.
    torch.testing.assert_close(F.interpolate(F.avg_pool2d(found, 2), scale_factor=2), found)
    play(game, store_of(SMALL_SPEC), 12)
    finer = next(iter(game.trained().tensors(4, seed=5)))
    assert (F.interpolate(F.avg_pool2d(finer, 2), scale_factor=2) - finer).abs().max() > 1e-3


def test_optimizers_begin_anew_with_each_resolution() -> None:
    game = at(3)

    def steps() -> set[float]:
        memories = [memory for player in game.players.values() for memory in player.optimizer.state.values()]
        return {memory["step"].item() for memory in memories}

    assert steps() == {3.0}
    play(game, store_of(SMALL_SPEC), 1)  # the first round of a fade-in
    assert steps() == {1.0}
    play(game, store_of(SMALL_SPEC), 6)  # the end of the fade-in changes nothing
    assert 7.0 in steps()


def test_layers_beyond_the_growth_are_left_alone() -> None:
    game = at(0)
    before = {name: value.clone() for name, value in game.named_parameters()}
    play(game, store_of(SMALL_SPEC), 3)
    changed = {name for name, value in game.named_parameters() if not torch.equal(before[name], value)}
    changed = {name for name in changed if not name.startswith("generator.")}
    assert changed and not {name for name in changed if "blocks" in name or "_image.1" in name or "_image.2" in name}


def test_the_critics_loss_by_hand() -> None:
    config = dataclasses.replace(SMALL, target=750.0, drift=0.5, minibatch_std=0)
    game: Any = seated("progan", config, SMALL_SPEC)
    game.G.growth = game.D.growth = 2.0
    batch = store_of(SMALL_SPEC).fetch(torch.arange(6)) | {"z": torch.randn(6, 8), "mix": torch.rand(6, 1)}
    terms = game.critic_loss(batch)
    fake, real = game.G(batch["z"]).detach(), batch["image"]
    mix = batch["mix"][:, :, None, None]
    x: Tensor = (mix * real + (1 - mix) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(game.D(x).sum(), x)
    norm = gradient.flatten(1).norm(dim=1)
    assert terms["penalty"].item() == pytest.approx((10 * ((norm - 750) / 750) ** 2).mean().item(), rel=1e-4)
    assert terms["drift"].item() == pytest.approx(0.5 * game.D(real).square().mean().item(), rel=1e-4)
    assert terms["adversarial"].item() == pytest.approx((game.D(fake).mean() - game.D(real).mean()).item(), abs=1e-5)


@pytest.mark.parametrize("conditional, phase, finish", [(False, 640, 4000), (True, 480, 1600)])
def test_quadrants_are_learnt_while_growing(conditional: bool, phase: int, finish: int) -> None:
    config = Config(
        phase, phase, finish, 16, latent=8, channel_base=64, channel_max=16, conditional=conditional, penalty=0.5,
        adam=Adam(3e-3, (0.0, 0.99)), ema_half_life=300.0,
    )  # fmt: skip
    game = seated("progan", config, SPEC)
    play(game, quadrants(), game.total_rounds)
    label = torch.arange(200) % 4
    images = next(iter(game.trained().tensors(200, given={"label": label} if conditional else None)))
    distance, which = nearest(images)
    assert distance.median() < 0.4  # two quadrants lie 0.8 apart
    assert torch.bincount(which[distance < 0.4], minlength=4).min() > 10
    if conditional:
        assert (which == label).float().mean() > 0.8
