"""Images and labels in NumPy arrays and npz files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from zerosum.core.errors import BadData
from zerosum.data.found import Arrays, Points

IMAGE_KEYS = ("images", "image", "x", "X", "data", "arr_0")
LABEL_KEYS = ("labels", "label", "y", "Y", "targets", "arr_1")


def read_npz(path: Path) -> Arrays | Points:
    """An npz with x_train, y_train, x_test, y_test (Keras' mnist.npz), or one array of images and perhaps labels."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {key: archive[key] for key in archive.files if key in (*IMAGE_KEYS, *LABEL_KEYS) or "_t" in key}
            names = archive.files
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise BadData(
            f"{path} cannot be read as npz ({error}). It must be made by numpy.savez with plain arrays (no objects)."
        ) from error
    if "x_train" in found:
        return _train_and_test(found, str(path), path.stem)
    key = next((key for key in IMAGE_KEYS if key in found), None)
    if key is None:
        raise BadData(
            f"{path} holds the arrays {', '.join(names) or '(none)'}; expected x_train (with y_train, x_test, "
            f"y_test) or one of {', '.join(IMAGE_KEYS)}."
        )
    label = next((key for key in LABEL_KEYS if key in found), None)
    return from_array(found[key], found[label] if label else None, f"{path}: {key}", path.stem)


def _train_and_test(found: dict[str, np.ndarray], place: str, name: str) -> Arrays | Points:
    train = from_array(found["x_train"], found.get("y_train"), f"{place}: x_train", name)
    if "x_test" not in found:
        return train
    test = from_array(found["x_test"], found.get("y_test"), f"{place}: x_test", name)
    if isinstance(train, Points) or isinstance(test, Points):
        raise BadData(f"{place}: points with a test split are not supported; give one array of points.")
    if train.images.shape[1:] != test.images.shape[1:] or train.images.dtype != test.images.dtype:
        raise BadData(
            f"{place}: x_train has images of {_shape(train.images)} and x_test of {_shape(test.images)}; they "
            "must be alike."
        )
    if (train.labels is None) != (test.labels is None):
        raise BadData(f"{place}: only one of y_train and y_test is there; give both or neither.")
    labels = None if train.labels is None or test.labels is None else np.concatenate([train.labels, test.labels])
    splits = ["train"] * len(train.images) + ["test"] * len(test.images)
    return Arrays(name, np.concatenate([train.images, test.images]), labels, splits, None, train.notes + test.notes)


def _shape(images: np.ndarray) -> str:
    return f"{images.dtype} {' x '.join(map(str, images.shape[1:]))}"


def from_array(
    array: np.ndarray, labels: np.ndarray | None = None, place: str = "the array", name: str = "array"
) -> Arrays | Points:
    """Images (n, h, w), (n, h, w, c) or (n, c, h, w), c 1, 3 or 4, or points (n, 2), as zerosum keeps them.

    uint8 and uint16 are taken as they are, other integers where their values fit, booleans as 0 and 255, floats in
    [0, 1] or [-1, 1] rounded to 8 bits. Where both ends of a 4-D shape could be channels, the last one is taken for it.
    """
    if array.dtype == object:
        raise BadData(f"{place} holds objects of different shapes; all images must have one size and channel count.")
    if array.ndim == 2 and array.shape[1] == 2:
        return _points(array, labels, place, name)
    if array.ndim == 2:
        raise BadData(
            f"{place} has the shape {array.shape}: that is a table, not images. Expected (n, h, w) or (n, h, w, c)."
        )
    if array.ndim == 3:
        array = array[..., None]
    elif array.ndim != 4:
        raise BadData(
            f"{place} has {array.ndim} axes, shape {array.shape}; images are (n, h, w), (n, h, w, c) or (n, c, h, w)."
        )
    if array.shape[3] not in (1, 3, 4):
        if array.shape[1] not in (1, 3, 4):
            raise BadData(
                f"{place} has the shape {array.shape}; neither axis 1 nor axis 3 can be channels (1, 3 or 4)."
            )
        array = array.transpose(0, 2, 3, 1)
    if 0 in array.shape:
        raise BadData(f"{place} is empty: its shape is {array.shape}.")
    images, notes = _integers(array, place)
    return Arrays(name, images, _labels(labels, len(images), place), None, None, notes)


def _integers(array: np.ndarray, place: str) -> tuple[np.ndarray, list[str]]:
    if array.dtype in (np.uint8, np.uint16):
        return array, []
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255), []
    if array.dtype.kind not in "iuf":
        raise BadData(
            f"{place} has values of type {array.dtype}; expected uint8, uint16 or floats in [0, 1] or [-1, 1]."
        )
    low, high = array.min(), array.max()
    if array.dtype.kind in "iu":
        if low < 0 or high > 65535:
            raise BadData(
                f"{place} has whole numbers from {low} to {high}; expected 0 to 255 (8 bits) or 0 to 65535 (16 bits)."
            )
        return array.astype(np.uint8 if high <= 255 else np.uint16), []
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise BadData(f"{place} holds {bad:,} values that are NaN or infinite; remove or replace them.")
    if low < -1 or high > 1:
        raise BadData(
            f"{place} has floats from {low:g} to {high:g}; scale them to [0, 1] or [-1, 1], or convert them to uint8."
        )
    unit = (array + 1) / 2 if low < 0 else array
    note = f"{place}: floats in {'[-1, 1]' if low < 0 else '[0, 1]'} were rounded to 8 bits"
    return np.rint(unit * 255).astype(np.uint8), [note]


def _points(array: np.ndarray, labels: np.ndarray | None, place: str, name: str) -> Points:
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise BadData(
            f"{place} must hold finite numbers to be points; it is {array.dtype} with NaN, infinite or other values."
        )
    if len(array) == 0:
        raise BadData(f"{place} is empty: its shape is {array.shape}.")
    notes = [] if labels is None else ["labels of points are not used"]
    return Points(name, array.astype(np.float32), notes)


def _labels(labels: np.ndarray | None, count: int, place: str) -> np.ndarray | None:
    if labels is None:
        return None
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]  # CIFAR-10 as Keras stores it
    if labels.shape != (count,):
        raise BadData(
            f"{place} has {count:,} images but the labels have the shape {labels.shape}; expected ({count},)."
        )
    if labels.dtype.kind not in "iuUb":
        raise BadData(f"the labels of {place} are {labels.dtype}; expected whole numbers or names.")
    return labels
