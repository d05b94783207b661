"""Systems that learn from unpaired images: a known translation is found, the losses are the papers', pools survive."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zerosum
from tests.gans.games import Memory, play, seated, shrunk, store_of
from zerosum.core.errors import BadOption
from zerosum.data.options import Data
from zerosum.data.spec import Batch, Spec
from zerosum.data.stores import Unpaired
from zerosum.gans.translation import cut, cyclegan
from zerosum.networks.projector import Projector
from zerosum.objectives.contrastive import patch_nce
from zerosum.training import checkpoint
from zerosum.training.arena import Arena
from zerosum.training.augmentation import ADA
from zerosum.training.loop import Run
from zerosum.training.optimizers import Adam

SIZE = 16
SPEC = Spec((3, SIZE, SIZE), source=(3, SIZE, SIZE))
WIDE = Spec((3, 32, 32), source=(3, 32, 32))
INK, PAPER = torch.tensor([1.0, 0.0, -1.0]), -torch.ones(3)
COLOURS = torch.stack([INK, PAPER, torch.ones(3)])
TOYS: dict[str, Any] = {
    "cyclegan": cyclegan.Config(width=8, discriminator_width=16, blocks=1, layers=1),
    "cyclegan, filtered": cyclegan.Config(width=8, discriminator_width=16, blocks=1, layers=1, antialias=True),
    "cut": cut.Config(width=8, discriminator_width=16, blocks=1, layers=1, patches=64, head_width=32),
}
SMALL = {"cyclegan": cyclegan.Config(), "cut": cut.Config(), "fast": cut.PRESETS["fast"]}


def crosses(n: int, seed: int) -> Tensor:
    """(n, SIZE, SIZE) bool: an upright and a level bar each, of random places and widths."""
    generator, line = torch.Generator().manual_seed(seed), torch.arange(SIZE)
    start = torch.randint(SIZE - 3, (2, n, 1), generator=generator)
    upright, level = (line >= start) & (line < start + torch.randint(2, 5, (2, n, 1), generator=generator))
    return upright[:, None, :] | level[:, :, None]


def white_on_black(bars: Tensor) -> Tensor:
    return (bars[:, None].float() * 2 - 1).expand(-1, 3, -1, -1).contiguous()


def ink_on_paper(bars: Tensor) -> Tensor:
    return torch.where(bars[:, None], INK[:, None, None], PAPER[:, None, None])


def colour(images: Tensor) -> Tensor:
    """(n, h, w): which of the three colours each pixel is nearest to."""
    return (images[:, None] - COLOURS[:, :, None, None]).square().sum(2).argmin(1)


@pytest.mark.parametrize("name", TOYS)
def test_a_known_translation_is_learned_without_pairs(name: str) -> None:
    """From white bars on black to orange ones, never shown the same bars in both."""
    rounds = 150
    config = dataclasses.replace(TOYS[name], rounds=rounds, batch_size=4, jitter=1.0, adam=Adam(1e-3, (0.5, 0.999)))
    game = seated(system(name), config, SPEC)
    play(game, Unpaired(Memory(ink_on_paper(crosses(500, 1))), Memory(white_on_black(crosses(500, 2)))), rounds)
    bars = crosses(200, 3)
    source, truth = white_on_black(bars), ink_on_paper(bars)
    [made] = game.trained().eval().tensors(200, given={"source": source}, batch=200)
    assert (colour(made) == colour(truth)).float().mean() > 0.85
    assert (colour(made) == colour(truth))[bars].float().mean() > 0.7
    assert (made - truth).abs().mean() < 0.6 * (source - truth).abs().mean()
    if system(name) == "cyclegan":
        [again] = game.trained().eval().back.tensors(200, given={"source": truth}, batch=200)
        assert (colour(again) == colour(source)).float().mean() > 0.85


# --- the pools of cyclegan


def tiny(name: str, **settings: Any) -> Any:
    """Small settings of a system or of CUT's fast preset."""
    return dataclasses.replace(shrunk(SMALL[name]), **{"rounds": 20, "batch_size": 3, **settings})


def system(name: str) -> str:
    return "cut" if name == "fast" else name.split(",")[0]


def flat(game: Any) -> Tensor:
    """All weights."""
    return torch.cat([parameter.detach().flatten() for parameter in game.parameters()])


def tensors(game: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in game.state_dict().items()}


def test_full_pools_survive_a_restart_bit_for_bit(tmp_path: Path) -> None:
    config = tiny("cyclegan", pool=4, blocks=1)
    game = seated("cyclegan", config, WIDE)
    play(game, store_of(WIDE), 3)
    assert game.pool.count == 4 and game.pool_back.count == 4  # 9 were shown
    progress = {**dict.fromkeys(checkpoint.PROGRESS), "samples": game.arena.samples, "rounds": game.rounds}
    path = checkpoint.save(tmp_path, game, progress)
    held = game.pool.images.clone()
    play(game, store_of(WIDE), 3)
    assert not torch.equal(held, game.pool.images)
    resumed = []
    for forget in (False, True):
        other = seated("cyclegan", config, WIDE)
        other.arena.samples = checkpoint.load(path, other)["samples"]
        if forget:
            other.pool.images.zero_()
        play(other, store_of(WIDE), 3)
        resumed.append(tensors(other))
    expected = tensors(game)
    assert all(torch.equal(value, resumed[0][name]) for name, value in expected.items())
    assert any(not torch.equal(value, resumed[1][name]) for name, value in expected.items() if name.startswith("D."))


@pytest.mark.parametrize("size", [2, None])
def test_discriminators_are_shown_what_the_pools_give(size: int | None) -> None:
    game = seated("cyclegan", tiny("cyclegan", pool=size, blocks=1), WIDE)
    made, shown = list[Tensor](), list[Tensor]()
    for player, name, kept in ((game.generator, "made", made), (game.discriminator, "made", shown)):
        step = player.step

        def seen(loss: Any, batch: Batch, *, step: Any = step, name: str = name, kept: Any = kept) -> Batch:
            found = step(loss, batch)
            kept.append((found if name in found else batch)[name])
            return found

        player.step = seen
    play(game, store_of(WIDE), 8)
    new = [torch.equal(a, b) for a, b in zip(torch.cat(made), torch.cat(shown), strict=True)]
    if size is None:
        assert all(new) and "pool" not in game.noise()
    else:
        assert all(new[:2]) and not all(new)
        every = torch.cat(made)
        assert all((image == every).flatten(1).all(1).any() for image in torch.cat(shown))


# --- what both have in common


@pytest.mark.parametrize("name", SMALL)
def test_micro_batches_equal_the_whole_batch(name: str) -> None:
    """Adam's epsilon is raised, or it would make much of gradients that are 0 but for rounding (before norms)."""
    weights, config = [], tiny(name, blocks=1, adam=Adam(1e-3, (0.5, 0.999), 1.0))
    for micro in (None, 1):
        game = seated(system(name), config, WIDE, Arena(micro_batch=micro))
        start = flat(game)
        play(game, store_of(WIDE), 2)
        weights.append(flat(game))
    assert (weights[0] - weights[1]).norm() < 1e-3 * (weights[0] - start).norm()


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_the_discriminator_shown_judges_the_target_domain(name: str) -> None:
    game = seated(name, tiny(name, blocks=1), WIDE)
    batch = store_of(WIDE).fetch(torch.arange(4))
    logits = game.critique(batch)
    with torch.no_grad():
        torch.testing.assert_close(logits, game.D(batch["image"]).mean((1, 2, 3)))
    assert torch.equal(logits, game.critique({**batch, "source": -batch["source"]}))


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_data_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(BadOption, match=r"--data\.source"):
        seated(name, tiny(name), Spec((3, 32, 32)))
    with pytest.raises(BadOption, match=r"sources have 1 channels and images 3.*--data\.channels"):
        seated(name, tiny(name), Spec((3, 32, 32), source=(1, 32, 32)))


def test_folders_of_two_domains_become_a_translator(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for domain in ("day", "night"):
        (tmp_path / "photos" / domain).mkdir(parents=True)
        for i in range(30):
            pixels = random.integers(0, 128, (32, 32, 3), dtype=np.uint8) + (128 if domain == "day" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / domain / f"{i}.png")
    options, run = Data(source="day"), Run(folder=tmp_path / "run", samples=9)
    config = tiny("cyclegan", blocks=1, pool=2)
    zerosum.train("cyclegan", tmp_path / "photos", config=config, options=options, run=run, features="none", quiet=True)
    translator = zerosum.load(tmp_path / "run")
    photo = Image.open(tmp_path / "photos" / "day" / "0.png")
    [there] = translator.translate(photo)
    [back] = translator.back.translate(there)
    assert there.size == back.size == photo.size and there.tobytes() != back.tobytes()


# --- cyclegan


def test_cycles_and_identities_by_hand() -> None:
    """Generators that only change the brightness: what each term is can be told beforehand."""

    class Brighter(nn.Module):
        def __init__(self, by: float):
            super().__init__()
            self.by = by

        def forward(self, x: Tensor) -> Tensor:
            return x + self.by

    game = seated("cyclegan", tiny("cyclegan", blocks=1), WIDE)
    game.G = cyclegan.ThereAndBack(Brighter(0.5), Brighter(-0.25))
    batch = store_of(WIDE).fetch(torch.arange(3))
    terms = game.generator_loss(batch)
    with torch.no_grad():
        there, back = game.D(batch["source"] + 0.5), game.D_back(batch["image"] - 0.25)
    expected = {
        "adversarial": (there - 1).square().mean(), "adversarial_back": (back - 1).square().mean(),
        "cycle": 10 * 0.25, "cycle_back": 10 * 0.25, "identity": 5 * 0.5, "identity_back": 5 * 0.25,
    }  # fmt: skip
    assert {name: value.item() for name, value in terms.items() if value.dim() == 0} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, rel=1e-4
    )
    torch.testing.assert_close(terms["made"], batch["source"] + 0.5)
    torch.testing.assert_close(terms["back"], batch["image"] - 0.25)
    halves = game.discriminator_loss({**batch, "made": terms["made"], "back": terms["back"]})
    with torch.no_grad():
        real = game.D_back(batch["source"])
    by_hand = 0.5 * ((real - 1).square().mean() + back.square().mean())
    torch.testing.assert_close(halves["adversarial_back"], by_hand)


def test_domains_may_differ_in_channels_without_identity_terms() -> None:
    spec = Spec((3, 32, 32), source=(1, 32, 32))
    game = seated("cyclegan", tiny("cyclegan", blocks=1, identity=None), spec)
    play(game, store_of(spec), 2)
    translator = game.trained()
    assert translator(torch.zeros(2, 0), {"source": torch.zeros(2, 1, 20, 24)}).shape == (2, 3, 20, 24)
    assert translator.back(torch.zeros(2, 0), {"source": torch.zeros(2, 3, 20, 24)}).shape == (2, 1, 20, 24)
    with pytest.raises(BadOption, match="sources have 1 channels and images 3"):
        game.augment_with(ADA())


def test_the_way_back_may_be_left_out() -> None:
    games = [seated("cyclegan", tiny("cyclegan", blocks=1, one_way=one_way), WIDE) for one_way in (False, True)]
    given = {"source": store_of(WIDE).fetch(torch.arange(2))["source"]}
    both, one = (game.trained() for game in games)
    assert torch.equal(both(torch.zeros(2, 0), given), one(torch.zeros(2, 0), given))
    assert len(both.network.state_dict()) == 2 * len(one.network.state_dict())
    with pytest.raises(BadOption, match="translates one way only"):
        _ = one.back


def test_both_discriminators_are_shown_augmented_images() -> None:
    game = seated("cyclegan", tiny("cyclegan", blocks=1), WIDE)
    game.augment_with(ADA(p=1.0, limit=1.0))
    batch = store_of(WIDE).fetch(torch.arange(3))
    plain = game.D(batch["image"]), game.D_back(batch["source"])
    with game.augmenting():
        augmented = game.D(batch["image"]), game.D_back(batch["source"])
    assert not any(torch.equal(a, b) for a, b in zip(plain, augmented, strict=True))
    play(game, store_of(WIDE), 2)


# --- cut


def contrasting(**settings: Any) -> tuple[Any, Tensor, Tensor]:
    """A small CUT, images (2, 3, 32, 32), and draws for their patches."""
    game = seated("cut", tiny("cut", **settings), WIDE)
    images = store_of(WIDE).fetch(torch.arange(2))["image"]
    draws = torch.rand(2, game.noise()["places"].size, generator=torch.Generator().manual_seed(0))
    return game, images, draws


def test_contrast_is_of_the_same_places_in_all_layers() -> None:
    game, images, draws = contrasting(blocks=5)
    assert len(game.contrasted) == 5
    made, found = game.contrasts(images, draws, None)
    torch.testing.assert_close(made, game.G(images))
    keys, queries = (game.heads(game.G.features(x, game.contrasted), draws) for x in (images, made))
    by_hand = sum(patch_nce(query, key) for query, key in zip(queries, keys, strict=True)) / 5
    torch.testing.assert_close(found, by_hand)
    _, elsewhere = game.contrasts(images, draws.flip(1), None)
    assert not torch.equal(found, elsewhere)


def test_mirrored_features_are_mirrored_back() -> None:
    game, images, draws = contrasting()
    plain = game.contrasts(images, draws, None)
    turned = torch.tensor([[0.1], [0.9]])
    made, found = game.contrasts(images, draws, turned)
    torch.testing.assert_close(made[1], plain[0][1])
    torch.testing.assert_close(found[1], plain[1][1])
    torch.testing.assert_close(made[:1], game.G(images[:1].flip(3)))
    query = [layer.flip(3) for layer in game.G.features(made[:1], game.contrasted)]
    key = game.G.features(images[:1], game.contrasted)
    pairs = zip(game.heads(query, draws[:1]), game.heads(key, draws[:1]), strict=True)
    torch.testing.assert_close(found[:1], torch.stack([patch_nce(*pair) for pair in pairs]).mean(0))


def test_terms_of_cut_and_of_its_fast_form() -> None:
    batch = store_of(WIDE).fetch(torch.arange(2))
    for name, copies, weight in (("cut", 2, 1.0), ("fast", 1, 10.0)):
        game = seated("cut", tiny(name), WIDE)
        draws = {key: latent.draw(2, torch.Generator().manual_seed(1)) for key, latent in game.noise().items()}
        g, d = game.losses({**batch, **draws})
        assert list(g) == ["adversarial", "contrast", "identity"][: copies + 1] and list(d) == ["adversarial"]
        made, contrast = game.contrasts(batch["source"], draws["places"], draws.get("turned"))
        torch.testing.assert_close(g["contrast"], weight / copies * contrast.mean())
        torch.testing.assert_close(g["adversarial"], (game.D(made) - 1).square().mean())
        if copies == 2:
            _, identity = game.contrasts(batch["image"], draws["places"], None)
            torch.testing.assert_close(g["identity"], weight / 2 * identity.mean())


def test_generator_and_heads_learn_and_the_discriminator_apart() -> None:
    game = seated("cut", tiny("cut"), WIDE)
    before = tensors(game)
    play(game, store_of(WIDE), 1)
    after = tensors(game)
    for part in ("G.", "heads.", "D."):
        names = [name for name in before if name.startswith(part) and name.endswith("weight")]
        assert names and all(not torch.equal(before[name], after[name]) for name in names)


def test_heads_point_and_take_the_same_places() -> None:
    torch.manual_seed(0)
    heads, draws = Projector([3, 8], 16), torch.rand(2, 2 * 10)
    layers = [torch.randn(2, 3, 9, 9), torch.randn(2, 8, 2, 3)]
    found = heads(layers, draws)
    assert [tuple(vectors.shape) for vectors in found] == [(2, 10, 16), (2, 6, 16)]
    for vectors in found:
        torch.testing.assert_close(vectors.norm(dim=2), torch.ones(vectors.shape[:2]))
    assert all(torch.equal(a, b) for a, b in zip(found, heads(layers, draws), strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        assert all(vectors.dtype == torch.float32 for vectors in heads(layers, draws))


def test_defaults_are_as_large_as_the_authors_networks() -> None:
    spec = Spec((3, 256, 256), source=(3, 256, 256))
    with torch.device("meta"):
        games = cyclegan.CycleGAN(cyclegan.Config(pool=None), spec), cut.CUT(cut.Config(), spec)
    cycle, contrast = (
        {name: round(sum(p.numel() for p in part.parameters()) / 1e6, 3) for name, part in game.named_children()}
        for game in games
    )
    assert cycle["G"] == pytest.approx(2 * 11.378, abs=0.001)
    assert cycle["D"] == cycle["D_back"] == 2.765
    assert {name: contrast[name] for name in ("G", "D", "heads")} == {"G": 11.378, "D": 2.765, "heads": 0.56}
