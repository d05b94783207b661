"""The real side of a measurement, and the comparison of generated samples with it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerosum.core.errors import BadData, BadOption
from zerosum.core.randomness import permutation
from zerosum.data.spec import Dataset, Store
from zerosum.metrics import statistics
from zerosum.metrics.features import Extractor, Features, choose, extract
from zerosum.metrics.neighbours import DENSITY_NEIGHBOURS, PRECISION_NEIGHBOURS, Copies, copies, neighbourhoods
from zerosum.metrics.points import MODES, point_scores
from zerosum.training.translator import Translator

if TYPE_CHECKING:
    from zerosum.training.generator import TrainedGenerator

NEIGHBOURS_FROM = 5000
"""Precision, recall, density, coverage and copies take at most so many samples of a kind."""
MISSING_BELOW = 0.05
"""A class counts as missing when it is predicted for less than this part of its share in the data."""
FEWEST = 2 * (DENSITY_NEIGHBOURS + 1)
"""Samples whose halves can be compared."""
REFERENCES_KEPT = 4


def compare(
    real: Features, fake: Features, *, full: bool = True, inception: bool = False, seed: int = 0
) -> dict[str, float]:
    """Scores of the features of generated samples (m) against those of real ones (n), no labels needed.

    Args:
        real: features of real samples, in random order: neighbour scores take the first 5,000.
        fake: features of generated samples, likewise.
        full: False leaves out KID, density and the class score, which are of little use while training.
        inception: whether the features are Inception-v3's, so that the class score may be called the Inception score.
        seed: of the subsets that KID and the class score draw.
    """
    near = neighbourhoods(real.vectors[:NEIGHBOURS_FROM], fake.vectors[:NEIGHBOURS_FROM])
    values = {"fd": statistics.frechet(real.vectors, fake.vectors)}
    if full:
        values["kid"], values["kid_std"] = statistics.kernel(real.vectors, fake.vectors, seed)
        if fake.probabilities is not None:
            key = "is" if inception else "class_score"
            values[key], values[f"{key}_std"] = statistics.class_score(fake.probabilities, seed)
    values |= {"precision": near.precision, "recall": near.recall}
    if full:
        values["density"] = near.density
    values["coverage"] = near.coverage
    values["spread"] = statistics.spread(fake.vectors) / max(statistics.spread(real.vectors), 1e-12)
    return values


class Reference:
    """The real side of a measurement: features of training and held-out samples, made when first needed and kept."""

    def __init__(self, dataset: Dataset, extractor: Extractor, reason: str, n: int, seed: int):
        self.dataset, self.extractor, self.reason, self.seed = dataset, extractor, reason, seed
        self.order = permutation(len(dataset.train), seed, "measure", "train")
        self.n = min(n, len(self.order))
        self.test = dataset.test if dataset.test is not None and len(dataset.test) >= FEWEST else None
        """Held-out samples, where there are enough to be measured."""

    def features(self, store: Store, indices: Tensor) -> Features:
        """Features of the samples of `store` at `indices`."""
        return extract(self.extractor, (store.fetch(part)["image"] for part in indices.split(256)))

    @cached_property
    def train(self) -> Features:
        """Features of n random training samples."""
        return self.features(self.dataset.train, self.order[: self.n])

    @cached_property
    def held_out(self) -> Features:
        """Features of at most n samples to be compared with `train`: held-out ones, else the second half of `train`."""
        if self.test is None:
            return self.train[self.n // 2 :]
        order = permutation(len(self.test), self.seed, "measure", "test")
        return self.features(self.test, order[: self.n])

    def compare(self, real: Features, fake: Features) -> dict[str, float]:
        """All scores of `compare`, with this seed."""
        return compare(real, fake, inception=self.extractor.name == "inception", seed=self.seed)

    @cached_property
    def floor(self) -> dict[str, float]:
        """`compare` of held-out samples against equally many training samples."""
        size = min(len(self.held_out), self.n if self.test is not None else self.n // 2)
        return self.compare(self.train[:size], self.held_out[:size])

    def floor_stated(self) -> str:
        """How the floor was made, in words."""
        if self.test is None:
            few = f" ({len(self.dataset.test)} held-out ones are too few)" if self.dataset.test else ""
            return f"two halves of the training samples, {self.n // 2:,} each{few}"
        size = min(self.n, len(self.held_out))
        return f"{size:,} held-out against {size:,} training samples"

    @cached_property
    def searched(self) -> Tensor:
        """Indices of the training samples that are searched for near copies: all of them where that is affordable."""
        if self.test is None:
            return self.order[: self.n // 2]
        return self.order[: max(self.n, self.extractor.affordable)]

    @cached_property
    def search_features(self) -> Tensor:
        """(m, d) features of the samples at `searched`."""
        if len(self.searched) <= self.n:
            return self.train.vectors[: len(self.searched)]
        rest = self.features(self.dataset.train, self.searched[self.n :])
        return torch.cat([self.train.vectors, rest.vectors])

    @cached_property
    def class_shares(self) -> Tensor:
        """(classes,) how often each label occurs in the training split, summing to 1."""
        assert self.dataset.train.labels is not None
        counts = torch.bincount(self.dataset.train.labels, minlength=self.dataset.spec.classes)
        return counts.double() / counts.sum()

    def class_values(self, fake: Features, asked: Tensor | None = None) -> tuple[dict[str, float], dict[str, Any]]:
        """Class histogram of generated samples against the data's, by the data's own classifier: values and details.

        With the labels `asked` (m,) for, also the share of samples that the classifier finds to be what they should.
        """
        if self.extractor.name != "classifier" or fake.probabilities is None:
            return {}, {}
        counts = torch.bincount(fake.probabilities.argmax(1), minlength=self.dataset.spec.classes)
        expected = self.class_shares * len(fake)
        missing = (counts < MISSING_BELOW * expected).nonzero().flatten().tolist()
        values = {"class_kl": statistics.divergence(counts, self.class_shares), "missing_classes": float(len(missing))}
        if asked is not None:
            values["conditional_accuracy"] = float((fake.probabilities.argmax(1) == asked.cpu()).double().mean())
        return values, {"class_counts": counts.tolist(), "missing": [self.class_name(index) for index in missing]}

    def mode_values(self, fake: Features) -> dict[str, float]:
        """How the modes of the built-in point sets are covered; nothing for other data."""
        known = MODES.get(self.dataset.name) if self.dataset.spec.kind == "points" else None
        return {} if known is None else point_scores(fake.vectors, known)

    def class_name(self, index: int) -> str:
        """The name of a class, or its number."""
        names = self.dataset.class_names
        return names[index] if index < len(names) else str(index)

    def class_distances(self, fake: Features, asked: Tensor | None) -> dict[str, float]:
        """Fréchet distance within each class with at least 2 samples on both sides, by name.

        Generated samples belong to the class `asked` (m,) for, or where nothing was asked for, to the predicted one.
        """
        if self.extractor.name != "classifier" or fake.probabilities is None or self.dataset.train.labels is None:
            raise BadOption(
                f"scores per class need labelled data and --features classifier; "
                f"{self.dataset.name} is measured with {self.extractor.name}."
            )
        made = fake.probabilities.argmax(1) if asked is None else asked
        labels = self.dataset.train.labels[self.order[: self.n]]
        found = {}
        for index in range(self.dataset.spec.classes):
            real_part, fake_part = self.train.vectors[labels == index], fake.vectors[made == index]
            if min(len(real_part), len(fake_part)) >= 2:
                found[self.class_name(index)] = statistics.frechet(real_part, fake_part)
        return found

    def copies(self, fake: Features) -> Copies:
        """Near copies among (at most 5,000 of) the generated samples; sources are indices of the training split."""
        held_out = self.held_out.vectors[:NEIGHBOURS_FROM]
        found = copies(fake.vectors[:NEIGHBOURS_FROM], self.search_features, held_out)
        return Copies(found.share, found.ratio, found.suspects, self.searched[found.sources].tolist())

    def protocol(self, n_fake: int) -> dict[str, Any]:
        """All that has to be stated beside the scores."""
        extractor, dataset = self.extractor, self.dataset
        return {
            "extractor": extractor.name,
            "weights_sha256": extractor.weights_sha256,
            "feature_size": extractor.size,
            "classifier_accuracy": extractor.accuracy,
            "reason": self.reason,
            "resize": extractor.resize,
            "colours": extractor.colours,
            "quantised": "uint8" if dataset.spec.kind == "image" else "no",
            "n_real": self.n,
            "n_fake": n_fake,
            "n_neighbours": min(NEIGHBOURS_FROM, self.n, n_fake),
            "n_searched_for_copies": len(self.searched),
            "neighbours": {"precision, recall": PRECISION_NEIGHBOURS, "density, coverage": DENSITY_NEIGHBOURS},
            "kid_subsets": statistics.KID_SUBSETS,
            "kid_subset_size": statistics.kernel_subset(self.n, n_fake),
            "split": "train",
            "floor": self.floor_stated(),
            "seed": self.seed,
            "data": dataset.name,
            "fingerprint": dataset.fingerprint,
            "shape": list(dataset.spec.shape),
            "versions": versions(),
        }


def versions() -> dict[str, str]:
    """Versions of the libraries that the numbers rest on."""
    found: dict[str, str] = {"torch": str(torch.__version__)}
    for name in ("zerosum", "torch-fidelity", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
            found[name] = "not installed"
    return found


_references: dict[tuple[str, str, Path | None, int, int], Reference] = {}


def reference(
    dataset: Dataset, features: str = "auto", n: int = 10_000, seed: int = 0, weights: Path | None = None
) -> Reference:
    """The real side for these settings; the last 4 are kept, so that snapshots of one training compute it once."""
    if n < FEWEST:
        raise BadOption(f"scores from n = {n} samples mean nothing: give at least {FEWEST}, better thousands.")
    enough(dataset)
    key = (dataset.fingerprint, features, weights, n, seed)
    if key not in _references:
        extractor, reason = choose(features, dataset, weights)
        while len(_references) >= REFERENCES_KEPT:
            del _references[next(iter(_references))]
        _references[key] = Reference(dataset, extractor, reason, n, seed)
    return _references[key]


def enough(dataset: Dataset) -> None:
    """Check that there are samples to be measured. Raises BadData."""
    if len(dataset.train) < FEWEST:
        raise BadData(
            f"{dataset.name} has {len(dataset.train)} training samples; scores need at least {FEWEST}. "
            "Give more, or train without scores: --features none."
        )


def generated(generator: TrainedGenerator, real: Reference, n: int) -> Features:
    """Features of n samples of `generator`; of fewer where it translates, and more would be repetitions."""
    made, held = tuple(generator.spec.shape), tuple(real.dataset.spec.shape)
    if made != held:
        raise BadOption(
            f"the generator makes samples of shape {made}, but {real.dataset.name} holds {held}: give the data that "
            "it was trained on, or bring it to that shape with --data.resolution and --data.channels."
        )
    count = generator.distinct(n) if isinstance(generator, Translator) else n
    return extract(real.extractor, checked(generator.tensors(count, seed=real.seed)))


def checked(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """The batches as they come. Raises BadData at the first value that is not finite."""
    for images in batches:
        if not torch.isfinite(images).all():
            raise BadData("the generator makes values that are not finite; it diverged. Take an earlier checkpoint.")
        yield images
