"""Memorisation: the generator gives back training samples.

A generator of enough capacity, trained long on few samples, may reproduce them: a failure to generalise, and a leak
where the data are private (Webster et al. 2019, "Detecting Overfitting of Deep Generative Networks via Latent
Recovery", arXiv:1901.03396; van den Burg and Williams 2021, arXiv:2106.03216). A sample counts as a copy when its
nearest training sample is less than a third as far as the second nearest (Yoon et al. 2023, "Diffusion Probabilistic
Models Generalize when They Fail to Memorize"): a ratio that neither the scale of the data nor the blur of samples
changes. Held-out samples are measured in the same way, for comparison.
"""

from __future__ import annotations

import math

from zerosum.health.evidence import Evidence
from zerosum.health.finding import Finding, Severity

NAME = "memorisation"
LASTING = 2
"""Snapshots in a row that have to show it."""
COPIES_ILL, COPIES_WARNING = 0.5, 0.15
"""Share of copies beyond the share among held-out samples."""
ERRORS = 3.0
"""It also has to be so many standard errors above it: few held-out samples say little about their share."""
ADVICE = (
    "Do not publish these samples, nor the generator. Train on more data, mirror it (--data.flip) where that is "
    "allowed, stop earlier (--run.samples), or take a smaller generator (--networks.width). `zerosum evaluate` "
    "counts near copies again, with better features."
)


def check(evidence: Evidence) -> Finding | None:
    """More copies among generated samples than among held-out ones."""
    copies, honest = evidence.recent("copied", LASTING), evidence.last.get("copied_real")
    if not copies or honest is None:
        return None
    held_out = max(evidence.last.sizes.get("held_out", 512), 1)
    error = math.sqrt(max(honest * (1 - honest), 0.05) / held_out)
    if min(copies) - honest < max(COPIES_WARNING, ERRORS * error):
        return None
    severity: Severity = "ill" if min(copies) - honest >= COPIES_ILL else "warning"
    text = (
        f"{copies[-1]:.0%} of the generated samples are copies of a training sample; "
        f"of held-out samples {honest:.0%} would count as such."
    )
    return Finding(NAME, severity, text, ADVICE, evidence.last.samples)
