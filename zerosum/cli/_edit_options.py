"""The options of `zerosum edit`, a class for each action. Needs no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from zerosum.data.options import Data


@dataclass(frozen=True)
class Common:
    """What every action takes."""

    seed: int = 0
    """Decides everything random that is not named by a seed of its own."""
    class_: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """The class, by number or name (class-conditional generators)."""
    out: Path = Path("edits")
    """Folder for what is written."""
    json: bool = False
    """Print what was written and found as JSON."""


@dataclass(frozen=True)
class Moving(Common):
    """What every action that makes an animation takes."""

    video: bool = False
    """Also write an MP4 (needs the extra `video`)."""
    rate: float = 12.0
    """Frames a second."""


@dataclass(frozen=True)
class Project(Common):
    """Find the points whose images are nearest to photos.

    Writes projection.safetensors (for `interpolate`, `mix` and `apply`), a PNG of every image found, strip.png (the
    photos above what was found) and errors.csv (the distance at every step).

    Example: zerosum edit runs/faces project photo.png other.jpg --space w+ --out edits/me
    """

    photos: tyro.conf.Positional[list[Path]] = dataclasses.field(default_factory=list)
    """Image files of any size; resized as in training."""
    space: Literal["w", "w+"] = "w"
    """w: edits best; w+ (one w for each layer): fits best."""
    steps: int = 1000
    """Steps of optimization."""
    rate: float = 0.1
    """Highest learning rate, in deviations of a component of w."""
    start: int | None = None
    """Start from the nearest of so many random samples (default: from the mean w)."""
    pull: float | None = 0.05
    """Pull towards the mean w from outside the region of random samples; None: off."""
    fit_noise: bool = True
    """Fit the noise maps too, where the generator has any (stylegan2)."""
    features: Literal["none", "classifier"] = "none"
    """What the distance knows besides pixels and edges: the features of a classifier of labelled data."""
    source: Annotated[str | None, tyro.conf.arg(name="data")] = None
    """The labelled data; by default what the run was trained on."""
    data: Data = Data()
    """How that is read."""
    batch: int = 16
    """Photos at once."""


@dataclass(frozen=True)
class Interpolate(Moving):
    """Go from image to image: straight in w, along great circles where w is a normal z.

    Writes frames.png, interpolation.gif and, with --video, interpolation.mp4.

    Example: zerosum edit runs/faces interpolate --seeds 1 2 3 --frames 24 --loop
    """

    seeds: list[int] = dataclasses.field(default_factory=list)
    """The images on the way: those of `zerosum sample RUN -n 1 --seed ...`."""
    projection: Path | None = None
    """Projected photos in place of seeds."""
    frames: int = 24
    """From each image to the next."""
    loop: bool = False
    """Go back to the first in the end."""
    between: Literal["w", "z"] = "w"
    """z: along great circles in z, then mapped (seeds only)."""
    truncation: float = 1.0
    """Below 1: more typical, less varied."""


@dataclass(frozen=True)
class Mix(Common):
    """Take some layers' styles from other images (generators with a mapping network).

    Writes mix.png: the columns' images above, the rows' at the left, and where they meet the row's image with the
    column's styles in --layers.

    Example: zerosum edit runs/faces mix --rows 1 2 3 --columns 4 5 6 7 --layers fine
    """

    rows: list[int] = dataclasses.field(default_factory=list)
    """Seeds of the images that are changed."""
    projection: Path | None = None
    """Projected photos in place of --rows."""
    columns: list[int] = dataclasses.field(default_factory=list)
    """Seeds of the images that styles are taken from."""
    layers: str = "fine"
    """coarse, middle, fine (a third of the layers each), all, or numbers such as 0-3,5."""
    truncation: float = 1.0
    """Below 1: more typical, less varied."""


@dataclass(frozen=True)
class Truncate(Moving):
    """Show images ever nearer to the mean.

    Writes truncation.png, a row for each seed, truncation.gif and, with --video, truncation.mp4.

    Example: zerosum edit runs/faces truncate --seeds 1 2 3 4 --psi 0 0.25 0.5 0.75 1
    """

    seeds: list[int] = dataclasses.field(default_factory=lambda: [1, 2, 3, 4])
    """The images: those of `zerosum sample RUN -n 1 --seed ...`."""
    psi: list[float] = dataclasses.field(default_factory=lambda: [0.0, 0.25, 0.5, 0.75, 1.0])
    """Truncations: 0 is the mean, 1 the image itself."""


@dataclass(frozen=True)
class FindDirections(Common):
    """Find directions that change one thing, and show what each does.

    sefa and ganspace need no labels. scores takes a CSV with a row for each image of `zerosum sample RUN -n N --seed S`
    (columns: file or sample, and a score or more); labels scores random images with a classifier of labelled data.
    Writes directions.safetensors (for `apply`), and a strip for each direction.

    Example: zerosum edit runs/faces directions --method sefa --layers coarse --count 6

    Example: zerosum edit runs/faces directions --method scores --scores age.csv --attribute age --keep gender
    """

    method: Literal["sefa", "ganspace", "scores", "labels"] = "sefa"
    """How they are found."""
    count: int = 5
    """How many (sefa, ganspace)."""
    layers: str | None = None
    """The layers that are moved (sefa: and factorised): coarse, middle, fine or numbers as in 0-3,5 (default: all)."""
    samples: int | None = None
    """Random samples; with --scores the N of `zerosum sample` (default: one for each row; 10,000 otherwise, 4,000 with
    labels, 2,000 for ganspace on a plain GAN)."""
    scores: Path | None = None
    """CSV of scores."""
    attribute: str | None = None
    """The score that the direction raises: a column of --scores, or a class name of the labels (default: the only one;
    of labels that are numbers, the number)."""
    keep: list[str] = dataclasses.field(default_factory=list)
    """Scores that it should leave alone."""
    against: list[Path] = dataclasses.field(default_factory=list)
    """Files of directions that it should be independent of."""
    source: Annotated[str | None, tyro.conf.arg(name="data")] = None
    """Labelled data; by default what the run was trained on."""
    data: Data = Data()
    """How that is read."""
    seeds: list[int] = dataclasses.field(default_factory=lambda: [1, 2, 3, 4])
    """The images of the strips."""
    strength: str = "-3..3"
    """Of the strips: a range, with the number of pictures if wanted (-3..3:7), or numbers (-2,0,2)."""


@dataclass(frozen=True)
class Apply(Moving):
    """Move images along a direction, in standard deviations of random w along it.

    Writes strip.png, edit.gif, a PNG of every picture, moved.safetensors and, with --video, edit.mp4.

    Example: zerosum edit runs/faces apply --direction edits/directions.safetensors --name sefa-0 --strength -3..3
    """

    direction: Path | None = None
    """File of directions."""
    name: str = "0"
    """Which of them, by name or number."""
    strength: str = "-3..3"
    """A range, with the number of pictures if wanted (-3..3:7), or numbers (-2,0,2)."""
    seeds: list[int] = dataclasses.field(default_factory=list)
    """The images: those of `zerosum sample RUN -n 1 --seed ...` (default: 1 2 3 4)."""
    projection: Path | None = None
    """Projected photos in place of seeds."""
    layers: str | None = None
    """The layers that are moved (default: as the direction says)."""
