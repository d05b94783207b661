"""Two processes on one machine (gloo, over the loopback) train the same weights as one with the same total batch."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from tests.training.toys import Config, Lines, Toy, points
from zerosum.core import discovery
from zerosum.data import load
from zerosum.data.spec import Dataset
from zerosum.networks.families import DCGAN, MLP, ResNet
from zerosum.training.arena import Arena
from zerosum.training.callback import Callback, RollBack
from zerosum.training.game import Game
from zerosum.training.loop import Run, Training, train
from zerosum.training.optimizers import Adam


def images() -> Dataset:
    """64 images of 8 x 8 pixels."""
    return load(np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), dtype=np.uint8))


def system(name: str, **settings: Any) -> Game:
    """A published system, tiny."""
    game_class: Any = discovery.game_class(name)
    return game_class(
        replace(game_class.Config(), rounds=6, batch_size=8, ema_half_life=20.0, **settings), images().spec
    )


# A large epsilon: where a gradient is nothing but rounding error, Adam would take a step of full length along it.
SMOOTH = Adam(2e-4, (0.0, 0.9), eps=1e-4)
PLAIN = ResNet(generator_width=4, discriminator_width=4, batch_norm=False, layer_norm=True)
GAMES: dict[str, Callable[[], Game]] = {
    "toy": lambda: Toy(Config(rounds=20, norm=False), points().spec),
    "gan": lambda: system("gan", networks=MLP(hidden=16)),
    "wgan_gp": lambda: system("wgan_gp", networks=PLAIN, critic_steps=2, adam=SMOOTH),
    "rpgan": lambda: system("rpgan", networks=MLP(hidden=16)),
}
NORMED = ("dcgan", lambda: system("dcgan", networks=DCGAN(width=4)))
CASES = [(name, micro) for name in GAMES for micro in (None, 3)]


class FirstIsIll(Callback):
    """Asks for a roll-back, on the first process alone, between two snapshots."""

    def __init__(self) -> None:
        self.done = False

    def tick(self, training: Training, values: dict[str, float]) -> None:
        if training.samples >= 100 and not self.done:
            self.done = True
            raise RollBack("the first process saw it")


def trained(make: Callable[[], Game], folder: Path, arena: Arena, micro: int | None = None, **options: Any) -> Game:
    """A game, trained to its end."""
    torch.manual_seed(0)
    game = make()
    run = Run(
        folder=folder, save_every=options.pop("save_every", 64), micro_batch=micro, samples=options.pop("samples", None)
    )
    data = points() if isinstance(game, Toy) else images()
    train(game, data, run, folder, options.pop("callbacks", []), {"system": "toy", "config": {}}, arena)
    return game


def work(rank: int, port: int, folder: Path) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:

        def arena() -> Arena:
            return Arena(rank=rank, world=2)

        results = {f"{name}-{m}": trained(GAMES[name], folder / f"{name}-{m}", arena(), m) for name, m in CASES}
        results["dcgan"] = trained(NORMED[1], folder / "dcgan", arena())
        lines = Lines()
        results["ill"] = trained(GAMES["toy"], folder / "ill", arena(), callbacks=[lines, FirstIsIll()], save_every=40)
        trained(GAMES["toy"], folder / "resumed", arena(), samples=80)
        results["resumed"] = trained(GAMES["toy"], folder / "resumed", arena())
        trained(lambda: Toy(Config(rounds=20), points().spec), folder / "normed", arena(), samples=80)
        results["normed"] = trained(lambda: Toy(Config(rounds=20), points().spec), folder / "normed", arena())
        results["normed-whole"] = trained(lambda: Toy(Config(rounds=20), points().spec), folder / "whole", arena())
        states = {name: game.state_dict() for name, game in results.items()}
        torch.save({"states": states, "events": lines.events, "rate": results["ill"].arena.rate}, folder / f"{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the first and the second process ended with."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, (port, folder), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference between two states."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one if one[name].is_floating_point())


@pytest.mark.parametrize(("name", "micro"), CASES)
def test_two_processes_equal_one(both: list[dict[str, Any]], name: str, micro: int | None, tmp_path: Path) -> None:
    alone = trained(GAMES[name], tmp_path, Arena()).state_dict()
    torch.manual_seed(0)
    assert difference(alone, GAMES[name]().seat(Arena()).state_dict()) > 1e-3  # something was learned
    for result in both:
        assert difference(alone, result["states"][f"{name}-{micro}"]) < 1e-5


def test_batch_statistics_are_per_process(both: list[dict[str, Any]], tmp_path: Path) -> None:
    """Documented: with batch normalisation, two processes are another training than one, but agree with each other."""
    alone = trained(NORMED[1], tmp_path, Arena()).state_dict()
    first, second = (result["states"]["dcgan"] for result in both)
    parameters = [name for name, _ in NORMED[1]().named_parameters()]
    assert all(torch.equal(first[name], second[name]) for name in parameters)
    print(f"largest difference of two processes to one, DCGAN with batch norm: {difference(alone, first):.2g}")
    assert 1e-6 < difference(alone, first) < 1


def test_the_first_process_speaks_for_both(both: list[dict[str, Any]]) -> None:
    """A callback that rolls back between snapshots must not leave the second process waiting."""
    assert any("the first process saw it" in event for event in both[0]["events"])
    assert both[0]["rate"] == both[1]["rate"] == 0.5
    assert difference(both[0]["states"]["ill"], both[1]["states"]["ill"]) == 0


@pytest.mark.parametrize(("again", "whole"), [("resumed", "toy-None"), ("normed", "normed-whole")])
def test_resuming_two_processes_is_bit_equal(both: list[dict[str, Any]], again: str, whole: str) -> None:
    for result in both:
        assert difference(result["states"][again], result["states"][whole]) == 0
