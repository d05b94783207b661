"""Killing a training (SIGKILL) at random moments loses nothing: the benchmark of it, small. And disks really full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.crash import torture
from tests.training.test_table_generator import people
from tests.training.toys import Lines, play, same, state
from zerosum.core.errors import BadFile
from zerosum.training.loop import Run


@pytest.mark.slow
def test_killed_and_resumed_is_bit_identical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    found = torture("dcgan", kills=2, samples=4_000, seed=1, folder=tmp_path, every=500)
    assert found["kills"] == 2
    assert found["identical"]
    assert not found["broken"]


@pytest.mark.slow
def test_a_training_on_a_table_goes_on_bit_identically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    people(400).to_csv(tmp_path / "people.csv", index=False)
    more = ["--data", tmp_path / "people.csv", "--hidden", "16", "--run.batch-size", "100"]
    found = torture("ctgan", 2, 6_000, 1, tmp_path, features="auto", every=500, more=more)
    assert found["kills"] == 2
    assert found["identical"]
    assert not found["broken"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting takes root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting is not permitted")
    yield folder  # type: ignore[misc]
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_really_full(small_disk: Path, tmp_path: Path) -> None:
    play(small_disk, rounds=40, run=Run(samples=40, save_every=20))
    filler = small_disk / "filler"
    with pytest.raises(OSError), filler.open("wb") as file:
        while True:
            file.write(b"x" * 1024)
            file.flush()
    lines = Lines()
    with pytest.raises(BadFile, match="the disk is full: free some space"):
        play(small_disk, lines, rounds=40)
    assert lines.closed == 1
    filler.unlink()
    assert same(state(play(small_disk, rounds=40)), state(play(tmp_path / "whole", rounds=40)))


def test_a_full_disk_on_the_command_line(small_disk: Path) -> None:
    command = ["train", "gan", "--run.folder", small_disk / "run", "--run.samples", "4000", "--run.save-every", "400"]
    command += ["--features", "none", "networks:mlp", "--networks.hidden", "64"]  # a checkpoint takes more than 256 KiB
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "zerosum", *map(str, command)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "the disk is full" in done.stderr and str(small_disk) in done.stderr
