"""Membership inference, and what it proves about epsilon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta
from sklearn.metrics import roc_auc_score

from zerosum.core.errors import BadData, BadOption
from zerosum.core.randomness import derive

FALSE_POSITIVES = 0.01
"""The rate of false positives at which true positives are counted (Carlini et al. 2022, arXiv:2112.03570)."""


@dataclass(frozen=True)
class Attack:
    """How well scores tell members (rows trained on) from others."""

    auc: float
    """0.5: not at all; 1: every member is found."""
    tpr: float
    """The share of members that are found where 1 % of the others are taken for members."""
    epsilon: float
    """A lower bound of epsilon at 95 % confidence, by `epsilon_lower_bound`; 0 where nothing is proven."""


def attack(members: np.ndarray, others: np.ndarray, seed: int = 0) -> Attack:
    """An attack whose scores are higher for rows (n,) that it takes for members than for others (m,).

    Raises:
        BadData: there are none of either.
    """
    if not len(members) or not len(others):
        raise BadData(f"{len(members)} members and {len(others)} others: an attack needs some of either.")
    truth = np.repeat([1, 0], [len(members), len(others)])
    auc = float(roc_auc_score(truth, np.concatenate([members, others])))
    # Above the threshold lie at most 1 % of the others, however many have the same score.
    threshold = np.sort(others)[::-1][math.floor(FALSE_POSITIVES * len(others))]
    return Attack(auc, float((members > threshold).mean()), epsilon_lower_bound(members, others, seed=seed))


def epsilon_lower_bound(
    members: np.ndarray, others: np.ndarray, delta: float = 0.0, confidence: float = 0.95, seed: int = 0
) -> float:
    """What epsilon of (epsilon, delta)-differential privacy must at least be, given an attack's scores.

    Who is (epsilon, delta)-private lets an attack find no larger a share of the members than delta plus exp(epsilon)
    times the share of the others that it takes for members; likewise for who is taken for another (Kairouz et al. 2015,
    arXiv:1311.0776, theorem 2.1). The shares are bounded as Clopper and Pearson do, each at half of the error that is
    allowed (Jagielski et al. 2020, arXiv:2006.07709, section 4). The threshold, and which of the two inequalities is
    used, are chosen on one half of the scores and judged on the other, so that nothing is won by trying many.

    The confidence is that of independent scores, as of one canary in each of many runs. Rows of a single run share its
    generator, so that for them it holds approximately.

    Args:
        members: scores (n,) of what was trained on; higher = more like a member.
        others: scores (m,) of what was not.
        delta: the delta that is granted.
        confidence: that the true epsilon is not below the bound.
        seed: of the halves.

    Returns:
        The bound, at least 0; 0 also where there are fewer than 2 scores of either.

    Raises:
        BadOption: delta or confidence are not in [0, 1) and (0, 1).
    """
    if not (0.0 <= delta < 1.0 and 0.0 < confidence < 1.0):
        raise BadOption(f"delta is {delta} and confidence {confidence}; they must be in [0, 1) and (0, 1).")
    if min(len(members), len(others)) < 2:
        return 0.0
    halves = [_halves(np.asarray(own, dtype=np.float64), seed, word) for own, word in ((members, 1), (others, 0))]
    (choose_in, judge_in), (choose_out, judge_out) = halves
    thresholds = np.unique(np.concatenate([choose_in, choose_out]))
    alpha = (1.0 - confidence) / 2
    above, below = (_bounds(choose_in, choose_out, thresholds, delta, alpha, accept) for accept in (True, False))
    accept = bool(above.max() >= below.max())
    best = thresholds[[int((above if accept else below).argmax())]]
    return max(0.0, float(_bounds(judge_in, judge_out, best, delta, alpha, accept)[0]))


def _halves(scores: np.ndarray, seed: int, word: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(derive(seed, "audit", word)).permutation(len(scores))
    return scores[order[: len(order) // 2]], scores[order[len(order) // 2 :]]


def _bounds(
    members: np.ndarray, others: np.ndarray, thresholds: np.ndarray, delta: float, alpha: float, accept: bool
) -> np.ndarray:
    """Lower bounds of epsilon (k,) at thresholds (k,): of taking rows that score at least the threshold for members
    (`accept`: from true and false positives), or those below it for others (from true and false negatives).
    """
    found, wrong = (len(own) - np.searchsorted(np.sort(own), thresholds, side="left") for own in (members, others))
    if accept:
        hits, errors = _lower(found, len(members), alpha), _upper(wrong, len(others), alpha)
    else:
        hits = _lower(len(others) - wrong, len(others), alpha)
        errors = _upper(len(members) - found, len(members), alpha)
    return np.log(np.maximum(hits - delta, 1e-300)) - np.log(errors)


def _lower(successes: np.ndarray, n: int, alpha: float) -> np.ndarray:
    """Clopper and Pearson's lower bound of a rate at error alpha: (k,)."""
    found = beta.ppf(alpha, np.maximum(successes, 1), n - successes + 1)
    return np.where(successes > 0, found, 0.0)


def _upper(successes: np.ndarray, n: int, alpha: float) -> np.ndarray:
    """Clopper and Pearson's upper bound of a rate at error alpha: (k,)."""
    found = beta.ppf(1.0 - alpha, successes + 1, np.maximum(n - successes, 1))
    return np.where(successes < n, found, 1.0)
