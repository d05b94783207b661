"""Stacked MNIST: which of the 1,000 combinations of three digits a generator makes, in the setup of VEEGAN (Srivastava
et al. 2017, arXiv:1705.07761) and PacGAN (Lin et al. 2018, arXiv:1712.04086, section 4.2).

DCGAN's networks for every system that takes them, the discriminator smaller where that is asked for; each system keeps
its own losses, optimizer and normalisation. Systems that are their networks (r3gan, stylegan2) play with their preset
for laptops. 26,000 samples are counted by a classifier of MNIST.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zerosum.core import discovery, randomness
from zerosum.core.errors import BadOption
from zerosum.core.files import write_text
from zerosum.core.settings import to_json
from zerosum.data.spec import Dataset, Spec
from zerosum.lab.points import Progress, share
from zerosum.metrics.classifier import Network
from zerosum.metrics.modes import SAMPLES, count_modes, mode_scores
from zerosum.metrics.reference import versions
from zerosum.networks.families import DCGAN
from zerosum.training.arena import open_arena
from zerosum.training.callback import Callback
from zerosum.training.game import Game
from zerosum.training.loop import Run, Training
from zerosum.training.loop import train as train_game

CURVE_SAMPLES = 2_600
"""Samples counted while training: a tenth of the protocol's, so these counts are lower than the final one."""
CURVE_POINTS = 20


@dataclass(frozen=True)
class StackedProtocol:
    """What all systems of one table share."""

    rounds: int = 20_000
    """Rounds of every system: steps of its generator."""
    minutes: float | None = None
    """In place of a number of rounds: minutes per system and seed."""
    batch_size: int = 64
    """Samples a batch (PacGAN: 64)."""
    latent: int = 128
    """Components of z."""
    width: int = 64
    """Channels of the finest stage of the generator."""
    discriminator_width: int | None = None
    """Channels of the finest stage of the discriminator; None: as many as the generator's. In the harder setups of
    PacGAN's table 3 the discriminator has half and a quarter of the generator's size."""


@dataclass(frozen=True)
class Unequal(DCGAN):
    """DCGAN's networks with a discriminator of another width."""

    discriminator_width: int = 64

    def discriminator(self, spec: Spec, classes: int = 0) -> nn.Module:
        """(n, *spec.shape) -> (n,)."""
        return replace(self, width=self.discriminator_width).own(spec, classes)

    def own(self, spec: Spec, classes: int) -> nn.Module:
        """DCGAN's discriminator of `width`."""
        return super().discriminator(spec, classes)


class ModeCurve(Callback):
    """Counts modes at every snapshot, into modes.jsonl of the run folder, and tells how much is done."""

    def __init__(self, network: Network, progress: Progress):
        self.network, self.progress = network, progress

    def start(self, training: Training) -> None:
        """Forget what an interrupted run noted after its last checkpoint."""
        kept = [line for line in read_curve(training.folder) if line["samples"] <= training.samples]
        write_text(training.folder / "modes.jsonl", "".join(json.dumps(line) + "\n" for line in kept))

    def tick(self, training: Training, values: dict[str, float]) -> None:
        minutes, rounds = training.run.minutes, training.game.total_rounds
        self.progress(min(1.0, training.seconds / (60 * minutes) if minutes else training.rounds / rounds))

    def snapshot(self, training: Training) -> None:
        counts = count_modes(training.generator().tensors(CURVE_SAMPLES, seed=1), self.network)
        line = {"samples": training.samples, "n": CURVE_SAMPLES, **mode_scores(counts)}
        lines = [old for old in read_curve(training.folder) if old["samples"] < training.samples] + [line]
        write_text(training.folder / "modes.jsonl", "".join(json.dumps(one) + "\n" for one in lines))


def read_curve(folder: Path) -> list[dict[str, float]]:
    """The lines of modes.jsonl, in the order of samples shown."""
    path = folder / "modes.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def play(
    system: str,
    dataset: Dataset,
    network: Network,
    protocol: StackedProtocol,
    seeds: Sequence[int],
    folder: Path,
    progress: Progress = lambda done: None,
) -> tuple[dict[str, Any], Tensor]:
    """Train one system with every seed, one after the other, and count its modes.

    Each training is an ordinary run in `folder`/<system>-<seed> and goes on from its last checkpoint.

    Returns:
        the row for the table, and 200 samples of the first seed.

    Raises:
        BadOption: the system takes neither DCGAN's networks nor has it a preset for laptops.
    """
    scores, curves, grid, facts, began = [], [], None, {}, time.perf_counter()
    for index, seed in enumerate(seeds):
        game, config = build(system, dataset.spec, protocol, seed)
        arena = open_arena(narrow=game.narrow)
        total = protocol.rounds * protocol.batch_size
        run = Run(
            seed=seed, minutes=protocol.minutes, keep=1, on_illness="warn",
            save_every=None if protocol.minutes else max(total // CURVE_POINTS, protocol.batch_size),
        )  # fmt: skip
        facts = {"config": to_json(game.config), "precision": arena.precision, "device": arena.device.type}
        about = {"name": dataset.name, "fingerprint": dataset.fingerprint, "class_names": dataset.class_names}
        described = {"system": system, "config": to_json(config), "seed": seed, "versions": versions(), "data": about}
        place = folder / f"{system}-{seed}"
        curve = ModeCurve(network, share(progress, index, len(seeds)))
        generator = train_game(game, dataset, run, place, [curve], described, arena)
        scores.append(mode_scores(count_modes(generator.tensors(SAMPLES, seed=0), network)))
        curves.append([[line["samples"], line["modes"], line["mode_kl"]] for line in read_curve(place)])
        facts |= {"rounds": game.rounds, "samples_shown": game.arena.samples}
        grid = next(generator.tensors(200, seed=2)).cpu() if grid is None else grid
    assert grid is not None
    row = {name: [score[name] for score in scores] for name in scores[0]}
    facts |= {"seconds": round(time.perf_counter() - began, 1), "curve": curves}
    return {"system": system, "seeds": list(seeds), **row, **facts}, grid


def build(system: str, spec: Spec, protocol: StackedProtocol, seed: int) -> tuple[Game, Any]:
    """A game of `system` as the protocol wants it, not seated; and the config that its generator can be loaded by."""
    game_class: Any = discovery.game_class(system)
    randomness.reseed(seed, "lab", system)
    default = game_class.Config()
    known = {field.name for field in fields(default)}
    if "networks" not in known:
        config = own_networks(system, game_class, protocol)
        return game_class(config, spec), config
    if missing := {"rounds", "batch_size", "latent"} - known:
        raise BadOption(f"{system} has no setting called {' or '.join(sorted(missing))}, which this table sets.")
    # Normalisation is the system's own affair: gradient penalties rule it out of the discriminator.
    own = default.networks if isinstance(default.networks, DCGAN) else DCGAN(discriminator_norm=False)
    networks = replace(own, width=protocol.width)
    rounds = protocol.rounds if protocol.minutes is None else default.rounds
    config = replace(default, rounds=rounds, batch_size=protocol.batch_size, latent=protocol.latent, networks=networks)
    played = config
    if protocol.discriminator_width is not None:
        played = replace(config, networks=Unequal(**vars(networks), discriminator_width=protocol.discriminator_width))
    return game_class(played, spec), config


def own_networks(system: str, game_class: Any, protocol: StackedProtocol) -> Any:
    """The config of a system that no other networks fit, such as r3gan: its preset for laptops, as long as the others.

    Raises:
        BadOption: it has no such preset.
    """
    presets = getattr(sys.modules[game_class.__module__], "PRESETS", {})
    if "laptop" not in presets:
        raise BadOption(
            f"{system} has networks of its own and no preset called laptop: take systems with `networks:dcgan`, such "
            "as dcgan, pacgan and rpgan, or r3gan and stylegan2."
        )
    preset = presets["laptop"]
    rounds = protocol.rounds if protocol.minutes is None else preset.rounds
    config = replace(preset, rounds=rounds, batch_size=protocol.batch_size)
    if system == "r3gan":  # 330 modes after 40,000 images, where gamma by the number of pixels gives 130, and 10 fewer
        config = replace(config, gamma=(1.0, 0.1))
    return config
