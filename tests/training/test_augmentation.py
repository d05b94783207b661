"""Augmentation in games: nothing reaches a discriminator but through it, it goes where it should, and it resumes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import zerosum
from tests.gans.games import Memory, play, seated, shrunk, spec_of, store_of
from zerosum.api import Command, read_command
from zerosum.core import discovery
from zerosum.core.errors import BadOption
from zerosum.core.settings import from_json, to_json
from zerosum.data.spec import Spec
from zerosum.health.probe import critique
from zerosum.networks.families import DCGAN, MLP
from zerosum.objectives.penalties import r1
from zerosum.training import checkpoint
from zerosum.training.arena import Arena
from zerosum.training.augmentation import ADA, WORDS, Augment, Augmentation, DiffAugment, Fixed
from zerosum.training.game import Game
from zerosum.training.loop import Run

IMAGES = sorted(name for name, system in discovery.systems().items() if system.kind == "images")
HALF = ADA(p=0.5, every=2, speed=1000.0)
RESOLUTION = Spec((3, 16, 16), classes=4)


def config_of(name: str, **settings: Any) -> Any:
    """Small settings, without what G is told by anything but D."""
    config = shrunk(discovery.game_class(name).Config())
    known = {field.name for field in dataclasses.fields(config)}
    alone = {key: None for key in ("path_length", "orthogonal") if key in known}
    return dataclasses.replace(config, **alone, **settings)


def augmented(name: str, settings: Augment = HALF, arena: Arena | None = None, **config: Any) -> Game:
    """A small game with a seat, augmented."""
    game = seated(name, config_of(name, **config), spec_of(name), arena)
    game.augment_with(settings)
    return game


def state(game: Game) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in game.state_dict().items()}


# --- in every system


@pytest.mark.parametrize("name", IMAGES)
def test_nothing_reaches_the_discriminator_but_through_it(name: str) -> None:
    """Where D sees blank images only, G has nothing to learn from."""
    game = augmented(name)
    assert game.augmentation is not None
    game.augmentation.forward = lambda images: images * 0.0  # type: ignore[method-assign]
    before = {key: value.clone() for key, value in game.G.named_parameters()}
    play(game, store_of(spec_of(name)), 1)
    assert [key for key, value in game.G.named_parameters() if not torch.equal(value, before[key])] == []


@pytest.mark.parametrize("name", IMAGES)
def test_plays_and_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    store, game = store_of(spec_of(name)), augmented(name)
    play(game, store, 2)
    progress = {**dict.fromkeys(checkpoint.PROGRESS), "samples": game.arena.samples, "rounds": game.rounds}
    path = checkpoint.save(tmp_path, game, progress)
    strength = float(game.augmentation.p)
    play(game, store, 2)
    other = augmented(name, dataclasses.replace(HALF, p=0.0))
    other.arena.samples = checkpoint.load(path, other)["samples"]
    assert 0 < strength == float(other.augmentation.p) != 0.5
    play(other, store, 2)
    expected, found = state(game), state(other)
    assert [key for key, value in expected.items() if not torch.equal(value, found[key])] == []


@pytest.mark.parametrize("settings", [DiffAugment(), Fixed(0.7, cutout=True)])
@pytest.mark.parametrize("name", ["dcgan", "r3gan", "stylegan2", "pacgan"])
def test_other_augmentations_play(name: str, settings: Augment) -> None:
    game, plain = augmented(name, settings), seated(name, config_of(name), spec_of(name))
    for one in (game, plain):
        play(one, store_of(spec_of(name)), 2)
    assert any(not torch.equal(value, state(game)[key]) for key, value in state(plain).items())


@pytest.mark.parametrize("name", ["dcgan", "stylegan2", "r3gan"])
def test_penalties_on_gradients_pass_through(name: str) -> None:
    networks = {"networks": DCGAN(width=8, discriminator_norm=False)} if name == "dcgan" else {}
    game = augmented(name, Fixed(0.9), **networks)
    images = store_of(RESOLUTION).fetch(torch.arange(8))["image"]
    for parameter in game.D.parameters():
        parameter.requires_grad_(True)
        parameter.data.add_(0.05 * torch.randn_like(parameter))  # R3GAN's blocks begin as the identity
    with game.augmenting():
        torch.manual_seed(0)
        penalty = r1(lambda x: game.D(x, None), images)
    penalty.backward()
    gradients = [p.grad for p in game.D.parameters() if p.grad is not None]
    assert penalty > 0 and all(torch.isfinite(gradient).all() for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0


def test_r1_is_of_the_images_before_they_are_augmented() -> None:
    """A mirrored image that is shown to D has the same slope, mirrored back."""
    game = augmented("dcgan", networks=DCGAN(width=8, discriminator_norm=False))
    x = store_of(RESOLUTION).fetch(torch.arange(4))["image"]
    plain = r1(game.D, x)
    game.augmentation.forward = lambda images: images.flip(3)  # type: ignore[method-assign]
    assert r1(game.D, x.flip(3)).item() == pytest.approx(plain.item(), rel=1e-5)


# --- what is shown to D, and when


def shown(game: Game) -> list[Tensor]:
    """Collects what D's first layer gets."""
    seen: list[Tensor] = []
    forward = game.D.features
    game.D.features = lambda x, label=None: (seen.append(x.detach()), forward(x, label))[1]
    return seen


def test_only_rounds_are_augmented() -> None:
    game = augmented("dcgan", DiffAugment(("cutout",)))
    batch = {"image": torch.ones(8, 3, 16, 16)}
    seen = shown(game)
    game.critique(batch)
    assert torch.equal(seen.pop(), batch["image"])
    with game.augmenting():
        game.critique(batch)
    assert (seen.pop() == 0).any()
    game.D(batch["image"])
    assert torch.equal(seen.pop(), batch["image"])
    play(game, Memory(torch.ones(40, 3, 16, 16)), 1)
    assert (seen[0] == 0).any()


def test_packed_images_are_augmented_one_by_one() -> None:
    game = augmented("pacgan", DiffAugment(("color",)))
    with game.augmenting():
        torch.manual_seed(0)
        found = game.augment(torch.ones(4, 6, 16, 16))
    values = found.mean((2, 3)).view(8, 3)
    torch.testing.assert_close(values, values[:, :1].expand(8, 3), msg="no contrast, no saturation: one shift each")
    assert len(set(values[:, 0].tolist())) == 8


def test_images_in_half_precision_come_back_in_full() -> None:
    augmentation = Augmentation(Fixed(1.0), 3)
    augmentation.active = True
    with torch.autocast("cpu", torch.bfloat16):
        found = augmentation(torch.rand(2, 3, 8, 8).bfloat16())
    assert found.dtype == torch.float32 and torch.isfinite(found).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_both_precisions_train(precision: str) -> None:
    game = augmented("r3gan", Fixed(0.8), Arena(precision=precision))
    play(game, store_of(RESOLUTION), 2)
    assert all(torch.isfinite(value).all() for value in game.state_dict().values())


def test_micro_batches_play() -> None:
    game = augmented("dcgan", HALF, Arena(micro_batch=3), networks=DCGAN(width=8, discriminator_norm=False))
    play(game, store_of(RESOLUTION), 3)
    assert "augment/r_t" in game.arena.log.read(3)


# --- how strong it is


class Judge(torch.nn.Module):
    """Says what it is told to."""

    def __init__(self, *logits: float):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        return self.logits[: len(x)]


def adapting(settings: ADA, *logits: float) -> Game:
    """A game of 4 samples a batch whose D says `logits` of real images."""
    game = augmented("dcgan", settings, batch_size=4)
    game.critique = lambda batch: torch.tensor(logits)  # type: ignore[method-assign]
    return game


@pytest.mark.parametrize(
    ("logits", "r_t", "direction"),
    [((1, 2, 3, -1), 0.5, -1), ((1, 2, 3, 0.1), 1.0, 1), ((1, 2, 3, 0), 0.75, 1), ((-1, -1, -1, -1), -1.0, -1)],
)
def test_the_strength_follows_the_mean_sign(logits: tuple[float, ...], r_t: float, direction: int) -> None:
    game = adapting(ADA(p=0.3, speed=1000.0, every=1), *logits)
    play(game, store_of(RESOLUTION), 1)
    assert game.arena.log.read(1)["augment/r_t"] == pytest.approx(r_t)
    assert float(game.augmentation.p) == pytest.approx(0.3 + direction * 4 / 1000)


def test_from_0_to_1_in_as_many_samples_as_it_says_and_never_beyond_its_limits() -> None:
    game = adapting(ADA(speed=40.0, every=4, limit=0.75), 1.0, 1.0, 1.0, 1.0)
    strengths = []
    for _ in range(10):
        play(game, store_of(RESOLUTION), 1)
        strengths.append(round(float(game.augmentation.p), 6))
    assert strengths == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.75, 0.75]
    game.critique = lambda batch: -torch.ones(4)  # type: ignore[method-assign]
    play(game, store_of(RESOLUTION), 3)
    assert float(game.augmentation.p) == pytest.approx(0.65), "read again in round 12, after two rounds up at the limit"
    play(game, store_of(RESOLUTION), 9)
    assert float(game.augmentation.p) == 0.0


def test_it_is_read_every_so_many_rounds_and_of_augmented_images() -> None:
    game = augmented("dcgan", ADA(every=3))
    asked: list[bool] = []

    def certainty(batch: Any) -> Tensor:
        asked.append(game.augmentation.active)
        return torch.ones(8)

    game.certainty = certainty  # type: ignore[method-assign]
    play(game, store_of(RESOLUTION), 7)
    assert asked == [True] * 3


def test_reading_it_changes_neither_networks_nor_data() -> None:
    kept = []
    for every in (1, 100):
        game = augmented("dcgan", ADA(every=every, limit=0.0))
        batches = play(game, store_of(RESOLUTION), 3)
        kept.append(({k: v for k, v in state(game).items() if not k.startswith("augm")}, batches.samples))
    (one, samples), (other, others) = kept
    assert samples == others
    assert [key for key, value in one.items() if not torch.equal(value, other[key])] == []


def test_certainty_is_above_where_the_loss_is_undecided() -> None:
    batch = store_of(RESOLUTION).fetch(torch.arange(4))
    for name, expected in (("dcgan", 0.7), ("lsgan", 0.2)):
        game = augmented(name)
        game.D = Judge(0.7, 0.7, 0.7, 0.7)
        torch.testing.assert_close(game.certainty(batch), torch.full((4,), expected))


@pytest.mark.parametrize("name", ["wgan", "wgan_gp", "rpgan", "r3gan", "progan"])
def test_certainty_without_a_zero_is_compared_with_generated_images(name: str) -> None:
    game = augmented(name)
    before = state(game)
    batch = store_of(RESOLUTION).fetch(torch.arange(4)) | {"z": torch.randn(4, game.latent.size)}
    found = game.certainty(batch)
    assert [key for key, value in before.items() if not torch.equal(value, state(game)[key])] == []
    with torch.no_grad():
        fake = game.G(batch["z"])
    expected = game.critique(batch) - game.critique({**batch, "image": fake})
    torch.testing.assert_close(found, expected)


def test_a_ramp_is_half_a_cosine() -> None:
    game, strengths = augmented("dcgan", Fixed(0.6, ramp=32.0)), []
    for _ in range(6):
        strengths.append(float(game.augmentation.p))
        play(game, store_of(RESOLUTION), 1)
    half = 0.6 * (1 - 0.5**0.5) / 2
    assert strengths == pytest.approx([0.0, 0.0, half, 0.3, 0.6 - half, 0.6])
    assert Fixed(0.4).start == Fixed(0.4).at(10**9) == 0.4


# --- settings, refusals, and a whole training


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: ADA(target=1.0), r"--augment.target is 1.0"),
        (lambda: ADA(limit=1.5), r"--augment.limit is 1.5; it must be between 0 and 1"),
        (lambda: ADA(speed=0.0), r"--augment.speed 0"),
        (lambda: Fixed(p=-0.1), r"--augment.p is -0.1"),
        (lambda: Fixed(ramp=0.0), r"--augment.ramp is 0"),
        (lambda: DiffAugment(()), r"--augment.policy is empty"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(BadOption, match=message):
        settings()


def test_points_are_refused() -> None:
    game = seated(
        "gan",
        dataclasses.replace(shrunk(discovery.game_class("gan").Config()), networks=MLP(8)),
        Spec((2,), kind="points"),
    )
    with pytest.raises(BadOption, match="here samples are points. Leave it out"):
        game.augment_with(ADA())


def test_settings_survive_json() -> None:
    assert {word: type(settings).__name__.lower() for word, settings in WORDS.items()} == {word: word for word in WORDS}
    for settings in (*WORDS.values(), Fixed(0.5, 1e6, 0.5, True), DiffAugment(("cutout",)), "auto", None):
        command = Command("dcgan", None, "digits", augment=settings)
        assert from_json(Command, json.loads(json.dumps(to_json(command)))).augment == settings


def test_a_training_logs_it_and_resumes_the_same(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    config = shrunk(discovery.game_class("dcgan").Config())
    config = dataclasses.replace(config, rounds=1000)
    weights = []
    for name, stops in (("one", (160,)), ("two", (80, 160))):
        folder = tmp_path / name
        for stop in stops:
            options = {"quiet": True, "features": "none", "augment": ADA(p=0.4, speed=1000.0)}
            if checkpoint.saved(folder):
                np.savez(tmp_path / "images.npz", images=images)
                described = json.loads((folder / "config.json").read_text())
                described["command"]["data"] = str(tmp_path / "images.npz")
                (folder / "config.json").write_text(json.dumps(described))
                zerosum.resume(folder, quiet=True, samples=stop)
            else:
                run = Run(folder=folder, samples=stop, save_every=80)
                zerosum.train("dcgan", images, config=config, run=run, **options)
        weights.append(checkpoint.networks(checkpoint.saved(folder)[-1]))
        assert read_command(folder).augment == ADA(p=0.4, speed=1000.0)
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert any("augment/p" in line and "augment/r_t" in line for line in lines)
        assert any(0 < line.get("augmentation", 0) < 0.8 for line in lines if line["kind"] == "health")
        assert "augment/r_t" in (folder / "report.html").read_text()
    assert 0.4 != float(weights[0]["augmentation.p"]) > 0
    assert [name for name, value in weights[0].items() if not torch.equal(value, weights[1][name])] == []


def test_the_health_check_reads_logits_of_augmented_images() -> None:
    game = augmented("dcgan", DiffAugment(("cutout",)))
    batch = {"image": torch.ones(16, 3, 16, 16)}
    training: Any = type("Training", (), {"arena": game.arena, "game": game})
    plain = critique(training, batch)
    with game.augmenting():
        found = critique(training, batch)
    assert plain is not None and found is not None
    assert plain.std() < 1e-5 < found.std()


def test_few_images_are_augmented_automatically(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    config = shrunk(discovery.game_class("dcgan").Config())
    run = Run(folder=tmp_path / "run", samples=8)
    zerosum.train("dcgan", images, config=config, run=run, quiet=True, features="none", augment="auto")
    assert read_command(tmp_path / "run").augment == ADA()
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert described["chosen"]["augment"] == "ada: 36 training images are fewer than 100,000"
