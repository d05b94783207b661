"""Checkpoints: never half of one; the last few and the best are kept; nothing in them can execute code."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zerosum.core import files
from zerosum.core.errors import BadFile

if TYPE_CHECKING:
    from torch import Tensor

    from zerosum.training.game import Game

NETWORKS, OPTIMIZERS = "game.safetensors", "optimizers.pt"
PROGRESS = ("rounds", "samples", "attempt", "seconds", "best", "scores", "data")


def save(folder: Path, game: Game, progress: dict[str, Any]) -> Path:
    """Write checkpoints/<samples>/ with the networks, EMA, optimizers and `progress` (which must hold `PROGRESS`)."""
    from safetensors.torch import save as to_bytes

    target = folder / "checkpoints" / f"{progress['samples']:012d}"
    with files.new_folder(target) as new:
        # Written by Python, not by the libraries, so that a full disk is an OSError that names the file.
        tensors = {name: value.detach().cpu().contiguous() for name, value in game.state_dict().items()}
        optimizers = io.BytesIO()
        torch.save({name: player.memory() for name, player in game.players.items()}, optimizers)
        content = {NETWORKS: to_bytes(tensors), OPTIMIZERS: optimizers.getvalue()}
        for name, written in content.items():
            (new / name).write_bytes(written)
        digests = {name: hashlib.sha256(written).hexdigest() for name, written in content.items()}
        (new / "progress.json").write_text(json.dumps({**progress, "sha256": digests}, indent=2) + "\n")
    return target


def saved(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(path for path in (folder / "checkpoints").glob("[0-9]*") if path.is_dir())


def load(path: Path, game: Game) -> dict[str, Any]:
    """Put the state of a checkpoint into a seated game and return its progress.

    Raises:
        BadFile: the checkpoint is broken or belongs to another system or configuration.
    """
    progress, content = _read(path, NETWORKS, OPTIMIZERS)
    with _named(path):
        rounds, _ = int(progress["rounds"]), [progress[name] for name in PROGRESS]
        tensors = _tensors(content[NETWORKS])
        optimizers = torch.load(io.BytesIO(content[OPTIMIZERS]), map_location=game.arena.device, weights_only=True)
    _refuse_foreign(path, tensors, optimizers, game)
    game.load_state_dict(tensors)
    for name, player in game.players.items():
        player.load_optimizer(optimizers[name])
    game.rounds = rounds
    return progress


def networks(path: Path) -> dict[str, Tensor]:
    """The networks, buffers and moving averages of a checkpoint by their names in the game. Raises BadFile."""
    _, content = _read(path, NETWORKS)
    with _named(path):
        return _tensors(content[NETWORKS])


def _tensors(content: bytes) -> dict[str, Tensor]:
    from safetensors.torch import load as from_bytes

    return from_bytes(content)


def _read(path: Path, *names: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """progress.json and the contents of the named files, if they are what was written."""
    with _named(path):
        progress = files.read_json(path / "progress.json")
        content = {name: (path / name).read_bytes() for name in names}
        for name, read in content.items():
            if hashlib.sha256(read).hexdigest() != progress["sha256"][name]:
                raise BadFile(f"the checkpoint {path} is damaged: {name} is not what was written.")
    return progress, content


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Broken files make their readers raise anything: BadFile, naming the checkpoint."""
    try:
        yield
    except BadFile:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        raise BadFile(f"the checkpoint {path} cannot be read: {type(error).__name__} {reason}.") from error


def _refuse_foreign(path: Path, tensors: dict[str, Tensor], optimizers: dict[str, Any], game: Game) -> None:
    """Look before anything is changed whether a checkpoint's tensors and players are the game's."""
    wanted = {name: tuple(value.shape) for name, value in game.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    odd += sorted(game.players.keys() ^ optimizers.keys())
    if odd:
        raise BadFile(
            f"the checkpoint {path} belongs to another system or other settings: {odd[0]} is "
            f"{found.get(odd[0], 'absent')} there and {wanted.get(odd[0], 'absent')} here."
        )


def prune(folder: Path, keep: int, best: int | None) -> None:
    """Remove all but the last `keep` checkpoints and the best one (by its samples)."""
    for path in saved(folder)[:-keep]:
        if best is None or int(path.name) != best:
            shutil.rmtree(path, ignore_errors=True)


def forget(folder: Path) -> None:
    """Remove what was written before the first round, of a training that did not come to the end of it."""
    for path in saved(folder):
        if int(path.name) == 0:
            shutil.rmtree(path, ignore_errors=True)
