"""Each illness, provoked on purpose in a real training and called by its name; and trainings that are not ill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.health.trainings import Bilinear, Config, Remembering, dataset, play, ring, train
from zerosum.core.errors import NotFinite
from zerosum.data import load
from zerosum.data.options import Data
from zerosum.health.evidence import Evidence
from zerosum.health.monitor import Monitor
from zerosum.health.verdict import Verdict, diagnose
from zerosum.networks.families import DCGAN
from zerosum.training.optimizers import SGD, Adam


def verdict_of(monitor: Monitor, folder: Path) -> Verdict:
    """The verdict, which has to be the same from memory and from the file, and in health.json."""
    verdict = diagnose(monitor.evidence)
    assert diagnose(Evidence.of_run(folder)) == verdict
    written = json.loads((folder / "health.json").read_text())
    assert written["verdict"] == verdict.name
    assert [finding["illness"] for finding in written["findings"]] == [finding.illness for finding in verdict.findings]
    return verdict


def events(monitor: Monitor) -> str:
    return "\n".join(event.text for event in monitor.evidence.events)


def test_a_good_game_is_balanced(tmp_path: Path) -> None:
    monitor = train("rpgan", ring(), tmp_path, samples=60_000, adam=Adam(1e-3, (0.0, 0.99)))
    assert verdict_of(monitor, tmp_path).name == "balanced"
    assert not monitor.evidence.events, "nothing may be said of a training that is never ill"


def test_a_critic_needs_no_threshold_at_zero(tmp_path: Path) -> None:
    monitor = train("wgan_gp", ring(), tmp_path, samples=120_000, critic_steps=3, adam=Adam(1e-3, (0.5, 0.9)))
    assert verdict_of(monitor, tmp_path).name in ("healthy", "balanced")


def test_mode_collapse(tmp_path: Path) -> None:
    monitor = train("gan", ring(std=0.02), tmp_path, samples=60_000, optimizer=Adam(1e-2, (0.9, 0.999)))
    verdict = verdict_of(monitor, tmp_path)
    assert verdict.name == "mode collapse"
    assert "mode collapse" in events(monitor)


def test_vanishing_gradient(tmp_path: Path) -> None:
    far = ring() + 20
    monitor = train("gan", far, tmp_path, samples=60_000, loss="minimax", discriminator_steps=20, optimizer=Adam(1e-3))
    verdict = verdict_of(monitor, tmp_path)
    assert verdict.name == "vanishing gradient"
    assert verdict.ill


def test_a_strong_critic_alone_is_no_illness(tmp_path: Path) -> None:
    far = ring() + 20
    monitor = train("wgan_gp", far, tmp_path, samples=60_000, adam=Adam(1e-3, (0.0, 0.9)))
    assert monitor.evidence.last.probe["accuracy"] == 1.0
    assert verdict_of(monitor, tmp_path).name == "healthy"


def test_discriminator_overfitting(tmp_path: Path) -> None:
    few = load("digits", Data(limit=60))
    networks = DCGAN(width=16)
    monitor = train("dcgan", few, tmp_path, samples=70_000, latent=32, networks=networks, adam=Adam(5e-4))
    verdict = verdict_of(monitor, tmp_path)
    assert verdict.name == "discriminator overfitting"
    assert "r_v" in verdict.findings[0].evidence


def test_a_short_training_on_digits_is_healthy(tmp_path: Path) -> None:
    monitor = train("dcgan", load("digits"), tmp_path, samples=40_000, networks=DCGAN(width=16), adam=Adam(5e-4))
    assert verdict_of(monitor, tmp_path).name in ("healthy", "balanced")
    assert not monitor.evidence.events


def test_non_convergence(tmp_path: Path) -> None:
    points = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)).numpy()
    data = dataset(points[:3000], points[3000:])
    monitor = play(Bilinear(Config(), data.spec), data, tmp_path, samples=100_000)
    verdict = verdict_of(monitor, tmp_path)
    assert verdict.name == "non-convergence"
    assert "changed sides" in verdict.findings[0].evidence


def test_memorisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(ring(500), ring(500, seed=1))
    monkeypatch.setattr(Remembering, "memory", torch.from_numpy(ring(500)))
    monitor = play(Remembering(Config(), data.spec), data, tmp_path, samples=3_000, snapshots=3)
    verdict = verdict_of(monitor, tmp_path)
    assert verdict.name == "memorisation"
    assert "100% of the generated samples" in verdict.findings[0].evidence


def test_samples_of_the_same_distribution_are_no_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(ring(500), ring(500, seed=1))
    monkeypatch.setattr(Remembering, "memory", torch.from_numpy(ring(2000, seed=2)))
    monitor = play(Remembering(Config(), data.spec), data, tmp_path, samples=3_000, snapshots=3)
    assert verdict_of(monitor, tmp_path).name == "balanced"


def test_divergence_names_the_term(tmp_path: Path) -> None:
    with pytest.raises(NotFinite):
        train("gan", ring(), tmp_path, samples=20_000, optimizer=SGD(1e6))
    verdict = diagnose(Evidence.of_run(tmp_path))
    assert verdict.name == "divergence"
    assert "'s loss term 'adversarial' became infinite or NaN in round 1" in verdict.findings[0].evidence
    assert json.loads((tmp_path / "health.json").read_text())["verdict"] == "divergence"


def exploding(folder: Path, **how: Any) -> Monitor:
    """Steps a little too long for the curvature of the bilinear game: both players' weights grow by a fifth in a
    round."""
    points = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)).numpy()
    data = dataset(points[:3000], points[3000:])
    game = Bilinear(Config(), data.spec)
    game.critic.settings = game.generator.settings = SGD(2.01, 0.0)
    return play(game, data, folder, samples=10_000, **how)


def test_an_explosion_is_found_before_it_is_infinite(tmp_path: Path) -> None:
    verdict = verdict_of(exploding(tmp_path), tmp_path)
    assert verdict.name == "divergence"
    assert "has grown to" in verdict.findings[0].evidence


def test_rollback_goes_back_from_an_explosion(tmp_path: Path) -> None:
    monitor = exploding(tmp_path, on_illness="rollback")
    assert "rolled back to" in events(monitor)
    assert "stopped" not in events(monitor), "half the rate is short enough"
    assert monitor.evidence.samples == 10_000
    assert "divergence" not in [finding.illness for finding in diagnose(monitor.evidence).findings]


def test_rollback_only_warns_of_other_illnesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = remembering(tmp_path, monkeypatch, "rollback")
    assert "ill: memorisation" in events(monitor)
    assert "rolled back" not in events(monitor)
    assert monitor.evidence.samples == 8_000


def test_stop_waits_for_a_second_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = remembering(tmp_path, monkeypatch, "stop")
    assert monitor.evidence.samples == 3_000, "ill from the second snapshot on, stopped at the third"
    assert "stopped: memorisation" in events(monitor)
    assert (tmp_path / "generator" / "model.safetensors").exists()


def test_warn_only_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = remembering(tmp_path, monkeypatch, "warn")
    assert events(monitor).count("memorisation") == 1
    assert monitor.evidence.samples == 8_000


def remembering(folder: Path, monkeypatch: pytest.MonkeyPatch, on_illness: str) -> Monitor:
    data = dataset(ring(500), ring(500, seed=1))
    monkeypatch.setattr(Remembering, "memory", torch.from_numpy(ring(500)))
    game = Remembering(Config(), data.spec)
    return play(game, data, folder, samples=8_000, snapshots=8, on_illness=on_illness)


def test_watching_changes_nothing(tmp_path: Path) -> None:
    """The same weights with and without a monitor: no global random number drawn, no running statistics moved."""
    from unittest.mock import patch

    how: dict[str, Any] = {"samples": 3_000, "snapshots": 6}
    train("gan", ring(), tmp_path / "watched", **how)
    with patch.object(Monitor, "snapshot"):
        train("gan", ring(), tmp_path / "alone", **how)
    watched, alone = (
        torch.load(next((tmp_path / name / "checkpoints").glob("*3000")) / "optimizers.pt", weights_only=True)
        for name in ("watched", "alone")
    )
    for player in watched:
        for index, state in watched[player]["state"].items():
            assert torch.equal(state["exp_avg"], alone[player]["state"][index]["exp_avg"])
