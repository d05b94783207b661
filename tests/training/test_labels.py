"""Labels that are drawn by a rule: the rule against its definition, what it learns, and what rows it makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import zerosum
from tests.gans.games import encoded
from zerosum.core.errors import BadOption, NotFinite
from zerosum.data import Data
from zerosum.data.tables.store import TableStore
from zerosum.gans.tables.tvae import TVAE, Config
from zerosum.networks.tabular_label import LabelRule
from zerosum.training.arena import Arena
from zerosum.training.fairness import Parity
from zerosum.training.labels import learn
from zerosum.training.loop import Run
from zerosum.training.table_generator import TableGenerator

NOTHING = Parity(None, None, 1.0)
SMALL = Config(epochs=2, batch_size=100, hidden=16, latent=4)


def people(n: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Bought depends on town and age, spent on town, and one in ten has not spent anything that is known."""
    draw = np.random.default_rng(seed)
    town, age = draw.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]), draw.uniform(20, 60, n).round(1)
    chance = np.select([town == "a", town == "b"], [0.1, 0.5], 0.9) * np.where(age > 40, 1.0, 0.5)
    spent = np.select([town == "a", town == "b"], [10.0, 20.0], 40.0) + draw.normal(0, 1, n)
    return pd.DataFrame({
        "town": town, "age": age, "bought": np.where(draw.random(n) < chance, "yes", "no"),
        "spent": np.where(draw.random(n) < 0.1, np.nan, spent.round(2)),
    })  # fmt: skip


def ruled(target: str, steps: int = 600, n: int = 3000) -> tuple[LabelRule, TableStore]:
    """A rule that has learned this column."""
    store = encoded(people(n), target=target)
    torch.manual_seed(0)
    rule = LabelRule(store.encoding.spec, int(store.encoding.spec.target or 0))
    learn(rule, store, NOTHING, steps)
    return rule, store


def column_of(store: TableStore, name: str) -> int:
    return next(block.column for block in store.encoding.spec.blocks if block.name == name)


@pytest.mark.parametrize("target", ["bought", "spent", "age"])
def test_the_error_is_the_log_likelihood(target: str) -> None:
    store = encoded(people(200), target=target)
    rule, rows = LabelRule(store.encoding.spec, column_of(store, target)).eval(), store.fetch(torch.arange(50))["row"]
    logits, means, deviations = rule(rows)
    expected = torch.zeros(50)
    if rule.choice is not None:
        own = rows[:, rule.choice].argmax(1)
        expected -= torch.distributions.Categorical(logits=logits).log_prob(own)
    if rule.place is not None:
        mode = own if rule.choice is not None else torch.zeros(50, dtype=torch.int64)
        normal = torch.distributions.Normal(
            means.gather(1, mode[:, None])[:, 0], deviations.gather(1, mode[:, None])[:, 0]
        )
        expected -= normal.log_prob(rows[:, rule.place]) + 0.5 * np.log(2 * np.pi)
    torch.testing.assert_close(rule.error(rows, logits, means, deviations), expected, rtol=1e-4, atol=1e-4)
    assert (rule.place is None) == (target == "bought")


def test_the_rule_does_not_see_the_label() -> None:
    rule, store = ruled("spent", 1)
    rows = store.fetch(torch.arange(20))["row"]
    other = rows.clone()
    other[:, rule.hidden] = 0.5
    assert all(torch.equal(a, b) for a, b in zip(rule(rows), rule(other), strict=True))
    assert not torch.equal(rule(rows)[0], rule(rows.flip(0))[0])


def test_draws_are_of_what_the_rule_says() -> None:
    rule, _ = ruled("spent", 1)
    logits = torch.zeros(30_000, rule.choices)
    logits[:, 0] = 1.0
    means, deviations = torch.full((30_000, rule.modes), 0.2), torch.full((30_000, rule.modes), 0.1)
    means[:, 0] = -0.3
    places, choices = rule.drawn(logits, means, deviations, torch.Generator().manual_seed(0))
    shares = torch.bincount(choices, minlength=rule.choices) / 30_000
    torch.testing.assert_close(shares, logits[0].softmax(0), atol=0.01, rtol=0)
    for mode, mean in ((choices == 0, -0.3), (choices != 0, 0.2)):
        assert places[mode].mean() == pytest.approx(mean, abs=0.01)
        assert places[mode].std() == pytest.approx(0.1, abs=0.01)


def test_what_is_learned_is_how_the_label_depends_on_the_rest() -> None:
    rule, store = ruled("bought")
    fresh = people(3000, 1)
    chance = rule(store.encoding.encode(fresh)["row"])[0].softmax(1)
    names = store.encoding.by_name["bought"].content.values  # type: ignore[union-attr]
    yes = chance[:, list(names).index("yes")].detach().numpy()
    for town, expected in (("a", 0.1), ("b", 0.5), ("c", 0.9)):
        for old in (False, True):
            found = yes[(fresh["town"] == town) & ((fresh["age"] > 45) if old else (fresh["age"] < 35))].mean()
            assert found == pytest.approx(expected if old else expected / 2, abs=0.1)


def generator_of(target: str, steps: int = 600) -> TableGenerator:
    """Of rows from an untrained network, whose labels a rule draws."""
    store = encoded(people(), target=target)
    torch.manual_seed(0)
    game = TVAE(dataclasses.replace(SMALL, label_steps=steps), store.encoding.spec).seat(Arena())
    game.meet(store)
    generator = game.trained()
    assert isinstance(generator, TableGenerator)
    generator.encoding = store.encoding
    return generator


def test_labels_are_drawn_by_the_rule() -> None:
    generator = generator_of("bought")
    made = generator.sample(20_000, seed=1)
    rows, rule = generator.table.encode(made)["row"], generator.rule
    assert rule is not None and rule.choice is not None
    chance = rule(rows)[0].softmax(1)
    for town in "abc":
        own = torch.tensor((made["town"] == town).tolist())
        drawn = rows[own, rule.choice].mean(0)
        torch.testing.assert_close(drawn, chance[own].mean(0), atol=0.02, rtol=0)
    assert chance.max() > 0.7 and chance.min() < 0.1
    assert made.equals(generator.sample(20_000, seed=1))


def test_numbers_and_missing_labels_are_drawn_too() -> None:
    made = generator_of("spent", 1000).sample(8000, seed=1)
    assert made["spent"].isna().mean() == pytest.approx(0.1, abs=0.03)
    medians = made.groupby("town")["spent"].median()
    assert [medians[town] for town in "abc"] == pytest.approx([10.0, 20.0, 40.0], abs=1.5)
    assert made[made["town"] == "b"]["spent"].quantile([0.1, 0.9]).diff().iloc[1] == pytest.approx(2.56, rel=0.6)


def test_conditions_on_labels_are_obeyed_as_if_others_were_thrown_away() -> None:
    generator = generator_of("bought")
    made = generator.sample(20_000, seed=1)
    of_yes = made[made["bought"] == "yes"]["town"].value_counts(normalize=True)
    asked = generator.sample(5000, given=["bought=yes"], seed=2)
    assert (asked["bought"] == "yes").all()
    found = asked["town"].value_counts(normalize=True)
    for town in "abc":
        assert found.get(town, 0.0) == pytest.approx(of_yes.get(town, 0.0), abs=0.04)
    both = generator.sample(500, given=["bought=yes", "town=a", "age>30"], seed=2)
    assert (both["bought"].eq("yes") & both["town"].eq("a") & both["age"].gt(30)).all()
    assert generator.sample(100, balance="bought", seed=3)["bought"].value_counts().to_dict() == {"yes": 50, "no": 50}
    rows = torch.cat(list(generator.tensors(300, given=["bought=yes"])))
    assert 0 < len(rows) <= 300 and (generator.table.decode({"row": rows})["bought"] == "yes").all()


@pytest.mark.parametrize(("target", "steps"), [(None, 100), ("bought", 0)])
def test_where_there_is_no_rule(target: str | None, steps: int) -> None:
    store = encoded(people(100), target=target)
    game = TVAE(dataclasses.replace(SMALL, label_steps=steps), store.encoding.spec)
    game.meet(store)
    made = game.trained()
    assert game.rule is None and isinstance(made, TableGenerator) and made.rule is None and not game.notes()
    assert not any("rule" in name for name in made.state_dict())


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    store = encoded(people(100), target="bought")
    with pytest.raises(BadOption, match="--label-steps is -1; it is a number of steps, or 0 for none"):
        TVAE(dataclasses.replace(SMALL, label_steps=-1), store.encoding.spec)
    rule = LabelRule(store.encoding.spec, column_of(store, "bought"))
    monkeypatch.setattr(rule, "error", lambda rows, *found: found[0].sum(1) * float("nan"))
    with pytest.raises(NotFinite, match="'label'"):
        learn(rule, store, NOTHING, 1)


def test_rules_are_saved_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = dataclasses.replace(SMALL, label_steps=50)
    made: Any = zerosum.train(
        "tvae", people(300), config=config, options=Data(target="spent"), run=Run(tmp_path / "run"), features="none"
    )
    assert "'spent' is drawn by a rule learned from real rows" in " ".join(capsys.readouterr().err.split())
    again: Any = zerosum.load(tmp_path / "run" / "generator")
    card = (tmp_path / "run" / "generator" / "README.md").read_text()
    assert "- Labels: 'spent' is drawn by a rule learned from real rows, given the rest of a row\n" in card
    assert again.sample(200, seed=1).equals(made.sample(200, seed=1))


def test_resuming_keeps_the_rule(tmp_path: Path) -> None:
    config, options = dataclasses.replace(SMALL, label_steps=50, epochs=6), Data(target="bought")
    people(300).to_csv(tmp_path / "people.csv", index=False)
    asked: dict[str, Any] = {"config": config, "options": options, "features": "none", "quiet": True}
    whole = zerosum.train("tvae", tmp_path / "people.csv", run=Run(tmp_path / "whole"), **asked)
    zerosum.train("tvae", tmp_path / "people.csv", run=Run(tmp_path / "half", samples=900), **asked)
    resumed = zerosum.resume(tmp_path / "half", samples=1800, quiet=True)
    ours, theirs = (own.network.state_dict() for own in (whole, resumed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if name.startswith("rule"))
    assert any(name.startswith("rule") for name in ours)
