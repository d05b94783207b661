"""Generators that start from an image: any size, kind and depth of image; several answers, labels, the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from tests.data.pictures import pixels
from tests.gans.games import Memory
from zerosum.core.errors import BadData, BadOption
from zerosum.core.latents import Normal
from zerosum.data.spec import Spec
from zerosum.data.stores import Unpaired
from zerosum.networks.translator import InstanceNorm, ResNet
from zerosum.networks.unet import UNet
from zerosum.training.generator import TrainedGenerator, model_card
from zerosum.training.translator import Translator, pixels_of

COLOUR, GREY = (3, 16, 16), (1, 16, 16)


class Pixels(nn.Module):
    """A function of pixels as a network; it keeps what it was shown."""

    def __init__(self, function: Callable[..., Tensor]):
        super().__init__()
        self.function, self.unused = function, nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor, *more: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        return self.function(x, *more)


def translator(
    function: Callable[..., Tensor] = lambda x: -x, given: tuple[int, int, int] = COLOUR,
    made: tuple[int, int, int] = COLOUR, latent: int = 0, classes: int = 0, **options: Any,
) -> Translator:  # fmt: skip
    """A translator that computes `function`; by default the negative."""
    spec = Spec(made, classes=classes, source=given, paired=True)
    network = function if isinstance(function, nn.Module) else Pixels(function)
    return Translator(network, Normal(latent), spec, source=given, conditional=classes > 0, **options)


def picture(*shape: int, bits: int = 8) -> np.ndarray:
    return pixels(*shape, dtype=np.uint16 if bits == 16 else np.uint8)


# -- kinds of images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 3), (33, 7, 3), (40, 64, 3), (200, 150, 3), (9, 8), (9, 8, 1)])
@pytest.mark.parametrize("bits", [8, 16])
def test_arrays_of_any_size_are_translated_exactly(shape: tuple[int, ...], bits: int) -> None:
    channels = (1 if len(shape) == 2 else shape[2], 16, 16)
    given = picture(*shape, bits=bits)
    [made] = translator(given=channels, made=channels).translate(given, tile=64)
    assert made.dtype == given.dtype and made.shape == (*shape[:2], channels[0])
    assert np.array_equal(made, (np.iinfo(given.dtype).max - given).reshape(made.shape))


def test_lists_of_several_kinds() -> None:
    one, other = picture(20, 30, 3), Image.fromarray(picture(5, 4, 3))
    made = translator().translate([one, other])
    assert isinstance(made[0], np.ndarray) and made[1].size == (4, 5) and made[1].mode == "RGB"
    assert np.array_equal(np.asarray(made[1]), 255 - np.asarray(other))
    assert translator().translate([]) == [] and len(translator().translate((one,))) == 1
    assert np.array_equal(translator().translate(one)[0], made[0])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "RGBA", "LA"])
def test_modes_of_pil_images(mode: str) -> None:
    made = translator().translate(Image.fromarray(picture(12, 10, 3)).convert(mode))[0]
    assert made.size == (10, 12) and made.mode == ("RGBA" if mode in ("RGBA", "LA") else "RGB")


def test_an_alpha_channel_is_kept_and_enlarged() -> None:
    given = Image.fromarray(picture(12, 10, 4))
    alpha = np.asarray(given)[..., 3]
    made = np.asarray(translator().translate(given)[0])
    assert np.array_equal(made[..., 3], alpha) and np.array_equal(made[..., :3], 255 - np.asarray(given)[..., :3])
    grey = translator(given=GREY, made=GREY).translate(given)[0]
    assert grey.mode == "RGBA" and np.array_equal(np.asarray(grey)[..., 3], alpha)
    double = translator(lambda x: F.interpolate(x, scale_factor=2), scale=2).translate(given)[0]
    assert double.mode == "RGBA" and double.size == (20, 24)
    assert abs(int(np.asarray(double)[..., 3].astype(int).mean()) - alpha.mean()) < 3
    [deep] = translator().translate(picture(6, 5, 4, bits=16))
    assert deep.dtype == np.uint16 and np.array_equal(deep[..., 3], picture(6, 5, 4, bits=16)[..., 3])


def test_a_network_that_knows_transparency_gets_it() -> None:
    given = picture(12, 10, 4)
    assert np.array_equal(translator(given=(4, 8, 8), made=(4, 8, 8)).translate(given)[0], 255 - given)


def test_16_bits_are_kept_where_pil_has_them() -> None:
    grey = Image.fromarray(picture(12, 10, bits=16))
    made = translator(given=GREY, made=GREY).translate(grey)[0]
    assert made.mode == "I;16" and np.array_equal(np.asarray(made), 65535 - np.asarray(grey))
    assert translator(lambda x: x.repeat(1, 3, 1, 1), given=GREY).translate(grey)[0].mode == "RGB"


def test_colours_become_grey_and_grey_colours() -> None:
    colour, grey = picture(12, 10, 3), picture(12, 10)
    assert translator(given=GREY, made=GREY).translate(colour)[0].shape == (12, 10, 1)
    assert translator(given=GREY, made=GREY).translate(Image.fromarray(colour))[0].mode == "L"
    assert np.array_equal(translator().translate(grey)[0], 255 - np.repeat(grey[..., None], 3, 2))


def test_holes_are_filled_and_the_rest_stays() -> None:
    def fill(x: Tensor) -> Tensor:
        colour, known = x[:, :3], x[:, 3:]
        assert not (colour * (1 - known)).any() and set(known.unique().tolist()) <= {0.0, 1.0}
        return torch.ones_like(colour)  # white everywhere

    given = picture(40, 30, 4)
    given[..., 3] = 255
    given[5:20, 10:25, 3] = 100
    fills = translator(fill, given=(4, 16, 16))
    made = fills.translate(Image.fromarray(given))[0]
    assert fills.fills_in and made.mode == "RGB"
    expected = given[..., :3].copy()
    expected[5:20, 10:25] = 255
    assert np.array_equal(np.asarray(made), expected)
    assert np.array_equal(fills.translate(given[..., :3])[0], given[..., :3])  # no holes: nothing to do


def test_holes_of_grey_and_of_transparent_images() -> None:
    given = picture(40, 30, 4)
    [grey] = translator(lambda x: 0 * x[:, :1] + 1, given=(2, 16, 16), made=GREY).translate(given)
    assert grey.shape == (40, 30, 1) and bool((grey[..., 0][given[..., 3] < 128] == 255).all())
    [clear] = translator(lambda x: 0 * x[:, :4] + 1, given=(5, 16, 16), made=(4, 16, 16)).translate(given)
    assert np.array_equal(clear[given[..., 3] > 127], given[given[..., 3] > 127])


@pytest.mark.parametrize(("wrong", "says"), [
    ("photo.png", "a str was given"), (3, "a int was given"), (np.zeros((4, 4, 3)), "float64 of shape"),
    (np.zeros((4, 4, 2), np.uint8), r"uint8 of shape \(4, 4, 2\); expected"), (np.zeros((0, 4, 3), np.uint8), "shape"),
    (np.zeros((2, 4, 4, 3), np.uint8), r"shape \(2, 4, 4, 3\)"), (Image.new("F", (4, 4)), "cannot be decoded"),
])  # fmt: skip
def test_what_is_no_image(wrong: Any, says: str) -> None:
    with pytest.raises(BadData, match=says):
        translator().translate([wrong])


def test_a_cut_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(picture(64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadData, match="cannot be decoded"):
        translator().translate(Image.open(path))
    assert pixels_of(np.zeros((2, 3), np.uint8)).shape == (2, 3, 1)


# -- real networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (17, 31), (70, 41)])
@pytest.mark.parametrize("kind", [ResNet, UNet])
def test_real_networks_take_tiny_and_odd_images(kind: Any, size: tuple[int, int]) -> None:
    network = kind(COLOUR, COLOUR, width=4, **({"blocks": 1} if kind is ResNet else {"depth": 4}))
    [made] = translator(network).translate(picture(*size, 3), tile=32)
    assert made.shape == (*size, 3) and made.dtype == np.uint8


def test_tiles_of_instance_norms_do_not_differ_in_tone() -> None:
    ramp = np.linspace(20, 235, 256).astype(np.uint8)
    given = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (64, 256, 3)))
    generator = translator(nn.Sequential(nn.Conv2d(3, 3, 1), InstanceNorm(3), nn.Tanh()))
    made, whole = (generator.translate(given, tile=tile)[0].astype(int) for tile in (64, None))
    assert np.ptp(whole) > 200 and np.abs(made - whole).max() < 10  # each by its own means, tiles would span all tones


def test_tiles_are_seen_one_at_a_time() -> None:
    network = translator().network
    made = translator(network).translate(picture(150, 100, 3), tile=64)[0]
    seen = translator(network)
    assert np.array_equal(seen.translate(picture(150, 100, 3), tile=64)[0], made)
    assert seen.network.seen == [(1, 3, 64, 64)] * 6


# -- answers, labels, the way back ------------------------------------------------------------------------------------


def test_seeds_choose_among_answers() -> None:
    noisy = translator(lambda x, z: x + z[:, :1, None, None], latent=2)
    given = picture(40, 30, 3)
    one, same, other = (noisy.translate(given, seed=seed, tile=32)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert np.array_equal(one, noisy.translate(given, seed=1)[0])  # the same z for every tile


def labelled() -> Translator:
    """A translator that paints an image in the grey of its label."""
    generator = translator(lambda x, label: 0 * x + label[:, None, None, None] / 2 - 1, classes=3)
    generator.facts = {"data": {"class_names": ["autumn", "winter", "7"]}}
    return generator


def test_labels_by_name_and_number() -> None:
    given, generator = picture(4, 4, 3), labelled()
    greys = {label: int(generator.translate(given, label=label)[0][0, 0, 0]) for label in (0, "autumn", 1, "winter", 2)}
    assert greys == {0: 0, "autumn": 0, 1: 64, "winter": 64, 2: 128}
    assert generator.class_number("7") == 2 and generator.class_number("1") == 1


@pytest.mark.parametrize(("label", "says"), [
    (None, "what is to be translated into.*autumn, winter, 7"), ("wintr", "label wintr: .*Did you mean winter"),
    (3, "label 3: there is no such class.*autumn, winter, 7"), (-1, "label -1: there is no such class"),
])  # fmt: skip
def test_labels_that_do_not_exist(label: Any, says: str) -> None:
    with pytest.raises(BadOption, match=says):
        labelled().translate(picture(4, 4, 3), label=label)


def test_a_label_for_one_that_knows_none() -> None:
    with pytest.raises(BadOption, match="label winter: this generator knows no labels"):
        translator().translate(picture(4, 4, 3), label="winter")


def test_the_way_back() -> None:
    network = Pixels(lambda x: x + 0.25)
    network.back = Pixels(lambda x: x - 0.25)
    forth = translator(network, given=GREY, made=GREY)
    given = np.full((8, 8), 100, np.uint8)
    [there] = forth.translate(given)
    assert there[0, 0, 0] == 132 and np.array_equal(forth.back.translate(there)[0][..., 0], given)
    with pytest.raises(BadOption, match="translates one way only"):
        translator().back  # noqa: B018


# -- as a generator among others --------------------------------------------------------------------------------------


def store(n: int = 20, classes: int = 0) -> Memory:
    """Samples whose sources are their negatives."""
    image = torch.rand(n, *COLOUR, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Memory(image, torch.arange(n) % classes if classes else None, -image)


def test_what_was_asked_is_translated_in_turn() -> None:
    generator, data = translator().ask(store()), store()
    made = torch.cat(list(generator.tensors(45, batch=7)))
    assert torch.equal(made[:20], data.image) and torch.equal(made[20:40], data.image)
    assert (generator.distinct(45), generator.distinct(5)) == (20, 5)
    assert translator(latent=2).ask(data).distinct(45) == 45
    own = torch.zeros(2, *COLOUR)
    assert torch.equal(torch.cat(list(generator.tensors(2, given={"source": own}))), -own)


def test_sources_of_unpaired_data_are_those_of_the_other_domain() -> None:
    image, source = store(12), store(5)
    generator = translator().ask(Unpaired(image, source))
    assert torch.equal(generator.sources(3, 4), source.image[[3, 4, 0, 1]]) and generator.distinct(50) == 5


def test_poses_are_the_same_for_the_same_sample() -> None:
    def pose(images: Tensor, draws: Tensor) -> Tensor:
        return images[:, :1] * draws[:, :1, None, None]

    generator = translator(lambda x: x.repeat(1, 3, 1, 1), given=GREY, pose=pose, draws=2).ask(store())
    whole = generator.sources(0, 10, seed=4)
    assert torch.equal(generator.sources(5, 3, seed=4), whole[5:8])
    assert not torch.equal(generator.sources(0, 10, seed=5), whole)
    assert generator.paired and generator.distinct(100) == 20


def test_without_being_asked_it_says_what_it_is_for() -> None:
    with pytest.raises(BadOption, match="`zerosum translate RUN in/ --out out/`, or translate"):
        translator().sample(3)


def test_batch_norms_settle_on_translations() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    generator = translator(network).ask(store())
    plain = translator(network)
    generator.settle(passes=2, batch=10)
    plain.settle()
    with torch.no_grad():
        inner = generator.network[0](-store().image)
    norm = generator.network[1]
    assert torch.allclose(norm.running_mean, inner.mean((0, 2, 3)), atol=1e-5) and not norm.training
    assert plain.network[1].running_mean.eq(0).all()


def test_the_model_card_shows_how_it_is_used() -> None:
    assert "translate(Image.open(" in model_card(translator()) and ".sample(" not in model_card(translator())
    plain = TrainedGenerator(nn.Linear(2, 3), Normal(2), Spec((3,), kind="points"))
    assert 'zerosum.load("this/folder").sample(16, seed=1)' in model_card(plain)
