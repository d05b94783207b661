"""Runs that the tests of the command line share, and a way to call it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from zerosum.cli import main

TINY = [
    "--run.samples",
    "400",
    "--run.save-every",
    "200",
    "--features",
    "none",
    "networks:mlp",
    "--networks.hidden",
    "16",
]


class Result(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Result:
    """Run a command in this process."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    captured = capsys.readouterr()
    return Result(code, captured.out, captured.err)


@pytest.fixture
def zerosum(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """`zerosum(*arguments)`: exit code and what was printed."""
    return lambda *arguments: call(capsys, *arguments)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of `gan` on digits. Not to be changed."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "gan", "--run.folder", str(folder), *TINY]) == 0
    return folder


@pytest.fixture(scope="session")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of `rpgan --conditional` on digits. Not to be changed."""
    folder = tmp_path_factory.mktemp("conditional") / "run"
    assert main(["train", "rpgan", "--conditional", "--run.folder", str(folder), *TINY]) == 0
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A run of one's own."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
