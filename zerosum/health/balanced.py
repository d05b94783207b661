"""Balance: the discriminator can no longer tell generated samples from real ones it has not seen, and the samples are
varied.

At the equilibrium of the game the generated distribution is the data's, and the best discriminator guesses: an accuracy
of 50 % (Goodfellow et al. 2014, section 4). The converse does not hold, as a discriminator that has learned nothing
guesses as well; so the samples have to cover the data, too.
"""

from __future__ import annotations

from zerosum.health.evidence import Evidence

LASTING = 2
"""Snapshots in a row at which the discriminator has to guess: it may pass 50 % for a moment on its way from one side to
the other."""
ACCURACY = 0.6
"""Within 10 points of 50 %, on held-out and generated samples by the best threshold. Chance alone gives 0.51 to 0.55
with 512 of each."""
AUC = 0.4
"""Below it the discriminator prefers generated samples: it lags behind or overfits, which is not guessing."""
COVERAGE = 0.6
"""Coverage relative to that of held-out real samples."""


def balanced(evidence: Evidence) -> bool:
    """Whether the discriminator guesses and the samples cover the data."""
    accuracy, auc = evidence.recent("accuracy", LASTING), evidence.recent("auc", LASTING)
    coverage = evidence.last.get("coverage")
    if not accuracy or not auc or coverage is None:
        return False
    return (
        max(accuracy) <= ACCURACY
        and min(auc) >= AUC
        and coverage >= COVERAGE * evidence.last.floor.get("coverage", 1.0)
    )
