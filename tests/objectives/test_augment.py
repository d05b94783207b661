"""Augmentations against what they should do to pixels, and their first and second derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from zerosum.core.errors import BadOption
from zerosum.objectives import augment
from zerosum.objectives.augment import DELAY, FIRST, SYM6, Colour, Geometry, ada, diff_augment, recolour, transform


def images(n: int = 2, channels: int = 3, height: int = 8, width: int = 8, seed: int = 0) -> Tensor:
    """Noise in [-1, 1]."""
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def smooth(size: int = 32) -> Tensor:
    """One image of slow waves, periodic mirrored at its borders."""
    x = torch.arange(size) * (math.pi / (size - 1))
    return (0.6 * torch.cos(x)[None, :] + 0.4 * torch.cos(2 * x)[:, None])[None, None]


def all_of(value: float, n: int = 2) -> Tensor:
    return torch.full((n,), float(value))


# --- the filter


def test_the_filter_is_the_symlet_with_six_vanishing_moments() -> None:
    taps = torch.tensor(SYM6, dtype=torch.float64)
    assert taps.sum().item() == pytest.approx(math.sqrt(2), abs=1e-14)
    for shift in range(6):
        product = (taps[: 12 - 2 * shift] * taps[2 * shift :]).sum().item()
        assert product == pytest.approx(float(shift == 0), abs=1e-14), "orthogonal to itself shifted by two"
    k = torch.arange(12, dtype=torch.float64)
    for moment in range(6):
        assert ((-1.0) ** k * k**moment * taps).sum().item() == pytest.approx(0, abs=1e-9 * 11**moment)


def test_up_and_down_again_is_the_same_image() -> None:
    up, down = augment._filters(16, torch.device("cpu"), torch.float64)
    image = images(1, 1, 16, 16)[0, 0].double()
    wide = torch.zeros(42, 16, dtype=torch.float64)  # the positions that down-sampling reads, with true values inside
    wide[FIRST : FIRST + 32] = up @ image
    torch.testing.assert_close((down @ wide)[3:-3], image[3:-3])


# --- geometry


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_quarter_turns_are_exact(k: int, channels: int) -> None:
    x = images(channels=channels)
    found = transform(x, replace(Geometry.still(2), turns=all_of(k)))
    assert torch.equal(found, torch.rot90(x, k, (2, 3)))


def test_flips_are_exact_and_of_the_chosen_images_only() -> None:
    x = images(height=6, width=10)
    found = transform(x, replace(Geometry.still(2), flip=torch.tensor([True, False])))
    assert torch.equal(found[0], x[0].flip(2))
    assert torch.equal(found[1], x[1])


def test_shifts_are_exact_and_mirror_at_the_border() -> None:
    x = images(height=8, width=12)
    found = transform(x, replace(Geometry.still(2), shift_x=all_of(3), shift_y=all_of(-2)))
    padded = torch.nn.functional.pad(x, (3, 0, 0, 2), mode="reflect")
    assert torch.equal(found, padded[:, :, 2:, :12])


def test_a_flip_comes_before_a_turn_and_a_turn_before_a_shift() -> None:
    x = images()
    geometry = replace(Geometry.still(2), flip=torch.ones(2).bool(), turns=all_of(1), shift_x=all_of(1))
    turned = torch.rot90(x.flip(3), 1, (2, 3))
    assert torch.equal(transform(x, geometry)[..., 1:], turned[..., :-1])


@pytest.mark.parametrize(
    ("geometry", "source"),
    [
        ({"scale": 1.3}, lambda x, y: (x / 1.3, y / 1.3)),
        ({"stretch": 1.3}, lambda x, y: (x / 1.3, y * 1.3)),
        ({"move_x": 2.7, "move_y": -1.2}, lambda x, y: (x - 2.7, y + 1.2)),
        ({"before": 0.4}, lambda x, y: _turned(x, y, 0.4)),
        ({"after": math.pi / 2}, lambda x, y: _turned(x, y, math.pi / 2)),
        ({"before": 0.4, "stretch": 1.2, "after": -0.7}, lambda x, y: _chain(x, y)),
    ],
)
def test_a_warp_reads_where_the_inverse_says(geometry: dict[str, float], source: Callable) -> None:
    size = 32
    x = torch.arange(size) - (size - 1) / 2
    there_x, there_y = source(x[None, :], x[:, None])

    def wave(x: Tensor, y: Tensor) -> Tensor:
        return 0.5 * torch.cos(0.2 * x + 0.3) + 0.4 * torch.sin(0.15 * y)

    still = Geometry.still(1)
    found = transform(
        wave(x[None, :], x[:, None])[None, None], replace(still, **{k: all_of(v, 1) for k, v in geometry.items()})
    )
    inside = (there_x.abs() < size / 2 - 1) & (there_y.abs() < size / 2 - 1)
    inside &= (x[None, :].abs() < size / 2 - 4) & (x[:, None].abs() < size / 2 - 4)
    error = (found[0, 0] - wave(there_x, there_y)).abs()
    assert inside.sum() > 200
    assert error[inside].max() < 8e-3


def _turned(x: Tensor, y: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Where the result of a counter-clockwise turn comes from; y points down."""
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


def _chain(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x, y = _turned(x, y, -0.7)
    return _turned(x / 1.2, y * 1.2, 0.4)


def test_what_comes_in_at_the_border_is_mirrored() -> None:
    x = smooth()
    wide = torch.cat([x.flip(3)[..., :-1], x, x.flip(3)[..., 1:]], dim=3)
    moved = transform(x, replace(Geometry.still(1), move_x=all_of(6.5, 1)))
    expected = (wide[..., 31 - 7 : 63 - 7] + wide[..., 31 - 6 : 63 - 6]) / 2
    torch.testing.assert_close(moved, expected, rtol=0, atol=0.01)


def test_shrinking_does_not_alias() -> None:
    stripes = (torch.arange(32) % 2 * 2.0 - 1.0).expand(1, 1, 32, 32)
    found = transform(stripes, replace(Geometry.still(1), scale=all_of(0.6, 1)))
    assert found[..., 8:-8, 8:-8].abs().mean() < 0.25, "finer than the new pixels, so that hardly anything is left"
    plain = augment.displace(stripes, replace(Geometry.still(1), scale=all_of(0.6, 1)).inverse())
    assert plain.abs().mean() == 1.0


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_writing_in_a_fixed_order_is_the_transpose_of_reading(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of the accelerators, taken on the CPU."""
    grid = torch.rand(2, 5, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    table, values = images(2, 3, 7, 9).double(), images(2, 3, 5, 6, seed=2).double()
    read = augment._Read.apply(table, grid, mode)
    native = augment._write(values, grid, (7, 9), mode)
    assert (read * values).sum().item() == pytest.approx((table * native).sum().item())
    monkeypatch.setattr(augment, "CPU", "none")
    torch.testing.assert_close(augment._write(values, grid, (7, 9), mode), native)
    geometry = Geometry.drawn(2, 0.9, 8, 8, "cpu")
    torch.testing.assert_close(transform(images(), geometry), _on_cpu(images(), geometry, monkeypatch))


def _on_cpu(x: Tensor, geometry: Geometry, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    monkeypatch.undo()
    return transform(x, geometry)


# --- colour


def drawn(n: int = 5) -> Colour:
    torch.manual_seed(3)
    colour = Colour.drawn(n, 1.0, "cpu")
    return replace(colour, flip=torch.arange(n) % 2 == 0)


def test_colours_are_the_operations_one_after_the_other() -> None:
    x, colour = images(5), drawn()
    axis = torch.full((3,), 3**-0.5)
    along = axis[:, None] * axis[None, :]
    cross = torch.tensor([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    for i in range(5):
        pixels = x[i].flatten(1)
        pixels = (pixels + colour.brightness[i]) * colour.contrast[i]
        if colour.flip[i]:
            pixels = pixels - 2 * along @ pixels
        angle = colour.hue[i]
        pixels = (along + angle.cos() * (torch.eye(3) - along) + angle.sin() * cross) @ pixels  # Rodrigues
        pixels = (along + colour.saturation[i] * (torch.eye(3) - along)) @ pixels
        torch.testing.assert_close(recolour(x, colour)[i].flatten(1), pixels)


def test_a_hue_turned_all_the_way_is_the_same_and_two_luma_flips_are_none() -> None:
    x, still = images(), Colour.still(2)
    torch.testing.assert_close(recolour(x, replace(still, hue=all_of(2 * math.pi))), x)
    flip = replace(still, flip=torch.ones(2).bool())
    assert not torch.allclose(recolour(x, flip), x)
    torch.testing.assert_close(recolour(recolour(x, flip), flip), x)


def test_a_third_of_a_hue_turn_swaps_the_channels() -> None:
    x = images()
    found = recolour(x, replace(Colour.still(2), hue=all_of(2 * math.pi / 3)))
    torch.testing.assert_close(found, x.roll(1, dims=1), atol=1e-5, rtol=0)


def test_saturation_zero_is_grey_and_contrast_scales() -> None:
    x, still = images(), Colour.still(2)
    grey = recolour(x, replace(still, saturation=all_of(0.0)))
    torch.testing.assert_close(grey, x.mean(1, keepdim=True).expand_as(x))
    torch.testing.assert_close(recolour(x, replace(still, contrast=all_of(1.7))), 1.7 * x)
    torch.testing.assert_close(recolour(x, replace(still, brightness=all_of(0.3))), x + 0.3)


def test_grey_images_are_those_whose_channels_are_equal() -> None:
    x, colour = images(5, 1), drawn()
    torch.testing.assert_close(recolour(x, colour).expand(-1, 3, -1, -1), recolour(x.expand(-1, 3, -1, -1), colour))


def test_transparency_moves_and_keeps_its_values() -> None:
    x = images(5, 4)
    assert torch.equal(recolour(x, drawn())[:, 3:], x[:, 3:])
    torch.testing.assert_close(recolour(x, drawn())[:, :3], recolour(x[:, :3], drawn()))
    for policy in ("color", "cutout"):
        torch.manual_seed(0)
        found = diff_augment(x, (policy,))
        assert torch.equal(found[:, 3:], x[:, 3:]) == (policy == "color")


def test_other_channels_are_refused() -> None:
    with pytest.raises(BadOption, match=r"2 channels cannot be augmented: expected 1 \(grey\)"):
        recolour(images(5, 2), drawn())
    with pytest.raises(BadOption, match="5 channels"):
        diff_augment(images(2, 5), ("color",))


# --- the whole pipeline


@pytest.mark.parametrize("p", [0.0, torch.tensor(0.0)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_nothing_happens_at_strength_zero(p: Any, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = images(4, channels)
    assert torch.equal(ada(x, p, cutout=True), x)
    monkeypatch.setattr(augment, "CPU", "none")  # as on an accelerator
    assert torch.equal(ada(x, p, cutout=True), x)


def test_each_operation_happens_with_its_probability() -> None:
    torch.manual_seed(0)
    n, p = 20_000, 0.36
    geometry, colour = Geometry.drawn(n, p, 64, 32, "cpu"), Colour.drawn(n, p, "cpu")
    rates = {
        "flip": (geometry.flip, p / 2), "turns": (geometry.turns != 0, p * 3 / 4), "scale": (geometry.scale != 1, p),
        "before": (geometry.before != 0, 0.2), "after": (geometry.after != 0, 0.2),
        "turned": ((geometry.before != 0) | (geometry.after != 0), p), "stretch": (geometry.stretch != 1, p),
        "move": (geometry.move_x != 0, p), "brightness": (colour.brightness != 0, p),
        "contrast": (colour.contrast != 1, p), "luma": (colour.flip, p / 2), "hue": (colour.hue != 0, p),
        "saturation": (colour.saturation != 1, p),
    }  # fmt: skip
    for name, (happened, expected) in rates.items():
        assert happened.float().mean().item() == pytest.approx(expected, abs=0.012), name


def test_strengths_at_probability_one() -> None:
    torch.manual_seed(1)
    n = 20_000
    geometry, colour = Geometry.drawn(n, 1.0, 64, 32, "cpu"), Colour.drawn(n, 1.0, "cpu")
    deviations = {
        "scale": (geometry.scale.log2(), 0.2), "stretch": (geometry.stretch.log2(), 0.2),
        "move_x": (geometry.move_x / 32, 0.125), "move_y": (geometry.move_y / 64, 0.125),
        "before": (geometry.before, math.pi / 3**0.5), "hue": (colour.hue, math.pi / 3**0.5),
        "brightness": (colour.brightness, 0.2), "contrast": (colour.contrast.log2(), 0.5),
        "saturation": (colour.saturation.log2(), 1.0),
    }  # fmt: skip
    for name, (value, expected) in deviations.items():
        assert value.mean().item() == pytest.approx(0, abs=0.03 * expected), name
        assert value.std().item() == pytest.approx(expected, rel=0.03), name
    assert sorted(set(geometry.shift_x.tolist())) == list(range(-4, 5))
    assert geometry.shift_y.abs().max() == 8
    assert sorted(set(geometry.turns.tolist())) == [0, 1, 2, 3]


def test_factors_on_the_probability() -> None:
    x = images(64)
    torch.manual_seed(0)
    full = ada(x, 1.0)
    torch.manual_seed(0)
    grey = ada(x, 1.0, colour=0.0)
    assert not torch.allclose(full, grey)
    torch.manual_seed(0)
    assert torch.equal(transform(x, Geometry.drawn(64, 1.0, 8, 8, "cpu")), grey)
    cut = ada(torch.ones(64, 3, 8, 8), 1.0, colour=0.0, cutout=True)
    assert 0.05 < (cut == 0).float().mean() < 0.25, "a quarter, less what lies beyond the border"


# --- DiffAugment


def test_diffaugment_does_what_the_policy_says() -> None:
    x = images(64, 3, 16, 16)
    torch.manual_seed(0)
    moved = diff_augment(x, ("translation",))
    seen = set()
    for one, original in zip(moved, x, strict=True):
        wide = torch.nn.functional.pad(original, (2, 2, 2, 2))
        found = [
            (i, j) for i in range(5) for j in range(5) if torch.equal(wide[:, 4 - i : 20 - i, 4 - j : 20 - j], one)
        ]
        assert len(found) == 1
        seen |= {found[0]}
    assert len(seen) > 15
    cut = diff_augment(torch.ones(64, 3, 16, 16), ("cutout",))
    assert cut.sum((1, 2, 3)).min() == 3 * (256 - 64)
    assert set(cut.unique().tolist()) == {0.0, 1.0}


def test_diffaugment_in_closed_form() -> None:
    x, factor = images(), torch.tensor([0.5, 2.0])
    torch.testing.assert_close(augment.brighten(x, factor), x + factor.view(2, 1, 1, 1))
    for function, axes in ((augment.saturate, (1,)), (augment.contrasted, (1, 2, 3))):
        mean = x.mean(axes, keepdim=True)
        torch.testing.assert_close(function(x, factor), mean + factor.view(2, 1, 1, 1) * (x - mean))
    found = augment.translate(x, torch.tensor([1, 0]), torch.tensor([0, -3]))
    assert torch.equal(found[0, :, :, 1:], x[0, :, :, :-1]) and found[0, :, :, 0].abs().max() == 0
    assert torch.equal(found[1, :, :-3], x[1, :, 3:]) and found[1, :, -3:].abs().max() == 0


# --- derivatives

FEW = {"n": 2, "height": 4, "width": 4}
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "flip and turn": lambda x: transform(
        x, replace(Geometry.still(2), flip=torch.tensor([True, False]), turns=torch.tensor([1.0, 3.0]))
    ),
    "shift": lambda x: transform(x, replace(Geometry.still(2), shift_x=all_of(1), shift_y=all_of(-1))),
    "scale": lambda x: transform(x, replace(Geometry.still(2), scale=all_of(0.8))),
    "rotation of one": lambda x: transform(x, replace(Geometry.still(2), before=torch.tensor([0.5, 0.0]))),
    "stretch": lambda x: transform(x, replace(Geometry.still(2), stretch=all_of(1.2))),
    "move": lambda x: transform(x, replace(Geometry.still(2), move_x=all_of(0.6), move_y=all_of(1.7))),
    "colour": lambda x: recolour(x, drawn(2)),
    "brightness": lambda x: augment.brighten(x, torch.tensor([0.2, -0.3])),
    "saturation": lambda x: augment.saturate(x, torch.tensor([0.2, 1.3])),
    "contrast": lambda x: augment.contrasted(x, torch.tensor([0.6, 1.3])),
    "translation": lambda x: augment.translate(x, torch.tensor([1, -1]), torch.tensor([0, 1])),
    "cutout": lambda x: augment.cut_out(x, torch.tensor([0.2, 0.5]), torch.tensor([0.4, 0.9])),
    "ada": lambda x: seeded(lambda: ada(x, 0.7, cutout=True)),
    "diffaugment": lambda x: seeded(lambda: diff_augment(x, ("color", "translation", "cutout"))),
}


def seeded(function: Callable[[], Tensor]) -> Tensor:
    torch.manual_seed(5)
    return function()


@pytest.mark.parametrize("device", ["cpu", "elsewhere"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_of_both_orders(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if device == "elsewhere":
        monkeypatch.setattr(augment, "CPU", "none")
    x = images(2, 1 if name in ("scale", "stretch", "move") else 3, 4, 4).double().requires_grad_(True)

    def curved(x: Tensor) -> Tensor:  # so that the second derivative is not zero
        return FUNCTIONS[name](x).square()

    assert torch.autograd.gradcheck(curved, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(curved, (x,), fast_mode=True)


def test_a_penalty_on_the_gradient_through_the_pipeline_trains() -> None:
    weight = torch.randn(1, 3, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    x = images(8).requires_grad_(True)
    torch.manual_seed(0)
    logits = torch.nn.functional.conv2d(ada(x, 0.8), weight).tanh().sum()
    (gradient,) = torch.autograd.grad(logits, x, create_graph=True)
    gradient.square().sum().backward()
    assert torch.isfinite(weight.grad).all() and weight.grad.abs().max() > 0


def test_double_precision_is_kept_and_half_the_images_are_enough() -> None:
    assert ada(images().double(), 1.0).dtype == torch.float64
    assert ada(images(1), 1.0).shape == (1, 3, 8, 8)
    assert abs(DELAY - 5.098) < 1e-3


def test_the_pipeline_can_be_differentiated_as_a_function() -> None:
    """By torch.func, which steps that are compiled as a whole are made of."""

    def norm(weight: Tensor, x: Tensor) -> Tensor:
        slope = torch.func.grad(lambda x: (seeded(lambda: ada(x, 0.8)) * weight).tanh().sum())(x)
        return slope.square().sum()

    x, weight = images(2).double(), images(2, seed=1).double()
    found = torch.func.grad(norm)(weight, x)
    step = 1e-6 * images(2, seed=2).double()
    assert (found * step).sum().item() == pytest.approx((norm(weight + step, x) - norm(weight, x)).item(), rel=1e-3)
