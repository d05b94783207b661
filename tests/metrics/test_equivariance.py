"""Equivariance: high for functions that move with their input, low for those that stick to the grid."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from tests.editing.generators import make
from zerosum.core.errors import BadOption
from zerosum.metrics import equivariance as eq
from zerosum.networks import stylegan2, stylegan3
from zerosum.networks.equalized import EqualizedLinear

SIDE = 32


def coordinates(transform: Tensor, side: int) -> Tensor:
    """(n, side, side, 2): where the pixels of an image that is one unit wide are drawn."""
    axis = (torch.arange(side) + 0.5) / side - 0.5
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=2)
    return grid @ transform[:, :2, :2].transpose(1, 2)[:, None] + transform[:, None, None, :2, 2]


def waves(w: Tensor, transform: Tensor, highest: float = 0.25) -> Tensor:
    """Sums of waves whose frequencies are below `highest` cycles a pixel: exactly equivariant."""
    places = coordinates(transform, SIDE)
    draw = torch.Generator().manual_seed(0)
    frequencies = torch.nn.functional.normalize(torch.randn(3, 6, 2, generator=draw), dim=2)
    frequencies = frequencies * torch.rand(3, 6, 1, generator=draw) * highest * SIDE
    phase = 2 * math.pi * torch.einsum("nhwd,ckd->nckhw", places, frequencies)
    return (phase + w[:, None, :6, None, None]).sin().mean(2)


def glued(w: Tensor, transform: Tensor) -> Tensor:
    """The same with details that stay where they are."""
    draw = torch.Generator().manual_seed(1)
    return waves(w, transform) * torch.rand(1, 3, SIDE, SIDE, generator=draw)


def points(start: int, stop: int) -> Tensor:
    return torch.randn(64, 6, generator=torch.Generator().manual_seed(0))[start:stop]


def test_what_is_equivariant_scores_high() -> None:
    found = eq.measure(waves, points, 12)
    assert found.eq_t > 100
    assert found.eq_t_frac > 45
    assert found.eq_r > 45


def test_what_is_glued_to_the_grid_scores_low() -> None:
    found = eq.measure(glued, points, 12)
    assert max(found.eq_t, found.eq_t_frac, found.eq_r) < 30


def test_turned_the_wrong_way_scores_low() -> None:
    def mirrored(w: Tensor, transform: Tensor) -> Tensor:
        return waves(w, transform.transpose(1, 2))

    assert eq.measure(mirrored, points, 16).eq_r < 15


def test_noise_is_what_its_power_says() -> None:
    def noisy(w: Tensor, transform: Tensor) -> Tensor:
        return waves(w, transform) + 0.1 * torch.randn(len(w), 3, SIDE, SIDE)

    torch.manual_seed(0)
    # Both images have it: the error's variance is twice 0.01.
    assert abs(eq.measure(noisy, points, 12).eq_t - 10 * math.log10(4 / 0.02)) < 0.2


def test_deterministic_and_batches() -> None:
    one, other = eq.measure(waves, points, 10, batch=10), eq.measure(waves, points, 10, batch=3)
    assert abs(one.eq_r - other.eq_r) < 1e-3 and abs(one.eq_t_frac - other.eq_t_frac) < 1e-3
    assert eq.measure(waves, points, 10, seed=1).eq_r != one.eq_r
    assert one.to_dict()["samples"] == 10


@pytest.mark.parametrize("shift", [(3.0, -2.0), (0.0, 4.0)])
def test_whole_and_fractional_shifts_agree(shift: tuple[float, float]) -> None:
    image = waves(points(0, 1), torch.eye(3)[None])[0]
    whole, known = eq.whole_shift(image, *shift)
    fraction, valid = eq.fractional_shift(image, *shift)
    assert torch.allclose(whole * valid, fraction * valid, atol=1e-6)
    assert known[0, 0] == (shift[0] <= 0 and shift[1] <= 0) and known.sum() == math.prod(SIDE - abs(s) for s in shift)
    x, y = (int(s) for s in shift)
    assert torch.equal(whole[:, 10 + y, 10 + x], image[:, 10, 10])


def test_a_quarter_turn_is_exact_but_for_the_filter() -> None:
    image = waves(points(0, 1), torch.eye(3)[None])[0]
    turned, valid = eq.rotate(image, math.pi / 2)
    # x to the right and y down: a quarter turn of the picture, clockwise or not, as `rotation` has it.
    exact = waves(points(0, 1), eq.rotation(torch.tensor([-math.pi / 2])))[0]
    assert ((turned - exact) * valid).abs().max() < 0.02
    assert torch.allclose(exact, image.rot90(-1, dims=(1, 2)), atol=1e-4) or torch.allclose(
        exact, image.rot90(1, dims=(1, 2)), atol=1e-4
    )


def stylegan2_moved(size: int) -> tuple[eq.Moved, int]:
    """StyleGAN2 with Fourier features in the place of its constant, so that its input can be moved (the paper's
    configuration B).
    """
    torch.manual_seed(0)
    G = stylegan2.Generator(32, (3, size, size), w=32, layers=2, base=512, most=32).eval().requires_grad_(False)
    channels = G.synthesis.blocks[0].constant.shape[0]
    entry = stylegan3.FourierInput(32, stylegan3.Band(4, 4, 1.0, 0.0, channels)).requires_grad_(False)
    assert isinstance(entry.affine, EqualizedLinear)

    def moved(w: Tensor, transform: Tensor) -> Tensor:
        start = functional_call(entry, {"transform": transform}, (w,))
        ws = w[:, None].expand(-1, G.synthesis.copies, -1)
        return functional_call(G.synthesis, {"blocks.0.constant": start}, (ws, "none"))

    return scaled(moved), 32


def stylegan3_moved(size: int, *, radial: bool = False) -> tuple[eq.Moved, int]:
    torch.manual_seed(0)
    G = stylegan3.Generator(
        32, (3, size, size), w=32, layers=8, base=512, most=32, kernel=1 if radial else 3, radial=radial
    ).eval().requires_grad_(False)  # fmt: skip

    def moved(w: Tensor, transform: Tensor) -> Tensor:
        ws = w[:, None].expand(-1, G.synthesis.copies, -1)
        return functional_call(G.synthesis, {"input.transform": transform}, (ws,))

    return scaled(moved), 32


def scaled(moved: eq.Moved) -> eq.Moved:
    """With the deviation of images, which random weights do not give."""
    w = torch.randn(16, 32, generator=torch.Generator().manual_seed(4))
    gain = 0.4 / float(moved(w, torch.eye(3).expand(16, 3, 3)).std())
    return lambda w, transform: gain * moved(w, transform)


def score(made: tuple[eq.Moved, int], n: int = 12) -> eq.Equivariance:
    moved, size = made
    draw = torch.randn(n, size, generator=torch.Generator().manual_seed(3))
    return eq.measure(moved, lambda start, stop: draw[start:stop], n)


def test_stylegan3_is_far_more_equivariant_than_stylegan2() -> None:
    two, t, r = score(stylegan2_moved(32)), score(stylegan3_moved(32)), score(stylegan3_moved(32, radial=True))
    # On one machine 25.7, 82.8 and 102.8 dB for EQ-T, and 15.9, 24.4 and 66.4 dB for EQ-R.
    assert t.eq_t > two.eq_t + 40 and t.eq_t_frac > two.eq_t_frac + 30
    assert r.eq_r > t.eq_r + 30


def test_generators_as_they_are_trained() -> None:
    found = eq.equivariance(make("stylegan3", side=32), 4)
    assert found.samples == 4 and math.isfinite(found.eq_r)
    with pytest.raises(BadOption, match="whose input can be moved: stylegan3's can"):
        eq.equivariance(make("stylegan2"), 4)
    with pytest.raises(BadOption, match="equivariance over 0 samples"):
        eq.measure(waves, points, 0)
    with pytest.raises(BadOption, match="too small for equivariance"):
        eq.measure(lambda w, transform: waves(w, transform)[..., :16, :16], points, 2)
