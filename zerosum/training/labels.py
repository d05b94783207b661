"""Learning how a label depends on the rest of a row, before the game begins.

A generator learns how all columns hang together, each a little. What a model that learns from its rows is after is how
one of them, the label, follows from the others; a small network that is asked for nothing else learns that in seconds,
and p(rest) p(label | rest) is what rows have been drawn from, too.
"""

from __future__ import annotations

import math

import torch

from zerosum.core.errors import NotFinite
from zerosum.data.spec import Spec
from zerosum.data.tables.store import TableStore
from zerosum.networks.tabular_label import LabelRule
from zerosum.training.fairness import Parity
from zerosum.training.optimizers import Adam
from zerosum.training.private import PrivatePlayer

ADAM = Adam(2e-3, (0.9, 0.999))
"""Its rate falls to 0 in a straight line."""
ROWS = 500
"""Rows of a step."""
LONG = 200_000.0
"""Half-life of a private rule's moving average, in rows: what noise moves back and forth averages out."""


def learn(rule: LabelRule, store: TableStore, parity: Parity, steps: int) -> None:
    """Fit a rule to rows by maximum likelihood, and to parity between groups where that is asked for.

    Raises:
        NotFinite: it diverged.
    """
    first = rule.choice.start if rule.choice else 0
    rule.train().requires_grad_(True)
    optimizer = ADAM.make(rule.parameters())
    for step in range(steps):
        rows = store.fetch(torch.randint(len(store), (ROWS,)))["row"].to(rule.hidden.device)
        found = rule(rows)
        loss = rule.error(rows, *found).mean()
        for term in parity.of_rule(found[0], first, rows).values():
            loss = loss + term
        optimizer.param_groups[0]["lr"] = ADAM.lr * (1.0 - step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rule.eval().requires_grad_(False)
    if not all(p.isfinite().all() for p in rule.parameters()):
        raise NotFinite("label", "rule", 0)


def private_rule(spec: Spec, column: int, optimizer: Adam) -> tuple[LabelRule, PrivatePlayer]:
    """A rule for private steps, and its player.

    It is linear: the fewer weights, the less noise. A row's gradient is its numbers, of which one in each choice is 1,
    times its error; with a bound of this size hardly any is clipped, so that probabilities are right.
    """
    rule = LabelRule(spec, column, layers=0, dropout=0.0)
    bound = math.sqrt(1.0 + sum(block.kind == "softmax" for block in spec.blocks))
    return rule, PrivatePlayer(rule, bound=bound, optimizer=optimizer, ema_half_life=LONG)
