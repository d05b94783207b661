"""Games trained together learn what they learn apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zerosum.core import randomness
from zerosum.core.errors import BadOption
from zerosum.data.spec import Batch, Spec
from zerosum.lab.points import PointProtocol, build, check_separable
from zerosum.lab.together import Together, join, scaled
from zerosum.networks.families import MLP
from zerosum.networks.mlp import Discriminator
from zerosum.training.arena import Arena
from zerosum.training.optimizers import SGD, Adam, RMSProp
from zerosum.training.player import Player

SPEC = Spec((2,), kind="points")
SMALL = PointProtocol(batch_size=8, networks=MLP(hidden=16, layers=2))


class Given:
    """Batches made beforehand."""

    def __init__(self, batches: list[Batch]):
        self.batches, self.batch_size = list(batches), 8

    def __next__(self) -> Batch:
        return self.batches.pop(0)


def batches(game: Any, seed: int, count: int) -> list[Batch]:
    random = randomness.generator("cpu", seed)
    return [
        {"image": torch.randn(8, 2, generator=random)}
        | {name: latent.draw(8, random) for name, latent in game.noise().items()}
        for _ in range(count)
    ]


def played(game: Any, given: list[Batch], rounds: int) -> Any:
    game.seat(Arena())
    game.train()
    stream = Given(given)
    for _ in range(rounds):
        game.phase()[0].play(stream)
        game.rounds += 1
    return game


OPTIMIZERS = [Adam(1e-2, (0.5, 0.9), eps=1e-4), RMSProp(1e-3, eps=1e-4), SGD(0.05)]
CASES = [(system, one) for system in ("gan", "wgan_gp", "rpgan", "pacgan", "sngan") for one in OPTIMIZERS]
CASES += [("unrolled_gan", OPTIMIZERS[0])]  # it unrolls Adam, whatever else D learns with


@pytest.mark.parametrize(("system", "optimizer"), CASES)
def test_together_equals_apart(system: str, optimizer: Adam | RMSProp | SGD) -> None:
    def fresh(seed: int) -> Any:
        game = build(system, SPEC, SMALL, seed)
        for player in game.players.values():
            player.settings = optimizer
        return game

    rounds, streams = 4, [batches(fresh(0), seed, 60) for seed in (5, 6)]
    apart = [played(fresh(seed), stream, rounds) for seed, stream in zip((0, 1), streams, strict=True)]
    joint = [{name: torch.cat([a[name], b[name]]) for name in a} for a, b in zip(*streams, strict=True)]
    together = played(join([fresh(0), fresh(1)]), joint, rounds)
    began = fresh(0)
    for network in ("G", "D"):
        stacked = getattr(together, network).network
        for index, game in enumerate(apart):
            own = dict(getattr(game, network).named_parameters())
            for name, parameter in stacked.named_parameters():
                assert torch.allclose(parameter[index], own[name], atol=1e-5), (network, name)
        first = next(getattr(began, network).parameters())
        assert not torch.allclose(first, next(stacked.parameters())[0], atol=1e-5), "nothing was learned"
    own = dict(apart[1].averaged(apart[1].G).named_parameters())
    for name, parameter in together.averaged(together.G).network.named_parameters():
        assert torch.allclose(parameter[1], own[name], atol=1e-5), name


def test_each_network_sees_its_own_samples() -> None:
    networks = [Discriminator((2,), hidden=8, pieces=2) for _ in range(3)]
    x = torch.randn(12, 2)
    expected = torch.cat([network(piece) for network, piece in zip(networks, x.split(4), strict=True)])
    assert torch.allclose(Together(networks)(x), expected, atol=1e-6)


def test_running_statistics_are_each_networks_own() -> None:
    networks = [nn.Sequential(nn.BatchNorm1d(2)) for _ in range(2)]
    together = Together(networks)
    together(torch.cat([torch.zeros(8, 2), torch.full((8, 2), 5.0)]))
    mean = together.network.get_buffer("0.running_mean")
    assert torch.allclose(mean, torch.tensor([[0.0, 0.0], [0.5, 0.5]]))


def test_dropout_differs_between_games() -> None:
    out = Together([nn.Dropout(0.5), nn.Dropout(0.5)])(torch.ones(200, 2))
    assert not torch.equal(out[:100], out[100:])


def test_settings_that_undo_the_mean_over_games() -> None:
    assert scaled(SGD(0.1), 5).lr == pytest.approx(0.5)
    assert scaled(Adam(eps=1e-8), 5) == Adam(eps=1e-8 / 5)


def test_games_that_cannot_be_joined_say_so() -> None:
    clipping: list[Any] = [build("gan", SPEC, SMALL, seed) for seed in (0, 1)]
    clipping[0].discriminator.clip = 1.0
    with pytest.raises(BadOption, match="discriminator clips its gradient's norm.*--apart"):
        join(clipping)
    keeping = [build("gan", SPEC, SMALL, seed) for seed in (0, 1)]
    keeping[0].register_buffer("balance", torch.zeros(()))
    with pytest.raises(BadOption, match="keeps balance outside its networks.*--apart"):
        join(keeping)


def test_a_loss_that_ties_samples_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from zerosum.data.loading import load
    from zerosum.data.options import Data
    from zerosum.gans.images import gan

    dataset = load(torch.randn(200, 2).numpy(), Data())
    check_separable("gan", dataset, SMALL)

    def relativistic_average(real: Tensor, fake: Tensor) -> Tensor:
        return nn.functional.softplus(fake.mean() - real).mean()

    monkeypatch.setattr(gan, "logistic_d", relativistic_average)
    with pytest.raises(BadOption, match="the loss of gan ties the samples of a batch"):
        check_separable("gan", dataset, SMALL)


def test_a_player_keeps_no_stale_network() -> None:
    game = join([build("gan", SPEC, SMALL, seed) for seed in (0, 1)]).seat(Arena())
    assert isinstance(game.G, Together)
    assert all(isinstance(network, Together) for player in game.players.values() for network in player.networks)
    assert isinstance(next(iter(game.players.values())), Player)
