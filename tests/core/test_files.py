"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zerosum.core import files
from zerosum.core.errors import BadFile
from zerosum.core.randomness import derive


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
        (errno.ENOTDIR, "part of the path is a file"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_errors_name_the_path_and_say_what_to_do(number: int, text: str) -> None:
    with pytest.raises(BadFile, match=f"cannot write some/where: .*{text}"), files.naming(Path("some/where")):
        raise OSError(number, os.strerror(number))


def test_a_file_keeps_its_content_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadFile, match="disk is full"):
        files.write_json(path, {"a": 2})
    assert files.read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with files.new_folder(tmp_path / "f") as new:
            (new / "file").write_text(content)
    with pytest.raises(ZeroDivisionError), files.new_folder(tmp_path / "f") as new:
        (new / "file").write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "f" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_tidy_removes_remains_and_puts_back(tmp_path: Path) -> None:
    for name in (".a.1.tmp", ".b.2.old", ".c.3.old", "c", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / ".d.json.4.tmp").touch()
    files.tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "b", "c"]


def test_seeds_are_equal_on_every_machine() -> None:
    assert derive(0, "epoch", 1) == 7329436534343938036 != derive(0, "epoch", 2)
    assert 0 <= derive("x") < 2**63
