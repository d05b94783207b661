"""Mode coverage on the ring of 8 and the grid of 25 Gaussians, by PacGAN's protocol (Lin et al. 2018, arXiv:1712.04086,
section 4.1): 2,500 samples, high quality within 3 standard deviations of the nearest mean, a mode counts when one lands
there.

All systems of a table play with the same networks, batches, optimizer and rounds; each keeps its own losses. That is
not PacGAN's budget (400,000 rounds of larger networks): it is one that two processor cores finish in minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from zerosum.core import discovery, randomness
from zerosum.core.errors import BadOption
from zerosum.core.latents import Normal
from zerosum.core.schedules import cosine
from zerosum.core.settings import to_json
from zerosum.data.spec import Dataset, Spec
from zerosum.lab.together import join
from zerosum.metrics.points import MODES, SAMPLES, point_scores
from zerosum.networks.families import MLP
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches
from zerosum.training.game import Game
from zerosum.training.optimizers import SGD, Adam, RMSProp
from zerosum.training.player import Player

Progress = Callable[[float], None]


@dataclass(frozen=True)
class PointProtocol:
    """What all systems of one table share."""

    rounds: int = 20_000
    """Rounds of every system: steps of its generator."""
    minutes: float | None = None
    """In place of a number of rounds: minutes per system, all its seeds together."""
    batch_size: int = 128
    """Real points a game sees in a batch."""
    latent: int = 2
    """Components of z, standard normal."""
    networks: MLP = MLP(hidden=128)
    """Fully connected networks; the generator's output is linear (PacGAN: G 400 wide, D 200 wide of 5-piece maxout
    units)."""
    lr: float | None = None
    """Learning rate of every player's Adam, which falls to 1 % along half a cosine; None: OPTIMIZERS says it for each
    system, as short searches found."""
    betas: tuple[float, float] | None = None
    """Adam's betas of every player; None: OPTIMIZERS says them for each system."""
    ema_half_life: float | None = 20_000.0
    """Half-life of the generator's moving average, in samples of one game; None: off."""


SETTINGS: dict[str, dict[str, Any]] = {
    "pacgan":  {"pack": 2},                          # 4 learns too slowly for the default number of rounds
    "rpgan":   {"gamma": 0.02, "gamma_end": 1.0},    # constant: only the learning rate falls
    "sngan":   {"discriminator_steps": 1},           # of one step of each player, as all the others
    "wgan_gp": {"critic_steps": 1, "penalty": 0.1},  # the same; the penalty of its authors' toy problems
}  # fmt: skip
"""Where a system's own default is meant for images: its setting for points."""


OPTIMIZER = Adam(3e-3, (0.5, 0.9))
"""For systems that OPTIMIZERS does not name."""
OPTIMIZERS: dict[str, Adam] = {
    "rpgan":   Adam(2e-3, (0.0, 0.99)),
    "sngan":   Adam(3e-3, (0.0, 0.9)),
    "wgan_gp": Adam(3e-3, (0.0, 0.9)),
}  # fmt: skip
"""As short searches found them: the rate that left the most samples of high quality after 4,000 to 6,000 rounds."""


def play(
    system: str,
    dataset: Dataset,
    protocol: PointProtocol,
    seeds: Sequence[int],
    progress: Progress = lambda done: None,
    apart: bool = False,
) -> tuple[dict[str, Any], Tensor]:
    """Train one system with every seed and measure it.

    Args:
        system: its name.
        dataset: `ring` or `grid`.
        seeds: of weights, order and noise.
        progress: told how much is done, from 0 to 1.
        apart: one game after the other; for systems whose losses tie the samples of a batch.

    Returns:
        the row for the table, and the samples (seeds, 2500, 2).

    Raises:
        BadOption: the system cannot play with points, or its seeds cannot be trained together.
    """
    began, groups, points, rounds = time.perf_counter(), [[s] for s in seeds] if apart else [list(seeds)], [], 0
    if not apart and len(seeds) > 1:
        check_separable(system, dataset, protocol)
    for index, group in enumerate(groups):
        game = join([build(system, dataset.spec, protocol, seed) for seed in group]).seat(Arena())
        budget = protocol.minutes and protocol.minutes / len(groups)
        train(game, dataset, protocol, group, budget, share(progress, index, len(groups)))
        points.append(draw(game, len(group)))
        rounds = game.rounds
    sets = torch.cat(points)
    scores = [point_scores(own, MODES[dataset.name]) for own in sets]
    row = {name: [score[name] for score in scores] for name in scores[0]}
    facts = {"rounds": rounds, "seconds": round(time.perf_counter() - began, 1), "config": to_json(game.config)}
    return {"system": system, "seeds": list(seeds), **row, **facts}, sets


def share(progress: Progress, index: int, count: int) -> Progress:
    """`progress` for the part `index` of `count` equal ones."""
    return lambda done: progress((index + done) / count)


def build(system: str, spec: Spec, protocol: PointProtocol, seed: int) -> Game:
    """A game of `system` as the protocol wants it, not seated."""
    game_class: Any = discovery.game_class(system)
    known = {field.name for field in fields(game_class.Config)}
    missing = {"rounds", "batch_size", "latent", "networks"} - known
    if missing:
        raise BadOption(
            f"{system} cannot play with points: its networks are its own (it has no setting called "
            f"{' or '.join(sorted(missing))}). Systems that take `networks:mlp` can, gan and pacgan among them."
        )
    wanted: dict[str, Any] = {
        "rounds": protocol.rounds, "batch_size": protocol.batch_size, "latent": protocol.latent,
        "networks": protocol.networks, "ema_half_life": protocol.ema_half_life, **SETTINGS.get(system, {}),
    }  # fmt: skip
    adam = optimizer(system, protocol)
    wanted |= {name: adam for name in known if isinstance(getattr(game_class.Config(), name), Adam | RMSProp | SGD)}
    randomness.reseed(seed, "lab", system)
    game = game_class(replace(game_class.Config(), **{name: wanted[name] for name in wanted if name in known}), spec)
    game.latent = Normal(protocol.latent)
    for player in game.players.values():
        player.settings, player.rate = adam, cosine(0.01)
        if _makes(player, game.G):
            player.ema_half_life = protocol.ema_half_life
    return game


def optimizer(system: str, protocol: PointProtocol) -> Adam:
    """What the players of `system` learn with."""
    own = OPTIMIZERS.get(system, OPTIMIZER)
    return Adam(protocol.lr or own.lr, protocol.betas or own.betas)


def _makes(player: Player, network: nn.Module) -> bool:
    return any(own is network for own in player.networks)


def train(
    game: Game,
    dataset: Dataset,
    protocol: PointProtocol,
    seeds: Sequence[int],
    minutes: float | None,
    progress: Progress,
) -> None:
    """Play a joined, seated game to its end: by rounds, or by the clock where `minutes` says so."""
    arena, began, done = game.arena, time.perf_counter(), 0.0
    size = protocol.batch_size * len(seeds)
    batches = Batches(dataset.train, batch_size=size, noise=game.noise(), seed=("lab", *seeds), arena=arena)
    game.train()
    while done < 1:
        arena.round, arena.progress = game.rounds, done
        randomness.reseed(*batches.seed, "round", arena.samples)
        phase, played = game.phase()
        if played == 0:
            phase.enter()
        phase.play(batches)
        game.rounds += 1
        done = (time.perf_counter() - began) / (minutes * 60) if minutes else game.rounds / game.total_rounds
        if game.rounds % 50 == 0:
            progress(min(done, 1.0))


@torch.no_grad()
def draw(game: Game, count: int) -> Tensor:
    """2,500 points of each of the `count` games: (count, 2500, 2)."""
    n = SAMPLES * count
    return torch.cat(list(game.trained().tensors(n, batch=n))).view(count, SAMPLES, -1)


def check_separable(system: str, dataset: Dataset, protocol: PointProtocol) -> None:
    """Play a round of two games together, twice, with other data and weights for the second: the first must not notice.

    Raises:
        BadOption: it does: some loss of the system looks at more than one sample at a time.
    """
    weights = []
    for other in (1, 2):
        game = join([build(system, dataset.spec, protocol, seed) for seed in (0, other)]).seat(Arena())
        game.train()
        randomness.reseed("separable")
        game.phase()[0].play(_Fixed(game, dataset, protocol.batch_size, other))  # type: ignore[arg-type]
        weights.append([parameter[0].clone() for parameter in game.parameters()])
    if not all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*weights, strict=True)):
        raise BadOption(f"the loss of {system} ties the samples of a batch to each other: train its seeds --apart.")


class _Fixed:
    """Batches whose first half never depends on `other`, and whose second half does."""

    def __init__(self, game: Game, dataset: Dataset, size: int, other: int):
        self.game, self.dataset, self.size, self.other, self.drawn = game, dataset, size, other, 0
        self.batch_size = 2 * size

    def __next__(self) -> dict[str, Tensor]:
        halves, self.drawn = [], self.drawn + 1
        for which in (0, self.other):
            random = randomness.generator("cpu", "separable", which, self.drawn)
            half = self.dataset.train.fetch(torch.randint(len(self.dataset.train), (self.size,), generator=random))
            half |= {name: latent.draw(self.size, random) for name, latent in self.game.noise().items()}
            halves.append(half)
        return {name: torch.cat([half[name] for half in halves]) for name in halves[0]}
