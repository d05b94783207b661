"""Fair rows: labels as favourable to one group as to another, for every game of tables."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zerosum.core.errors import BadOption
from zerosum.data.spec import Spec
from zerosum.data.tables.columns import Categories
from zerosum.data.tables.encoding import TableEncoding
from zerosum.data.tables.favourable import favourable, named
from zerosum.data.tables.grammar import OPERATORS, no_column
from zerosum.objectives.parity import parity
from zerosum.training.player import Losses


class Parity(nn.Module):
    """Parity of rows' labels between the groups of a protected column.

    Where the label is drawn by a rule (`zerosum.networks.tabular_label`), the rule is learned so that it is as
    favourable to one group as to another. What a model learns from generated rows is then this rule, the rest of the
    rows stays what it is, and labels stay as certain as they were.

    Without a rule G's labels themselves are pulled until the groups' shares are alike, whatever row they are in: models
    then find ways round (they see who is a husband), and labels become noise.

    Args:
        fair: the protected column; None: nothing is asked for.
        favourable: a value of the target, or a condition on another column of categories ("education=Masters").
        weight: of the squared difference between the groups.

    Raises:
        BadOption: only one of the two is given, or the weight is negative.
    """

    groups: Tensor
    good: Tensor

    def __init__(self, fair: str | None, favourable: str | None, weight: float):
        super().__init__()
        if (fair is None) != (favourable is None):
            given, lacking = ("--favourable", "--fair") if fair is None else ("--fair", "--favourable")
            raise BadOption(f"{given} needs {lacking}: a protected column and what is favourable belong together.")
        if weight < 0:
            raise BadOption(f"--fairness is {weight}; it is a weight of 0 or more.")
        self.fair, self.favourable, self.weight = fair, favourable, weight
        # Found out anew by `meet` before each training, so not part of a checkpoint.
        for name in ("groups", "good"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64), persistent=False)

    def column(self, spec: Spec) -> int | None:
        """The label: the column that `favourable` names, else the target; None where there is none."""
        name, *right = OPERATORS.split(self.favourable or "", maxsplit=1)
        named = [block.column for block in spec.blocks if block.name == name.strip()]
        return named[0] if right and named else spec.target

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
        for name, (choice, which) in {"groups": groups, "good": good}.items():
            places = table.layout.starts[1][choice] + which.nonzero().squeeze(1)
            setattr(self, name, places.to(self.get_buffer(name).device))

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

    def of_rule(self, logits: Tensor, first: int, rows: Tensor) -> Losses:
        """The parity of a rule for the label, on real rows (n, d).

        Args:
            logits: (n, categories) of the label.
            first: where the label's first category is in a row.
        """
        if not self.known:
            return {}
        good = logits.softmax(1).index_select(1, self.good - first).sum(1)
        return {"parity": self.weight * parity(good, rows.index_select(1, self.groups))}

    def of_labels(self, log: Tensor) -> Losses:
        """The parity of generated labels, of the logarithms of the probabilities of choices (n, d). The labels alone
        are pulled: were the groups, too, G could turn women into men of the same income.
        """
        if not self.known:
            return {}
        good, groups = (log.index_select(1, places).exp() for places in (self.good, self.groups))
        return {"parity": self.weight * parity(good.sum(1), groups.detach())}
