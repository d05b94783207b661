"""Divergence: losses, gradients or weights grow without bound, at last to infinity or NaN.

Each step makes the next one larger: the learning rate is too high for the curvature, or nothing bounds the
discriminator's slope. With a Wasserstein loss the critic must be bounded by a penalty or by clipping, or its loss has
no minimum at all (Arjovsky et al. 2017, arXiv:1701.07875); Adam with a momentum of 0.9 is often enough to start it
(Gulrajani et al. 2017, arXiv:1704.00028, section 4).
"""

from __future__ import annotations

import re
from statistics import median

from zerosum.health.evidence import Evidence
from zerosum.health.finding import Finding, Severity

NAME = "divergence"
TICKS = 3
"""Ticks of which the median has to have exploded, so that a single spike is none."""
EARLY = 10
"""Ticks at the beginning that it is compared with, by their median."""
EXPLODED = 1e3
"""Times the early median, or times 1 where that is smaller. In the trainings that were tried while this was written (on
points and digits), healthy ones stayed within a factor of a hundred."""
ABSURD = 1e6
"""No loss and no gradient norm of a training under way is larger, however it began."""
RECOVERED = 2
"""Snapshots after a roll-back, with nothing new, that make it a thing of the past."""
NOT_FINITE = re.compile(
    r"(\w+): the (?:loss term '(?P<term>[^']+)'|(?P<gradient>gradient)) is not finite in round (?P<round>[\d,]+)"
)
ADVICE = (
    "Lower the learning rates (--adam.lr, to a third), bound the discriminator by a gradient penalty (train "
    "wgan_gp or rpgan), and with bf16 try --run.precision fp32. With --on-illness rollback training goes back by "
    "itself and continues at half the rate."
)


def check(evidence: Evidence) -> Finding | None:
    """What explodes now, else what became infinite or NaN before."""
    return exploding(evidence) or not_finite(evidence)


def exploding(evidence: Evidence) -> Finding | None:
    """A loss or a gradient that has grown beyond all bounds."""
    for name in evidence.logged():
        values = [abs(value) for value in evidence.curve(name)]
        if len(values) < TICKS:
            continue
        now = median(values[-TICKS:])
        early = median(values[: max(1, min(EARLY, len(values) - TICKS))])
        if now > EXPLODED * max(early, 1.0) or now > ABSURD:
            text = f"{name} has grown to {now:.3g}; its median was {early:.3g} at first."
            return Finding(NAME, "ill", text, ADVICE, evidence.samples)
    return None


def not_finite(evidence: Evidence) -> Finding | None:
    """The last roll-back or stop that came of a divergence, as the training noted it."""
    events = [
        event for event in evidence.events if NOT_FINITE.search(event.text) or event.text.startswith("rolled back")
    ]
    if not events:
        return None
    last = events[-1]
    after = sum(snapshot.samples > last.samples for snapshot in evidence.snapshots)
    if not last.text.startswith("rolled back"):
        severity: Severity = "ill"
    elif after < RECOVERED:
        severity = "warning"
    else:
        return None
    match = NOT_FINITE.search(last.text)
    if match:
        what = "gradient" if match["gradient"] else f"loss term '{match['term']}'"
        text = f"The {match[1]}'s {what} became infinite or NaN in round {match['round']}."
    else:
        text = f"Training was {last.text}."
    if len(events) > 1:
        text += (
            f" It is the {len(events)}th such event."
            if len(events) > 3
            else f" It is the {('second', 'third')[len(events) - 2]} such event."
        )
    return Finding(NAME, severity, text, ADVICE, evidence.samples)
