"""Starting from what is trained already: every system from its own run, what fits and what not, layers that stay."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import zerosum
from tests.gans.games import play, seated, shrunk, spec_of, store_of
from tests.training.toys import same, state
from zerosum import api
from zerosum.core import discovery
from zerosum.core.errors import BadFile, BadOption
from zerosum.core.settings import to_json
from zerosum.data.options import Data
from zerosum.data.spec import Spec
from zerosum.networks.families import MLP
from zerosum.training import checkpoint, transfer
from zerosum.training.arena import Arena
from zerosum.training.callback import Callback, RollBack
from zerosum.training.game import Game
from zerosum.training.loop import Run, Training, train
from zerosum.training.player import Player

SYSTEMS = sorted(discovery.systems())


def config_of(name: str, **settings: Any) -> Any:
    return dataclasses.replace(shrunk(discovery.game_class(name).Config()), **settings)


def fresh(name: str, config: Any, spec: Spec, seed: int = 7) -> Game:
    """A game without a seat, with other weights than any source's."""
    torch.manual_seed(seed)
    return discovery.game_class(name)(config, spec)


def run_of(folder: Path, name: str, config: Any, spec: Spec, rounds: int = 2) -> Game:
    """A run folder as training leaves it; returns its game."""
    game = seated(name, config, spec)
    play(game, store_of(spec), rounds)
    progress = {**dict.fromkeys(checkpoint.PROGRESS), "samples": game.arena.samples, "rounds": game.rounds}
    checkpoint.save(folder, game, progress)
    described = {
        "command": {"system": name, "config": to_json(config)},
        "data": {"name": "noise", "fingerprint": "0", "spec": to_json(spec)},
    }
    (folder / "config.json").write_text(json.dumps(described))
    return game


def generator_of(folder: Path, game: Game, name: str) -> Path:
    generator = game.trained()
    generator.facts = {"system": name, "config": to_json(game.config), "data": {"name": "noise"}}
    generator.save(folder)
    return folder


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items() if not key.endswith("_extra_state")}


# --- where from


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_starts_from_its_own_run(name: str, tmp_path: Path) -> None:
    config, spec = config_of(name), spec_of(name)
    source = run_of(tmp_path, name, config, spec)
    game = fresh(name, config, spec)
    before = weights(game.D) if hasattr(game, "D") else None
    notes = transfer.start(game, transfer.read(tmp_path, name))
    assert same(weights(game.G), weights(source.averaged(source.G)))
    if before is not None:  # an autoencoder has none
        assert same(weights(game.D), weights(source.D)) and not same(weights(game.D), before)
    assert notes == [f"from {tmp_path}: " + ", ".join(f"100% of {n}" for n in transfer._networks(game).values())]
    game.seat(Arena())
    assert same(weights(game.averaged(game.G)), weights(game.G))
    game.train()
    play(game, store_of(spec), 1)


@pytest.mark.parametrize("name", ["rpgan", "stylegan2", "infogan"])
def test_from_a_generator_alone(name: str, tmp_path: Path) -> None:
    config, spec = config_of(name), spec_of(name)
    source = seated(name, config, spec)
    play(source, store_of(spec), 1)
    generator_of(tmp_path / "g", source, name)
    for path in (tmp_path / "g", tmp_path / "g" / "model.safetensors"):
        game = fresh(name, config, spec)
        before = weights(game.D)
        notes = transfer.start(game, transfer.read(path, name))
        assert same(weights(game.G), weights(source.averaged(source.G))) and same(weights(game.D), before)
        assert "generator alone" in notes[1]


def test_the_best_checkpoint_is_taken_where_it_is_kept(tmp_path: Path) -> None:
    config, spec = config_of("rpgan"), spec_of("rpgan")
    game = run_of(tmp_path, "rpgan", config, spec, rounds=1)
    best = weights(game.averaged(game.G))
    play(game, store_of(spec), 1)
    progress = {**dict.fromkeys(checkpoint.PROGRESS), "samples": 16, "rounds": 2, "best": 8}
    checkpoint.save(tmp_path, game, progress)
    other = fresh("rpgan", config, spec)
    source = transfer.read(tmp_path, "rpgan")
    transfer.start(other, source)
    assert same(weights(other.G), best) and source.facts["samples"] == 8


def test_a_run_without_checkpoints_gives_its_generator(tmp_path: Path) -> None:
    game = run_of(tmp_path, "rpgan", config_of("rpgan"), spec_of("rpgan"))
    generator_of(tmp_path / "generator", game, "rpgan")
    shutil.rmtree(tmp_path / "checkpoints")
    assert not transfer.read(tmp_path, "rpgan").whole
    shutil.rmtree(tmp_path / "generator")
    with pytest.raises(BadFile, match="neither a checkpoint nor a generator"):
        transfer.read(tmp_path, "rpgan")


def test_another_system_is_refused_by_both_names(tmp_path: Path) -> None:
    run_of(tmp_path, "rpgan", config_of("rpgan"), spec_of("rpgan"))
    with pytest.raises(BadOption, match=r"of the system rpgan, not stylegan2: `zerosum train rpgan --from"):
        transfer.read(tmp_path, "stylegan2")


def test_what_is_no_generator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="does not exist: give a run folder"):
        transfer.read(tmp_path / "nothing", "rpgan")
    (tmp_path / "photo.png").write_bytes(b"not a generator")
    for path in (tmp_path, tmp_path / "photo.png"):
        with pytest.raises(BadFile, match="is not a generator: expected a run folder"):
            transfer.read(path, "rpgan")
    (tmp_path / "config.json").write_text('{"library": "zerosum", "system": "rpgan", "config": {"surprise": 1}}')
    with pytest.raises(BadFile, match=r"its config\.json cannot be read"):
        transfer.read(tmp_path, "rpgan")


# --- what fits


def test_other_settings_are_named_with_the_tensors(tmp_path: Path) -> None:
    spec = spec_of("rpgan")
    source = config_of("rpgan")
    run_of(tmp_path, "rpgan", source, spec)
    wider = dataclasses.replace(source, networks=dataclasses.replace(source.networks, width=16))
    game = fresh("rpgan", wider, spec)
    before = weights(game)
    message = r"G\.project\.weight is \(\d+, 8\) there and \(\d+, 8\) here; .* networks\.width 8 there, 16 here\."
    with pytest.raises(BadOption, match=message):
        transfer.start(game, transfer.read(tmp_path, "rpgan"))
    assert same(weights(game), before)


def test_other_classes_start_anew_where_they_are_embedded(tmp_path: Path) -> None:
    config = config_of("stylegan2", conditional=True)
    source = run_of(tmp_path, "stylegan2", config, Spec((3, 16, 16), classes=4))
    game = fresh("stylegan2", config, Spec((3, 16, 16), classes=6))
    notes = transfer.start(game, transfer.read(tmp_path, "stylegan2"))
    assert notes[-1] == "other classes; these start anew: G.mapping.embed.weight, D.mapping.embed.weight"
    assert same(weights(game.G.synthesis), weights(source.averaged(source.G).synthesis))


def test_an_unconditional_source_for_a_conditional_training(tmp_path: Path) -> None:
    spec = Spec((3, 16, 16), classes=4)
    source = run_of(tmp_path, "stylegan2", config_of("stylegan2"), spec)
    game = fresh("stylegan2", config_of("stylegan2", conditional=True), spec)
    notes = transfer.start(game, transfer.read(tmp_path, "stylegan2"))
    assert notes[-1].startswith("other classes; these start anew: G.mapping.embed.weight, G.mapping.embed.bias")
    assert same(weights(game.G.synthesis), weights(source.averaged(source.G).synthesis))


def test_other_channels_start_anew_where_images_are_made_and_read(tmp_path: Path) -> None:
    config = config_of("rpgan")
    source = run_of(tmp_path, "rpgan", config, Spec((1, 16, 16)))
    game = fresh("rpgan", config, Spec((3, 16, 16)))
    notes = transfer.start(game, transfer.read(tmp_path, "rpgan"))
    assert notes[-1] == "other channels; these start anew: G.body.3.weight, G.body.3.bias, D.body.0.weight"
    assert torch.equal(game.G.project.weight, source.averaged(source.G).project.weight)


@pytest.mark.parametrize(("there", "here"), [(16, 32), (32, 16)])
@pytest.mark.parametrize(
    ("name", "stages", "most"), [("stylegan2", "synthesis.blocks", 8), ("r3gan", "stages", 8), ("progan", "blocks", 8)]
)
def test_other_resolutions_share_the_coarse_stages(
    name: str, stages: str, most: int, there: int, here: int, tmp_path: Path
) -> None:
    wide = {"wide_to": 64} if name == "r3gan" else {"channel_base": 1024}  # as wide everywhere: any block fits anywhere
    config = config_of(name, **wide)
    source = run_of(tmp_path, name, config, Spec((3, there, there)))
    game = fresh(name, config, Spec((3, here, here)))
    notes = transfer.start(game, transfer.read(tmp_path, name))
    ours, theirs = (list(g.get_submodule(stages)) for g in (game.G, source.averaged(source.G)))
    assert all(same(weights(a), weights(b)) for a, b in zip(ours, theirs, strict=False))
    part = stages.split(".")[-1]
    ours, theirs = list(game.D.get_submodule(part)), list(source.D.get_submodule(part))
    if name != "progan":  # whose D lists the coarsest first, too
        ours, theirs = ours[::-1], theirs[::-1]
    assert ours and all(same(weights(a), weights(b)) for a, b in zip(ours, theirs, strict=False))
    assert same(weights(game.D.out), weights(source.D.out))
    assert ("100%" in notes[0]) == (here < there)


def test_filters_go_with_the_resolution_and_weights_do_not(tmp_path: Path) -> None:
    config = config_of("stylegan3", layers=4)
    source = run_of(tmp_path, "stylegan3", config, Spec((3, 16, 16)))
    game = fresh("stylegan3", config, Spec((3, 32, 32)))
    filters = {n: b.clone() for n, b in game.G.named_buffers() if n.endswith("_filter")}
    transfer.start(game, transfer.read(tmp_path, "stylegan3"))
    assert filters and same(filters, {n: b for n, b in game.G.named_buffers() if n.endswith("_filter")})
    assert torch.equal(game.G.mapping.w_avg, source.averaged(source.G).mapping.w_avg)


def test_a_generator_of_which_hardly_anything_fits_is_refused(tmp_path: Path) -> None:
    config = config_of("rpgan")
    run_of(tmp_path, "rpgan", config, Spec((3, 16, 16)))
    with pytest.raises(BadOption, match=r"makes 3 x 16 x 16, and 0% of it fits one for 3 x 64 x 64\. Give the resol"):
        transfer.start(fresh("rpgan", config, Spec((3, 64, 64))), transfer.read(tmp_path, "rpgan"))


def test_random_numbers_are_left_alone(tmp_path: Path) -> None:
    config = config_of("stylegan2")
    run_of(tmp_path, "stylegan2", config, Spec((3, 16, 16)))
    game = fresh("stylegan2", config, Spec((3, 32, 32)))
    before = torch.get_rng_state()
    transfer.start(game, transfer.read(tmp_path, "stylegan2"))
    transfer.freeze(game, 1)
    assert torch.equal(before, torch.get_rng_state())


# --- layers that stay


@pytest.mark.parametrize("name", SYSTEMS)
def test_frozen_layers_stay_and_others_move(name: str) -> None:
    spec = spec_of(name)
    game = fresh(name, config_of(name), spec)
    order = transfer.layers(game)
    if not hasattr(game, "D"):  # an autoencoder
        with pytest.raises(BadOption, match="there is none to freeze"):
            transfer.freeze(game, 1)
        return
    transfer.freeze(game, len(order) - 1)
    game.seat(Arena())
    game.train()
    if name == "wgan":  # whose clipping is for all weights
        game.clip()
    frozen = {id(p) for layer in order[:-1] for module in layer for p in module.parameters()}
    before = {name: p.clone() for name, p in game.named_parameters()}
    play(game, store_of(spec), min(max(game.total_rounds, 3), 8))  # D may join late
    for key, parameter in game.named_parameters():
        if id(parameter) in frozen:
            assert torch.equal(parameter, before[key]) and parameter.grad is None, key
    moved = [key for key, p in game.named_parameters() if not torch.equal(p, before[key])]
    assert any(key.startswith("D.") for key in moved) and any(key.startswith("G.") for key in moved)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stylegan2", ["from_image", "blocks.0", "blocks.1", "conv", "dense", "out"]),
        ("progan", ["from_image.2", "blocks.1", "blocks.0", "conv", "dense", "out"]),
        ("dcgan", ["body.0", "body.2 body.3", "head"]),
        ("r3gan", ["from_image", "stages.0.0", "transitions.0", "stages.1.0", "stages.2.0", "basis", "out"]),
    ],
)
def test_layers_are_counted_from_the_image_on(name: str, expected: list[str]) -> None:
    config = config_of(name, **{"r3gan": {"wide_to": 8, "width": 16}}.get(name, {}))
    game = fresh(name, config, Spec((3, 16, 16)))
    names = {id(module): key for key, module in game.D.named_modules()}
    found = [" ".join(names[id(module)] for module in layer) for layer in transfer.layers(game)]
    assert found == expected


def test_as_many_layers_as_leave_one_to_learn_can_be_frozen() -> None:
    game = fresh("stylegan2", config_of("stylegan2"), Spec((3, 16, 16)))
    for count in (0, 6):
        with pytest.raises(BadOption, match=rf"discriminator {count}: .* 1 to 5 of its 6 layers can be frozen"):
            transfer.freeze(game, count)
    game.seat(Arena())
    with pytest.raises(BadOption, match=r"has its seat already: freeze layers before game\.seat"):
        transfer.freeze(game, 1)


def test_averages_of_frozen_weights_are_the_frozen_weights() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    player = Player(network, ema_half_life=10.0)
    player.freeze(network[0])
    player.seat("someone", Arena())
    before = weights(network)
    for _ in range(3):
        player.step(lambda batch: {"square": network(batch["image"]).square().mean()}, {"image": torch.randn(8, 3)})
    assert torch.equal(player.averages[0][0].weight, before["0.weight"])
    assert not torch.equal(player.averages[0][1].weight, before["1.weight"])
    assert len(player.memory()["state"]) == 2


# --- trainings


PICTURES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
OTHERS = 255 - PICTURES
TINY = {"features": "none", "quiet": True}


def tiny(**settings: Any) -> Any:
    return config_of("rpgan", rounds=100, networks=MLP(hidden=8), **settings)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run. Not to be changed."""
    folder = tmp_path_factory.mktemp("source") / "run"
    api.train("rpgan", PICTURES, config=tiny(batch_size=4), run=Run(folder=folder, samples=32), **TINY)
    return folder


def final(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.networks(checkpoint.saved(folder)[-1])


def test_resumes_bit_for_bit_without_the_source(source: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(source, tmp_path / "source"))
    data = tmp_path / "data.npz"
    np.savez(data, images=OTHERS)
    run = Run(folder=tmp_path / "whole", samples=64, save_every=32)
    api.train("rpgan", data, start_from=copied, freeze_discriminator=1, run=run, **TINY)
    shutil.rmtree(copied)
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    shutil.rmtree(checkpoint.saved(tmp_path / "parts")[-1])  # as if killed
    assert [path.name for path in checkpoint.saved(tmp_path / "parts")] == [f"{32:012d}"]
    api.resume(tmp_path / "parts", quiet=True)
    assert same(final(tmp_path / "whole"), final(tmp_path / "parts"))
    start = checkpoint.networks(checkpoint.saved(source)[-1])
    end = final(tmp_path / "whole")
    assert torch.equal(end["D.body.0.0.weight"], start["D.body.0.0.weight"])
    assert not torch.equal(end["D.head.weight"], start["D.head.weight"])
    described = json.loads((tmp_path / "parts" / "config.json").read_text())
    assert described["command"]["config"]["batch_size"] == 4  # the source's
    assert described["command"]["freeze_discriminator"] == 1
    assert described["started_from"]["samples"] == 32 and "100% of G" in described["started_from"]["notes"][0]
    facts = zerosum.load(tmp_path / "parts").facts
    assert (
        facts["started_from"]["fingerprint"] == described["started_from"]["fingerprint"] != facts["data"]["fingerprint"]
    )


class Once(Callback):
    """Asks to go back, once."""

    def __init__(self) -> None:
        self.asked, self.events = False, list[str]()

    def tick(self, training: Training, values: dict[str, float]) -> None:
        if not self.asked:
            self.asked = True
            raise RollBack("a test")

    def note(self, training: Training, line: dict[str, Any]) -> None:
        self.events.append(str(line.get("event")))


def test_rolls_back_to_what_it_started_from(source: Path, tmp_path: Path) -> None:
    dataset = api.load_data(OTHERS, Data())
    game = fresh("rpgan", tiny(batch_size=4), dataset.spec)
    transfer.start(game, transfer.read(source, "rpgan"))
    transfer.freeze(game, 1)
    once, began = Once(), weights(game.G)
    train(game, dataset, Run(samples=32, keep=9), tmp_path, [once], {"system": "rpgan", "config": to_json(game.config)})
    first = checkpoint.networks(checkpoint.saved(tmp_path)[0])
    assert all(torch.equal(first[f"G.{key}"], value) for key, value in began.items())
    assert any("rolled back to 0 samples" in event for event in once.events) and game.arena.samples == 32
    assert torch.equal(game.D.body[0][0].weight, final(source)["D.body.0.0.weight"])
    assert state(game)


def test_random_layers_are_not_frozen(source: Path, tmp_path: Path) -> None:
    for start in (None, source / "generator"):
        run = Run(folder=tmp_path / "run")
        with pytest.raises(BadOption, match="needs --from RUN, whose discriminator has learned something"):
            api.train("rpgan", OTHERS, config=tiny(), start_from=start, freeze_discriminator=1, run=run, **TINY)
    assert not (tmp_path / "run").exists()


def test_from_the_command_line(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from zerosum.cli import main

    np.savez(tmp_path / "data.npz", images=OTHERS)
    command = ["train", "rpgan", "--data", str(tmp_path / "data.npz"), "--from", str(source)]
    assert main([*command, "--freeze-discriminator", "1", "--dry-run"]) == 0
    printed = capsys.readouterr()
    resolved = json.loads(printed.out)
    assert resolved["start_from"] == str(source) and resolved["config"]["networks"]["hidden"] == 8
    assert "100% of G, 100% of D" in printed.err and resolved["started_from"]["system"] == "rpgan"
    assert main(["train", "dcgan", "--from", str(source), "--dry-run"]) == 2
    assert "of the system rpgan, not dcgan" in capsys.readouterr().err
