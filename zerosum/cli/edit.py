"""Edit images: project photos, interpolate, mix, find and apply directions."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from zerosum.cli._edit_options import (
    Apply,
    Common,
    FindDirections,
    Interpolate,
    Mix,
    Moving,
    Project,
    Truncate,
)
from zerosum.core.errors import BadFile, BadOption
from zerosum.core.extras import require
from zerosum.data.options import Data

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from zerosum.editing.directions import Directions
    from zerosum.editing.points import Points
    from zerosum.training.generator import TrainedGenerator

USAGE = """usage: zerosum edit RUN ACTION [options]

Edit images with a trained generator. RUN is a run folder, or a generator's folder.

actions:
  project      find the points whose images are nearest to photos
  interpolate  go from image to image
  mix          take some layers' styles from other images
  truncate     show images ever nearer to the mean
  directions   find directions that change one thing
  apply        move images along a direction

`zerosum edit RUN ACTION --help` explains one.

examples:
  zerosum edit runs/faces project photo.png --out edits/me
  zerosum edit runs/faces directions --method sefa --out edits/sefa
  zerosum edit runs/faces apply --direction edits/sefa/directions.safetensors --strength -3..3 \\
      --projection edits/me/projection.safetensors --out edits/me-moved
"""


def main(arguments: list[str]) -> int:
    """`zerosum edit`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    if arguments[0] in ACTIONS and not Path(arguments[0]).exists():
        if set(arguments[1:]) & {"-h", "--help"}:
            arguments = ["RUN", *arguments]
        else:
            raise BadOption(f"the run comes first: `zerosum edit RUN {' '.join(arguments)}`.")
    run, action = arguments[0], arguments[1] if len(arguments) > 1 else ""
    if action in ("-h", "--help"):
        print(USAGE)
        return 0
    if action not in ACTIONS:
        near = difflib.get_close_matches(action, ACTIONS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        said = f"there is no action {action!r}." if action else "an action is missing."
        raise BadOption(f"{said}{hint} `zerosum edit RUN ACTION`: the actions are {', '.join(ACTIONS)}.")
    options: Any = tyro.cli(ACTIONS[action][0], args=_joined(arguments[2:]), prog=f"zerosum edit RUN {action}")
    if isinstance(options, Moving) and options.video:
        require("av", "video")  # said before the work, not after it
    report = ACTIONS[action][1](_generator(run), options, run)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    return 0


def _joined(arguments: list[str]) -> list[str]:
    """`--strength -3..3` as `--strength=-3..3`, because what begins with - is taken for an option."""
    found = list(arguments)
    while "--strength" in found[:-1]:
        place = found.index("--strength")
        found[place : place + 2] = [f"--strength={found[place + 1]}"]
    return found


def show(report: dict[str, Any]) -> None:
    """Print what was found, a line each, and what was written."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    for line in report.get("lines", []):
        console.print(escape(line))
    files = report["files"]
    console.print(escape(f"wrote {', '.join(files[:6])}{f' and {len(files) - 6} more' if len(files) > 6 else ''}"))


def _generator(run: str) -> TrainedGenerator:
    from zerosum import api
    from zerosum.editing.points import check

    generator = api.load(run)
    check(generator)
    return generator


def _class(options: Common, generator: TrainedGenerator) -> int | None:
    from zerosum.cli.sample import class_number

    return None if options.class_ is None else class_number(options.class_, generator)


# -- the actions ------------------------------------------------------------------------------------------------------


def _project(generator: TrainedGenerator, options: Project, run: str) -> dict[str, Any]:
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from zerosum.editing import points, projection, strips
    from zerosum.training.pictures import save

    photos = _photos(options.photos)
    settings = projection.Settings(
        options.space,
        options.steps,
        options.rate,
        pull=options.pull,
        noise=1e5 if options.fit_noise else None,
        start=options.start,
    )
    targets = projection.encode(generator, list(photos.values()))
    distance = _distance(options, run)
    found = []
    with Progress(console=Console(stderr=True), transient=True, disable=options.json) as bar:
        task = bar.add_task("Projecting", total=options.steps * -(-len(targets) // options.batch))
        for part in targets.split(options.batch):
            found.append(
                projection.project(
                    generator, part, label=_class(options, generator), settings=settings, distance=distance,
                    seed=options.seed, progress=lambda: bar.advance(task),
                )
            )  # fmt: skip
    whole, images = points.join([one.points for one in found]), torch.cat([one.images for one in found])
    points.save(whole, generator, options.out / "projection.safetensors", list(photos))
    seen, made = points.pictures(generator, targets), points.pictures(generator, images)
    paths = [options.out / f"{index:03d}-{Path(name).stem}.png" for index, name in enumerate(photos)]
    for path, image in zip(paths, made, strict=True):
        save(image, path)
    save(strips.strip([seen, made], list(photos), ["photo", "found"]), options.out / "strip.png")
    curve = torch.cat([one.curve for one in found], dim=1)
    _write_curve(options.out / "errors.csv", list(photos), curve)
    errors = {name: values.tolist() for name, values in projection.errors(images, targets).items()}
    rows = [
        {"photo": name, "distance": float(curve[-1, i]), "mse": errors["mse"][i], "psnr": errors["psnr"][i]}
        for i, name in enumerate(photos)
    ]
    written = [options.out / "projection.safetensors", options.out / "strip.png", options.out / "errors.csv", *paths]
    lines = [f"{row['photo']}: distance {row['distance']:.4g}, PSNR {row['psnr']:.1f} dB" for row in rows]
    return {"files": list(map(str, written)), "photos": rows, "lines": lines, "seed": options.seed}


def _interpolate(generator: TrainedGenerator, options: Interpolate, run: str) -> dict[str, Any]:
    from zerosum.editing import interpolation, strips

    label = _class(options, generator)
    if options.between == "z":
        if options.projection is not None:
            raise BadOption("--between z needs --seeds: a projected photo has no z.")
        way = interpolation.path_in_z(
            generator, options.seeds, options.frames, label=label, truncation=options.truncation, closed=options.loop
        )
    else:
        keys, _ = _start(generator, options.seeds, options.projection, label, options.truncation)
        way = interpolation.path(generator, keys, options.frames, closed=options.loop)
    images = _pictures(generator, way)
    frames = [strips.shown(image) for image in images]
    every = images[:: max(1, options.frames // 6)]
    sheet = strips.strip(strips.table(every[: len(every) // 6 * 6] or every, min(6, len(every))))
    paths = _animation(options, "interpolation", frames if options.loop else strips.back_and_forth(frames))
    return {"files": [_saved(sheet, options.out / "frames.png"), *paths], "frames": len(frames)}


def _mix(generator: TrainedGenerator, options: Mix, run: str) -> dict[str, Any]:
    from PIL import Image

    from zerosum.editing import mixing, strips

    label = _class(options, generator)
    layers = mixing.layers_named(generator, options.layers)
    rows, names = _start(generator, options.rows, options.projection, label, options.truncation, "--rows")
    columns, above = _start(generator, options.columns, None, label, options.truncation, "--columns")
    mixed = _pictures(generator, mixing.mix(rows, columns, layers))
    top, side = _pictures(generator, columns), _pictures(generator, rows)
    blank = Image.new("RGB", top[0].size, strips.PAPER)
    table = [[blank, *top], *([one, *row] for one, row in zip(side, strips.table(mixed, len(top)), strict=True))]
    sheet = strips.strip(table, ["", *above], ["", *names])
    lines = [f"layers {', '.join(map(str, layers))} from the columns"]
    return {"files": [_saved(sheet, options.out / "mix.png")], "layers": layers, "lines": lines}


def _truncate(generator: TrainedGenerator, options: Truncate, run: str) -> dict[str, Any]:
    from zerosum.editing import interpolation, strips

    found = interpolation.truncations(generator, options.seeds, options.psi, _class(options, generator))
    rows = strips.table(_pictures(generator, found), len(options.psi))
    names = [f"seed {seed}" for seed in options.seeds]
    sheet = strips.strip(rows, [f"{psi:g}" for psi in options.psi], names)
    frames = [strips.strip([list(column)], [""] * len(column)) for column in zip(*rows, strict=True)]
    paths = _animation(options, "truncation", strips.back_and_forth(frames))
    return {"files": [_saved(sheet, options.out / "truncation.png"), *paths]}


def _directions(generator: TrainedGenerator, options: FindDirections, run: str) -> dict[str, Any]:
    from zerosum.editing import directions, strips

    strengths = directions.parse_strengths(options.strength)
    found = _found(generator, options, run)
    path = options.out / "directions.safetensors"
    directions.save(found, generator, path)
    start, names = _start(generator, options.seeds, None, _class(options, generator), 1.0)
    written = [str(path)]
    for position, name in enumerate(found.names):
        images = _pictures(generator, directions.moved(start, found, position, strengths))
        sheet = strips.strip(strips.table(images, len(strengths)), [strips.signed(s) for s in strengths], names)
        written.append(_saved(sheet, options.out / f"{_safe(name)}.png"))
    lines = [f"{name}: {text}" for name, text in zip(found.names, _qualities(found), strict=True)]
    facts = {"names": list(found.names), "method": found.method, "facts": dict(found.facts)}
    return {"files": written, **facts, "lines": lines}


def _apply(generator: TrainedGenerator, options: Apply, run: str) -> dict[str, Any]:
    from zerosum.editing import directions, mixing, points, strips
    from zerosum.training.pictures import save

    if options.direction is None:
        raise BadOption("--direction is missing: name a file that `zerosum edit RUN directions` has written.")
    strengths = directions.parse_strengths(options.strength)
    known = directions.load(options.direction, generator)
    if options.layers is not None:
        known = dataclasses.replace(known, layers=tuple(mixing.layers_named(generator, options.layers)))
    position = known.find(options.name)
    label, seeds = _class(options, generator), options.seeds or ([] if options.projection else [1, 2, 3, 4])
    start, names = _start(generator, seeds, options.projection, label, 1.0)
    many = directions.moved(start, known, position, strengths)
    points.save(many, generator, options.out / "moved.safetensors")
    rows = strips.table(_pictures(generator, many), len(strengths))
    written = [_saved(strips.strip(rows, [strips.signed(s) for s in strengths], names), options.out / "strip.png")]
    for name, row in zip(names, rows, strict=True):
        for strength, image in zip(strengths, row, strict=True):
            path = options.out / f"{_safe(name)}_{strips.signed(strength)}.png"
            save(image, path)
            written.append(str(path))
    frames = [strips.strip([list(column)], names) for column in zip(*rows, strict=True)]
    paths = _animation(options, "edit", strips.back_and_forth(frames))
    lines = [f"{known.names[position]} at {', '.join(map(strips.signed, strengths))}"]
    return {"files": [written[0], *paths, str(options.out / "moved.safetensors"), *written[1:]], "lines": lines}


# -- what they share --------------------------------------------------------------------------------------------------


def _safe(name: str) -> str:
    """A name that can be part of a file's."""
    return re.sub(r"[^\w-]+", "_", name)


def _photos(paths: list[Path]) -> dict[str, Image.Image]:
    """Images by their names, as their files have them."""
    from PIL import Image

    from zerosum.data.files import Unusable, decode

    if not paths:
        raise BadOption("no photo was given: `zerosum edit RUN project photo.png`.")
    found = {}
    for path in paths:
        try:
            array = decode(path.read_bytes(), Data().max_pixels)
        except Unusable as error:
            raise BadFile(f"{path} is not an image that can be read: {error}.") from error
        except OSError as error:
            raise BadFile(f"{path} cannot be read: {error.strerror or error}.") from error
        name = path.name if path.name not in found else str(path)
        found[name] = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    return found


def _start(
    generator: TrainedGenerator, seeds: list[int], projection: Path | None, label: int | None, truncation: float,
    option: str = "--seeds",
) -> tuple[Points, list[str]]:  # fmt: skip
    """The points that an edit starts from, and what to call them."""
    from zerosum.editing import points

    if projection is None:
        if not seeds:
            raise BadOption(f"{option} names no images: give one or more, as in {option} 1 2 3.")
        return points.drawn(generator, seeds, label, truncation), [f"seed {seed}" for seed in seeds]
    if seeds:
        raise BadOption(f"give {option} or --projection, not both.")
    names = points.read(projection, "points", generator)[1].get("names", [])
    found = points.load(projection, generator)
    return found, [Path(name).stem for name in names] or [f"photo {index}" for index in range(len(found))]


def _pictures(generator: TrainedGenerator, where: Points) -> list[Image.Image]:
    from zerosum.editing.points import images_of, pictures

    return pictures(generator, images_of(generator, where))


def _saved(picture: Image.Image, path: Path) -> str:
    from zerosum.training.pictures import save

    save(picture, path)
    return str(path)


def _animation(options: Moving, name: str, frames: list[Image.Image]) -> list[str]:
    from zerosum.editing import strips

    paths = [options.out / f"{name}.gif"]
    strips.animate(frames, paths[0], rate=options.rate)
    if options.video:
        paths.append(options.out / f"{name}.mp4")
        strips.film(frames, paths[1], rate=options.rate)
    return list(map(str, paths))


def _write_curve(path: Path, names: list[str], curve: Tensor) -> None:
    import csv
    import io

    from zerosum.core.files import write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", *names])
    writer.writerows([step + 1, *(f"{value:.6g}" for value in row)] for step, row in enumerate(curve.tolist()))
    write_text(path, text.getvalue())


def _dataset(options: Project | FindDirections, run: str) -> Any:
    """The labelled data that an option names, or that the run was trained on."""
    from zerosum import api
    from zerosum.data import load

    source, data = options.source, options.data
    if source is None:
        try:
            command = api.read_command(Path(run))
        except BadFile as error:
            raise BadOption(f"{run} is no run folder, which would say what it was trained on: give --data.") from error
        source, data = command.data, command.options if data == Data() else data
    generator = api.load(run)
    if data.resolution is None:
        data = dataclasses.replace(data, resolution="{1}x{2}".format(*generator.spec.shape))
    if data.channels is None:
        data = dataclasses.replace(data, channels=generator.spec.shape[0])  # type: ignore[arg-type]
    return load(source, data)


def _distance(options: Project, run: str) -> Any:
    from zerosum.editing import distance

    if options.features == "none":
        return distance.pyramid
    from torch.nn import functional as F

    from zerosum.metrics.classifier import cached

    network, _ = cached(_dataset(options, run))
    layers = distance.activations(network.convolutions)

    def features(images: Tensor) -> Any:
        small = images if images.shape[2:] == network.input_size else F.adaptive_avg_pool2d(images, network.input_size)
        network.to(images.device)
        return layers(small)

    return distance.perceptual(features)


def _found(generator: TrainedGenerator, options: FindDirections, run: str) -> Directions:
    from zerosum.editing.ganspace import ganspace
    from zerosum.editing.mixing import layers_named
    from zerosum.editing.sefa import sefa

    layers = None if options.layers is None else layers_named(generator, options.layers)
    if options.method == "sefa":
        return sefa(generator, options.count, layers=layers, samples=options.samples or 10_000, seed=options.seed)
    if options.method == "ganspace":
        return ganspace(generator, options.count, layers=layers, samples=options.samples, seed=options.seed)
    return _of_attribute(generator, options, layers, run)


def _of_attribute(
    generator: TrainedGenerator, options: FindDirections, layers: list[int] | None, run: str
) -> Directions:
    import torch

    from zerosum.editing import attributes, directions, points

    label = _class(options, generator)
    if options.method == "labels":
        where = points.population(generator, options.samples or 4_000, options.seed, label)
        scores = _labelled(generator, options, where, run)
    else:
        if options.scores is None:
            raise BadOption("--method scores needs --scores FILE.csv, with one row for each sample.")
        rows, scores = attributes.read_scores(options.scores)
        n = options.samples or len(rows)
        if max(rows) >= n:
            raise BadOption(
                f"{options.scores} scores sample {max(rows)}, but there are {n} samples: give the N of "
                "`zerosum sample -n N` with --samples."
            )
        where = points.population(generator, n, options.seed, label)[rows]
    attribute = options.attribute or next(iter(scores))
    if options.attribute is None and len(scores) > 1:
        raise BadOption(f"say which score the direction raises, with --attribute: {', '.join(scores)}.")
    others = [directions.load(path, generator).vectors for path in options.against]
    return attributes.attribute(
        where.w, scores, attribute, keep=options.keep, others=torch.cat(others) if others else None, layers=layers,
        seed=options.seed,
    )  # fmt: skip


def _labelled(generator: TrainedGenerator, options: FindDirections, where: Points, run: str) -> dict[str, Tensor]:
    """Scores of points by a classifier of labelled data: its log-odds of a class, or the number that it expects."""
    import torch

    from zerosum.editing.attributes import scored
    from zerosum.metrics.classifier import cached
    from zerosum.metrics.features import quantise

    dataset = _dataset(options, run)
    network, _ = cached(dataset)
    names = dataset.class_names

    def expected(images: Tensor) -> Tensor:
        return network(quantise(images).float() / 127.5 - 1).softmax(1) @ torch.tensor([float(name) for name in names])

    def odds(position: int) -> Any:
        def score(images: Tensor) -> Tensor:
            logits = network(quantise(images).float() / 127.5 - 1)
            rest = torch.cat([logits[:, :position], logits[:, position + 1 :]], dim=1)
            return logits[:, position] - rest.logsumexp(1)

        return score

    found = {}
    numbers = len(names) > 2 and all(re.fullmatch(r"-?\d+(\.\d+)?", name) for name in names)
    for wanted in [options.attribute, *options.keep]:
        if wanted in names:
            found[str(wanted)] = scored(generator, where, odds(names.index(str(wanted))))
        elif wanted is None and numbers:
            found[options.data.labels or "number"] = scored(generator, where, expected)
        elif wanted is None and len(names) == 2:
            found[names[1]] = scored(generator, where, odds(1))
        else:
            said = "say which class the direction is for" if wanted is None else f"there is no class {wanted!r}"
            raise BadOption(f"--attribute: {said}; the classes are {', '.join(names[:20])}.")
    return found


def _qualities(found: Directions) -> list[str]:
    """What is known of each direction, in words."""
    facts = found.facts
    if "share" in facts:
        what = "of the maps' power" if found.method == "sefa" else "of the variance"
        return [f"{share:.1%} {what}" for share in facts["share"]]
    texts = []
    for name, quality in facts["quality"].items():
        measure, value = next(iter(quality.items()))
        texts.append(f"{name} is read from w with {measure} {value:.3f} on held-out samples")
    return ["; ".join(texts)]


ACTIONS: dict[str, tuple[type[Common], Callable[[TrainedGenerator, Any, str], dict[str, Any]]]] = {
    "project": (Project, _project),
    "interpolate": (Interpolate, _interpolate),
    "mix": (Mix, _mix),
    "truncate": (Truncate, _truncate),
    "directions": (FindDirections, _directions),
    "apply": (Apply, _apply),
}
