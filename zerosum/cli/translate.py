"""Translate images, folders of them and videos with a trained generator: other domains, colour, more pixels."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from zerosum.core.errors import BadData, BadFile, BadOption
from zerosum.core.extras import require
from zerosum.core.files import naming

if TYPE_CHECKING:
    import numpy as np
    from rich.progress import Progress

    from zerosum.training.translator import Translator

MOST_PIXELS = 400_000_000
"""A small file can claim to be enormous."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Translate an image, a folder of images and videos (sub-folders are kept), or a video.

    What is in --out already is not done again, so that an interrupted command goes on where it stopped; the files that
    are translated are never written to. The exit code is 1 where some were broken and left out.

    Example: zerosum translate runs/pix2pix-facades-20260101-1 photos/ --out translated/
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder, or a generator's folder."""
    input: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="INPUT")]
    """An image, a video (the extra `video`), or a folder of both."""
    out: Path = Path("translated")
    """A folder, or, for a single file, a file."""
    label: str | None = None
    """What to translate into, for a generator that knows several: a class by its name or number."""
    seed: int = 0
    """Of the noise, for a generator that has several answers."""
    answers: int = 1
    """How many answers to each image, NAME-1.png, NAME-2.png ..., for a generator that has several."""
    back: bool = False
    """From the domain that was the target to that which was the source (cyclegan)."""
    tile: int | None = None
    """Larger images are translated in tiles of so many pixels a side (default: what gives 1,024 in the output)."""
    overlap: int | None = None
    """Pixels that neighbouring tiles share (default: 64, less for small tiles)."""
    format: Literal["png", "jpg", "webp", "tiff", "bmp"] | None = None
    """Of images that are written; jpg and bmp show transparency as white (default: as they came, or else png)."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    force: bool = False
    """Translate again what is in --out already."""
    json: bool = False
    """Print what was written, what was there, and what is broken as JSON."""


@dataclasses.dataclass
class Done:
    """What became of the files."""

    files: list[str] = dataclasses.field(default_factory=list)
    there: list[str] = dataclasses.field(default_factory=list)
    broken: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def main(arguments: list[str]) -> int:
    """`zerosum translate`."""
    options = tyro.cli(Options, args=arguments, prog="zerosum translate")
    sources = found(options)
    if any(is_video(path) for path in sources):
        require("av", "video")  # said before the work
    translator = opened(options)
    jobs = planned(options, sources, translator.spec.shape[0] == 4)
    _prepare(options.out.parent if names_a_file(options.out) else options.out)
    done = Done()
    with _progress(options.json) as bar:
        task = bar.add_task("Translating", total=len(jobs))
        for source, targets in jobs.items():
            _one(source, targets, translator, options, done, bar)
            bar.advance(task)
    if options.json:
        print(json.dumps({**dataclasses.asdict(done), "seed": options.seed}, indent=2))
    else:
        print(_told(done, options.out))
    return 1 if done.broken else 0


# -- what is asked for ------------------------------------------------------------------------------------------------


def is_video(path: Path) -> bool:
    """Whether the ending of a file is that of a video."""
    from zerosum.data.videos import READ

    return path.suffix.lower() in READ


def found(options: Options) -> list[Path]:
    """The files that are to be translated, in order. Raises BadFile or BadData where there are none."""
    from zerosum.data.folders import IMAGES, hidden

    if not options.input.exists():
        raise BadFile(f"{options.input} does not exist: give an image, a video, or a folder of them.")
    if not options.input.is_dir():
        return [options.input]
    paths = []
    for folder, folders, names in os.walk(options.input):
        inner = (Path(folder, name) for name in folders if not hidden(name))
        folders[:] = sorted(path.name for path in inner if path.resolve() != options.out.resolve())
        paths += [Path(folder, name) for name in sorted(names) if not hidden(name)]
    chosen = [path for path in paths if path.suffix.lower() in IMAGES or is_video(path)]
    if not chosen:
        others = f" ({len(paths):,} other files)" if paths else ": it is empty"
        raise BadData(f"{options.input} holds no images or videos{others}.")
    return chosen


def opened(options: Options) -> Translator:
    """The generator, on its device, if it can do what is asked for. Raises BadOption."""
    from zerosum import api
    from zerosum.training.tiling import Tiling
    from zerosum.training.translator import Translator

    translator = api.load(options.run, _device(options.device))
    if not isinstance(translator, Translator):
        raise BadOption(
            f"{options.run} holds {translator.facts.get('system')}, which translates no images: "
            f"`zerosum sample {options.run}`."
        )
    translator = translator.back if options.back else translator
    translator.class_number(options.label)
    Tiling.of(translator.scale, translator.multiple, options.tile, options.overlap)
    if options.answers < 1 or (options.answers > 1 and not translator.latent.size):
        why = "it must be 1 or more" if options.answers < 1 else "this generator has a single answer to each image"
        raise BadOption(f"--answers is {options.answers}; {why}.")
    return translator


def _device(name: str) -> str:
    """A device that is there."""
    import torch

    there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    there += ["mps"] if torch.backends.mps.is_available() else []
    if name == "auto":
        return "cuda:0" if "cuda:0" in there else there[-1]
    chosen = "cuda:0" if name == "cuda" else name
    if chosen not in there:
        raise BadOption(f"--device {name} is not available on this machine: there is {', '.join(there)}.")
    return chosen


def planned(options: Options, sources: list[Path], transparent: bool) -> dict[Path, list[Path]]:
    """The files that each is translated into: one, or one for each answer. `transparent`: they have four channels.

    Raises:
        BadOption: the output is not what it should be, or would be written over the input.
    """
    out, several = options.out, options.input.is_dir()
    if names_a_file(out):
        if several or is_video(out) != is_video(options.input) or options.format is not None:
            raise BadOption(f"--out {out} is for a single file of its kind, and without --format: name a folder.")
        plain = {sources[0]: out}
    else:
        root = options.input if several else options.input.parent
        plain = {
            path: out / path.relative_to(root).with_suffix(_ending(path, options, transparent)) for path in sources
        }
        taken = Counter(plain.values())
        for path, target in plain.items():
            plain[path] = target if taken[target] == 1 else target.with_name(path.name + target.suffix)
    jobs = {path: [target] for path, target in plain.items()}
    if options.answers > 1:
        numbers = range(1, options.answers + 1)
        jobs = {path: [target.with_stem(f"{target.stem}-{n}") for n in numbers] for path, target in plain.items()}
    kept = {path.resolve() for path in sources}
    for path, targets in jobs.items():
        if any(target.resolve() in kept for target in targets):
            raise BadOption(f"--out {out} would put the answer to {path} over an image that is to be translated.")
    return jobs


def names_a_file(out: Path) -> bool:
    """Whether --out is meant as a file, by its ending."""
    from zerosum.data.videos import WRITTEN
    from zerosum.training.pictures import FORMATS

    return out.suffix.lower() in {*FORMATS, *WRITTEN} and not out.is_dir()


def _ending(path: Path, options: Options, transparent: bool) -> str:
    """Of the file that this one is translated into."""
    from zerosum.data.videos import WRITTEN
    from zerosum.training.pictures import FORMATS, OPAQUE

    ending = path.suffix.lower()
    if is_video(path):
        return path.suffix if ending in WRITTEN else ".mp4"
    if options.format is not None:
        return f".{options.format}"
    return path.suffix if ending in FORMATS and not (transparent and FORMATS[ending] in OPAQUE) else ".png"


def _prepare(folder: Path) -> None:
    """Make the folder, if that and writing to it is possible."""
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise BadFile(f"cannot write to {folder}: permission denied: choose a place you may write to.")


# -- the work ---------------------------------------------------------------------------------------------------------


def _one(
    source: Path, targets: list[Path], translator: Translator, options: Options, done: Done, bar: Progress
) -> None:
    """Translate one file, and note what became of it."""
    from zerosum.training.pictures import save_pixels

    missing = {number: target for number, target in enumerate(targets) if options.force or not target.exists()}
    done.there += [str(target) for number, target in enumerate(targets) if number not in missing]

    def answer(number: int) -> Callable[[np.ndarray], np.ndarray]:
        seed, label, tile, overlap = options.seed + number, options.label, options.tile, options.overlap
        return lambda seen: translator.translate(seen, seed=seed, label=label, tile=tile, overlap=overlap)[0]

    asked = options.format is not None or options.out in targets
    try:
        pixels, lost = (None, []) if is_video(source) or not missing else read(source)
        if lost:
            done.notes[str(source)] = lost
        for number, target in missing.items():
            if pixels is not None:
                save_pixels(answer(number)(pixels), target, asked=asked)
            elif lost := _film(source, target, answer(number), bar):
                done.notes[str(source)] = lost
            done.files.append(str(target))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise BadOption(f"there is not enough memory to translate {source}: give a smaller --tile.") from error
    except BadData as error:
        if not options.input.is_dir():
            raise
        done.broken[str(source)] = str(error)
        bar.console.print(f"left out: {error}", markup=False, highlight=False, soft_wrap=True)


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    """The pixels (h, w, c) of an image file, and what of it is not among them. Raises BadData."""
    from zerosum.data.files import LOSSES, Unusable, decode, header, own_limit

    try:
        with own_limit:
            content = path.read_bytes()
            pixels = decode(content, MOST_PIXELS)
            return pixels, [note for note in header(content, MOST_PIXELS).conversions if note.startswith(LOSSES)]
    except Unusable as error:
        why = f"it has more than {MOST_PIXELS:,} pixels" if error.kind == "too large" else str(error)
        raise BadData(f"{path} cannot be translated: {why}.") from error
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror or error}.") from error


def _film(source: Path, target: Path, change: Callable[[np.ndarray], np.ndarray], bar: Progress) -> list[str]:
    """Translate a video, frame by frame, with a bar of its own; what could not be kept."""
    from zerosum.data.videos import rewrite

    task = bar.add_task(source.name, total=None)
    try:
        return rewrite(source, target, change, lambda count, of: bar.update(task, completed=count, total=of))
    finally:
        bar.remove_task(task)


def _progress(quiet: bool) -> Progress:
    """A bar with the time left, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet)


def _told(done: Done, out: Path) -> str:
    """What became of the files, in words."""
    lines = [f"{source}: {note}" for source, notes in done.notes.items() for note in notes]
    line = f"wrote {len(done.files):,} files to {out}"
    line += f"; {len(done.there):,} were there already (--force translates them again)" if done.there else ""
    line += f"; {len(done.broken):,} could not be translated" if done.broken else ""
    return "\n".join([*lines, line])
