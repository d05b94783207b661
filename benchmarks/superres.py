"""Super-resolution x 4: the pixel phase alone and the whole of ESRGAN, trained on 199 photos, measured on others.

    python -m benchmarks.superres --minutes 60
    python -m benchmarks.superres --large

Trained on BSDS500's training photos alone (written to --folder as train.parquet), without the one that Set5's "woman"
is a part of. A training is as long as the minutes allow at the speed that its phases reach on a quiet machine (kept as
pace.json), so that schedules run their whole length; runs stay in --folder, and what was interrupted goes on where it
stopped. Then Set5, Set14 and BSD100 are made small bicubically and enlarged as whole images by `translate`. --large
enlarges a photo of 2,000 x 3,000 pixels by tiles, in a process of its own, and compares tiles with the whole.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

import zerosum
from benchmarks.common import keep
from zerosum.core import discovery
from zerosum.core.errors import BadData, BadOption
from zerosum.data import load
from zerosum.data.encodings import normalise, to_tensor
from zerosum.data.options import Data
from zerosum.editing.strips import strip
from zerosum.gans.translation.esrgan import Blend
from zerosum.health.evidence import read_lines
from zerosum.metrics.lpips import lpips
from zerosum.metrics.quality import Protocol, fidelity
from zerosum.objectives.degradations import bicubic, enlarge
from zerosum.objectives.perceptual import Perceptual, exemplar
from zerosum.training import checkpoint
from zerosum.training.loop import Run
from zerosum.training.pictures import save
from zerosum.training.superresolution import exemplars
from zerosum.training.tiling import Tiling
from zerosum.training.translator import Translator

SCALE = 4
TRAIN, SETS = "BSDS500-train", ("Set5", "Set14", "BSD100")
SEEN = ("302003",)
"""Training photos that a test image is a part of: Set5's woman."""
TILES = Data(resolution=128, fit="tiles")
SHOWN = {"butterfly_GT": (96, 80), "baby_GT": (200, 208), "zebra": (120, 240), "comic": (80, 100), "ppt3": (60, 320)}
"""Images of the picture, and where (top, left) they are cut."""
CUT = 96
Distance = Callable[[Tensor, Tensor], Tensor]
Enlarge = Callable[[np.ndarray], np.ndarray]
"""Pixels (h, w, 3) to (4 h, 4 w, 3)."""


def main() -> None:
    """Train and measure; results are kept after each system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=["esrgan:laptop-pixel", "esrgan:laptop"], help="system:preset")
    parser.add_argument("--minutes", type=float, default=60.0, help="for each system")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/superres"))
    parser.add_argument("--lpips", nargs=2, type=Path, help="weights of AlexNet and of LPIPS' heads")
    parser.add_argument("--large", action="store_true", help="measure tiles instead, with the last system's generator")
    parser.add_argument("--enlarge", type=Path, help=argparse.SUPPRESS)  # what the process of --large does
    given = parser.parse_args()
    if given.enlarge:
        enlarge_large(given)
    elif given.large:
        keep("superres-large", [large(given)])
    else:
        compare(given)


# --- data


def photos() -> dict[str, list[tuple[str, bytes]]]:
    """Names and encoded content of the photos, by their set. Raises BadOption where nobody says where they are."""
    table = pq.read_table(shared("superres/sr_images.parquet"))
    rows: dict[str, list[tuple[str, bytes]]] = {}
    for row in table.to_pylist():
        rows.setdefault(row["set"], []).append((row["name"], row["image"]))
    return rows


def shared(name: str) -> Path:
    """A file of the folder that ZEROSUM_DATA names."""
    if "ZEROSUM_DATA" not in os.environ:
        raise BadOption("set ZEROSUM_DATA to the folder that holds superres/sr_images.parquet.")
    return Path(os.environ["ZEROSUM_DATA"]) / name


def training_photos(folder: Path) -> Path:
    """A parquet file with the training photos alone.

    Raises:
        BadData: one of them is a test image, too.
    """
    path, table = folder / "train.parquet", pq.read_table(shared("superres/sr_images.parquet"))
    own = pc.and_(pc.equal(table["set"], TRAIN), pc.invert(pc.is_in(table["name"], pa.array(SEEN))))
    train, others = table.filter(own), table.filter(pc.invert(own))
    if set(train["image"].to_pylist()) & set(others["image"].to_pylist()):
        raise BadData("the training photos and the test images have images in common.")
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(train.select(["image", "name"]), path)
    return path


@cache
def tests(name: str) -> dict[str, np.ndarray]:
    """The images (h, w, 3) of a test set, cropped to multiples of the scale; grey ones as three equal channels."""
    found = {}
    for file, content in photos()[name]:
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        height, width = (side - side % SCALE for side in pixels.shape[:2])
        found[file] = pixels[:height, :width]
    return found


def tensor(pixels: np.ndarray) -> Tensor:
    """Pixels (h, w, c) as (1, c, h, w) in [-1, 1]."""
    return normalise(to_tensor(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None])


def pixels_of(image: Tensor) -> np.ndarray:
    """The reverse, rounded."""
    return ((image[0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()


def small(pixels: np.ndarray) -> np.ndarray:
    """An image made small bicubically, as MATLAB's imresize does."""
    return pixels_of(bicubic(tensor(pixels), SCALE))


# --- training


def configured(name: str) -> tuple[str, Any]:
    """A system's name and its preset's settings."""
    system, _, preset = name.partition(":")
    game_class: Any = discovery.game_class(system)
    return system, discovery.load(system).PRESETS[preset] if preset else game_class.Config()


def pace(system: str, config: Any, given: argparse.Namespace) -> float:
    """Samples a second of a training on a quiet machine: measured once in half a minute, then read from --folder."""
    path = given.folder / "pace.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    key = f"{system} {replace(config, rounds=bool(config.rounds), pixel_rounds=bool(config.pixel_rounds))}"
    if key not in known:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "run"
            run = Run(folder=place, minutes=0.5, save_every=10**9)
            data = str(training_photos(given.folder))
            zerosum.train(system, data=data, config=config, options=TILES, run=run, features="none", quiet=True)
            rates = [line["samples/s"] for line in read_lines(place) if "samples/s" in line]
        known[key] = statistics.median(rates[len(rates) // 2 :])
        path.write_text(json.dumps(known, indent=2) + "\n")
    return known[key]


def budgeted(system: str, config: Any, given: argparse.Namespace) -> Any:
    """The settings with both phases longer or shorter by the same factor, so that they take the minutes given."""
    seconds = 0.0
    if config.pixel_rounds:
        seconds += config.pixel_rounds * config.batch_size / pace(system, replace(config, rounds=0), given)
    if config.rounds:
        game = replace(config, pixel_rounds=0, exemplar=1000)
        seconds += config.rounds * config.batch_size / pace(system, game, given)
    factor = 60 * given.minutes / seconds
    return replace(
        config, pixel_rounds=round(config.pixel_rounds * factor), rounds=round(config.rounds * factor),
        exemplar=max(round(config.exemplar * min(1.0, factor)), 1000),
    )  # fmt: skip


def trained(name: str, given: argparse.Namespace) -> tuple[Translator, str]:
    """The generator of a training and what it was trained for; gone on with where it was interrupted."""
    system, config = configured(name)
    folder = given.folder / f"{given.minutes:g}min-{name.replace(':', '-')}-{given.seed}"
    if checkpoint.saved(folder):
        generator = zerosum.resume(folder, quiet=True)
    else:
        config, run = budgeted(system, config, given), Run(folder=folder, seed=given.seed)
        data = str(training_photos(given.folder))
        generator = zerosum.train(system, data=data, config=config, options=TILES, run=run, features="none", quiet=True)
    assert isinstance(generator, Translator)
    played = generator.facts["config"]
    shown = f"{played['pixel_rounds']:,} rounds of pixels and {played['rounds']:,} of the game, batch "
    return generator, shown + f"{played['batch_size']}, precision {generator.facts['precision']}"


# --- measuring


@cache
def learned_distance() -> Perceptual:
    """A distance of features that were learned without labels from other data: textures, with another seed."""
    path = shared("textures/dtd_subset_128.parquet")
    patches = exemplars(load(str(path), Data(unlabelled=True)).train, 64)
    ids = torch.arange(len(patches))
    return Perceptual(exemplar(patches, ids, samples=50_000, seed=1, name="exemplar of textures"))


def measured(make: Enlarge, given: argparse.Namespace) -> dict[str, float]:
    """PSNR, SSIM, sharpness and distances of features on all test sets."""
    values: dict[str, float] = {}
    distances: dict[str, Distance] = {"features": learned_distance()}
    if given.lpips:
        distances["lpips"] = lpips(*given.lpips)
    for name in SETS:
        targets = list(tests(name).values())
        answers = [make(small(target)) for target in targets]
        found = fidelity(answers, targets, Protocol(border=SCALE))
        values |= {f"{name} PSNR": found.psnr, f"{name} SSIM": found.ssim, f"{name} sharpness": found.sharpness}
        with torch.no_grad():
            for key, distance in distances.items():
                pairs = [
                    [tensor(image[SCALE:-SCALE, SCALE:-SCALE]) for image in pair]
                    for pair in zip(answers, targets, strict=True)
                ]
                values[f"{name} {key}"] = statistics.mean(float(distance(*pair)) for pair in pairs)
    return values


BASELINES: dict[str, Enlarge] = {
    "nearest": lambda pixels: pixels.repeat(SCALE, axis=0).repeat(SCALE, axis=1),
    "bicubic": lambda pixels: pixels_of(enlarge(tensor(pixels), SCALE)),
}


def methods(given: argparse.Namespace) -> Iterator[tuple[str, Enlarge, str]]:
    """Name, function and budget of all that is compared, trained one after the other."""
    for name, make in BASELINES.items():
        yield name, make, "no training"
    for name in given.systems:
        translator, budget = trained(name, given)
        for blend in (1.0, 0.5) if isinstance(translator.network, Blend) else (1.0,):
            own = copy.deepcopy(translator)
            if isinstance(own.network, Blend):
                own.network.blend.fill_(blend)
            label = name if blend == 1.0 else f"{name} blend {blend:g}"
            yield label, partial(first, own), f"{given.minutes:g} minutes: {budget}"


def first(translator: Translator, pixels: np.ndarray) -> np.ndarray:
    """An image enlarged."""
    made: np.ndarray = translator.translate(pixels)[0]
    return made


def compare(given: argparse.Namespace) -> None:
    """The table and the picture."""
    makers: dict[str, Enlarge] = {}
    rows: list[dict[str, Any]] = []
    command = f"python -m benchmarks.superres --minutes {given.minutes:g} --seed {given.seed}"
    protocol = {
        "test": "Set5, Set14, BSD100, x 4; PSNR and SSIM of rounded luma (MATLAB's), 4 pixels of the border cropped; "
        "means over images; grey images as three equal channels",
        "sharpness": "squared differences of neighbouring pixels, of the truth's",
        "features": learned_distance().described(),
        "train": f"{TRAIN} without {', '.join(SEEN)}, tiles of 128 pixels",
        "seed": given.seed,
    }
    for name, make, budget in methods(given):
        makers[name], values = make, measured(make, given)
        row = {"system": name, "data": "x 4", "command": command, "values": values}
        rows.append(row | {"protocol": protocol | {"budget": budget}})
        print(name, {key: round(value, 3) for key, value in values.items()}, flush=True)
        keep("superres", noted(rows))
        save(picture(makers), given.folder / "strip.png")


def noted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with what they are to reach: 1.5 dB more than bicubic on Set5 by pixels alone; nearer features by the
    game.
    """
    values = {row["system"]: row["values"] for row in rows}
    pixel = next((name for name in values if name.endswith("pixel")), None)
    for row in rows:
        name, own = row["system"], row["values"]
        if name in BASELINES or "bicubic" not in values:
            continue
        gain = own["Set5 PSNR"] - values["bicubic"]["Set5 PSNR"]
        row["note"] = f"{gain:+.2f} dB over bicubic on Set5"
        if pixel and name != pixel:
            nearer = ", ".join(f"{values[pixel][f'{s} features'] / own[f'{s} features']:.2f} on {s}" for s in SETS)
            row["note"] += f"; features nearer than those of {pixel} by a factor of {nearer}"
    return rows


def picture(makers: dict[str, Enlarge]) -> Image.Image:
    """Crops of some test images as each method enlarges them, and as they are."""
    whole = {name: image for part in SETS for name, image in tests(part).items()}
    rows = []
    for name, (top, left) in SHOWN.items():
        given = small(whole[name])
        made = [make(given) for make in makers.values()] + [whole[name]]
        rows.append([Image.fromarray(image[top : top + CUT, left : left + CUT]) for image in made])
    doubled = [[image.resize((2 * CUT, 2 * CUT), Image.Resampling.NEAREST) for image in row] for row in rows]
    return strip(doubled, [*makers, "photo"])


# --- tiles


def large(given: argparse.Namespace) -> dict[str, Any]:
    """Memory and seconds of a photo of 2,000 x 3,000 pixels, x 4, and what tiles change."""
    name = given.systems[-1]
    translator, budget = trained(name, given)
    path = given.folder / "large.png"
    pieces = [pixels for pixels in tests("BSD100").values() if pixels.shape[:2] == (320, 480)]
    rows = [np.concatenate([pieces[(7 * i + j) % len(pieces)] for j in range(7)], axis=1) for i in range(7)]
    Image.fromarray(np.concatenate(rows)[:2000, :3000]).save(path)
    folder = given.folder / f"{given.minutes:g}min-{name.replace(':', '-')}-{given.seed}"
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.superres", "--enlarge", str(path), "--folder", str(folder)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    values = json.loads(found.stdout.splitlines()[-1]) | seams(translator)
    print(name, values, flush=True)
    return {
        "system": name, "data": "x 4 of 2,000 x 3,000 pixels", "values": values,
        "command": f"python -m benchmarks.superres --large --minutes {given.minutes:g} --seed {given.seed}",
        "protocol": {"training": budget, "seams": "levels of 256, tiles of 128 pixels against the whole, 320 x 480"},
    }  # fmt: skip


def enlarge_large(given: argparse.Namespace) -> None:
    """Enlarge a photo, and print memory and seconds as JSON: run in a process of its own."""
    generator = zerosum.load(given.folder)
    assert isinstance(generator, Translator)
    pixels = np.asarray(Image.open(given.enlarge))
    before, began = peak(), time.perf_counter()
    [made] = generator.translate([pixels])
    seconds = time.perf_counter() - began
    values = {"seconds": seconds, "peak RSS in MB": peak(), "before in MB": before, "output in MB": made.nbytes / 1e6}
    print(json.dumps(values))


def peak() -> float:
    """The most memory that this process has had, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def seams(translator: Translator) -> dict[str, float]:
    """How much an enlargement by tiles of 128 pixels differs from the whole: where tiles overlap, and elsewhere."""
    pixels = next(image for image in tests("BSD100").values() if image.shape[:2] == (320, 480))
    [whole], [tiled] = translator.translate([pixels], tile=512), translator.translate([pixels], tile=128)
    difference = np.abs(whole.astype(int) - tiled).max(axis=2)
    tiling = Tiling.of(SCALE, translator.multiple, 128)
    overlapped = np.zeros(difference.shape, bool)
    for axis, size in enumerate(pixels.shape[:2]):
        starts = tiling.starts(size)
        for start, before in zip(starts[1:], starts, strict=False):
            np.moveaxis(overlapped, axis, 0)[SCALE * start : SCALE * (before + tiling.side)] = True
    found = {}
    for place, where in (("where tiles overlap", overlapped), ("elsewhere", ~overlapped)):
        found[f"mean difference {place}"] = float(difference[where].mean())
        found[f"largest difference {place}"] = float(difference[where].max())
    return found


if __name__ == "__main__":
    main()
