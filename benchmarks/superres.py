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
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import zerosum
from benchmarks import tiles
from benchmarks.common import keep
from benchmarks.photos import SCALE, SEEN, SETS, TRAIN, pixels_of, shared, small, tensor, tests, training_photos
from zerosum.core import discovery
from zerosum.data import load
from zerosum.data.options import Data
from zerosum.editing.strips import strip
from zerosum.gans.translation.esrgan import Blend
from zerosum.health.evidence import read_lines
from zerosum.metrics.lpips import lpips
from zerosum.metrics.quality import Protocol, fidelity
from zerosum.objectives.degradations import enlarge
from zerosum.objectives.perceptual import Perceptual, exemplar
from zerosum.training import checkpoint
from zerosum.training.loop import Run
from zerosum.training.pictures import save
from zerosum.training.superresolution import exemplars
from zerosum.training.translator import Translator

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
    given = parser.parse_args()
    if given.large:
        keep("superres-large", [large(given)])
    else:
        compare(given)


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


def folder_of(name: str, given: argparse.Namespace) -> Path:
    """Where a training is kept."""
    folder: Path = given.folder / f"{given.minutes:g}min-{name.replace(':', '-')}-{given.seed}"
    return folder


def trained(name: str, given: argparse.Namespace) -> tuple[Translator, str]:
    """The generator of a training and what it was trained for; gone on with where it was interrupted."""
    system, config = configured(name)
    folder = folder_of(name, given)
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


def large(given: argparse.Namespace) -> dict[str, Any]:
    """Memory and seconds of a photo of 2,000 x 3,000 pixels, put together from others, and what tiles change."""
    name = given.systems[-1]
    translator, budget = trained(name, given)
    pieces = [pixels for pixels in tests("BSD100").values() if pixels.shape[:2] == (320, 480)]
    rows = [np.concatenate([pieces[(7 * i + j) % len(pieces)] for j in range(7)], axis=1) for i in range(7)]
    photo = np.concatenate(rows)[:2000, :3000]
    values = tiles.enlarged_alone(folder_of(name, given), photo) | tiles.seams(translator, pieces[0])
    print(name, values, flush=True)
    return {
        "system": name, "data": "x 4 of 2,000 x 3,000 pixels", "values": values,
        "command": f"python -m benchmarks.superres --large --minutes {given.minutes:g} --seed {given.seed}",
        "protocol": {"training": budget, "seams": f"levels of 256, tiles of {tiles.TILE} against the whole, 320 x 480"},
    }  # fmt: skip


if __name__ == "__main__":
    main()
