"""Private tables: what is spent, what is kept secret, what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import zerosum
from tests.gans.games import TABLE, table
from tests.gans.games import seated as seated_by_name
from tests.training.test_labels import people
from zerosum.core.errors import BadOption
from zerosum.core.settings import to_json
from zerosum.data import Data, load
from zerosum.data.spec import Dataset
from zerosum.gans.tables.dp_ctgan import DPCTGAN, Config
from zerosum.training import checkpoint
from zerosum.training.accounting import Release, epsilon_of
from zerosum.training.arena import Arena
from zerosum.training.augmentation import DiffAugment
from zerosum.training.batches import Batches
from zerosum.training.callback import Callback, RollBack
from zerosum.training.generator import TrainedGenerator
from zerosum.training.loop import Run, Training, train
from zerosum.training.private import PrivatePlayer

pytest.importorskip("opacus")
SMALL = Config(epochs=4, batch_size=20, hidden=8, discriminator_hidden=8, discriminator_steps=1, latent=4)


def data() -> Dataset:
    return load(table(200))


def game(dataset: Dataset, **settings: Any) -> DPCTGAN:
    torch.manual_seed(0)
    return DPCTGAN(dataclasses.replace(SMALL, **settings), dataset.spec)


def met(dataset: Dataset, **settings: Any) -> DPCTGAN:
    """A game that has its seat and has met the rows."""
    made = game(dataset, **settings)
    made.seat(Arena()).train()
    made.meet(dataset.train)
    return made


def stream(own: DPCTGAN, dataset: Dataset) -> Batches:
    order = own.order(dataset.train, (0, 0))
    return Batches(
        dataset.train, batch_size=own.batch_size, noise=own.noise(), seed=(0, 0), arena=own.arena, order=order,
        samples=own.arena.samples,
    )  # fmt: skip


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "generator" / "config.json").read_text())["facts"]
    return found


@pytest.mark.parametrize("conditions", ["none", "uniform", "noised"])
def test_trains_within_its_budget_and_says_so(conditions: Any, tmp_path: Path) -> None:
    dataset = data()
    own = game(dataset, conditions=conditions, calibrate=conditions == "none")
    told = {"data": {"name": "small", "fingerprint": "abc"}, "system": "dp_ctgan", "config": {}}
    train(own, dataset, Run(folder=tmp_path), tmp_path, facts=told)
    found = facts(tmp_path)
    spent = found["privacy"]
    assert spent["steps"] == own.ledger.steps == own.plan.steps == round(4 * len(dataset.train) / 20)
    releases = [Release(spent["noise"], spent["rate"], spent["steps"])]
    releases += [Release(spent["noise of frequencies"], 1.0, 1)] if own.counted else []
    assert spent["epsilon"] == pytest.approx(epsilon_of(releases, spent["delta"]), rel=1e-9)
    assert 2.9 < spent["epsilon"] <= 3.0
    assert spent["rows"] == len(dataset.train) and spent["rate"] == 20 / len(dataset.train)
    assert "fingerprint" not in found["data"] and found["scores"] == {}
    card = (tmp_path / "generator" / "README.md").read_text()
    assert f"({spent['epsilon']:.4g}, {spent['delta']:.3g})-differentially private" in card
    assert "fingerprint" not in card


def test_what_is_saved_holds_nothing_else_of_the_rows() -> None:
    dataset = data()
    store: Any = dataset.train
    for conditions in ("none", "uniform"):
        own = met(dataset, conditions=conditions, calibrate=False)
        assert bool((own.counts == 1).all()) and not own.shares.any() and not own.plan.before
    noised = met(dataset, conditions="noised")
    true = torch.cat([store.counts[j] for j in noised.layout.discrete])
    spread = noised.plan.before[0].noise * len(noised.layout.choices) ** 0.5
    errors = noised.counts - true
    assert 0.1 * spread < float(errors.abs().mean()) < 2 * spread and bool((noised.counts >= 0).all())
    for piece in noised.counts.split([noised.layout.choices[j].size for j in noised.layout.discrete]):
        assert float(piece.sum()) == pytest.approx(len(store), rel=1e-4)
    assert not torch.equal(noised.counts, met(dataset, conditions="noised").counts)
    names = set(noised.trained().network.state_dict())
    assert not any("ledger" in name or "secret" in name for name in names)


def test_stops_before_the_step_that_would_exceed_the_budget(tmp_path: Path) -> None:
    dataset = data()
    own = game(dataset, noise=1.0, epochs=500, discriminator_steps=3)
    train(own, dataset, Run(folder=tmp_path), tmp_path)
    plan = own.plan
    assert own.ledger.steps == plan.steps < 500 * len(dataset.train) / 20
    assert plan.epsilon(plan.steps) <= 3.0 < plan.epsilon(plan.steps + 1)
    assert facts(tmp_path)["privacy"]["epsilon"] == plan.epsilon(plan.steps)


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    dataset = data()
    own = met(dataset)
    batches = stream(own, dataset)
    for _ in range(5):
        own.round(batches)
    progress = {**dict.fromkeys(checkpoint.PROGRESS), "samples": own.arena.samples, "rounds": 5}
    path = checkpoint.save(tmp_path, own, progress)
    torch.manual_seed(3)
    own.round(batches)
    other = met(dataset)
    other.arena.samples = checkpoint.load(path, other)["samples"]
    assert other.ledger.steps == 5
    torch.manual_seed(3)
    other.round(stream(other, dataset))
    expected, found = own.state_dict(), other.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert own.epsilon == other.epsilon > 0


class Ill(Callback):
    """Asks once to go back."""

    def __init__(self) -> None:
        self.done = False

    def tick(self, training: Training, values: dict[str, float]) -> None:
        if training.rounds >= 20 and not self.done:
            self.done = True
            raise RollBack("a test")


def test_steps_that_were_rolled_back_stay_paid_for(tmp_path: Path) -> None:
    dataset = data()
    own, events = game(dataset), []

    class Lines(Callback):
        def note(self, training: Training, line: dict[str, Any]) -> None:
            events.append(line.get("event", ""))

    train(own, dataset, Run(folder=tmp_path, save_every=10**9), tmp_path, [Ill(), Lines()])
    assert any("rolled back to 0 samples" in event for event in events)
    assert any("stopped: 36 private steps are made, those included that were turned back" in event for event in events)
    assert own.rounds < own.total_rounds
    assert own.ledger.steps == own.plan.steps == facts(tmp_path)["privacy"]["steps"] == 36
    assert facts(tmp_path)["privacy"]["epsilon"] <= 3.0


def test_categories_are_as_frequent_as_noised_frequencies_say() -> None:
    dataset = data()
    own = met(dataset, epsilon=200.0)
    own.round(stream(own, dataset))
    own.rounds += 1
    made = torch.cat(list(own.trained().tensors(20_000, seed=1))).mean(0)
    places = own.layout.starts[0]
    gaps = (made - own.shares).abs()
    gaps[places] = 0.0
    assert gaps.max() < 0.02


def test_noise_differs_from_training_to_training_of_one_seed() -> None:
    dataset = data()
    weights = []
    for _ in range(2):
        own = met(dataset)
        own.round(stream(own, dataset))
        weights.append(torch.cat([p.flatten() for p in own.D.parameters()]))
    assert not torch.equal(*weights)


def test_only_steps_of_d_read_rows() -> None:
    dataset = data()
    own = met(dataset, conditions="uniform")
    seen: list[set[str]] = []
    loss = own.generator_loss

    def spied(batch: dict[str, torch.Tensor]) -> Any:
        seen.append(set(batch))
        return loss(batch)

    own.generator_loss = spied  # type: ignore[method-assign]
    own.round(stream(own, dataset))
    assert seen == [{"z"}]


def test_real_rows_are_shown_with_a_category_of_their_own() -> None:
    dataset = data()
    own = met(dataset, conditions="uniform")
    rows = dataset.train.fetch(torch.arange(100))["row"]
    shown = own.own(rows, torch.rand(100))
    assert torch.equal(shown.sum(1), torch.ones(100))
    assert bool((shown <= rows.index_select(1, own.asked)).all())
    assert (
        len({tuple(row) for row in own.own(rows[:1].expand(50, -1), torch.rand(50)).tolist()}) > 1
    )  # any column, not by its place
    blind = met(dataset)
    assert blind.D.inputs == dataset.spec.shape[0]
    assert not blind.own(rows, torch.rand(100)).any() and not blind.asked_for(3).any()


@pytest.mark.parametrize("conditions", ["none", "uniform", "noised"])
def test_a_row_more_moves_a_step_by_the_bound_at_most(conditions: Any) -> None:
    dataset = data()
    rows = dataset.train.fetch(torch.arange(15))["row"]
    own = met(dataset, conditions=conditions, clip=0.1)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    gradients = []
    for count in (15, 14, 0):
        own.ledger.spent.zero_()
        own.load_state_dict(before)
        own.private_step(rows[:count])
        gradients.append(torch.cat([20.0 * p.grad.flatten() for p in own.D.parameters() if p.grad is not None]))
    assert 0.0 < (gradients[0] - gradients[1]).norm() <= 0.1 * (1 + 1e-3)
    assert (gradients[0] - gradients[2]).norm() <= 15 * 0.1 * (1 + 1e-3)


def whitened(own: DPCTGAN, player: PrivatePlayer, share: float) -> torch.Tensor:
    """The noisy sum of a step over its bound, times the root of its share: a sum of norm 1 with the plan's noise."""
    noisy = torch.cat([own.plan.rate * own.length * p.grad.flatten() for p in player.parameters_ if p.grad is not None])
    return noisy / player.bound * share**0.5


def test_the_steps_of_d_and_of_the_rule_are_one_release() -> None:
    """A row more moves both together by norm 1 at most, and both have the noise that the accountant counts."""
    dataset = load(table(200), Data(target="sort"))
    rows = dataset.train.fetch(torch.arange(15))["row"]
    own = met(dataset, clip=0.1, label_share=0.3, discriminator_hidden=64)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    parts = []
    for count in (15, 14, 0):
        own.ledger.spent.zero_()
        own.load_state_dict(before)
        own.private_step(rows[:count])
        parts.append((whitened(own, own.discriminator, 0.7), whitened(own, own.teacher, 0.3)))
    moved = torch.cat([with_row - without for with_row, without in zip(parts[0], parts[1], strict=True)])
    assert 0.0 < moved.norm() <= 1.0 + 1e-3
    assert (parts[0][1] - parts[1][1]).norm() > 0.0
    for noise in parts[2]:
        assert noise.std() == pytest.approx(own.plan.noise, rel=4 / (2 * len(noise)) ** 0.5)
    assert own.facts()["privacy"]["label share"] == 0.3


def test_labels_are_drawn_by_a_rule_that_is_private(tmp_path: Path) -> None:
    dataset = load(people(3000), Data(target="bought"))
    settings: dict[str, Any] = {"batch_size": 300, "epochs": 30, "epsilon": 8.0}
    own = game(dataset, **settings)
    made: Any = train(own, dataset, Run(folder=tmp_path), tmp_path, facts={"system": "dp_ctgan", "config": {}})
    assert own.ledger.steps == own.plan.steps and own.epsilon <= 8.0
    made.encoding = dataset.encoding
    frame = made.sample(4000, seed=1)
    share = (frame["bought"] == "yes").groupby(frame["town"]).mean()
    assert share["a"] < 0.25 and share["b"] > share["a"] + 0.1
    plain = game(dataset, label_share=0.0)
    assert plain.rule is None and plain.trained().rule is None
    assert not any("rule" in name for name in plain.state_dict())


def test_empty_batches_and_single_rows_play() -> None:
    dataset = data()
    own = met(dataset)
    rows = dataset.train.fetch(torch.arange(2))["row"]
    for count in (0, 1, 2):
        own.private_step(rows[:count])
    assert own.ledger.steps == 3
    assert all(bool(torch.isfinite(p).all()) for p in own.parameters())


def test_given_categories_are_obeyed(tmp_path: Path) -> None:
    dataset = data()
    told = {"system": "dp_ctgan", "config": to_json(SMALL)}
    train(game(dataset), dataset, Run(folder=tmp_path), tmp_path, facts=told)
    made = TrainedGenerator.load(tmp_path / "generator").sample(50, given={"sort": "red"}, seed=1)
    assert isinstance(made, pd.DataFrame)
    assert len(made) == 50 and set(made["sort"]) == {"red"}


def test_loading_needs_no_accountant() -> None:
    own = DPCTGAN(SMALL, TABLE.encoding.spec)
    assert own.trained().facts == {} and own.epsilon == 0.0 and own.phases()[0].rounds == 4


def test_notes_name_the_guarantee_and_what_is_public() -> None:
    text = "\n".join(met(data()).notes())
    assert "epsilon 3" in text and "not private: kinds, categories and ranges" in text
    assert "share the folder generator alone" in text


def test_what_would_break_the_guarantee_is_refused() -> None:
    dataset = data()
    with pytest.raises(BadOption, match="trains in one process, not in 2"):
        game(dataset).seat(Arena(world=2))
    with pytest.raises(BadOption, match="--augment is for games whose discriminator sees images"):
        game(dataset).augment_with(DiffAugment())
    with pytest.raises(BadOption, match="learns tables"):
        seated_by_name("dp_ctgan", SMALL, dataclasses.replace(dataset.spec, kind="image", shape=(3, 8, 8)))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"epsilon": 0.0}, "--epsilon is 0.0; it must be more than 0"),
        ({"noise": -1.0}, "--noise is -1.0"),
        ({"discriminator_steps": 0}, "--discriminator-steps is 0"),
        ({"label_share": 1.0}, "--label-share 1.0; they must be between 0 and 1"),
        ({"share": 1.0}, "--share is 1.0, --label-share 0.3; they must be between 0 and 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(BadOption, match=text):
        dataclasses.replace(SMALL, **settings)


def test_scores_on_training_rows_choose_nothing(tmp_path: Path) -> None:
    run = Run(folder=tmp_path / "run", save_every=200)
    made = zerosum.train("dp_ctgan", table(200), config=SMALL, run=run, quiet=True)
    progress = [json.loads(path.read_text()) for path in tmp_path.glob("run/checkpoints/*/progress.json")]
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum(line["kind"] == "scores" for line in lines) > 1
    assert progress and all(one["best"] is None for one in progress)
    assert made.facts["samples"] == lines[-1]["samples"] and made.facts["scores"] == {}
