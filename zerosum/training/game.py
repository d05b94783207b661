"""Games: one published system each, as networks, players and rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from zerosum.core.latents import Latent
from zerosum.core.settings import Auto
from zerosum.data.spec import Batch, Spec
from zerosum.training.arena import Arena
from zerosum.training.generator import TrainedGenerator
from zerosum.training.player import Player

if TYPE_CHECKING:
    from zerosum.training.batches import Batches


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Phase:
    """A stretch of rounds played the same way."""

    name: str
    rounds: int
    play: Callable[[Batches], None]
    batch_size: int | None = None
    """None: the game's own."""
    enter: Callable[[], None] = nothing
    """Called once before its first round."""


class Game(nn.Module):
    """One published system: its networks, its players, its rounds. Sub-class it in one file.

    What must survive a restart is a module, a buffer or a player. A sub-class defines `Config` (a frozen dataclass with
    at least `rounds` and `batch_size`), `build`, `round`, and its loss functions.

    Attributes:
        config: the settings.
        spec: what one encoded sample looks like.
        latent: the distribution of z.
        rounds: the rounds played so far, the only measure of progress.
        conditional: whether the generator takes labels.
        chosen: what was set to "auto" -> the value that was chosen and why.
    """

    Config: ClassVar[type]
    latent: Latent
    conditional: bool = False

    def __init__(self, config: Any, spec: Spec):
        super().__init__()
        self.config, self.spec = config, spec
        self.rounds = 0
        self.chosen: dict[str, str] = {}
        self.arena = Arena()
        self.build()

    # -- what a sub-class writes
    # --------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Make the networks (`self.G`, `self.D` ...), the latent distribution and the players."""
        raise NotImplementedError

    def round(self, batches: Batches) -> None:
        """One turn of the game, as in the paper's algorithm."""
        raise NotImplementedError

    def phases(self) -> list[Phase]:
        """The phases in order; by default one of `config.rounds` rounds."""
        return [Phase("game", self.config.rounds, self.round)]

    def noise(self) -> dict[str, Latent]:
        """What every batch brings, besides data, drawn anew for each sample: by default z."""
        return {"z": self.latent}

    def trained(self) -> TrainedGenerator:
        """The artifact, from copies of the moving averages; by default of `self.G`."""
        return TrainedGenerator(
            self.averaged(self.get_submodule("G")), self.latent, self.spec, conditional=self.conditional
        )

    def critique(self, batch: Batch) -> Tensor | None:
        """Logits (n,) of the discriminator for the images of `batch`; None where a game has none to show."""
        D = getattr(self, "D", None)
        if not isinstance(D, nn.Module):
            return None
        with torch.no_grad(), self.undisturbed(D), self.arena.autocast():
            label = batch.get("label") if self.conditional else None
            return D(batch["image"], label).float().flatten()

    # -- what it gets
    # -------------------------------------------------------------------------------------------------------

    @property
    def batch_size(self) -> int:
        """The paper's batch size, over all processes."""
        return self.config.batch_size

    @property
    def players(self) -> dict[str, Player]:
        """The players by attribute name."""
        return {name: child for name, child in self.named_children() if isinstance(child, Player)}

    def seat(self, arena: Arena) -> Game:
        """Move to the arena's device and give every player its seat."""
        self.arena = arena
        self.to(arena.device)
        if self.convolutional:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, player in self.players.items():
            player.seat(name, arena)
        arena.same([*self.parameters(), *self.buffers()])
        return self

    @property
    def convolutional(self) -> bool:
        """Whether any network convolves."""
        return any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in self.modules())

    @property
    def total_rounds(self) -> int:
        """The rounds of all phases."""
        return sum(phase.rounds for phase in self.phases())

    def phase(self) -> tuple[Phase, int]:
        """The phase that the next round belongs to, and how many of its rounds are played; else the last."""
        played = self.rounds
        for phase in self.phases():
            if played < phase.rounds:
                return phase, played
            played -= phase.rounds
        return phase, phase.rounds

    def averaged(self, network: nn.Module) -> nn.Module:
        """The moving average of a network; the network itself where its player keeps none."""
        for player in self.players.values():
            if any(network is candidate for candidate in player.networks):
                return player.ema(network)
        return network

    def choose(self, name: str, given: float | Auto, value: float, reason: str) -> float:
        """The setting as given, or, where it is "auto", `value`; the choice and its reason are told to the user."""
        if given != "auto":
            return float(given)
        self.chosen[name] = f"{value:.4g}: {reason}"
        return value

    def log(self, **values: Tensor) -> None:
        """Log 0-d tensors under their names, without waiting for the device."""
        for name, value in values.items():
            self.arena.log.add(name, value)

    @contextmanager
    def undisturbed(self, *networks: nn.Module) -> Iterator[None]:
        """Running statistics and other buffers of `networks` are put back on leaving."""
        buffers = [buffer for network in networks for buffer in network.buffers()]
        kept = [buffer.clone() for buffer in buffers]
        try:
            yield
        finally:
            for buffer, value in zip(buffers, kept, strict=True):
                buffer.copy_(value)
