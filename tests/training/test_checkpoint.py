"""Checkpoints: damaged, foreign and hostile ones."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.toys import Lines, play, same, state, toy
from zerosum.core.errors import BadFile
from zerosum.training import checkpoint
from zerosum.training.arena import Arena
from zerosum.training.loop import Run

ROUNDS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A training with three checkpoints, not at its end."""
    play(tmp_path / "run", rounds=ROUNDS, run=Run(samples=80, save_every=20, keep=3))
    return tmp_path / "run"


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


DAMAGES = [
    ("flip_weights", "game.safetensors", flip_a_bit),
    ("cut_weights", "game.safetensors", cut),
    ("no_weights", "game.safetensors", Path.unlink),
    ("flip_memory", "optimizers.pt", flip_a_bit),
    ("cut_memory", "optimizers.pt", cut),
    ("no_memory", "optimizers.pt", Path.unlink),
    ("empty_memory", "optimizers.pt", lambda path: path.write_bytes(b"")),
    ("cut_progress", "progress.json", cut),
    ("no_progress", "progress.json", Path.unlink),
    ("list_as_progress", "progress.json", lambda path: path.write_text("[]")),
    ("progress_without_rounds", "progress.json", lambda path: path.write_text('{"samples": 3}')),
]


@pytest.mark.parametrize(("file", "damage"), [pytest.param(*rest, id=name) for name, *rest in DAMAGES])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    folder: Path, file: str, damage: Any, tmp_path: Path
) -> None:
    damage(checkpoint.saved(folder)[-1] / file)
    lines = Lines()
    again = play(folder, lines, rounds=ROUNDS)
    assert any("Trying the one before it" in event and checkpoint.saved(folder) for event in lines.events)
    assert same(state(again), state(play(tmp_path / "whole", rounds=ROUNDS)))


def test_no_checkpoint_can_be_used(folder: Path) -> None:
    for path in checkpoint.saved(folder):
        cut(path / "game.safetensors")
    with pytest.raises(BadFile, match=r"none of the 3 checkpoints in .* can be used; start a new run. .*is damaged"):
        play(folder, rounds=ROUNDS)


def test_the_checkpoint_of_other_settings(folder: Path) -> None:
    before = state(toy(Arena(), norm=False))
    game = toy(Arena(), norm=False)
    newest = checkpoint.saved(folder)[-1]
    with pytest.raises(
        BadFile, match=r"belongs to another system or other settings: D.1.bias is \(12,\) there and absent"
    ):
        checkpoint.load(newest, game)
    assert same(before, state(game))
    with pytest.raises(BadFile, match=r"can be used; start a new run. .*belongs to another system"):
        play(folder, rounds=ROUNDS, norm=False)


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("torch_format", [True, False])
def test_a_hostile_pickle_executes_nothing(folder: Path, tmp_path: Path, torch_format: bool) -> None:
    target = tmp_path / "executed"
    newest = checkpoint.saved(folder)[-1]
    if torch_format:
        torch.save({"discriminator": Hostile(target)}, newest / "optimizers.pt")
    else:
        (newest / "optimizers.pt").write_bytes(pickle.dumps(Hostile(target)))
    progress = json.loads((newest / "progress.json").read_text())
    progress["sha256"]["optimizers.pt"] = hashlib.sha256((newest / "optimizers.pt").read_bytes()).hexdigest()
    (newest / "progress.json").write_text(json.dumps(progress))
    with pytest.raises(BadFile, match="cannot be read: UnpicklingError"):
        checkpoint.load(newest, toy(Arena()))
    assert not target.exists()
    pickle.loads(pickle.dumps(Hostile(target)))
    assert target.exists()  # the test can fail


def test_reset_is_in_the_checkpoint(tmp_path: Path) -> None:
    game = toy(Arena())
    batch = {"image": torch.randn(8, 2), "z": torch.randn(8, 4)}
    game.discriminator.step(game.discriminator_loss, batch)
    game.discriminator.reset()
    progress = dict.fromkeys(checkpoint.PROGRESS, 0) | {"samples": 8, "rounds": 1}
    path = checkpoint.save(tmp_path, game, progress)
    other = toy(Arena(), seed=1)
    other.discriminator.step(other.discriminator_loss, batch)
    assert not same(state(game), state(other))
    checkpoint.load(path, other)
    assert same(state(game), state(other))
    for player in (game.discriminator, other.discriminator):
        player.step(game.discriminator_loss if player is game.discriminator else other.discriminator_loss, batch)
    assert same(state(game), state(other))
