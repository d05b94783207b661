"""Photos of super-resolution: BSDS500's for training, Set5, Set14 and BSD100 for tests, x 4."""

from __future__ import annotations

import io
import os
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from zerosum.core.errors import BadData, BadOption
from zerosum.data.encodings import normalise, to_tensor
from zerosum.objectives.degradations import bicubic

SCALE = 4
TRAIN, SETS = "BSDS500-train", ("Set5", "Set14", "BSD100")
SEEN = ("302003",)
"""Training photos that a test image is a part of: Set5's woman."""


def photos() -> dict[str, list[tuple[str, bytes]]]:
    """Names and encoded content of the photos, by their set. Raises BadOption where nobody says where they are."""
    table = pq.read_table(shared("superres/sr_images.parquet"))
    rows: dict[str, list[tuple[str, bytes]]] = {}
    for row in table.to_pylist():
        rows.setdefault(row["set"], []).append((row["name"], row["image"]))
    return rows


def shared(name: str) -> Path:
    """A file of the folder that ZEROSUM_DATA names."""
    if "ZEROSUM_DATA" not in os.environ:
        raise BadOption("set ZEROSUM_DATA to the folder that holds superres/sr_images.parquet.")
    return Path(os.environ["ZEROSUM_DATA"]) / name


def training_photos(folder: Path) -> Path:
    """A parquet file with the training photos alone.

    Raises:
        BadData: one of them is a test image, too.
    """
    path, table = folder / "train.parquet", pq.read_table(shared("superres/sr_images.parquet"))
    own = pc.and_(pc.equal(table["set"], TRAIN), pc.invert(pc.is_in(table["name"], pa.array(SEEN))))
    train, others = table.filter(own), table.filter(pc.invert(own))
    if set(train["image"].to_pylist()) & set(others["image"].to_pylist()):
        raise BadData("the training photos and the test images have images in common.")
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(train.select(["image", "name"]), path)
    return path


@cache
def tests(name: str) -> dict[str, np.ndarray]:
    """The images (h, w, 3) of a test set, cropped to multiples of the scale; grey ones as three equal channels."""
    found = {}
    for file, content in photos()[name]:
        pixels = np.array(Image.open(io.BytesIO(content)).convert("RGB"))
        height, width = (side - side % SCALE for side in pixels.shape[:2])
        found[file] = pixels[:height, :width]
    return found


def tensor(pixels: np.ndarray) -> Tensor:
    """Pixels (h, w, c) as (1, c, h, w) in [-1, 1]."""
    return normalise(to_tensor(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None])


def pixels_of(image: Tensor) -> np.ndarray:
    """The reverse, rounded."""
    return ((image[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()


def small(pixels: np.ndarray) -> np.ndarray:
    """An image made small bicubically, as MATLAB's imresize does."""
    return pixels_of(bicubic(tensor(pixels), SCALE))
