"""A system is one file: dropped into the package, everything knows it, with no other file touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("zerosum", "tests", "docs", "mkdocs.yml", "pyproject.toml", "CONTRIBUTING.md", "README.md", "CHANGELOG.md")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one more file: GAN under another name, class and title."""
    folder = tmp_path_factory.mktemp("project")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / part)
    images = folder / "zerosum" / "gans" / "images"
    text = (images / "gan.py").read_text().replace("class GAN(", "class ToyGAN(")
    (images / "toy_gan.py").write_text(text.replace('"""Generative Adversarial Nets', '"""Toy Adversarial Nets', 1))
    return folder


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(project), "NO_MKDOCS_2_WARNING": "1"}
    environment.pop("PYTEST_CURRENT_TEST", None)
    return subprocess.run(
        [sys.executable, *command], cwd=project, env=environment, capture_output=True, text=True, timeout=280
    )


def test_list_and_help_know_it(project: Path) -> None:
    listed = run(project, "-m", "zerosum", "list")
    assert "toy_gan" in listed.stdout and "Toy Adversarial Nets" in listed.stdout
    shown = run(project, "-m", "zerosum", "train", "--help")
    assert "toy_gan" in shown.stdout
    shown = run(project, "-m", "zerosum", "train", "toy-gan", "--help")
    assert shown.returncode == 0 and "--discriminator-steps" in shown.stdout and "Toy Adversarial Nets" in shown.stdout


@pytest.mark.slow
def test_the_contract_test_takes_it_up(project: Path) -> None:
    if not (project / "tests" / "gans" / "test_contract.py").exists():
        pytest.skip("there is no contract test")
    contract = ["tests/gans/test_contract.py", "-k", "toy_gan", "-rA", "-p", "no:cacheprovider"]
    done = run(project, "-m", "pytest", "-q", *contract)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "toy_gan" in done.stdout


@pytest.mark.slow
def test_the_documentation_has_a_page_for_it(project: Path) -> None:
    pytest.importorskip("mkdocs_gen_files")
    done = run(project, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(project / "site"))
    assert done.returncode == 0, done.stderr[-3000:]
    page = (project / "site" / "systems" / "toy_gan" / "index.html").read_text()
    assert "Toy Adversarial Nets" in page and "discriminator-steps" in page
    assert "toy_gan" in (project / "site" / "systems" / "index.html").read_text()
