"""Checkpoints: never half of one; the last few and the best are kept; nothing in them can execute code."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from zerosum.core import files
from zerosum.core.errors import BadFile

if TYPE_CHECKING:
    from zerosum.training.game import Game


def save(folder: Path, game: Game, progress: dict[str, Any]) -> Path:
    """Write checkpoints/<samples>/ with the networks, EMA, optimizers and `progress` (which must hold "samples")."""
    from safetensors.torch import save as to_bytes

    target = folder / "checkpoints" / f"{progress['samples']:012d}"
    with files.new_folder(target) as new:
        # Written by Python, not by the libraries, so that a full disk is an OSError that names the file.
        tensors = {name: value.detach().cpu().contiguous() for name, value in game.state_dict().items()}
        (new / "game.safetensors").write_bytes(to_bytes(tensors))
        optimizers = io.BytesIO()
        torch.save({name: player.memory() for name, player in game.players.items()}, optimizers)
        (new / "optimizers.pt").write_bytes(optimizers.getbuffer())
        (new / "progress.json").write_text(json.dumps(progress, indent=2) + "\n")
    return target


def saved(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(path for path in (folder / "checkpoints").glob("[0-9]*") if path.is_dir())


def load(path: Path, game: Game) -> dict[str, Any]:
    """Put the state of a checkpoint into a seated game and return its progress.

    Raises:
        BadFile: the checkpoint is broken or belongs to another system or configuration.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        progress = files.read_json(path / "progress.json")
        game.load_state_dict(load_file(path / "game.safetensors"))
        optimizers = torch.load(path / "optimizers.pt", map_location=game.arena.device, weights_only=True)
        for name, player in game.players.items():
            player.load_optimizer(optimizers[name])
    except (OSError, RuntimeError, SafetensorError, KeyError, ValueError, EOFError) as error:
        raise BadFile(f"the checkpoint {path} cannot be read: {str(error).splitlines()[0]}") from error
    except Exception as error:  # the unpickler's own exception types
        raise BadFile(f"the checkpoint {path} cannot be read: {error}") from error
    game.rounds = int(progress["rounds"])
    return progress


def prune(folder: Path, keep: int, best: int | None) -> None:
    """Remove all but the last `keep` checkpoints and the best one (by its samples)."""
    for path in saved(folder)[:-keep]:
        if best is None or int(path.name) != best:
            shutil.rmtree(path, ignore_errors=True)
