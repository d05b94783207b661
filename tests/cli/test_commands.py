"""Commands: what they print and write."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import TINY
from zerosum.core import discovery

ROOT = Path(__file__).parents[2]


def test_list(zerosum: Callable) -> None:
    listed = json.loads(zerosum("list", "--json").out)
    assert [row["name"] for row in listed] == list(discovery.systems())
    assert all(row["paper"] and row["kind"] for row in listed)
    assert all(name in zerosum("list").out for name in discovery.systems())


def test_dry_run_prints_json_and_writes_nothing(
    zerosum: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    resolved = json.loads(zerosum("train", "dcgan", "--adam.lr", "3e-4", "--run.minutes", "2", "--dry-run").out)
    assert resolved["system"] == "dcgan" and resolved["data"] == "digits"
    assert resolved["config"]["adam"]["lr"] == 3e-4 and resolved["run"]["minutes"] == 2
    assert not list(tmp_path.iterdir())


def test_presets(zerosum: Callable) -> None:
    paper = json.loads(zerosum("train", "dcgan", "--preset", "paper", "--dry-run").out)["config"]
    assert paper["batch_size"] == 128 and paper["networks"]["width"] == 128 and paper["ema_half_life"] is None
    changed = json.loads(zerosum("train", "dcgan", "--preset=paper", "--batch-size", "32", "--dry-run").out)["config"]
    assert changed["batch_size"] == 32 and changed["networks"]["width"] == 128


def test_options_may_stand_on_both_sides_of_the_networks(zerosum: Callable) -> None:
    command = ["train", "gan", "networks:mlp", "--networks.hidden", "16", "--run.samples", "100", "--dry-run"]
    resolved = json.loads(zerosum(*command).out)
    assert resolved["config"]["networks"]["hidden"] == 16 and resolved["run"]["samples"] == 100


def test_a_run_folder(trained: Path) -> None:
    names = {path.name.partition(".")[0] if path.name.startswith("events") else path.name for path in trained.iterdir()}
    assert names >= {
        "config.json",
        "metrics.jsonl",
        "samples",
        "checkpoints",
        "generator",
        "report.html",
        "health.json",
    }
    described = json.loads((trained / "config.json").read_text())
    assert described["command"]["system"] == "gan" and described["data"]["fingerprint"]
    for line in (trained / "metrics.jsonl").read_text().splitlines():
        assert {"kind", "samples", "rounds", "seconds"} <= json.loads(line).keys()


def test_sample_writes_pictures_and_a_grid(trained: Path, tmp_path: Path, zerosum: Callable) -> None:
    code, out, _ = zerosum("sample", trained, "-n", "5", "--out", tmp_path / "a b/ü", "--json")
    assert code == 0
    files = [Path(path) for path in json.loads(out)["files"]]
    assert [path.name for path in files] == [f"{i:06d}.png" for i in range(5)] + ["grid.png"]
    assert all(Image.open(path).size == (8, 8) for path in files[:-1])


def test_the_same_seed_gives_the_same_bytes(trained: Path, tmp_path: Path, zerosum: Callable) -> None:
    for out in ("a", "b", "a.npz", "b.npz"):
        assert zerosum("sample", trained, "-n", "4", "--seed", "7", "--out", tmp_path / out).code == 0
    assert zerosum("sample", trained, "-n", "4", "--seed", "8", "--out", tmp_path / "c").code == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 5
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    assert (tmp_path / "a" / "grid.png").read_bytes() != (tmp_path / "c" / "grid.png").read_bytes()
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert np.load(tmp_path / "a.npz")["samples"].shape == (4, 8, 8)


def test_class_by_name_and_by_number(conditional: Path, tmp_path: Path, zerosum: Callable) -> None:
    described = json.loads((conditional / "generator" / "config.json").read_text())
    assert described["facts"]["data"]["class_names"] == [str(digit) for digit in range(10)]
    for label, out in (("3", "a.npz"), ("3", "b.npz"), ("4", "c.npz")):
        assert zerosum("sample", conditional, "-n", "3", "--class", label, "--out", tmp_path / out).code == 0
    a, b, c = (np.load(tmp_path / f"{name}.npz")["samples"] for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_names_of_classes_come_before_numbers(conditional: Path, tmp_path: Path, zerosum: Callable) -> None:
    from zerosum import load
    from zerosum.cli.sample import class_number

    generator = load(conditional)
    generator.facts["data"]["class_names"] = ["ant", "1", "bee"]
    assert [class_number(text, generator) for text in ("ant", "bee", "1", "2")] == [0, 2, 1, 2]


def test_resume_trains_on(copied: Path, zerosum: Callable) -> None:
    code, _, err = zerosum("resume", copied)
    assert code == 0 and "finished already" in " ".join(err.split())
    assert zerosum("resume", copied, "--samples", "800").code == 0
    newest = max((copied / "checkpoints").iterdir())
    assert json.loads((newest / "progress.json").read_text())["samples"] == 800
    samples = [json.loads(line)["samples"] for line in (copied / "metrics.jsonl").read_text().splitlines()]
    assert samples == sorted(samples)


@pytest.mark.parametrize("command", ["health", "evaluate", "check-data"])
def test_json_can_be_parsed(command: str, trained: Path, zerosum: Callable) -> None:
    arguments = {
        "health": ["health", trained],
        "evaluate": ["evaluate", trained, "--features", "pixels", "--n", "200"],
        "check-data": ["check-data", "digits"],
    }[command]
    code, out, err = zerosum(*arguments, "--json")
    assert code in (0, 1), err
    assert isinstance(json.loads(out), dict)
    assert zerosum(*arguments).out.strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed(number: signal.Signals, tmp_path: Path, zerosum: Callable) -> None:
    folder = tmp_path / "run"
    command = ["train", "gan", "--run.folder", str(folder), "--run.save-every", "200", "--features", "none"]
    command += ["networks:mlp", "--networks.hidden", "16"]
    process = subprocess.Popen([sys.executable, "-m", "zerosum", *command], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list((folder / "checkpoints").glob("[0-9]*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert f"zerosum resume {folder}" in err.replace("\n", "") or f"zerosum resume {folder}" in " ".join(err.split())
    assert "Traceback" not in err
    before = int(max((folder / "checkpoints").iterdir()).name)
    assert zerosum("resume", folder, "--samples", before + 400).code == 0


@pytest.mark.slow
def test_two_processes_from_the_command_line(tmp_path: Path, trained: Path) -> None:
    command = ["train", "gan", "--run.folder", str(tmp_path / "run"), "--run.devices", "cpu:2", *TINY]
    done = subprocess.run([sys.executable, "-m", "zerosum", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    from zerosum import load

    one, two = load(trained).state_dict(), load(tmp_path / "run").state_dict()
    assert all((one[name] - two[name]).abs().max() < 1e-4 for name in one)
