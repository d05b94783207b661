"""Resampling against its definition: put zeros in between, pad, convolve, keep every n-th."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor

from zerosum.networks import resample as module
from zerosum.networks.resample import TAPS, blur, downsample, filter_down, gaussian_blur, resample, upsample

BLUR = np.outer(TAPS, TAPS) / sum(TAPS) ** 2


def by_definition(x: Tensor, kernel: np.ndarray, up: int, before: int, after: int, down: int) -> Tensor:
    """The same resampling, one plane at a time."""
    planes = []
    for plane in x.flatten(0, 1).double().numpy():
        wide = np.zeros((plane.shape[0] * up, plane.shape[1] * up))
        wide[::up, ::up] = plane
        wide = np.pad(wide, ((max(before, 0), max(after, 0)), (max(before, 0), max(after, 0))))
        wide = wide[max(-before, 0) : len(wide) - max(-after, 0), max(-before, 0) : wide.shape[1] - max(-after, 0)]
        planes.append(signal.convolve2d(wide, kernel, mode="valid")[::down, ::down])
    return torch.from_numpy(np.stack(planes)).float().unflatten(0, x.shape[:2])


@pytest.fixture(autouse=True, params=["matrices", "convolutions"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small images take one form, large ones the other: both have to hold everywhere."""
    monkeypatch.setattr(module, "SMALL", 10**6 if request.param == "matrices" else 0)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(0))


def test_up_and_down_by_two(x: Tensor) -> None:
    assert torch.allclose(upsample(x), by_definition(x, BLUR * 4, 2, 2, 1, 1), atol=1e-6)
    assert torch.allclose(downsample(x), by_definition(x, BLUR, 1, 1, 1, 2), atol=1e-6)
    assert torch.allclose(blur(x, 2, gain=3.0), by_definition(x, BLUR * 3, 1, 2, 2, 1), atol=1e-6)


def test_up_and_down_keep_the_mean_inside() -> None:
    flat = torch.full((1, 2, 8, 8), 0.7)
    assert torch.allclose(upsample(flat)[..., 2:-2, 2:-2], torch.tensor(0.7))
    assert torch.allclose(downsample(flat)[..., 1:-1, 1:-1], torch.tensor(0.7))


@pytest.mark.parametrize(("up", "before", "after"), [(2, 3, 2), (2, -2, -3), (4, 11, 12), (1, 5, 5), (2, 14, 0)])
def test_any_filter_up(x: Tensor, up: int, before: int, after: int) -> None:
    taps = torch.from_numpy(signal.firwin(12, 0.4 / up)).float()
    kernel = np.outer(taps, taps) * up**2
    padded = torch.nn.functional.pad(x, (8, 8, 8, 8))  # so that negative padding leaves something
    got = resample(padded, taps, up=up, before=before, after=after)
    assert torch.allclose(got, by_definition(padded, kernel, up, before, after, 1), atol=1e-5)


@pytest.mark.parametrize("down", [1, 2, 4])
def test_any_filter_down(down: int) -> None:
    x = torch.randn(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    taps = torch.from_numpy(signal.firwin(12, 0.4 / down)).float()
    square = torch.outer(taps, taps)
    want = by_definition(x, square.double().numpy(), 1, 0, 0, down)
    assert torch.allclose(resample(x, taps, down=down), want, atol=1e-5)
    assert torch.allclose(filter_down(x, square, down), want, atol=1e-5)


def test_gaussian_blur_spreads_a_point_and_keeps_the_sum() -> None:
    x = torch.zeros(1, 1, 33, 33)
    x[..., 16, 16] = 1.0
    y = gaussian_blur(x, 2.0)
    assert y.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert (y[0, 0, 16, 18] / y[0, 0, 16, 16]).item() == pytest.approx(0.5, abs=1e-4)  # 2^-(2 / 2)^2
    assert gaussian_blur(x, 0.0) is x
    assert gaussian_blur(torch.ones(1, 1, 4, 4), 10.0).shape == (1, 1, 4, 4)


def test_can_be_differentiated_twice(x: Tensor) -> None:
    x = x[:1, :2].double().requires_grad_(True)
    taps = torch.from_numpy(signal.firwin(6, 0.3))
    for f in (upsample, downsample, lambda t: resample(resample(t, taps, up=2, before=3, after=3), taps, down=2)):
        assert torch.autograd.gradgradcheck(lambda t, f=f: f(t).square(), (x,))
