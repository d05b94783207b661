"""Non-convergence: the players chase each other and the samples get no better, or worse.

Gradient descent on both sides of a game need not approach its equilibrium; without regularisation it circles around it
(Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", arXiv:1801.04406: the Dirac-GAN). One
sees the discriminator prefer real samples at one snapshot and generated ones at another, and the distance to the data
swing or rise far above its best.
"""

from __future__ import annotations

from itertools import pairwise

from zerosum.health.evidence import Evidence
from zerosum.health.finding import Finding, Severity

NAME = "non-convergence"
LASTING = 3
"""Snapshots in a row that have to be far worse than the best."""
WORSE_ILL, WORSE_WARNING = 4.0, 2.0
"""Times the best distance so far. On digits the Fréchet distance of healthy trainings hardly rose; on points wgan_gp's
energy distance once rose to 2.4 times its best and came back, so that a single snapshot says little."""
TRIFLE = 0.1
"""Part of the first distance below which the present one counts as small, whatever its ratio to the best."""
CHANCE = 2.0
"""Over the number of samples: energy distances below that may be chance. Of 64 enlarged photos, which are near the real
ones from the first snapshot on, it wandered between -0.001 and 0.02 while every score got better."""
WINDOW = 8
"""Snapshots in which swings are counted."""
FOOLED, RIGHT = 0.3, 0.7
"""AUC of training against generated logits. A swing is a move from beyond one to beyond the other. In healthy
trainings on points it went down to 0.41: a discriminator has just been trained to tell these samples apart."""
SWINGS_ILL, SWINGS_WARNING = 3, 2
"""Swings within the window."""
ADVICE = (
    "Damp the game: a gradient penalty (train rpgan or wgan_gp), half the learning rate (--adam.lr), Adam without "
    "momentum (--adam.betas 0 0.99), a moving average of the generator (--ema-half-life 10000). The best "
    "generator so far is kept in generator/ of the run folder."
)


def check(evidence: Evidence) -> Finding | None:
    """Swings of the discriminator's judgement, or a distance that stays far above its best."""
    found = swinging(evidence) or worsening(evidence)
    return found and Finding(NAME, found[0], found[1], ADVICE, evidence.last.samples)


def swinging(evidence: Evidence) -> tuple[Severity, str] | None:
    """The discriminator prefers real samples, then generated ones, and so on."""
    values = evidence.history("auc_train")[-WINDOW:]
    extremes = [value > RIGHT for value in values if value > RIGHT or value < FOOLED]
    swings = sum(one != other for one, other in pairwise(extremes))
    if swings < SWINGS_WARNING:
        return None
    text = (
        f"In the last {len(values)} snapshots the discriminator changed sides {swings} times: the share of pairs in "
        f"which it prefers the real sample swung between {min(values):.0%} and {max(values):.0%}."
    )
    return ("ill" if swings >= SWINGS_ILL else "warning"), text


def worsening(evidence: Evidence) -> tuple[Severity, str] | None:
    """The distance to the data stays far above the best so far."""
    key, name = ("fd", "Fréchet distance") if evidence.history("fd") else ("energy", "energy distance")
    values = evidence.history(key)
    if len(values) <= LASTING:
        return None
    best, mildest = min(values[:-LASTING]), min(values[-LASTING:])
    chance = CHANCE / max(evidence.last.sizes.get("generated", 512), 1) if key == "energy" else 0.0
    if mildest < WORSE_WARNING * best or mildest < max(TRIFLE * values[0], chance):
        return None
    text = (
        f"The {name} was {best:.3g} at its best and has been {mildest:.3g} or more at the last {LASTING} snapshots "
        f"({values[-1]:.3g} now)."
    )
    return ("ill" if mildest >= WORSE_ILL * best else "warning"), text
