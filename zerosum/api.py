"""train, resume, load, evaluate: the loop with its callbacks (scores, health, pictures, trackers) put together once,
for everyone above.
"""

from __future__ import annotations

import dataclasses
import datetime
import platform
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

import zerosum
from zerosum.core import discovery, files, randomness
from zerosum.core.errors import BadFile, BadOption, ZerosumError
from zerosum.core.settings import Auto, from_json, to_json
from zerosum.data import load as load_data
from zerosum.data.options import Data
from zerosum.data.spec import Dataset
from zerosum.data.tables.store import TableStore
from zerosum.health.monitor import Monitor
from zerosum.interop import read_weights
from zerosum.metrics.callback import Scoring
from zerosum.metrics.reference import enough
from zerosum.metrics.scores import Scores
from zerosum.metrics.scores import evaluate as score
from zerosum.metrics.tables.callback import TableScoring
from zerosum.metrics.tables.imputing import ImputationScores, ImputerScoring, evaluate_imputer
from zerosum.metrics.tables.scores import TableScores, evaluate_tables
from zerosum.report.callback import Reporting
from zerosum.report.nearest import check as check_pictured
from zerosum.report.nearest import write_nearest
from zerosum.training import automatic, checkpoint, loop, memory, transfer
from zerosum.training.arena import Arena, open_arena, requested
from zerosum.training.augmentation import ADA, Augment
from zerosum.training.batches import equal_share
from zerosum.training.callback import Callback
from zerosum.training.generator import TrainedGenerator
from zerosum.training.imputer import Imputer
from zerosum.training.loop import Run
from zerosum.training.pictures import Pictures
from zerosum.training.table_generator import TableGenerator
from zerosum.training.trackers import JsonLines, ProgressBar, TensorBoard, WeightsAndBiases, announce

Features = Literal["auto", "inception", "dinov2", "classifier", "pixels", "none"]
NOTES = 10
"""About the data, that the terminal shows; config.json and the report have all."""


@dataclass(frozen=True)
class Command:
    """All that a training was asked for: what config.json holds and `resume` reads."""

    system: str
    config: Any
    data: Any
    """Where the samples come from: a path, hf://name, or the name of a built-in set."""
    options: Data = Data()
    run: Run = Run()
    features: Features = "auto"
    """What scores are measured on; none: no scores, and the last generator is kept."""
    weights: Path | None = None
    """Weights file for the features, where they cannot be downloaded."""
    wandb: str | None = None
    """Project on Weights & Biases."""
    start_from: Path | None = None
    """Run folder, or folder of a generator, whose weights training starts from."""
    freeze_discriminator: int | None = None
    """How many layers of the discriminator, from the image on, stay as they are."""
    augment: Augment | Auto | None = None
    """What is done to the images that the discriminator sees."""


def train(
    system: str, data: Any = "digits", *, config: Any = None, options: Data | None = None, run: Run | None = None,
    features: Features = "auto", weights: Path | None = None, wandb: str | None = None, quiet: bool = False,
    minutes: float | None = None, start_from: Path | str | None = None, freeze_discriminator: int | None = None,
    augment: Augment | Auto | None = None,
) -> TrainedGenerator:  # fmt: skip
    """Train a system on data and return its best generator.

    Args:
        system: one of `zerosum list`.
        data: a folder, archive, npz, parquet, hf://name, a built-in set, or an array of images (n, h, w, c).
        config: the system's Config; by default the paper's settings, or those of `start_from`.
        options: how the data is read.
        run: how long and where.
        features: what scores are measured on: auto, inception, dinov2, classifier, pixels or none.
        weights: a local weights file for inception or dinov2.
        wandb: also log to this project on Weights & Biases.
        quiet: no progress bar.
        minutes: short for run=Run(minutes=...).
        start_from: a run folder, or the folder of a generator, whose weights training starts from.
        freeze_discriminator: how many layers of the discriminator, from the image on, stay as they are.
        augment: what is done to the images that the discriminator sees: ADA(), DiffAugment() or Fixed() of
            zerosum.training.augmentation; "auto": ADA where there are few images.

    Example:
        >>> generator = zerosum.train("dcgan", data="digits", minutes=3)
    """
    run = run or Run()
    if minutes is not None:
        run = dataclasses.replace(run, minutes=minutes)
    game_class: Any = discovery.game_class(system)
    if config is None and start_from is not None:
        config = transfer.read(start_from, discovery.find(system).name).config
    command = Command(
        discovery.find(system).name,
        config or game_class.Config(),
        data,
        options or Data(),
        run,
        features,
        weights,
        wandb,
        start_from=None if start_from is None else Path(start_from),
        freeze_discriminator=freeze_discriminator,
        augment=augment,
    )
    return start(command, quiet=quiet)


def start(command: Command, *, quiet: bool = False) -> TrainedGenerator:
    """Begin the training that a command describes, in a new run folder."""
    if command.run.folder is not None and checkpoint.saved(command.run.folder):  # before other processes are started
        taken = command.run.folder
        raise BadOption(
            f"{taken} already holds a training: continue it with `zerosum resume {taken}`, "
            "or name another --run.folder."
        )
    dataset = _dataset(command)
    command, game, said = _begun(command, dataset)
    arena = _arena(command, game)
    command, said = _fitted(command, dataset, game, arena, said)
    folder = command.run.folder or _new_name(command.system, dataset.name)
    arena.barrier()
    command = dataclasses.replace(command, run=dataclasses.replace(command.run, folder=folder))
    if arena.rank == 0:
        _describe(command, dataset, arena, folder, said)
        if not quiet:
            announce(_told(dataset, said))
    return _play(command, dataset, game, arena, folder, quiet, said)


def dry_run(command: Command) -> tuple[dict[str, Any], str]:
    """What `start` would do: the command with its numbers resolved, as JSON, and what it would say."""
    dataset = _dataset(command)
    command, game, said = _begun(command, dataset)
    accelerator, _, _ = requested(command.run.devices)
    arena = open_arena(accelerator, command.run.precision, None, game.narrow)
    command, said = _fitted(command, dataset, game, arena, said)
    return to_json(command) | said, _told(dataset, said)


def resume(
    folder: Path | str, *, quiet: bool = False, minutes: float | None = None, samples: int | None = None
) -> TrainedGenerator:
    """Continue a run from its last checkpoint, bit for bit as if it had not stopped.

    Args:
        folder: the run folder.
        quiet: no progress bar.
        minutes, samples: a new limit, to train longer than first asked for.
    """
    folder = Path(folder)
    command = read_command(folder)
    run = dataclasses.replace(command.run, folder=folder)
    if minutes is not None or samples is not None:
        run = dataclasses.replace(run, minutes=minutes, samples=samples)
    command = dataclasses.replace(command, run=run)
    dataset = _dataset(command)
    game = _game(command, dataset)
    described = files.read_json(folder / "config.json")
    said = {name: described[name] for name in ("chosen", "started_from") if name in described}
    return _play(command, dataset, game, _arena(command, game), folder, quiet, said)


def read_command(folder: Path) -> Command:
    """The command that a run folder was made by."""
    if not (folder / "config.json").exists():
        raise BadFile(f"{folder} is not a run folder: it has no config.json. Runs are kept in runs/ by default.")
    content = files.read_json(folder / "config.json")
    try:
        stored = content["command"]
        game_class: Any = discovery.game_class(stored["system"])
        command = from_json(Command, {**stored, "config": None})
        return dataclasses.replace(command, config=from_json(game_class.Config, stored["config"]))
    except (KeyError, TypeError, ValueError, ZerosumError) as error:
        reason = str(error) if isinstance(error, ZerosumError) else repr(error)
        raise BadFile(f"{folder / 'config.json'} is not the config of a run that can be resumed: {reason}") from error


def load(path: Path | str, device: torch.device | str = "cpu") -> TrainedGenerator:
    """The generator of a run folder, or of a folder in the Hugging Face layout.

    Example:
        >>> zerosum.load("runs/demo").sample(16, seed=1)[0].save("digit.png")
    """
    path = Path(path)
    for folder in (path / "generator", path):
        if (folder / "model.safetensors").exists():
            return TrainedGenerator.load(folder, device)
    if not path.exists():
        raise BadFile(
            f"{path} does not exist: give a run folder (runs/...) or a folder with config.json and model.safetensors."
        )
    if checkpoint.saved(path):
        raise BadFile(
            f"{path} has checkpoints but no generator yet: `zerosum resume {path}` trains on until its next snapshot."
        )
    raise BadFile(f"{path} holds no generator: expected generator/model.safetensors or model.safetensors in it.")


def import_weights(file: Path | str, system: str | None = None) -> TrainedGenerator:
    """Another project's weights as a generator. Nothing that the file contains is run.

    Args:
        file: NVIDIA's pickles of StyleGAN2, StyleGAN2-ADA and StyleGAN3; R3GAN's; BigGAN's, CycleGAN's, pix2pix's,
            CUT's, ESRGAN's and Real-ESRGAN's .pth; state dicts with their names as .pt, .pth or .safetensors.
        system: which system they are of; None: found out.

    Raises:
        BadFile: it cannot be read, holds no generator, or zerosum has no network that would make the same images.
        BadOption: they are another system's weights.

    Example:
        >>> zerosum.import_weights("ffhq.pkl").save("ffhq/")
        >>> large = zerosum.import_weights("RealESRGAN_x4plus.pth").translate(Image.open("small.png"))
    """
    generator = read_weights(file, system)
    generator.facts["versions"] = versions()
    return generator


def evaluate(
    generator: TrainedGenerator | Path | str, data: Any = None, *, features: str = "auto", n: int = 10_000,
    seed: int = 0, weights: Path | None = None, options: Data | None = None, per_class: bool = False,
    fair: str | None = None, favourable: str | None = None, nearest: Path | None = None,
) -> Scores | TableScores | ImputationScores:  # fmt: skip
    """Measure a generator (or the one of a run folder) against data, by default the data it was trained on.

    Args:
        generator: a generator, a run folder, or the folder of a generator.
        data: what it is compared with; by default what a run was trained on.
        features: what images are compared by.
        n: generated samples; of an imputer, held-out rows at most.
        seed: of the generated samples.
        weights: a local weights file for features of images.
        options: how the data is read.
        per_class: images: also a score for each class.
        fair, favourable: tables: measure fairness to the groups of a column, in the label that they want.
        nearest: images: where to write a picture of the samples that are most like a training image, each above it.

    Example:
        >>> print(zerosum.evaluate("runs/demo", n=2000).values["fd"])
    """
    if not isinstance(generator, TrainedGenerator):
        if data is None:
            command = read_command(Path(generator))
            data, options = command.data, options or command.options
        generator = load(generator)
    if not 0 <= seed < 2**32:
        raise BadOption(f"--seed is {seed}; it must be between 0 and {2**32 - 1:,}.")
    if n < 2:
        raise BadOption(
            f"--n is {n}; scores need at least 2 generated samples, and are worth something from some thousands on."
        )
    if data is None:
        raise BadOption("evaluate needs data to compare with: a path, a built-in name, or a Dataset.")
    dataset = data if isinstance(data, Dataset) else load_data(data, options or Data(resolution=_resolution(generator)))
    if isinstance(generator, Imputer):
        if fair is not None or favourable is not None or nearest is not None:
            raise BadOption("--fair, --favourable and --nearest are not for imputers.")
        return evaluate_imputer(generator, dataset, rows=n, seed=seed)
    if isinstance(generator, TableGenerator):
        if nearest is not None:
            raise BadOption("--nearest is for images; of tables, the scores tell how near rows are to training rows.")
        return _table_scores(generator, dataset, n, seed, fair, favourable)
    if fair is not None or favourable is not None:
        raise BadOption("--fair and --favourable are for tables.")
    if nearest is not None:
        check_pictured(nearest, generator, dataset)  # before minutes of measuring
    scores = score(generator, dataset, features=features, n=n, seed=seed, weights=weights, per_class=per_class)
    if nearest is not None:
        write_nearest(nearest, generator, dataset, scores)
    return scores


def _table_scores(
    generator: TableGenerator, dataset: Dataset, n: int, seed: int, fair: str | None, favourable: str | None
) -> TableScores:
    """Scores of a generator's rows against the rows of a data set, read by the generator's own encoding."""
    if not isinstance(dataset.train, TableStore):
        raise BadOption(f"this generator makes tables, but {dataset.name} is {dataset.spec.kind}: give a table.")
    train, test = dataset.train.frame(), dataset.test.frame() if isinstance(dataset.test, TableStore) else None
    made = generator.sample(n, seed=seed)
    return evaluate_tables(train, test, made, generator.table, seed=seed, protected=fair, favourable=favourable)


def _resolution(generator: TrainedGenerator) -> str | None:
    return "{1}x{2}".format(*generator.spec.shape) if generator.spec.kind == "image" else None


def _dataset(command: Command) -> Dataset:
    return command.data if isinstance(command.data, Dataset) else load_data(command.data, command.options)


def _game(command: Command, dataset: Dataset) -> Any:
    """The system's game for the data. Raises BadOption where torch cannot make networks of the sizes asked for."""
    if dataset.spec.kind == "table" and discovery.find(command.system).kind != "tables":
        columns = dict.fromkeys(block.name for block in dataset.spec.blocks)
        raise BadOption(
            f"{command.system} learns images, but {dataset.name} is a table with the columns {', '.join(columns)}, and "
            "none holds encoded images: give images, or a parquet file with a column of them."
        )
    randomness.reseed(command.run.seed, "build")
    game_class: Any = discovery.game_class(command.system)
    try:
        with warnings.catch_warnings(category=UserWarning, action="ignore"):  # of empty layers; they are refused below
            game = game_class(_config(command), dataset.spec)
            game.phases()
    except (RuntimeError, ValueError, ArithmeticError, LookupError) as error:
        if "memory" in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise BadOption(
            f"{command.system} cannot be built with these settings (sizes and widths?): {reason}."
        ) from error
    empty = [name for name, parameter in game.named_parameters() if parameter.numel() == 0]
    if empty:
        raise BadOption(
            f"{command.system}: the latent, a width or another size is 0, so that {empty[0]} has no weights."
        )
    if command.freeze_discriminator is not None:
        transfer.freeze(game, command.freeze_discriminator)
    if isinstance(command.augment, Augment):
        game.augment_with(command.augment)
    return game


def _config(command: Command) -> Any:
    """The system's settings with the batch size that is really used: what games choose by themselves goes by it."""
    size = command.run.batch_size
    return dataclasses.replace(command.config, batch_size=size) if isinstance(size, int) else command.config


def _begun(command: Command, dataset: Dataset) -> tuple[Command, Any, dict[str, Any]]:
    """The command with its batch size, the game as it starts, and what is to be said: "chosen", "started_from"."""
    chosen: dict[str, str] = {}
    run = command.run
    if run.batch_size == "auto":
        _, processes, machines = requested(run.devices)
        paper = command.config.batch_size
        size, reason = automatic.batch_size(paper, len(dataset.train), processes * machines)
        chosen["run.batch-size"] = automatic.explained(size, reason)
        run = dataclasses.replace(
            run, batch_size=None if size == paper else size, micro_batch=run.micro_batch or "auto"
        )
        command = dataclasses.replace(command, run=run)
    if command.augment == "auto":
        wanted, reason = automatic.augmentation(len(dataset.train), dataset.spec)
        chosen["augment"] = automatic.explained("ada" if wanted else "none", reason)
        command = dataclasses.replace(command, augment=ADA() if wanted else None)
    game = _game(command, dataset)
    said: dict[str, Any] = {"chosen": chosen | game.chosen}
    source = transfer.read(command.start_from, command.system) if command.start_from is not None else None
    if source is not None:
        said["started_from"] = source.facts | {"notes": transfer.start(game, source)}
    if command.freeze_discriminator is not None and not (source and source.whole):
        frozen = f"--freeze-discriminator {command.freeze_discriminator}"
        raise BadOption(
            f"{frozen} needs --from RUN, whose discriminator has learned something: random layers would stay."
        )
    return command, game, said


def _arena(command: Command, game: Any) -> Arena:
    """The processes; whether they can share the batches is looked at before they are started."""
    _, processes, machines = requested(command.run.devices)
    run = dataclasses.replace(command.run, micro_batch=None)
    for phase in game.phases():
        equal_share(run.batch(game, phase), processes * machines)
    return open_arena(command.run.devices, command.run.precision, None, game.narrow)


def _fitted(
    command: Command, dataset: Dataset, game: Any, arena: Arena, said: dict[str, Any]
) -> tuple[Command, dict[str, Any]]:
    """The command with a micro-batch that fits into memory, where that is to be found out; what is to be said."""
    if command.run.micro_batch != "auto":
        return command, said
    _, processes, machines = requested(command.run.devices)
    run = dataclasses.replace(command.run, micro_batch=None)
    share = max(equal_share(run.batch(game, phase), processes * machines) for phase in game.phases())
    dataset.train = dataset.train.to(arena.device)
    number, choice = memory.micro_batch(game, dataset, arena, share, processes if arena.device.type == "cpu" else 1)
    [agreed] = arena.agree(float(number or 0))  # all processes go by the first one's memory
    run = dataclasses.replace(run, micro_batch=int(agreed) or None)
    chosen = said["chosen"] | {"run.micro-batch": choice}
    return dataclasses.replace(command, run=run), said | {"chosen": chosen}


def _told(dataset: Dataset, said: dict[str, Any]) -> str:
    """What the data lack, what was chosen and what training starts from, for the terminal."""
    notes = dataset.notes or []
    lines = [f"{dataset.name}: {note}" for note in notes[:NOTES]]
    lines += [f"{dataset.name}: {len(notes) - NOTES:,} more notes are in config.json"] if len(notes) > NOTES else []
    lines += [automatic.table(said["chosen"])] if said["chosen"] else []
    return "\n".join(lines + said.get("started_from", {}).get("notes", []))


def _play(
    command: Command, dataset: Dataset, game: Any, arena: Arena, folder: Path, quiet: bool, said: dict[str, Any]
) -> TrainedGenerator:
    system = discovery.find(command.system)
    facts = {
        "system": system.name,
        "paper": system.summary,
        "config": to_json(game.config),
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint, "class_names": dataset.class_names},
        "seed": command.run.seed,
        "precision": arena.precision,
        "augment": to_json(command.augment),
        "versions": versions(),
        **said,
    }
    watching: list[Callback] = [JsonLines(), TensorBoard(), *_scoring(command, dataset, game)]
    # What is measured on the rows of a private game decides nothing, not even when it ends.
    watching += [Monitor("warn" if game.private else command.run.on_illness), Reporting()]
    watching += [WeightsAndBiases(command.wandb)] if command.wandb else []
    watching += [] if quiet else [ProgressBar()]
    return loop.train(game, dataset, command.run, folder, watching, facts, arena)


def _scoring(command: Command, dataset: Dataset, game: Any) -> list[Callback]:
    """Who draws and measures what the game makes.

    Raises:
        BadData: too few samples to be measured.
        BadOption: features of images where there are none.
    """
    if dataset.spec.kind != "table":
        if command.features == "none":
            return [Pictures()]
        enough(dataset)
        return [Pictures(), Scoring(command.features, weights=command.weights)]
    if command.features not in ("auto", "none") or command.weights is not None:
        raise BadOption("--features and --weights are for images; scores of tables need none: leave them out.")
    if command.features == "none":
        return []
    return [ImputerScoring() if isinstance(game.trained(), Imputer) else TableScoring(choose=not game.private)]


def _describe(command: Command, dataset: Dataset, arena: Arena, folder: Path, said: dict[str, Any]) -> None:
    """config.json: what a reader, and `resume`, need to know about the run."""
    if not isinstance(command.data, str | Path):
        command = dataclasses.replace(command, data=dataset.name)
    described = {
        "command": to_json(command),
        "data": {
            "name": dataset.name, "fingerprint": dataset.fingerprint, "train": len(dataset.train),
            "test": len(dataset.test) if dataset.test else 0, "spec": to_json(dataset.spec),
            "encoding": dataset.encoding.to_json(),
            "class_names": dataset.class_names, "notes": dataset.notes or [],
        },
        **said,
        "device": {"type": arena.device.type, "processes": arena.world, "precision": arena.precision},
        "versions": versions(),
        "commit": _commit(),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }  # fmt: skip
    files.write_json(folder / "config.json", described)


def versions() -> dict[str, str]:
    """Versions of what the result depends on."""
    return {
        "zerosum": zerosum.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _commit() -> str | None:
    """The git commit of the folder zerosum is run in, if there is one."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _new_name(system: str, data: str) -> Path:
    """runs/<system>-<data>-<date>-<number>, the first number that is free."""
    today = datetime.date.today().strftime("%Y%m%d")
    number = 1
    while (folder := Path("runs") / f"{system}-{data}-{today}-{number}").exists():
        number += 1
    return folder
