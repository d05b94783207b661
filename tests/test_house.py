"""House rules that no linter knows."""

from __future__ import annotations

import ast
import json
import re
import statistics
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from zerosum.data import load as load_data
from zerosum.networks.families import DCGAN
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "zerosum"
MODULES = sorted(PACKAGE.rglob("*.py"))
SYSTEMS = sorted(path for path in (PACKAGE / "gans").glob("*/*.py") if not path.stem.startswith("_"))

# Written in pieces, so that this file passes its own test.
FOREIGN = {
    "a path of somebody's machine": re.compile(
        r"(?<![\w.])/(?:wor" + r"k|ro" + r"ot|Us" + r"ers|home/\w+|t" + r"mp)/\w"
    ),
    "the address of a package registry": re.compile(
        "|".join(
            ["py" + r"pi\.org", "pythonhos" + r"ted\.org", "download\\.py" + r"torch\.org", "--(extra-)?index" + "-url"]
        )
    ),
}
AUTHORS_AND_YEAR = re.compile(r"\(.*\b(19|20)\d\d\)")
IDENTIFIER = re.compile(
    r"arXiv:\d{4}\.\d{4,5}|\b(CVPR|ICCV|ECCV|ICLR|ICML|NeurIPS|NIPS|AAAI|IJCAI|SIGGRAPH|IPMI|ACCV|WACV)\b"
)


def short(path: Path) -> str:
    """The path inside the project, for the names of tests."""
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[Path]:
    """Every file under version control."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def foreign(text: str) -> list[str]:
    """What in `text` would only be true on one machine or at one registry."""
    return [f"{what}: {match.group()}" for what, pattern in FOREIGN.items() for match in pattern.finditer(text)]


def undocumented(source: str) -> list[str]:
    """The module ("module"), public classes and public functions of `source` that have no docstring."""
    tree = ast.parse(source)
    if not tree.body:
        return []
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    missing = [node.name for node in public if not ast.get_docstring(node)]
    return missing if ast.get_docstring(tree) else ["module", *missing]


def uncited(source: str) -> list[str]:
    """What the first line of a system's docstring lacks."""
    first = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    wanted = {"(authors year)": AUTHORS_AND_YEAR, "arXiv:NNNN.NNNNN or a conference": IDENTIFIER}
    return [what for what, pattern in wanted.items() if not pattern.search(first)]


def test_nothing_of_one_machine_is_tracked() -> None:
    found = {}
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        if complaints := foreign(text):
            found[short(path)] = complaints
    assert not found


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_everything_public_has_a_docstring(path: Path) -> None:
    assert not undocumented(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SYSTEMS, ids=short)
def test_a_system_fits_in_300_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", SYSTEMS, ids=short)
def test_a_system_cites_its_paper(path: Path) -> None:
    assert not uncited(path.read_text(encoding="utf-8"))


def test_the_worked_example_of_contributing_plays() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [source] = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert not uncited(source) and not undocumented(source)
    module = types.ModuleType("worked_example")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(source, "CONTRIBUTING.md", "exec"), vars(module))
        dataset = load_data(np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8))
        game = module.LSGAN(module.Config(batch_size=8, networks=DCGAN(width=4)), dataset.spec).seat(Arena())
        before = next(game.G.parameters()).clone()
        batches = Batches(dataset.train, batch_size=8, noise=game.noise(), seed=(0, 0), arena=game.arena)
        game.round(batches)
        assert game.trained()(game.latent.draw(3, torch.Generator())).shape == (3, 1, 8, 8)
        assert not torch.equal(before, next(game.G.parameters()))
    finally:
        del sys.modules[module.__name__]


def test_figures_of_the_readme_are_those_of_the_results() -> None:
    readme, results = (ROOT / "README.md").read_text(), ROOT / "benchmarks" / "results"
    for row in json.loads((results / "lab-grid.json").read_text()):
        shares = row["values"]["high_quality"]
        if isinstance(shares, list):
            error = 100 * statistics.stdev(shares) / len(shares) ** 0.5
            assert f"{100 * statistics.mean(shares):.1f} ± {error:.1f} %" in reached(readme, row["system"])
            assert f"{statistics.mean(row['values']['modes']):.1f}" in reached(readme, row["system"])
    for name in ("five-minutes-mnist", "five-minutes-cifar10"):
        for row in json.loads((results / f"{name}.json").read_text()):
            distances = row["values"]["fd"]
            figure = f"{statistics.mean(distances):.1f} ± {statistics.stdev(distances):.1f}"
            assert figure in reached(readme, "dcgan")
    for row in json.loads((results / "systems-cifar10.json").read_text()):
        if row["system"].startswith(("r3gan", "dcgan")):
            assert f"{statistics.mean(row['values']['fd']):.1f}" in reached(readme, "r3gan")
        if row["system"].startswith("stylegan2"):
            assert f"FD (classifier) {statistics.mean(row['values']['fd']):.1f}" in reached(readme, "stylegan2")
    for row in json.loads((results / "systems-digits.json").read_text()):
        distances = row["values"]["fd"]
        figure = f"{statistics.mean(distances):.1f} ± {statistics.stdev(distances):.1f}"
        assert figure in reached(readme, row["system"])
    for row in json.loads((results / "generators.json").read_text()):
        if row["data"] == "speed at 32 px" and row["system"] in ("stylegan2", "r3gan"):
            rate = statistics.median(row["values"]["images/s"])
            assert f"{rate:.0f} images/s" in reached(readme, row["system"])


def reached(readme: str, system: str) -> str:
    """The last cell of a system's row in the README."""
    (row,) = (line for line in readme.splitlines() if line.startswith(f"| `{system}` |"))
    return row.rsplit("|", 2)[1]


def test_the_checks_can_fail() -> None:
    assert foreign("open('/" + "work/data')")
    assert foreign("pip install --index" + "-url somewhere")
    assert not foreign("runs/wor" + "k/demo and https://arxiv.org/abs/1704.00028")
    assert undocumented("def f(): ...\nclass C: ...\ndef _g(): ...") == ["module", "f", "C"]
    assert not undocumented("")
    assert uncited('"""A GAN."""') == ["(authors year)", "arXiv:NNNN.NNNNN or a conference"]
    assert not uncited('"""Improved Training of Wasserstein GANs (Gulrajani et al. 2017), arXiv:1704.00028."""')
