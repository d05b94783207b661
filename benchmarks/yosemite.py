"""Summer photos of Yosemite turned into winter ones, learned without pairs: cut and cyclegan.

    python -m benchmarks.yosemite --minutes 60
    python -m benchmarks.yosemite --systems cut:laptop cut:laptop-fast cyclegan:laptop --seeds 3 --minutes 60

Reads yosemite/yosemite_128.parquet (686 summer and 663 winter training photos, 94 and 95 test photos) in the folder
that ZEROSUM_DATA names. A classifier that was trained on the real training photos tells the season of what is made of
the test photos of summer: the share that it takes for winter, and the distances of its features from those of the
winter training photos. What is kept of the summer photo is told by the correlations of its brightness and of its edges
with the translation's, and, where a system knows the way back, by how far from the photo that ends. Baselines: the
summer photos as they are, and any test photos of winter in their place. A training is as long as the minutes allow at
the speed that it reaches in its first half minute (kept in --folder, as pace.json); one that was interrupted goes on
where it stopped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional as F

from benchmarks.common import keep
from benchmarks.facades import data_file, trained, translated
from zerosum.core import randomness
from zerosum.core.files import write_bytes
from zerosum.data import Data, Dataset, load
from zerosum.data.encodings import ImageEncoding
from zerosum.editing.strips import strip
from zerosum.metrics.classifier import Network, accuracy, descend
from zerosum.metrics.features import quantise
from zerosum.metrics.statistics import frechet, kernel
from zerosum.training.pictures import save as save_picture
from zerosum.training.translator import Translator

SYSTEMS = ["cut:laptop", "cyclegan:laptop"]
OPTIONS = Data(labels="domain")
SOURCE, TARGET = "summer", "winter"
SHOWN = 8


def main() -> None:
    """Train and measure, system by system; results are kept after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=SYSTEMS, help="system[:preset]")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--classifier", type=int, default=40_000, help="photos that the classifier is shown")
    parser.add_argument("--folder", type=Path, default=Path("runs/yosemite"))
    given = parser.parse_args()
    judge = Judge(load(data_file("yosemite/yosemite_128.parquet"), OPTIONS), given)
    rows = [{"system": name, "values": judge.values(images)} for name, images in judge.baselines().items()]
    print(*rows, sep="\n", flush=True)
    for name in given.systems:
        found = [one(judge, name, seed, given) for seed in range(given.seeds)]
        rows.append({"system": name, "values": {score: [each[score] for each in found] for score in found[0]}})
        print(rows[-1], flush=True)
        keep("yosemite", [{**row, **common(judge, given)} for row in rows])


def common(judge: Judge, given: argparse.Namespace) -> dict[str, Any]:
    """What all rows share."""
    return {
        "data": "yosemite, summer to winter",
        "command": f"python -m benchmarks.yosemite --minutes {given.minutes:g} --seeds {given.seeds} "
        f"--systems {' '.join(given.systems)}",
        "protocol": {
            "budget": f"as many samples as {given.minutes:g} minutes allow", "resolution": judge.size,
            "split": f"{len(judge.photos)} test photos of {SOURCE}, translated, against {len(judge.known)} training "
            f"photos of {TARGET}",
            "classifier": f"on the real training photos, {given.classifier:,} shown; {judge.accuracy:.1%} of the real "
            "test photos right",
            "features": f"its {Network.SIZE}, the mean over positions of its last convolution",
            "kept": "mean correlation of a photo with its translation: of Rec. 601 luma, and of its gradient's length",
        },
    }  # fmt: skip


def one(judge: Judge, name: str, seed: int, given: argparse.Namespace) -> dict[str, float]:
    """Values of one training; read from its folder where it is measured already."""
    place = given.folder / f"measured-{given.minutes:g}min-{name.replace(':', '-')}-{seed}-{given.classifier}.json"
    if place.exists():
        return json.loads(place.read_text())
    options, own = replace(OPTIONS, source=SOURCE, target=TARGET), argparse.Namespace(**{**vars(given), "seed": seed})
    generator, facts = trained(name, str(data_file("yosemite/yosemite_128.parquet")), options, own)
    assert isinstance(generator, Translator)
    made = translated(generator, judge.photos, seed)
    values, pictures = judge.values(made), {SOURCE: judge.photos, TARGET: made}
    if hasattr(generator.network, "back"):
        back = translated(generator.back, made, seed)
        pictures |= {"and back": back}
        values["cycle L1"] = float((back - judge.photos).abs().mean()) / 2
    judge.show(pictures, place.with_suffix(".png"))
    values |= facts
    write_bytes(place, (json.dumps(values, indent=2) + "\n").encode())
    return values


class Judge:
    """A classifier of seasons, and the photos that it compares.

    Attributes:
        photos: held-out ones to be translated, (n, 3, h, w) in [-1, 1].
        known: features of the training photos of the target season, (m, 128).
        accuracy: share of the held-out photos of both seasons told right.
    """

    def __init__(self, dataset: Dataset, given: argparse.Namespace):
        assert dataset.test is not None and isinstance(dataset.encoding, ImageEncoding)
        self.dataset, self.encoding = dataset, dataset.encoding
        self.target = dataset.class_names.index(TARGET)
        self.network = classifier(dataset, given)
        self.accuracy = accuracy(self.network, dataset.test)
        self.photos, self.winter = of_class(dataset, "test", SOURCE), of_class(dataset, "test", TARGET)
        self.known, _ = self.read(of_class(dataset, "train", TARGET))

    @property
    def size(self) -> str:
        """Of the photos."""
        return "{1} x {2}".format(*self.dataset.spec.shape)

    def baselines(self) -> dict[str, Tensor]:
        """What takes no training: name -> an answer to each photo."""
        others = torch.randperm(len(self.winter), generator=randomness.generator("cpu", "others"))
        return {"any photo of winter": self.winter[others[: len(self.photos)]], "summer photo, copied": self.photos}

    @torch.no_grad()
    def read(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(features (n, 128), the class that each is taken for (n,)) of images as a file would hold them."""
        vectors = torch.cat([self.network.vectors(quantise(part).float() / 127.5 - 1) for part in images.split(100)])
        return vectors, self.network.head(vectors).argmax(1)

    def values(self, made: Tensor) -> dict[str, float]:
        """What is told of translations (n, 3, h, w) of the photos."""
        vectors, season = self.read(made)
        return {
            f"taken for {TARGET}": float((season == self.target).float().mean()),
            "fd": frechet(self.known, vectors),
            "kid": kernel(self.known, vectors)[0],
            "brightness kept": alike(luma(self.photos), luma(made)),
            "edges kept": alike(edges(luma(self.photos)), edges(luma(made))),
        }

    def show(self, pictures: dict[str, Tensor], path: Path) -> None:
        """A strip of some held-out photos, evenly chosen, and what was made of them below."""
        chosen = torch.arange(SHOWN) * len(self.photos) // SHOWN
        rows = [self.encoding.decode({"image": images[chosen]}) for images in pictures.values()]
        save_picture(strip(rows, names=list(pictures)), path)


def of_class(dataset: Dataset, split: str, name: str) -> Tensor:
    """The images (n, 3, h, w) of one class."""
    store = dataset.train if split == "train" else dataset.test
    assert store is not None and store.labels is not None
    return store.fetch((store.labels == dataset.class_names.index(name)).nonzero().flatten())["image"]


def classifier(dataset: Dataset, given: argparse.Namespace) -> Network:
    """A classifier trained on the real training photos; read from --folder where it is there already."""
    path = given.folder / f"classifier-{given.classifier}.safetensors"
    randomness.reseed(0, "classifier")
    network = Network(dataset.spec.shape, dataset.spec.classes)
    if path.exists():
        network.load_state_dict(load_file(path))
    else:
        descend(network, dataset, given.classifier, seed=0)
        content = {name: value.contiguous() for name, value in network.state_dict().items()}
        given.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, save(content))
    return network.eval().requires_grad_(False)


def luma(images: Tensor) -> Tensor:
    """Brightness (n, 1, h, w) of images (n, 3, h, w), by Rec. 601."""
    return (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def edges(grey: Tensor) -> Tensor:
    """Length of the gradient (n, 1, h - 2, w - 2) of grey images (n, 1, h, w), by Sobel's filters."""
    across = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    return F.conv2d(grey, torch.stack([across, across.T])[:, None]).norm(dim=1, keepdim=True)


def alike(one: Tensor, other: Tensor) -> float:
    """Mean over the images of the correlation between two versions of each, (n, 1, h, w)."""
    centred = [images.flatten(1) - images.flatten(1).mean(1, keepdim=True) for images in (one, other)]
    return float(F.cosine_similarity(*centred).mean())


if __name__ == "__main__":
    main()
