"""Feature extractors: they turn images into the vectors that scores compare. Each says what a protocol must state."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadFile, BadOption
from zerosum.core.vision import load
from zerosum.data.spec import Dataset
from zerosum.metrics import classifier
from zerosum.metrics.dinov2 import VisionTransformer

NAMES = ("auto", "inception", "dinov2", "classifier", "pixels")
INCEPTION_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)
DINOV2_URL = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth"


@dataclass(frozen=True)
class Features:
    """What an extractor makes of n images, on the CPU."""

    vectors: Tensor
    """(n, d) float32."""
    probabilities: Tensor | None = None
    """(n, k) float32, rows sum to 1: the class predictions, where the extractor has any."""

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, chosen: Tensor | slice) -> Features:
        """The features of some of the images."""
        return Features(self.vectors[chosen], None if self.probabilities is None else self.probabilities[chosen])


class Extractor(Protocol):
    """A feature space with what must be stated about it. Runs on the device that the images are on."""

    @property
    def name(self) -> str:
        """What `choose` calls it."""

    @property
    def weights_sha256(self) -> str | None:
        """sha256 of the weights file; None where nothing was learned."""

    @property
    def size(self) -> int:
        """Components of a vector."""

    @property
    def resize(self) -> str:
        """How images reach the size that the network takes."""

    @property
    def colours(self) -> str:
        """How images reach the channels that the network takes."""

    @property
    def affordable(self) -> int:
        """How many training samples are searched for near copies: fewer where a feature is expensive."""

    @property
    def accuracy(self) -> float | None:
        """Accuracy on held-out samples, of a classifier of the data's own labels; None of anything else."""

    def __call__(self, images: Tensor) -> Features:
        """Features of uint8 images (n, c, h, w)."""
        ...


def quantise(images: Tensor) -> Tensor:
    """Float images in [-1, 1] as the uint8 that a file would hold: rounded to 256 levels, clipped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_rgb(images: Tensor) -> Tensor:
    """uint8 (n, 3, h, w) from 1 (grey), 2 (grey, alpha), 3 or 4 (RGBA) channels: grey repeated, alpha over white."""
    channels = images.shape[1]
    if channels in (2, 4):
        alpha = images[:, -1:].float() / 255
        images = (images[:, :-1].float() * alpha + 255 * (1 - alpha)).round().to(torch.uint8)
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def colours_stated(channels: int) -> str:
    """What `to_rgb` does to images of so many channels, in words."""
    return {1: "grey repeated to RGB", 2: "grey over white, repeated to RGB", 3: "RGB", 4: "RGBA over white"}[channels]


def extract(extractor: Extractor, batches: Iterable[Tensor]) -> Features:
    """Features of float batches (images in [-1, 1], quantised to uint8 first; or points), put together on the CPU."""
    points = extractor.name == Coordinates.name
    with torch.no_grad():
        parts = [extractor(images if points else quantise(images)) for images in batches]
    predicted = [part.probabilities for part in parts if part.probabilities is not None]
    return Features(torch.cat([part.vectors for part in parts]), torch.cat(predicted) if predicted else None)


class Coordinates:
    """Points (n, d) as they are."""

    name, weights_sha256, accuracy, affordable = "coordinates", None, None, 60_000
    resize, colours = "none", "none"

    def __init__(self, size: int):
        self.size = size

    def __call__(self, images: Tensor) -> Features:
        return Features(images.float().cpu())


class Inception:
    """Inception-v3 of the original FID code (weights of 2015-12-05), resize as in TensorFlow 1, by torch-fidelity.

    Vectors are the 2048 pool features; probabilities come from the logits without bias, as in the Inception score.
    `weights` is a local copy of torch-fidelity's weights file; without it the file is downloaded once.
    """

    name, size, accuracy, affordable = "inception", 2048, None, 10_000
    resize = "bilinear to 299x299 as in TensorFlow 1 (torch-fidelity)"

    def __init__(self, weights: Path | None, channels: int):
        path = weights or downloaded(INCEPTION_URL, "6726825d", "inception")
        self.weights_sha256, self.colours = sha256(path), colours_stated(channels)
        module = load("torch_fidelity.feature_extractor_inceptionv3")
        with safe_copy(path, "Inception-v3 weights of torch-fidelity") as checked:
            self.network = module.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(checked)
            )

    def __call__(self, images: Tensor) -> Features:
        vectors, probabilities = [], []
        for part in to_rgb(images).split(64):
            pooled, logits = self.network.to(part.device)(part)
            vectors.append(pooled.float().cpu())
            probabilities.append(logits.float().softmax(1).cpu())
        return Features(torch.cat(vectors), torch.cat(probabilities))


class DINOv2:
    """DINOv2 ViT-S/14 (Oquab et al. 2023, arXiv:2304.07193): the 384 features of the class token, no class predictions.

    Stein et al. (2023, arXiv:2306.04675) find distances in its space nearer to people's judgement than Inception-v3's.
    `weights` is a local copy of Meta's file; without it the file is downloaded once.
    """

    name, size, accuracy, affordable = "dinov2", 384, None, 10_000
    resize = "bilinear to 224x224 as in TensorFlow 1 (torch-fidelity)"

    def __init__(self, weights: Path | None, channels: int):
        path = weights or downloaded(DINOV2_URL, None, "dinov2")
        self.weights_sha256, self.colours = sha256(path), colours_stated(channels)
        self.resized = load("torch_fidelity.interpolate_compat_tensorflow").interpolate_bilinear_2d_like_tensorflow1x
        self.network = VisionTransformer()
        fill(self.network, path, "DINOv2 ViT-S/14 weights (dinov2_vits14_pretrain.pth)")
        self.mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        self.std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

    def __call__(self, images: Tensor) -> Features:
        vectors = []
        for part in to_rgb(images).split(64):
            x = self.resized(part.float(), size=(224, 224), align_corners=False) / 255
            x = (x - self.mean.to(x.device)) / self.std.to(x.device)
            vectors.append(self.network.to(x.device)(x).float().cpu())
        return Features(torch.cat(vectors))


class Classifier:
    """The 128 penultimate features and the class predictions of a classifier trained on the data's own labels."""

    name, size, affordable = "classifier", classifier.Network.SIZE, 60_000
    colours = "as the data has them"

    def __init__(self, dataset: Dataset):
        self.network, facts = classifier.cached(dataset)
        self.weights_sha256, self.accuracy = facts.weights_sha256, facts.accuracy
        size = self.network.input_size
        whole = size == tuple(dataset.spec.shape[1:])
        self.resize = "none" if whole else f"box filter to {size[0]}x{size[1]}"

    def __call__(self, images: Tensor) -> Features:
        vectors, probabilities = [], []
        for part in images.split(500):
            pooled = self.network.to(part.device).vectors(part.float() / 127.5 - 1)
            vectors.append(pooled.float().cpu())
            probabilities.append(self.network.head(pooled).softmax(1).float().cpu())
        return Features(torch.cat(vectors), torch.cat(probabilities))


class Pixels:
    """The image averaged down to at most 16x16 (box filter), in [0, 1], flattened. Knows colour and layout only."""

    name, weights_sha256, accuracy, affordable = "pixels", None, None, 60_000

    def __init__(self, shape: tuple[int, ...]):
        self.side = (min(16, shape[1]), min(16, shape[2]))
        self.size = (1 if shape[0] <= 2 else 3) * self.side[0] * self.side[1]
        self.resize = f"box filter to {self.side[0]}x{self.side[1]}"
        self.colours = {1: "grey", 2: "grey over white", 3: "RGB", 4: "RGBA over white"}[shape[0]]

    def __call__(self, images: Tensor) -> Features:
        opaque = images if images.shape[1] in (1, 3) else to_rgb(images)[:, : 1 if images.shape[1] == 2 else 3]
        small = F.adaptive_avg_pool2d(opaque.float() / 255, self.side)
        return Features(small.flatten(1).cpu())


def choose(name: str, dataset: Dataset, weights: Path | None = None) -> tuple[Extractor, str]:
    """The extractor called `name` and the reason for it, in words for the protocol.

    "auto" takes the data's own classifier where there are labels, else Inception-v3 if its weights are on this
    computer, else pixels; points are taken as they are. Raises BadOption where the named one cannot be had, saying how
    to get it.
    """
    if name not in NAMES:
        raise BadOption(f"--features {name}: there is no such feature extractor. Choose one of: {', '.join(NAMES)}.")
    if dataset.spec.kind == "points":
        if name != "auto":
            raise BadOption(f"--features {name} is for images; {dataset.name} holds points, measured as they are.")
        return Coordinates(dataset.spec.shape[0]), "points are measured as they are"
    if weights is not None and name not in ("inception", "dinov2"):
        raise BadOption(f"--weights {weights} goes with --features inception or dinov2; --features {name} was given.")
    reason = "asked for by name"
    if name == "auto":
        name, reason = automatic(dataset)
    channels = dataset.spec.shape[0]
    if name == "classifier":
        if dataset.spec.classes < 2 or dataset.train.labels is None:
            raise BadOption(
                f"--features classifier needs labelled data; {dataset.name} has no labels. "
                "Give them with --data.labels, or choose --features pixels, inception or dinov2."
            )
        return Classifier(dataset), reason
    if name == "pixels":
        return Pixels(dataset.spec.shape), reason
    return (Inception if name == "inception" else DINOv2)(weights, channels), reason


def automatic(dataset: Dataset) -> tuple[str, str]:
    """The extractor that "auto" stands for, and why."""
    if dataset.spec.classes >= 2 and dataset.train.labels is not None:
        return "classifier", "auto: the data has labels"
    if on_disk(INCEPTION_URL).exists():
        return "inception", "auto: no labels, and the Inception-v3 weights are on this computer"
    return "pixels", "auto: no labels, and no Inception-v3 weights on this computer"


def on_disk(url: str) -> Path:
    """Where torch.hub keeps the file behind `url`."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]


def downloaded(url: str, hash_prefix: str | None, name: str) -> Path:
    """The file behind `url`, downloaded unless it is there already. Raises BadOption when it cannot be had."""
    path = on_disk(url)
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=hash_prefix, progress=True)
        except (OSError, RuntimeError) as error:
            raise BadOption(
                f"--features {name} needs weights that could not be downloaded ({error}). On a computer with a network "
                f"fetch {url}, and give the file here with --weights PATH (or put it at {path}). "
                "Without it: --features classifier (labelled data) or --features pixels."
            ) from error
    return path


def sha256(path: Path) -> str:
    """sha256 of a file's content. Raises BadOption when there is no such file."""
    if not path.is_file():
        raise BadOption(f"--weights {path}: there is no such file.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: Path, what: str) -> dict[str, Any]:
    """A state dict from a .pth or .safetensors file, read so that nothing in it can run."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BadFile(f"{path} is not a readable file of {what}: {error}") from error


def fill(network: nn.Module, path: Path, what: str) -> None:
    """Load the weights at `path` into `network` and freeze it. Raises BadFile when they are not its weights."""
    try:
        network.load_state_dict(read_weights(path, what))
    except RuntimeError as error:
        raise BadFile(f"{path} does not hold {what}: {str(error)[:300]}") from error
    network.eval().requires_grad_(False)


@contextlib.contextmanager
def safe_copy(path: Path, what: str) -> Iterator[Path]:
    """The weights at `path` in a file of our own making, because torch-fidelity unpickles whatever it is given."""
    state = read_weights(path, what)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "weights.pth"
        torch.save(state, copy)
        try:
            yield copy
        except RuntimeError as error:
            raise BadFile(f"{path} does not hold {what}: {str(error)[:300]}") from error
