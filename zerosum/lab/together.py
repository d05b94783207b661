"""Several games of one system trained at once: stacked weights, one batch that holds every game's own samples.

Every loss of the library is a mean over samples, so the gradient of S games' joint loss is each game's own gradient
divided by S. An optimizer's settings make up for that exactly (`scaled`): the games learn what they would learn apart,
but for the order of sums, with the system's code unchanged.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from zerosum.core.errors import BadOption
from zerosum.training.game import Game
from zerosum.training.optimizers import SGD, Optimizer
from zerosum.training.player import Player


class Together(nn.Module):
    """S networks of the same build as one: of S * n samples, the first n are for the first network, and so on.

    Parameters and buffers keep their names, with a first axis of size S.
    """

    def __init__(self, networks: Sequence[nn.Module]):
        super().__init__()
        self.count = len(networks)
        self.network = copy.deepcopy(networks[0])
        with torch.no_grad():
            for name, parameter in list(self.network.named_parameters()):
                stacked = torch.stack([network.get_parameter(name) for network in networks])
                _place(self.network, name).register_parameter(
                    name.rpartition(".")[2], nn.Parameter(stacked, requires_grad=parameter.requires_grad)
                )
            for name, _ in list(self.network.named_buffers()):
                stacked = torch.stack([network.get_buffer(name) for network in networks])
                setattr(_place(self.network, name), name.rpartition(".")[2], stacked)

    def forward(self, *inputs: Tensor | None) -> Tensor:
        """(S * m, ...) from tensors of S * m samples each; None (no labels) is passed on.

        Raises:
            BadOption: the samples are no multiple of S.
        """
        for x in inputs:
            if x is not None and len(x) % self.count:
                raise BadOption(
                    f"{len(x)} samples or packs cannot be shared equally by {self.count} games: choose a --batch-size "
                    "that is a multiple of the number of samples the system packs."
                )
        state = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}

        def one(own: dict[str, Tensor], *pieces: Tensor | None) -> Tensor:
            return functional_call(self.network, own, pieces)

        pieces = [None if x is None else x.unflatten(0, (self.count, -1)) for x in inputs]
        axes = (0, *(None if x is None else 0 for x in inputs))
        return vmap(one, in_dims=axes, randomness="different")(state, *pieces).flatten(0, 1)


def _place(network: nn.Module, name: str) -> nn.Module:
    return network.get_submodule(name.rpartition(".")[0])


def join(games: Sequence[Game]) -> Game:
    """The first of some unseated games of one system, playing for all of them on batches of len(games) times the size.

    Raises:
        BadOption: the system keeps state outside its networks, or clips gradients by their norm, which ties the games.
    """
    game = games[0]
    if game._buffers or game._parameters:
        raise BadOption(
            f"{type(game).__name__} keeps {', '.join([*game._buffers, *game._parameters])} outside its networks, so "
            "its seeds cannot be trained together: add --apart."
        )
    joined: dict[int, nn.Module] = {}
    for name, network in list(game.named_children()):
        if not isinstance(network, Player):
            joined[id(network)] = Together([other.get_submodule(name) for other in games])
            setattr(game, name, joined[id(network)])
    for name, player in game.players.items():
        if player.clip is not None:
            raise BadOption(f"{name} clips its gradient's norm, so its seeds cannot be trained together: add --apart.")
        player.networks = tuple(joined[id(network)] for network in player.networks)
        player.settings = scaled(player.settings, len(games))
        if player.ema_half_life is not None:
            player.ema_half_life *= len(games)  # the clock counts all games' samples
    return game


def scaled(optimizer: Optimizer, games: int) -> Optimizer:
    """Settings that do to the gradient g / games what the given ones do to g.

    Adam and RMSProp divide by the gradient's size, so only eps has to shrink with it; SGD takes larger steps. The
    unrolled GAN's look ahead keeps its own eps, which is felt only where gradients are as small as that.
    """
    if isinstance(optimizer, SGD):
        return replace(optimizer, lr=optimizer.lr * games)
    return replace(optimizer, eps=optimizer.eps / games)
