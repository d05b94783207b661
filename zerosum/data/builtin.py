"""Data sets that come by name: two of points, scikit-learn's digits, and MNIST, Fashion-MNIST and CIFAR-10."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from zerosum.core import vision
from zerosum.core.errors import BadData
from zerosum.data.arrays import read_npz
from zerosum.data.found import Arrays, Found, Points
from zerosum.data.options import Data

POINTS = 100_000
"""Points of ring and grid, as in PacGAN (Lin et al. 2018, arXiv:1712.04086)."""
RING_STD, GRID_STD = 0.02, 0.05
STACKED = 128_000
"""Training samples of stacked MNIST, as in VEEGAN (Srivastava et al. 2017, arXiv:1705.07761) and PacGAN."""


def ring_modes() -> np.ndarray:
    """(8, 2): the centres of `ring`, on a circle of radius 2."""
    angles = np.arange(8) * (2 * np.pi / 8)
    return 2.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def grid_modes() -> np.ndarray:
    """(25, 2): the centres of `grid`, all pairs of -4, -2, 0, 2, 4."""
    side = np.arange(-4.0, 5.0, 2.0)
    return np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)


def cache_folder() -> Path:
    """Where downloads are kept: $ZEROSUM_CACHE, or zerosum in the user's cache folder."""
    own = os.environ.get("ZEROSUM_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zerosum"


def ring(options: Data) -> Points:
    """8 Gaussians with a standard deviation of 0.02, equally likely."""
    return Points("ring", _mixture(ring_modes(), RING_STD))


def grid(options: Data) -> Points:
    """25 Gaussians with a standard deviation of 0.05, equally likely (PacGAN's 2D-grid)."""
    return Points("grid", _mixture(grid_modes(), GRID_STD))


def _mixture(modes: np.ndarray, std: float) -> np.ndarray:
    random = np.random.Generator(np.random.PCG64(0))
    chosen = modes[random.integers(len(modes), size=POINTS)]
    return (chosen + std * random.standard_normal((POINTS, 2))).astype(np.float32)


def digits(options: Data) -> Arrays:
    """1,797 handwritten digits of 8 x 8 pixels that ship inside scikit-learn; their values 0 to 16 are scaled to 0 to
    255.
    """
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = np.rint(loaded.images * (255 / 16)).astype(np.uint8)[..., None]
    return Arrays("digits", images, loaded.target.astype(np.int64), None, [str(digit) for digit in range(10)])


def mnist(options: Data) -> Found:
    """MNIST from $ZEROSUM_DATA/mnist/mnist.npz, else downloaded by torchvision."""
    local = _local("mnist", "mnist.npz")
    if local is None:
        return _torchvision("MNIST", "mnist")
    found = read_npz(local)
    found.notes.append("mnist: read from the folder named by ZEROSUM_DATA")
    return found


def fashion_mnist(options: Data) -> Arrays:
    """Fashion-MNIST, downloaded by torchvision."""
    return _torchvision("FashionMNIST", "fashion_mnist")


def cifar10(options: Data) -> Found:
    """CIFAR-10 from $ZEROSUM_DATA/cifar10/cifar10_jpeg.parquet (recompressed: say so beside any score), else by
    torchvision.
    """
    local = _local("cifar10", "cifar10_jpeg.parquet")
    if local is None:
        return _torchvision("CIFAR10", "cifar10")
    from zerosum.data.parquet import read_parquet

    found = read_parquet([local], options)
    found.name = "cifar10-jpeg"
    found.notes.append(
        "cifar10: JPEG version from the folder named by ZEROSUM_DATA; scores do not compare with the original's"
    )
    return found


def stacked_mnist(options: Data, source: str | None = None) -> Arrays:
    """Three random MNIST digits in the red, green and blue channels of 28 x 28 images: 1,000 modes, no labels."""
    if source is None:
        found = mnist(options)
    else:
        path = Path(source)
        if not path.is_file():
            raise BadData(f"stacked_mnist:{source}: there is no such file; give the path of mnist.npz.")
        found = read_npz(path)
    if not isinstance(found, Arrays) or found.images.shape[3] != 1:
        raise BadData(f"stacked_mnist needs grey images (MNIST); {source or 'mnist'} holds others.")
    images = found.images[..., 0]
    splits = np.array(found.splits or ["train"] * len(images))
    random = np.random.Generator(np.random.PCG64(0))
    stacks, marks = [], []
    for split, count in (("train", STACKED), ("test", 10_000)):
        members = np.flatnonzero(splits == split)
        if len(members):
            chosen = members[random.integers(len(members), size=(min(count, options.limit or count), 3))]
            stacks.append(images[chosen].transpose(0, 2, 3, 1))
            marks += [split] * len(chosen)
    return Arrays("stacked_mnist", np.concatenate(stacks), None, marks if len(stacks) == 2 else None, None, found.notes)


def _local(folder: str, file: str) -> Path | None:
    root = os.environ.get("ZEROSUM_DATA")
    path = Path(root) / folder / file if root else None
    return path if path is not None and path.is_file() else None


def _torchvision(class_name: str, name: str) -> Arrays:
    datasets = vision.load("torchvision.datasets")
    parts, marks, labels = [], [], []
    for split in ("train", "test"):
        try:
            part = getattr(datasets, class_name)(str(cache_folder()), train=split == "train", download=True)
        except (OSError, RuntimeError) as error:
            raise BadData(
                f"{name} could not be downloaded to {cache_folder()} ({error}). Without a network, copy an npz with "
                f"x_train, y_train, x_test and y_test to this machine and give its path: --data path/to/{name}.npz."
            ) from error
        images = np.asarray(part.data)
        parts.append(images if images.ndim == 4 else images[..., None])
        labels.append(np.asarray(part.targets))
        marks += [split] * len(images)
    return Arrays(name, np.concatenate(parts), np.concatenate(labels).astype(np.int64), marks, list(part.classes))


BY_NAME: dict[str, Callable[[Data], Found]] = {
    "digits": digits,
    "ring": ring,
    "grid": grid,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "stacked_mnist": stacked_mnist,
}
