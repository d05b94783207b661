"""Enlarging a large photo by tiles: memory and seconds of a process of its own, and what the tiles change.

python -m benchmarks.tiles runs/superres/60min-esrgan-laptop-0 photo.png
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import zerosum
from zerosum.training.tiling import Tiling
from zerosum.training.translator import Translator

TILE = 128
"""Pixels a side of the tiles that are compared with the whole."""


def main() -> None:
    """Enlarge a photo, and print memory and seconds as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder, or the folder of a generator")
    parser.add_argument("photo", type=Path)
    given = parser.parse_args()
    generator = zerosum.load(given.run)
    assert isinstance(generator, Translator)
    pixels = np.array(Image.open(given.photo))
    before, began = peak(), time.perf_counter()
    [made] = generator.translate([pixels])
    values = {"seconds": time.perf_counter() - began, "peak RSS in MB": peak(), "before in MB": before}
    print(json.dumps(values | {"output in MB": made.nbytes / 1e6}))


def peak() -> float:
    """The most memory that this process has had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what the other way gives on Linux begins with what the starting process had
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def enlarged_alone(run: Path, photo: np.ndarray) -> dict[str, float]:
    """Memory and seconds that a photo (h, w, 3) takes in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.png"
        Image.fromarray(photo).save(path)
        command = [sys.executable, "-m", "benchmarks.tiles", str(run), str(path)]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    values: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return values


def seams(translator: Translator, pixels: np.ndarray) -> dict[str, float]:
    """By how many levels a photo (h, w, 3) enlarged by tiles differs from the whole: where tiles overlap and elsewhere.

    The largest difference of a pixel's channels counts.
    """
    [whole], [tiled] = translator.translate([pixels], tile=max(pixels.shape)), translator.translate([pixels], tile=TILE)
    difference = np.abs(whole.astype(int) - tiled).max(axis=2)
    tiling = Tiling.of(translator.scale, translator.multiple, TILE)
    overlapped = np.zeros(difference.shape, bool)
    for axis, size in enumerate(pixels.shape[:2]):
        starts = tiling.starts(size)
        for start, before in zip(starts[1:], starts, strict=False):
            part = slice(translator.scale * start, translator.scale * (before + tiling.side))
            np.moveaxis(overlapped, axis, 0)[part] = True
    found = {}
    for place, where in (("where tiles overlap", overlapped), ("elsewhere", ~overlapped)):
        found[f"mean difference {place}"] = float(difference[where].mean())
        found[f"largest difference {place}"] = float(difference[where].max())
    return found


if __name__ == "__main__":
    main()
