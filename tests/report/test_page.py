"""The page: complete from a complete folder, honest about a broken one, closed to the outside, safe with any text."""

from __future__ import annotations

import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.report import runs
from zerosum.core.errors import BadFile
from zerosum.report import write
from zerosum.report.callback import Reporting

VOID = {"img", "input", "meta", "br", "link"}


class Balance(HTMLParser):
    """Fails on an end tag that closes what is not open, and collects text and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


def page(folder: Path) -> tuple[str, str]:
    """(HTML, text) of the report of a folder, checked for balance and for addresses that leave the page."""
    html = write(folder).read_text(encoding="utf-8")
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    assert all(address.startswith(("data:", "#")) for address in parser.addresses)
    without = re.sub(r'src="data:[^"]*"', "", html).replace("http://www.w3.org/2000/svg", "")
    assert "http" not in without  # nothing to fetch, in styles and scripts neither
    return html, re.sub(r"\s+", " ", " ".join(parser.text))


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.make(tmp_path_factory.mktemp("runs") / "demo")


def test_a_complete_run(complete: Path) -> None:
    html, text = page(complete)
    assert 'class="missing"' not in html
    for words in ("overfitting", "2 findings", "FD (classifier)", "9.412", "1.871", "↓ lower", "0.0123 ± 0.0011"):
        assert words in text
    for words in (
        "Protocol",
        "9a0364b9e99bb480dd25e1f0284c8555",
        "Loss of D",
        "Gradient norms",
        "Discriminator accuracy",
    ):
        assert words in text
    for words in (
        "right on 71 % of the training images",
        "Roll back with",
        "--run.minutes 3",
        "cpu fp32",
        "adam.betas",
        "torch",
        "2.13.0",
    ):
        assert words in text
    assert "the rarest 174 times" in text
    assert html.count("<svg") == 1 + 8  # the frame of all; FD, coverage, two losses, gradients, accuracy, speed, spread
    assert html.count("data:image/png") == 1 + 16  # 16 of 21 grids, the last one twice
    assert len(html) < 2_000_000


def test_curves_are_drawn_where_the_values_are(complete: Path) -> None:
    html, _ = page(complete)
    [series] = [
        json.loads(s.replace("&quot;", '"')) for s in re.findall(r'data-plot="([^"]*)"', html) if "accuracy" in s
    ]
    assert [curve["name"] for curve in series] == ["accuracy_train", "accuracy_held_out"]
    lines = [line for line in runs.lines() if line["kind"] == "health"]
    for point, line in zip(series[0]["points"], lines, strict=True):
        assert point[0] == line["samples"]
        assert point[1] == pytest.approx(line["accuracy_train"], abs=1e-3)
        assert point[3] == pytest.approx(222 - point[1] * 210, abs=0.1)  # from 0 at the bottom to 1 at the top


@pytest.mark.parametrize("verdict, colour", [("balanced", "good"), ("", "unknown"), ("starving", "watch")])
def test_the_verdict_has_its_colour(tmp_path: Path, verdict: str, colour: str) -> None:
    (tmp_path / "health.json").write_text(json.dumps({"verdict": verdict, "findings": []}))
    html, _ = page(tmp_path)
    assert f'class="badge {colour}"' in html


def test_an_empty_folder_says_what_is_missing(tmp_path: Path) -> None:
    _, text = page(tmp_path)
    for name in (
        "config.json is not there",
        "metrics.jsonl is not there",
        "scores.json is not there",
        "health.json is not there",
    ):
        assert name in text
    assert "holds no pictures yet" in text
    assert f"zerosum evaluate {tmp_path}" in text


def test_half_written_files_are_named_and_the_rest_is_shown(complete: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(complete, tmp_path / "run"))
    for name in ("config.json", "scores.json", "health.json", "metrics.jsonl", "samples/000200k.png"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) * 2 // 3])
    _, text = page(folder)
    for name in ("config.json", "scores.json", "health.json"):
        assert f"{name} cannot be read (half-written or broken)" in text
    assert "metrics.jsonl: one line is cut or broken and left out." in text
    assert "000200k.png cannot be read and is left out." in text
    assert "Loss of D" in text
    assert "190k samples" in text


@pytest.mark.parametrize(
    "content", ["[]", "3", '"text"', '{"values": 3}', '{"values": {"no such score": 1}, "floor": {}, "protocol": {}}']
)
def test_json_of_another_shape_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "scores.json").write_text(content)
    _, text = page(tmp_path)
    assert "scores.json" in text


def test_text_is_escaped_everywhere(tmp_path: Path) -> None:
    hostile = runs.HOSTILE
    folder = runs.make(tmp_path / "run")
    finding = {"illness": hostile, "severity": hostile, "evidence": hostile, "advice": hostile, "samples": 1}
    files = {
        "config.json": {
            hostile: hostile,
            "system": hostile,
            "data": {"name": hostile, hostile: [hostile]},
            "command": hostile,
        },
        "health.json": {"verdict": hostile, "findings": [finding, {"evidence": {hostile: hostile}}]},
        "scores.json": {"values": {"fd": 1.0}, "floor": {}, "protocol": {"extractor": hostile, hostile: hostile}},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    lines = [
        {"kind": kind, "samples": 5, hostile: 1.0, f"{hostile}/gradient": 2.0} for kind in ("log", "scores", "health")
    ]
    lines.append({"kind": "event", "samples": 5, "event": hostile})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    html, text = page(folder)
    assert "<script>alert" not in html
    assert text.count(hostile) > 15


def test_numbers_that_are_not_finite_are_named_and_not_drawn(tmp_path: Path) -> None:
    values = [1.0, 2.0, math.nan, math.inf]
    lines = [
        {"kind": "log", "samples": 1000 * i, "D/adversarial": v, "D/gradient": math.nan} for i, v in enumerate(values)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    html, text = page(tmp_path)
    assert "D/adversarial from 2k samples" in text
    assert "no finite value yet" in text  # the gradient
    assert not re.search(r'(d|cx|cy|x1|y1)="[^"]*(nan|inf)', html)


def test_what_a_resumed_run_plays_again_is_drawn_once(tmp_path: Path) -> None:
    first = [{"kind": "log", "samples": s, "loss": 1.0} for s in (100, 200, 300)]
    again = [{"kind": "event", "samples": 100, "event": "rolled back"}]
    second = [{"kind": "log", "samples": s, "loss": 2.0} for s in (200, 300)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in first + again + second))
    html, text = page(tmp_path)
    [series] = [json.loads(s.replace("&quot;", '"')) for s in re.findall(r'data-plot="([^"]*)"', html)]
    assert [point[:2] for point in series[0]["points"]] == [[100, 1.0], [200, 2.0], [300, 2.0]]
    assert "rolled back" in text


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    runs.grid(tmp_path / "samples" / "000001k.png", 0.0, tile=300)
    html, _ = page(tmp_path)
    assert "data:image/jpeg" in html
    assert "data:image/png" not in html


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="there is no such folder"):
        write(tmp_path / "nowhere")


@pytest.mark.parametrize("moment", ["snapshot", "end"])
def test_the_callback_writes_the_page(tmp_path: Path, moment: str) -> None:
    getattr(Reporting(), moment)(SimpleNamespace(folder=tmp_path))
    assert (tmp_path / "report.html").exists()
