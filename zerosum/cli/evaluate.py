"""Measure a trained generator against real data, with the protocol and the real-against-real floor."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from zerosum.core.errors import BadOption
from zerosum.data.options import Data


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure a trained generator against real data.

    Example: zerosum evaluate runs/dcgan-digits-20260101-1 --n 10000 --json

    Example: zerosum evaluate runs/r3gan-scans-20260101-1 --nearest nearest.png

    Example: zerosum evaluate runs/ctgan-customers-20260101-1 --html report.html

    Example: zerosum evaluate runs/masked_imputer-survey-20260101-1
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A run folder, or a generator's folder."""
    source: Annotated[str | None, tyro.conf.arg(name="data")] = None
    """What to compare with; by default what a run was trained on."""
    data: Data = Data()
    """How that is read."""
    features: str = "auto"
    """auto, inception, dinov2, classifier or pixels."""
    weights: Path | None = None
    """Weights file for inception or dinov2, where they cannot be downloaded."""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 10_000
    """Generated samples; of an imputer, held-out rows at most."""
    seed: int = 0
    """Of the generated samples."""
    per_class: bool = False
    """Also a score per class."""
    equivariance: bool = False
    """Instead, how exactly images move with the generator's input: EQ-T and EQ-R in dB (StyleGAN3 only; no data)."""
    fair: str | None = None
    """Tables: also measure fairness to the groups of this column."""
    favourable: str | None = None
    """Tables: the value of the target that people want, for --fair; or column=value."""
    nearest: Path | None = None
    """Images: also write a picture here (.png) of the samples that are most like a training image, each above it."""
    html: Path | None = None
    """Tables: also write a page with plots here."""
    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> int:
    """`zerosum evaluate`."""
    options = tyro.cli(Options, args=arguments, prog="zerosum evaluate")
    from rich.console import Console

    from zerosum import api

    if options.equivariance:
        return _equivariance(options)
    scores = api.evaluate(
        options.run, options.source, features=options.features, n=options.n, seed=options.seed, weights=options.weights,
        options=options.data if options.data != Data() else None, per_class=options.per_class,
        fair=options.fair, favourable=options.favourable, nearest=options.nearest,
    )  # fmt: skip
    if options.html is not None:
        _page(options.html, scores, options.run.name)
    if options.json:
        print(scores.to_json())
    else:
        Console().print(scores.table())
    return 0


def _page(path: Path, scores: Any, title: str) -> None:
    """Write the page about a synthetic table."""
    from zerosum.metrics.tables.scores import TableScores
    from zerosum.report.tables import write_tables

    if not isinstance(scores, TableScores):
        raise BadOption("--html is for synthetic tables; of images and imputers, a run's report.html shows the scores.")
    write_tables(path, scores, title)


def _equivariance(options: Options) -> int:
    """EQ-T and EQ-R of the generator; a thousand samples settle them."""
    import json

    from zerosum import api
    from zerosum.metrics.equivariance import equivariance

    found = equivariance(api.load(options.run), min(options.n, 1000), seed=options.seed).to_dict()
    if options.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:12s} {value:.4g}" for name, value in found.items()))
    return 0
