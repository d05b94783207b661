"""Grids of a class-conditional generator: classes side by side, about square."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zerosum.data.spec import Spec
from zerosum.training.pictures import Pictures


class Labelled:
    """Makes flat images whose brightness is their class."""

    conditional = True

    def __init__(self, classes: int):
        self.spec = Spec((1, 32, 32), classes=classes)

    def sample(self, n: int, *, given: dict[str, Any], seed: int) -> list[Image.Image]:
        labels = given["label"].tolist()
        assert len(labels) == n and seed == 0
        return [Image.fromarray(np.full((32, 32), 10 * label, np.uint8)) for label in labels]


@pytest.mark.parametrize(("classes", "columns", "rows"), [(1, 8, 8), (2, 8, 8), (4, 8, 8), (10, 10, 6), (40, 16, 4)])
def test_classes_stand_side_by_side(classes: int, columns: int, rows: int, tmp_path: Path) -> None:
    training: Any = SimpleNamespace(generator=lambda: Labelled(classes), folder=tmp_path, samples=7)
    Pictures().snapshot(training)
    picture = np.asarray(Image.open(tmp_path / "samples" / "000000000007.png"))
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    cells = picture[height // 2 :: height, width // 2 :: width]
    assert cells.shape == (rows, columns)
    shown = min(classes, 16)
    assert (cells == 10 * np.repeat(np.arange(shown), columns // shown)).all()
