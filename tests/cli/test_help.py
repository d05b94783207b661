"""Help: fast, complete, with examples; what is misspelt is told with what was meant."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zerosum.cli import commands
from zerosum.core import discovery

ROOT = Path(__file__).parents[2]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)


@pytest.mark.parametrize(
    "arguments", [["--help"], [], ["train"], ["train", "--help"], ["list", "--json"], ["--version"]]
)
def test_help_does_not_import_torch(arguments: list[str]) -> None:
    script = f"import sys; from zerosum.cli import main; main({arguments}); print('torch' in sys.modules)"
    assert run(script).stdout.splitlines()[-1] == "False"


def test_help_is_fast() -> None:
    command = [sys.executable, "-m", "zerosum", "--help"]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.3


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_with_an_example(command: str, zerosum: Callable) -> None:
    code, out, _ = zerosum(command, "--help")
    assert code == 0
    assert f"zerosum {command}" in out
    assert "example" in out.lower()
    assert commands()[command].rstrip(".")


def test_the_help_lists_every_command(zerosum: Callable) -> None:
    out = zerosum("--help").out
    for command, what in commands().items():
        assert f"  {command} " in out and what in out


def documented_settings(path: Path) -> dict[str, str]:
    """The fields of a system's Config with their docstrings."""
    tree = ast.parse(path.read_text())
    config = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Config")
    pairs = zip(config.body, config.body[1:], strict=False)
    return {
        field.target.id: ast.literal_eval(text.value)
        for field, text in pairs
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr)
    }


@pytest.mark.parametrize("system", discovery.systems())
def test_help_of_a_system_shows_every_setting(system: str, zerosum: Callable) -> None:
    code, out, _ = zerosum("train", system, "--help")
    assert code == 0
    shown = " ".join("".join(c if c not in "│║╭╰╮╯─" else " " for c in out).split())
    settings = documented_settings(discovery.find(system).path)
    assert len(settings) > 3
    for name, text in settings.items():
        option = name.replace("_", "-")
        if f"{name}:" in shown or f"--{option}." in shown or f"{option} options" in shown:
            continue  # a group of settings, each with a line of its own
        assert f"--{option} " in shown or f"--{option}," in shown or f"--no-{option}" in shown, option
        assert " ".join(text.split())[:30].rstrip() in shown, text
    for option in ("--data ", "--data.resolution", "--run.minutes", "--features", "--dry-run", "--preset"):
        assert option in shown
    example = "customers.csv --target" if discovery.find(system).kind == "tables" else "photos/"
    assert f"zerosum train {system} --data {example}" in shown


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["trian"], "Did you mean train?"),
        (["check_data"], "check-data"),
        (["train", "dcgna"], "dcgan"),
        (["train", "wgan-gpp"], "wgan_gp"),
        (["train", "dcgan", "--run.minuts", "3"], "--run.minutes"),
        (["train", "gan", "--discriminator-step", "3"], "--discriminator-steps"),
        (["train", "dcgan", "--preset", "papre"], "it has: paper"),
        (["train", "dcgan", "--features", "inceptoin"], "inception"),
        (["train", "dcgan", "networks:mpl"], "networks:mlp"),
        (["train", "--data", "digits"], "the system comes first"),
        (["sample"], "run"),
    ],
)
def test_what_is_misspelt_is_told_with_what_was_meant(arguments: list[str], meant: str, zerosum: Callable) -> None:
    code, out, err = zerosum(*arguments)
    assert code == 2
    assert meant in out + err
    assert "Traceback" not in out + err
