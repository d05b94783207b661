"""Every system that makes images can be edited with."""

from __future__ import annotations

import pytest
import torch

from tests.editing.generators import make
from zerosum.core import discovery
from zerosum.editing import directions, interpolation, points
from zerosum.editing.ganspace import ganspace
from zerosum.editing.projection import Settings, project
from zerosum.editing.sefa import sefa

SYSTEMS = [system.name for system in discovery.systems().values() if system.kind == "images"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_can_be_edited_with(system: str) -> None:
    generator = make(system)
    label = 2 if generator.conditional else None
    start = points.drawn(generator, [1, 2], label)
    target = points.images_of(generator, start)
    found = project(generator, target, label=label, settings=Settings(steps=20, samples=100))
    assert found.curve.isfinite().all() and found.points.w.shape == start.w.shape
    for method in (sefa, ganspace):
        known = method(generator, 2, samples=100)
        assert torch.allclose(known.vectors.norm(dim=1), torch.ones(2), atol=1e-4) and (known.scales > 0).all()
        moved = points.images_of(generator, directions.moved(start, known, 0, [0, 3]))
        assert torch.allclose(moved[::2], target, atol=1e-5)
        assert (moved[1::2] - target).abs().max() > 1e-4
    assert len(interpolation.path(generator, start, 3)) == 4
