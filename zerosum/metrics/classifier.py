"""A small classifier that zerosum trains once on a data set's own labels, and measures generators of that data with.

It needs no download: its penultimate layer is a feature space that knows the data, and its predictions count the
classes that a generator makes. Weights and facts (accuracy on held-out samples, size ...) are kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.progress import Progress
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadData, BadFile
from zerosum.core.files import read_json, write_bytes, write_json
from zerosum.core.randomness import derive, generator
from zerosum.data.builtin import cache_folder
from zerosum.data.spec import Dataset, Store

VERSION = 1
"""Raised whenever the network or its training changes, so that old caches are not mistaken for new ones."""
LARGEST = 64
"""Images with a longer side are reduced to this many pixels by averaging (box filter) before the first layer."""


@dataclass(frozen=True)
class Facts:
    """What is stated beside every score that rests on a classifier."""

    accuracy: float | None
    """Share of the held-out samples classified correctly; None where the data has no held-out samples."""
    weights_sha256: str
    shape: tuple[int, ...]
    classes: int
    n_train: int
    n_test: int
    samples: int
    """Training samples shown, repetitions counted."""
    seconds: float
    seed: int
    torch: str
    version: int = VERSION


class Network(nn.Module):
    """Four 3x3 convolutions with batch normalisation, mean over positions, one linear layer.

    Takes float images (n, c, h, w) in [-1, 1]; `vectors` gives (n, 128) float32, `forward` logits (n, classes).
    """

    SIZE = 128

    def __init__(self, shape: tuple[int, ...], classes: int):
        super().__init__()
        channels, height, width = shape
        scale = max(1.0, max(height, width) / LARGEST)
        self.input_size = (max(1, round(height / scale)), max(1, round(width / scale)))
        side = min(self.input_size)
        layers: list[nn.Module] = []
        for inputs, outputs in [(channels, 32), (32, 64), (64, self.SIZE), (self.SIZE, self.SIZE)]:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]
            if side >= 6 and outputs != inputs:
                layers, side = [*layers, nn.MaxPool2d(2)], side // 2
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on CPUs
        self.head = nn.Linear(self.SIZE, classes)

    def vectors(self, images: Tensor) -> Tensor:
        """(n, 128) features: the mean over positions of the last convolution."""
        if images.shape[2:] != self.input_size:
            images = F.adaptive_avg_pool2d(images, self.input_size)
        return self.convolutions(images.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.vectors(images))


def cached(dataset: Dataset, seed: int = 0) -> tuple[Network, Facts]:
    """The classifier of `dataset` from the cache; trained and put there first if it is not in it.

    Every process of a job may call this: files appear in one piece, and all processes train the same weights.
    Raises BadData for data without at least two labelled classes, or that is not images.
    """
    check(dataset)
    weights = cache_path(dataset, seed)
    facts_path = weights.with_suffix(".json")
    if weights.exists() and facts_path.exists():
        return read(weights, facts_path, dataset)
    network, facts, content = fit(dataset, seed)
    write_bytes(weights, content)
    write_json(facts_path, asdict(facts))  # written last: its presence says that the weights are whole
    return network, facts


def check(dataset: Dataset) -> None:
    """Raise BadData unless a classifier can be trained on `dataset`."""
    if dataset.spec.kind != "image":
        raise BadData(f"{dataset.name}: a classifier is for images; these are {dataset.spec.kind}.")
    if dataset.spec.classes < 2 or dataset.train.labels is None:
        raise BadData(
            f"{dataset.name}: a classifier needs labels of at least 2 classes; this data has {dataset.spec.classes}. "
            "Give labels with --data.labels, or measure with --features pixels or --features inception."
        )


def cache_path(dataset: Dataset, seed: int = 0) -> Path:
    """Where the classifier of `dataset` is kept: `$ZEROSUM_CACHE` (default ~/.cache/zerosum)/classifiers/..."""
    shape = "x".join(map(str, dataset.spec.shape))
    suffix = f"-seed{seed}" if seed else ""
    return cache_folder() / "classifiers" / f"{dataset.fingerprint}-{shape}{suffix}-v{VERSION}.safetensors"


def read(weights: Path, facts_path: Path, dataset: Dataset) -> tuple[Network, Facts]:
    """A classifier from its two files. Raises BadFile when they do not belong together or to this data."""
    stored = read_json(facts_path)
    try:
        facts = Facts(**{**stored, "shape": tuple(stored["shape"])})
        network = Network(dataset.spec.shape, dataset.spec.classes)
        network.load_state_dict(load_file(weights))
        whole = hashlib.sha256(weights.read_bytes()).hexdigest() == facts.weights_sha256
    except Exception as error:
        raise BadFile(f"the cached classifier {weights} cannot be read ({error}): delete it.") from error
    if not whole:
        raise BadFile(f"the cached classifier {weights} is not the one {facts_path.name} describes: delete both files.")
    return network.eval().requires_grad_(False), facts


def fit(dataset: Dataset, seed: int = 0) -> tuple[Network, Facts, bytes]:
    """Train a classifier on the training split. The caller's random state is left as it was.

    Returns the network in evaluation mode, its facts, and its weights as the content of a safetensors file.
    """
    check(dataset)
    began = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "classifier"))
        network = Network(dataset.spec.shape, dataset.spec.classes)
    samples = length(dataset)
    with torch.enable_grad():
        descend(network, dataset, samples, seed)
    network.eval().requires_grad_(False)
    content = save({name: value.contiguous() for name, value in network.state_dict().items()})
    facts = Facts(
        accuracy=None if dataset.test is None else accuracy(network, dataset.test),
        weights_sha256=hashlib.sha256(content).hexdigest(),
        shape=tuple(dataset.spec.shape),
        classes=dataset.spec.classes,
        n_train=len(dataset.train),
        n_test=0 if dataset.test is None else len(dataset.test),
        samples=samples,
        seconds=round(time.monotonic() - began, 2),
        seed=seed,
        torch=torch.__version__,
    )
    return network, facts, content


def length(dataset: Dataset) -> int:
    """Training samples to show: 3 passes over grey images, 8 over colour ones; between 40,000 and 500,000 in all."""
    passes = 3 if dataset.spec.shape[0] == 1 else 8
    return min(max(passes * len(dataset.train), 40_000), 500_000)


def descend(network: Network, dataset: Dataset, samples: int, seed: int, batch_size: int = 256) -> None:
    """One-cycle training (Smith and Topin 2017) of `network` in place, with AdamW and shifted images.

    They are never mirrored, not even where the training of a generator does: one data set has one classifier.
    """
    store, labels = dataset.train, dataset.train.labels
    assert labels is not None
    batch_size = min(batch_size, max(16, len(store) // 16))
    steps = math.ceil(samples / batch_size)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=5e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps, pct_start=0.25)
    random = generator("cpu", seed, "classifier", "batches")
    order = torch.empty(0, dtype=torch.int64)
    with Progress(transient=True) as bar:
        task = bar.add_task(f"Training the classifier of {dataset.name} (once)", total=steps)
        for _ in range(steps):
            if len(order) < batch_size:
                order = torch.cat([order, torch.randperm(len(store), generator=random)])
            chosen, order = order[:batch_size], order[batch_size:]
            images = shift(store.fetch(chosen)["image"].cpu(), random)
            with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
                loss = F.cross_entropy(network(images), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.advance(task)


def shift(images: Tensor, random: torch.Generator) -> Tensor:
    """Each image of (n, c, h, w) moved by up to an eighth of its side in both directions, its border repeated."""
    n, _, height, width = images.shape
    pad_y, pad_x = height // 8, width // 8
    padded = F.pad(images, (pad_x, pad_x, pad_y, pad_y), mode="replicate")
    dy = torch.randint(2 * pad_y + 1, (n,), generator=random)
    dx = torch.randint(2 * pad_x + 1, (n,), generator=random)
    return padded.unfold(2, height, 1).unfold(3, width, 1)[torch.arange(n), :, dy, dx]


def fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; elsewhere autocast would only cost accuracy."""
    # torch has no public name for this before 2.9
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@torch.no_grad()
def accuracy(network: Network, store: Store, batch_size: int = 1000) -> float:
    """Share of the samples in `store` whose label the network gives the highest logit."""
    assert store.labels is not None
    right = 0
    for indices in torch.arange(len(store)).split(batch_size):
        logits = network(store.fetch(indices)["image"].cpu())
        right += int((logits.argmax(1) == store.labels[indices]).sum())
    return right / len(store)
