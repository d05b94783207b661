"""Fair rows: labels as favourable to one group as to another, for every game of tables."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.data.tables.columns import Categories, Name
from zerosum.data.tables.constraints import Condition, spelled
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.given import fulfilling
from zerosum.data.tables.grammar import OPERATORS, no_column, parse_condition
from zerosum.networks.tabular_mlp import Predictor
from zerosum.objectives.parity import parity
from zerosum.training.player import Losses


class Parity(nn.Module):
    """Parity of rows' labels between the groups of a protected column.

    With a teacher, two rules for the label are learned from real rows, one as it is and one that is as favourable to
    one group as to another. Games are then shown rows whose labels were changed where the second is less (or more)
    favourable than the first, by as much as it is: so a model that learns from generated rows learns a fair rule, the
    rest of the row stays what it is, and labels stay as certain as they were.

    Without, G's labels themselves are pulled until the groups' shares are alike, whatever row they are in: models then
    find ways round (they see who is a husband), and labels become noise.

    Args:
        fair: the protected column; None: nothing is asked for.
        favourable: a value of the target, or a condition on another column of categories ("education=Masters").
        weight: of the squared difference between the groups.
        width: numbers of a row, where there is a teacher; else 0.

    Raises:
        BadOption: only one of the two is given, or the weight is negative.
    """

    poor: Tensor
    label: Tensor
    groups: Tensor
    good: Tensor

    def __init__(self, fair: str | None, favourable: str | None, weight: float, width: int = 0):
        super().__init__()
        if (fair is None) != (favourable is None):
            given, lacking = ("--favourable", "--fair") if fair is None else ("--fair", "--favourable")
            raise BadOption(f"{given} needs {lacking}: a protected column and what is favourable belong together.")
        if weight < 0:
            raise BadOption(f"--fairness is {weight}; it is a weight of 0 or more.")
        self.fair, self.favourable, self.weight = fair, favourable, weight
        # Found out anew by `meet` before each training, so not part of a checkpoint.
        for name in ("groups", "good", "poor", "label"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64), persistent=False)
        self.C = None
        if fair is not None and width:
            self.C = Predictor(torch.zeros(width, dtype=torch.bool), 2, units=64, layers=1, dropout=0.0)

    def meet(self, table: TableEncoding) -> None:
        """Find the groups, and what is favourable, among the categories of a table.

        Raises:
            BadOption: there is no such column or category, or the label is the protected column itself.
        """
        if self.fair is None or self.favourable is None:
            return
        groups, good = self._groups(self.fair, table), favourable(self.favourable, table)
        if groups[0] == good[0]:
            raise BadOption(f"--fair {self.fair} and --favourable {self.favourable} name the same column.")
        choice, allowed = good
        known = torch.arange(len(allowed)) < len(allowed) - table.layout.choices[choice].missing
        found = {"groups": groups, "good": good, "poor": (choice, known & ~allowed), "label": (choice, known | True)}
        for name, (choice, which) in found.items():
            places = table.layout.starts[1][choice] + which.nonzero().squeeze(1)
            setattr(self, name, places.to(self.get_buffer(name).device))
        if self.C is not None:
            self.C.hidden.zero_()[self.label] = True

    def _groups(self, fair: str, table: TableEncoding) -> tuple[int, Tensor]:
        """Which choice the groups are, and which of its categories (bool): all but "missing"."""
        name = named(fair, table)
        if name is None:
            raise BadOption(f"--fair {fair}: {no_column(fair, list(table.by_name))}")
        column = table.by_name[name]
        if not isinstance(column.content, Categories) or column.content.size < 2:
            raise BadOption(f"--fair {fair}: groups are categories, two or more, but this column is {column.kind}.")
        return table.choice(name), torch.arange(column.choices) < column.content.size

    @property
    def known(self) -> bool:
        """Whether groups and labels are asked for, and found."""
        return len(self.groups) > 0

    def lesson(self, rows: Tensor, weights: Tensor | None = None) -> Losses:
        """The teacher's loss on real rows (n, d), each counted as much as its weight (n,) says; without a label not."""
        assert self.C is not None
        label = rows.index_select(1, self.good).sum(1)
        there = label + rows.index_select(1, self.poor).sum(1)
        weights = there if weights is None else weights * there
        plain, fair = self.C(rows).unbind(1)
        gap = parity(fair.sigmoid(), rows.index_select(1, self.groups), weights)
        entropies = [F.binary_cross_entropy_with_logits(guess, label, weights) for guess in (plain, fair)]
        return {"plain": entropies[0], "fair": entropies[1], "parity": self.weight * gap}

    @torch.no_grad()
    def relabelled(self, rows: Tensor) -> Tensor:
        """Real rows (n, d) with fair labels: as few are changed as make them as probable as the fair rule says, if
        they were as probable as the plain one does. Rows whose label is missing stay as they are.
        """
        assert self.C is not None
        plain, fair = self.C(rows).sigmoid().clamp(1e-6, 1.0 - 1e-6).unbind(1)
        good, poor = (rows.index_select(1, places).sum(1) for places in (self.good, self.poor))
        change = good * (1.0 - fair / plain) + poor * (fair - plain) / (1.0 - plain)
        changed = torch.rand_like(change) < change
        rows = rows.clone()
        for own, places in ((poor, self.good), (good, self.poor)):
            # Which of several favourable categories it is then, is drawn as the rows have them.
            shares = rows.index_select(1, places).sum(0) + 1e-6
            drawn = places[torch.multinomial(shares, len(rows), replacement=True)]
            which = changed & (own > 0.5)
            rows[:, self.label] = rows[:, self.label].masked_fill(which[:, None], 0.0)
            rows.scatter_add_(1, drawn[:, None], which[:, None].to(rows.dtype))
        return rows

    def of_labels(self, log: Tensor) -> Losses:
        """The parity of generated labels, of the logarithms of the probabilities of choices (n, d). The labels alone
        are pulled: were the groups, too, G could turn women into men of the same income.
        """
        if not self.known:
            return {}
        good, groups = (log.index_select(1, places).exp() for places in (self.good, self.groups))
        return {"parity": self.weight * parity(good.sum(1), groups.detach())}


def named(text: str, table: TableEncoding) -> Name | None:
    """The column of this name as it is, which may be a number; None where there is none."""
    return next((name for name in table.by_name if str(name) == text.strip()), None)


def favourable(text: str, table: TableEncoding) -> tuple[int, Tensor]:
    """Which choice the favourable label is, and which of its categories: bool (categories,).

    Args:
        text: a value of the target, or a condition on a column of categories.
        table: the encoding.

    Raises:
        BadOption: there is no target, or no such column or category.
    """
    target = None if table.target is None else table.by_name[table.target]
    values = target.content.values if target and isinstance(target.content, Categories) else ()
    if target and text.strip() in map(spelled, values):
        return table.choice(target.name), fulfilling(Condition(target.name, "=", text.strip()), table)
    left, *right = OPERATORS.split(text, maxsplit=1)
    name = named(left, table)
    if name is None or not right:
        if target is None:
            raise BadOption(f"--favourable {text}: name its column, as in sex=Female, or give --data.target.")
        what = f"it has {', '.join(map(spelled, values[:20]))}" if values else f"it is {target.kind}"
        raise BadOption(f"--favourable {text}: the target {target.name!r} has no such category; {what}.")
    column = table.by_name[name]
    if not isinstance(column.content, Categories) or not column.choices:
        raise BadOption(f"--favourable {text}: labels are categories, but column {name!r} is {column.kind}.")
    # What is equal to ">50K" need not be quoted.
    equal = Condition(name, "=", right[1].strip().strip("'\""))
    allowed = fulfilling(equal if right[0] == "=" else parse_condition(text, list(table.by_name)), table)
    if allowed.all():
        raise BadOption(f"--favourable {text}: every value of column {name!r} is, so that nothing differs.")
    return table.choice(name), allowed
