"""gain and masked_imputer: what is true of each of them, and that they learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from tests.gans.games import encoded, play, seated
from zerosum.core.errors import BadOption
from zerosum.data.tables.store import TableStore
from zerosum.gans.tables import gain, masked_imputer
from zerosum.metrics.imputation import errors, hide
from zerosum.training.imputer import Imputer

MASKED = masked_imputer.Config(
    rounds=150, adversarial_rounds=10, batch_size=64, width=48, layers=2, bins=16, latent=4,
    ema_half_life=1000.0,
)  # fmt: skip


def related(n: int = 600) -> pd.DataFrame:
    """Columns that tell of one another."""
    draw = np.random.default_rng(0)
    x = draw.normal(0.0, 1.0, n)
    frame = pd.DataFrame({"x": x, "y": 3.0 - 2.0 * x + draw.normal(0.0, 0.1, n), "z": x**2})
    return frame.assign(sign=np.where(x > 0, "above", "below"), same=np.round(x).clip(-2, 2))


def filled_in(name: str, config: object, holed: pd.DataFrame, **options: object) -> tuple[Imputer, TableStore]:
    store = encoded(holed, **options)
    game = seated(name, config, store.encoding.spec)
    play(game, store, game.total_rounds)
    made = game.trained()
    assert isinstance(made, Imputer)
    made.encoding = store.encoding
    return made, store


@pytest.mark.parametrize(
    ("name", "config", "scaling"),
    [
        ("gain", gain.Config(rounds=300, batch_size=64, width=32), "range"),
        ("gain", gain.Config(rounds=300, batch_size=64, width=32, adversary=0.0), "range"),
        ("masked_imputer", MASKED, "modes"),
        ("masked_imputer", dataclasses.replace(MASKED, adversarial_rounds=0), "range"),
    ],
)
def test_learns_what_columns_tell_of_one_another(name: str, config: object, scaling: str) -> None:
    truth = related()
    lost = hide(truth, share=0.2, seed=1)
    imputer, _ = filled_in(name, config, truth.mask(lost), scaling=scaling)
    found = errors(truth, imputer.impute(truth.mask(lost), rounded=False), lost)
    means = truth.mask(lost)
    for column in ("x", "y", "z", "same"):
        means[column] = means[column].fillna(means[column].mean())
    plain = errors(truth, means.assign(sign=means["sign"].fillna("above")), lost)
    assert found["rmse"] < 0.85 * plain["rmse"]
    assert found["error"] < 0.6 * plain["error"]


def test_gain_without_an_adversary_has_no_discriminator() -> None:
    store = encoded(related(40))
    game = seated("gain", gain.Config(adversary=0.0, batch_size=8), store.encoding.spec)
    play(game, store, 2)
    assert set(game.players) == {"generator"}
    assert set(game.arena.log.read(2)) == {"generator/reconstruction", "generator/gradient"}


def test_hints_of_paper_and_program() -> None:
    spec = encoded(related(40)).encoding.spec
    seen = {}
    for hint in ("paper", "program"):
        game = seated("gain", gain.Config(hint=hint, hint_rate=0.5), spec)  # type: ignore[arg-type]
        game.D.register_forward_pre_hook(lambda module, given, hint=hint: seen.update({hint: given[1]}))
        mask = torch.tensor([[1.0, 1.0, 0.0, 0.0, 1.0]])
        x = torch.rand(1, len(game.G.numbers))
        game.judged(x, x, mask, torch.tensor([[0.1, 0.9, 0.1, 0.9, 0.1]]))
    assert seen["paper"].tolist() == [[1.0, 0.5, 0.0, 0.5, 1.0]]
    assert seen["program"].tolist() == [[1.0, 0.0, 0.0, 0.0, 1.0]]


def test_gain_is_told_nothing_of_missing_cells_but_that() -> None:
    """What is in a missing cell, and what G made of known ones, changes no loss."""
    truth = related(64)
    store = encoded(truth.mask(hide(truth, seed=1)))
    game = seated("gain", gain.Config(batch_size=64), store.encoding.spec)
    rows = store.fetch(torch.arange(64))["row"]
    known = game.G.cells.known(rows)
    batch = {"row": rows, "z": torch.rand(64, game.G.latent) * 0.01, "reveal": torch.rand(64, len(game.G.cells))}
    noise = rows.clone()
    hidden = game.G.cells.spread((~known).float()).bool()
    for cell in game.G.cells.cells:
        hidden[:, [number for number in (cell.absent,) if number is not None]] = False
    noise[hidden] = torch.rand(int(hidden.sum()))
    for loss in (game.generator_loss, game.discriminator_loss):
        for name, value in loss(batch).items():
            assert torch.allclose(value, loss(batch | {"row": noise})[name], atol=1e-6), name


def test_masked_imputer_hides_known_cells_only() -> None:
    truth = related(200)
    store = encoded(truth.mask(hide(truth, seed=1)))
    config = dataclasses.replace(MASKED, hiding=(0.4, 0.4))
    game = seated("masked_imputer", config, store.encoding.spec)
    rows = store.fetch(torch.arange(200))["row"]
    known = game.G.cells.known(rows)
    batch = {"row": rows, "hide": torch.rand(200, 1 + len(game.G.cells))}
    visible, hidden = game.hide(batch)
    assert torch.equal(visible | hidden, known) and not (visible & hidden).any()
    assert float(hidden.sum() / known.sum()) == pytest.approx(0.4, abs=0.06)


def test_masked_imputers_learning_rate() -> None:
    spec = encoded(related(40)).encoding.spec
    game = seated("masked_imputer", dataclasses.replace(MASKED, rounds=300, adversarial_rounds=100), spec)
    assert game.rate(0.0) == pytest.approx(0.02)
    assert game.rate(0.1) > game.rate(0.4) > game.rate(0.7) > 0.1
    assert game.rate(0.75) == game.rate(1.0) == pytest.approx(0.1)
    assert [phase.rounds for phase in game.phases()] == [300, 100]
    alone = seated("masked_imputer", dataclasses.replace(MASKED, adversarial_rounds=0), spec)
    assert set(alone.players) == {"generator"} and alone.latent.size == 0


@pytest.mark.parametrize(
    ("name", "config", "complaint"),
    [
        ("gain", gain.Config(hint_rate=1.5), r"--hint-rate is 1\.5"),
        ("masked_imputer", dataclasses.replace(MASKED, hiding=(0.5, 0.2)), r"--hiding is 0\.5 0\.2"),
        ("masked_imputer", dataclasses.replace(MASKED, rounds=0, adversarial_rounds=0), "are both 0"),
    ],
)
def test_settings_that_cannot_work(name: str, config: object, complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        seated(name, config, encoded(related(40)).encoding.spec)
