"""torchvision and torch-fidelity, importable also where torchvision's compiled operators cannot load.

The registry's torchvision links to CUDA libraries. Beside a CPU build of torch its operators (nms, roi_align ...) are
missing and its import stops at describing them, though nothing here calls them: skip those descriptions.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch


def load(name: str) -> ModuleType:
    """Import `name` (torchvision..., torch_fidelity...)."""
    if "torchvision" not in sys.modules:
        _import_torchvision()
    return importlib.import_module(name)


def _import_torchvision() -> None:
    original = torch.library.register_fake

    def tolerant(op, func=None, /, **options):
        if func is not None:
            return original(op, func, **options)

        def register(described):
            try:
                return original(op, described, **options)
            except RuntimeError as error:
                if "does not exist" not in str(error):
                    raise
                return described

        return register

    torch.library.register_fake = tolerant
    try:
        importlib.import_module("torchvision")
    finally:
        torch.library.register_fake = original
