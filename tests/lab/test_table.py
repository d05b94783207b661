"""The lab end to end, and its figures on the data itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zerosum.cli.lab import main
from zerosum.core.errors import BadOption
from zerosum.data import load
from zerosum.data.spec import Spec
from zerosum.gans.images import r3gan
from zerosum.lab import points, stacked
from zerosum.lab.pictures import curves, image_grid, scatter
from zerosum.lab.results import Results, mean_and_error
from zerosum.lab.table import POINT_COLUMNS, cells, checked
from zerosum.metrics import classifier
from zerosum.metrics.points import MODES, point_scores

TINY = ["--rounds", "60", "--batch-size", "16", "--hidden", "16", "--seeds", "2"]


@pytest.mark.parametrize(("task", "count"), [("ring", 8), ("grid", 25)])
def test_real_data_has_all_modes_and_the_share_within_three_std(task: str, count: int) -> None:
    scores = point_scores(load(task).train.fetch(torch.arange(2_500))["image"], MODES[task])
    assert scores["modes"] == count
    assert scores["high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.008)  # Rayleigh: 98.9 %
    assert scores["mode_kl"] < 0.02


def test_ring_end_to_end_and_restart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["ring", "--systems", "gan", "rpgan", *TINY, "--out", str(tmp_path / "lab")]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("gan", "rpgan", "±", "reverse KL", "(real data)"))
    results = json.loads((tmp_path / "lab" / "results.json").read_text())
    protocol = results["protocol"]
    assert (protocol["samples"], protocol["std"], protocol["seeds"], protocol["batch_size"]) == (2_500, 0.02, 2, 16)
    assert protocol["networks"]["hidden"] == 16 and results["versions"]["torch"] and results["real"]["modes"] == 8
    assert list(results["systems"]) == ["gan", "rpgan"]
    row = results["systems"]["rpgan"]
    assert row["rounds"] == 60 and row["seeds"] == [0, 1] and len(row["modes"]) == 2
    assert row["config"]["gamma"] == points.SETTINGS["rpgan"]["gamma"]
    for system in ("gan", "rpgan"):
        with Image.open(tmp_path / "lab" / f"{system}.png") as picture:
            assert picture.size == (600, 318)

    before = (tmp_path / "lab" / "results.json").stat().st_mtime_ns
    assert main([*command, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == results
    assert (tmp_path / "lab" / "results.json").stat().st_mtime_ns == before, "nothing was trained again"
    with pytest.raises(BadOption, match=r"another protocol: rounds \(60 there, 70 now\).*--out"):
        main([*command, "--rounds", "70"])


def test_the_same_seed_gives_the_same_row_together_and_apart() -> None:
    dataset = load("grid")
    protocol = points.PointProtocol(rounds=20, batch_size=16, networks=points.MLP(hidden=16))
    first, _ = points.play("gan", dataset, protocol, [0, 1])
    again, sets = points.play("gan", dataset, protocol, [0, 1])
    apart, own = points.play("gan", dataset, protocol, [0, 1], apart=True)
    assert first["modes"] == again["modes"] and first["mode_kl"] == again["mode_kl"]
    assert sets.shape == own.shape == (2, 2_500, 2)
    assert apart["rounds"] == 20
    limited, _ = points.play("gan", dataset, points.replace(protocol, minutes=1e-6), [0])
    assert limited["rounds"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grid", "--systems", "pacgam"], "no system called 'pacgam'. Did you mean pacgan"),
        (["grid", "--systems"], "--systems names no system"),
        (["ring", "--seeds", "0"], "--seeds is 0; it must be more than 0"),
        (["ring", "--minutes", "-1"], "--minutes is -1.0; it must be more than 0"),
        (
            ["ring", "--systems", "pacgan", "--batch-size", "3"],
            "3 samples or packs cannot be shared equally by 2 games",
        ),
    ],
)
def test_wrong_input_says_what_to_do(arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=message):
        main([*arguments, "--out", str(tmp_path / "lab")])


def test_names_are_those_of_the_files() -> None:
    assert checked(["WGAN-GP", "gan", "wgan_gp"]) == ["wgan_gp", "gan"]


def test_mean_and_standard_error() -> None:
    assert mean_and_error([1.0, 3.0]) == (2.0, 1.0)
    assert mean_and_error([4.0]) == (4.0, None)
    row: dict[str, Any] = {"system": "gan", "modes": [24.0, 25.0], "high_quality": [0.9, 0.9], "mode_kl": [0.1, 0.2]}
    row |= {"rounds": 1500, "seconds": 9.7}
    assert cells(row, POINT_COLUMNS) == ["gan", "24.5 ± 0.5", "90.0 ± 0.0", "0.150 ± 0.050", "1,500", "10"]


def test_two_commands_may_fill_one_folder(tmp_path: Path) -> None:
    one, other = (Results(tmp_path / "lab", {"task": "ring"}, {"modes": 8.0}) for _ in range(2))
    assert one.begin().rows() == {} and one.path.exists()
    one.add({"system": "gan"})
    other.add({"system": "rpgan"})
    assert list(one.rows()) == ["gan", "rpgan"]


def test_pictures() -> None:
    dot = scatter(torch.tensor([[[5.0, -5.0]]]), torch.zeros(0, 2), ["one"], size=100)
    assert dot.size == (100, 118)
    red, green, _ = dot.getpixel((98, 116))  # type: ignore[misc]
    assert red > green + 30, "x points right and y up"
    grid = image_grid(torch.stack([torch.full((3, 2, 2), -1.0), torch.full((3, 2, 2), 1.0)]), columns=2, zoom=1)
    assert grid.size == (4, 2) and grid.getpixel((0, 0)) == (0, 0, 0) and grid.getpixel((3, 1)) == (255, 255, 255)
    assert curves({"gan": [[(0, 0), (1000, 500)]]}, top=1000, title="modes").size == (640, 320)


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Stacked digits of 8 x 8 pixels, and counts of few samples."""
    from sklearn.datasets import load_digits

    from zerosum.data import builtin

    found = load_digits()
    images, labels = (found.images * 15).astype(np.uint8), found.target.astype(np.int64)
    path = tmp_path / "digits.npz"
    np.savez(path, x_train=images[:1500], y_train=labels[:1500], x_test=images[1500:], y_test=labels[1500:])
    monkeypatch.setattr(builtin, "STACKED", 2_000)
    monkeypatch.setattr(classifier, "length", lambda dataset: 6_000)
    monkeypatch.setattr(stacked, "SAMPLES", 300)
    monkeypatch.setattr(stacked, "CURVE_SAMPLES", 100)
    return f"stacked_mnist:{path}"


def test_stacked_mnist_end_to_end(stacks: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["stacked-mnist", "--data", stacks, "--out", str(tmp_path / "lab")]
    command += ["--rounds", "20", "--batch-size", "8", "--width", "8", "--latent", "16"]
    assert main([*command, "--systems", "pacgan", "--discriminator-width", "4"]) == 0
    results = json.loads((tmp_path / "lab" / "results.json").read_text())
    row = results["systems"]["pacgan"]
    assert results["protocol"]["discriminator_width"] == 4 and results["real"]["modes"] > 100
    assert row["rounds"] == 20 and len(row["curve"][0]) >= 10 and row["curve"][0][-1][0] == row["samples_shown"] == 160
    assert "pacgan" in capsys.readouterr().out
    assert {"pacgan.png", "modes.png", "pacgan-0"} <= {path.name for path in (tmp_path / "lab").iterdir()}
    with pytest.raises(BadOption, match="another protocol: discriminator_width"):
        main([*command, "--systems", "rpgan"])


def test_the_discriminator_can_be_smaller() -> None:
    def size(width: int | None) -> list[int]:
        protocol = stacked.StackedProtocol(width=8, discriminator_width=width)
        game: Any = stacked.build("dcgan", Spec((3, 28, 28)), protocol, 0)[0]
        return [sum(p.numel() for p in network.parameters()) for network in (game.G, game.D)]

    assert size(None)[0] == size(4)[0]
    assert size(4)[1] < size(None)[1] / 2


def test_a_system_with_networks_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import dataclass

    from zerosum.core import discovery

    @dataclass(frozen=True)
    class Config:
        rounds: int = 1
        batch_size: int = 1
        latent: int = 1

    monkeypatch.setattr(discovery, "game_class", lambda name: type("Own", (), {"Config": Config}))
    with pytest.raises(BadOption, match="own_system cannot play with points.*no setting called networks"):
        points.build("own_system", Spec((2,), kind="points"), points.PointProtocol(), 0)
    with pytest.raises(BadOption, match="own_system has networks of its own"):
        stacked.build("own_system", Spec((3, 28, 28)), stacked.StackedProtocol(), 0)


def test_a_system_that_is_its_networks_plays_with_its_laptop_preset() -> None:
    game, config = stacked.build("r3gan", Spec((3, 28, 28)), stacked.StackedProtocol(rounds=10, batch_size=16), 0)
    assert (config.rounds, config.batch_size, config.width) == (10, 16, r3gan.PRESETS["laptop"].width)
    assert game.G(torch.randn(2, config.latent)).shape == (2, 3, 28, 28)
