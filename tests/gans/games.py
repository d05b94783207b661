"""Small games and a loop to play them by hand."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import torch

from zerosum.core import discovery, randomness
from zerosum.data.encodings import ImageEncoding
from zerosum.data.spec import Batch, Encoding, Spec
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.store import TableStore
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.generator import TrainedGenerator
from zerosum.training.translator import Translator


def table(n: int = 40, seed: int = 1) -> pd.DataFrame:
    """A small table of every kind of column: numbers with and without missing cells, with modes and spikes, whole ones,
    levels in order, categories, dates.
    """
    draw = np.random.default_rng(seed)
    group = draw.integers(0, 3, n)
    frame = pd.DataFrame({
        "amount": np.where(group == 1, 0.0, draw.normal(group * 10.0, 1.0)),
        "ratio": draw.random(n),
        "count": draw.integers(0, 1000, n),
        "level": draw.integers(1, 4, n) * 1.0,
        "sort": np.array(["red", "green", "blue"])[group],
        "answer": draw.random(n) < 0.5,
        "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, n), "D"),
    })  # fmt: skip
    for name in ("amount", "level", "sort"):
        frame.loc[draw.random(n) < 0.2, name] = np.nan
    return frame


def encoded(frame: pd.DataFrame, **options: Any) -> TableStore:
    """All rows of a table, encoded."""
    encoding = TableEncoding.fit(frame, **options)
    return TableStore(encoding, *encoding.compact(frame))


TABLE = encoded(table())
SPECS = {
    "images": Spec((3, 16, 16), classes=4),
    "translation": Spec((3, 32, 32), classes=4, source=(3, 32, 32), paired=True),
    "tables": TABLE.encoding.spec,
}
"""A small kind of data for each folder of systems."""

SMALL = {
    "batch_size": 8, "blocks": 1, "channel_base": 64, "channel_max": 8, "discriminator_base": 64,
    "discriminator_hidden": 8, "discriminator_max": 8, "discriminator_width": 8, "embedding": 8, "fade_in": 32,
    "finish": 8, "generator_width": 8, "group": 4, "hidden": 8, "kernels": 4, "latent": 8, "layers": 4, "many_steps": 6,
    "mapping_layers": 2, "rounds": 4, "stabilise": 24, "w": 8, "width": 8,
    "coarse_rounds": 1, "discriminator_layers": 1, "encoder_width": 8, "enhancer_blocks": 1, "halvings": 2, "style": 8,
    "head_width": 8, "pack": 2, "patches": 16, "pool": 2,
    "adversarial_rounds": 2, "bins": 8, "critic_width": 8, "exemplar": 320, "levels": 3, "patch": 16, "pixel_rounds": 1,
}  # fmt: skip
"""Settings that make a game small, by name, wherever they stand in a Config."""


class Memory:
    """Samples in memory."""

    def __init__(self, image: torch.Tensor, label: torch.Tensor | None = None, source: torch.Tensor | None = None):
        self.image, self.labels, self.source = image, label, source

    def __len__(self) -> int:
        return len(self.image)

    def fetch(self, indices: torch.Tensor, flip: torch.Tensor | None = None) -> Batch:
        batch = {"image": self.image[indices]}
        if self.source is not None:
            batch["source"] = self.source[indices]
        return batch if self.labels is None else batch | {"label": self.labels[indices]}

    def prefetch(self, indices: torch.Tensor) -> None:
        pass

    def to(self, device: Any) -> Memory:
        return self


def shrunk(config: Any) -> Any:
    """The settings with those named in SMALL made small, in nested ones too."""
    changes = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = shrunk(value)
        elif field.name in SMALL and value is not None:
            changes[field.name] = min(value, SMALL[field.name])
    return dataclasses.replace(config, **changes)


def settings() -> dict[str, tuple[str, Any]]:
    """Every system with its default settings and with each preset: an id -> (system, small config)."""
    found = {}
    for name in discovery.systems():
        module, game = discovery.load(name), discovery.game_class(name)
        found[name] = (name, shrunk(game.Config()))
        for preset, config in getattr(module, "PRESETS", {}).items():
            found[f"{name}-{preset}"] = (name, shrunk(config))
    return found


def spec_of(name: str) -> Spec:
    """The small kind of data that a system is for."""
    return SPECS[discovery.systems()[name].kind]


def store_of(spec: Spec, n: int = 40) -> Any:
    """Random samples."""
    if spec.kind == "table":
        return TABLE
    generator = torch.Generator().manual_seed(1)
    label = torch.arange(n) % spec.classes if spec.classes else None
    image = torch.rand(n, *spec.shape, generator=generator) * 2 - 1
    source = torch.rand(n, *spec.source, generator=generator) * 2 - 1 if spec.source else None
    return Memory(image, label, source)


def encoding_of(spec: Spec) -> Encoding:
    """An encoding of such samples."""
    return TABLE.encoding if spec.kind == "table" else ImageEncoding(spec, "lanczos", "crop", 8)


def asking(generator: TrainedGenerator, spec: Spec) -> TrainedGenerator:
    """The generator; where it translates, it has been told what."""
    return generator.ask(store_of(spec)) if isinstance(generator, Translator) else generator


def seated(name: str, config: Any, spec: Spec, arena: Arena | None = None) -> Game:
    """A game, ready to play, its weights a function of the settings alone."""
    randomness.reseed(0, "weights")
    game = discovery.game_class(name)(config, spec).seat(arena or Arena())
    game.train()
    return game


def play(game: Game, store: Any, rounds: int, batch_size: int | None = None) -> Batches:
    """Play rounds as the training loop does, on from the samples that the game has seen."""
    batches = Batches(
        store, batch_size=batch_size or game.batch_size, noise=game.noise(), seed=(0,), arena=game.arena,
        samples=game.arena.samples,
    )  # fmt: skip
    for _ in range(rounds):
        phase, played = game.phase()
        if played == 0:
            phase.enter()
        batches.batch_size = batch_size or phase.batch_size or game.batch_size
        game.arena.round, game.arena.progress = game.rounds, game.rounds / max(game.total_rounds, 1)
        randomness.reseed(0, "round", game.arena.samples)
        game.turn(phase, batches)
        game.rounds += 1
    return batches


def undocumented(path: Any) -> list[str]:
    """Fields of the class Config in the file that no docstring follows."""
    [config] = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef) and n.name == "Config"]
    missing = []
    for statement, after in zip(config.body, [*config.body[1:], None], strict=True):
        documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(statement, ast.AnnAssign) and not documented:
            missing.append(ast.unparse(statement.target))
    return missing
