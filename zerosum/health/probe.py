"""Measuring a game at a snapshot: what its discriminator tells apart, and how generated samples lie among real ones.

Always the same real samples and the same noise, so that the numbers move with the networks alone. Training is not
disturbed: no global random number is drawn, and running statistics are put back. It takes tenths of a second; the
scores of `zerosum.metrics`, where they are measured, are better and go first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from zerosum.core.randomness import derive, permutation
from zerosum.data.spec import Batch, Store
from zerosum.training.translator import Translator

if TYPE_CHECKING:
    from zerosum.training.loop import Training

SAMPLES = 512
"""Training, held-out and generated samples; the standard error of an AUC of 0.5 is then 0.018."""
PIXELS = 512 * 3 * 32 * 32
"""Numbers in each of the three sets at most, so that large images do not take long."""
FEWEST = 64
"""Samples that are taken however large they are, and the fewest that precision and coverage say something about."""
SIDE = 16
"""Images are averaged down to at most so many pixels a side before they are compared with each other."""
SEARCHED = 10_000
"""Training samples that are searched for copies; of large images fewer, so that reading them does not take long."""
FEWEST_SEARCHED = 1_000
"""Training samples that are searched however large they are."""
NEIGHBOURS = 5
"""The k of precision and coverage here (Naeem et al. 2020 use 5 for the latter)."""
COPY = 1 / 3
"""A sample is a copy when its nearest training sample is so much nearer than the second nearest (Yoon et al. 2023)."""


class Probe:
    """The fixed real side, and what is measured against it.

    Attributes:
        sizes: how many "train", "held_out" and "generated" samples it takes.
    """

    def __init__(self, training: Training):
        data, key = training.dataset, training.dataset.spec.key
        part = min(1.0, PIXELS / (SAMPLES * math.prod(data.spec.shape)))
        n = max(FEWEST, round(SAMPLES * part))
        self.train = fixed(data.train, n, "train")
        self.held_out = fixed(data.test, n, "test") if data.test is not None and len(data.test) else None
        self.n = min(n, len(data.train))
        chosen = permutation(len(data.train), "health", "search")[: max(FEWEST_SEARCHED, round(SEARCHED * part))]
        self.searched = torch.cat([compact(data.train.fetch(piece)[key]) for piece in chosen.split(256)])
        held_out = compact(self.held_out[key]) if self.held_out is not None else torch.empty(0)
        self.real = held_out if len(held_out) >= FEWEST else compact(self.train[key])
        self.copied_real = copied(held_out, self.searched) if len(held_out) else None
        self.sizes = {"train": self.n, "held_out": len(held_out), "generated": self.n}

    def measure(self, training: Training) -> dict[str, float]:
        """All values by name; those that cannot be measured are left out.

        accuracy, auc: of the discriminator on held-out (else training) and generated samples, whatever its loss: the
            share told right by the best threshold on its logits, and how often a real one's logit is above a generated
            one's.
        accuracy_train, auc_train: the same on training and generated samples.
        auc_seen: how often the logit of a training sample is above that of a held-out one.
        logit_train, logit_held_out, logit_generated: means of the logits; overfitting: r_v of ADA, made from them.
        gap: real minus generated logits, in standard deviations within the two.
        spread: mean distance between generated samples over that between real ones.
        energy: energy distance of the two distributions (Székely and Rizzo 2013) in mean distances between real
            samples; 0 where they are the same.
        precision, coverage: generated samples near a real one, real samples with a generated one near them.
        copied, copied_real: share of generated and of held-out samples that are copies of training samples.
        augmentation: its probability p, where the run augments. All logits are then of images augmented as in training,
            by numbers that are always the same.
        """
        device = training.arena.device
        with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(derive("health", "probe"))
            generator = training.generator()
            if isinstance(generator, Translator) and training.dataset.test is not None:
                generator.ask(training.dataset.test)  # what it makes of training sources may well be training samples
            images = torch.cat(list(generator.tensors(self.n, seed=derive("health") % 2**31)))
            fake: Batch = {training.dataset.spec.key: images}
            label = generator.labels(self.n, seed=derive("health") % 2**31)
            if label is not None:
                fake["label"] = label
            if isinstance(generator, Translator):
                fake["source"] = generator.sources(0, self.n, derive("health") % 2**31).cpu()
            with training.game.augmenting():
                values = self._logits(training, fake)
            values |= self._samples(images)
        if training.game.augmentation is not None:
            values["augmentation"] = float(training.game.augmentation.p)
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def _logits(self, training: Training, fake: Batch) -> dict[str, float]:
        generated, train = critique(training, fake), critique(training, self.train)
        if generated is None or train is None:
            return {}
        held_out = critique(training, self.held_out) if self.held_out is not None else None
        real = train if held_out is None else held_out
        if not all(torch.isfinite(logits).all() for logits in (generated, train, real)):
            return {}
        deviation = ((real.var(correction=0) + generated.var(correction=0)) / 2).sqrt().clamp_min(1e-12)
        values = {
            "accuracy": accuracy(real, generated), "auc": auc(real, generated),
            "accuracy_train": accuracy(train, generated), "auc_train": auc(train, generated),
            "logit_train": float(train.mean()), "logit_generated": float(generated.mean()),
            "gap": float((real.mean() - generated.mean()) / deviation),
        }  # fmt: skip
        if held_out is not None:
            values |= {"logit_held_out": float(held_out.mean()), "auc_seen": auc(train, held_out)}
            values["overfitting"] = overfitting(train, held_out, generated)
        return values

    def _samples(self, images: Tensor) -> dict[str, float]:
        fake, real = compact(images), self.real
        if not torch.isfinite(fake).all():
            return {}
        between, among = torch.cdist(real, fake), torch.pdist(real).mean().clamp_min(1e-12)
        values = {
            "spread": float(torch.pdist(fake).mean() / among),
            "energy": float((2 * between.mean() - torch.pdist(fake).mean() - among) / among),
        }
        if len(real) >= FEWEST:
            radius = torch.cdist(real, real).kthvalue(NEIGHBOURS + 1, dim=1).values  # the nearest is the sample itself
            within = between <= radius[:, None]
            values |= {"precision": share(within.any(0)), "coverage": share(within.any(1))}
        if self.copied_real is not None:
            values |= {"copied": copied(fake, self.searched), "copied_real": self.copied_real}
        return values


def fixed(store: Store, n: int, name: str) -> Batch:
    """At most n samples of a store, always the same."""
    return store.fetch(permutation(len(store), "health", name)[:n])


def critique(training: Training, batch: Batch) -> Tensor | None:
    """The discriminator's logits (n,) on the CPU, in batches about as large as in training (batch statistics depend on
    it).
    """
    placed = training.arena.place(batch)
    pieces = -(-len(next(iter(batch.values()))) // training.game.batch_size)
    split = {name: value.tensor_split(pieces) for name, value in placed.items()}
    found = []
    for index in range(pieces):
        logits = training.game.critique({name: parts[index] for name, parts in split.items()})
        if logits is None:
            return None
        found.append(logits.float().cpu())
    return torch.cat(found)


def compact(images: Tensor) -> Tensor:
    """Samples as vectors (n, d) float32 on the CPU: points as they are, images averaged down."""
    if images.dim() == 4 and max(images.shape[2:]) > SIDE:
        images = F.adaptive_avg_pool2d(images, (min(SIDE, images.shape[2]), min(SIDE, images.shape[3])))
    return images.float().flatten(1).cpu()


def auc(higher: Tensor, lower: Tensor) -> float:
    """The share of pairs in which the first logit (n,) is above the second (m,), ties counted half: 1/2 means "cannot
    tell".

    The area under the ROC curve: it is the same for any increasing function of the logits, so it means the same for a
    logistic, a hinge, a Wasserstein or a relativistic discriminator.
    """
    difference = higher[:, None] - lower[None, :]
    return float((difference > 0).double().mean() + 0.5 * (difference == 0).double().mean())


def accuracy(real: Tensor, fake: Tensor) -> float:
    """The share told right, both kinds counting equally, by the threshold that tells most: 1/2 to 1, a little above by
    chance.
    """
    real, fake = real.sort().values, fake.sort().values
    thresholds = torch.cat([real, fake])
    taken = 1 - torch.searchsorted(real, thresholds).double() / len(real)
    refused = torch.searchsorted(fake, thresholds).double() / len(fake)
    return float(((taken + refused) / 2).max())


def overfitting(train: Tensor, held_out: Tensor, generated: Tensor) -> float:
    """ADA's r_v (Karras et al. 2020, equation 1) from logits, limited to -2 to 2, where its denominator goes to zero.

    A discriminator that ranks held-out samples below training ones and these below generated ones gets the limit.
    """
    gap, whole = float(train.mean() - held_out.mean()), float(train.mean() - generated.mean())
    if whole <= 0:
        return 2.0 if gap > 0 else 0.0
    return max(-2.0, min(gap / whole, 2.0))


def copied(samples: Tensor, train: Tensor) -> float:
    """Share of `samples` (n, d) whose nearest of `train` (m, d) is less than a third as far as the second nearest."""
    if len(train) < 2:
        return math.nan
    nearest = torch.cdist(samples, train).topk(2, dim=1, largest=False).values
    return share(nearest[:, 0] <= COPY * nearest[:, 1])


def share(where: Tensor) -> float:
    """The share of True."""
    return float(where.double().mean())
