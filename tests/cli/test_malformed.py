"""Malformed input of every kind: one clear message that names it, exit code 2 (1 for findings), never a traceback."""

# ruff: noqa: E501 (a case a line)

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import shutil
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

TINY = ["--run.samples", "64", "--batch-size", "8", "--features", "none", "networks:mlp", "--networks.hidden", "8"]
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)


def all_may_be_read() -> bool:
    """Whether permissions do not bind this process (root)."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).chmod(0)
        return os.access(file.name, os.R_OK)


ROOTLESS = pytest.mark.skipif(all_may_be_read(), reason="root may read everything")


def png(pixels: np.ndarray = PIXELS[0], format: str = "PNG", mode: str | None = None) -> bytes:
    """An image file."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, format=format)
    return buffer.getvalue()


def folder(path: Path, extra: dict[str, bytes] | None = None, good: int = 20) -> Path:
    """A folder of `good` images and other files."""
    path.mkdir(parents=True, exist_ok=True)
    for index in range(good):
        (path / f"{index}.png").write_bytes(png(PIXELS[index]))
    for name, content in (extra or {}).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def bomb() -> bytes:
    """A PNG of a few bytes that claims to have 60,000 x 60,000 pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    whole = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + whole + png()[33:]


def animation() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.fromarray(PIXELS[index]) for index in range(3)]
    frames[0].save(buffer, format="GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def array(path: Path, *arrays: Any, **named: Any) -> Path:
    np.savez(path, *arrays, **named)
    return path


def archive(path: Path) -> Path:
    """A tar with a member that points out of it, beside good ones."""
    with tarfile.open(path, "w") as tar:
        for name in ("../../escaped.png", *(f"{index}.png" for index in range(20))):
            member = tarfile.TarInfo(name)
            content = png(PIXELS[len(tar.getnames())])
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def table(path: Path, **columns: list[Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@dataclass
class World:
    """What a case may use: an empty folder, finished runs of an unconditional and a conditional system, patches."""

    path: Path
    trained: Path
    conditional: Path
    patch: pytest.MonkeyPatch

    def run(self) -> Path:
        """A copy of the finished run."""
        return Path(shutil.copytree(self.trained, self.path / "copy"))

    def generator(self) -> Path:
        return self.run() / "generator"


@dataclass
class Case:
    """A command (made from the world) and what has to be said. `code` 0 is for what must work."""

    name: str
    command: Callable[[World], list[Any]]
    says: str
    code: int = 2
    marks: list[Any] = field(default_factory=list)


def train(source: Callable[[Path], Any], *options: Any) -> Callable[[World], list[Any]]:
    """Training `gan` on a source."""
    return lambda w: ["train", "gan", "--data", source(w.path), "--run.folder", w.path / "new", *options, *TINY]


def option(*options: Any, system: str = "gan") -> Callable[[World], list[Any]]:
    """Training on digits with an option."""
    return lambda w: ["train", system, "--run.folder", w.path / "new", *options, *TINY]


def damaged(act: Callable[[Path], Any], *command: Any) -> Callable[[World], list[Any]]:
    """A command on a copy of a run in which `act` has damaged something."""

    def make(w: World) -> list[Any]:
        run = w.run()
        act(run)
        return [command[0], run, *command[1:]]

    return make


def no_space(w: World) -> list[Any]:
    def full(self: Path, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    w.patch.setattr(Path, "write_bytes", full)
    return option()(w)


def without_datasets(w: World) -> list[Any]:
    w.patch.setitem(sys.modules, "datasets", None)
    return train(lambda p: "hf://nobody/nothing")(w)


def cut(path: Path, left: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])


def locked(path: Path) -> Path:
    path.chmod(0)
    return path


def csv(content: str) -> Callable[[World], list[Any]]:
    return train(lambda p: folder(p / "d", {"labels.csv": content.encode()}))


SAMPLES = [
    Case("empty folder", train(lambda p: folder(p / "d", good=0)), "holds no images: it is empty"),
    Case("missing path", train(lambda p: p / "nowhere"), "nowhere"),
    Case("only a zero-byte image", train(lambda p: folder(p / "d", {"a.png": b""}, 0)), "a.png: the file has 0 bytes"),
    Case("a zero-byte image among others", train(lambda p: folder(p / "d", {"a.png": b""})), "", 0),
    Case("strict zero-byte", train(lambda p: folder(p / "d", {"a.png": b""}), "--data.strict"), "a.png: the file has 0 bytes"),
    Case("only a cut JPEG", train(lambda p: folder(p / "d", {"a.jpg": png(format="JPEG")[:300]}, 0)), "a.jpg"),
    Case("strict cut PNG", train(lambda p: folder(p / "d", {"a.png": png()[:90]}), "--data.strict"), "a.png"),
    Case("check cut PNG", lambda w: ["check-data", folder(w.path / "d", {"a.png": png()[:90]})], "a.png", 1),
    Case("CMYK works", train(lambda p: folder(p / "d", {"a.jpg": png(format="JPEG", mode="CMYK")})), "", 0),
    Case("only CMYK works", train(lambda p: folder(p / "d", {f"{i}.jpg": png(PIXELS[i], "JPEG", "CMYK") for i in range(9)}, 0)), "", 0),
    Case("animation works", train(lambda p: folder(p / "d", {"a.gif": animation()})), "", 0),
    Case("only single pixels", train(lambda p: folder(p / "d", {"a.png": png(PIXELS[0, :1, :1])}, 0)), "1 x 1 pixel"),
    Case("bomb", train(lambda p: folder(p / "d", {"a.png": bomb()}, 0)), "60000 x 60000 pixels"),
    Case("text called png", train(lambda p: folder(p / "d", {"a.png": b"hello"}, 0)), "a.png"),
    Case("labels without a column", csv("file\n0.png\n"), "labels.csv"),
    Case("labels of unknown files", csv("file,label\nno.png,1\n"), "no.png"),
    Case("labels that contradict", csv("file,label\n0.png,1\n0.png,2\n"), "two labels"),
    Case("labels for some: the others are left out", csv("file,label\n" + "".join(f"{i}.png,{i % 2}\n" for i in range(15))), "", 0),
    Case("labels not text", train(lambda p: folder(p / "d", {"labels.csv": b"\xff\xfe\x00"})), "not UTF-8"),
    Case("labels file missing", train(lambda p: folder(p / "d"), "--data.labels", "none.csv"), "none.csv"),
    Case("too few labels in npz", train(lambda p: array(p / "a.npz", images=PIXELS, labels=np.arange(5))), "(5,)"),
    Case("unreadable file", train(lambda p: locked(folder(p / "d", {"x.png": b"x"}, 0) / "x.png").parent), "x.png", marks=[ROOTLESS]),
    Case("unreadable folder", train(lambda p: locked(folder(p / "d"))), "Permission denied", marks=[ROOTLESS]),
    Case("NaN", train(lambda p: array(p / "a.npz", images=np.full((9, 8, 8, 3), np.nan))), "NaN"),
    Case("floats out of range", train(lambda p: array(p / "a.npz", images=PIXELS * 2.0)), "scale them to"),
    Case("negative integers", train(lambda p: array(p / "a.npz", images=PIXELS.astype(int) - 300)), "whole numbers from -"),
    Case("words as pixels", train(lambda p: array(p / "a.npz", images=np.full((9, 8, 8, 3), "x"))), "a.npz"),
    Case("objects as pixels", train(lambda p: array(p / "a.npz", images=np.array([{}, []], dtype=object))), "a.npz"),
    Case("five axes", train(lambda p: array(p / "a.npz", images=PIXELS[None])), "5 axes"),
    Case("seven channels", train(lambda p: array(p / "a.npz", images=np.zeros((9, 8, 8, 7), np.uint8))), "channels"),
    Case("empty npz", train(lambda p: array(p / "a.npz")), "(none)"),
    Case("npz with no images in it", train(lambda p: array(p / "a.npz", images=PIXELS[:0])), "is empty"),
    Case("a single image", train(lambda p: array(p / "a.npz", images=PIXELS[:1])), "", 0),
    Case("broken npz", train(lambda p: text(p / "a.npz", b"PK\x03\x04xxxx")), "a.npz"),
    Case("broken zip", train(lambda p: text(p / "a.zip", b"PK\x03\x04xxxx")), "cannot be read as a zip archive"),
    Case("zip of texts", train(lambda p: _zip(p / "a.zip")), "no images"),
    Case("broken tar", train(lambda p: text(p / "a.tar", b"x" * 2000)), "cannot be read as a tar archive"),
    Case("tar that points out of itself", train(lambda p: archive(p / "a.tar")), "", 0),
    Case("parquet without images", train(lambda p: table(p / "a.parquet", x=[1, 2], y=[3, 4])), "none holds encoded images"),
    Case("broken parquet", train(lambda p: text(p / "a.parquet", "PAR1")), "a.parquet"),
    Case("csv as data", train(lambda p: text(p / "a.csv", "1,2\n3,4\n")), "a.csv"),
    Case("text as data", train(lambda p: text(p / "a.txt", "hello")), "a.txt"),
    Case("spaces and unicode work", train(lambda p: folder(p / "meine Bilder ü 图")), "", 0),
    Case("no extra for the hub", lambda w: without_datasets(w), "zerosum[hub]"),
    Case("built-in misspelt", train(lambda p: "digist"), "digits"),
]  # fmt: skip

RUNS = [
    Case("read-only run folder", lambda w: option("--run.folder", locked_for_writing(w.path / "ro") / "r")(w), "cannot write", marks=[ROOTLESS]),
    Case("folder that holds a run", lambda w: ["train", "gan", "--run.folder", w.trained, *TINY], "already holds a training"),
    Case("run folder is a file", lambda w: ["train", "gan", "--run.folder", text(w.path / "f", ""), *TINY], "is a file"),
    Case("run folder in a file", lambda w: ["train", "gan", "--run.folder", text(w.path / "f", "") / "r", *TINY], "is a file"),
    Case("full disk", no_space, "the disk is full"),
    Case("resume of nothing", lambda w: ["resume", w.path / "nothing"], "is not a run folder"),
    Case("resume of another folder", lambda w: ["resume", folder(w.path / "d")], "is not a run folder"),
    Case("resume of a finished run says so", damaged(lambda run: None, "resume"), "finished already", 0),
    Case("resume for no time", damaged(lambda run: None, "resume", "--minutes", "0"), "--run.minutes is 0"),
    Case("broken config", damaged(lambda run: cut(run / "config.json"), "resume"), "not readable JSON"),
    Case("config that is a list", damaged(lambda run: text(run / "config.json", "[1]"), "resume"), "not the config of a run"),
    Case("config without a command", damaged(lambda run: text(run / "config.json", "{}"), "resume"), "not the config of a run"),
    Case("config with odd settings", damaged(lambda run: odd_setting(run), "resume"), "config.json is not the config of a run that can be resumed: Config.rounds: \"many\" is not a setting of the kind int"),
    Case("config of an unknown system", damaged(lambda run: odd_system(run), "resume"), "no system called 'nonsense'"),
    Case("no checkpoint is whole", damaged(lambda run: [cut(p) for p in run.glob("checkpoints/*/*.safetensors")], "resume"), "can be used"),
    Case("health of nothing", lambda w: ["health", w.path / "nothing"], "nothing"),
    Case("health of another folder", lambda w: ["health", folder(w.path / "d")], "metrics.jsonl"),
]  # fmt: skip

OPTIONS = [
    Case("unknown system", lambda w: ["train", "dcgna"], "Did you mean dcgan"),
    Case("unknown command", lambda w: ["tarin"], "train"),
    Case("misspelt option", option("--run.minuts", "3"), "--run.minutes"),
    Case("word for a number", option("--run.minutes", "soon"), "soon"),
    Case("fraction for a whole number", option("--rounds", "1.5"), "1.5"),
    Case("no time", option("--run.minutes", "0"), "--run.minutes is 0"),
    Case("negative time", option("--run.minutes", "-1"), "--run.minutes is -1"),
    Case("endless time", option("--run.minutes", "inf"), "--run.minutes is inf"),
    Case("not a time", option("--run.minutes", "nan"), "--run.minutes is nan"),
    Case("no samples", lambda w: ["train", "gan", "--run.samples", "0"], "--run.samples is 0"),
    Case("no batch", option("--run.batch-size", "0"), "--run.batch-size is 0"),
    Case("no batch in the settings", lambda w: ["train", "gan", "--batch-size", "0", "--run.samples", "64"], "batch size is 0"),
    Case("a batch larger than the data wraps around", option("--run.batch-size", "3000", "--data.limit", "50"), "", 0),
    Case("odd batch for two processes", option("--run.batch-size", "7", "--run.devices", "cpu:2"), "cannot be shared equally by 2"),
    Case("resolution 0", option("--data.resolution", "0"), "--data.resolution is 0"),
    Case("resolution 100000", option("--data.resolution", "100000"), "--data.resolution is 100000"),
    Case("resolution abc", option("--data.resolution", "abc"), "--data.resolution is 'abc'"),
    Case("two channels", option("--data.channels", "2"), "--data.channels is 2"),
    Case("negative limit", option("--data.limit", "-5"), "--data.limit is -5"),
    Case("negative rate", option("optimizer:adam", "--optimizer.lr", "-1"), "Invalid learning rate: -1"),
    Case("no GPU", option("--run.devices", "cuda"), "--run.devices 'cuda'"),
    Case("odd device", option("--run.devices", "tpu"), "--run.devices 'tpu'"),
    Case("no device", option("--run.devices", "cpu:0"), "--run.devices 'cpu:0'"),
    Case("no rounds", lambda w: ["train", "gan", "--run.folder", w.path / "new", "--rounds", "0", *TINY[2:]], "nothing is to be trained"),
    Case("fewer rounds than none", option("--rounds", "-2"), "is to last -2 rounds"),
    Case("fewer latents than none", option("--latent", "-1"), "cannot be built with these settings"),
    Case("fewer layers than there are", lambda w: ["train", "stylegan3", "--run.folder", w.path / "new", "--layers", "-1", *TINY[:6]], "cannot be built with these settings"),
    Case("no latent", option("--latent", "0"), "the latent, a width or another size is 0"),
    Case("no width", lambda w: ["train", "dcgan", "--networks.width", "0", "--run.samples", "64"], "a width or another size is 0"),
    Case("negative width", lambda w: ["train", "dcgan", "--networks.width", "-8", "--run.samples", "64"], "cannot be built"),
    Case("image networks for points", lambda w: ["train", "dcgan", "--data", "ring", "--run.samples", "64"], "networks:mlp"),
    Case("conditional without labels", lambda w: ["train", "rpgan", "--conditional", "--data.unlabelled", *TINY], "label"),
    Case("batch norm in a critic", lambda w: ["train", "wgan_gp", "--run.samples", "64", "networks:dcgan"], "discriminator-norm"),
    Case("wandb missing", option("--wandb", "project"), "zerosum[wandb]"),
]  # fmt: skip

GENERATORS = [
    Case("sample of nothing", lambda w: ["sample", w.path / "nothing"], "does not exist"),
    Case("sample without a generator", lambda w: ["sample", folder(w.path / "d")], "holds no generator"),
    Case("negative seed of scores", lambda w: ["evaluate", w.trained, "--seed", "-1"], "--seed is -1; it must be between"),
    Case("sample before the first snapshot", damaged(lambda run: shutil.rmtree(run / "generator"), "sample"), "no generator yet"),
    Case("cut weights", damaged(lambda run: cut(run / "generator/model.safetensors"), "sample"), "model.safetensors"),
    Case("pickle as weights", damaged(lambda run: foreign(run), "sample"), "model.safetensors"),
    Case("broken generator config", damaged(lambda run: cut(run / "generator/config.json"), "sample"), "not readable JSON"),
    Case("foreign generator config", damaged(lambda run: text(run / "generator/config.json", "{}"), "sample"), "not describe"),
    Case("no samples asked for", lambda w: ["sample", w.trained, "-n", "0", "--out", w.path / "o"], "cannot sample 0"),
    Case("fewer than none", lambda w: ["sample", w.trained, "-n", "-3", "--out", w.path / "o"], "cannot sample -3"),
    Case("out is a file", lambda w: ["sample", w.trained, "--out", text(w.path / "o", "")], "is a file"),
    Case("out of another kind", lambda w: ["sample", w.trained, "--out", w.path / "o.jpg"], "expected a folder"),
    Case("class of an unconditional one", lambda w: ["sample", w.trained, "--class", "3"], "not class-conditional"),
    Case("name for an unconditional one", lambda w: ["sample", w.trained, "--class", "cat"], "not class-conditional"),
    Case("class out of range", lambda w: ["sample", w.conditional, "--class", "10"], "class 10 does not exist"),
    Case("unknown class", lambda w: ["sample", w.conditional, "--class", "cat"], "--class cat: there is no such class"),
    Case("evaluate nothing", lambda w: ["evaluate", w.path / "nothing"], "nothing"),
    Case("evaluate with nothing", lambda w: ["evaluate", w.trained, "--n", "0"], "--n is 0"),
    Case("odd features", lambda w: ["evaluate", w.trained, "--features", "vgg"], "vgg"),
    Case("weights missing", lambda w: ["evaluate", w.trained, "--features", "inception", "--weights", w.path / "w.pth"], "w.pth"),
    Case("evaluate on other sizes", lambda w: ["evaluate", w.trained, "--data", folder(w.path / "d"), "--features", "pixels", "--n", "20"], "channel"),
]  # fmt: skip


def _zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")
    return path


def locked_for_writing(path: Path) -> Path:
    path.mkdir()
    path.chmod(0o500)
    return path


def _rewrite(run: Path, **changes: Any) -> None:
    described = json.loads((run / "config.json").read_text())
    described["command"] |= changes
    (run / "config.json").write_text(json.dumps(described))


def odd_setting(run: Path) -> None:
    _rewrite(run, config={"type": "Config", "rounds": "many"})


def odd_system(run: Path) -> None:
    _rewrite(run, system="nonsense")


def foreign(run: Path) -> None:
    (run / "generator/model.safetensors").write_bytes(pickle.dumps({"a": 1}))


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=case.marks) for case in [*SAMPLES, *RUNS, *OPTIONS, *GENERATORS]]
)
def test_one_clear_message(
    case: Case, tmp_path: Path, trained: Path, conditional: Path, zerosum: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = zerosum(*case.command(World(tmp_path, trained, conditional, monkeypatch)))
    said = " ".join("".join(c if c not in "│║╭╰╮╯─" else " " for c in out + err).split())
    assert "Traceback" not in said
    assert case.says.replace(" ", "") in said.replace(" ", ""), said  # wherever a line was broken
    assert code == case.code, said
    if code == 2 and err.startswith("error:"):
        assert err.count("error:") == 1 and len(err) < 1500


def test_there_are_many() -> None:
    assert len([*SAMPLES, *RUNS, *OPTIONS, *GENERATORS]) >= 40
