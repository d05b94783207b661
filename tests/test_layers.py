"""Imports point down: the layer table of the architecture, enforced by parsing every file (functions included)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "zerosum"

# A folder imports itself and all folders with a lower number. data and objectives share one: neither imports the other.
LAYERS = {
    "core": 1,
    "data": 2,
    "objectives": 2,
    "networks": 3,
    "training": 4,
    "gans": 5,
    "metrics": 6,
    "health": 6,
    "editing": 6,
    "interop": 6,
    "provenance": 6,
    "api": 7,
    "imputers": 7,
    "synthesizers": 8,
    "report": 7,
    "lab": 8,
    "server": 8,
    "studio": 8,
    "cli": 9,
}
# Within one layer: who may import whom, and why.
ALLOWED = {
    ("api", "report"): "api.train() puts the report's callback beside those of scores and health",
}
# Packages that one place alone may import.
RESERVED = {
    "lightning_fabric": ("training", "the arena hides devices and ranks from everything else"),
    "torchvision": ("core/vision.py", "its plain import fails beside a CPU build of torch"),
    "torch_fidelity": ("core/vision.py", "it imports torchvision"),
}
FACE = "api"  # `import zerosum` gives what api.py offers: train, load, evaluate
PUBLIC = {"__init__.py", "__main__.py"}  # the package's face: what they import is checked where it is defined


def imports(source: str, module: str) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of every import in `source`, the file of the dotted `module`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [base])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def violations(source: str, path: str) -> list[str]:
    """What the file at `path` (relative to zerosum/, with its text) imports and must not."""
    own = path.split("/")[0].removesuffix(".py")
    if own not in LAYERS:
        return [f"{path}: the folder {own!r} has no layer; add it to the table in tests/test_layers.py"]
    found = []
    for line, name in imports(source, "zerosum." + path.removesuffix(".py").replace("/", ".")):
        package, _, rest = name.partition(".")
        if package in RESERVED:
            place, reason = RESERVED[package]
            if not (path == place or path.startswith(f"{place}/")):
                found.append(f"{path}:{line} imports {name}; only {place} may: {reason}")
        elif package == "zerosum":
            other = rest.split(".")[0]
            other = other if other in LAYERS else FACE
            if other != own and LAYERS[other] >= LAYERS[own] and (own, other) not in ALLOWED:
                found.append(f"{path}:{line} imports {name}: layer {LAYERS[own]} must not know layer {LAYERS[other]}")
    return found


FILES = sorted(str(path.relative_to(ROOT).as_posix()) for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", [path for path in FILES if path not in PUBLIC])
def test_imports_point_down(path: str) -> None:
    assert not violations((ROOT / path).read_text(encoding="utf-8"), path)


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("core/bad.py", "from zerosum.training.game import Game", "layer 1 must not know layer 4"),
        ("core/bad.py", "def f():\n    import zerosum.gans.images.dcgan", "bad.py:2 imports"),
        ("data/bad.py", "from zerosum.objectives import adversarial", "layer 2 must not know layer 2"),
        ("data/bad.py", "from ..cli import train", "layer 2 must not know layer 9"),
        ("metrics/bad.py", "from zerosum.health.monitor import Health", "layer 6 must not know layer 6"),
        ("report/bad.py", "from zerosum import api", "layer 7 must not know layer 7"),
        ("gans/images/bad.py", "from lightning_fabric import Fabric", "only training may"),
        ("data/bad.py", "import torchvision.datasets as sets", "only core/vision.py may"),
        ("metrics/bad.py", "from torch_fidelity import calculate_metrics", "only core/vision.py may"),
        ("metrics/bad.py", "import zerosum", "layer 6 must not know layer 7"),
        ("metrics/bad.py", "from zerosum import evaluate", "layer 6 must not know layer 7"),
        ("misc/bad.py", "", "has no layer"),
    ],
)
def test_the_check_can_fail(path: str, source: str, complaint: str) -> None:
    found = violations(source, path)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cli/good.py", "from zerosum.api import train\nfrom zerosum.core.errors import BadOption"),
        ("gans/images/good.py", "from zerosum.training.game import Game\nimport torch"),
        ("training/good.py", "def f():\n    from lightning_fabric import Fabric\n    from .player import Player"),
        ("api.py", "import zerosum\nfrom zerosum.training import loop"),
        ("api.py", "from zerosum.report.callback import Reporting"),
    ],
)
def test_the_check_can_pass(path: str, source: str) -> None:
    assert not violations(source, path)
