"""Data sets: sources, the check, encodings and stores. `load` does all of it. Names are imported when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zerosum.data.encodings import ImageEncoding, PointEncoding, encoding_from_json
    from zerosum.data.loading import load
    from zerosum.data.options import Data
    from zerosum.data.spec import Dataset, Spec

__all__ = ["Data", "Dataset", "ImageEncoding", "PointEncoding", "Spec", "encoding_from_json", "load"]

_HOME = {
    "Data": "options",
    "Dataset": "spec",
    "ImageEncoding": "encodings",
    "PointEncoding": "encodings",
    "Spec": "spec",
    "encoding_from_json": "encodings",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
