"""Labels of any kind as whole numbers from 0, with the names of their classes; and reading them from files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zerosum.data.found import Label
from zerosum.data.options import Data


def classes_of(labels: Sequence[Label] | np.ndarray, names: list[str] | None) -> tuple[np.ndarray, list[str]]:
    """Labels of any kind to (int64 (n,) in 0..k-1, the k names): whole numbers in their order, names in the alphabet's.

    With `names`, whole numbers within it are kept as they are.
    """
    values = np.asarray(labels)
    if values.dtype.kind in "iub":
        values = values.astype(np.int64)
        if names and len(values) and values.min() >= 0 and values.max() < len(names):
            return values, list(names)
    known, inverse = np.unique(values, return_inverse=True)
    return inverse.astype(np.int64).reshape(-1), [str(value) for value in known]


def used_labels(
    values: Sequence[Label] | np.ndarray | None, names: list[str] | None, options: Data, notes: list[str]
) -> tuple[np.ndarray | None, list[str]]:
    """`classes_of`, or (None, []) where there are no labels, all are the same, or `options.unlabelled` is set."""
    if values is None or options.unlabelled:
        return None, []
    labels, class_names = classes_of(values, names)
    if len(class_names) < 2:
        notes.append(f"all samples have the label {class_names[0]!r}: labels are not used")
        return None, []
    return labels, class_names
