"""Settings that are "auto": the values, their reasons, and where the user meets them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gans.games import shrunk
from zerosum import api
from zerosum.cli import main
from zerosum.core import discovery
from zerosum.core.errors import BadOption
from zerosum.data.spec import Spec
from zerosum.report.page import write
from zerosum.training import automatic
from zerosum.training.loop import Run, train

PICTURES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
TRAINED = 36
"""Of them; the others are held out."""


def command(system: str, run: Run = Run(), **settings: Any) -> api.Command:
    config = dataclasses.replace(shrunk(discovery.game_class(system).Config()), **settings)
    return api.Command(system, config, PICTURES, run=run, features="none")


def test_weights_of_penalties_by_pixels_and_batch() -> None:
    assert automatic.r1_gamma(Spec((3, 64, 64)), 16) == (pytest.approx(0.0512), "0.0002 x 4096 pixels / batch 16")
    assert automatic.relativistic_gamma(Spec((3, 64, 32))) == (0.5, "2048 pixels / 64^2")
    assert automatic.relativistic_gamma(Spec((2,), kind="points")) == (0.1, "for points")
    assert automatic.ema_half_life(16)[0] == 5000


def test_augmentation_where_there_are_few_images() -> None:
    assert automatic.augmentation(4_000, Spec((3, 8, 8))) == (True, "4,000 training images are fewer than 100,000")
    assert automatic.augmentation(100_000, Spec((3, 8, 8)))[0] is False


@pytest.mark.parametrize(
    ("samples", "processes", "expected"),
    [(1000, 1, 64), (64, 1, 64), (63, 1, 32), (5, 1, 4), (1, 1, 1), (50, 3, 48), (2, 4, 4)],
)
def test_a_batch_is_smaller_only_where_the_data_does_not_fill_one(samples: int, processes: int, expected: int) -> None:
    size, reason = automatic.batch_size(64, samples, processes)
    assert size == expected and f"{samples:,} samples" in reason and size % processes in (0, 64 % processes)


def test_numbers_are_written_for_people() -> None:
    values = [automatic.explained(value, "why") for value in (10_000.0, 0.0128, 2.0, 16, "ada")]
    assert values == ["10,000: why", "0.0128: why", "2: why", "16: why", "ada: why"]


def test_choices_are_aligned() -> None:
    chosen = {"gamma": automatic.explained(0.01234567, "because: so"), "run.batch-size": automatic.explained(8, "few")}
    assert automatic.table(chosen).splitlines() == [
        "setting         value    why",
        "gamma           0.01235  because: so",
        "run.batch-size  8        few",
    ]


@pytest.mark.parametrize("system", ["stylegan2", "stylegan3"])
def test_choices_go_by_the_batch_that_is_used(system: str) -> None:
    for size in (8, 4):
        resolved, said = api.dry_run(command(system, Run(batch_size=size)))
        assert resolved["chosen"]["gamma"] == f"{0.0002 * 64 / size:.4g}: 0.0002 x 64 pixels / batch {size}"
        assert f"0.0002 x 64 pixels / batch {size}" in said and f"batch {size} / 32" in said


def test_rpgan_by_pixels_as_ever() -> None:
    resolved, _ = api.dry_run(command("rpgan"))
    assert resolved["chosen"] == {"gamma": "0.01562: 64 pixels / 64^2"}
    game = discovery.game_class("rpgan")(command("rpgan", gamma=2.0).config, Spec((1, 8, 8)))
    assert game.gamma == 2.0 and not game.chosen


def test_a_batch_that_the_data_does_not_fill(tmp_path: Path) -> None:
    run = Run(folder=tmp_path / "run", batch_size="auto", samples=64)
    api.start(command("rpgan", run, batch_size=64, rounds=100), quiet=True)
    described = json.loads((run.folder / "config.json").read_text())
    assert described["command"]["run"]["batch_size"] == 32 and described["command"]["run"]["micro_batch"] is None
    assert described["chosen"]["run.batch-size"] == f"32: the data has {TRAINED} samples, less than a batch of 64"
    assert described["chosen"]["run.micro-batch"].startswith("32: the whole batch: 32 samples need")
    assert api.read_command(run.folder).run.batch_size == 32
    generator = api.load(run.folder)
    assert generator.facts["config"]["batch_size"] == 32 and generator.facts["chosen"] == described["chosen"]
    assert "64 pixels / 64^2" in write(run.folder).read_text()


def test_the_systems_own_batch_stays_where_the_data_fills_it() -> None:
    resolved, _ = api.dry_run(command("rpgan", Run(batch_size="auto")))
    assert resolved["run"]["batch_size"] is None
    assert resolved["chosen"]["run.batch-size"] == f"8: the system's own; the data has {TRAINED} samples"


def test_the_table_is_printed_when_training_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "rpgan", "--run.samples", "128", "--features", "none", "--run.batch-size", "auto"]
    networks = ["networks:mlp", "--networks.hidden", "8"]
    assert main([*arguments, "--dry-run", *networks]) == 0
    dry = capsys.readouterr()
    assert json.loads(dry.out)["run"]["micro_batch"] is None
    assert main([*arguments, "--run.folder", str(tmp_path / "run"), *networks]) == 0
    rows = capsys.readouterr().err.splitlines()
    assert rows[0].split() == ["setting", "value", "why"] and rows[:3] == dry.err.splitlines()[:3]
    assert "gamma" in rows[2] and "64 pixels / 64^2" in rows[2]


def test_the_loop_itself_takes_numbers_only(tmp_path: Path) -> None:
    asked = command("rpgan")
    dataset = api.load_data(PICTURES, asked.options)
    for run in (Run(batch_size="auto"), Run(micro_batch="auto")):
        game = discovery.game_class("rpgan")(asked.config, dataset.spec)
        with pytest.raises(BadOption, match=r"become numbers before the training loop"):
            train(game, dataset, run, tmp_path)
