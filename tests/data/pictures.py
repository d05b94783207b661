"""Small pictures and folders of them for the tests of zerosum.data."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(*shape: int, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    """Random pixels of any shape."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def png(array: np.ndarray) -> bytes:
    """An array (h, w[, c]) as PNG."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def folder(root: Path, names: list[str], *shape: int) -> Path:
    """A folder with a random PNG under each name."""
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels(*(shape or (6, 6, 3)), seed=seed)))
    return root


def classes(root: Path, count: int = 12) -> Path:
    """A folder with the classes cats and dogs, `count` images in each."""
    names = [f"{name}/{name} {index}é.png" for name in ("cats", "dogs") for index in range(count)]
    return folder(root, names)
