"""Networks for encoded rows of tables: what fits every column, a residual generator, a critic of several rows.

Shapes: a row has d numbers, the blocks of its spec from left to right; a condition k, one for each category of each
column of categories (`Layout.conditions`), 1 at those that are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.data.spec import Spec
from zerosum.data.tables.rows import Layout

TEMPERATURE = 0.2
"""Of the Gumbel softmax (Xu et al. 2019, section 4.4)."""


def gumbel_noise(u: Tensor) -> Tensor:
    """Gumbel noise of uniform numbers in [0, 1)."""
    return u.clamp_min(1e-20).log().neg().clamp_min(1e-20).log().neg()


class Blocks(nn.Module):
    """The softmax blocks of a row, all at once.

    Blocks of similar sizes lie side by side, shorter ones filled up to the longest with cells that cannot be chosen,
    so that a table of many blocks needs few operations.

    Attributes:
        order: int64 (d,), where the scalars of a row are, then the numbers of its choices.
        back: its inverse.
        scalars: how many numbers of a row are no choices.
        width: d.

    Args:
        spec: of the rows.
    """

    order: Tensor
    back: Tensor
    taken: Tensor
    filler: Tensor
    places: Tensor

    def __init__(self, spec: Spec):
        super().__init__()
        layout = Layout(spec)
        scalars, starts = layout.starts[0].tolist(), layout.starts[1].tolist()
        choices = [range(start, start + block.size) for block, start in zip(layout.choices, starts, strict=True)]
        order = torch.tensor([*scalars, *(place for own in choices for place in own)], dtype=torch.int64)
        self.scalars, self.width = len(scalars), len(order)
        self.groups: list[tuple[int, int]] = []
        taken, filler, places = list(scalars), [0.0] * len(scalars), {place: i for i, place in enumerate(scalars)}
        for own in sorted(choices, key=len, reverse=True):
            if not self.groups or 2 * len(own) <= self.groups[-1][1]:
                self.groups.append((0, len(own)))
            count, size = self.groups[-1]
            self.groups[-1] = (count + 1, size)
            places |= {place: len(taken) + i for i, place in enumerate(own)}
            missing = size - len(own)
            taken += [*own, *[own[0]] * missing]
            filler += [0.0] * len(own) + [-math.inf] * missing
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", torch.argsort(order), persistent=False)
        self.register_buffer("taken", torch.tensor(taken, dtype=torch.int64), persistent=False)
        self.register_buffer("filler", torch.tensor(filler), persistent=False)
        self.register_buffer("places", torch.tensor([places[i] for i in range(self.width)]), persistent=False)

    def split(self, logits: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (n, d) as scalars (n, s) and, for each group of blocks, (n, blocks, longest)."""
        filled = logits.index_select(1, self.taken) + self.filler
        scalars, *groups = filled.split([self.scalars, *(count * size for count, size in self.groups)], 1)
        return scalars, [group.unflatten(1, own) for group, own in zip(groups, self.groups, strict=True)]

    def join(self, scalars: Tensor, groups: Sequence[Tensor]) -> Tensor:
        """What `split` took apart: (n, d)."""
        return torch.cat([scalars, *(group.flatten(1) for group in groups)], 1).index_select(1, self.places)

    def softmax(self, logits: Tensor, temperature: float = 1.0) -> Tensor:
        """(n, d): scalars as they are, of each block the probabilities."""
        scalars, groups = self.split(logits)
        return self.join(scalars, [F.softmax(group / temperature, 2) for group in groups])

    def log_softmax(self, logits: Tensor) -> Tensor:
        """(n, d): scalars as they are, of each block the logarithms of the probabilities."""
        scalars, groups = self.split(logits)
        return self.join(scalars, [F.log_softmax(group, 2) for group in groups])

    def gumbel(self, logits: Tensor, temperature: float = TEMPERATURE) -> Tensor:
        """(n, d): scalars as they are, of each block a nearly one-hot draw that gradients pass through (Jang et al.
        2017, equation 2).
        """
        scalars, groups = self.split(logits)
        noise = gumbel_noise(torch.rand(len(logits), len(self.taken) - self.scalars, device=logits.device))
        lengths = [group[0].numel() for group in groups]
        drawn = [
            F.softmax((group + own.view_as(group)) / temperature, 2)
            for group, own in zip(groups, noise.split(lengths, 1), strict=True)
        ]
        return self.join(scalars, drawn)


class Residual(nn.Module):
    """x joined with ReLU(BatchNorm(Linear(x))): (n, inputs) to (n, outputs + inputs)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs + inputs)."""
        return torch.cat([F.relu(self.norm(self.linear(x))), x], 1)


class Heads(nn.Module):
    """Features (n, width) to a row (n, d): scalars in [-1, 1] and logits of the choices, each at its place. A head with
    nothing to make is left out, as in tables of categories alone.

    Args:
        width: of the features.
        spec: of the rows.
        narrow: leave the logits in the precision that the rest is computed in; scalars are always float32, since in
            bf16 a number would have 8 bits.
    """

    def __init__(self, width: int, spec: Spec, *, narrow: bool = False):
        super().__init__()
        self.blocks, self.narrow = Blocks(spec), narrow
        scalars, logits = self.blocks.scalars, self.blocks.width - self.blocks.scalars
        self.scalars = nn.Linear(width, scalars) if scalars else None
        self.logits = nn.Linear(width, logits) if logits else None

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars (n, s) and logits (n, d - s) in the order of `blocks`, float32."""
        nothing = x.new_zeros(len(x), 0, dtype=torch.float32)
        logits = self.logits(x).float() if self.logits is not None and self.narrow else nothing
        with torch.autocast(x.device.type, enabled=False):
            if self.logits is not None and not self.narrow:
                logits = self.logits(x.float())
            return nothing if self.scalars is None else torch.tanh(self.scalars(x.float())), logits

    def forward(self, x: Tensor) -> Tensor:
        """(n, d), float32."""
        return torch.cat(self.parts(x), 1).index_select(1, self.blocks.back)


class Generator(nn.Module):
    """z (n, latent) and a condition (n, k) to scalars in [-1, 1] and logits of the choices, at their places in a row
    (n, d) (Xu et al. 2019, section 4.4).

    Attributes:
        counts: (k,) how often the data has each category, for conditions that nobody asks for.

    Args:
        latent: size of z.
        spec: of the rows.
        hidden: units of each residual layer.
        layers: how many.
    """

    counts: Tensor

    def __init__(self, latent: int, spec: Spec, *, hidden: int = 256, layers: int = 2):
        super().__init__()
        conditions = len(Layout(spec).conditions)
        width, body = latent + conditions, []
        for _ in range(layers):
            body.append(Residual(width, hidden))
            width += hidden
        self.body = nn.Sequential(*body)
        self.heads = Heads(width, spec, narrow=True)
        self.register_buffer("counts", torch.ones(conditions))

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """(n, d), float32."""
        return self.heads(self.body(torch.cat([z, condition], 1)))


class Dropout(nn.Module):
    """As PyTorch's, from uniform numbers, which a CPU draws several times as fast as Bernoulli ones."""

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Of x's shape."""
        if not self.training or not self.share:
            return x
        kept = torch.rand(x.shape, device=x.device) >= self.share
        return x * kept.to(x.dtype).div_(1.0 - self.share)


class Blind(Generator):
    """A generator of which nothing is asked."""

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """(n, d), as of a `Generator`, whatever the condition."""
        return super().forward(z, torch.zeros_like(condition))


class Critic(nn.Module):
    """Rows with their conditions (n, d + k) to one number for every `pack` of them (n / pack,), which are judged
    together, so that a lack of variety shows (Lin et al. 2018; Xu et al. 2019, section 4.4).

    Args:
        inputs: d + k.
        hidden: units of each hidden layer.
        layers: how many.
        pack: rows judged together.
        dropout: share of hidden units dropped.
    """

    def __init__(self, inputs: int, *, hidden: int = 256, layers: int = 2, pack: int = 10, dropout: float = 0.5):
        super().__init__()
        self.inputs, self.pack = inputs, pack
        width, body = inputs * pack, list[nn.Module]()
        for _ in range(layers):
            body += [nn.Linear(width, hidden), nn.LeakyReLU(0.2), Dropout(dropout)]
            width = hidden
        self.body = nn.Sequential(*body)
        self.head = nn.Linear(width, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """(n / pack,), float32, of (n, d + k) or, packed already, (n / pack, pack (d + k))."""
        features = self.body(rows.reshape(-1, self.pack * self.inputs))
        with torch.autocast(rows.device.type, enabled=False):
            return self.head(features.float()).squeeze(1)


class RowwiseCritic(nn.Module):
    """As `Critic`, but each row is looked at by itself first, by the same layers: what it is worth alone, and a few
    features of it, by which the pack is judged. How columns hang together within a row is then learned from every row.

    Args:
        inputs: d + k.
        hidden: units of each hidden layer.
        layers: how many each row passes.
        pack: rows judged together.
        dropout: share of hidden units dropped.
        features: of each row, for the pack.
    """

    def __init__(
        self, inputs: int, *, hidden: int = 256, layers: int = 2, pack: int = 10, dropout: float = 0.25,
        features: int = 32,
    ):  # fmt: skip
        super().__init__()
        self.inputs, self.pack = inputs, pack
        width, body = inputs, list[nn.Module]()
        for _ in range(layers):
            body += [nn.Linear(width, hidden), nn.LeakyReLU(0.2), Dropout(dropout)]
            width = hidden
        self.body = nn.Sequential(*body)
        self.alone, self.features = nn.Linear(width, 1), nn.Linear(width, features)
        self.together = nn.Sequential(nn.Linear(features * pack, hidden), nn.LeakyReLU(0.2))
        self.head = nn.Linear(hidden, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """(n / pack,), float32, of (n, d + k) or, packed already, (n / pack, pack (d + k))."""
        x = self.body(rows.reshape(-1, self.inputs))
        pack = self.together(self.features(x).reshape(-1, self.pack * self.features.out_features))
        with torch.autocast(rows.device.type, enabled=False):
            # Divided by the root, so that a pack's gradient is as large as a row's.
            alone = self.alone(x.float()).view(-1, self.pack).sum(1) / math.sqrt(self.pack)
            return alone + self.head(pack.float()).squeeze(1)
