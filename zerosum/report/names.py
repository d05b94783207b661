"""What the scores are called in words, and which way is better."""

from __future__ import annotations

import re

SCORES = {
    "fid": ("lower", "Fréchet distance of Inception-v3 features"),
    "fd": ("lower", "Fréchet distance between the features of real and generated samples"),
    "kid": ("lower", "kernel distance (unbiased) of Inception-v3 features"),
    "kd": ("lower", "kernel distance (unbiased) between the features of real and generated samples"),
    "mmd": ("lower", "maximum mean discrepancy"),
    "is": ("higher", "Inception score: confident and varied classes"),
    "precision": ("higher", "share of generated samples that look like real ones"),
    "recall": ("higher", "share of real samples that the generator could have made"),
    "density": ("higher", "how densely real samples surround the generated ones"),
    "coverage": ("higher", "share of real samples with a generated one close by"),
    "modes": ("higher", "modes of the data that are hit at least once"),
    "missing": ("lower", "modes or classes that are never generated"),
    "quality": ("higher", "share of samples close to a mode"),
    "kl": ("lower", "divergence between the generated and the true shares of modes"),
    "diversity": ("higher", "how different generated samples are from one another"),
    "duplicates": ("lower", "share of generated samples that are nearly the same as another"),
    "memorized": ("lower", "share of generated samples that are nearly copies of training samples"),
    "accuracy": ("higher", "share of samples that a classifier takes for the class that was asked for"),
}


def describe(score: str) -> tuple[str | None, str]:
    """("lower" | "higher" | None, words) for a score's name such as "fd", "fd_train" or "reverse_kl"."""
    words = re.split(r"[^a-z]+", score.lower())
    for word in words:
        if word in SCORES:
            return SCORES[word]
    return None, ""
