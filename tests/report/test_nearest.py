"""The picture of the samples that are most like training images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zerosum.core.errors import BadOption
from zerosum.data import load
from zerosum.metrics.scores import Scores
from zerosum.report.nearest import samples_at, write_nearest


class Copier:
    """Makes the images it is given, from the last to the first, in batches of 7."""

    def __init__(self, images: torch.Tensor):
        self.images = images.flip(0)

    def tensors(self, n: int, *, seed: int) -> Iterator[torch.Tensor]:
        assert seed == 3
        yield from self.images[:n].split(7)


def test_each_sample_stands_above_the_training_image_that_it_is_like(tmp_path: Path) -> None:
    dataset = load(np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8))
    images = dataset.train.fetch(torch.arange(len(dataset.train)))["image"]
    count = len(images)
    suspects = [0, 40, 9, 8, 30, 31, 32, 20, 19, 18, 17, 16, 15, 14, 13, 12]
    protocol: dict[str, Any] = {"n_fake": count, "seed": 3}
    details = {"suspects": suspects, "sources": [count - 1 - place for place in suspects]}
    generator: Any = Copier(images)
    found = samples_at(generator, suspects, protocol)
    assert all(torch.equal(one, images[count - 1 - place]) for one, place in zip(found, suspects, strict=True))

    write_nearest(tmp_path / "new" / "nearest.png", generator, dataset, Scores({}, {}, protocol, details))
    picture = np.asarray(Image.open(tmp_path / "new" / "nearest.png"))[:, 100:]  # beside the names
    rows = [row for row in np.split(picture, np.flatnonzero((picture == 255).all((1, 2)))) if len(row) > 50]
    rows = [row[-128:] for row in rows]
    assert len(rows) == 4  # two rows of eight pairs
    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[2], rows[3])
    assert not np.array_equal(rows[0], rows[2])


def test_points_have_no_picture(tmp_path: Path) -> None:
    dataset = load(np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32))
    generator: Any = Copier(torch.zeros(2, 2))
    with pytest.raises(BadOption, match="--nearest is for generators of images"):
        write_nearest(tmp_path / "nearest.png", generator, dataset, Scores({}, {}, {}, {}))
    with pytest.raises(BadOption, match="a name that ends in .png"):
        write_nearest(tmp_path / "nearest.jpg", generator, dataset, Scores({}, {}, {}, {}))
    assert not list(tmp_path.iterdir())
