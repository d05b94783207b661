"""Continue a training from its last checkpoint, as if it had never stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro


@dataclasses.dataclass(frozen=True)
class Options:
    """Continue a training from its last checkpoint, bit for bit as if it had never stopped.

    Example: zerosum resume runs/dcgan-digits-20260101-1 --minutes 30
    """

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    minutes: float | None = None
    """A new limit on the minutes of training, all in all."""
    samples: int | None = None
    """A new limit on the samples shown, all in all."""


def main(arguments: list[str]) -> int:
    """`zerosum resume`."""
    options = tyro.cli(Options, args=arguments, prog="zerosum resume")
    from zerosum import api

    api.resume(options.run, minutes=options.minutes, samples=options.samples)
    return 0
