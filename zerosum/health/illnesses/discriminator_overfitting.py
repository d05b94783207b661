"""Discriminator overfitting: the discriminator knows the training samples by heart.

With little data the discriminator learns to recognise each training sample in place of what real samples have in
common. Its logits of training and of held-out samples drift apart, held-out ones are taken for generated, and what it
tells the generator becomes meaningless: the Fréchet distance turns and rises (Karras et al. 2020, "Training Generative
Adversarial Networks with Limited Data", arXiv:2006.06676, section 2). Measured by that paper's heuristic r_v = (E
D_train - E D_held-out) / (E D_train - E D_generated) (equation 1): 0 without overfitting, 1 where held-out samples pass
for generated ones.
"""

from __future__ import annotations

import math

from zerosum.health.evidence import Evidence, Snapshot
from zerosum.health.finding import Finding, Severity

NAME = "discriminator overfitting"
LASTING = 2
"""Snapshots in a row that have to show it."""
RATIO_ILL, RATIO_WARNING = 0.8, 0.5
"""Of r_v: the paper steers augmentation to keep its related r_t at 0.6, and sees the distance rise as r_v nears 1."""
SEEN = 0.6
"""Least AUC of training against held-out logits: r_v divides by a difference that goes to zero in a balanced game,
where noise alone can make it large."""
ERRORS = 3.0
"""The AUC also has to be so many standard errors above 1/2: a held-out set of 20 samples proves little."""
OTHERWISE = (
    "get more data, mirror it (--data.flip) where that is allowed, or train a smaller discriminator with dropout "
    "(--networks.width, --networks.dropout 0.3) or with a gradient penalty (rpgan, wgan_gp). Stop early: the best "
    "generator so far is kept in generator/ of the run folder."
)
ADVICE = f"Augment what the discriminator sees (--augment ada); {OTHERWISE}"
STRONGER = f"Augment more (a lower --augment.target, a higher --augment.p or --augment.limit); {OTHERWISE}"
"""The advice to a run that augments already."""


def check(evidence: Evidence) -> Finding | None:
    """r_v beyond its bounds at each of the last snapshots."""
    ratios = evidence.recent("overfitting", LASTING)
    if (
        not ratios
        or min(ratios) < RATIO_WARNING
        or not all(seen(snapshot) for snapshot in evidence.snapshots[-LASTING:])
    ):
        return None
    severity: Severity = "ill" if min(ratios) >= RATIO_ILL else "warning"
    last = evidence.last.probe
    text = (
        f"The discriminator's mean logit is {last['logit_train']:.2g} on training, {last['logit_held_out']:.2g} on "
        f"held-out and {last['logit_generated']:.2g} on generated samples: r_v = {ratios[-1]:.2f} (0: no overfitting, "
        f"1: held-out samples pass for generated). It prefers the training sample in {last['auc_seen']:.0%} of pairs."
    )
    if (p := last.get("augmentation")) is None:
        return Finding(NAME, severity, text, ADVICE, evidence.last.samples)
    text += f" That is with augmentation at p = {p:.2f}."
    return Finding(NAME, severity, text, STRONGER, evidence.last.samples)


def seen(snapshot: Snapshot) -> bool:
    """Whether training samples are told from held-out ones, beyond chance."""
    value = snapshot.get("auc_seen")
    if value is None:
        return False
    m, n = (max(snapshot.sizes.get(name, 512), 1) for name in ("train", "held_out"))
    error = math.sqrt((m + n + 1) / (12 * m * n))  # of the Mann-Whitney statistic where both are alike
    return value >= max(SEEN, 0.5 + ERRORS * error)
