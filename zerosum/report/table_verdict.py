"""How good and how private a synthetic table is, in words, from its scores alone."""

from __future__ import annotations

from dataclasses import dataclass

from zerosum.metrics.tables.scores import BASELINES, TableScores

KEPT_WELL, KEPT_PARTLY = 0.9, 0.5
"""Shares of what real rows have over independent columns above which it is kept well, and partly."""
UNSEEN, SEEN = 0.6, 0.9
"""Detection AUC below which rows are hard to tell from real ones, and above which they are easily told."""
GAINS = {"pairs": "how columns hang together", "auc": "what models learn", "r2": "what models learn"}
"""Scores in which something is kept."""
DEVIATIONS = 3.0
"""Standard deviations from chance from which a sign of leaking is one."""


@dataclass(frozen=True)
class Verdict:
    """A judgement."""

    tone: str
    """The colour: "good", "watch", "bad" or "unknown"."""
    words: str
    reasons: tuple[str, ...]


def quality(scores: TableScores) -> Verdict:
    """How good the rows are: how much of what real rows have over independent columns they keep, in the ways in which
    columns hang together and in what models learn; and whether a classifier tells them from real rows.
    """
    values, reasons = scores.values, []
    shares = [share for key in GAINS if (share := kept(scores, key)) is not None]
    auc = values.get("detection_auc")
    if "shapes" in values:
        pairs = f", pairs of columns {_beside(scores, 'pairs')}" if "pairs" in values else ""
        reasons.append(f"Single columns agree to {_beside(scores, 'shapes')}{pairs}.")
    for key, name in (("auc", "an AUC"), ("r2", "an R²")):
        if key in values:
            reasons.append(
                f"Models trained on these rows reach {name} of {_beside(scores, key)} on held-out real rows."
            )
    if auc is not None:
        told = "hardly" if auc < UNSEEN else "easily" if auc > SEEN else "often"
        reasons.append(f"A classifier {told} tells these rows from real ones: AUC {auc:.3f}, where 0.5 is chance.")
    for key, what in GAINS.items():
        if (share := kept(scores, key)) is not None:
            reasons.append(
                f"{100 * max(share, 0.0):.0f} % of what real rows have over independent columns is kept in {what}."
            )
    if not shares or auc is None:
        return Verdict("unknown", "quality: not measured in full", tuple(reasons))
    share = sum(shares) / len(shares)
    if share >= KEPT_WELL and auc < UNSEEN:
        return Verdict("good", "as good as real rows, nearly", tuple(reasons))
    if share >= KEPT_WELL:
        return Verdict("good" if auc < SEEN else "watch", "useful, but not like real rows in detail", tuple(reasons))
    if share >= KEPT_PARTLY:
        return Verdict("watch", "keeps a part of what the real rows show", tuple(reasons))
    return Verdict("bad", "loses most of what the real rows show", tuple(reasons))


def kept(scores: TableScores, key: str) -> float | None:
    """What is kept of a score, as a share of what real rows have over independent columns; None: it cannot be said."""
    known = [own.get(key) for own in (scores.values, *(scores.baselines.get(n, {}) for n in ("real", "independent")))]
    if any(value is None for value in known):
        return None
    value, real, nothing = (float(value) for value in known if value is not None)
    return (value - nothing) / (real - nothing) if real - nothing > 0.01 else None


def _beside(scores: TableScores, key: str) -> str:
    """A value with those of the baselines in brackets."""
    others = [f"{BASELINES[name].lower()} {own[key]:.3f}" for name, own in scores.baselines.items() if key in own]
    return f"{scores.values[key]:.3f}" + (f" ({', '.join(others)})" if others else "")


def privacy(scores: TableScores) -> Verdict:
    """Whether rows give training rows away. Signs of it count from 3 standard deviations above chance, or above what
    independent columns get, which know nothing of any row.
    """
    values = scores.values
    if "attack_auc" not in values:
        return Verdict("unknown", "privacy: not measured", ())
    reasons, signs = [], []
    n = scores.protocol["privacy"]["different_rows_of_either_real_table"]
    rows = scores.protocol["privacy"]["copies_among"]
    limits = {"nearer_train": DEVIATIONS * 0.5 / n**0.5, "attack_auc": DEVIATIONS / (6 * n) ** 0.5}
    for key in limits:
        chance = max(0.5, scores.baselines.get("independent", {}).get(key, 0.5))
        signs.append((values[key] - chance) / limits[key])
    copies, expected = values["copies"] * rows, values["copies_expected"] * rows
    signs.append((copies - expected) / (DEVIATIONS * max(4 * expected, 1.0) ** 0.5))
    reasons.append(
        f"{copies:,.0f} of {rows:,} rows are exact copies of training rows; by chance, {expected:,.0f} would be."
    )
    reasons.append(
        f"{100 * values['nearer_train']:.1f} % are nearer to a training row than to a held-out one; chance is 50 %."
    )
    reasons.append(
        f"An attack that asks whether a row was trained on has an AUC of {values['attack_auc']:.3f}; 0.5 is chance"
        + (f", and proves an epsilon of at least {values['attack_epsilon']:.2f}." if values["attack_epsilon"] else ".")
    )
    reasons.append("Attacks find leaks, but never prove that there are none; only differential privacy bounds them.")
    if max(signs) > 3 or values["attack_epsilon"] > 0:
        return Verdict("bad", "gives training rows away", tuple(reasons))
    if max(signs) > 1:
        return Verdict("watch", "may give training rows away", tuple(reasons))
    return Verdict("good", "no sign that training rows leak", tuple(reasons))
