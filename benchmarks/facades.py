"""Photos of facades made of label maps: pix2pix with and without its discriminator, and bicyclegan.

    python -m benchmarks.facades --minutes 60
    python -m benchmarks.facades --minutes 30 --systems pix2pixhd:laptop,coarse_rounds=5000,rounds=3500
    python -m benchmarks.facades --minutes 10 --choose --systems pix2pix:laptop pix2pix:laptop,l1=300

Reads facades/facades.parquet (photo left, label map right; 400 training and 106 test pairs) in the folder that
ZEROSUM_DATA names. A segmenter that was trained on the real training pairs reads the label map off what was made of the
held-out maps: the share of pixels that it reads as they were asked for, and the Fréchet distance of its inner features
from those of the real training photos, beside the same of the real test photos. Baselines: the label map as it is, and
the training photo whose label map is nearest. A training is as long as the minutes allow at the speed of its first half
minute, on a quiet machine (kept in --folder, as pace.json), and ends with its last phase: that minute says nothing of
phases that are slower, so they are given their rounds by hand. One that was interrupted goes on where it stopped. How
far apart two systems are, pixel by pixel, is said with its standard error over the photos. Settings are chosen with
--choose, which keeps its hands off the test pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import tempfile
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.progress import track
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

import zerosum
from benchmarks.common import keep
from benchmarks.systems import configured
from zerosum.core import randomness
from zerosum.core.errors import BadOption
from zerosum.core.files import write_bytes
from zerosum.data import Data, Dataset, load
from zerosum.data.encodings import ImageEncoding
from zerosum.data.spec import Spec
from zerosum.editing.strips import strip
from zerosum.health.evidence import read_lines
from zerosum.metrics import quality
from zerosum.metrics.classifier import fast_bfloat16
from zerosum.metrics.features import quantise
from zerosum.metrics.statistics import frechet
from zerosum.objectives.jitter import DRAWS, jitter
from zerosum.training import checkpoint
from zerosum.training.generator import TrainedGenerator
from zerosum.training.loop import Run
from zerosum.training.pictures import save as save_picture

SYSTEMS = ["pix2pix:laptop", "pix2pix:laptop-l1", "bicyclegan:laptop"]
OPTIONS = Data(resolution=128, source="right")
COLOURS = [
    (0, 0, 222), (0, 48, 255), (0, 128, 255), (0, 207, 255), (32, 255, 223), (112, 255, 143), (192, 255, 63),
    (255, 239, 0), (255, 159, 0), (255, 80, 0), (255, 0, 0), (174, 0, 0),
]  # fmt: skip
"""Of the 12 classes in the label maps."""
ANSWERS, SHOWN = 5, 8


def main() -> None:
    """Train and measure, system by system; results are kept after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=SYSTEMS, help="system[:preset][,setting=value]")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--segmenter", type=int, default=40_000, help="samples that the segmenter is shown")
    parser.add_argument("--folder", type=Path, default=Path("runs/facades"))
    parser.add_argument("--choose", action="store_true", help="on every fourth training pair; keeps no results")
    given = parser.parse_args()
    path = data_file("facades/facades.parquet")
    if given.choose:
        given.folder /= "choose"
        path = held_out(path, given.folder / "pairs.parquet")
    pairs = Pairs(load(path, OPTIONS))
    reader = segmenter(pairs, given)
    rows = [measured(reader, pairs, name, images[:, None]) for name, images in baselines(pairs).items()]
    read: dict[str, Tensor] = {}
    for name in given.systems:
        generator, facts = trained(name, str(path), OPTIONS, given)
        count = ANSWERS if generator.latent.size else 1
        answers = torch.stack([translated(generator, pairs.maps, seed) for seed in range(count)], 1)
        read[name] = (found(reader, answers[:, 0]) == classes(pairs.maps)).float().mean((1, 2))
        rows.append(measured(reader, pairs, name, answers, facts) | apart(read))
        show(pairs, answers, given.folder / f"{plain(name)}.png")
        if not given.choose:
            keep("facades", [{**row, **common(given, reader)} for row in rows])


def held_out(path: Path, place: Path) -> Path:
    """A file in which every fourth training pair is a test pair, and the test pairs are left out."""
    table = pd.read_parquet(path)
    table = table[table["split"] == "train"].reset_index(drop=True)
    table.loc[table.index % 4 == 3, "split"] = "test"
    place.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(place)
    return place


def apart(read: dict[str, Tensor]) -> dict[str, str]:
    """By how many points more of the last system's pixels are read as asked than of each other's: {name: (photos,)}."""
    last = list(read)[-1]
    words = []
    for name in list(read)[:-1]:
        difference = 100 * (read[last] - read[name])
        error = float(difference.std()) / len(difference) ** 0.5
        words.append(f"{float(difference.mean()):+.1f} +- {error:.1f} points of pixels from {name}")
        print(words[-1], flush=True)
    return {"note": "; ".join(words)} if words else {}


def plain(name: str) -> str:
    """A system's name as a file's."""
    return re.sub("[:,]", "-", name)


def data_file(name: str) -> Path:
    """A file in the folder that ZEROSUM_DATA names."""
    folder = os.environ.get("ZEROSUM_DATA")
    if not folder:
        raise BadOption(f"set ZEROSUM_DATA to the folder that holds {name}.")
    return Path(folder) / name


def common(given: argparse.Namespace, reader: Segmenter) -> dict[str, Any]:
    """What all rows share."""
    return {
        "data": "facades",
        "command": f"python -m benchmarks.facades --minutes {given.minutes:g} --seed {given.seed}",
        "protocol": {
            "budget": f"as many samples as {given.minutes:g} minutes allow", "resolution": OPTIONS.resolution,
            "split": "106 test pairs", "reader": f"U-Net on the 400 training pairs, {given.segmenter:,} shown",
            "features": f"{reader.size}, the mean over positions of its innermost layer", "seed": given.seed,
            "PSNR, SSIM": "RGB, no border", "answers": f"{ANSWERS} where there is a z; values are means over them",
        },
    }  # fmt: skip


class Pairs:
    """Label maps and photos, (n, 3, h, w) in [-1, 1]: `maps` and `photos` to be tested on, others to learn from."""

    def __init__(self, dataset: Dataset):
        assert dataset.test is not None
        train, test = (store.fetch(torch.arange(len(store))) for store in (dataset.train, dataset.test))
        self.maps, self.photos = test["source"], test["image"]
        self.train_maps, self.train_photos = train["source"], train["image"]


# -- training ---------------------------------------------------------------------------------------------------------


def trained(
    name: str, data: str, options: Data, given: argparse.Namespace
) -> tuple[TrainedGenerator, dict[str, float]]:
    """The generator of system[:preset] after --minutes of training, and what is to be said of the training."""
    system, config = configured(name)
    folder = given.folder / f"{given.minutes:g}min-{plain(name)}-{given.seed}"
    if checkpoint.saved(folder):
        generator = zerosum.resume(folder, quiet=True)
    else:
        samples = round(pace(name, data, options, given) * 60 * given.minutes)
        run = Run(folder=folder, seed=given.seed, samples=samples)
        generator = zerosum.train(
            system, data=data, config=config, options=options, run=run, features="none", quiet=True
        )
    last = [line for line in read_lines(folder) if "samples" in line][-1]
    generator.to("cuda" if torch.cuda.is_available() else "cpu")
    return generator, {"samples shown": float(last["samples"]), "minutes": round(float(last["seconds"]) / 60, 2)}


def pace(name: str, data: str, options: Data, given: argparse.Namespace) -> float:
    """Samples a second in the first half minute, on CPUs a second of its own computing; kept in --folder."""
    path = given.folder / "pace.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if name not in known:
        system, config = configured(name)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "run"
            run = Run(folder=place, minutes=0.5, save_every=10**9)
            began, computed = time.perf_counter(), time.process_time()
            zerosum.train(system, data=data, config=config, options=options, run=run, features="none", quiet=True)
            busy = min((time.process_time() - computed) / (time.perf_counter() - began), 1.0)
            rates = [line["samples/s"] for line in read_lines(place) if "samples/s" in line]
        known[name] = statistics.median(rates[len(rates) // 2 :]) / (1.0 if torch.cuda.is_available() else busy)
        given.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known, indent=2) + "\n")
    return known[name]


def translated(generator: TrainedGenerator, sources: Tensor, seed: int, label: int | None = None) -> Tensor:
    """What a translator makes of sources, each with a z of its own."""
    given = {"source": sources} | ({} if label is None else {"label": label})
    return torch.cat([made.cpu() for made in generator.tensors(len(sources), given=given, seed=seed)]).clamp(-1, 1)


# -- reading label maps off photos ------------------------------------------------------------------------------------


def classes(maps: Tensor) -> Tensor:
    """The class (n, h, w) of each pixel in label maps (n, 3, h, w): that of the nearest colour."""
    colours = torch.tensor(COLOURS) / 127.5 - 1
    return torch.stack([torch.cdist(one.flatten(1).T, colours).argmin(1).view(one.shape[1:]) for one in maps])


def stage(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """A convolution, batch normalisation and ReLU."""
    conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


class Segmenter(nn.Module):
    """A small U-Net: photos (n, 3, h, w) to logits (n, 12, h, w)."""

    size = 128

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64, 128, self.size)
        self.down = nn.ModuleList(stage(a, b, 2 if i else 1) for i, (a, b) in enumerate(zip((3, *widths), widths)))
        self.up = nn.ModuleList(stage(a + b, a) for a, b in zip(widths, widths[1:]))
        self.head = nn.Conv2d(widths[0], len(COLOURS), 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on CPUs

    def maps(self, x: Tensor) -> list[Tensor]:
        """What each halving leaves."""
        return list(accumulate(self.down, lambda x, part: part(x), initial=x))[1:]

    def vectors(self, x: Tensor) -> Tensor:
        """(n, 128): the mean over positions of the innermost features."""
        return self.maps(x)[-1].float().mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 12, h, w)."""
        *outer, x = self.maps(x)
        for part, seen in zip(reversed(self.up), reversed(outer), strict=True):
            x = part(torch.cat([F.interpolate(x, scale_factor=2), seen], 1))
        return self.head(x)


def segmenter(pairs: Pairs, given: argparse.Namespace) -> Segmenter:
    """The segmenter, trained on the real training pairs; read from --folder where it is there already."""
    path = given.folder / f"segmenter-{given.segmenter}-{given.seed}.safetensors"
    randomness.reseed(given.seed, "segmenter")
    network = Segmenter()
    if path.exists():
        network.load_state_dict(load_file(path))
        return network.eval().requires_grad_(False)
    steps, batch = max(given.segmenter // 8, 1), 8
    adam = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=5e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=3e-3, total_steps=steps)
    for _ in track(range(steps), description="Training the segmenter on real pairs"):
        chosen = torch.randint(len(pairs.train_maps), (batch,))
        photo, plan = jitter((pairs.train_photos[chosen], pairs.train_maps[chosen]), torch.rand(batch, DRAWS), 1.15)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
            logits = network(photo.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), classes(plan))
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    write_bytes(path, save({name: value.contiguous() for name, value in network.state_dict().items()}))
    return network.eval().requires_grad_(False)


# -- measuring --------------------------------------------------------------------------------------------------------


def baselines(pairs: Pairs) -> dict[str, Tensor]:
    """What needs no training, and the photos themselves: name -> one answer to each test map."""
    asked, known = classes(pairs.maps), classes(pairs.train_maps)
    nearest = torch.stack([(known == one).flatten(1).float().mean(1).argmax() for one in asked])
    return {
        "real photos": pairs.photos, "label map, copied": pairs.maps,
        "training photo of the nearest label map": pairs.train_photos[nearest],
    }  # fmt: skip


@torch.no_grad()
def measured(
    reader: Segmenter, pairs: Pairs, system: str, answers: Tensor, facts: dict[str, float] | None = None
) -> dict[str, Any]:
    """A row of results for answers (n, answers, 3, h, w) to the test maps."""
    each = [one_answer(reader, pairs, answers[:, i]) for i in range(answers.shape[1])]
    values = {key: statistics.fmean(found[key] for found in each) for key in each[0]}
    if len(each) > 1:
        vectors = torch.stack([vectors_of(reader, answers[:, i]) for i in range(len(each))], 1)
        values["distance between answers"] = quality.diversity(vectors)
        values["distance between inputs"] = float(torch.pdist(vectors[:, 0]).mean())
        off = (answers - pairs.photos[:, None]).abs().flatten(2).mean(2)
        values[f"L1, best of {len(each)}"] = float(off.min(1).values.mean()) / 2
    print(system, {key: round(value, 4) for key, value in values.items()}, flush=True)
    return {"system": system, "values": values | (facts or {})}


def one_answer(reader: Segmenter, pairs: Pairs, images: Tensor) -> dict[str, float]:
    """Values of one answer to each test map."""
    wanted = classes(pairs.maps)
    k = len(COLOURS)
    table = torch.bincount((wanted * k + found(reader, images)).flatten(), minlength=k * k).view(k, k).double()
    right, union = table.diag(), table.sum(0) + table.sum(1) - table.diag()
    values = {
        "pixels as asked": float(right.sum() / table.sum()),
        "classes as asked": float((right / table.sum(1)).mean()),
        "class IoU": float((right / union.clamp_min(1)).mean()),
        "fd": frechet(vectors_of(reader, pairs.train_photos), vectors_of(reader, images)),
        "L1": float((images - pairs.photos).abs().mean()) / 2,
    }
    if not torch.equal(images, pairs.photos):
        near = quality.fidelity([*quantise(images)], [*quantise(pairs.photos)], quality.Protocol("rgb", border=0))
        values |= {"PSNR": near.psnr, "SSIM": near.ssim, "sharpness": near.sharpness}
    return values


@torch.no_grad()
def found(reader: Segmenter, images: Tensor) -> Tensor:
    """The class (n, h, w) that the segmenter reads off each pixel."""
    return torch.cat([reader(part).argmax(1) for part in images.split(32)])


def vectors_of(reader: Segmenter, images: Tensor) -> Tensor:
    """(n, 128) features."""
    return torch.cat([reader.vectors(part) for part in images.split(32)])


def show(pairs: Pairs, answers: Tensor, path: Path) -> None:
    """Label map, answers and photo of some test pairs, evenly chosen."""
    chosen = torch.arange(SHOWN) * len(pairs.maps) // SHOWN
    encoding = ImageEncoding(Spec(tuple(pairs.photos.shape[1:])))
    cells = torch.cat([pairs.maps[:, None], answers, pairs.photos[:, None]], 1)[chosen]
    rows = [encoding.decode({"image": row}) for row in cells]
    save_picture(strip(rows, ["labels", *(f"answer {i + 1}" for i in range(answers.shape[1])), "photo"]), path)


if __name__ == "__main__":
    main()
