"""The picture that shows whether a generator copies: the samples that are most like a training image, above it."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.data.spec import Dataset
from zerosum.editing.strips import strip
from zerosum.metrics.scores import Scores
from zerosum.training.generator import TrainedGenerator
from zerosum.training.pictures import save
from zerosum.training.translator import Translator

ACROSS = 8
"""Pairs in a row of the picture."""


def write_nearest(path: Path, generator: TrainedGenerator, dataset: Dataset, scores: Scores) -> None:
    """Write the samples that were measured and are nearest to a training image, each above that image, the nearest
    first; what is near is decided by the features of the scores.

    Args:
        path: of the picture, PNG.
        generator: as it was measured.
        dataset: what it was measured on.
        scores: with their details, by which the samples are made again.

    Raises:
        BadOption: see `check`.
    """
    check(path, generator, dataset)
    suspects, sources = scores.details["suspects"], scores.details["sources"]
    made = dict(zip(suspects, samples_at(generator, suspects, scores.protocol), strict=True))
    rows: list[list[Image.Image]] = []
    names: list[str] = []
    for start in range(0, len(suspects), ACROSS):
        own, beside = suspects[start : start + ACROSS], sources[start : start + ACROSS]
        if len(own) < ACROSS and rows:
            break
        real = dataset.train.fetch(torch.tensor(beside))["image"]
        for images, name in ((torch.stack([made[index] for index in own]), "sample"), (real, "nearest")):
            rows.append(dataset.encoding.decode({"image": images.cpu()}))
            names.append(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(strip(rows, names=names), path)


def check(path: Path, generator: TrainedGenerator, dataset: Dataset) -> None:
    """Raise BadOption where samples are no images, or made from images, or the picture is to be of another format."""
    if path.suffix.lower() != ".png":
        raise BadOption(f"--nearest {path}: the picture is a PNG; give a name that ends in .png.")
    if dataset.spec.kind != "image" or isinstance(generator, Translator):
        raise BadOption(f"--nearest is for generators of images from noise, and this one is not ({dataset.spec.kind}).")


def samples_at(generator: TrainedGenerator, places: list[int], protocol: dict[str, object]) -> list[Tensor]:
    """The samples at some places of those that were measured: images (c, h, w), in the order of the places."""
    count, seed, start = int(str(protocol["n_fake"])), int(str(protocol["seed"])), 0
    found: dict[int, Tensor] = {}
    for batch in generator.tensors(count, seed=seed):
        found |= {place: batch[place - start] for place in places if start <= place < start + len(batch)}
        start += len(batch)
    return [found[place] for place in places]
