"""zerosum: train, measure, explore and ship generative adversarial networks.

Example:
    >>> import zerosum
    >>> generator = zerosum.train("dcgan", data="digits", minutes=3)
    >>> generator.sample(16)[0].save("digit.png")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zerosum.api import evaluate, import_weights, load, resume, train

__all__ = ["__version__", "evaluate", "import_weights", "load", "resume", "train"]


def __getattr__(name: str) -> Any:
    # Imported when first used, so that `zerosum --help` need not wait for torch.
    if name in ("evaluate", "import_weights", "load", "resume", "train"):
        from zerosum import api

        return getattr(api, name)
    raise AttributeError(f"module 'zerosum' has no attribute {name!r}")
