"""Systems with several answers, several domains, several scales: each solves a toy, and does what its paper says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.gans.games import Memory, play, seated
from zerosum.core.errors import BadFile, BadOption
from zerosum.data.spec import Spec
from zerosum.gans.translation import bicyclegan, pix2pix, pix2pixhd, spade, stargan_v2
from zerosum.networks.spectral import SpectralNorm
from zerosum.objectives.penalties import r1
from zerosum.training.arena import Arena
from zerosum.training.game import Game
from zerosum.training.optimizers import Adam

SIDE = 16
RED, BLUE = (1.0, -1.0, -1.0), (-1.0, -1.0, 1.0)
COLOURS = torch.tensor([RED, BLUE])


def squares(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Where squares of 8 pixels are, somewhere in an image: bool (n, 1, h, w); and which colour each has: (n,)."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, SIDE - 7, (2, n, 1), generator=generator)
    rows, columns = ((torch.arange(SIDE) - start).div(8, rounding_mode="floor") == 0 for start in corner)
    return (rows[:, :, None] & columns[:, None, :])[:, None], torch.randint(2, (n,), generator=generator)


def coloured(where: Tensor, colour: Tensor) -> Tensor:
    """(n, 3, h, w): squares in their colours on black."""
    return torch.where(where, COLOURS[colour][:, :, None, None], torch.tensor(-1.0))


def read(images: Tensor, where: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each image: the colour nearest to the mean in its square, how far it is, and how bright the rest is."""
    distance = torch.cdist((images * where).sum((2, 3)) / 64, COLOURS)
    outside = (images * ~where).abs().sum((1, 2, 3)) / (3 * (~where).sum((1, 2, 3)))
    return distance.argmin(1), distance.min(1).values, 1.0 - outside


def test_bicyclegan_has_several_answers_and_reads_them() -> None:
    """With the paper's weights of terms: with more of L1 or KL, many trainings give every z one colour."""
    where, colour = squares(512)
    store = Memory(coloured(where, colour), source=where * 2.0 - 1.0)
    config = bicyclegan.Config(
        rounds=400, batch_size=8, latent=2, width=16, discriminator_width=16, encoder_width=16, depth=2, jitter=1.0,
        discriminator_layers=1, scales=1, mirror=False, adam=Adam(4e-3, (0.5, 0.999)),
    )  # fmt: skip
    game = seated("bicyclegan", config, Spec((3, SIDE, SIDE), source=(1, SIDE, SIDE), paired=True))
    play(game, store, 400)
    asked, _ = squares(64, seed=1)
    translator = game.trained()
    found = []
    for seed in range(6):
        [answers] = translator.tensors(64, given={"source": asked * 2.0 - 1.0}, seed=seed)
        found.append(read(answers, asked))
    colours, distances, bright = (torch.stack(part) for part in zip(*found, strict=True))
    assert ((colours == 0).any(0) & (colours == 1).any(0)).float().mean() > 0.7  # two colours for one square
    assert 0.2 < (colours == 0).float().mean() < 0.8
    assert distances.mean() < 0.6 and bright.mean() < 0.2  # red and blue are 2.8 apart
    with torch.no_grad():
        means = game.get_submodule("E")(coloured(where, colour))[0]
    red, blue = means[colour == 0], means[colour == 1]
    assert (red.mean(0) - blue.mean(0)).norm() > 3 * torch.cat([red.std(0), blue.std(0)]).norm()
    [again] = translator.tensors(64, given={"source": asked * 2.0 - 1.0}, seed=5)
    assert torch.equal(again, answers)


def test_bicyclegans_divergence_is_that_of_two_normal_distributions() -> None:
    mean, log_variance = torch.tensor([[0.3, -1.0], [2.0, 0.0]]), torch.tensor([[0.5, -0.7], [0.0, 1.0]])
    found = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(bicyclegan.divergence(mean, log_variance), found.sum(1).mean())


@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": 150, "diversity": 0.2},
        {"rounds": 300, "diversity": 0.0, "residual": True, "references": False},
    ],
    ids=["paper", "residual"],
)
def test_stargan_v2_changes_the_domain_and_keeps_the_shape(changes: dict[str, Any]) -> None:
    where, colour = squares(512)
    config = stargan_v2.Config(
        batch_size=4, latent=4, style=8, width=16, channel_max=32, hidden=32, mapping_layers=2,
        mapping_rate=1.0, gamma=0.1, ema_half_life=100.0, adam=Adam(2e-3, (0.0, 0.99)), **changes,
    )  # fmt: skip
    game = seated("stargan_v2", config, Spec((3, SIDE, SIDE), classes=2))
    play(game, Memory(coloured(where, colour), colour), config.rounds)
    asked, old = squares(64, seed=1)
    translator = game.trained()
    for label in range(2):
        [answers] = translator.tensors(64, given={"source": coloured(asked, old), "label": label})
        found, distance, bright = read(answers, asked)
        assert (found == label).float().mean() > 0.85 and distance.mean() < 1.2  # red and blue are 2.8 apart
        light = answers.mean(1, keepdim=True)
        lit = light > (light.amax((1, 2, 3), keepdim=True) + light.amin((1, 2, 3), keepdim=True)) / 2
        overlap = (lit & asked).sum((1, 2, 3)) / (lit | asked).sum((1, 2, 3))
        assert overlap.mean() > 0.5 and bright.mean() < 0.5  # a square somewhere else overlaps by 0.1


def test_stargan_v2_penalises_real_images_as_r1_does() -> None:
    config = stargan_v2.Config(latent=4, style=4, width=4, channel_max=8, hidden=8, r1_every=4)
    game = seated("stargan_v2", config, Spec((3, SIDE, SIDE), classes=2))
    image, label = torch.rand(3, 3, SIDE, SIDE), torch.tensor([0, 1, 1])
    logits, terms = game.judge(image, label, 4.0)
    torch.testing.assert_close(logits, game.D(image, label))
    torch.testing.assert_close(terms["r1"], 4.0 * r1(lambda x: game.D(x, label), image))
    assert game.judge(image, label, 0.0)[1] == {}


def maps(n: int, seed: int = 0) -> Memory:
    """Images of red squares on blue, made of maps of where these are."""
    where, _ = squares(n, seed)
    colour = COLOURS[(~where).long()[:, 0]].permute(0, 3, 1, 2)
    return Memory(colour, source=where * 2.0 - 1.0)


def error(game: Game) -> float:
    """Mean absolute difference of held-out images and what is made of their maps."""
    held_out = maps(64, seed=1)
    [made] = game.trained().tensors(64, given={"source": held_out.source})
    return float((made - held_out.image).abs().mean())


MAPS = Spec((3, SIDE, SIDE), source=(1, SIDE, SIDE), paired=True)


@pytest.mark.parametrize("norm", ["sample", "batch", "instance"])
@pytest.mark.parametrize("adversarial", [1.0, None])
def test_pix2pix_learns_what_a_map_means(norm: Any, adversarial: float | None) -> None:
    config = pix2pix.Config(
        rounds=80, batch_size=8, width=8, discriminator_width=8, layers=1, jitter=1.0, norm=norm,
        adversarial=adversarial, adam=Adam(2e-3, (0.5, 0.999)),
    )  # fmt: skip
    game = seated("pix2pix", config, MAPS)
    before = error(game)
    play(game, maps(256), 80)
    assert error(game) < 0.15 < before
    assert hasattr(game, "D") == (adversarial is not None)


def test_pix2pix_normalises_each_sample_by_itself_whatever_stands_beside_it() -> None:
    game = seated("pix2pix", pix2pix.Config(width=4, discriminator_width=4, layers=1), MAPS)
    play(game, maps(8), 2)
    translator, source = game.trained(), maps(4).source
    alone = torch.cat([next(iter(translator.tensors(1, given={"source": one}))) for one in source.split(1)])
    torch.testing.assert_close(next(iter(translator.tensors(4, given={"source": source}))), alone, rtol=1e-3, atol=1e-5)


def test_spade_learns_what_a_map_means() -> None:
    config = spade.Config(
        rounds=80, batch_size=8, width=8, discriminator_width=16, discriminator_layers=1, scales=1, jitter=1.0,
        adam=Adam(1e-3, (0.0, 0.999)), discriminator_adam=Adam(2e-3, (0.0, 0.999)),
    )  # fmt: skip
    game = seated("spade", config, MAPS)
    before = error(game)
    play(game, maps(256), 80)
    assert error(game) < 0.15 < before


def test_spades_discriminator_is_spectrally_normalised_but_for_its_ends() -> None:
    game = seated("spade", spade.Config(width=4, discriminator_width=4, discriminator_layers=2), MAPS)
    for patch in game.D.scales:
        convolutions = [layer.conv for layer in patch.layers] + [patch.head]
        found = [any(isinstance(part, SpectralNorm) for part in conv.modules()) for conv in convolutions]
        assert found == [False, True, True, False]


def test_spade_has_several_images_of_a_map_where_there_is_a_z() -> None:
    small = spade.Config(width=4, discriminator_width=4, encoder_width=4, discriminator_layers=1, batch_size=2)
    several, one = (seated("spade", replace(small, latent=latent), MAPS) for latent in (3, None))
    play(several, maps(8), 1)
    play(one, maps(8), 1)
    logs = several.arena.log.read(1), one.arena.log.read(1)
    assert ["generator/kl" in log for log in logs] == [True, False]
    assert several.trained().latent.size == 3 and one.trained().latent.size == 0
    source = maps(2).source
    first, second = (next(iter(several.trained().tensors(2, given={"source": source}, seed=seed))) for seed in (0, 1))
    assert not torch.equal(first, second)
    assert one.trained()(torch.empty(1, 0), {"source": torch.zeros(1, 1, 24, 40)}).shape == (1, 3, 24, 40)


def test_spade_needs_the_weights_that_vgg_names(tmp_path: Path) -> None:
    game = spade.SPADE(spade.Config(width=4, vgg=tmp_path / "vgg19.pth"), MAPS)
    with pytest.raises(BadFile, match=r"vgg19\.pth: there is no such file"):
        game.seat(Arena())


def test_pix2pixhd_goes_from_coarse_to_fine() -> None:
    config = pix2pixhd.Config(
        coarse_rounds=60, rounds=60, batch_size=8, width=16, halvings=1, blocks=1, enhancer_blocks=1, jitter=1.0,
        discriminator_width=16, discriminator_layers=1, scales=2, adam=Adam(2e-3, (0.5, 0.999)),
    )  # fmt: skip
    game = seated("pix2pixhd", config, MAPS)
    before = error(game)
    play(game, maps(256), 60)
    coarse = error(game)
    assert not game.G.fine and [round(game.rate(0.0), 3), game.phase()[0].name] == [1.0, "fine"]
    game.rounds = 45
    assert game.rate(0.0) == pytest.approx(0.5)  # from the middle of each phase on it falls
    game.rounds = 60
    play(game, maps(256), 60)
    assert game.G.fine
    assert error(game) < 0.15 and error(game) < 0.7 * coarse < 0.7 * before


def test_pix2pixhds_enhancer_joins_what_was_learned() -> None:
    config = pix2pixhd.Config(width=4, discriminator_width=4, halvings=1, blocks=1, discriminator_layers=1, scales=3)
    game = seated("pix2pixhd", config, MAPS)
    x = torch.rand(2, 1, SIDE, SIDE)
    coarse = game.G(x)
    half = game.G.small(pix2pixhd.halved(x))
    assert half.shape == (2, 3, SIDE // 2, SIDE // 2)
    assert torch.equal(coarse, game.G.enlarge(half))
    game.join()
    assert not torch.equal(game.G(x), coarse) and game.G(x).shape == coarse.shape
    for old, new in zip(game.D_coarse.scales, game.D.scales[1:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))
    assert game.G(torch.rand(1, 1, 21, 34)).shape == (1, 3, 21, 34)
    assert pix2pixhd.Pix2PixHD(replace(config, coarse_rounds=0), MAPS).phases()[0].name == "fine"
    assert game.trained().translate(np.zeros((2, 3), np.uint8))[0].shape == (2, 3, 3)
    with pytest.raises(BadOption, match=r"--halvings 4 .* of 16 x 16, .* lower it, or raise --data.resolution"):
        pix2pixhd.Pix2PixHD(replace(config, halvings=4), MAPS)
