"""Each check on hand-made evidence, on both sides of every threshold; and what is read from metrics.jsonl."""

from __future__ import annotations

import importlib
import math
from typing import Any

import pytest

from tests.health.trainings import evidence, ticks
from zerosum.health.balanced import balanced
from zerosum.health.evidence import Evidence
from zerosum.health.finding import Finding
from zerosum.health.illnesses import (
    discriminator_overfitting,
    divergence,
    memorisation,
    mode_collapse,
    non_convergence,
    vanishing_gradient,
)
from zerosum.health.verdict import diagnose, illnesses


def severity(found: Finding | None) -> str | None:
    return found and found.severity


# --- mode collapse


@pytest.mark.parametrize(
    ("spread", "expected"), [(0.95, None), (0.61, None), (0.59, "warning"), (0.26, "warning"), (0.24, "ill")]
)
def test_samples_that_are_alike(spread: float, expected: str | None) -> None:
    assert severity(mode_collapse.check(evidence(spread=[1.0, 1.0, spread, spread, spread]))) == expected


def test_a_collapse_has_to_last() -> None:
    assert mode_collapse.check(evidence(spread=[1.0, 1.0, 1.0, 0.1, 0.1])) is None
    assert severity(mode_collapse.check(evidence(spread=[1.0, 1.0, 0.1, 0.3, 0.1]))) == "warning"


def test_a_beginning_is_no_collapse() -> None:
    assert mode_collapse.check(evidence(spread=[0.1] * 6)) is None
    assert severity(mode_collapse.check(evidence(spread=[0.1] * 7))) == "ill"


@pytest.mark.parametrize(("end", "expected"), [(0.79, None), (0.81, "ill")])
def test_a_generator_that_comes_nearer_is_on_its_way(end: float, expected: str | None) -> None:
    energy = [1.0] * 6 + [end]
    assert severity(mode_collapse.check(evidence(spread=[0.1] * 7, energy=energy))) == expected


@pytest.mark.parametrize(("end", "expected"), [(0.106, None), (0.104, "ill")])
def test_a_generator_whose_samples_spread_is_on_its_way(end: float, expected: str | None) -> None:
    assert severity(mode_collapse.check(evidence(spread=[0.1] * 6 + [end]))) == expected


def test_what_looks_real_has_begun() -> None:
    assert severity(mode_collapse.check(evidence(spread=[0.1] * 3, precision=0.9))) == "ill", (
        "what looks real has begun"
    )


@pytest.mark.parametrize("key", ["class_kl", "mode_kl"])
@pytest.mark.parametrize(("share", "expected"), [(1.0, None), (0.81, None), (0.79, "warning"), (0.49, "ill")])
def test_classes_and_modes(key: str, share: float, expected: str | None) -> None:
    assert severity(mode_collapse.check(evidence(**{key: -math.log(share)}, precision=0.8))) == expected
    assert mode_collapse.check(evidence(**{key: -math.log(share)}, precision=0.4)) is None, "nothing looks real yet"


def test_missing_classes_are_named() -> None:
    known = evidence(class_kl=0.15, missing_classes=2, missing=[["four", "nine"]] * 5, precision=0.8)
    found = mode_collapse.check(known)
    assert found is not None
    assert "hardly ever made: four, nine" in found.evidence
    assert found.severity == "warning"


@pytest.mark.parametrize(("coverage", "expected"), [(0.42, None), (0.38, "warning"), (0.21, "warning"), (0.19, "ill")])
def test_coverage_beside_precision(coverage: float, expected: str | None) -> None:
    assert severity(mode_collapse.check(evidence(coverage=coverage, precision=0.8))) == expected
    assert mode_collapse.check(evidence(coverage=coverage, precision=0.4)) is None


def test_coverage_is_relative_to_that_of_real_samples() -> None:
    assert mode_collapse.check(evidence(coverage=0.38, precision=0.8, floor={"coverage": 0.9})) is None


def test_variety_lost_within_complete_classes_is_a_warning() -> None:
    assert severity(mode_collapse.check(evidence(coverage=0.1, precision=0.8, class_kl=0.01))) == "warning"


# --- vanishing gradient


@pytest.mark.parametrize(
    ("accuracy", "now", "expected"),
    [(1.0, 0.9, None), (1.0, 0.21, None), (1.0, 0.19, "warning"), (1.0, 0.02, "ill"), (0.98, 0.001, None)],
)
def test_vanishing_gradient(accuracy: float, now: float, expected: str | None) -> None:
    known = evidence(accuracy=accuracy, gap=30.0)
    for line in ticks("generator/gradient", [1.0] * 10 + [now] * 20):
        known.samples = 0  # hand-made: not a roll-back
        known.add(line)
    assert severity(vanishing_gradient.check(known)) == expected


def test_few_ticks_say_nothing_of_a_gradient() -> None:
    lines = [
        *ticks("generator/gradient", [1.0, 0.1, 0.001, 0.001, 0.001]),
        {"kind": "health", "samples": 600, "accuracy": 1.0},
    ]
    assert (
        vanishing_gradient.check(Evidence.of_lines([*lines, {"kind": "health", "samples": 700, "accuracy": 1.0}]))
        is None
    )


# --- discriminator overfitting

LOGITS = {"logit_train": 2.0, "logit_held_out": 0.0, "logit_generated": -1.0}


@pytest.mark.parametrize(
    ("ratio", "seen", "expected"),
    [
        (0.49, 0.9, None),
        (0.51, 0.9, "warning"),
        (0.79, 0.9, "warning"),
        (0.81, 0.9, "ill"),
        (2.0, 0.59, None),
        (2.0, 0.61, "ill"),
    ],
)
def test_discriminator_overfitting(ratio: float, seen: float, expected: str | None) -> None:
    known = evidence(overfitting=ratio, auc_seen=seen, **LOGITS)
    assert severity(discriminator_overfitting.check(known)) == expected


def test_a_small_held_out_set_proves_little() -> None:
    few = evidence(overfitting=1.0, auc_seen=0.65, sizes={"train": 512, "held_out": 20}, **LOGITS)
    assert discriminator_overfitting.check(few) is None
    many = evidence(overfitting=1.0, auc_seen=0.65, sizes={"train": 512, "held_out": 512}, **LOGITS)
    assert severity(discriminator_overfitting.check(many)) == "ill"


def test_discriminator_overfitting_tells_whether_there_is_augmentation() -> None:
    plain = discriminator_overfitting.check(evidence(overfitting=1.0, auc_seen=0.9, **LOGITS))
    assert plain is not None and "--augment ada" in plain.advice and "p =" not in plain.evidence
    some = discriminator_overfitting.check(evidence(overfitting=1.0, auc_seen=0.9, augmentation=0.31, **LOGITS))
    assert some is not None and "with augmentation at p = 0.31." in some.evidence
    assert "--augment ada" not in some.advice and "--augment.target" in some.advice


def test_the_strength_of_augmentation_is_no_loss() -> None:
    line = {"kind": "log", "samples": 1, "augment/p": 0.5, "augment/r_t": 0.6, "generator/adversarial": 1.0}
    known = Evidence.of_lines([line])
    assert known.logged() == ["generator/adversarial"]
    assert known.curve("augment/p") == [0.5]


# --- non-convergence


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.9, 0.6, 0.55, 0.5, 0.5], None),
        ([0.9, 0.2, 0.5, 0.5, 0.5], None),
        ([0.9, 0.2, 0.9, 0.5, 0.5], "warning"),
        ([0.9, 0.2, 0.5, 0.9, 0.2], "ill"),
        ([0.69, 0.2, 0.69, 0.2, 0.69], None),
        ([0.71, 0.31, 0.71, 0.31, 0.71], None),
    ],
)
def test_swings(values: list[float], expected: str | None) -> None:
    assert severity(non_convergence.check(evidence(auc_train=values))) == expected


@pytest.mark.parametrize("key", ["fd", "energy"])
@pytest.mark.parametrize(("end", "expected"), [(19.0, None), (21.0, "warning"), (39.0, "warning"), (41.0, "ill")])
def test_a_distance_that_rises(key: str, end: float, expected: str | None) -> None:
    assert severity(non_convergence.check(evidence(**{key: [100.0, 10.0, end, end, end]}))) == expected


def test_a_distance_near_zero_may_waver() -> None:
    assert non_convergence.check(evidence(fd=[100.0, 0.1, 5.0, 5.0, 5.0])) is None
    assert non_convergence.check(evidence(fd=[100.0, 10.0, 50.0, 50.0, 15.0])) is None, "it has come back"
    chance = evidence(energy=[0.008, -0.001, 0.012, 0.013, 0.01])
    assert severity(non_convergence.check(chance)) == "ill", "of 512 samples"
    chance.last.sizes["generated"] = 64
    assert non_convergence.check(chance) is None


# --- divergence


@pytest.mark.parametrize("name", ["critic/penalty", "generator/gradient"])
@pytest.mark.parametrize(("now", "expected"), [(-1900.0, None), (-2100.0, "ill")])
def test_explosions(name: str, now: float, expected: str | None) -> None:
    found = divergence.check(Evidence.of_lines(ticks(name, [2.0] * 10 + [now] * 3)))
    assert severity(found) == expected
    assert found is None or name in found.evidence


def test_a_spike_is_no_explosion() -> None:
    assert divergence.check(Evidence.of_lines(ticks("critic/penalty", [2.0] * 10 + [1e9, 2.0, 2.0]))) is None


def test_an_explosion_from_the_first_tick_on() -> None:
    assert divergence.check(Evidence.of_lines(ticks("critic/penalty", [0.9e6] * 8))) is None
    assert severity(divergence.check(Evidence.of_lines(ticks("critic/penalty", [1.1e6] * 8)))) == "ill"


def test_speed_is_no_loss() -> None:
    assert divergence.check(Evidence.of_lines(ticks("samples/s", [1.0] * 10 + [1e9] * 5))) is None


def event(text: str, samples: int = 5000) -> dict[str, Any]:
    return {"kind": "event", "samples": samples, "event": text}


NAN = "critic: the loss term 'penalty' is not finite in round 1,234. Lower the learning rate."


def test_nan_is_traced_to_its_term() -> None:
    found = divergence.check(Evidence.of_lines([event(f"stopped: {NAN}")]))
    assert found is not None
    assert found.severity == "ill"
    assert found.evidence == "The critic's loss term 'penalty' became infinite or NaN in round 1,234."
    gradient = divergence.check(
        Evidence.of_lines([event("stopped: generator: the gradient is not finite in round 7.")])
    )
    assert gradient is not None
    assert "The generator's gradient became" in gradient.evidence


def test_a_rollback_is_forgiven_after_two_snapshots() -> None:
    lines = [event(f"rolled back to 5,000 samples ({NAN}) with half the learning rate, try 1 of 3")]
    assert severity(divergence.check(Evidence.of_lines(lines))) == "warning"
    lines += [{"kind": "health", "samples": 6000}, {"kind": "health", "samples": 7000}]
    assert divergence.check(Evidence.of_lines(lines)) is None
    again = event(f"rolled back to 7,000 samples ({NAN}) with half the learning rate, try 2 of 3", 7000)
    found = divergence.check(Evidence.of_lines([*lines, again]))
    assert found is not None
    assert "second" in found.evidence


def test_other_events_are_no_divergence() -> None:
    assert (
        divergence.check(Evidence.of_lines([event("stopped: mode collapse"), event("interrupted by SIGINT; saved")]))
        is None
    )


# --- memorisation


@pytest.mark.parametrize(("copies", "expected"), [(0.11, None), (0.24, None), (0.26, "warning"), (0.61, "ill")])
def test_memorisation(copies: float, expected: str | None) -> None:
    assert severity(memorisation.check(evidence(copied=copies, copied_real=0.1))) == expected


def test_few_held_out_samples_prove_no_memorisation() -> None:
    assert memorisation.check(evidence(copied=0.3, copied_real=0.1, sizes={"held_out": 8})) is None
    assert severity(memorisation.check(evidence(copied=0.9, copied_real=0.0, sizes={"held_out": 8}))) == "ill"


# --- balanced, and the verdict


@pytest.mark.parametrize(
    ("accuracy", "auc", "coverage", "expected"),
    [(0.59, 0.55, 0.7, True), (0.61, 0.55, 0.7, False), (0.55, 0.39, 0.7, False), (0.55, 0.5, 0.59, False)],
)
def test_balance(accuracy: float, auc: float, coverage: float, expected: bool) -> None:
    known = evidence(accuracy=accuracy, auc=auc, coverage=coverage)
    assert balanced(known) is expected
    assert diagnose(known).name == ("balanced" if expected else "healthy")


def test_without_coverage_nothing_is_balanced() -> None:
    assert diagnose(evidence(accuracy=0.5, auc=0.5)).name == "healthy"


def test_too_little_evidence_is_unknown() -> None:
    assert diagnose(Evidence()).name == "unknown"
    assert diagnose(evidence(accuracy=[0.5])).name == "unknown"


def test_the_gravest_finding_names_the_verdict() -> None:
    verdict = diagnose(evidence(overfitting=0.6, auc_seen=0.9, **LOGITS, copied=1.0, copied_real=0.1))
    assert [(finding.illness, finding.severity) for finding in verdict.findings] == [
        ("memorisation", "ill"),
        ("discriminator overfitting", "warning"),
    ]
    assert verdict.name == "memorisation"
    assert verdict.ill


def test_every_illness_is_found_by_its_file() -> None:
    assert [module.__name__.rpartition(".")[2] for module in illnesses()] == [
        "discriminator_overfitting", "divergence", "memorisation", "mode_collapse", "non_convergence",
        "vanishing_gradient",
    ]  # fmt: skip
    for module in illnesses():
        assert module.NAME
        assert "arXiv" in (module.__doc__ or "") or "et al." in (module.__doc__ or "")
        assert module.check(Evidence()) is None
        assert importlib.import_module(module.__name__).ADVICE.count("--") >= 1


def test_evidence_after_going_back_forgets_what_is_played_again() -> None:
    lines = [*ticks("generator/gradient", [1.0] * 10), {"kind": "health", "samples": 900, "accuracy": 0.9}]
    lines += [{"kind": "health", "samples": 1100, "accuracy": 1.0}, event("rolled back to 950 samples", 950)]
    known = Evidence.of_lines(lines)
    assert [snapshot.samples for snapshot in known.snapshots] == [900]
    assert len(known.ticks) == 9
    assert len(known.events) == 1


def test_numbers_that_are_not_finite_are_passed_over() -> None:
    line = {"kind": "health", "samples": 10, "accuracy": math.nan, "auc": "inf", "spread": True, "gap": 1.0}
    assert Evidence.of_lines([line]).last.probe == {"gap": 1.0}
