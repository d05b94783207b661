"""TVAE, CTAB-GAN+ and TabFairGAN: their parts against definitions, what they learn, and rows that are fair."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.gans.games import TABLE, encoded
from zerosum.core import discovery, randomness
from zerosum.core.errors import BadOption
from zerosum.data.spec import Block, Spec
from zerosum.data.tables.store import TableStore
from zerosum.gans.tables.ctabgan_plus import Config as ConvConfig
from zerosum.gans.tables.ctabgan_plus import CTABGANPlus, Target, moments_gap, spherical
from zerosum.gans.tables.ctgan import CTGAN
from zerosum.gans.tables.ctgan import Config as CTGANConfig
from zerosum.gans.tables.tabfairgan import Config as FairConfig
from zerosum.gans.tables.tabfairgan import TabFairGAN
from zerosum.gans.tables.tvae import TVAE
from zerosum.gans.tables.tvae import Config as VAEConfig
from zerosum.networks.tabular_conv import Critic, Generator, side_of, stages
from zerosum.networks.tabular_mlp import Predictor
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam


def people(n: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Men earn more, which their work does not explain; and number follows sort."""
    draw = np.random.default_rng(seed)
    sex = draw.choice(["f", "m"], n)
    work = draw.choice(["hand", "desk"], n)
    chance = 0.2 + 0.4 * (sex == "m") + 0.2 * (work == "desk")
    return pd.DataFrame({
        "sex": sex, "work": work, "hours": np.where(work == "desk", 40.0, 20.0) + draw.normal(0, 2, n),
        "pay": np.where(draw.random(n) < chance, "high", "low"),
    })  # fmt: skip


def played(game: Game, store: TableStore, rounds: int | None = None) -> Game:
    """The game after its rounds, or so many of them."""
    game.seat(Arena()).train()
    game.meet(store)
    batches = Batches(
        store,
        batch_size=game.batch_size,
        noise=game.noise(),
        seed=(0,),
        arena=game.arena,
        order=game.order(store, (0,)),
    )
    for _ in range(game.total_rounds if rounds is None else rounds):
        game.arena.progress = game.rounds / game.total_rounds
        randomness.reseed(0, "round", game.rounds)
        game.turn(game.phase()[0], batches)
        game.rounds += 1
    return game


def table_of(game: Any, store: TableStore, n: int = 4000) -> pd.DataFrame:
    generator = game.trained()
    generator.encoding = store.encoding
    frame: pd.DataFrame = generator.sample(n, seed=1)
    return frame


def rates(frame: pd.DataFrame) -> pd.Series:
    """The share of high pay of each sex."""
    return (frame["pay"] == "high").groupby(frame["sex"]).mean()


# -- TVAE


def test_tvae_is_the_evidence_lower_bound() -> None:
    game = TVAE(VAEConfig(hidden=8, latent=4, reconstruction=1.0), TABLE.encoding.spec)
    batch = TABLE.fetch(torch.arange(12)) | {
        "posterior": torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    }
    losses = game.loss(batch)
    mean, log_variance = game.E(batch["row"])
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    assert losses["divergence"] == pytest.approx(float(expected), rel=1e-4)
    means, logits = game.G.parts(mean + posterior.stddev * batch["posterior"])
    rows = torch.cat([means, logits], 1)[:, game.blocks.back]
    known = game.layout.known(TABLE.choices[:12].long())
    numbers = choices = 0.0
    for place, (block, piece) in enumerate(zip(TABLE.encoding.spec.blocks, game.spec.slices, strict=True)):
        if block.kind == "softmax":
            choices -= float((batch["row"][:, piece] * rows[:, piece].log_softmax(1)).sum()) / 12
            continue
        spread = game.G.spread[sum(own.kind == "scalar" for own in game.spec.blocks[:place])]
        normal = torch.distributions.Normal(rows[:, piece], spread)
        log = normal.log_prob(batch["row"][:, piece]) + 0.5 * math.log(2 * math.pi)
        numbers -= float((log * known[:, piece]).sum()) / 12
    assert losses["choices"] == pytest.approx(choices, rel=1e-4)
    assert losses["numbers"] == pytest.approx(numbers, rel=1e-4)


def test_tvae_numbers_have_the_noise_of_their_column() -> None:
    game = TVAE(VAEConfig(hidden=8, latent=4), TABLE.encoding.spec)
    z = torch.zeros(5000, game.latent.size)
    z[:, 4:] = torch.randn(5000, game.blocks.scalars, generator=torch.Generator().manual_seed(0))
    made = game.G(z)[:, game.layout.starts[0]]
    torch.testing.assert_close(made.std(0), game.G.spread, rtol=0.05, atol=0)


def test_tvae_learns_a_dependence() -> None:
    store = encoded(people(), target="pay")
    config = VAEConfig(epochs=20, batch_size=50, hidden=32, latent=8, adam=Adam(3e-3, (0.9, 0.999)))
    made = table_of(played(TVAE(config, store.encoding.spec), store), store)
    assert abs((made["pay"] == "high").mean() - (people()["pay"] == "high").mean()) < 0.05
    hours = made["hours"].groupby(made["work"]).mean()
    assert hours["desk"] > 36 and hours["hand"] < 24


# -- CTAB-GAN+


@pytest.mark.parametrize(("numbers", "side"), [(1, 4), (16, 4), (17, 8), (300, 24), (4096, 64)])
def test_rows_are_squares(numbers: int, side: int) -> None:
    assert side_of(numbers) == side
    critic = Critic(numbers, width=4)
    assert critic(torch.randn(3, numbers)).shape == (3,)
    assert critic.features(torch.randn(3, numbers)).shape[1] == 4 * 2 ** (len(stages(side, 4)) - 1) * (
        stages(side, 4)[-1][1] ** 2
    )


def test_rows_that_fit_no_square_are_refused() -> None:
    with pytest.raises(BadOption, match=r"4,097 numbers do not fit .* 64 x 64: give fewer --data.categories"):
        side_of(4097)


@pytest.mark.parametrize("size", [3, 60, 200, 500])
def test_the_convolutional_generator_makes_rows_of_any_length(size: int) -> None:
    spec = Spec(
        (size + 1,), kind="table", blocks=(Block(0, "scalar", 1, "value"), Block(1, "softmax", size, "category"))
    )
    made = Generator(5, spec, width=4)(torch.randn(3, 5), torch.zeros(3, size))
    assert made.shape == (3, size + 1) and (made[:, 0].abs() <= 1).all()


def test_numbers_of_a_row_are_judged_each() -> None:
    critic, rows = Critic(30, width=4), torch.randn(2, 30, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(rows).sum(), rows)
    assert (gradient != 0).all()


def test_arcs_keep_the_length() -> None:
    real, fake = (torch.nn.functional.normalize(torch.randn(6, 5), dim=1) for _ in range(2))
    for share in (0.0, 0.3, 1.0):
        point = spherical(real, fake, torch.full((6, 1), share))
        torch.testing.assert_close(point.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(spherical(real, fake, torch.ones(6, 1)), real)
    torch.testing.assert_close(spherical(real, fake, torch.zeros(6, 1)), fake)


def test_information_loss() -> None:
    features = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    assert moments_gap(features, features) == 0.0
    shifted = features + torch.tensor([3.0, 4.0])
    assert moments_gap(features, shifted) == pytest.approx(5.0)
    assert moments_gap(features, features * torch.tensor([3.0, 1.0])) == pytest.approx(2.0 + 2.0, abs=1e-3)


def test_without_a_target_nothing_is_predicted() -> None:
    spec = TABLE.encoding.spec
    game = CTABGANPlus(ConvConfig(width=4, units=8), spec)
    assert not game.predicting and "--data.target" in game.chosen["downstream"]
    off = CTABGANPlus(ConvConfig(width=4, downstream=0.0), spec)
    assert not off.predicting and not off.chosen


@pytest.mark.parametrize(("name", "outputs"), [("answer", 2), ("level", 4), ("amount", None), ("ratio", None)])
def test_targets_of_every_kind(name: str, outputs: int | None) -> None:
    spec = dataclasses.replace(
        TABLE.encoding.spec, target=[column.name for column in TABLE.encoding.columns].index(name)
    )
    game = CTABGANPlus(ConvConfig(epochs=1, batch_size=10, width=4, units=8), spec)
    assert game.predicting and game.target.outputs == (outputs or game.target.outputs)
    own = torch.cat(
        [torch.arange(p.start, p.stop) for b, p in zip(spec.blocks, spec.slices, strict=True) if b.name == name]
    )
    assert game.target.hidden.nonzero().squeeze(1).tolist() == own.tolist()
    played(game, TABLE, 2)
    values = game.arena.log.read(2)
    assert math.isfinite(values["predictor/target"]) and math.isfinite(values["generator/downstream"])


def test_disagreement_is_a_divergence_and_least_where_both_agree() -> None:
    store = encoded(people(200), target="pay")
    target = Target(store.encoding.spec)
    rows, guess = store.fetch(torch.arange(6))["row"], torch.randn(6, 2)
    log = torch.zeros_like(rows)
    log[:, target.choice] = guess.log_softmax(1)
    torch.testing.assert_close(target.disagreement(guess, rows, log), torch.zeros(6), atol=1e-6, rtol=0)
    log[:, target.choice] = torch.randn(6, 2).log_softmax(1)
    assert (target.disagreement(guess, rows, log) > 0).all()
    entropy = torch.nn.functional.cross_entropy(guess, rows[:, target.choice].argmax(1), reduction="none")
    torch.testing.assert_close(target.error(guess, rows), entropy)


def test_the_predictor_does_not_see_the_target() -> None:
    store = encoded(people(200), target="pay")
    target = Target(store.encoding.spec)
    C, rows = Predictor(target.hidden, 2, units=8, dropout=0.0), store.fetch(torch.arange(6))["row"]
    other = rows.clone()
    other[:, target.choice] = 1.0 - other[:, target.choice]
    assert torch.equal(C(rows), C(other)) and not torch.equal(C(rows), C(rows.flip(0)))


def test_ctabgan_plus_learns_a_dependence() -> None:
    store = encoded(people(), target="pay")
    adam = Adam(2e-3, (0.5, 0.9), eps=1e-3)
    game = CTABGANPlus(
        ConvConfig(epochs=12, batch_size=100, width=8, latent=8, units=32, critic_steps=2, adam=adam),
        store.encoding.spec,
    )
    made = table_of(played(game, store), store)
    hours = made["hours"].groupby(made["work"]).mean()
    assert hours["desk"] > hours["hand"] + 8
    assert rates(made)["m"] > rates(made)["f"] + 0.15


# -- fair rows


def test_the_second_phase_is_fair_and_slower() -> None:
    store = encoded(people(400), target="pay")
    config = FairConfig(epochs=10, fair_share=0.3, batch_size=100, label_steps=0)
    plain = TabFairGAN(config, store.encoding.spec)
    fair = TabFairGAN(dataclasses.replace(config, fair="sex", favourable="high"), store.encoding.spec)
    for game in (plain, fair):
        game.meet(store)
    assert [(phase.name, phase.rounds) for phase in plain.phases()] == [("game", 40)]
    assert [(phase.name, phase.rounds) for phase in fair.phases()] == [("game", 28), ("fair", 12)]
    assert [plain.rate(0.0), plain.rate(0.9), fair.rate(0.69), fair.rate(0.71)] == [1.0, 1.0, 1.0, 0.5]
    with pytest.raises(BadOption, match="--fair-share is 1.5; it is a share of the epochs, from 0 to 1"):
        TabFairGAN(dataclasses.replace(config, fair_share=1.5), store.encoding.spec)


@pytest.mark.parametrize("system", ["ctgan", "ctabgan_plus", "tabfairgan", "tvae"])
def test_fair_systems_play_and_know_their_groups(system: str) -> None:
    store = encoded(people(200), target="pay")
    kind: Any = discovery.game_class(system)
    small = {"hidden": 8} if system != "ctabgan_plus" else {"width": 4, "units": 8}
    config = kind.Config(epochs=2, batch_size=20, fair="sex", favourable="high", label_steps=20, **small)
    game = played(kind(config, store.encoding.spec), store, 20)
    assert game.parity.known
    [note] = game.notes()
    assert "'pay' is drawn by a rule" in note and "favours the groups of 'sex' alike (weight 1.5)" in note
    generator = game.trained()
    assert "favours the groups of 'sex' alike" in generator.facts["labels"]
    generator.encoding = store.encoding
    assert (generator.sample(50, given=["sex=f", "pay!=low"])[["sex", "pay"]] == ["f", "high"]).all(axis=None)
    assert generator.sample(20, balance="pay")["pay"].value_counts().to_dict() == {"high": 10, "low": 10}


@pytest.mark.parametrize("system", ["ctgan", "ctabgan_plus", "tvae"])
def test_without_a_rule_nothing_is_fair(system: str) -> None:
    kind: Any = discovery.game_class(system)
    store = encoded(people(100), target="pay")
    with pytest.raises(BadOption, match="--label-steps is 0, so that there is none"):
        kind(kind.Config(fair="sex", favourable="high", label_steps=0), store.encoding.spec)


@pytest.mark.parametrize(("weight", "least", "most"), [(0.0, 0.3, 0.5), (30.0, -0.05, 0.05)])
def test_the_rule_makes_labels_fair_and_leaves_the_rest(weight: float, least: float, most: float) -> None:
    frame = people()
    store = encoded(frame, target="pay")
    config = VAEConfig(epochs=40, batch_size=200, hidden=32, fair="sex", favourable="high", fairness=weight)
    made = table_of(played(TVAE(config, store.encoding.spec), store), store)
    real = rates(frame)
    assert real["m"] - real["f"] > 0.35
    assert least < rates(made)["m"] - rates(made)["f"] < most
    assert abs((made["pay"] == "high").mean() - (frame["pay"] == "high").mean()) < 0.05
    work = (made["pay"] == "high").groupby(made["work"]).mean()
    assert work["desk"] - work["hand"] > 0.1  # what is no matter of the group stays
    assert abs(made["sex"].eq("m").mean() - frame["sex"].eq("m").mean()) < 0.04
    assert abs((made["work"] == "desk").mean() - (frame["work"] == "desk").mean()) < 0.04


def test_what_is_favourable_is_said_without_doubt() -> None:
    frame = people(100).rename(columns={"sex": "a"})
    frame["pay"] = frame["pay"].replace({"high": "a=m"})
    store = encoded(frame, target="pay")
    game = CTGAN(CTGANConfig(hidden=8, fair="work", favourable="a=m"), store.encoding.spec)
    with pytest.raises(BadOption, match="--favourable a=m: write it as column=value"):
        game.meet(store)
