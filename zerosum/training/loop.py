"""The one loop: every system, every phase, from the last checkpoint to the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from zerosum.core import files, randomness
from zerosum.core.errors import BadFile, BadOption, NotFinite
from zerosum.core.schedules import constant
from zerosum.core.settings import Auto
from zerosum.data.spec import Dataset
from zerosum.training import checkpoint
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches
from zerosum.training.callback import Callback, RollBack, StopTraining
from zerosum.training.game import Game, Phase
from zerosum.training.generator import TrainedGenerator
from zerosum.training.translator import Translator


@dataclass(frozen=True)
class Run:
    """How to run, never what: no hyper-parameter stands here."""

    folder: Path | None = None
    """Where everything goes; by default runs/<system>-<data>-<date>-<number>."""
    seed: int = 0
    """Decides weights, order and noise."""
    samples: int | None = None
    """Stop after so many samples shown; with neither this nor --run.minutes: the system's own length."""
    minutes: float | None = None
    """Stop after so many minutes of training. Schedules still run over the system's own length: where they matter, give
    --run.samples."""
    batch_size: int | Auto | None = None
    """Samples per batch over all processes; by default the paper's. auto: that, less only where the data does not fill
    a batch; with --run.micro-batch auto."""
    micro_batch: int | Auto | None = None
    """Samples that a process puts through a network at once: less memory, same result (without batch statistics). auto:
    as many as fit into the free memory."""
    devices: str = "auto"
    """auto, cpu, cuda or mps; with a number for several processes: cuda:4, cpu:2."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the processor has instructions for it and the networks convolve."""
    save_every: int | None = None
    """Samples between snapshots (pictures, scores, health, checkpoint); by default 20 a training."""
    keep: int = 2
    """Checkpoints kept, besides the best."""
    on_illness: Annotated[Literal["stop", "warn", "rollback"], tyro.conf.arg(name="on-illness", prefix_name=False)] = (
        "rollback"
    )
    """What to do when training falls ill: stop, only say so, or (after a divergence) go back to the last good
    checkpoint.
    """

    def __post_init__(self) -> None:
        for name in ("samples", "minutes", "batch_size", "micro_batch", "save_every", "keep"):
            value = getattr(self, name)
            if value not in (None, "auto") and not 0 < value < float("inf"):
                raise BadOption(f"--run.{name.replace('_', '-')} is {value}; it must be more than 0.")

    def batch(self, game: Game, phase: Phase) -> int:
        """Samples per batch of a phase, over all processes. Raises BadOption where it is still "auto"."""
        if self.batch_size == "auto" or self.micro_batch == "auto":
            raise BadOption(
                '--run.batch-size and --run.micro-batch "auto" become numbers before the training loop: '
                "start it by zerosum.train, or give numbers."
            )
        return self.batch_size or phase.batch_size or game.batch_size


@dataclass
class Training:
    """A training under way, as callbacks see it."""

    game: Game
    dataset: Dataset
    run: Run
    folder: Path
    arena: Arena
    callbacks: Sequence[Callback] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    better: bool = False
    """Set by a callback at a snapshot that is the best so far."""
    best: int | None = None
    """Samples shown at the best snapshot."""
    attempt: int = 0
    """How often training was rolled back; part of the seed, so that it does not meet the same fate again."""
    seconds: float = 0.0
    """Spent training, over all resumes."""
    rate: float = 0.0
    """Samples a second since the last tick."""
    batches: Batches = field(init=False)

    @property
    def rounds(self) -> int:
        """Rounds played."""
        return self.game.rounds

    @property
    def samples(self) -> int:
        """Samples shown so far."""
        return self.arena.samples

    @property
    def total_samples(self) -> int | None:
        """Samples at the end, where rounds decide by what a round has taken so far; None where the clock decides."""
        if self.run.samples or self.run.minutes:
            return self.run.samples
        if self.rounds:
            return round(self.samples / self.rounds * self.game.total_rounds)
        phases = self.game.phases()
        return sum(phase.rounds * self.run.batch(self.game, phase) for phase in phases)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.arena.rank == 0

    def generator(self) -> TrainedGenerator:
        """The generator as it is now (a copy, from the EMA networks)."""
        generator = self.game.trained()
        averaged = any(player.averages for player in self.game.players.values())
        if isinstance(generator, Translator):
            generator.ask(self.dataset.train)
        # Neither averaged weights nor networks without their dropout show batch norms what training showed them.
        if self.rounds and (averaged or isinstance(generator, Translator)):
            generator.settle()
        generator.encoding = self.dataset.encoding
        own = generator.facts  # what the game itself says about it
        generator.facts = {**self.facts, "samples": self.samples, "rounds": self.rounds, "scores": dict(self.scores)}
        if self.game.private:
            generator.facts |= {"scores": {}, "data": _without(generator.facts.get("data", {}), "fingerprint")}
        generator.facts |= own
        return generator

    def note(self, kind: str, **values: Any) -> None:
        """A line for metrics.jsonl and every tracker, from the first process."""
        if not self.first:
            return
        line = {
            "kind": kind,
            "samples": self.samples,
            "rounds": self.rounds,
            "seconds": round(self.seconds, 3),
            **values,
        }
        for callback in self.callbacks:
            callback.note(self, line)

    def tell(self, event: str, *arguments: Any) -> None:
        """Call one method of every callback, on the first process."""
        if self.first:
            for callback in self.callbacks:
                getattr(callback, event)(self, *arguments)

    def ask(self, event: str, *arguments: Any) -> Exception | None:
        """Call one method of every callback; a RollBack or StopTraining that one of them raised, in all processes."""
        raised: Exception | None = None
        try:
            self.tell(event, *arguments)
        except (RollBack, StopTraining) as reason:
            raised = reason
        [code] = self.arena.agree({type(None): 0, RollBack: 1, StopTraining: 2}[type(raised)])
        kind = (None, RollBack, StopTraining)[int(code)]
        return raised or (kind and kind("as the first process says"))

    def close(self) -> None:
        """Close every callback, whatever happens to the others."""
        with ExitStack() as stack:
            for callback in self.callbacks if self.first else ():
                stack.callback(callback.close, self)


def train(
    game: Game, dataset: Dataset, run: Run, folder: Path, callbacks: Sequence[Callback] = (),
    facts: dict[str, Any] | None = None, arena: Arena | None = None,
) -> TrainedGenerator:  # fmt: skip
    """Play `game` on `dataset` from the last checkpoint in `folder` (or the beginning) to its end.

    Args:
        game: fresh, not seated.
        dataset: checked and encoded.
        run: how long, where, in which precision.
        folder: the run folder; checkpoints found there are continued.
        callbacks: who watches.
        facts: written into the generator: system, config, data, seed, versions.
        arena: device and processes; by default one CPU process in full precision.

    Returns:
        the best generator where a callback scored it, else the last.

    Raises:
        BadOption: the settings ask for no rounds, or fewer.
        NotFinite: training diverged and could not be saved by going back.
        KeyboardInterrupt: interrupted; everything is saved and `resume` continues.
    """
    arena = arena or Arena()
    arena.micro_batch = None if run.micro_batch == "auto" else run.micro_batch  # refused by Run.batch
    training = Training(game.seat(arena), _delivering(dataset, arena), run, folder, arena, callbacks, facts or {})
    game.meet(training.dataset.train)
    _something_to_play(game, run)
    said = [*game.notes(), *_out_of_reach(training), *_restore(training)]
    with _signals() as caught:
        try:
            training.tell("start")
            for event in said:
                training.note("event", event=event)
            _play(training, caught)
            _finish(training)
        except Exception:
            if training.first and not training.rounds:  # nothing to resume: other settings may take the same folder
                checkpoint.forget(folder)
            raise
        finally:
            training.close()
    arena.barrier()
    return training.generator() if training.best is None else TrainedGenerator.load(folder / "generator", arena.device)


def _something_to_play(game: Game, run: Run) -> None:
    """Check the rounds that the settings ask for. Raises BadOption."""
    for phase in game.phases():
        if phase.rounds < 0:
            raise BadOption(f"the phase {phase.name!r} is to last {phase.rounds} rounds; it must be 0 or more.")
    if not game.total_rounds and not run.samples and not run.minutes:
        raise BadOption(
            "nothing is to be trained: rounds or epochs are 0, and neither --run.samples nor --run.minutes is given."
        )


def _out_of_reach(training: Training) -> list[str]:
    """The phases that --run.samples leaves nothing for, in a sentence."""
    run, begun, left = training.run, 0, []
    for phase in training.game.phases():
        left += [phase.name] if run.samples and begun >= run.samples else []
        begun += phase.rounds * run.batch(training.game, phase)
    if not left:
        return []
    named = ("phases " if len(left) > 1 else "phase ") + ", ".join(f'"{name}"' for name in left)
    return [f"--run.samples {run.samples:,} ends this training before its {named}: all of it takes {begun:,} or more."]


def _play(training: Training, caught: list[int]) -> None:
    """Rounds until the end, going back to the last checkpoint when training diverges."""
    while True:
        try:
            _rounds(training, caught)
            return
        except StopTraining as reason:
            training.note("event", event=f"stopped: {reason}")
            _save(training)
            return
        except (NotFinite, RollBack) as reason:
            diverged = isinstance(reason, NotFinite)
            if training.run.on_illness != "rollback" or training.attempt >= 3:
                training.note("event", event=f"stopped: {reason}")
                if diverged:
                    raise
                return
            _roll_back(training, str(reason))


def _rounds(training: Training, caught: list[int]) -> None:
    game, arena, run = training.game, training.arena, training.run
    game.train()
    clock, ticked, every = time.perf_counter(), training.samples, 1
    began = clock - training.seconds
    last_tick, last_snapshot = training.rounds, time.perf_counter()
    while not _over(training):
        before = training.samples
        _round(training)
        snapshot = run.save_every is not None and training.samples // run.save_every > before // run.save_every
        if arena.world == 1 and caught:
            _leave(training, caught)
        if snapshot or _over(training) or training.rounds - last_tick >= every:
            now = time.perf_counter()
            elapsed = max(now - clock, 1e-9)
            training.rate = (training.samples - ticked) / elapsed
            due = run.save_every is None and now - last_snapshot > _interval(training)
            pace = (training.rounds - last_tick) / elapsed
            agreed = arena.agree(max(1, round(pace)), float(due), now - began, float(bool(caught)))
            every, due, training.seconds = int(agreed[0]), bool(agreed[1]), agreed[2]
            ill = training.ask("tick", arena.log.read(training.rounds))
            if agreed[3] and arena.world > 1:
                _leave(training, caught or [signal.SIGTERM])
            if ill:
                raise ill
            if (snapshot or due) and not _over(training):  # the last one is taken by _finish
                _snapshot(training)
                last_snapshot = time.perf_counter()
            # Pictures and scores are not training: their time counts neither towards the rate nor towards
            # --run.minutes.
            pause = time.perf_counter() - now
            began, clock, ticked, last_tick = began + pause, time.perf_counter(), training.samples, training.rounds


def _over(training: Training) -> bool:
    """Whether training has come to its end."""
    run = training.run
    return (
        training.rounds >= training.game.total_rounds
        or (run.samples is not None and training.samples >= run.samples)
        or (run.minutes is not None and training.seconds >= run.minutes * 60)
    )


def _round(training: Training) -> None:
    """One round, its random numbers a function of (seed, rank, samples so far) alone."""
    game, arena, batches = training.game, training.arena, training.batches
    phase, played = game.phase()
    if played == 0:
        phase.enter()
    batches.batch_size = training.run.batch(game, phase)
    arena.round, arena.progress = game.rounds, _progress(training)
    randomness.reseed(*batches.seed, "round", arena.rank, arena.samples)
    game.turn(phase, batches)
    game.rounds += 1


def _progress(training: Training) -> float:
    done = training.rounds / max(training.game.total_rounds, 1)
    if training.run.samples:
        done = max(done, training.samples / training.run.samples)
    return min(done, 1.0)


def _interval(training: Training) -> float:
    """Seconds between snapshots where no number of samples is set: 20 a training, 15 s to half an hour."""
    seconds = training.run.minutes * 60 if training.run.minutes else None
    if seconds is None and training.total_samples and training.rate:
        seconds = training.total_samples / training.rate
    return min(max((seconds or 600) / 20, 15.0), 1800.0)


def _snapshot(training: Training) -> None:
    training.better = False
    ill = training.ask("snapshot")
    if isinstance(ill, RollBack):
        raise ill
    # Whoever chooses by training rows has looked at them: a private game keeps its last generator.
    [better] = training.arena.agree(float(training.better and not training.game.private))
    if better:
        training.best = training.samples
        if training.first:
            training.generator().save(training.folder / "generator")
    _save(training)
    if ill:
        raise ill


def _save(training: Training) -> None:
    """A checkpoint; not of weights that are no numbers."""
    training.arena.log.read(training.rounds)
    # A resumed run starts all processes with the first one's statistics, so this one has to go on with them, too.
    training.arena.same(list(training.game.buffers()))
    if training.first:
        progress = {
            "rounds": training.rounds, "samples": training.samples, "attempt": training.attempt,
            "seconds": training.seconds, "best": training.best, "scores": training.scores,
            "data": training.dataset.fingerprint,
        }  # fmt: skip
        checkpoint.save(training.folder, training.game, progress)
        checkpoint.prune(training.folder, training.run.keep, training.best)
    training.arena.barrier()


def _restore(training: Training) -> list[str]:
    """Continue from the newest checkpoint that can be read; start at zero where there is none. Returns what to tell
    about it.
    """
    if training.first:
        files.tidy(training.folder)
        files.tidy(training.folder / "checkpoints")
    training.arena.barrier()
    found = checkpoint.saved(training.folder)
    training.arena.barrier()  # before the first process writes one
    said: list[str] = []
    for path in reversed(found):
        try:
            progress = checkpoint.load(path, training.game)
        except BadFile as error:
            said.append(f"{error} Trying the one before it.")
            continue
        if progress["data"] != training.dataset.fingerprint:
            raise BadOption(
                f"{training.folder} was trained on other data (fingerprint {progress['data'][:12]}, now "
                f"{training.dataset.fingerprint[:12]}): give the same data and options, or start a new run."
            )
        _continue_from(training, progress)
        if _over(training):
            said.append(f"finished already; zerosum resume {training.folder} --samples N (or --minutes N) trains on")
        return said
    if found:
        newest = said[0].removesuffix(" Trying the one before it.")
        place = training.folder / "checkpoints"
        raise BadFile(f"none of the {len(found)} checkpoints in {place} can be used; start a new run. {newest}")
    _continue_from(training, {"samples": 0, "attempt": 0, "seconds": 0.0, "best": None, "scores": {}})
    _save(training)
    return said


def _continue_from(training: Training, progress: dict[str, Any]) -> None:
    arena, game = training.arena, training.game
    training.attempt, training.seconds = progress["attempt"], progress["seconds"]
    training.best, training.scores = progress["best"], progress["scores"]
    arena.samples, arena.rate = progress["samples"], 0.5**training.attempt
    arena.log = type(arena.log)()
    training.batches = Batches(
        training.dataset.train,
        batch_size=training.run.batch(game, game.phase()[0]),
        noise=game.noise(),
        seed=(training.run.seed, training.attempt),
        arena=arena,
        samples=arena.samples,
        flip=training.dataset.flip,
        order=game.order(training.dataset.train, (training.run.seed, training.attempt)),
    )


def _roll_back(training: Training, reason: str) -> None:
    """To the last good checkpoint, with another order and noise and half the learning rate."""
    for path in reversed(checkpoint.saved(training.folder)):
        try:
            progress = checkpoint.load(path, training.game)
        except BadFile:
            continue
        attempt = training.attempt + 1
        _continue_from(training, {**progress, "attempt": attempt})
        text = f"rolled back to {training.samples:,} samples ({reason}) with half the learning rate, try {attempt} of 3"
        training.note("event", event=text)
        return
    raise BadFile(f"training fell ill ({reason}) and there is no checkpoint in {training.folder} to go back to.")


def _leave(training: Training, caught: list[int]) -> None:
    _save(training)
    training.note(
        "event", event=f"interrupted by {signal.Signals(caught[0]).name} and saved; zerosum resume {training.folder}"
    )
    raise KeyboardInterrupt(signal.Signals(caught[0]).name)


def _finish(training: Training) -> None:
    """The last snapshot, and the generator of the last round where no score chose a best one."""
    try:
        _snapshot(training)
    except (RollBack, StopTraining) as reason:
        training.note("event", event=f"at the end: {reason}")
        _save(training)
    if training.first and training.best is None:
        training.generator().save(training.folder / "generator")
    if left := _unfinished_schedules(training):
        training.note("event", event=left)
    training.tell("end")


def _unfinished_schedules(training: Training) -> str | None:
    """What --run.minutes left of the learning rates' schedules, which follow rounds and samples, in a sentence."""
    run, game, done = training.run, training.game, _progress(training)
    scheduled = any(player.rate is not constant for player in game.players.values())
    if not scheduled or run.minutes is None or done > 0.95 or training.seconds < 60 * run.minutes:
        return None
    said = f"--run.minutes ended this training after {done:.0%} of its schedule of learning rates"
    if len(game.phases()) > 1:  # these keep their rounds, whatever --run.samples is
        return f"{said}; fewer rounds of its phases leave time for all of it."
    return f"{said}; --run.samples {training.samples} in its place runs all of it in that time."


def _without(facts: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key != name}


def _delivering(dataset: Dataset, arena: Arena) -> Dataset:
    """The data set with its stores on the arena's device."""
    dataset.train = dataset.train.to(arena.device)
    return dataset


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them; a second Ctrl-C interrupts at once."""
    caught: list[int] = []

    def catch(number: int, frame: Any) -> None:
        if caught and number == signal.SIGINT:
            raise KeyboardInterrupt("SIGINT twice")
        caught.append(number)

    try:
        old = {number: signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: leave signals to whoever is
        yield caught
        return
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
