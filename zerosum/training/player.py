"""Players: networks that are trained together by one optimizer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from zerosum.core.errors import BadOption, NotFinite
from zerosum.core.schedules import Schedule, constant
from zerosum.data.spec import Batch
from zerosum.training.arena import Arena
from zerosum.training.optimizers import Adam, Optimizer

Losses = dict[str, Tensor]
LossFunction = Callable[[Batch], Losses]
"""Pure: batch -> named tensors. Each 0-d tensor is a term of the loss; any other is something it made and hands back.
"""


class Player(nn.Module):
    """Networks that are trained together by one optimizer, with an optional exponential moving average (EMA).

    The networks belong to the game; a player registers only its EMA copies, so that nothing is saved twice.

    Args:
        networks: what this player trains.
        optimizer: its settings.
        ema_half_life: in samples; None keeps no moving average. It grows with the samples shown, to `ema_ramp` of them
        at most,
            so that short trainings are not dominated by the initial weights (StyleGAN2-ADA).
        lazy: a regulariser joins only each `lazy`-th step, so rate and betas are corrected for it.
        clip: largest norm of the gradient; None does not clip.
        rate: factor on the learning rate as a function of progress.
    """

    def __init__(
        self,
        *networks: nn.Module,
        optimizer: Optimizer = Adam(),
        ema_half_life: float | None = None,
        ema_ramp: float = 0.05,
        lazy: int | None = None,
        clip: float | None = None,
        rate: Schedule = constant,
    ):
        super().__init__()
        self.networks = tuple(networks)  # a tuple is not registered: the game owns them
        self.settings = optimizer.lazily(lazy) if lazy else optimizer
        self.ema_half_life, self.ema_ramp, self.clip, self.rate = ema_half_life, ema_ramp, clip, rate
        self.averages = nn.ModuleList()
        self.frozen: tuple[nn.Module, ...] = ()
        self.name = "player"
        self.arena = Arena()
        self.optimizer: torch.optim.Optimizer | None = None
        for network in networks:
            network.requires_grad_(False)

    def seat(self, name: str, arena: Arena) -> None:
        """Take a place: the networks are on the arena's device by now; make the optimizer and the EMA copies."""
        self.name, self.arena = name, arena
        fixed = {id(p) for module in self.frozen for p in module.parameters()}
        self.parameters_ = [p for network in self.networks for p in network.parameters() if id(p) not in fixed]
        self.optimizer = self.settings.make(self.parameters_)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        if self.ema_half_life is not None:
            self.averages = nn.ModuleList(copy.deepcopy(network).eval() for network in self.networks)

    def freeze(self, *modules: nn.Module) -> None:
        """From `seat` on, leave the weights in these parts of the networks as they are: neither gradients are computed
        for them nor has the optimizer a place for them.
        """
        if self.optimizer is not None:
            raise BadOption(f"the player {self.name!r} has its seat already: freeze layers before game.seat(Arena()).")
        self.frozen = (*self.frozen, *modules)

    def train(self, mode: bool = True) -> Player:
        """EMA copies stay in eval mode whatever the game does."""
        self.training = mode
        return self

    def step(self, loss: LossFunction, batch: Batch, *, gain: float = 1.0) -> Batch:
        """Descend the sum of the loss terms once and return what the loss function made, detached.

        Only this player's parameters require grad meanwhile, so nothing is computed for the others. The batch is cut
        into micro-batches; gradients are averaged over ranks in one flat all-reduce, clipped, checked to be finite.

        Raises:
            NotFinite: names the term and the round (on accelerators when the log is next read, so as not to wait).
        """
        return simultaneously(lambda piece: (loss(piece),), batch, self, gain=gain)

    def value(self, loss: LossFunction, batch: Batch) -> float:
        """The sum of the loss terms without a step; equal on all ranks, so a game may branch on it."""
        size = len(next(iter(batch.values())))
        total = torch.zeros((), device=self.arena.device)
        with torch.no_grad(), self.arena.autocast():
            for piece in pieces(batch, self.arena.micro_batch):
                share = len(next(iter(piece.values()))) / size
                total += share * sum(value.float() for value in loss(piece).values() if value.dim() == 0)
        return self.arena.mean(total).item()

    @contextmanager
    def unroll(self) -> Iterator[None]:
        """Steps inside are taken back on leaving: weights, buffers, EMA and the optimizer's memory."""
        tensors = [t for module in (*self.networks, self.averages) for t in (*module.parameters(), *module.buffers())]
        kept = [t.detach().clone() for t in tensors]
        memory = copy.deepcopy(self.memory())
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, value in zip(tensors, kept, strict=True):
                    tensor.copy_(value)
            self.load_optimizer(memory)

    def reset(self) -> None:
        """Clear the optimizer's memory in place (a rebuilt optimizer would leave a stale one in the checkpoint)."""
        for state in self._optimizer().state.values():
            for value in state.values():
                if isinstance(value, Tensor):
                    value.zero_()

    def retune(self, beta2: float) -> None:
        """Adam's second decay rate from now on."""
        for group in self._optimizer().param_groups:
            group["betas"] = (group["betas"][0], beta2)

    def ema(self, network: nn.Module) -> nn.Module:
        """The moving average of `network`; the network itself where none is kept."""
        index = [candidate is network for candidate in self.networks].index(True)
        return self.averages[index] if self.averages else network

    def memory(self) -> dict[str, Any]:
        """The optimizer's state, to be saved."""
        return self._optimizer().state_dict()

    def load_optimizer(self, state: dict[str, Any]) -> None:
        """Restore the optimizer's memory, laid out in memory as the parameters are (fused steps rely on that)."""
        optimizer = self._optimizer()
        optimizer.load_state_dict(state)
        for parameter in self.parameters_:
            for name, value in optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor) and value.shape == parameter.shape and value.dim() > 0:
                    optimizer.state[parameter][name] = torch.empty_like(parameter).copy_(value)

    def _differentiate(self, terms: Losses, weight: float, keep_graph: bool) -> Losses:
        """Add the gradients of the sum of the terms; returns the terms, detached and weighed."""
        objective = torch.stack([value.float() for value in terms.values()]).sum()
        (objective * weight).backward(inputs=self.parameters_, retain_graph=keep_graph)
        return {name: value.detach().float() for name, value in terms.items()}

    def _descend(self, totals: Losses, samples: int) -> None:
        """Apply the gradients: averaged over ranks, clipped, checked; then move the averages."""
        optimizer = self._optimizer()
        gradients = [p.grad for p in self.parameters_ if p.grad is not None]
        totals = self._average(gradients, totals)
        norm = torch.nn.utils.get_total_norm(gradients)
        self._check(totals, norm)
        if self.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters_, self.clip, norm)
        for group, rate in zip(optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.rate(self.arena.progress) * self.arena.rate
        optimizer.step()
        self._update_averages(samples * self.arena.world)

    def _optimizer(self) -> torch.optim.Optimizer:
        if self.optimizer is None:
            raise BadOption(f"the player {self.name!r} has no seat yet: call game.seat(Arena()) before its first step.")
        return self.optimizer

    @contextmanager
    def _learning(self) -> Iterator[None]:
        for parameter in self.parameters_:
            parameter.requires_grad_(True)
        try:
            yield
        finally:
            for parameter in self.parameters_:
                parameter.requires_grad_(False)

    def _average(self, gradients: list[Tensor], totals: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average gradients (in place) and loss terms over the ranks in one flat all-reduce, so that all ranks see the
        same.
        """
        if self.arena.world == 1:
            return totals
        names = sorted(totals)
        pieces = [*gradients, torch.stack([totals[name] for name in names])]
        flat = self.arena.mean(torch.cat([piece.reshape(-1) for piece in pieces]))
        *means, terms = flat.split([piece.numel() for piece in pieces])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view(gradient.shape))
        return dict(zip(names, terms, strict=True))

    def _check(self, totals: dict[str, Tensor], norm: Tensor) -> None:
        for name, value in (*totals.items(), ("gradient", norm)):
            # Reading a number off the CPU is free; elsewhere it would wait for the device, so the log finds it at its
            # next reading.
            if norm.device.type == "cpu" and not torch.isfinite(value):
                raise NotFinite(name, self.name, self.arena.round)
            self.arena.log.add(f"{self.name}/{name}", value)

    @torch.no_grad()
    def _update_averages(self, samples: int) -> None:
        if self.ema_half_life is None:
            return
        half_life = max(min(self.ema_half_life, self.arena.samples * self.ema_ramp), 1e-8)
        weight = 1.0 - 0.5 ** (samples / half_life)
        for network, average in zip(self.networks, self.averages, strict=True):
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), weight)
            for mean, buffer in zip(average.buffers(), network.buffers(), strict=True):
                mean.copy_(buffer)


def simultaneously(
    losses: Callable[[Batch], Sequence[Losses]], batch: Batch, *players: Player, gain: float = 1.0
) -> Batch:
    """One step of each player at once, from the weights that all have now: what their losses share is computed once.

    As `Player.step`, for several players. Simultaneous gradient descent (Mescheder et al. 2017, "The Numerics of
    GANs", algorithm 1).

    Args:
        losses: pure: batch -> the named terms of each player, in the order of `players`.
        batch: what it reads.
        players: who steps; each descends its own terms in its own parameters only.
        gain: factor on all gradients.

    Returns:
        what the loss function made, detached.
    """
    arena = players[0].arena
    size = len(next(iter(batch.values())))
    made: list[Batch] = []
    totals: list[Losses] = [{} for _ in players]
    with ExitStack() as stack:
        for player in players:
            player._optimizer().zero_grad(set_to_none=True)
            stack.enter_context(player._learning())
        for piece in pieces(batch, arena.micro_batch):
            share = len(next(iter(piece.values()))) / size
            with arena.autocast():
                outs = losses(piece)
            for player, out, total in zip(players, outs, totals, strict=True):
                terms = {name: value for name, value in out.items() if value.dim() == 0}
                for name, value in player._differentiate(terms, gain * share, player is not players[-1]).items():
                    total[name] = total.get(name, 0.0) + value * share
            made.append({name: value.detach() for out in outs for name, value in out.items() if value.dim() > 0})
    for player, total in zip(players, totals, strict=True):
        player._descend(total, size)
    return {name: torch.cat([piece[name] for piece in made]) for name in made[0]}


def pieces(batch: Batch, micro_batch: int | None) -> list[Batch]:
    """The batch cut into micro-batches."""
    size = len(next(iter(batch.values())))
    if micro_batch is None or micro_batch >= size:
        return [batch]
    split = {name: value.split(micro_batch) for name, value in batch.items()}
    return [{name: split[name][i] for name in batch} for i in range(-(-size // micro_batch))]


def fixed(network: nn.Module) -> Callable[..., Any]:
    """The network, differentiated by what it is given alone and not by its parameters."""
    tensors = {name: value.detach() for name, value in (*network.named_parameters(), *network.named_buffers())}
    return lambda *given: functional_call(network, tensors, given)
