"""Each system must solve a toy in seconds, and do by the numbers what its paper says."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from tests.gans.games import Memory, play, seated, store_of
from zerosum.core.errors import BadOption
from zerosum.data.builtin import ring_modes
from zerosum.data.spec import Spec
from zerosum.gans.images import (
    cgan,
    gan,
    improved_gan,
    infogan,
    lsgan,
    pacgan,
    rpgan,
    sngan,
    unrolled_gan,
    wgan,
    wgan_gp,
)
from zerosum.gans.images.pacgan import packed
from zerosum.networks.families import DCGAN, MLP
from zerosum.training.arena import Arena
from zerosum.training.optimizers import Adam, RMSProp

POINTS = Spec((2,), kind="points")
MODES = torch.as_tensor(ring_modes(), dtype=torch.float32)
NET = MLP(hidden=64, layers=2)
ADAM = Adam(2e-3, (0.5, 0.999))

RING: dict[str, tuple[Any, int]] = {
    "gan": (gan.Config(networks=NET, latent=4, optimizer=ADAM), 1500),
    "lsgan": (lsgan.Config(networks=NET, latent=4, adam=ADAM), 1500),
    "wgan_gp": (wgan_gp.Config(networks=NET, latent=4, adam=Adam(3e-3, (0.0, 0.9)), penalty=0.1, critic_steps=2), 1200),
    "rpgan": (rpgan.Config(networks=NET, latent=4, adam=Adam(3e-3, (0.0, 0.99))), 1200),
    "pacgan": (pacgan.Config(networks=NET, latent=4, adam=ADAM), 1500),
    "sngan": (sngan.Config(networks=NET, latent=4, adam=Adam(4e-3, (0.0, 0.9)), discriminator_steps=2), 1200),
    "improved_gan": (improved_gan.Config(networks=NET, latent=4, adam=ADAM, kernels=10), 1000),
    "infogan": (
        infogan.Config(networks=NET, latent=2, categories=8, continuous=0, discriminator_adam=Adam(1e-3)),
        1000,
    ),
    "unrolled_gan": (
        unrolled_gan.Config(networks=NET, latent=4, steps=2, discriminator_adam=ADAM, generator_adam=ADAM),
        800,
    ),
}


def ring(n: int = 4000, labels: bool = False) -> Memory:
    """Points of the ring of 8 Gaussians, labelled by their mode if asked."""
    generator = torch.Generator().manual_seed(0)
    mode = torch.randint(8, (n,), generator=generator)
    return Memory(MODES[mode] + 0.02 * torch.randn(n, 2, generator=generator), mode if labels else None)


def nearest(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(distance to the nearest mode, which it is), each (n,)."""
    return torch.cdist(points, MODES).min(dim=1)


@pytest.mark.parametrize("name", RING)
def test_the_ring_is_covered(name: str) -> None:
    config, rounds = RING[name]
    game = seated(name, dataclasses.replace(config, rounds=rounds, batch_size=64, ema_half_life=2000.0), POINTS)
    play(game, ring(), rounds)
    distance, mode = nearest(next(iter(game.trained().tensors(2000, batch=2000))))
    near = distance < 0.3
    counts = torch.bincount(mode[near], minlength=8)
    assert counts.min() > 2000 * 0.01, counts  # all modes, each with a share
    assert near.float().mean() > 0.5  # of a circle through the modes 0.38 would be near


@pytest.mark.parametrize("name", ["cgan", "rpgan"])
def test_labels_are_obeyed(name: str) -> None:
    config: Any = cgan.Config(latent=4, networks=NET, optimizer=ADAM)
    if name == "rpgan":
        config = dataclasses.replace(RING[name][0], conditional=True)
    config = dataclasses.replace(config, rounds=500, batch_size=64, ema_half_life=2000.0)
    game = seated(name, config, dataclasses.replace(POINTS, classes=8))
    play(game, ring(labels=True), 500)
    label = torch.arange(800) % 8
    _, mode = nearest(next(iter(game.trained().tensors(800, given={"label": label}, batch=800))))
    assert (mode == label).float().mean() > 0.9


def test_infogan_reads_its_code_and_obeys_it() -> None:
    config, rounds = RING["infogan"]
    game = seated("infogan", dataclasses.replace(config, rounds=rounds, batch_size=64, ema_half_life=None), POINTS)
    play(game, ring(), rounds)
    generator = game.trained()
    with torch.no_grad():
        for code in range(8):
            x = next(iter(generator.tensors(50, given={"code": code})))
            assert (game.judge(x)[1].argmax(1) == code).float().mean() > 0.9
    one_by_one = next(iter(generator.tensors(8, given={"code": torch.arange(8)})))
    whole = next(iter(generator.tensors(8, given={"code": torch.eye(8)})))
    assert torch.equal(one_by_one, whole)
    assert len(set(nearest(one_by_one)[1].tolist())) >= 6  # the code has come to mean the mode
    for wrong in ({"code": 8}, {"code": torch.eye(8)[:3]}, {"code": torch.eye(8)[:, :2]}, {"label": 1}):
        with pytest.raises(BadOption, match=r"code"):
            list(generator.tensors(8, given=wrong))


@pytest.mark.parametrize("name", ["wgan_gp", "rpgan", "pacgan", "infogan", "lsgan", "unrolled_gan"])
def test_micro_batches_equal_the_whole_batch(name: str) -> None:
    """Noise comes with the batch and losses store nothing, so the pieces add up."""
    config = dataclasses.replace(RING[name][0], batch_size=16)
    weights = []
    for micro in (None, 16 if name == "unrolled_gan" else 4):
        game = seated(name, config, POINTS, Arena(micro_batch=micro))
        play(game, ring(), 3)
        weights.append(torch.cat([parameter.flatten() for parameter in game.parameters()]))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-3, atol=2e-5)


def scalar() -> Any:
    """An unrolled GAN of straight lines: G(z) = a z + b, D(x) = w x + c."""
    config = unrolled_gan.Config(
        networks=MLP(layers=0), latent=1, inner_rate=0.3, steps=1, batch_size=1, ema_half_life=None
    )
    return seated("unrolled_gan", config, Spec((1,), kind="points"))


def test_second_order_gradient_by_hand() -> None:
    game, rate, x, z = scalar(), 0.3, 0.7, -1.3
    a, b = (parameter.item() for parameter in game.G.parameters())
    w, c = (parameter.item() for parameter in game.D.parameters())
    game.G.requires_grad_(True)
    loss = game.unrolled_loss({"image": torch.tensor([[x]]), "z": torch.tensor([[z]])})["adversarial"]
    loss.backward()

    def sigma(t: float) -> float:
        return 1 / (1 + math.exp(-t))

    g = a * z + b
    real, fake = sigma(w * x + c), sigma(w * g + c)
    # One step down D's loss, and how that step depends on g.
    w1, c1 = w - rate * (-(1 - real) * x + fake * g), c - rate * (-(1 - real) + fake)
    slope = fake * (1 - fake) * w
    dw1, dc1 = -rate * (slope * g + fake), -rate * slope
    real1, fake1 = sigma(w1 * x + c1), sigma(w1 * g + c1)
    through_sample = fake1 * w1
    through_steps = (-(1 - real1) * x + fake1 * g) * dw1 + (-(1 - real1) + fake1) * dc1
    by_hand = -(through_sample + through_steps)
    assert abs(through_steps) > 1e-3  # the term that is under test
    found = [parameter.grad.item() for parameter in game.G.parameters()]
    assert found == pytest.approx([by_hand * z, by_hand], rel=1e-4)


def test_unrolled_adam_takes_the_steps_of_the_real_one() -> None:
    config = dataclasses.replace(RING["unrolled_gan"][0], batch_size=16, steps=3, ema_half_life=None)
    game = seated("unrolled_gan", config, POINTS)
    batches = play(game, ring(), 4)
    batch = next(batches)
    game.G.requires_grad_(True)
    ahead = game.unrolled_loss(batch)["adversarial"].item()
    game.G.requires_grad_(False)
    for _ in range(3):
        game.discriminator.step(game.discriminator_loss, batch)
    assert game.generator.value(game.generator_loss, batch) == pytest.approx(ahead, abs=1e-5)


@pytest.mark.parametrize("second_order", [True, False])
def test_unrolling_leaves_the_discriminator_unchanged(second_order: bool) -> None:
    config = unrolled_gan.Config(networks=DCGAN(width=4), latent=4, steps=3, batch_size=8, second_order=second_order)
    plain = dataclasses.replace(config, steps=0)
    games = []
    for settings in (config, plain):
        game = seated("unrolled_gan", settings, Spec((1, 8, 8)))
        play(game, store_of(Spec((1, 8, 8))), 1)
        games.append(game)
    unrolled, once = (game.D.state_dict() for game in games)
    for key in unrolled:
        torch.testing.assert_close(unrolled[key], once[key], rtol=0, atol=0)
    ahead, now = (torch.cat([p.flatten() for p in game.G.parameters()]) for game in games)
    assert not torch.equal(ahead, now)


def test_wgan_brings_samples_to_where_the_data_is() -> None:
    """A shifted Gaussian: clipped weights leave a critic too simple for the ring (Gulrajani et al. 2017, figure 1)."""
    centre = torch.tensor([2.0, -1.0])
    config = wgan.Config(networks=NET, latent=4, rmsprop=RMSProp(1e-3), clip=0.1, ema_half_life=2000.0, rounds=400)
    game = seated("wgan", config, POINTS)
    play(game, Memory(centre + 0.5 * torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))), 400)
    points = next(iter(game.trained().tensors(2000, batch=2000)))
    torch.testing.assert_close(points.mean(0), centre, rtol=0, atol=0.2)
    torch.testing.assert_close(points.std(0), torch.tensor([0.5, 0.5]), rtol=0, atol=0.25)


def test_weights_of_wgan_stay_within_the_clip() -> None:
    game = seated("wgan", wgan.Config(networks=MLP(hidden=8), latent=2, rmsprop=RMSProp(1e-2), batch_size=8), POINTS)
    play(game, ring(), 3)
    largest = max(parameter.abs().max().item() for parameter in game.D.parameters())
    assert largest == pytest.approx(0.01)


def test_wgan_trains_its_critic_longer_at_first() -> None:
    config = wgan.Config(networks=MLP(hidden=8), latent=2, batch_size=8, many_steps=100)
    game = seated("wgan", config, POINTS)
    play(game, ring(), 1)
    assert game.arena.samples == 8 * (100 + 1)
    game.rounds = 25
    play(game, ring(), 1)
    assert game.arena.samples == 8 * (100 + 1 + 5 + 1)


def test_label_smoothing_changes_the_loss_as_computed() -> None:
    losses = []
    for smoothing in (1.0, 0.9):
        config = improved_gan.Config(
            networks=MLP(hidden=8), latent=2, smoothing=smoothing, minibatch_discrimination=False
        )
        game = seated("improved_gan", config, POINTS)
        batch = ring().fetch(torch.arange(8)) | {"z": torch.ones(8, 2)}
        with torch.no_grad():
            losses.append(game.discriminator_loss(batch)["adversarial"])
            real = game.D(batch["image"])
    torch.testing.assert_close(losses[1] - losses[0], 0.1 * real.mean())


def test_packs_are_neighbours_along_the_channels() -> None:
    x = torch.arange(4 * 3 * 2 * 2).view(4, 3, 2, 2)
    assert torch.equal(packed(x, 2)[1], torch.cat([x[2], x[3]]))
    assert packed(torch.zeros(6, 2), 3).shape == (2, 6)
    with pytest.raises(BadOption, match="multiple of 2"):
        packed(x[:3], 2)


def test_penalties_refuse_batch_normalisation() -> None:
    for name, config in (("wgan_gp", wgan_gp.Config(networks=DCGAN())), ("rpgan", rpgan.Config(networks=DCGAN()))):
        with pytest.raises(BadOption, match="--networks.no-discriminator-norm"):
            seated(name, config, Spec((3, 16, 16)))


def test_lazy_penalties_weigh_as_much_as_those_of_every_round() -> None:
    """The penalties of `lazy` rounds are taken at once, with their sum as gradient."""
    config = dataclasses.replace(RING["rpgan"][0], lazy=4, batch_size=8, ema_half_life=None)
    game = seated("rpgan", config, POINTS)
    taken = []
    step = game.discriminator.step

    def seen(loss: Any, batch: Any, *, gain: float = 1.0) -> Any:
        taken.append((loss.__name__, gain))
        return step(loss, batch, gain=gain)

    game.discriminator.step = seen
    play(game, ring(), 5)
    assert [gain for name, gain in taken if name == "penalties"] == [4.0, 4.0]
    assert [name for name, _ in taken].count("discriminator_loss") == 5
    assert game.discriminator.settings.betas[1] == pytest.approx(0.99 ** (4 / 5))
