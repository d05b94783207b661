"""PSNR, SSIM and the rest against closed forms, SciPy and published figures; LPIPS against torch-fidelity's."""

from __future__ import annotations

import hashlib
import io
import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadData, BadFile, BadOption
from zerosum.core.vision import load
from zerosum.metrics import quality
from zerosum.metrics.features import quantise
from zerosum.metrics.lpips import ALEX, LPIPS, VGG, Network, lpips
from zerosum.metrics.quality import Protocol, diversity, fidelity, luma, psnr, sharpness, ssim
from zerosum.objectives.degradations import bicubic, enlarge
from zerosum.objectives.perceptual import MEAN, STD


def image(channels: int = 3, height: int = 24, width: int = 30, seed: int = 0) -> Tensor:
    """(c, h, w) uint8: smooth shapes with some noise."""
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.random((channels, height, width)), (0, 2, 2))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.from_numpy((200 * smooth + 40 * random.random(smooth.shape)).astype(np.uint8))


# --- PSNR, SSIM, sharpness


def test_psnr_of_a_constant_difference_in_closed_form() -> None:
    a = torch.full((3, 16, 16), 100, dtype=torch.uint8)
    assert psnr(a, a + 5) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(a, torch.zeros_like(a)) == pytest.approx(20 * math.log10(255 / 100))
    assert psnr(a, a) == math.inf
    half = a.float()
    half[:, ::2] += 10.0
    assert psnr(half, a) == pytest.approx(10 * math.log10(255**2 / 50))


def test_ssim_of_flat_images_in_closed_form() -> None:
    a, b = torch.full((1, 12, 12), 80.0), torch.full((1, 12, 12), 120.0)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 80 * 120 + c1) / (80**2 + 120**2 + c1))
    assert ssim(a, a) == pytest.approx(1)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_that_of_another_filter(channels: int) -> None:
    """SciPy's Gaussian, whose window also ends five pixels from its centre, over the same positions."""
    a, b = image(channels), image(channels, seed=1)

    def blurred(x: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(x, (0, 1.5, 1.5), truncate=5 / 1.5)[:, 5:-5, 5:-5]

    x, y = a.numpy().astype(float), b.numpy().astype(float)
    c1, c2 = 6.5025, 58.5225
    mean_x, mean_y = blurred(x), blurred(y)
    top = (2 * mean_x * mean_y + c1) * (2 * (blurred(x * y) - mean_x * mean_y) + c2)
    spread = blurred(x * x) - mean_x**2 + blurred(y * y) - mean_y**2 + c2
    expected = (top / ((mean_x**2 + mean_y**2 + c1) * spread)).mean()
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)
    assert ssim(a, b) == pytest.approx(ssim(b, a))


def test_ssim_needs_a_window() -> None:
    with pytest.raises(BadData, match="SSIM's window has 11x11 pixels; what is compared has 10x30"):
        ssim(image(height=10), image(height=10))


def test_sharpness_falls_with_blur_and_rises_with_noise() -> None:
    target = image().double()
    soft = F.avg_pool2d(target[None], 3, 1, 1, count_include_pad=False)[0]
    noisy = (target + 30 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 255)
    assert sharpness(soft, target) < 0.7 < sharpness(target, target) == 1.0 < 1.3 < sharpness(noisy, target)
    flat = torch.zeros(1, 4, 4)
    assert sharpness(flat, flat) == 1
    assert sharpness(torch.eye(4)[None], flat) == math.inf
    ramp = torch.arange(4.0).expand(1, 4, 4)
    assert sharpness(2 * ramp, ramp) == pytest.approx(4)


# --- the protocol


def test_luma_is_matlabs() -> None:
    """rgb2ycbcr of black, white, red, green, blue and a colour between."""
    colours = torch.tensor([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 200, 90]]).double()
    found = luma(colours.T[:, None])[0, 0]
    assert found.tolist() == [16, 235, 81, 145, 41, 128]
    assert luma(colours.T[:, None], rounded=False)[0, 0, 2].item() == pytest.approx(81.481)


def test_luma_and_border_are_what_is_compared() -> None:
    a, b = image(), image(seed=1)
    inner = [luma(x.double())[:, 3:-3, 3:-3] for x in (a, b)]
    found = fidelity([a], [b], Protocol(border=3))
    assert (found.psnr, found.ssim) == (psnr(*inner), ssim(*inner))
    spoiled = a.clone()
    spoiled[:, :3] = 0
    spoiled[:, :, -3:] = 255
    assert fidelity([spoiled], [b], Protocol(border=3)) == found
    exact = [luma(x.double(), rounded=False)[:, 3:-3, 3:-3] for x in (a, b)]
    assert fidelity([a], [b], Protocol(border=3, rounded=False)).psnr == psnr(*exact) != found.psnr
    assert fidelity([a], [b], Protocol("rgb", border=0)).psnr == psnr(a, b)


def test_grey_images_are_compared_as_they_are() -> None:
    a, b = image(1), image(1, seed=1)
    for colours in ("y", "rgb"):
        assert fidelity([a], [b], Protocol(colours, border=0)).psnr == psnr(a, b)  # type: ignore[arg-type]


def test_scores_are_averaged_over_images_of_any_size_and_kind() -> None:
    pairs = [(image(), image(seed=1)), (image(1, 40, 20), image(1, 40, 20, seed=2))]
    each = [fidelity([a], [b]) for a, b in pairs]
    both = fidelity([a for a, _ in pairs], [b for _, b in pairs])
    assert both.psnr == pytest.approx((each[0].psnr + each[1].psnr) / 2)
    assert both.ssim == pytest.approx((each[0].ssim + each[1].ssim) / 2)
    arrays = [[x.permute(1, 2, 0).numpy() for x in side] for side in zip(*pairs)]
    assert fidelity(arrays[0], arrays[1]) == both
    assert fidelity([arrays[0][1][..., 0]], [arrays[1][1][..., 0]]) == each[1]  # (h, w)
    batch = torch.stack([image(), image(seed=1)])
    assert fidelity(batch, batch.flip(0)).images == 2
    assert both.to_dict() == {
        "psnr": both.psnr, "ssim": both.ssim, "sharpness": both.sharpness, "images": 2,
        "protocol": {"colours": "y", "border": 4, "rounded": True},
    }  # fmt: skip


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(BadData, match="1 answers for 2 targets: expected as many"):
        fidelity([image()], [image(), image()])
    with pytest.raises(BadData, match="answer 1 has the shape 3x24x28, its target 3x24x30: expected equal"):
        fidelity([image(), image(width=28)], [image(), image()])
    with pytest.raises(BadData, match="of 8x30 pixels has none left inside a border of 4"):
        fidelity([image(height=8)], [image(height=8)])
    with pytest.raises(BadOption, match="a border of -1 pixels: expected 0 or more"):
        fidelity([image()], [image()], Protocol(border=-1))
    with pytest.raises(
        BadData, match=r"values from -1 to 0\.5: expected 0 to 255\. Images in \[-1, 1\] are made that by"
    ):
        psnr(torch.tensor([[[-1.0, 0.5]]]), torch.zeros(1, 1, 2))
    with pytest.raises(BadData, match=r"values from nan to nan"):
        psnr(torch.full((1, 2, 2), math.nan), torch.zeros(1, 2, 2))
    with pytest.raises(BadData, match=r"an image of shape 2x3x24x30 and type torch\.uint8: expected 1 or 3 channels"):
        psnr(image().expand(2, -1, -1, -1), image())


@pytest.mark.skipif("ZEROSUM_DATA" not in os.environ, reason="reads Set5 from ZEROSUM_DATA")
@pytest.mark.parametrize(("scale", "published"), [(2, (33.66, 0.9299)), (3, (30.39, 0.8682)), (4, (28.42, 0.8104))])
def test_bicubic_interpolation_scores_on_set5_as_published(scale: int, published: tuple[float, float]) -> None:
    """The figures that papers give for MATLAB's imresize, such as Lim et al. 2017, arXiv:1707.02921."""
    rows = pd.read_parquet(Path(os.environ["ZEROSUM_DATA"]) / "superres" / "sr_images.parquet")
    answers, targets = [], []
    for content in rows[rows.set == "Set5"].image:
        raw = content["bytes"] if isinstance(content, dict) else content
        pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(raw)).convert("RGB"))).permute(2, 0, 1)
        target = pixels[:, : pixels.shape[1] // scale * scale, : pixels.shape[2] // scale * scale]
        small = quantise(bicubic(target[None] / 127.5 - 1, scale))
        answers.append(quantise(enlarge(small / 127.5 - 1, scale))[0])
        targets.append(target)
    found = fidelity(answers, targets, Protocol(border=scale))
    assert found.psnr == pytest.approx(published[0], abs=0.02)
    assert found.ssim == pytest.approx(published[1], abs=0.0006)


# --- diversity


def test_diversity_is_the_mean_distance_of_two_answers() -> None:
    answers = torch.tensor([[[0.0, 0.0], [3.0, 4.0], [0.0, 4.0]], [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]])
    assert diversity(answers) == pytest.approx(((5 + 4 + 3) / 3 + 0) / 2)
    assert diversity(answers, lambda a, b: (a - b).abs().amax(dim=1)) == pytest.approx((4 + 4 + 3) / 6)
    with pytest.raises(BadData, match=r"answers of shape \(2, 1, 2\): expected \(inputs, answers, \.\.\.\), two"):
        diversity(answers[:, :1])


# --- LPIPS


def random_stack(network: Network) -> nn.Sequential:
    """The network's layers with random weights, scaled so that maps neither vanish nor explode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stack = network.make()
        for layer in stack:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
    return stack.eval()


def files(network: Network, folder: Path) -> tuple[Path, Path]:
    """Both files, under the names that the references have."""
    backbone, heads = folder / "backbone.safetensors", folder / "heads.pth"
    layers = enumerate(random_stack(network))
    state = {f"features.{i}.{name}": value for i, layer in layers for name, value in layer.state_dict().items()}
    save_file(state, backbone)
    random = torch.Generator().manual_seed(1)
    weights = [torch.rand(1, width, 1, 1, generator=random) for width in network.widths]
    torch.save({f"lin{i}.model.1.weight": weight for i, weight in enumerate(weights)}, heads)
    return backbone, heads


@pytest.fixture(scope="module", params=[ALEX, VGG], ids=["alexnet", "vgg16"])
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LPIPS, Path, Path]:
    paths = files(request.param, tmp_path_factory.mktemp("lpips"))
    return lpips(*paths, request.param), *paths


def noise(n: int = 2, channels: int = 3, side: int = 40, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_lpips_on_vgg16_is_torch_fidelitys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("torch_fidelity.sample_similarity_lpips")
    backbone, heads = files(VGG, tmp_path)
    monkeypatch.setattr(module, "load_state_dict_from_url", lambda *_, **__: torch.load(heads, weights_only=True))
    loaded = SimpleNamespace(features=random_stack(VGG))
    monkeypatch.setattr(module, "torchvision_load_pretrained_vgg16", lambda: loaded)
    theirs = module.SampleSimilarityLPIPS("lpips-vgg16")
    a, b = noise(3), noise(3, seed=1)
    expected = theirs((a + 1) * 127.5, (b + 1) * 127.5).flatten()
    torch.testing.assert_close(lpips(backbone, heads, VGG)(a, b), expected, rtol=1e-4, atol=0)


def test_lpips_on_alexnet_is_the_paper_s_sum_over_torchvisions_layers(tmp_path: Path) -> None:
    backbone, heads = files(ALEX, tmp_path)
    with torch.device("meta"):
        theirs = load("torchvision.models").alexnet().features
    own = random_stack(ALEX)
    assert [repr(layer).replace(", inplace=True", "").replace("inplace=True", "") for layer in theirs] == [
        *map(repr, own)
    ]
    weights = torch.load(heads, weights_only=True)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
    x = torch.stack([((image + 1) / 2 - mean) / std for image in (noise(1)[0], noise(1, seed=1)[0])])
    expected, layer = torch.zeros(()), 0
    with torch.no_grad():
        for module in list(own)[:-1]:  # nothing is left after the last halving
            x = module(x)
            if isinstance(module, nn.ReLU):
                a, b = x / x.norm(dim=1, keepdim=True)
                expected = expected + ((a - b).square() * weights[f"lin{layer}.model.1.weight"][0]).sum(0).mean()
                layer += 1
    torch.testing.assert_close(lpips(backbone, heads)(noise(1), noise(1, seed=1))[0], expected)


def test_lpips_is_a_distance_image_by_image(measured: tuple[LPIPS, Path, Path]) -> None:
    distance, *_ = measured
    a, b = noise(3), noise(3, seed=1)
    found = distance(a, b)
    assert found.shape == (3,)
    assert (found > 0.01).all()
    assert (distance(a, a) == 0).all()
    torch.testing.assert_close(found, distance(b, a))
    torch.testing.assert_close(found[1:2], distance(a[1:2], b[1:2]))
    near, far = (distance(a, (a + strength * (b - a))) for strength in (0.1, 0.5))
    assert (near < far).all()
    grey = noise(1, 1)
    torch.testing.assert_close(distance(grey, -grey), distance(grey.repeat(1, 3, 1, 1), -grey.repeat(1, 3, 1, 1)))


def test_lpips_can_be_descended_and_stays_frozen(measured: tuple[LPIPS, Path, Path]) -> None:
    distance, *_ = measured
    a = noise().requires_grad_()
    distance.train()(a, noise(seed=1)).sum().backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()
    assert not any(parameter.requires_grad for parameter in distance.parameters())
    black = torch.zeros(1, 3, 40, 40, requires_grad=True)
    distance(black, black.detach()).sum().backward()
    assert black.grad is not None
    assert black.grad.isfinite().all()


def test_lpips_measures_diversity(measured: tuple[LPIPS, Path, Path]) -> None:
    distance, *_ = measured
    answers = noise(4).view(2, 2, 3, 40, 40)
    expected = distance(answers[:, 0], answers[:, 1]).mean().item()
    assert diversity(answers, distance) == pytest.approx(expected, rel=1e-5)


def test_lpips_says_what_it_is(measured: tuple[LPIPS, Path, Path]) -> None:
    distance, backbone, heads = measured
    described = distance.described()
    assert described["distance"] == "LPIPS 0.1"
    assert described["network"] in ("alexnet", "vgg16")
    assert described["weights_sha256"] == hashlib.sha256(backbone.read_bytes()).hexdigest()
    assert described["heads_sha256"] == hashlib.sha256(heads.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            (None, None),
            r"not given: torchvision's weights of alexnet \(alexnet-owt-7be5be79\.pth\) and the linear heads of",
        ),
        ((Path("a.pth"), None), r"not given: the linear heads of LPIPS 0\.1 \(alex\.pth, from lpips/weights/v0\.1"),
        (
            (None, Path("a.pth")),
            r"two files of weights; not given: torchvision's weights of alexnet \(alexnet-[^)]*\)\.",
        ),
    ],
)
def test_lpips_without_its_files_says_which_are_missing(given: tuple[Any, Any], text: str) -> None:
    with pytest.raises(BadOption, match=text):
        lpips(*given)


def test_lpips_refuses_files_that_are_not_its_own(tmp_path: Path) -> None:
    backbone, heads = files(ALEX, tmp_path)
    with pytest.raises(
        BadFile, match=r"none\.pth: there is no such file\. Expected the linear heads of LPIPS on alexnet"
    ):
        lpips(backbone, tmp_path / "none.pth")
    with pytest.raises(
        BadFile, match=r"under features\.0\.weight it has a tensor \(64, 3, 11, 11\); expected .* \(64, 3, 3, 3\)"
    ):
        lpips(backbone, heads, VGG)
    other = {f"lin{i}.model.1.weight": torch.ones(1, width, 1, 1) for i, width in enumerate(VGG.widths)}
    torch.save(other, tmp_path / "vgg.pth")
    with pytest.raises(
        BadFile, match=r"under lin1\.model\.1\.weight it has a tensor \(1, 128, 1, 1\); expected a tensor \(1, 192"
    ):
        lpips(backbone, tmp_path / "vgg.pth")
    save_file({"lin0.model.1.weight": -torch.ones(1, 64, 1, 1)}, tmp_path / "negative.safetensors")
    with pytest.raises(BadFile, match=r"lin0\.model\.1\.weight has weights below 0"):
        lpips(backbone, tmp_path / "negative.safetensors")


def test_images_too_small_for_lpips_are_refused(measured: tuple[LPIPS, Path, Path]) -> None:
    distance, *_ = measured
    least = 31 if distance.features.name == "alexnet" else 16
    assert distance(noise(1, side=least), noise(1, side=least, seed=1)).item() > 0
    with pytest.raises(BadData, match=f"images of {least - 1}x{least - 1} pixels vanish at the layer pool"):
        distance(noise(1, side=least - 1), noise(1, side=least - 1))


def test_levels_of_any_device_and_layout_are_float64_on_the_cpu() -> None:
    found = quality.levels(np.zeros((4, 6, 3), np.uint8))
    assert found.shape == (3, 4, 6)
    assert found.dtype == torch.float64
