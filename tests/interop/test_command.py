"""`zerosum import`: what it prints and writes, also for the two samples of files as NVIDIA's programs write them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import zerosum
from tests.cli.conftest import Result, call
from tests.interop.files import difference, persistent, pickled, randomised, stylegan2_tensors, written
from zerosum.networks import stylegan2

PARITY = os.environ.get("ZEROSUM_PARITY")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """`command(*arguments)`: exit code and what was printed."""
    return lambda *arguments: call(capsys, "import", *arguments)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small StyleGAN2."""
    torch.manual_seed(0)
    model = randomised(stylegan2.Generator(8, (3, 16, 16), w=8, layers=2, base=64, most=8))
    content = pickled({"G_ema": persistent(stylegan2_tensors(model))})
    return written(tmp_path_factory.mktemp("file"), content, "cats.pkl")


def test_a_folder_is_written(file: Path, tmp_path: Path, command: Callable[..., Result]) -> None:
    code, out, err = command(file, "--as", "stylegan2", "--out", tmp_path / "a b" / "cats")
    assert code == 0
    assert "zerosum sample" in out and "non-commercial" in err
    assert [word in err for word in ("reading", "found NVIDIA's StyleGAN2", "3x16x16", "writing")] == [True] * 4
    assert {path.name for path in (tmp_path / "a b" / "cats").iterdir()} == {
        "config.json", "model.safetensors", "README.md",
    }  # fmt: skip
    generator = zerosum.load(tmp_path / "a b" / "cats")
    z = torch.randn(2, 8)
    assert torch.equal(generator(z), zerosum.import_weights(file)(z))
    assert generator.facts["versions"]["torch"] == torch.__version__


def test_json(file: Path, tmp_path: Path, command: Callable[..., Result]) -> None:
    code, out, _ = command(file, "--out", tmp_path / "cats", "--json")
    told = json.loads(out)
    assert code == 0 and told["system"] == "stylegan2" and told["shape"] == [3, 16, 16] and told["classes"] == 0
    assert told["source"]["file"] == "cats.pkl" and told["source"]["network"] == "G_ema"


def test_a_folder_with_something_in_it_is_left_alone(
    file: Path, tmp_path: Path, command: Callable[..., Result]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("all of it")
    for taken in (tmp_path / "full", tmp_path / "full" / "thesis.txt"):
        code, out, err = command(file, "--out", taken)
        assert (code, out) == (2, "") and "is not an empty folder" in err
    assert (tmp_path / "full" / "thesis.txt").read_text() == "all of it"
    (tmp_path / "empty").mkdir()
    assert command(file, "--out", tmp_path / "empty").code == 0


def test_what_goes_wrong_is_one_line(file: Path, tmp_path: Path, command: Callable[..., Result]) -> None:
    hostile = written(tmp_path, b"cos\nsystem\n(Vtouch canary\ntR.")
    for arguments, reason in (
        ((hostile,), "it asks for os.system"), ((tmp_path / "none.pkl",), "No such file"),
        ((file, "--as", "stylegan3"), "looks like stylegan2"), ((file, "--as", "gan"), "no weights of gan"),
        ((__file__,), "neither a pickle nor"),
    ):  # fmt: skip
        code, _, err = command(*arguments, "--out", tmp_path / "new")
        assert code == 2 and reason in err and "Traceback" not in err
        assert len([line for line in err.splitlines() if line.startswith("error:")]) == 1
    assert not (tmp_path / "new").exists()


def test_help_does_not_import_torch() -> None:
    code = "import sys; from zerosum.cli import main\ntry: main(['import', '--help'])\nexcept SystemExit: pass\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert "Example: zerosum import" in done.stdout and done.stdout.splitlines()[-1] == "False"


@pytest.mark.skipif(PARITY is None, reason="ZEROSUM_PARITY is not set")
@pytest.mark.parametrize(
    ("name", "outputs"),
    [("stylegan2_official_layout.pkl", "stylegan2_g"), ("stylegan3_t_official_layout.pkl", "stylegan3_t_g")],
)
def test_nvidias_layout(name: str, outputs: str, tmp_path: Path, command: Callable[..., Result]) -> None:
    assert command(Path(PARITY or "") / name, "--out", tmp_path / "out").code == 0
    generator, io = zerosum.load(tmp_path / "out"), load_file(Path(PARITY or "") / f"{outputs}.io.safetensors")
    assert difference(generator(io["z"]), io["image"]) < 1e-4
    assert difference(generator(io["z"], None, 0.5), io["image_truncated"]) < 1e-4
    assert difference(generator.synthesise(io["w"]), io["image"]) < 1e-4
    assert generator.sample(2)[0].size == (32, 32)
