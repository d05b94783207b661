"""BigGAN: truncation, standing statistics, and the order of its steps."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import nn

from tests.gans.games import play, seated, shrunk, store_of
from tests.gans.quadrants import SPEC, nearest, quadrants
from zerosum.core.errors import BadOption
from zerosum.data.spec import Spec
from zerosum.gans.images.biggan import PRESETS, BigGAN, Config, threshold
from zerosum.networks.biggan import orthogonality
from zerosum.training.optimizers import Adam

SMALL_SPEC = Spec((3, 16, 16), classes=4)
SMALL = shrunk(PRESETS["laptop"])


def at(rounds: int, config: Config = SMALL) -> BigGAN:
    """A game that has played so many rounds."""
    game: Any = seated("biggan", config, SMALL_SPEC)
    play(game, store_of(SMALL_SPEC), rounds)
    return game


def test_thresholds_of_the_paper_as_truncations() -> None:
    for limit, deviation in ((2.0, 0.880), (1.0, 0.540), (0.5, 0.284)):
        assert threshold(deviation) == pytest.approx(limit, rel=5e-3)
    assert threshold(1e-3) == pytest.approx(1e-3 * math.sqrt(3), rel=1e-4)  # nearly uniform
    for wrong in (-0.1, 1.2, 2.0):
        with pytest.raises(BadOption, match="between 0"):
            at(0).trained().map(torch.zeros(1, 8), truncation=wrong)


@pytest.mark.parametrize("truncation", [0.05, 0.284, 0.54, 0.88, 0.99])
def test_truncated_z_has_the_truncated_normal_distribution(truncation: float) -> None:
    generator = at(0).trained()
    z = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    cut, limit = generator.map(z, truncation=truncation), threshold(truncation)
    assert cut.abs().max() <= limit
    assert cut.std().item() == pytest.approx(truncation, rel=0.01)
    inside = math.erf(limit / math.sqrt(2))
    for share in (0.1, 0.5, 0.9):
        quantile = limit * share
        expected = math.erf(quantile / math.sqrt(2)) / inside
        assert (cut.abs() < quantile).float().mean().item() == pytest.approx(expected, abs=0.005)
    # The order of the values, and with it what a seed shows, stays.
    ordered = generator.map(z[:1000].sort(dim=0).values, truncation=truncation)
    assert (ordered.diff(dim=0) >= 0).all()


def test_truncation_ends_at_all_and_nothing() -> None:
    generator, z = at(0).trained(), torch.randn(64, 8)
    assert torch.equal(generator.map(z, truncation=1.0), z)
    assert torch.equal(generator.map(z, truncation=0.0), torch.zeros(64, 8))
    torch.testing.assert_close(generator.map(z, truncation=0.99999), z, rtol=0, atol=2e-3)
    extreme = generator.map(torch.tensor([[0.0, 5.0, 9.0, -9.0]]), truncation=0.99999)
    assert torch.isfinite(extreme).all()
    label = {"label": torch.arange(3) % 4}
    assert not torch.allclose(generator(z[:3], label, 0.5), generator(z[:3], label))


def test_statistics_of_a_generator_are_those_of_its_own_samples() -> None:
    game = at(3)
    live = {name: value.clone() for name, value in game.state_dict().items()}
    generator = game.trained()
    generator.settle(16)
    seen: list[tuple[torch.Tensor, nn.BatchNorm2d]] = []
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda norm, inputs, _: seen.append((inputs[0], norm)))
    generator(torch.randn(1000, 8), {"label": torch.arange(1000) % 4})
    assert len(seen) == 2 * 2 + 1
    for x, norm in seen:
        assert norm.momentum == 0.1 and not norm.training
        mean, variance = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3))
        torch.testing.assert_close(norm.running_mean, mean, rtol=0, atol=0.1 * variance.sqrt().max().item())
        torch.testing.assert_close(norm.running_var, variance, rtol=0.25, atol=1e-3)
    assert all(torch.equal(live[name], value) for name, value in game.state_dict().items())
    again = game.trained()
    again.settle(16)
    same, plain = again.state_dict(), game.trained().state_dict()
    assert all(torch.equal(value, same[name]) for name, value in generator.state_dict().items())
    differing = {name.rpartition(".")[2] for name, value in plain.items() if not torch.equal(value, same[name])}
    assert differing == {"running_mean", "running_var", "num_batches_tracked"}


def test_steps_of_a_round() -> None:
    for preset, steps in (("laptop", 1), ("imagenet128", 2), ("cifar10", 4)):
        game = at(1, shrunk(PRESETS[preset]))
        assert game.arena.samples == 8 * (steps + 1)
        assert {name for name in game.arena.log.read(1) if name.startswith("generator/")} == (
            {"generator/adversarial", "generator/gradient"}
            | (set() if preset == "cifar10" else {"generator/orthogonal"})
        )


def test_the_generator_is_made_orthogonal() -> None:
    game = at(0, dataclasses.replace(SMALL, orthogonal=0.7))
    batch = store_of(SMALL_SPEC).fetch(torch.arange(4)) | {"z": torch.randn(4, 8)}
    term = game.generator_loss(batch)["orthogonal"].item()
    assert term == pytest.approx(0.7 * orthogonality(game.G).item()) and term > 0


def test_quadrants_are_made_by_class() -> None:
    config = Config(
        150, 16, 8, 4, 8, attention=None, discriminator_steps=1, discriminator_adam=Adam(4e-3, (0.0, 0.9)),
        generator_adam=Adam(2e-3, (0.0, 0.9)), ema_half_life=300.0,
    )  # fmt: skip
    game = seated("biggan", config, SPEC)
    play(game, quadrants(), config.rounds)
    label = torch.arange(200) % 4
    distance, which = nearest(next(iter(game.trained().tensors(200, given={"label": label}))))
    assert (distance < 0.3).float().mean() > 0.8
    assert (which == label).float().mean() > 0.95
