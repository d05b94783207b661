"""`zerosum health`: the verdict on a run folder, whatever state it is in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zerosum.cli.health import main
from zerosum.core.errors import BadFile


def write(folder: Path, lines: list[dict[str, object]], rest: str = "") -> str:
    folder.mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + rest)
    return str(folder)


GOOD: list[dict[str, object]] = [
    {"kind": "health", "samples": 1000 * n, "accuracy": 0.55, "auc": 0.52, "coverage": 0.8, "precision": 0.9}
    for n in (1, 2, 3)
]
ILL: list[dict[str, object]] = [
    {"kind": "health", "samples": 1000 * n, "copied": 1.0, "copied_real": 0.1, "accuracy": 0.5, "auc": 0.5}
    for n in (1, 2, 3)
]
AT_RISK: list[dict[str, object]] = [{**line, "copied": 0.3} for line in ILL]


def test_a_balanced_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(tmp_path, GOOD)]) == 0
    shown = capsys.readouterr().out
    assert "balanced after 3,000 samples" in shown
    assert "55.0%" in shown


def test_an_ill_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(tmp_path, ILL)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "memorisation (ill)" in shown
    assert "100% of the generated samples are copies" in shown
    assert "Advice: Do not publish" in shown


def test_a_warning_is_not_ill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(tmp_path, AT_RISK)]) == 0
    assert "memorisation (warning)" in capsys.readouterr().out


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(tmp_path, ILL), "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["verdict"] == "memorisation"
    assert content["ill"] is True
    assert set(content["findings"][0]) == {"illness", "severity", "evidence", "advice", "samples"}
    assert content["evidence"]["snapshots"] == 3


def test_an_empty_run_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(tmp_path, [])]) == 0
    assert "unknown after 0 samples" in capsys.readouterr().out


def test_a_killed_run_leaves_half_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(tmp_path, GOOD, '{"kind": "log", "samp')]) == 0
    assert "balanced" in capsys.readouterr().out


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    write(tmp_path, GOOD, '{"kind": "log", "samp\n' + json.dumps(GOOD[0]) + "\n")
    with pytest.raises(BadFile, match="line 4 of 5 is broken; delete that line"):
        main([str(tmp_path)])


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="there is no such folder"):
        main([str(tmp_path / "nowhere")])


def test_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"has no metrics\.jsonl"):
        main([str(tmp_path)])


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert "zerosum health runs/demo" in capsys.readouterr().out
