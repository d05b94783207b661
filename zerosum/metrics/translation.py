"""How true translations are where there is one right answer: on held-out pairs, beside answers that took no learning;
and how much several answers to one source differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.data.spec import Dataset, Store
from zerosum.data.stores import Sources
from zerosum.metrics import statistics
from zerosum.metrics.features import Extractor, Features, extract, quantise, to_rgb
from zerosum.metrics.quality import TOP, WINDOW, Protocol, diversity, prepared, psnr, ssim
from zerosum.objectives.degradations import enlarge
from zerosum.training.translator import Translator

COMPARED = 500
"""Pairs that are compared at most."""
SEARCHED, SMALL = 5_000, 16
"""Training sources that are searched for the nearest, averaged down to so many pixels a side."""
SOURCES, ANSWERS = 50, 5
"""Sources whose answers are compared with each other, and answers to each."""
FEWEST = 10
"""Held-out sources below which distributions are measured on training sources."""


def asked(generator: Translator, dataset: Dataset) -> Translator:
    """The generator, told to translate the held-out sources of a data set, or, where there are fewer than 10, the
    training ones.

    Raises:
        BadOption: the data has no sources for it.
    """
    if generator.pose is None and dataset.spec.source is None:
        raise BadOption(
            f"the generator translates images, but {dataset.name} tells no sources: give --data.source as in training."
        )
    held_out = dataset.test
    if held_out is None or len(held_out if generator.pose is not None else Sources(held_out)) < FEWEST:
        return generator.ask(dataset.train)
    return generator.ask(held_out)


def measure(
    generator: Translator, dataset: Dataset, extractor: Extractor, real: Features, seed: int = 0
) -> tuple[dict[str, float], dict[str, float], dict[str, Any]]:
    """What can be measured of a translator besides distributions: values, what a perfect one would get, and protocol.

    Args:
        generator: of which held-out (else training) samples are asked.
        dataset: that it was trained on, or another with sources.
        extractor: the features in which several answers to one source are compared.
        real: features of real images.
        seed: of z, and of the sources where they are made.

    Returns:
        psnr, ssim, l1 and sharpness, the first three also with _source (the source in place of the answer, enlarged
        bicubically) and _nearest (the answer to that training source which is nearest), and diversity; what does not
        apply is left out.
    """
    values, floor, protocol = dict[str, float](), dict[str, float](), dict[str, Any]()
    if generator.paired and (generator.pose is not None or dataset.spec.paired):
        values, protocol = truth(generator, dataset, seed)
        floor = {"ssim": 1.0, "l1": 0.0, "sharpness": 1.0}
    if generator.latent.size:
        asked(generator, dataset)
        values["diversity"] = differences(generator, extractor, real, seed)
        protocol |= {"diversity": f"{ANSWERS} answers to each of at most {SOURCES} sources"}
    return values, {key: floor[key] for key in values if key in floor}, protocol


def truth(generator: Translator, dataset: Dataset, seed: int = 0) -> tuple[dict[str, float], dict[str, Any]]:
    """Values and protocol of the comparison with the right answers, on at most 500 held-out (else training) pairs."""
    store = dataset.train if dataset.test is None else dataset.test
    generator.ask(store)
    count, sums = min(COMPARED, len(store)), dict[str, float]()
    how = Protocol("y", generator.scale) if generator.scale > 1 else Protocol("rgb", 0)
    library = Library(dataset.train) if generator.pose is None and store is not dataset.train else None
    for source, made, right in compared(generator, store, count, seed):
        answers = {"": made, "_source": unchanged(source, generator)}
        if library is not None:
            answers["_nearest"] = library.nearest(source)
        for suffix, images in answers.items():
            for key, value in rows(images, right, how).items():
                sums[key + suffix] = sums.get(key + suffix, 0.0) + value
    split = "train" if store is dataset.train else "held-out"
    order = [key + suffix for key in ("psnr", "ssim", "l1") for suffix in ("", "_source", "_nearest")]
    values = {key: sums[key] / count for key in order if key in sums}
    values["sharpness"] = sums["edges"] / sums["right_edges"] if sums["right_edges"] else math.nan
    return values, {"pairs": count, "pairs_split": split, "fidelity": asdict(how), "ssim": "of luma"}


@torch.no_grad()
def compared(generator: Translator, store: Store, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(source, answer, right answer), each (n, c, h, w) on the CPU, of the first `count` samples."""
    indices = torch.arange(count)
    label = None if store.labels is None or not generator.conditional else store.labels[indices]
    given = None if label is None else {"label": label}
    start = 0
    for made in generator.tensors(count, given=given, seed=seed):
        part = indices[start : start + len(made)]
        source = generator.sources(start, len(made), seed)
        yield source.cpu(), made.cpu(), store.fetch(part)["image"].cpu()
        start += len(made)


def unchanged(source: Tensor, generator: Translator) -> Tensor:
    """Sources (n, c', h', w') in place of answers (n, c, h, w): with as many channels, enlarged bicubically."""
    channels = generator.spec.shape[0]
    kept = source.expand(-1, channels, -1, -1) if source.shape[1] == 1 else source[:, :channels]
    return enlarge(kept, generator.scale) if generator.scale > 1 else kept


def rows(images: Tensor, right: Tensor, how: Protocol) -> dict[str, float]:
    """Sums over images (n, c, h, w) in [-1, 1] compared with the right ones: psnr, l1, the strengths of edges, and,
    where its window fits, ssim (of luma, as customary, and ten times faster).
    """
    found, luma = dict.fromkeys(("psnr", "l1", "edges", "right_edges"), 0.0), replace(how, colours="y")
    for one, other in zip(to_rgb(quantise(images)), to_rgb(quantise(right)), strict=True):
        a, b = prepared(one, how), prepared(other, how)
        found["psnr"] += psnr(a, b)
        found["l1"] += float((a - b).abs().mean()) / TOP
        found["edges"] += edges(a)
        found["right_edges"] += edges(b)
        if min(a.shape[1:]) >= WINDOW:
            found["ssim"] = found.get("ssim", 0.0) + ssim(prepared(one, luma), prepared(other, luma))
    return found


def edges(image: Tensor) -> float:
    """Squared differences of neighbouring pixels of (c, h, w), added up."""
    return sum(float(image.diff(dim=axis).square().sum()) for axis in (1, 2))


class Library:
    """Training pairs, to be looked up by their sources: what memory alone achieves."""

    def __init__(self, store: Store):
        self.store = store
        indices = torch.arange(min(SEARCHED, len(store)))
        self.sources = torch.cat([small(store.fetch(part)["source"]) for part in indices.split(256)])

    def nearest(self, source: Tensor) -> Tensor:
        """The images (n, c, h, w) that belong to the nearest sources, by the mean square of small versions."""
        return self.store.fetch(torch.cdist(small(source), self.sources).argmin(1))["image"].cpu()


def small(images: Tensor) -> Tensor:
    """(n, c, h, w) averaged down to (n, c * 16 * 16), on the CPU."""
    return F.adaptive_avg_pool2d(images.cpu().float(), (SMALL, SMALL)).flatten(1)


def differences(generator: Translator, extractor: Extractor, real: Features, seed: int = 0) -> float:
    """The mean distance between answers to the same source, relative to that between real images; 0: z is ignored."""
    assert generator.store is not None
    count = min(SOURCES, len(generator.store))
    label = generator.labels(count, seed=seed)
    given = None if label is None else {"label": label}
    answers = [extract(extractor, generator.tensors(count, given=given, seed=seed + number)).vectors
               for number in range(ANSWERS)]  # fmt: skip
    between = statistics.spread(real.vectors)
    return diversity(torch.stack(answers, 1).double()) / between if between else math.nan
