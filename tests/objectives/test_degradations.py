"""Degradations against Pillow, SciPy and closed forms."""

from __future__ import annotations

import io
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_sample_image
from torch import Tensor
from torch.nn import functional as F

from zerosum.core.errors import BadData, BadOption
from zerosum.objectives.degradations import (
    BLUR_DRAWS,
    HOLE_DRAWS,
    REAL_WORLD_DRAWS,
    Degradation,
    Round,
    bicubic,
    blurred,
    compression,
    enlarge,
    filtered,
    grey,
    holed,
    jpeg,
    real_world,
    resized,
    second_order,
)
from zerosum.objectives.degradations.blurring import bump, gaussian, motion, offsets, plateau, sinc
from zerosum.objectives.degradations.draws import chosen
from zerosum.objectives.degradations.resizing import area, linear, smooth_cubic
from zerosum.objectives.degradations.second_order import METHODS, SIZES, shot_noise

QUIET = Round(blur=0.0, resize=(0.0, 0.0, 1.0), gaussian=1.0, noise=(0.0, 0.0), jpeg=(100.0, 100.0))


def photo(height: int = 96, width: int = 128) -> Tensor:
    """(1, 3, height, width): a piece of a photo that scikit-learn ships."""
    pixels = load_sample_image("china.jpg")[100 : 100 + height, 250 : 250 + width]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def levels(images: Tensor) -> np.ndarray:
    """(h, w, c) uint8 of one image."""
    return ((images[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


def uniform(n: int, k: int, seed: int = 0) -> Tensor:
    return torch.rand(n, k, generator=torch.Generator().manual_seed(seed))


def noise(n: int, *shape: int, seed: int = 0) -> Tensor:
    return uniform(n, math.prod(shape), seed).view(n, *shape) * 2 - 1


# --- another size


@pytest.mark.parametrize(("scale", "height", "width"), [(2, 30, 44), (3, 33, 27), (4, 32, 8)])
def test_bicubic_is_pillows_where_borders_are_not_mirrored(scale: int, height: int, width: int) -> None:
    image = noise(1, 1, height, width)
    for found, size in [
        (bicubic(image, scale, mirror=False), (width // scale, height // scale)),
        (enlarge(image, scale, mirror=False), (width * scale, height * scale)),
    ]:
        theirs = Image.fromarray(image[0, 0].numpy()).resize(size, Image.Resampling.BICUBIC)  # of floats: not rounded
        torch.testing.assert_close(found[0, 0], torch.from_numpy(np.array(theirs)), atol=1e-5, rtol=0)


def test_bicubic_of_a_photo_is_pillows_within_rounding() -> None:
    image = photo()
    theirs = np.asarray(Image.fromarray(levels(image)).resize((32, 24), Image.Resampling.BICUBIC)).astype(int)
    difference = np.abs(levels(bicubic(image, 4, mirror=False)).astype(int) - theirs)
    assert difference.max() <= 2  # Pillow rounds between rows and columns, too
    assert difference.mean() < 0.15


def test_borders_are_mirrored_as_by_matlab() -> None:
    """The middle of the image that was continued by its mirror image first."""
    image = noise(2, 3, 24, 36)
    wide = torch.from_numpy(np.pad(image.numpy(), [(0, 0), (0, 0), (12, 12), (12, 12)], mode="symmetric"))
    torch.testing.assert_close(bicubic(image, 3), bicubic(wide, 3)[:, :, 4:-4, 4:-4])
    torch.testing.assert_close(enlarge(image, 2), enlarge(wide, 2)[:, :, 24:-24, 24:-24])
    assert not torch.allclose(bicubic(image, 3), bicubic(image, 3, mirror=False))


def test_other_methods_are_torchs() -> None:
    image = noise(2, 3, 12, 20)
    torch.testing.assert_close(resized(image, 4, 10, area), F.avg_pool2d(image, (3, 2)))
    larger = F.interpolate(image, (31, 50), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resized(image, 31, 50, linear), larger, atol=1e-5, rtol=0)
    smaller = F.interpolate(image, (7, 9), mode="bicubic", align_corners=False, antialias=True)
    torch.testing.assert_close(resized(image, 7, 9, mirror=False), smaller, atol=1e-5, rtol=0)


def test_flat_images_stay_flat_whatever_the_size() -> None:
    flat = torch.full((1, 1, 5, 7), 0.3)
    for kernel in (*METHODS, smooth_cubic):
        for size in (1, 2, 7, 19):
            torch.testing.assert_close(resized(flat, size, size, kernel), torch.full((1, 1, size, size), 0.3))


def test_gradients_pass_through_bicubic_and_autocast_leaves_it_exact() -> None:
    image = noise(1, 3, 8, 8).requires_grad_()
    bicubic(image, 2).mean().backward()
    assert image.grad is not None
    assert image.grad.sum().item() == pytest.approx(1, abs=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(bicubic(image, 2), bicubic(image.detach(), 2))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        BadData, match="30x22 pixels cannot be made 4 times smaller: crop them to multiples of 4, here 28x20"
    ):
        bicubic(noise(1, 3, 30, 22), 4)
    with pytest.raises(BadOption, match="the scale is 0; expected a whole factor of 1 or more"):
        real_world(noise(1, 3, 8, 8), 0, uniform(1, REAL_WORLD_DRAWS))


# --- colours, blur


def test_grey_is_pillows_luma() -> None:
    theirs = np.asarray(Image.fromarray(levels(photo())).convert("L")).astype(int)
    assert np.abs(levels(grey(photo()))[..., 0].astype(int) - theirs).max() <= 1
    rgba = noise(2, 4, 5, 5)
    assert torch.equal(grey(rgba), grey(rgba[:, :3]))
    assert torch.equal(grey(rgba[:, :1]), rgba[:, :1])
    with pytest.raises(BadOption, match="images with 2 channels have no luma"):
        grey(rgba[:, :2])


def test_each_image_is_filtered_by_its_own_kernel() -> None:
    images, kernels = noise(2, 3, 6, 9), uniform(2, 49).view(2, 7, 7)
    found = filtered(images, kernels)
    for image, kernel, result in zip(images, kernels, found):
        for channel, filtered_channel in zip(image, result):
            theirs = ndimage.correlate(channel.numpy(), kernel.numpy(), mode="reflect")
            np.testing.assert_allclose(filtered_channel, theirs, atol=2e-5)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_kernels_larger_than_the_image_are_no_trouble(size: int) -> None:
    torch.testing.assert_close(
        filtered(torch.ones(1, 3, size, size), bump(21, (3, 1), 0.5, gaussian)[None]), torch.ones(1, 3, size, size)
    )


def test_gaussians_have_their_standard_deviations() -> None:
    kernel = bump(41, (3.0, 1.5), math.pi / 6, gaussian)
    y, x = offsets(41)
    found = torch.stack([torch.stack([(kernel * a * b).sum() for a in (x, y)]) for b in (x, y)])
    turn = torch.tensor([[math.cos(math.pi / 6), -0.5], [0.5, math.cos(math.pi / 6)]], dtype=torch.float64)
    torch.testing.assert_close(
        found, turn @ torch.diag(torch.tensor([9.0, 2.25], dtype=torch.float64)) @ turn.T, rtol=1e-3, atol=0
    )


def test_shapes_of_other_kernels() -> None:
    q = torch.tensor([0.0, 1.0, 4.0])
    torch.testing.assert_close(gaussian(q, 0.5), torch.exp(-torch.tensor([0.0, 0.5, 1.0])))
    torch.testing.assert_close(plateau(q, 2.0), torch.tensor([1.0, 1 / 2, 1 / 17]))


def test_a_sinc_lets_low_frequencies_through_and_stops_high_ones() -> None:
    kernel = sinc(21, math.pi / 2)
    assert kernel.sum().item() == pytest.approx(1)
    x = torch.arange(21, dtype=torch.float64) - 10
    response = [(kernel * torch.cos(f * x)).sum().item() for f in (math.pi / 6, 0.9 * math.pi)]
    assert response[0] > 0.85
    assert abs(response[1]) < 0.1
    assert kernel.min() < -0.001, "it rings"


def test_motion_is_as_long_as_asked() -> None:
    y, x = offsets(31)
    straight = motion(31, 20, 0.0, 0.0)
    assert straight.sum().item() == pytest.approx(1)
    assert (straight * x).sum().item() == pytest.approx(0, abs=1e-9)
    assert (straight * x.square()).sum().item() == pytest.approx(20**2 / 12, rel=0.02)  # of a uniform distribution
    assert straight[:15].sum() == 0
    torch.testing.assert_close(motion(31, 20, math.pi / 2, 0.0), straight.T)
    bent = motion(31, 20, 0.0, 1.5)
    assert (bent * y.square()).sum() > 1


def test_blur_is_the_same_in_any_batch_and_fits_the_draws() -> None:
    images, draws = noise(4, 3, 20, 24), uniform(4, BLUR_DRAWS)
    draws[:, 0] = torch.tensor([0.1, 0.9, 0.2, 0.8])
    found = blurred(images, draws)
    torch.testing.assert_close(found, torch.cat([blurred(images[i : i + 1], draws[i : i + 1]) for i in range(4)]))
    assert (found.std(dim=(1, 2, 3)) < 0.6 * images.std(dim=(1, 2, 3))).all()
    torch.testing.assert_close(blurred(torch.full_like(images, 0.4), draws), torch.full_like(images, 0.4))
    with pytest.raises(BadOption, match=r"draws of shape \(4, 3\) for 4 images: expected \(4, 4\) numbers"):
        blurred(images, draws[:, :3])


# --- holes


@pytest.mark.parametrize("strokes", [0.0, 1.0])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (40, 64)])
def test_holes_are_cut_out_and_marked(strokes: float, height: int, width: int) -> None:
    images = noise(50, 3, height, width)
    found = holed(images, uniform(50, HOLE_DRAWS), strokes)
    known = found[:, 3:]
    assert found.shape == (50, 4, height, width)
    assert known.unique().tolist() == [0.0, 1.0]
    assert torch.equal(found[:, :3], images * known)
    part = known.mean(dim=(1, 2, 3))
    assert 0 < part.min() < part.max() < 1
    assert 0.6 < part.mean() < 0.95


def test_a_rectangle_is_where_the_draws_put_it() -> None:
    draws = torch.zeros(1, HOLE_DRAWS)
    draws[0, 2:6] = torch.tensor(
        [0.5, 0.25, 1.0, 0.0]
    )  # the first hole: centre, then from the least to the largest side
    known = holed(torch.ones(1, 1, 16, 32), draws, strokes=0.0)[0, 1]
    assert (known == 0).sum() == 16 * 2
    assert (known[3:5, 8:24] == 0).all()


def test_strokes_and_rectangles_share_the_images() -> None:
    images, draws = torch.ones(2, 1, 32, 32), uniform(2, HOLE_DRAWS)
    draws[:, 0] = torch.tensor([0.2, 0.4])
    mixed = holed(images, draws, strokes=0.3)
    assert torch.equal(mixed[0], holed(images, draws, strokes=1.0)[0])
    assert torch.equal(mixed[1], holed(images, draws, strokes=0.0)[1])


# --- JPEG


@pytest.mark.parametrize("quality", [1, 7, 30, 37, 49, 50, 77, 100])
def test_tables_are_pillows(quality: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
    theirs = Image.open(file).quantization  # type: ignore[attr-defined]
    tables = compression._jpeg_constants(torch.device("cpu"))[1]
    found = compression._scaled(tables, torch.tensor([float(quality)]))
    assert found.flatten(1).int().tolist() == [theirs[0], theirs[1]]


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 95])
@pytest.mark.parametrize(("height", "width", "mode"), [(96, 128, "RGB"), (61, 83, "RGB"), (60, 72, "L")])
def test_jpeg_is_pillows_within_a_few_levels(quality: int, height: int, width: int, mode: str) -> None:
    original = Image.fromarray(levels(photo(height, width))).convert(mode)
    file = io.BytesIO()
    original.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    theirs = np.asarray(Image.open(file)).astype(float).reshape(height, width, -1)
    image = torch.from_numpy(np.asarray(original).reshape(height, width, -1).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    found = levels(jpeg(image, torch.tensor([float(quality)]))).astype(float)
    error = np.abs(found - theirs)
    assert error.mean() < 1.0
    assert 10 * math.log10(255**2 / np.square(error).mean()) > 42, "as close as a very good JPEG"
    lost = np.square(theirs - np.asarray(original).reshape(theirs.shape)).mean()
    assert np.square(error).mean() < 0.15 * lost, "much closer to Pillow's than either is to the original"


def test_every_image_has_its_own_quality() -> None:
    images = photo(32, 48).repeat(3, 1, 1, 1)
    found = jpeg(images, torch.tensor([10.0, 50.0, 95.0]))
    assert torch.equal(found[1:2], jpeg(images[1:2], torch.tensor([50.0])))
    losses = (found - images).square().mean(dim=(1, 2, 3))
    assert losses[0] > 2 * losses[1] > 4 * losses[2]


def test_jpeg_is_exact_under_autocast_and_refuses_transparency() -> None:
    image, quality = photo(32, 32), torch.tensor([60.0])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(jpeg(image, quality), jpeg(photo(32, 32), quality))
    with pytest.raises(BadOption, match=r"1 \(grey\) or 3 \(colour\) channels; these have 4"):
        jpeg(noise(1, 4, 8, 8), quality)


# --- the real world


@pytest.mark.parametrize(("channels", "scale"), [(3, 4), (1, 2), (3, 1)])
def test_the_real_world_has_the_size_and_levels_of_a_file(channels: int, scale: int) -> None:
    images = noise(12, channels, 16, 24)
    found = real_world(images, scale, uniform(12, REAL_WORLD_DRAWS))
    assert found.shape == (12, channels, 16 // scale, 24 // scale)
    assert found.abs().max() <= 1
    steps = (found + 1) * 127.5
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)


def test_the_real_world_is_the_same_in_any_batch_and_leaves_the_random_state() -> None:
    images, draws = photo(32, 32).repeat(8, 1, 1, 1), uniform(8, REAL_WORLD_DRAWS)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    whole = real_world(images, 2, draws)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(whole, torch.cat([real_world(images[:3], 2, draws[:3]), real_world(images[3:], 2, draws[3:])]))
    assert len({image.numpy().tobytes() for image in whole}) == 8


@pytest.mark.parametrize("order", [0.0, 0.9])
def test_with_everything_off_only_the_size_changes(order: float) -> None:
    image, draws = grey(photo()), torch.full((1, REAL_WORLD_DRAWS), 0.5)  # JPEG loses colours at any quality
    draws[0, [12, 30, 40]] = 0.0  # the methods: area
    draws[0, 39] = order
    found = real_world(image, 4, draws, Degradation(QUIET, QUIET, final_sinc=0.0))
    plain = F.avg_pool2d(image, 4)
    assert (found - plain).abs().mean() < 1 / 127.5
    rough = real_world(image, 4, draws, Degradation(QUIET, replace(QUIET, noise=(30.0, 30.0)), final_sinc=0.0))
    assert (rough - plain).abs().mean() > 10 / 127.5


def test_the_last_sinc_rings() -> None:
    edge = torch.cat([torch.full((1, 1, 64, 32), -0.5), torch.full((1, 1, 64, 32), 0.5)], dim=3)
    draws = torch.zeros(1, REAL_WORLD_DRAWS)
    draws[0, [37, 39]] = 0.99  # a large kernel, after the JPEG
    found = [real_world(edge, 1, draws, Degradation(QUIET, QUIET, final_sinc=p)) for p in (0.0, 1.0)]
    assert found[0].abs().max() < 0.52
    assert found[1].abs().max() > 0.53


@pytest.mark.parametrize("poisson", [False, True])
@pytest.mark.parametrize("in_grey", [False, True])
def test_noise_is_as_strong_as_asked(poisson: bool, in_grey: bool) -> None:
    ramp = (torch.arange(256) / 127.5 - 1).repeat(1, 3, 256, 1)
    settings = Round(gaussian=0.0 if poisson else 1.0, noise=(10.0, 10.0), poisson=(0.5, 0.5), grey=float(in_grey))
    found = second_order._noisy(ramp, [0.5] * 4, settings) - ramp
    middle = found[:, :, :, 64:192] * 127.5
    expected = 0.5 * torch.arange(64, 192).float().mul(255 / 256 * 1.0).sqrt() if poisson else torch.full((128,), 10.0)
    torch.testing.assert_close(middle.std(dim=2).mean(dim=(0, 1)), expected, rtol=0.15, atol=0)
    assert middle.mean().abs() < 0.1
    same = torch.allclose(middle[:, 0], middle[:, 1], atol=1e-3)
    assert same == in_grey


def test_shot_noise_is_poisson() -> None:
    """Of one level only: as many photons as levels, one, so counts are 0, 1, 2 ... of mean 0.8."""
    image = torch.full((1, 1, 200, 200), 204 / 127.5 - 1)
    noise = shot_noise(image, uniform(1, 40_000).view(1, 1, 200, 200))
    counts = Counter((noise / 2 + 0.8).round().int().flatten().tolist())
    for count in range(5):
        expected = math.exp(-0.8) * 0.8**count / math.factorial(count)
        assert counts[count] / 40_000 == pytest.approx(expected, abs=0.01)


def test_kinds_are_chosen_as_often_as_the_settings_say() -> None:
    counts = Counter(chosen(u, (0.2, 0.7, 0.1)) for u in uniform(1, 5000)[0].tolist())
    assert [counts[i] / 5000 for i in range(3)] == pytest.approx([0.2, 0.7, 0.1], abs=0.02)
    assert chosen(0.0, (0.0, 1.0)) == 1
    kernels = [second_order._kernel(row, Round(sinc=0.2)) for row in uniform(1000, 9).tolist()]
    assert all(kernel.sum().item() == pytest.approx(1) for kernel in kernels)
    assert sum(kernel.min().item() < -1e-6 for kernel in kernels) / 1000 == pytest.approx(0.2, abs=0.04)
    assert {len(kernel) for kernel in kernels} == set(SIZES)
