"""What the strongest generators rest on: R3GAN's one pass through D, StyleGAN2's regularisers and style mixing."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from tests.gans.games import shrunk, store_of
from zerosum.core import discovery
from zerosum.core.errors import BadOption
from zerosum.data.spec import Spec
from zerosum.objectives.adversarial import relativistic_d, relativistic_g
from zerosum.objectives.penalties import r1, r2
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches

SPEC = Spec((3, 16, 16), classes=4)


def game_of(system: str, spec: Spec = SPEC, **settings: Any) -> Any:
    """A small game with a seat."""
    torch.manual_seed(0)
    game_class: Any = discovery.game_class(system)
    return game_class(dataclasses.replace(shrunk(game_class.Config()), **settings), spec).seat(Arena()).train()


def batches_of(game: Any) -> Batches:
    return Batches(store_of(game.spec), batch_size=8, noise=game.noise(), seed=(0,), arena=game.arena)


def disturbed(game: Any) -> Any:
    """No weight is zero: R3GAN's blocks begin as the identity."""
    with torch.no_grad():
        for parameter in game.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return game


@pytest.mark.parametrize("conditional", [False, True])
def test_r3gan_gradients_are_those_of_the_losses_taken_apart(conditional: bool) -> None:
    game = disturbed(game_of("r3gan", conditional=conditional, gamma=(0.7, 0.07)))
    batch = next(batches_of(game))
    label = batch["label"] if conditional else None
    game.requires_grad_(True)
    g, d = game.losses(batch, 1.0)
    in_g = torch.autograd.grad(g["adversarial"], list(game.G.parameters()), retain_graph=True)
    in_d = torch.autograd.grad(sum(d.values()), list(game.D.parameters()))

    fake = game.G(batch["z"], label)
    real, made = game.D(batch["image"], label), game.D(fake, label)
    want_g = torch.autograd.grad(relativistic_g(real, made), list(game.G.parameters()), retain_graph=True)
    critic = lambda x: game.D(x, label)  # noqa: E731
    loss = (
        relativistic_d(real, game.D(fake.detach(), label)) + 0.7 * r1(critic, batch["image"]) + 0.7 * r2(critic, fake)
    )
    want_d = torch.autograd.grad(loss, list(game.D.parameters()))

    assert g["adversarial"].item() == pytest.approx(relativistic_g(real, made).item(), rel=1e-5)
    assert d["r1"].item() > 0 and d["r2"].item() > 0
    for got, want in zip((*in_g, *in_d), (*want_g, *want_d), strict=True):
        assert torch.allclose(got, want, rtol=1e-3, atol=1e-6 * float(want.abs().max() + 1.0))


def test_r3gan_lazy_takes_the_penalties_in_some_rounds_only() -> None:
    game = game_of("r3gan", lazy=3)
    batches, seen = batches_of(game), []
    for _ in range(4):
        game.round(batches)
        seen.append("discriminator/r1" in game.arena.log.sums)
        game.arena.log.sums.clear()
        game.rounds += 1
    assert seen == [True, False, False, True]


def test_r3gan_schedules_go_from_their_first_value_to_their_second() -> None:
    game = game_of("r3gan", decay=100.0, ema_half_life=(0.0, 500.0))
    batches = batches_of(game)
    game.round(batches)
    first = game.discriminator.memory()["param_groups"][0]
    assert first["lr"] == pytest.approx(2e-4, rel=0.05) and first["betas"][1] == pytest.approx(0.9, abs=0.01)
    batches.samples = 100
    game.round(batches)
    last = game.generator.memory()["param_groups"][0]
    assert last["lr"] == pytest.approx(5e-5) and last["betas"][1] == pytest.approx(0.99)
    assert game.generator.ema_half_life == pytest.approx(500.0)


def test_stylegan2_regularises_lazily() -> None:
    game = game_of("stylegan2", r1_every=4, path_every=2)
    batches, seen = batches_of(game), []
    for _ in range(5):
        game.round(batches)
        seen.append([name in game.arena.log.sums for name in ("discriminator/r1", "generator/path")])
        game.arena.log.sums.clear()
        game.rounds += 1
    assert seen == [[True, True], [False, False], [False, True], [False, False], [True, True]]
    assert float(game.path_mean) > 0.0
    assert game.discriminator.memory()["param_groups"][0]["betas"][1] == pytest.approx(0.99 ** (4 / 5))


def test_style_mixing_begins_the_second_z_at_a_layer_of_its_own() -> None:
    game = game_of("stylegan2")
    game.eval()
    batch = next(batches_of(game))
    batch["cut"] = torch.tensor([[0.95, 0.0], [0.1, 0.0], [0.1, 0.99]] + [[0.5, 0.5]] * 5)
    first, second = game.G.mapping(batch["z"]), game.G.mapping(batch["other"])
    styles = game.styles(batch)
    layers = styles.shape[1]
    assert torch.equal(styles[0], first[0])  # 0.95 is above the probability
    assert torch.equal(styles[1, :1], first[1, :1]) and torch.equal(styles[1, 1:], second[1, 1:])
    assert torch.equal(styles[2, : layers - 1], first[2, : layers - 1]) and torch.equal(styles[2, -1], second[2, -1])


def test_truncation_draws_towards_the_mean_w() -> None:
    game = game_of("stylegan2")
    batches = batches_of(game)
    for _ in range(2):
        game.round(batches)
    generator = game.trained()
    z = torch.randn(4, game.latent.size)
    assert torch.allclose(generator.map(z, truncation=0.0)[0, 0], generator.network.mapping.w_avg, atol=1e-6)
    full, half, none = (generator.map(z, truncation=psi) for psi in (1.0, 0.5, 0.0))
    assert torch.allclose(half, (full + none) / 2, atol=1e-6)
    assert torch.equal(generator(z), generator.synthesise(full))
    assert torch.equal(generator(z), generator(z))  # constant noise


@pytest.mark.parametrize("system", ["stylegan2", "r3gan"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (4, 24, 40), (3, 30, 17)])
def test_any_shape_and_number_of_channels(system: str, shape: tuple[int, int, int]) -> None:
    game = game_of(system, Spec(shape))
    game.round(batches_of(game))
    assert game.trained()(torch.randn(2, game.latent.size)).shape == (2, *shape)


def test_stylegan3_refuses_images_that_are_not_square() -> None:
    with pytest.raises(BadOption, match="24 x 40"):
        game_of("stylegan3", Spec((3, 24, 40)))


def test_auto_settings_say_why() -> None:
    game = game_of("stylegan2", batch_size=16)
    assert game.gamma == pytest.approx(0.0002 * 256 / 16)
    assert game.chosen["gamma"] == "0.0032: 0.0002 x 256 pixels / batch 16"
    assert "ema-half-life" in game.chosen
    assert "gamma" not in game_of("stylegan2", gamma=1.0).chosen


def test_blur_fades_out_over_the_first_samples() -> None:
    game = game_of("stylegan3", variant="r", blur=10.0)
    image = torch.randn(2, 3, 16, 16)
    blurred = game.critic(image, None)
    game.arena.samples = 10**9
    assert torch.equal(game.critic(image, None), game.D(image)) and not torch.allclose(blurred, game.D(image))


def test_path_lengths_are_the_norm_of_the_jacobian_applied_to_y() -> None:
    from zerosum.objectives.penalties import path_lengths

    torch.manual_seed(0)
    matrix, w = torch.randn(12, 6), torch.randn(3, 2, 3, requires_grad=True)
    image = (w.flatten(1) @ matrix.T).view(3, 1, 3, 4)
    torch.manual_seed(1)
    lengths = path_lengths(image, w)
    torch.manual_seed(1)
    y = torch.randn(3, 1, 3, 4) / 12**0.5
    jacobian = (y.flatten(1) @ matrix).view(3, 2, 3)
    assert torch.allclose(lengths, jacobian.square().sum(2).mean(1).sqrt(), atol=1e-6)
