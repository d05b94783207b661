"""Games: which phase a round belongs to, what train() switches, what critique() leaves alone."""

from __future__ import annotations

import pytest
import torch

from tests.training.toys import same, state, toy
from zerosum.training.arena import Arena


@pytest.mark.parametrize(
    ("rounds", "expected"), [(0, ("alone", 0)), (2, ("alone", 2)), (3, ("both", 0)), (6, ("both", 3)), (7, ("both", 4))]
)
def test_the_phase_of_a_round(rounds: int, expected: tuple[str, int]) -> None:
    game = toy(rounds=7)
    game.rounds = rounds
    phase, played = game.phase()
    assert (phase.name, played) == expected
    assert game.total_rounds == 7


def test_train_does_not_switch_the_averages() -> None:
    game = toy(Arena())
    game.train()
    assert game.G.training and not any(
        module.training for module in game.generator.averages.modules() if module is not game.generator.averages
    )
    game.eval()
    assert not game.G.training


def test_players_and_averages() -> None:
    game = toy(Arena())
    assert list(game.players) == ["discriminator", "generator"]
    assert game.averaged(game.G) is game.generator.averages[0]
    assert game.averaged(game.D) is game.D
    assert not any(name.startswith("generator.networks") for name in game.state_dict())


def test_undisturbed_puts_buffers_back() -> None:
    game = toy(Arena()).train()
    before = state(game)
    with game.undisturbed(game.D):
        game.D(torch.randn(8, 2))
        assert not same(before, state(game))
    assert same(before, state(game))
    with pytest.raises(ZeroDivisionError), game.undisturbed(game.D):
        game.D(torch.randn(8, 2))
        raise ZeroDivisionError
    assert same(before, state(game))


def test_trained_is_a_copy() -> None:
    game = toy(Arena())
    generator = game.trained()
    with torch.no_grad():
        game.generator.averages[0][0].weight.zero_()
    assert generator.network[0].weight.abs().sum() > 0
