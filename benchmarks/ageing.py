"""What becomes of held-out faces that stargan_v2 is asked to show in every decade of life.

    python -m benchmarks.ageing --minutes 120

Reads faces/utkface_96.parquet (columns image, age, split) in the folder that ZEROSUM_DATA names, and writes it anew to
--folder with decades for labels (00-09 ... 70-79, 80+). A classifier of decades that was trained on the real training
faces says whether an answer shows the decade that was asked for; its share on real held-out faces is the ceiling, and
that of the photos as they were the floor. How much of a face is left is told by a network that was trained to know two
views of one real photo (moved, mirrored, in other light) among all others. It knows no two photos of one person, so it
goes by whatever a photo shows: hair, pose and background as much as the face. Pictures go to --folder and are not to be
published: they show real people. A training is as long as in benchmarks.facades.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from benchmarks.common import keep
from benchmarks.editing import Faces, identity_reader
from benchmarks.facades import data_file, held_out, plain, trained, translated
from zerosum.data import Data, Dataset, load
from zerosum.editing.strips import strip
from zerosum.metrics import quality
from zerosum.metrics.classifier import Facts, Network, cached
from zerosum.metrics.statistics import frechet
from zerosum.training.pictures import save

OLDEST = 8
"""Decades from this one on are one domain."""
MIDDLES = torch.tensor([*range(5, 10 * OLDEST, 10), 86.0])
"""Years of a face in the middle of each domain; the last: the mean age of the faces in it."""
SHOWN = 8


def main() -> None:
    """Train and measure, system by system; results are kept after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=["stargan_v2:laptop"], help="system[:preset][,setting=value]")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--passes", type=int, default=12, help="over the training faces, of the network of identity")
    parser.add_argument("--faces", type=int, default=None, help="held-out faces at most")
    parser.add_argument("--folder", type=Path, default=Path("runs/ageing"))
    parser.add_argument("--choose", action="store_true", help="on every fourth training face; keeps no results")
    given = parser.parse_args()
    path, options = prepared(given.folder), Data(given.resolution, labels="decade", flip=True)
    if given.choose:
        given.folder /= "choose"
        path = held_out(path, given.folder / path.name)
    dataset = load(path, options)
    readers = Readers.trained(dataset, given)
    faces = HeldOut(dataset, given.faces)
    copied = dict.fromkeys(range(len(faces.names)), faces.images)
    rows = [real_row(readers, faces), measured(readers, faces, "photos, copied", copied, copied)]
    for name in given.systems:
        generator, facts = trained(name, str(path), options, given)
        answers, others = (
            {asked: translated(generator, faces.images, seed, asked) for asked in copied} for seed in (0, 1)
        )
        row = measured(readers, faces, name, answers, others)
        rows.append({**row, "values": row["values"] | facts})
        show(dataset, faces, answers, given.folder / f"{plain(name)}.png")
        if not given.choose:
            keep("ageing", [{**row, **common(given, readers, faces)} for row in rows])


def prepared(folder: Path) -> Path:
    """The faces with their decades, as a parquet file in `folder`."""
    path = folder / "faces-by-decade.parquet"
    if not path.exists():
        table = pq.read_table(data_file("faces/utkface_96.parquet"))
        decades = [decade(years) for years in table["age"].to_pylist()]
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.select(["image", "split"]).append_column("decade", pa.array(decades)), path)
    return path


def decade(years: int) -> str:
    """The name of a domain: 00-09, 10-19 ... 80+."""
    first = min(years // 10, OLDEST) * 10
    return f"{first}+" if first == 10 * OLDEST else f"{first:02d}-{first + 9:02d}"


def common(given: argparse.Namespace, readers: Readers, faces: HeldOut) -> dict[str, Any]:
    """What all rows share."""
    return {
        "data": f"faces by decade, {given.resolution} px",
        "command": f"python -m benchmarks.ageing --minutes {given.minutes:g} --resolution {given.resolution} "
        f"--seed {given.seed}",
        "protocol": {
            "budget": f"as many samples as {given.minutes:g} minutes allow", "seed": given.seed,
            "faces": f"{len(faces.images)} held-out ones, each in all {len(faces.names)} decades",
            "reader": f"zerosum's classifier of decades, {readers.facts.weights_sha256[:8]}; features: its own",
            "identity": f"instance discrimination, {given.passes} passes; no two photos of one person",
        },
    }  # fmt: skip


@dataclass(frozen=True)
class Readers:
    """What tells the decade of faces and which face it is, trained on real ones alone."""

    decades: Network
    facts: Facts
    same: Callable[[Tensor], Tensor]
    """Faces (n, 3, h, w) to vectors (n, 128) of length 1."""
    recognised: float
    """Share of held-out faces that are found by a second view."""
    train: Tensor
    """Features of the training faces, (n, 128)."""

    @classmethod
    def trained(cls, dataset: Dataset, given: argparse.Namespace) -> Readers:
        """The decades' classifier is kept in the cache, the network of identity in --folder."""
        network, facts = cached(dataset)
        same, recognised = identity_reader(Faces(dataset, dataset), given.passes, given.seed, given.folder)
        parts = torch.arange(len(dataset.train)).split(256)
        with torch.no_grad():
            train = torch.cat([network.vectors(dataset.train.fetch(part)["image"].cpu()) for part in parts])
        return cls(network, facts, same, recognised, train)


class HeldOut:
    """Held-out faces, with their decades."""

    def __init__(self, dataset: Dataset, most: int | None):
        assert dataset.test is not None and dataset.test.labels is not None
        chosen = torch.arange(len(dataset.test))[:most]
        self.images, self.labels = dataset.test.fetch(chosen)["image"].cpu(), dataset.test.labels[chosen]
        self.names = dataset.class_names


# -- measuring --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def real_row(readers: Readers, faces: HeldOut) -> dict[str, Any]:
    """What a perfect system would reach: real faces, asked for the decade that they are of."""
    logits = readers.decades(faces.images)
    off = (logits.argmax(1) - faces.labels).abs()
    values = {
        "decade as asked": float((off == 0).float().mean()), "within a decade": float((off <= 1).float().mean()),
        "fd": frechet(readers.train, readers.decades.vectors(faces.images)), "recognised": readers.recognised,
    }  # fmt: skip
    read = years(logits)
    told = [f"{float(read[faces.labels == i].mean()):.0f}" for i in range(len(faces.names))]
    return {"system": "real faces of the decade", "values": values, "note": "years read: " + ", ".join(told)}


@torch.no_grad()
def measured(
    readers: Readers, faces: HeldOut, system: str, answers: dict[int, Tensor], others: dict[int, Tensor]
) -> dict[str, Any]:
    """A row of results for the answers to each decade, and those of another z."""
    logits = {asked: readers.decades(images) for asked, images in answers.items()}
    off = torch.stack([(found.argmax(1) - asked).abs() for asked, found in logits.items()])
    # As many for each decade as there are real ones: distances are of equal numbers, and of equally many of each age.
    mixed = torch.stack([*answers.values()])[faces.labels.roll(1), torch.arange(len(faces.images))]
    own = readers.same(faces.images)
    found = torch.stack([readers.same(images) for images in answers.values()])
    likeness = found @ own.T
    pairs = [torch.stack([readers.decades.vectors(part[asked]) for part in (answers, others)], 1) for asked in answers]
    diversity = sum(quality.diversity(pair) for pair in pairs) / len(pairs)
    values = {
        "decade as asked": float((off == 0).float().mean()), "within a decade": float((off <= 1).float().mean()),
        "fd": frechet(readers.train, readers.decades.vectors(mixed)),
        "recognised": float((likeness.argmax(2) == torch.arange(len(own))).float().mean()),
        "likeness": float(likeness.diagonal(dim1=1, dim2=2).mean()),
        "likeness of strangers": float((own @ own.T)[~torch.eye(len(own), dtype=torch.bool)].mean()),
        "distance between answers": diversity,
        "distance between inputs": float(torch.pdist(torch.cat([pair[:, 0] for pair in pairs])[:2000]).mean()),
    }  # fmt: skip
    print(system, {key: round(value, 3) for key, value in values.items()}, flush=True)
    told = [f"{float(years(found).mean()):.0f}" for found in logits.values()]
    return {"system": system, "values": values, "note": "years read: " + ", ".join(told)}


def years(logits: Tensor) -> Tensor:
    """(n,): the age that a classifier of decades expects."""
    return logits.softmax(1) @ MIDDLES


def show(dataset: Dataset, faces: HeldOut, answers: dict[int, Tensor], path: Path) -> None:
    """Some faces, evenly chosen, and what they become in each decade."""
    chosen = torch.arange(SHOWN) * len(faces.images) // SHOWN
    cells = torch.stack([faces.images, *answers.values()], 1)[chosen]
    rows = [dataset.encoding.decode({"image": row}) for row in cells]
    names = [faces.names[label] for label in faces.labels[chosen].tolist()]
    save(strip(rows, ["photo", *faces.names], names), path)


if __name__ == "__main__":
    main()
