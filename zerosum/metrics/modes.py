"""Stacked MNIST: how many of the 1,000 combinations of three digits a generator makes.

The protocol of VEEGAN (Srivastava et al. 2017, arXiv:1705.07761) and PacGAN (Lin et al. 2018, arXiv:1712.04086, section
4.2): 26,000 samples, a classifier of MNIST on each of the three channels, the number of modes, the reverse KL.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core.errors import BadData, BadOption
from zerosum.data.spec import Dataset
from zerosum.metrics import classifier
from zerosum.metrics.features import quantise
from zerosum.metrics.reference import checked, versions
from zerosum.metrics.scores import Scores
from zerosum.metrics.statistics import divergence

if TYPE_CHECKING:
    from zerosum.training.generator import TrainedGenerator

SAMPLES = 26_000
CHANNELS = 3


def count_modes(batches: Iterable[Tensor], network: classifier.Network, digits: int = 10) -> Tensor:
    """(digits ** 3,) int64: how often each combination occurs in float batches (n, 3, h, w) in [-1, 1].

    Images are quantised to uint8, and averaged or interpolated to the classifier's size where theirs is another.
    """
    counts = torch.zeros(digits**CHANNELS, dtype=torch.int64)
    with torch.no_grad():
        for images in batches:
            grey = quantise(images).flatten(0, 1)[:, None].float() / 127.5 - 1
            if grey.shape[2:] != network.input_size:
                grey = F.interpolate(grey, network.input_size, mode="bilinear", antialias=True)
            digit = network.to(grey.device)(grey).argmax(1).view(-1, CHANNELS).cpu()
            place = digits ** torch.arange(CHANNELS - 1, -1, -1)
            counts += torch.bincount((digit * place).sum(1), minlength=len(counts))
    return counts


def mode_scores(counts: Tensor) -> dict[str, float]:
    """From `counts` (k,): "modes" that occur at all, and "mode_kl", KL(generated || uniform) in nats ("reverse KL")."""
    return {"modes": float((counts > 0).sum()), "mode_kl": divergence(counts, torch.ones_like(counts))}


def evaluate_modes(
    generator: TrainedGenerator, dataset: Dataset, mnist: Dataset, *, n: int = SAMPLES, seed: int = 0
) -> Scores:
    """Count the modes of a generator of stacked MNIST.

    Args:
        generator: makes images (3, h, w).
        dataset: the stacked data, of whose training samples as many make the floor.
        mnist: the labelled grey digits that the classifier is trained on; its other labelled 10-class kin work as well.
        n: generated samples; 26,000 in the literature. Fewer find fewer modes, so the number is part of the protocol.
        seed: of the generated samples.

    Raises:
        BadOption: a generator that does not make images of three channels.
        BadData: digits without labels, or not grey.
    """
    for spec, which in [(generator.spec, "the generator"), (dataset.spec, dataset.name)]:
        if spec.kind != "image" or spec.shape[0] != CHANNELS:
            raise BadOption(f"modes are counted over three stacked digits; {which} has {spec.kind} {spec.shape}.")
    if mnist.spec.shape[0] != 1:
        raise BadData(f"{mnist.name} has {mnist.spec.shape[0]} channels; the classifier of digits needs grey images.")
    network, facts = classifier.cached(mnist)
    digits = mnist.spec.classes
    store = dataset.train
    held_out = (store.fetch(part)["image"] for part in torch.arange(min(n, len(store))).split(256))
    protocol = {
        "extractor": "classifier", "weights_sha256": facts.weights_sha256, "classifier_accuracy": facts.accuracy,
        "reason": f"{mnist.name} classifier on each channel", "resize": "bilinear, antialiased, where sizes differ",
        "quantised": "uint8", "n_fake": n, "n_real": 0, "split": "equal shares of all combinations", "seed": seed,
        "floor": f"{min(n, len(store)):,} real training samples",
        "data": dataset.name, "fingerprint": dataset.fingerprint, "shape": list(dataset.spec.shape),
        "versions": versions(),
    }  # fmt: skip
    values = mode_scores(count_modes(checked(generator.tensors(n, seed=seed)), network, digits))
    return Scores(values, mode_scores(count_modes(held_out, network, digits)), protocol)
