"""Mode collapse: the generator makes only a few of the things that the data holds.

The generator is rewarded for each sample that the discriminator takes for real, never for their variety, so it may map
all z to the few samples that fool the discriminator best today (Goodfellow et al. 2014, section 6: "the Helvetica
scenario"). One sees it as classes or modes that are never made, as real samples with no generated one near them (low
coverage, Naeem et al. 2020, arXiv:2002.09797) while single samples look good (high precision), and in the extreme as
samples that are all alike.
"""

from __future__ import annotations

import math

from zerosum.health.evidence import Evidence, Snapshot
from zerosum.health.finding import Finding, Severity
from zerosum.health.illnesses import vanishing_gradient

NAME = "mode collapse"
LASTING = 3
"""Snapshots in a row that have to show it: a healthy training may pass through a stage of few modes."""
BEGINNING = 4
"""Snapshots in which samples may be all alike without being called collapsed: a fresh generator's are, too. It counts
at once where they look real, or were varied before."""
WIDER, NEARER = 1.05, 0.8
"""Times the largest spread and the smallest energy distance until three snapshots ago: a generator beyond either is
still on its way to the data."""
SPREAD_ILL, SPREAD_WARNING = 0.25, 0.6
"""Distance between samples relative to real ones. Healthy trainings on digits ended between 0.85 and 1.04. Samples of
one digit alone, varied within it, come to 0.57 to 0.86: this is for samples that are alike, by_classes for the rest."""
SHARE_ILL, SHARE_WARNING = 0.5, 0.8
"""Classes or modes in effect: exp(-KL of the histogram from the data's), 1 where all are as frequent as in the data,
m/k where m of k are made equally often. 2,000 samples of ten equal classes give 0.998."""
COVERAGE_ILL, COVERAGE_WARNING = 0.25, 0.5
"""Coverage relative to precision: both grow together in a generator that learns; in a collapsed one precision alone
does."""
PRECISION = 0.5
"""Below this precision samples look like nothing yet, and which classes they fall in says nothing."""
ADVICE = (
    "Lower the learning rate (--adam.lr, by half), train the discriminator more often (--critic-steps of wgan_gp, "
    "--discriminator-steps of gan), use larger batches (--run.batch-size), or train a system that resists "
    "collapse: rpgan, pacgan or wgan_gp."
)


def check(evidence: Evidence) -> Finding | None:
    """The gravest sign that the last snapshots all show."""
    if len(evidence.snapshots) < LASTING:
        return None
    recent = evidence.snapshots[-LASTING:]
    for measure in (by_spread, by_classes, by_coverage) if begun(evidence) else (by_classes, by_coverage):
        found = [measure(snapshot) for snapshot in recent]
        if all(found):
            grave = all(one is not None and one[0] == "ill" for one in found)
            severity: Severity = "ill" if grave else "warning"
            assert found[-1] is not None
            return Finding(NAME, severity, found[-1][1], ADVICE, evidence.last.samples)
    return None


def begun(evidence: Evidence) -> bool:
    """Whether samples that are alike are a sign of collapse, not of a generator that has yet to find the data, or
    cannot.
    """
    varied = max((alike(snapshot) or 0.0 for snapshot in evidence.snapshots), default=0.0) >= SPREAD_WARNING
    if varied:
        return True
    real, late = looks_real(evidence.last, unknown=False), len(evidence.snapshots) >= BEGINNING + LASTING
    return (real or late) and not under_way(evidence) and vanishing_gradient.check(evidence) is None


def under_way(evidence: Evidence) -> bool:
    """Whether samples are more varied, or nearer to the data, than at any time until the last snapshots."""
    before, now = [snapshot.probe for snapshot in evidence.snapshots[:-LASTING]], evidence.last.probe
    if not before:
        return False
    # The spread of features is left out: that of poor samples is erratic.
    wider = now.get("spread", 0.0) > WIDER * max(probe.get("spread", 0.0) for probe in before)
    return wider or now.get("energy", 1.0) < NEARER * min(probe.get("energy", 1.0) for probe in before)


def alike(snapshot: Snapshot) -> float | None:
    """Distance between samples over that between real ones: as they are, or as features, wherever it is larger."""
    found = [values["spread"] for values in (snapshot.probe, snapshot.scores) if "spread" in values]
    return max(found, default=None)


def by_spread(snapshot: Snapshot) -> tuple[Severity, str] | None:
    """Samples that are alike."""
    value = alike(snapshot)
    if value is None or value >= SPREAD_WARNING:
        return None
    text = (
        f"Two generated samples are on average {value:.2f} times as far apart as two real ones (healthy: 0.8 to 1.1)."
    )
    return ("ill" if value < SPREAD_ILL else "warning"), text


def by_classes(snapshot: Snapshot) -> tuple[Severity, str] | None:
    """Classes or modes that are missing or rare."""
    divergence = snapshot.get("mode_kl") if snapshot.get("class_kl") is None else snapshot.get("class_kl")
    if divergence is None or not looks_real(snapshot):
        return None
    share, missing = math.exp(-divergence), snapshot.get("missing_classes") or 0
    if share >= SHARE_WARNING and not missing:
        return None
    what = "modes" if snapshot.get("class_kl") is None else "classes"
    text = f"The samples fall into {share:.0%} of the {what} in effect (KL of the histograms: {divergence:.2f} nats)"
    if missing:
        text += f"; hardly ever made: {', '.join(snapshot.missing) or f'{missing:.0f} classes'}"
    return ("ill" if share < SHARE_ILL else "warning"), text + "."


def by_coverage(snapshot: Snapshot) -> tuple[Severity, str] | None:
    """Real samples that nothing is made of, though what is made looks real."""
    coverage, precision = snapshot.get("coverage"), snapshot.get("precision")
    if coverage is None or precision is None or not looks_real(snapshot):
        return None
    relative = coverage / snapshot.floor.get("coverage", 1.0) / precision
    if relative >= COVERAGE_WARNING:
        return None
    text = f"{precision:.0%} of the samples lie among real ones, but only {coverage:.0%} of those have one near them."
    whole = snapshot.get("mode_kl") is not None or snapshot.get("class_kl") is not None
    # Where the classes are known, by_classes has found them all: variety is lost within them, which is less grave.
    return ("ill" if relative < COVERAGE_ILL and not whole else "warning"), text


def looks_real(snapshot: Snapshot, unknown: bool = True) -> bool:
    """Whether the samples are good enough to ask what they are samples of; `unknown` where nothing says so."""
    precision = snapshot.get("precision")
    return unknown if precision is None else precision >= PRECISION
