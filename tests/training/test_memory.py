"""What a round needs, and how many samples are put through the networks at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.gans.games import seated, shrunk, spec_of, store_of
from tests.training.toys import same
from zerosum import api
from zerosum.core import discovery
from zerosum.core.errors import BadOption
from zerosum.training import checkpoint, memory
from zerosum.training.arena import Arena
from zerosum.training.augmentation import DiffAugment
from zerosum.training.game import Game
from zerosum.training.loop import Run

PICTURES = np.random.default_rng(0).integers(0, 256, (80, 16, 16, 1), dtype=np.uint8)


def game_of(name: str, **settings: Any) -> Game:
    config = dataclasses.replace(shrunk(discovery.game_class(name).Config()), **settings)
    return discovery.game_class(name)(config, spec_of(name))


def data_of(name: str) -> Any:
    spec = spec_of(name)
    return SimpleNamespace(train=store_of(spec), spec=spec, flip=False)


@pytest.mark.parametrize("name", ["rpgan", "stylegan2", "r3gan", "unrolled_gan", "dcgan", "progan"])
def test_many_samples_are_foreseen_from_few(name: str) -> None:
    game, data = game_of(name, batch_size=32), data_of(name)
    small, large, real = (memory.course(game, data, Arena(), samples) for samples in (4, 8, 32))
    assert memory.needed(small, large, 8) == pytest.approx(max(real), rel=0.01)
    assert max(real) > 2 * max(small)


def test_looking_changes_nothing() -> None:
    game, data = game_of("stylegan2"), data_of("stylegan2")
    before, drawn = {name: value.clone() for name, value in game.state_dict().items()}, torch.get_rng_state()
    arena = Arena()
    courses = [memory.course(game, data, arena, 4) for _ in range(2)]
    assert courses[0] == courses[1]
    assert same(before, game.state_dict()) and torch.equal(drawn, torch.get_rng_state())
    assert (game.rounds, arena.samples, arena.log.sums, game.discriminator.optimizer) == (0, 0, {}, None)


def test_it_is_the_most_alive_at_once() -> None:
    with memory.Bytes(torch.device("cpu")) as counted:
        kept = torch.zeros(1000)
        view = kept.view(10, 100)
        for _ in range(3):
            passing = torch.ones(500)
            del passing
    assert max(counted.course) == 6000 and counted.alive == 4000
    del kept, view
    assert counted.alive == 0


def test_augmentation_is_counted() -> None:
    plain, augmented = game_of("rpgan"), game_of("rpgan")
    augmented.augment_with(DiffAugment())
    assert len(memory.course(augmented, data_of("rpgan"), Arena(), 4)) > len(
        memory.course(plain, data_of("rpgan"), Arena(), 4)
    )


def free(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    monkeypatch.setattr(memory, "available", lambda device: size)


def test_the_largest_part_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    game, data = game_of("rpgan", batch_size=24), data_of("rpgan")
    few = {samples: memory.course(game, data, Arena(), samples) for samples in (2, 4)}
    monkeypatch.setattr(memory, "course", lambda game, data, arena, samples: few[samples])
    whole, eight = (memory.needed(few[2], few[4], samples / 2) for samples in (24, 8))
    eight += 16 * 8 * 3 * 16 * 16  # images of the batch that are not in the micro-batch
    for size, expected in ((1.01 * whole, None), (0.99 * whole, 12), (1.01 * eight, 8), (0.99 * eight, 6), (1.0, 2)):
        free(monkeypatch, size / memory.SHARE)
        number, choice = memory.micro_batch(game, data, Arena(), 24)
        assert number == expected and choice.startswith(f"{expected or 24}: ")
        assert choice.endswith("may be too much") == (expected == 2)
    free(monkeypatch, 8e6)
    assert "8 MB are free" in memory.micro_batch(game, data, Arena(), 24)[1]
    assert "4 MB are free" in memory.micro_batch(game, data, Arena(), 24, sharing=2)[1]


def test_packs_are_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 1.0)
    assert memory.micro_batch(game_of("pacgan", pack=3), data_of("pacgan"), Arena(), 12)[0] == 3
    with pytest.raises(BadOption, match="cannot be packed by 5"):
        memory.micro_batch(game_of("pacgan", pack=5), data_of("pacgan"), Arena(), 12)


def test_short_of_memory_the_same_weights_are_learned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = shrunk(discovery.game_class("rpgan").Config(rounds=100))
    data, found = tmp_path / "data.npz", {}
    np.savez(data, images=PICTURES)
    for name, size in (("much", 1e12), ("little", 1e5)):
        free(monkeypatch, size)
        run = Run(folder=tmp_path / name, samples=64, batch_size="auto", precision="fp32")
        api.train("rpgan", data, config=config, run=run, features="none", quiet=True)
        found[name] = checkpoint.networks(checkpoint.saved(tmp_path / name)[-1])
    chosen = {name: api.read_command(tmp_path / name).run.micro_batch for name in found}
    assert chosen == {"much": None, "little": 2}
    for name, value in found["much"].items():
        assert torch.allclose(value, found["little"][name], atol=1e-6), name
    free(monkeypatch, 1e12)  # a resumed run goes by what was chosen, not by today's memory
    api.resume(tmp_path / "little", samples=80, quiet=True)
    assert api.read_command(tmp_path / "little").run.micro_batch == 2


def test_memory_of_this_machine_and_of_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1e7 < memory.available(torch.device("cpu")) < 1e14
    for name, text in {"max": "1000000\n", "current": "400000\n", "stat": "anon 1\ninactive_file 100000\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert memory._of_container(tmp_path) == 700_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_container(tmp_path) is None
    monkeypatch.setattr(memory, "_of_machine", lambda: None)
    monkeypatch.setattr(memory, "_of_container", lambda: None)
    with pytest.raises(BadOption, match="give a number, as in --run.micro-batch 16"):
        memory.available(torch.device("cpu"))


def test_seats_are_not_needed() -> None:
    game = seated("rpgan", shrunk(discovery.game_class("rpgan").Config()), spec_of("rpgan"))
    assert memory.course(game, data_of("rpgan"), Arena(), 2)
