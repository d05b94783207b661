"""Vanishing gradient: the discriminator is so sure that the generator learns nothing from it.

Where real and generated samples can be told apart perfectly, a perfect discriminator is flat around both, and the
gradient that the generator gets of the minimax loss log(1 - D(G(z))) goes to zero (Goodfellow et al. 2014, section 3;
Arjovsky and Bottou 2017, arXiv:1701.04862, theorem 2.4). A Wasserstein critic may tell them apart as well, but its
slope stays 1: a sure discriminator alone is no illness, it is one together with a generator whose gradient has shrunk.
"""

from __future__ import annotations

from statistics import median

from zerosum.health.evidence import Evidence
from zerosum.health.finding import Finding, Severity

NAME = "vanishing gradient"
LASTING = 2
"""Snapshots in a row at which the discriminator has to be sure."""
SURE = 0.99
"""Share of held-out and generated samples that the discriminator tells right, by its best threshold."""
GRADIENT = "generator/gradient"
TICKS = 10
"""Ticks (of about a second) that the early and the present gradient are the medians of; fewer where there are not 30
yet."""
SHRUNK_ILL, SHRUNK_WARNING = 0.03, 0.2
"""Present gradient relative to the early one. With wgan_gp on points it grew; the minimax loss with 20 steps of the
discriminator brought it to 0.002 to 0.015."""
ADVICE = (
    "Weaken the discriminator: train it less often (--discriminator-steps 1), give it dropout (--networks.dropout "
    "0.3) or less width (--networks.width); or take a loss whose gradient does not vanish: --loss non-saturating "
    "of gan, or the systems wgan_gp and rpgan."
)


def check(evidence: Evidence) -> Finding | None:
    """A sure discriminator and a small gradient, together."""
    sure, gradient = evidence.recent("accuracy", LASTING), evidence.curve(GRADIENT)
    if not sure or min(sure) < SURE or len(gradient) < 6:
        return None
    width = min(TICKS, len(gradient) // 3)
    early, now = median(gradient[:width]), median(gradient[-width:])
    if early <= 0 or now >= SHRUNK_WARNING * early:
        return None
    severity: Severity = "ill" if now < SHRUNK_ILL * early else "warning"
    gap = (
        f" (its logits lie {value:.0f} standard deviations apart)"
        if (value := evidence.last.get("gap")) is not None
        else ""
    )
    text = (
        f"The discriminator tells {sure[-1]:.1%} of held-out and generated samples right{gap}, "
        f"and the generator's gradient has shrunk to {now / early:.2g} times what it was at first "
        f"({early:.2g}, now {now:.2g})."
    )
    return Finding(NAME, severity, text, ADVICE, evidence.last.samples)
