"""Players: whose gradients, how many samples at once, what is averaged, what is taken back."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.toys import network, same, state, toy
from zerosum.core.errors import BadOption, NotFinite
from zerosum.core.schedules import linear_decay
from zerosum.data.spec import Batch
from zerosum.networks.encoder import Encoder
from zerosum.objectives.adversarial import logistic_d, nonsaturating_g
from zerosum.training.arena import Arena
from zerosum.training.optimizers import SGD, Adam, Optimizer, RMSProp
from zerosum.training.player import Losses, Player, fixed, simultaneously


def seated(network: nn.Module, arena: Arena | None = None, **options: Any) -> Player:
    """A player of one network with a seat."""
    player = Player(network, **options)
    player.seat("someone", arena or Arena())
    return player


def batch(n: int = 8, seed: int = 0) -> Batch:
    return {"image": torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))}


def square(network: nn.Module) -> Any:
    """A loss function: the mean square of what the network makes."""
    return lambda batch: {"square": network(batch["image"]).square().mean()}


def test_gradients_stay_home() -> None:
    game = toy(Arena())
    seen: dict[str, list[bool]] = {}

    def loss(batch: Batch) -> Losses:
        seen["G"] = [p.requires_grad for p in game.G.parameters()]
        seen["D"] = [p.requires_grad for p in game.D.parameters()]
        return game.generator_loss(batch)

    before = copy.deepcopy(game.D.state_dict())
    game.generator.step(loss, {"z": torch.randn(8, 4)})
    assert all(seen["G"]) and not any(seen["D"])
    assert not any(p.requires_grad for p in game.parameters())
    assert all(p.grad is None for p in game.D.parameters())
    assert all(torch.equal(p, before[name]) for name, p in game.D.named_parameters())


def test_no_grad_is_required_after_an_error() -> None:
    net = nn.Linear(3, 1)
    player = seated(net)
    with pytest.raises(ZeroDivisionError):
        player.step(lambda batch: {"loss": 1 / 0}, batch())
    assert not any(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("micro", [1, 3, 4, 8, 100])
def test_micro_batches_equal_the_full_batch(micro: int) -> None:
    torch.manual_seed(0)
    net = network(3, 2, norm=False)
    other = copy.deepcopy(net)
    whole, pieces = seated(net), seated(other, Arena(micro_batch=micro))
    for seed in range(5):
        made = [
            player.step(lambda b, n=n: {"square": n(b["image"]).square().mean(), "made": n(b["image"])}, batch(8, seed))
            for player, n in ((whole, net), (pieces, other))
        ]
        assert torch.allclose(made[0]["made"], made[1]["made"], atol=1e-6)
        assert made[1]["made"].shape == (8, 2) and not made[1]["made"].requires_grad
    for one, two in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_gain_scales_the_gradient() -> None:
    nets = [nn.Linear(3, 1) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    for net, gain in zip(nets, (1.0, 3.0), strict=True):
        seated(net, optimizer=SGD(0.1, 0.0)).step(square(net), batch(), gain=gain)
    assert nets[0].weight.grad is not None and nets[1].weight.grad is not None
    assert torch.allclose(nets[0].weight.grad * 3, nets[1].weight.grad)


@pytest.mark.parametrize(
    ("settings", "lazy"),
    [
        (Adam(1e-3, (0.0, 0.99)), Adam(1e-3 * 16 / 17, (0.0, 0.99 ** (16 / 17)))),
        (Adam(1e-3, (0.5, 0.9)), Adam(1e-3 * 16 / 17, (0.5 ** (16 / 17), 0.9 ** (16 / 17)))),
        (RMSProp(1e-3, 0.9), RMSProp(1e-3 * 16 / 17, 0.9 ** (16 / 17))),
        (SGD(1e-3, 0.5), SGD(1e-3 * 16 / 17, 0.5)),
    ],
)
def test_lazy_regularisers_correct_rate_and_betas(settings: Optimizer, lazy: Optimizer) -> None:
    player = seated(nn.Linear(3, 1), optimizer=settings, lazy=16)
    assert player.settings == lazy
    assert player.optimizer is not None and player.optimizer.param_groups[0]["lr"] == lazy.lr


def test_impossible_settings_are_told() -> None:
    with pytest.raises(BadOption, match="Invalid learning rate: -1"):
        seated(nn.Linear(3, 1), optimizer=Adam(-1.0))
    with pytest.raises(BadOption, match="has no seat yet"):
        Player(nn.Linear(3, 1)).step(lambda b: {}, batch())


def test_ema_half_life_without_ramp() -> None:
    net = nn.Linear(3, 1, bias=False)
    player = seated(net, optimizer=SGD(0.0, 0.0), ema_half_life=20.0, ema_ramp=math.inf)
    player.arena.samples = 1
    start = player.averages[0].weight.clone()
    with torch.no_grad():
        net.weight.add_(1.0)
    for k in range(1, 6):
        player.step(square(net), batch(8))
        expected = net.weight - 0.5 ** (k * 8 / 20)
        assert torch.allclose(player.averages[0].weight, expected, atol=1e-6), k
    assert torch.allclose(start + 1, net.weight)


def test_ema_ramp_shortens_the_half_life() -> None:
    net = nn.Linear(3, 1, bias=False)
    player = seated(net, optimizer=SGD(0.0, 0.0), ema_half_life=1000.0, ema_ramp=0.05)
    with torch.no_grad():
        net.weight.add_(1.0)
    left = 1.0
    for k in range(1, 6):
        player.arena.samples = 8 * k
        player.step(square(net), batch(8))
        left *= 0.5 ** (8 / (8 * k * 0.05))
        assert torch.allclose(player.averages[0].weight, net.weight - left, atol=1e-6)


def test_ema_takes_buffers_as_they_are_and_stays_in_eval_mode() -> None:
    net = network(3, 2, norm=True)
    player = seated(net, ema_half_life=10.0)
    player.train()
    player.step(square(net), batch())
    norm, average = net[1], player.averages[0][1]
    assert torch.equal(norm.running_mean, average.running_mean) and norm.running_mean.abs().sum() > 0
    assert norm.training and not average.training
    assert player.ema(net) is player.averages[0]
    assert seated(nn.Linear(1, 1)).averages == nn.ModuleList() or len(seated(nn.Linear(1, 1)).averages) == 0


@pytest.mark.parametrize("optimizer", [Adam(1e-2), RMSProp(1e-2), SGD(1e-2)])
@pytest.mark.parametrize("fresh", [True, False])
def test_unroll_takes_everything_back(optimizer: Optimizer, fresh: bool) -> None:
    torch.manual_seed(0)
    net = network(3, 2, norm=True)
    player = seated(net, optimizer=optimizer, ema_half_life=10.0)
    if not fresh:
        player.step(square(net), batch())

    def everything() -> dict[str, torch.Tensor]:
        memory = {
            f"{i}.{name}": value.clone()
            for i, kept in player.memory()["state"].items()
            for name, value in kept.items()
            if isinstance(value, torch.Tensor)
        }
        return {k: v.clone() for k, v in (net.state_dict() | player.state_dict()).items()} | memory

    before = everything()
    with player.unroll():
        for seed in range(3):
            player.step(square(net), batch(seed=seed))
        assert not same(before, everything())
    assert same(before, everything())
    with pytest.raises(ZeroDivisionError), player.unroll():
        player.step(square(net), batch())
        raise ZeroDivisionError
    assert same(before, everything())


def test_unrolled_steps_do_not_change_what_comes_after() -> None:
    torch.manual_seed(0)
    one, two = network(3, 2, norm=True), network(3, 2, norm=True)
    two.load_state_dict(one.state_dict())
    first, second = seated(one), seated(two)
    with first.unroll():
        first.step(square(one), batch(seed=5))
    for seed in range(3):
        first.step(square(one), batch(seed=seed))
        second.step(square(two), batch(seed=seed))
    assert same(one.state_dict(), two.state_dict())


def test_reset_clears_in_place() -> None:
    game = toy(Arena())
    loss = game.discriminator_loss
    game.discriminator.step(loss, {"image": torch.randn(8, 2), "z": torch.randn(8, 4)})
    optimizer = game.discriminator.optimizer
    game.discriminator.reset()
    memory = [v for name, v in state(game).items() if name.startswith("discriminator.") and "exp_avg" in name]
    assert memory and all(not value.any() for value in memory)
    assert game.discriminator.optimizer is optimizer
    assert all(not kept["step"].any() for kept in game.discriminator.memory()["state"].values())


def test_clip() -> None:
    net = nn.Linear(3, 1)
    before = net.weight.clone(), net.bias.clone()
    seated(net, optimizer=SGD(1.0, 0.0), clip=0.01).step(lambda b: {"loss": 100 * net(b["image"]).mean()}, batch())
    change = torch.cat([(net.weight - before[0]).flatten(), net.bias - before[1]])
    assert change.norm().item() == pytest.approx(0.01, rel=1e-3)


def test_rate_follows_progress_and_roll_backs() -> None:
    player = seated(nn.Linear(3, 1), optimizer=Adam(0.1), rate=linear_decay())
    net = player.networks[0]
    for progress, rate, expected in ((0.0, 1.0, 0.1), (0.5, 1.0, 0.05), (0.5, 0.25, 0.0125), (1.0, 1.0, 0.0)):
        player.arena.progress, player.arena.rate = progress, rate
        player.step(square(net), batch())
        assert player.optimizer is not None
        assert player.optimizer.param_groups[0]["lr"] == pytest.approx(expected)


def test_value_takes_no_step() -> None:
    game = toy(Arena(), norm=False)
    game.discriminator.step(game.discriminator_loss, {"image": torch.randn(8, 2), "z": torch.randn(8, 4)})
    before = state(game)
    full = {"image": torch.randn(8, 2), "z": torch.randn(8, 4)}
    value = game.discriminator.value(game.discriminator_loss, full)
    assert same(before, state(game))
    assert value == pytest.approx(float(game.discriminator_loss(full)["adversarial"]), rel=1e-6)
    game.arena.micro_batch = 3
    assert game.discriminator.value(game.discriminator_loss, full) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(("factor", "term"), [(float("nan"), "loss term 'odd'"), (float("inf"), "loss term 'odd'")])
def test_not_finite_names_term_player_and_round(factor: float, term: str) -> None:
    net = nn.Linear(3, 1)
    player = seated(net, Arena(round=1234), optimizer=Adam(0.1), ema_half_life=5.0)
    player.step(square(net), batch())
    before = {k: v.clone() for k, v in (net.state_dict() | player.state_dict()).items()}
    with pytest.raises(NotFinite, match=f"someone: the {term} is not finite in round 1,234") as caught:
        player.step(lambda b: {"fine": net(b["image"]).mean(), "odd": net(b["image"]).mean() * factor}, batch())
    assert (caught.value.term, caught.value.player, caught.value.round) == ("odd", "someone", 1234)
    assert same(before, net.state_dict() | player.state_dict())


def test_a_gradient_that_is_not_finite() -> None:
    net = nn.Linear(3, 1)
    player = seated(net)
    before = net.weight.clone()
    with pytest.raises(NotFinite, match="the gradient is not finite"):
        player.step(lambda b: {"root": (net(b["image"]) * 0).abs().sqrt().sum()}, batch())
    assert torch.equal(before, net.weight)


@pytest.mark.parametrize("micro", [None, 3])
def test_simultaneous_steps_are_the_steps_of_each_from_where_both_were(micro: int | None) -> None:
    together, apart = (toy(Arena(micro_batch=micro), norm=False, sgd=True) for _ in range(2))
    data = {"image": torch.randn(8, 2), "z": torch.randn(8, 4)}

    def both(batch: Batch) -> tuple[Losses, Losses]:
        fake = together.G(batch["z"])
        real, made = together.D(batch["image"]).flatten(), together.D(fake).flatten()
        return {"adversarial": nonsaturating_g(made), "fake": fake}, {"adversarial": logistic_d(real, made)}

    made = simultaneously(both, data, together.generator, together.discriminator)
    # D's step needs the images that G made before its own step: G goes second, but reads the old D through a copy.
    old = copy.deepcopy(apart.D)
    apart.discriminator.step(apart.discriminator_loss, data)
    apart.generator.step(lambda batch: {"adversarial": nonsaturating_g(old(apart.G(batch["z"])).flatten())}, data)
    for one, two in zip(together.parameters(), apart.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)
    assert made["fake"].shape == (8, 2) and not made["fake"].requires_grad
    assert not any(p.requires_grad for p in together.parameters())


def test_simultaneous_steps_name_the_player_whose_loss_is_not_finite() -> None:
    game = toy(Arena())

    def bad(batch: Batch) -> tuple[Losses, Losses]:
        made = game.D(game.G(batch["z"])).flatten()
        return {"adversarial": nonsaturating_g(made)}, {"adversarial": made.mean() * float("nan")}

    with pytest.raises(NotFinite, match="discriminator"):
        simultaneously(bad, {"z": torch.randn(8, 4)}, game.generator, game.discriminator)


def test_beta2_can_change() -> None:
    player = seated(nn.Linear(3, 1), optimizer=Adam(1e-3, (0.0, 0.9)))
    player.retune(beta2=0.99)
    assert player.memory()["param_groups"][0]["betas"] == (0.0, 0.99)


def test_fixed_networks_pass_gradients_on_and_learn_nothing() -> None:
    torch.manual_seed(0)
    E, x = Encoder((3, 16, 16), 2, width=4), torch.rand(2, 3, 16, 16, requires_grad=True)
    mean, _ = fixed(E)(x)
    assert torch.equal(mean, E(x)[0])
    mean.sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in E.parameters())
