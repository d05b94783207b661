"""Directions of attributes that samples were scored for (InterFaceGAN; Shen et al. 2020, arXiv:1907.10786).

A linear model predicts the score from w: ridge regression for numbers, logistic regression for two classes. Its normal
is the direction; how well it predicts samples it has not seen is stated with it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zerosum.core import randomness
from zerosum.core.errors import BadData, BadFile, BadOption
from zerosum.editing.directions import Directions, make, orthogonal
from zerosum.editing.points import Points, images_of
from zerosum.training.generator import TrainedGenerator

Score = Callable[[Tensor], Tensor]
"""Encoded images (n, c, h, w) to scores (n,)."""

HELD_OUT = 0.25
"""Share of the samples that the model is tested on."""
FEWEST = 20
"""Samples below which nothing can be said."""


@dataclass(frozen=True)
class Fit:
    """A linear model of one attribute."""

    vector: Tensor
    """(size,), of length 1, pointing where the score grows."""
    measure: str
    """"R2" (share of the variance explained) or "AUC" (0.5: by chance)."""
    quality: float
    """On held-out samples."""


@torch.no_grad()
def scored(generator: TrainedGenerator, points: Points, score: Score, batch: int = 64) -> Tensor:
    """(n,): the scores of the images of points."""
    parts = []
    for chosen in torch.arange(len(points)).split(batch):
        found = torch.as_tensor(score(images_of(generator, points[chosen])))
        if found.shape != (len(chosen),):
            raise BadData(f"the score of {len(chosen)} images must have the shape ({len(chosen)},); got {found.shape}.")
        parts.append(found.float().cpu())
    return torch.cat(parts)


def attribute(
    w: Tensor, scores: Mapping[str, Tensor], name: str, *, keep: Sequence[str] = (), others: Tensor | None = None,
    layers: Sequence[int] | None = None, seed: int = 0,
) -> Directions:  # fmt: skip
    """The direction along which the score `name` grows, without what other attributes would change with it.

    Args:
        w: of random samples, (n, size), or (n, layers, size) where the layers are equal.
        scores: name -> (n,): numbers, or two different values.
        name: the attribute.
        keep: names of further scores whose directions it is made orthogonal to.
        others: (k, size) further directions that it is made orthogonal to.
        layers: that are moved; None: all.
        seed: which samples are held out.

    Raises:
        BadData: too few samples, scores that are all the same or not finite.
        BadOption: an unknown name; nothing left beside the others.

    Example:
        >>> points = population(generator, 4_000)
        >>> age = scored(generator, points, regressor)
        >>> direction = attribute(points.w, {"age": age}, "age")
    """
    w = w if w.dim() == 2 else w[:, 0]
    for wanted in (name, *keep):
        if wanted not in scores:
            raise BadOption(f"there is no score called {wanted!r}; there are {', '.join(scores)}.")
    fits = {one: fit(w, scores[one], one, seed) for one in (name, *keep)}
    vector = fits[name].vector
    fixed = [fits[one].vector[None] for one in keep] + ([] if others is None else [others])
    before = vector
    if fixed:
        vector = orthogonal(vector, torch.cat(fixed))
    facts = {
        "quality": {one: {found.measure: found.quality} for one, found in fits.items()},
        "held_out": HELD_OUT, "samples": len(w), "seed": seed, "keep": list(keep),
        "cosine_with_own": float(before @ vector),
    }  # fmt: skip
    return make(vector[None], w, [name], "scores", layers, facts)


def fit(w: Tensor, scores: Tensor, name: str, seed: int = 0) -> Fit:
    """A linear model of scores (n,) from w (n, size), its strength of regularisation chosen by cross-validation."""
    values = _checked(w, scores, name)
    order = randomness.permutation(len(w), seed, "attribute").numpy()
    test, train = np.split(order, [max(1, round(HELD_OUT * len(w)))])
    mean, unit = w.mean(0), float((w - w.mean(0)).square().mean().sqrt())
    x = ((w - mean) / max(unit, 1e-12)).double().numpy()
    classes = np.unique(values)
    if len(classes) == 2:
        return _logistic(x, (values == classes[1]).astype(int), train, test, name)
    return _ridge(x, values, train, test)


def _checked(w: Tensor, scores: Tensor, name: str) -> np.ndarray:
    values = scores.double().cpu().numpy()
    if values.shape != (len(w),):
        raise BadData(f"{len(w)} points need {len(w)} scores of {name!r}; {values.shape} were given.")
    if len(values) < FEWEST:
        raise BadData(f"{len(values)} scored samples are too few for a direction; score {FEWEST} or more, best 1,000.")
    if not np.isfinite(values).all():
        raise BadData(f"the score {name!r} has values that are not finite, the first at sample {_first(values)}.")
    if (values == values[0]).all():
        raise BadData(f"the score {name!r} is {values[0]:g} for all samples: there is no direction in it.")
    return values


def _first(values: np.ndarray) -> int:
    return int(np.flatnonzero(~np.isfinite(values))[0])


def _ridge(x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> Fit:
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=np.logspace(-2, 5, 15)).fit(x[train], y[train])
    return Fit(_unit(model.coef_), "R2", float(model.score(x[test], y[test])))


def _logistic(x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, name: str) -> Fit:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GridSearchCV

    if min(np.bincount(y[train], minlength=2)) < 5 or len(np.unique(y[test])) < 2:
        raise BadData(f"the score {name!r} has too few samples of one of its two values: score more.")
    grid = {"C": np.logspace(-4, 1, 6)}
    search = GridSearchCV(LogisticRegression(max_iter=1000), grid, cv=3, scoring="roc_auc").fit(x[train], y[train])
    model = search.best_estimator_
    return Fit(_unit(model.coef_[0]), "AUC", float(roc_auc_score(y[test], model.decision_function(x[test]))))


def _unit(vector: np.ndarray) -> Tensor:
    length = float(np.linalg.norm(vector))
    if length < 1e-12:
        raise BadData("the linear model found nothing in the scores: score more samples.")
    return torch.from_numpy(vector / length).float()


def read_scores(path: Path) -> tuple[list[int], dict[str, Tensor]]:
    """Sample numbers and scores by column of a CSV with a column `file` (000012.png) or `sample` (12).

    Raises:
        BadFile: it is missing, has no such column, or holds what is no number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            content = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{path} cannot be read as CSV ({error}).") from error
    if not content:
        raise BadFile(f"{path} has no rows.")
    key = next((name for name in ("sample", "file") if name in content[0]), None)
    columns = [name for name in content[0] if name not in ("sample", "file")]
    if key is None or not columns:
        raise BadFile(f"{path} needs a column `file` or `sample`, and one with scores; it has {', '.join(content[0])}.")
    rows, scores = [], {name: list[float]() for name in columns}
    for line, row in enumerate(content, start=2):
        try:
            rows.append(int(Path(row[key]).stem))
            for name in columns:
                scores[name].append(float(row[name]))
        except (TypeError, ValueError) as error:
            raise BadFile(f"{path}, line {line}: {error}. A row is a sample's number or file, and numbers.") from error
    if min(rows) < 0:
        raise BadFile(f"{path} scores sample {min(rows)}; samples are counted from 0.")
    return rows, {name: torch.tensor(values) for name, values in scores.items()}
