"""What every system must do, without exception."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.gans.games import asking, encoding_of, play, seated, settings, shrunk, spec_of, store_of, undocumented
from tests.test_house import AUTHORS_AND_YEAR, IDENTIFIER
from zerosum.core import discovery
from zerosum.core.errors import BadOption
from zerosum.core.settings import from_json, to_json
from zerosum.training import checkpoint
from zerosum.training.arena import Arena
from zerosum.training.generator import TrainedGenerator

SYSTEMS = sorted(discovery.systems())
SETTINGS = settings()


@pytest.fixture(params=SETTINGS.values(), ids=SETTINGS.keys())
def system(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param


def state(game: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights, buffers and what the optimizers remember."""
    found = dict(game.state_dict())
    for name, player in game.players.items():
        for i, memory in enumerate(player.optimizer.state.values()):
            found |= {f"{name}.{i}.{k}": v for k, v in memory.items() if isinstance(v, torch.Tensor)}
    return {name: value.clone() for name, value in found.items()}


@pytest.mark.parametrize("name", SYSTEMS)
def test_documents_itself(name: str) -> None:
    system = discovery.systems()[name]
    assert AUTHORS_AND_YEAR.search(system.summary) and IDENTIFIER.search(system.summary)
    assert "Deviations:" in system.docstring
    assert not undocumented(system.path)


def test_plays_and_resumes_bit_for_bit(system: tuple[str, Any], tmp_path: Path) -> None:
    name, config = system
    spec = spec_of(name)
    store = store_of(spec)
    game = seated(name, config, spec)
    before = state(game)
    play(game, store, 2)
    assert any(not torch.equal(before[key], value) for key, value in state(game).items() if key in before)
    progress = {**dict.fromkeys(checkpoint.PROGRESS), "samples": game.arena.samples, "rounds": game.rounds}
    path = checkpoint.save(tmp_path, game, progress)
    play(game, store, 2)
    other = seated(name, config, spec)
    other.arena.samples = checkpoint.load(path, other)["samples"]
    play(other, store, 2)
    expected, found = state(game), state(other)
    assert expected.keys() == found.keys()
    assert [key for key, value in expected.items() if not torch.equal(value, found[key])] == []


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_phase_plays(name: str) -> None:
    spec = spec_of(name)
    game = seated(name, shrunk(discovery.game_class(name).Config()), spec)
    start = 0
    for phase in game.phases():
        game.rounds = start
        play(game, store_of(spec), min(2, phase.rounds))
        start += phase.rounds
    values = game.arena.log.read(game.rounds)
    assert {name.split("/")[0] for name in values} == set(game.players)


def test_terms_in_bfloat16_are_those_in_full_precision(system: tuple[str, Any]) -> None:
    name, config = system
    spec = spec_of(name)
    logs = []
    for precision in ("fp32", "bf16"):
        game = seated(name, config, spec, Arena(precision=precision))
        play(game, store_of(spec), 1)
        logs.append(game.arena.log.read(1))
    assert logs[0].keys() == logs[1].keys()
    for term, value in logs[0].items():
        if not term.endswith("/gradient"):
            assert logs[1][term] == pytest.approx(value, rel=0.1, abs=0.1), term


def test_discriminators_judge_each_sample(system: tuple[str, Any]) -> None:
    name, config = system
    spec = spec_of(name)
    game = seated(name, config, spec)
    before = state(game)
    batch = store_of(spec).fetch(torch.arange(5))
    logits = game.critique(batch)
    assert logits is None or (logits.shape == (5,) and torch.isfinite(logits).all())
    assert all(torch.equal(before[key], value) for key, value in state(game).items())
    if logits is not None:
        assert game.critique({key: value[:1] for key, value in batch.items()}).shape == (1,)


def test_generator_is_saved_and_samples_the_same(system: tuple[str, Any], tmp_path: Path) -> None:
    name, config = system
    spec = spec_of(name)
    game = seated(name, config, spec)
    play(game, store_of(spec), 1)
    generator = asking(game.trained(), spec)
    generator.encoding = encoding_of(spec)
    generator.facts = {"system": name, "config": to_json(config), "data": {"name": "noise"}}
    generator.save(tmp_path / "generator")
    loaded = asking(TrainedGenerator.load(tmp_path / "generator"), spec)
    [expected], [found] = list(generator.tensors(3, seed=5)), list(loaded.tensors(3, seed=5))
    assert expected.shape == (3, *spec.shape)
    assert torch.equal(expected, found)
    if loaded.latent.size:
        assert not torch.equal(expected, next(iter(loaded.tensors(3, seed=6))))
    assert len(loaded.sample(2)) == 2
    if generator.conditional:
        one, same = (
            next(iter(loaded.tensors(2, given={"label": 1}))),
            next(iter(loaded.tensors(2, given={"label": [1, 1]}))),
        )
        assert torch.equal(one, same)


def test_settings_survive_json(system: tuple[str, Any]) -> None:
    name, config = system
    kind = discovery.game_class(name).Config
    assert from_json(kind, json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize("name", SYSTEMS)
def test_conditional_systems_ask_for_labels(name: str) -> None:
    game, spec = discovery.game_class(name), dataclasses.replace(spec_of(name), classes=0)
    config = shrunk(game.Config())
    if hasattr(config, "conditional"):
        game(config, spec)
        config = dataclasses.replace(config, conditional=True)
    elif not game.conditional:
        game(config, spec)
        return
    with pytest.raises(BadOption, match=r"--data\.labels"):
        game(config, spec)


@pytest.mark.parametrize("name", SYSTEMS)
def test_help_lists_every_setting(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from zerosum.cli import main

    with pytest.raises(SystemExit) as left:  # as argparse leaves after its help
        main(["train", name, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(discovery.game_class(name).Config):
        assert field.name.replace("_", "-") in text, field.name
