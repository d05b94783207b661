"""Differentially private steps: rows drawn at random, gradients clipped row by row, noise.

Deep Learning with Differential Privacy (Abadi et al. 2016), arXiv:1607.00133, algorithm 1.

A row's gradient in a linear layer is the product of what went into the layer and of the gradient of what came out, so
its norm is known without the gradient itself (Goodfellow 2015, arXiv:1510.01799), and the clipped sum is one matrix
product of these (Bu et al. 2022, arXiv:2210.00038). Nothing is ever kept for each row and weight.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.core import randomness
from zerosum.core.errors import BadOption
from zerosum.data.spec import Batch
from zerosum.data.tables.store import TableStore
from zerosum.training.optimizers import Adam, Optimizer
from zerosum.training.player import Losses, Player, pieces

Call = tuple[nn.Linear, Tensor, Tensor]
"""A linear layer, what went into it (n, inputs), and what came out (n, outputs)."""


class Ledger(nn.Module):
    """What a private training remembers: how many private steps it has made, and where its random numbers come from.

    They come from the system's entropy, because the seed of a run stands in its generator's facts, and whoever knows it
    could take the noise off again. Both are kept in checkpoints, so that a resumed training repeats lost steps exactly,
    which tells nobody anything new. Loading a checkpoint gives no step back: after a divergence, steps are made anew
    with other noise, and count anew.
    """

    spent: Tensor
    secret: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("spent", torch.zeros((), dtype=torch.int64))
        self.register_buffer("secret", torch.tensor([secrets.randbits(63) for _ in range(2)]))

    @property
    def steps(self) -> int:
        """Private steps made, those included that were rolled back."""
        return int(self.spent)

    def seed(self) -> tuple[int, ...]:
        """What secret random numbers are derived from."""
        return tuple(self.secret.tolist())

    @contextmanager
    def step(self, device: torch.device) -> Iterator[torch.Generator]:
        """One private step: it counts, the noise comes from the generator that this gives (on the CPU), and PyTorch's
        own random numbers are secret inside.
        """
        seed = (*self.seed(), self.steps)
        self.spent += 1
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(randomness.derive(*seed, "step"))
            yield randomness.generator("cpu", *seed, "noise")

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        before = self.steps
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.spent.clamp_(min=before)


class Poisson:
    """The order of private training: each batch draws each row with the same probability, independently.

    Batches so have different sizes, and can be empty.

    Args:
        n: how many rows there are.
        rate: the probability.
        seed: decides everything; has to be secret.
    """

    def __init__(self, n: int, rate: float, seed: tuple[int | str, ...]):
        self.n, self.rate, self.seed = n, rate, seed

    def __call__(self, start: int, count: int) -> Tensor:
        """Indices of the rows drawn, as many as it happens, `count` or not."""
        draw = randomness.generator("cpu", *self.seed, "poisson", start)
        return (torch.rand(self.n, generator=draw, dtype=torch.float64) < self.rate).nonzero().flatten()

    def beside(self, start: int, count: int) -> Batch:
        """Nothing."""
        return {}


class PrivatePlayer(Player):
    """A player whose steps are private: `private_step` in the place of `step`.

    What it trains may do nothing but put each row by itself through linear layers and functions without weights.

    Args:
        network: what it trains.
        bound: the norm that a row's gradient is clipped to, over all weights together.
        optimizer: its settings.
        ema_half_life: of the moving average, in rows; None keeps none.

    Raises:
        BadOption: a row's gradient in the network would depend on other rows, or cannot be clipped.
    """

    def __init__(
        self, network: nn.Module, *, bound: float = 1.0, optimizer: Optimizer = Adam(),
        ema_half_life: float | None = None,
    ):  # fmt: skip
        super().__init__(network, optimizer=optimizer, ema_half_life=ema_half_life)
        if not bound > 0.0:
            raise BadOption(f"gradients cannot be clipped to the norm {bound}: it must be more than 0.")
        refuse_impure(network)
        self.bound = bound

    def private_step(
        self, loss: Callable[[Batch], Losses], batch: Batch, *, noise: float, expected: float, draw: torch.Generator
    ) -> None:
        """Descend the clipped and noisy sum of the rows' gradients, divided by how many rows are expected.

        Neither gradients nor terms that are no numbers end it, because that would tell something about rows.

        Args:
            loss: batch -> named terms, each (n,): of each row its own. Each call of the network takes as many rows as
                the batch has, those of the same place belonging together.
            batch: n rows, 0 or more.
            noise: standard deviation of the noise, as a multiple of `bound`.
            expected: rows of a batch on average. How many there are is no public number.
            draw: makes the noise, on the CPU; seeded by a secret.
        """
        sums = [torch.zeros_like(p, dtype=torch.float32) for p in self.parameters_]
        totals: Losses = {}
        size = len(next(iter(batch.values())))
        with self._learning():
            for piece in pieces(batch, self.arena.micro_batch) if size else ():
                for name, value in self._add_clipped(loss, piece, sums).items():
                    totals[name] = totals.get(name, 0.0) + value / size
        for parameter, total in zip(self.parameters_, sums, strict=True):
            normal = torch.randn(parameter.shape, generator=draw).to(total.device)
            parameter.grad = total.add_(normal, alpha=noise * self.bound).div_(expected).to(parameter.dtype)
        self._descend(totals, size)

    def _add_clipped(self, loss: Callable[[Batch], Losses], batch: Batch, sums: Sequence[Tensor]) -> Losses:
        """Add the clipped gradients of all rows to `sums`; returns the sums of the terms."""
        with recorded(self.networks[0]) as calls, self.arena.autocast():
            terms = loss(batch)
        total = torch.stack([value.float().sum() for value in terms.values()]).sum()
        slopes = torch.autograd.grad(total, [made for _, _, made in calls])
        with torch.no_grad():
            by_layer = gathered(calls, slopes)
            factors = factors_of(squared_norms(by_layer), self.bound)
            place = {id(parameter): number for number, parameter in enumerate(self.parameters_)}
            for layer, pairs in by_layer.items():
                for given, slope in pairs:
                    clean = torch.where((factors > 0)[:, None], slope * factors[:, None], 0.0)
                    known = torch.where((factors > 0)[:, None], given, 0.0)
                    sums[place[id(layer.weight)]].addmm_(clean.T, known)
                    if layer.bias is not None:
                        sums[place[id(layer.bias)]].add_(clean.sum(0))
        # Terms are for the log alone, which ends a training where it finds infinity.
        return {name: torch.nan_to_num(value.detach().float(), 0.0, 0.0, 0.0).sum() for name, value in terms.items()}


def step_together(
    parts: Sequence[tuple[PrivatePlayer, Callable[[Batch], Losses], Batch, float]], *, noise: float, expected: float,
    draw: torch.Generator,
) -> None:  # fmt: skip
    """One private step of several players on the same rows, which costs what one would.

    Their clipped sums, each divided by its bound and multiplied with the root of its share, are together one sum of
    norm 1 with this noise.

    Args:
        parts: (player, loss, batch, share), the shares adding up to 1.
        noise, expected, draw: as of `private_step`.
    """
    for player, loss, batch, share in parts:
        player.private_step(loss, batch, noise=noise / share**0.5, expected=expected, draw=draw)


def noised_shares(store: TableStore, noise: float, draw: torch.Generator) -> Tensor:
    """How frequent each number of a row is to be 1, from counts with this noise: (d,); of scalars 0."""
    layout, result = store.encoding.layout, torch.zeros(store.encoding.spec.shape[0])
    spread = noise * len(layout.choices) ** 0.5  # a row is counted once in each choice
    for start, own in zip(layout.starts[1].tolist(), store.counts, strict=True):
        noisy = own + spread * torch.randn(len(own), generator=draw, dtype=torch.float64)
        result[start : start + len(own)] = nearest_counts(noisy, len(store)).float() / len(store)
    return result


def refuse_impure(network: nn.Module) -> None:
    """Raises BadOption unless every row passes the network by itself, and all weights are those of linear layers."""
    own = {id(p) for m in network.modules() if type(m) is nn.Linear for p in m.parameters()}
    odd = next((name for name, p in network.named_parameters() if id(p) not in own), None)
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            raise BadOption(
                f"{name} ({type(module).__name__}) mixes the rows of a batch, so that no row's gradient can be clipped "
                "by itself: a private network can have none."
            )
    if odd is not None:
        raise BadOption(f"{odd} is no weight of a linear layer: private training clips the gradients of these alone.")


@contextmanager
def recorded(network: nn.Module) -> Iterator[list[Call]]:
    """Collects every call, inside, of a linear layer that learns."""
    calls: list[Call] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        assert isinstance(layer, nn.Linear)
        if made.dim() != 2:
            raise BadOption(f"a linear layer of a private network met {made.dim()} dimensions: it takes rows (n, d).")
        if layer.weight.requires_grad:
            calls.append((layer, given[0].detach(), made))

    hooks = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, nn.Linear)]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def gathered(calls: Sequence[Call], slopes: Sequence[Tensor]) -> dict[nn.Linear, list[tuple[Tensor, Tensor]]]:
    """Of each layer, for each of its calls, the input (n, inputs) and the gradient of the output (n, outputs), in full
    precision.
    """
    found: dict[nn.Linear, list[tuple[Tensor, Tensor]]] = {}
    for (layer, given, _), slope in zip(calls, slopes, strict=True):
        found.setdefault(layer, []).append((given.float(), slope.float()))
    return found


def squared_norms(by_layer: dict[nn.Linear, list[tuple[Tensor, Tensor]]]) -> Tensor:
    """Of each row the squared norm of its gradient over all layers: (n,).

    The gradient of a row in a layer is the sum of b a^T over the layer's calls, whose squared norm is the sum of
    (a . a') (b . b') over all pairs of calls.
    """
    total: Tensor | float = 0.0
    for layer, pairs in by_layer.items():
        bias = 0.0 if layer.bias is None else 1.0
        for i, (given, slope) in enumerate(pairs):
            for j, (other, slant) in enumerate(pairs[: i + 1]):
                product = ((given * other).sum(1) + bias) * (slope * slant).sum(1)
                total = total + (1.0 if i == j else 2.0) * product
    assert isinstance(total, Tensor)
    return total


def factors_of(squares: Tensor, bound: float) -> Tensor:
    """What rows' gradients are multiplied with (n,), so that norms are `bound` at most; 0 where one is no number."""
    norms = squares.clamp_min(0.0).sqrt()
    factors = (bound / norms.clamp_min(1e-12)).clamp_max(1.0)
    return torch.where(torch.isfinite(squares), factors, 0.0)


def nearest_counts(noisy: Tensor, total: float) -> Tensor:
    """The counts (k,) of 0 or more with this sum that are nearest to noisy ones (k,)."""
    falling = noisy.sort(descending=True).values
    excess = (falling.cumsum(0) - total) / torch.arange(1, len(noisy) + 1, device=noisy.device)
    return (noisy - excess[(falling > excess).nonzero()[-1]]).clamp_min(0.0)
