"""`zerosum edit`: what each action writes and prints; wrong input gives one clear message."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from tests.editing.generators import make
from zerosum.cli.edit import ACTIONS


@pytest.fixture(scope="session")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained StyleGAN2 of 16 x 16 images. Not to be changed."""
    folder = tmp_path_factory.mktemp("styled") / "g"
    make("stylegan2").save(folder)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo of another size."""
    path = tmp_path / "a photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    return path


def said(result: Any) -> str:
    """What was printed, without the frames that it may be in and the line breaks."""
    return " ".join("".join(c if c not in "│║╭╰╮╯─" else " " for c in result.out + result.err).split())


def edit(zerosum: Callable, *arguments: object) -> dict[str, Any]:
    """A command that must succeed, with its JSON; every file that it names is there."""
    result = zerosum("edit", *arguments, "--json")
    assert result.code == 0, said(result)
    report = json.loads(result.out)
    assert report["files"] and all(Path(name).is_file() for name in report["files"])
    return report


def test_help(zerosum: Callable) -> None:
    for arguments in ([], ["--help"], ["runs/x", "--help"]):
        result = zerosum("edit", *arguments)
        assert result.code == 0 and all(f"\n  {action}" in result.out for action in ACTIONS)
    for action in ACTIONS:
        for arguments in ([action, "--help"], ["runs/x", action, "--help"]):
            result = zerosum("edit", *arguments)
            assert result.code == 0 and f"Example: zerosum edit runs/faces {action}" in said(result), said(result)


def test_project_then_move(styled: Path, photo: Path, tmp_path: Path, zerosum: Callable) -> None:
    out = tmp_path / "me"
    report = edit(zerosum, styled, "project", photo, photo, "--steps", 8, "--space", "w+", "--out", out)
    assert [row["photo"] for row in report["photos"]] == ["a photo.png", str(photo)]
    assert report["photos"][0]["psnr"] > 0
    assert {path.name for path in out.iterdir()} == {
        "projection.safetensors", "strip.png", "errors.csv", "000-a photo.png", "001-a photo.png",
    }  # fmt: skip
    assert len((out / "errors.csv").read_text().splitlines()) == 9
    assert load_file(out / "projection.safetensors")["w"].shape == (2, 6, 8)
    found = edit(zerosum, styled, "directions", "--count", 2, "--layers", "fine", "--out", tmp_path / "d")
    assert found["names"] == ["sefa-0", "sefa-1"] and len(found["files"]) == 3
    moved = edit(
        zerosum, styled, "apply", "--direction", tmp_path / "d/directions.safetensors", "--name", "sefa-1",
        "--strength", "-2..2:5", "--projection", out / "projection.safetensors", "--out", tmp_path / "m",
    )  # fmt: skip
    w = load_file(tmp_path / "m/moved.safetensors")["w"]
    assert w.shape == (10, 6, 8) and (w[:5, :4] == w[0, :4]).all() and not (w[0, 4:] == w[1, 4:]).any()
    assert any(name.endswith("a_photo_+2.png") for name in moved["files"])
    path = edit(
        zerosum, styled, "interpolate", "--projection", out / "projection.safetensors", "--frames", 3, "--out", out
    )
    assert path["frames"] == 4
    edit(zerosum, styled, "mix", "--projection", out / "projection.safetensors", "--columns", 4, "--out", out)


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["interpolate", "--seeds", 1, 2, 3, "--frames", 4, "--loop"], {"frames.png", "interpolation.gif"}),
        (["interpolate", "--seeds", 1, 2, "--frames", 4, "--between", "z"], {"frames.png", "interpolation.gif"}),
        (["mix", "--rows", 1, 2, "--columns", 3, 4, "--layers", "0-2"], {"mix.png"}),
        (["truncate", "--seeds", 1, "--psi", 0, 0.5, 1], {"truncation.png", "truncation.gif"}),
        (["directions", "--method", "ganspace", "--count", 1], {"directions.safetensors", "ganspace-0.png"}),
    ],
)
def test_actions(arguments: list[Any], files: set[str], styled: Path, tmp_path: Path, zerosum: Callable) -> None:
    for out in ("a", "b"):
        edit(zerosum, styled, *arguments, "--out", tmp_path / out)
    assert {path.name for path in (tmp_path / "a").iterdir()} == files
    for name in files:  # the same command, the same bytes
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    text = zerosum("edit", styled, *arguments, "--out", tmp_path / "a")
    assert text.code == 0 and "wrote" in text.out


def test_plain_and_conditional_generators(conditional: Path, tmp_path: Path, zerosum: Callable) -> None:
    photo = tmp_path / "digit.png"
    Image.new("L", (8, 8), 200).save(photo)
    report = edit(zerosum, conditional, "project", photo, "--class", "3", "--steps", 5, "--out", tmp_path / "p")
    assert load_file(report["files"][0])["label"].tolist() == [3]
    edit(zerosum, conditional, "interpolate", "--seeds", 1, 2, "--class", 7, "--frames", 2, "--out", tmp_path / "i")
    edit(zerosum, conditional, "directions", "--count", 1, "--samples", 50, "--out", tmp_path / "d")
    features = ["--features", "classifier", "--steps", 3]
    edit(zerosum, conditional, "project", photo, "--class", "3", *features, "--out", tmp_path / "p")


def test_directions_of_labels(trained: Path, tmp_path: Path, zerosum: Callable) -> None:
    arguments = ["directions", "--method", "labels", "--samples", 300]
    report = edit(zerosum, trained, *arguments, "--attribute", "3", "--keep", "8", "--out", tmp_path / "a")
    assert report["names"] == ["3"] and "R2" in report["facts"]["quality"]["8"]
    assert edit(zerosum, trained, *arguments, "--out", tmp_path / "b")["names"] == ["number"]
    result = zerosum("edit", trained, *arguments, "--attribute", "dog")
    assert result.code == 2 and "there is no class 'dog'; the classes are 0, 1" in said(result)


def test_directions_of_scores(styled: Path, tmp_path: Path, zerosum: Callable) -> None:
    assert zerosum("sample", styled, "-n", 120, "--seed", 5, "--out", tmp_path / "s").code == 0
    rows = [
        f"{path.name},{np.asarray(Image.open(path)).mean()},{index % 2}"
        for index, path in enumerate(sorted((tmp_path / "s").glob("0*.png")))
    ]
    scores = tmp_path / "scores.csv"
    scores.write_text("\n".join(["file,light,odd", *rows]))
    command = ["directions", "--method", "scores", "--scores", scores, "--seed", 5, "--out", tmp_path / "d"]
    report = edit(zerosum, styled, *command, "--attribute", "light", "--keep", "odd", "--strength", "-2,0,2")
    quality = report["facts"]["quality"]
    assert quality["light"]["R2"] > 0.5 and quality["odd"]["AUC"] < 0.8
    assert "light is read from w with R2" in zerosum("edit", styled, *command, "--attribute", "light").out
    text = said(zerosum("edit", styled, *command))
    assert "say which score the direction raises, with --attribute: light, odd" in text
    text = said(zerosum("edit", styled, *command, "--attribute", "light", "--samples", 100))
    assert "scores sample 119, but there are 100 samples" in text
    against = ["--against", tmp_path / "d/directions.safetensors"]
    text = said(zerosum("edit", styled, *command, "--attribute", "light", *against))
    assert "nothing is left of it" in text


def test_video(styled: Path, tmp_path: Path, zerosum: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    result = zerosum("edit", styled, "truncate", "--video", "--out", tmp_path)
    assert result.code == 2 and "pip install 'zerosum[video]'" in said(result)
    assert not list(tmp_path.iterdir())


WRONG: list[tuple[str, Callable[[dict[str, Path]], list[Any]], str]] = [
    ("not a run", lambda p: [p["empty"], "truncate"], "holds no generator"),
    ("no run", lambda p: ["nowhere", "truncate"], "nowhere does not exist"),
    ("the action first", lambda p: ["truncate", "--seeds", "1"], "the run comes first: `zerosum edit RUN truncate"),
    ("no action", lambda p: [p["styled"]], "an action is missing"),
    ("another action", lambda p: [p["styled"], "interpolat"], "Did you mean interpolate?"),
    ("misspelt option", lambda p: [p["styled"], "mix", "--colums", "1"], "--columns"),
    ("no photo", lambda p: [p["styled"], "project"], "no photo was given"),
    ("missing photo", lambda p: [p["styled"], "project", p["empty"] / "x.png"], "x.png cannot be read: No such file"),
    ("text as photo", lambda p: [p["styled"], "project", p["text"]], "is not an image that can be read"),
    ("w+ of a plain GAN", lambda p: [p["trained"], "project", p["photo"], "--space", "w+"], "--space w+ needs"),
    ("no steps", lambda p: [p["styled"], "project", p["photo"], "--steps", "0"], "--steps is 0"),
    ("class of none", lambda p: [p["styled"], "truncate", "--class", "1"], "not class-conditional"),
    ("no class", lambda p: [p["conditional"], "project", p["photo"], "--steps", "2"], "say which class, with --class"),
    ("classifier without data", lambda p: [p["styled"], "project", p["photo"], "--features", "classifier"], "give --data"),  # noqa: E501
    ("one seed", lambda p: [p["styled"], "interpolate", "--seeds", "1"], "a way needs 2 points or more"),
    ("no seeds", lambda p: [p["styled"], "interpolate"], "--seeds names no images"),
    ("word as seed", lambda p: [p["styled"], "interpolate", "--seeds", "one"], "one"),
    ("mixing a plain GAN", lambda p: [p["trained"], "mix", "--rows", "1", "--columns", "2"], "has no layers"),
    ("too many layers", lambda p: [p["styled"], "mix", "--rows", "1", "--columns", "2", "--layers", "4-9"], "4-9 is not among the layers 0 to 5"),  # noqa: E501
    ("rows missing", lambda p: [p["styled"], "mix", "--columns", "2"], "--rows names no images"),
    ("word as psi", lambda p: [p["styled"], "truncate", "--psi", "half"], "half"),
    ("too many directions", lambda p: [p["styled"], "directions", "--count", "99"], "99 directions were asked for"),
    ("no scores", lambda p: [p["styled"], "directions", "--method", "scores"], "needs --scores FILE.csv"),
    ("scores of words", lambda p: [p["styled"], "directions", "--method", "scores", "--scores", p["text"]], "hello.csv"),  # noqa: E501
    ("no direction", lambda p: [p["styled"], "apply"], "--direction is missing"),
    ("direction that is a projection", lambda p: [p["styled"], "apply", "--direction", p["points"]], "holds points, not directions"),  # noqa: E501
    ("direction of another generator", lambda p: [p["trained"], "apply", "--direction", p["direction"]], "was made for another generator (fingerprint"),  # noqa: E501
    ("strength that is no number", lambda p: [p["styled"], "apply", "--direction", p["direction"], "--strength", "strong"], "--strength strong: give a range"),  # noqa: E501
    ("unknown direction", lambda p: [p["styled"], "apply", "--direction", p["direction"], "--name", "smile"], "there is no direction 'smile' among the 1: sefa-0"),  # noqa: E501
    ("seeds and photos", lambda p: [p["styled"], "apply", "--direction", p["direction"], "--seeds", "1", "--projection", p["points"]], "not both"),  # noqa: E501
    ("projection of another generator", lambda p: [p["trained"], "interpolate", "--projection", p["points"]], "was made for another generator"),  # noqa: E501
]  # fmt: skip


@pytest.fixture(scope="session")
def places(styled: Path, trained: Path, conditional: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the wrong commands name."""
    from zerosum import load
    from zerosum.editing import directions, points
    from zerosum.editing.sefa import sefa

    folder = tmp_path_factory.mktemp("places")
    (folder / "empty").mkdir()
    (folder / "hello.csv").write_text("hello\n")
    Image.new("RGB", (20, 20)).save(folder / "photo.png")
    generator = load(styled)
    points.save(points.drawn(generator, [1, 2]), generator, folder / "points.safetensors")
    directions.save(sefa(generator, 1, samples=50), generator, folder / "direction.safetensors")
    return {
        "styled": styled, "trained": trained, "conditional": conditional, "empty": folder / "empty",
        "text": folder / "hello.csv", "photo": folder / "photo.png", "points": folder / "points.safetensors",
        "direction": folder / "direction.safetensors",
    }  # fmt: skip


@pytest.mark.parametrize(("command", "complaint"), [pytest.param(c, s, id=name) for name, c, s in WRONG])
def test_one_clear_message(
    command: Callable[[dict[str, Path]], list[Any]], complaint: str, places: dict[str, Path], tmp_path: Path,
    zerosum: Callable, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    result = zerosum("edit", *command(places))
    text = said(result)
    assert result.code == 2, text
    assert complaint.replace(" ", "") in text.replace(" ", ""), text
    assert "Traceback" not in text
    assert not list(tmp_path.iterdir())  # nothing half-done is left


def test_points_have_nothing_to_edit(tmp_path: Path, zerosum: Callable) -> None:
    run = ["--run.folder", tmp_path / "run", "--run.samples", 64, "--features", "none", "networks:mlp"]
    assert zerosum("train", "gan", "--data", "ring", *run).code == 0
    result = zerosum("edit", tmp_path / "run", "truncate")
    assert result.code == 2 and "only image generators can be edited with; this one makes points" in said(result)


def test_evaluate_tells_how_exactly_images_move(tmp_path: Path, styled: Path, zerosum: Callable) -> None:
    make("stylegan3", side=32).save(tmp_path / "g")
    result = zerosum("evaluate", tmp_path / "g", "--equivariance", "--n", 2, "--json")
    found = json.loads(result.out)
    assert result.code == 0 and found["samples"] == 2 and found["eq_t"] > found["eq_r"]
    refused = zerosum("evaluate", styled, "--equivariance", "--n", 2)
    assert refused.code == 2 and "stylegan3" in said(refused)
