"""The loop: stop and resume are one training, illness is rolled back, full disks and interrupts lose nothing."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.training.toys import Lines, Toy, play, points, same, state
from zerosum.core import files
from zerosum.core.errors import BadFile, BadOption, NotFinite
from zerosum.core.schedules import Schedule, constant, linear_decay
from zerosum.training import checkpoint
from zerosum.training.callback import Callback, RollBack, StopTraining
from zerosum.training.game import Phase
from zerosum.training.loop import Run, Training


class At(Callback):
    """Calls `act` once, at the first tick or snapshot from `samples` on."""

    def __init__(self, samples: int, act: Any, at: str = "tick", times: int = 1):
        self.samples, self.act, self.at, self.times = samples, act, at, times

    def happen(self, training: Training, event: str) -> None:
        if event == self.at and training.samples >= self.samples and self.times:
            self.times -= 1
            self.act(training)

    def start(self, training: Training) -> None:
        self.happen(training, "start")

    def tick(self, training: Training, values: dict[str, float]) -> None:
        self.happen(training, "tick")

    def snapshot(self, training: Training) -> None:
        self.happen(training, "snapshot")


def interrupt(training: Training) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def raising(error: Exception) -> Any:
    def act(training: Training) -> None:
        raise error

    return act


def names(folder: Path) -> list[int]:
    return [int(path.name) for path in checkpoint.saved(folder)]


# Phase "alone": 20 rounds of 4 samples. Phase "both": 20 rounds of 2 x 8. Its first round is from 80 to 96 samples.
ROUNDS, TOTAL = 40, 20 * 4 + 20 * 16


@pytest.mark.parametrize("stop", [4, 32, 76, 80, 96, 368])
def test_stop_and_resume_is_bit_equal(tmp_path: Path, stop: int) -> None:
    whole = play(tmp_path / "whole", rounds=ROUNDS, run=Run())
    for number in (signal.SIGINT, signal.SIGTERM):
        folder = tmp_path / number.name
        with pytest.raises(KeyboardInterrupt, match=number.name):
            play(
                folder,
                At(stop, lambda training, n=number: os.kill(os.getpid(), n)),
                rounds=ROUNDS,
                run=Run(save_every=16),
            )
        assert names(folder)[-1] < TOTAL
        again = play(folder, rounds=ROUNDS)
        assert same(state(whole), state(again))
        assert again.rounds == ROUNDS


def test_interrupts_say_how_to_go_on(tmp_path: Path) -> None:
    lines = Lines()
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path, lines, At(20, interrupt), rounds=ROUNDS)
    assert f"interrupted by SIGTERM and saved; zerosum resume {tmp_path}" in lines.events
    assert lines.closed == 1


def test_limits_in_samples_and_minutes(tmp_path: Path) -> None:
    assert play(tmp_path / "a", run=Run(samples=100), rounds=ROUNDS).arena.samples == 112
    assert play(tmp_path / "b", run=Run(minutes=1e-4), rounds=10**6).rounds < 10**5
    assert play(tmp_path / "a", run=Run(samples=200), rounds=ROUNDS).arena.samples == 208


def test_phases_out_of_reach_are_named(tmp_path: Path) -> None:
    early, late = Lines(), Lines()
    play(tmp_path / "early", early, run=Run(samples=80), rounds=ROUNDS)
    play(tmp_path / "late", late, run=Run(samples=81), rounds=ROUNDS)
    said = '--run.samples 80 ends this training before its phase "both": all of it takes 240 or more.'
    assert said in early.events
    assert not any("ends this training before" in event for event in late.events)


@pytest.mark.parametrize("rate", [linear_decay(), constant])
@pytest.mark.parametrize("phases", [1, 2])
def test_schedules_that_the_clock_cuts_short_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: Schedule, phases: int
) -> None:
    def scheduled(training: Training) -> None:
        training.game.players["generator"].rate = rate

    if phases == 1:
        monkeypatch.setattr(Toy, "phases", lambda self: [Phase("both", 10**6, self.round)])
    lines = Lines()
    game = play(tmp_path, lines, At(0, scheduled, at="start"), run=Run(minutes=1e-4), rounds=10**6)
    advice = f"--run.samples {game.arena.samples} in its place" if phases == 1 else "fewer rounds of its phases"
    assert any(f"schedule of learning rates; {advice}" in text for text in lines.events) == (rate is not constant)


@pytest.mark.parametrize("name", ["samples", "minutes", "batch_size", "micro_batch", "save_every", "keep"])
@pytest.mark.parametrize("value", [0, -3])
def test_limits_are_more_than_nothing(name: str, value: int) -> None:
    with pytest.raises(BadOption, match=rf"--run.{name.replace('_', '-')} is {value}; it must be more than 0"):
        Run(**{name: value})


def test_a_finished_run_says_so(tmp_path: Path) -> None:
    first = play(tmp_path, rounds=ROUNDS)
    lines = Lines()
    again = play(tmp_path, lines, rounds=ROUNDS)
    assert same(state(first), state(again))
    assert any("finished already" in event for event in lines.events)


def test_a_finished_run_by_the_clock_plays_no_further_round(tmp_path: Path) -> None:
    first = play(tmp_path, run=Run(minutes=1e-4), rounds=10**6)
    lines = Lines()
    again = play(tmp_path, lines, run=Run(minutes=1e-4), rounds=10**6)
    assert any("finished already" in event for event in lines.events)
    assert again.rounds == first.rounds


def test_other_data_are_refused(tmp_path: Path) -> None:
    play(tmp_path, rounds=4)
    with pytest.raises(BadOption, match="was trained on other data"):
        play(tmp_path, rounds=8, data=points(51))


def test_divergence_rolls_back_with_half_the_rate(tmp_path: Path) -> None:
    lines = Lines()
    game = play(tmp_path, lines, rounds=ROUNDS, ill=25, ill_below=0.3)
    rolled = [event for event in lines.events if event.startswith("rolled back")]
    assert len(rolled) == 2 and game.arena.rate == 0.25
    assert "discriminator: the loss term 'adversarial' is not finite in round 25" in rolled[0]
    assert "half the learning rate, try 1 of 3" in rolled[0] and "try 2 of 3" in rolled[1]
    assert game.rounds == ROUNDS
    assert checkpoint.load(checkpoint.saved(tmp_path)[-1], game)["attempt"] == 2


def test_divergence_gives_up_after_three(tmp_path: Path) -> None:
    lines = Lines()
    with pytest.raises(NotFinite, match="not finite in round 25"):
        play(tmp_path, lines, rounds=ROUNDS, ill=25)
    assert [event[:11] for event in lines.events] == ["rolled back"] * 3 + ["stopped: di"]
    assert lines.closed == 1
    game = play(tmp_path / "well", rounds=24)
    for path in checkpoint.saved(tmp_path):
        checkpoint.load(path, game)
        assert all(value.isfinite().all() for value in state(game).values())


@pytest.mark.parametrize("policy", ["stop", "warn"])
def test_divergence_without_roll_back(tmp_path: Path, policy: Any) -> None:
    with pytest.raises(NotFinite):
        play(tmp_path, rounds=ROUNDS, ill=25, run=Run(on_illness=policy))


@pytest.mark.parametrize("at", ["tick", "snapshot"])
def test_callbacks_may_roll_back_and_stop(tmp_path: Path, at: str) -> None:
    lines = Lines()
    game = play(tmp_path / "a", lines, At(100, raising(RollBack("it looks bad")), at), rounds=ROUNDS)
    assert any("(it looks bad) with half the learning rate" in event for event in lines.events)
    assert game.rounds == ROUNDS and game.arena.rate == 0.5
    lines = Lines()
    game = play(tmp_path / "b", lines, At(100, raising(StopTraining("good enough")), at), rounds=ROUNDS)
    assert "stopped: good enough" in lines.events
    assert game.rounds < ROUNDS and (tmp_path / "b" / "generator" / "model.safetensors").exists()
    assert names(tmp_path / "b")[-1] == game.arena.samples


def test_a_roll_back_does_not_keep_the_ill_generator(tmp_path: Path) -> None:
    def better_but_ill(training: Training) -> None:
        training.better = True
        raise RollBack("ill")

    game = play(tmp_path, At(100, better_but_ill, "snapshot"), rounds=ROUNDS)
    assert checkpoint.load(checkpoint.saved(tmp_path)[-1], game)["best"] is None


def test_every_callback_is_closed_even_if_one_fails(tmp_path: Path) -> None:
    class Failing(Callback):
        def close(self, training: Training) -> None:
            raise OSError(errno.EIO, "broken")

    before, after = Lines(), Lines()
    with pytest.raises(OSError, match="broken"):
        play(tmp_path, before, Failing(), after, rounds=2)
    assert before.closed == after.closed == 1


def test_checkpoints_are_pruned_but_the_best_stays(tmp_path: Path) -> None:
    def best(training: Training) -> None:
        training.better = True

    class Stop(Exception):
        pass

    with pytest.raises(Stop):  # before the end, where the generator would be read by the name of its system
        play(
            tmp_path, At(100, best, "snapshot"), At(390, raising(Stop())), rounds=ROUNDS, run=Run(save_every=20, keep=2)
        )
    assert len(names(tmp_path)) == 3
    assert names(tmp_path)[0] == 112
    assert (tmp_path / "generator" / "model.safetensors").exists()


def test_full_disk_while_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, full = Path.write_bytes, False

    def refusing(self: Path, data: Any) -> int:
        if full and self.name == "optimizers.pt":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    def fill(training: Training) -> None:
        nonlocal full
        full = True

    monkeypatch.setattr(Path, "write_bytes", refusing)
    lines = Lines()
    with pytest.raises(BadFile, match=r"cannot write .*checkpoints.*: the disk is full: free some space"):
        play(tmp_path, lines, At(200, fill), rounds=ROUNDS)
    monkeypatch.undo()
    assert lines.closed == 1
    assert not list((tmp_path / "checkpoints").glob(".*"))
    assert same(state(play(tmp_path, rounds=ROUNDS)), state(play(tmp_path / "whole", rounds=ROUNDS)))


def test_remains_of_a_killed_process_are_cleared_up(tmp_path: Path) -> None:
    play(tmp_path, rounds=4)
    half = tmp_path / "checkpoints" / ".000000000099.123.tmp"
    half.mkdir()
    (half / "game.safetensors").write_bytes(b"half")
    (tmp_path / "generator").rename(tmp_path / ".generator.123.old")  # killed while it was being replaced
    files.tidy(tmp_path)
    assert (tmp_path / "generator" / "config.json").exists()
    play(tmp_path, rounds=8)
    assert not half.exists()
    assert not list(tmp_path.rglob(".*.tmp")) and not list(tmp_path.rglob(".*.old"))


def test_error_before_the_first_round_is_done_leaves_nothing_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(BadOption, match="too few layers"):
        patched.setattr(Toy, "turn", lambda *given: raising(BadOption("too few layers"))(None))
        play(tmp_path, rounds=ROUNDS)
    assert not names(tmp_path)
    with pytest.raises(BadOption, match="too few layers"):
        play(tmp_path, At(16, raising(BadOption("too few layers"))), rounds=ROUNDS, run=Run(save_every=16))
    assert names(tmp_path)
