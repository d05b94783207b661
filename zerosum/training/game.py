"""Games: one published system each, as networks, players and rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from zerosum.core import layout
from zerosum.core.errors import BadOption
from zerosum.core.latents import Latent
from zerosum.core.settings import Auto
from zerosum.data.spec import Batch, Spec, Store
from zerosum.training.arena import Arena
from zerosum.training.augmentation import Augment, Augmentation
from zerosum.training.automatic import explained
from zerosum.training.batches import Order, Shuffled
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
        undecided: the logit that the loss leaves D with where it cannot tell; None where only differences of logits
            have a meaning (relativistic, Wasserstein).
        augmentation: what stands before D, where the run asks for it.
        chosen: what was set to "auto" -> the value that was chosen and why.
    """

    Config: ClassVar[type]
    private: ClassVar[bool] = False
    """Whether its generator must tell nothing about single samples: what is measured on these then decides nothing, and
    stands in no facts.
    """
    latent: Latent
    conditional: bool = False
    undecided: float | None = 0.0
    augmentation: Augmentation | None

    def __init__(self, config: Any, spec: Spec):
        super().__init__()
        self.config, self.spec = config, spec
        self.rounds = 0
        self.chosen: dict[str, str] = {}
        self.arena = Arena()
        self.augmentation = None
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

    def meet(self, store: Store) -> None:
        """Called once before the first round, and before a checkpoint is read: take from the training samples what the
        game has to know of all of them, as buffers. By default nothing.
        """

    def notes(self) -> list[str]:
        """What its user is told whenever training starts, after `meet`: by default nothing."""
        return []

    def order(self, store: Store, seed: tuple[int | str, ...]) -> Order:
        """In which order the training samples come; by default shuffled, epoch after epoch."""
        return Shuffled(len(store), seed)

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

    def certainty(self, batch: Batch) -> Tensor:
        """(n,): how sure D is that the images of `batch` are real, above 0 if it takes them for real.

        Where no logit means "undecided", compared with generated images, one for each: D(x) - D(G(z)).
        """
        logits = self.critique(batch)
        if logits is None:
            raise BadOption(f"{type(self).__name__} shows no logits, so that it cannot be seen how sure D is.")
        if self.undecided is not None:
            return logits - self.undecided
        G, label = self.get_submodule("G"), batch.get("label") if self.conditional else None
        with torch.no_grad(), self.undisturbed(G), self.arena.autocast():
            fake = G(batch["z"], label)
        generated = self.critique({**batch, "image": fake})
        return logits - generated if generated is not None else logits

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
        layout.arrange(self)
        for name, player in self.players.items():
            player.seat(name, arena)
        arena.same([*self.parameters(), *self.buffers()])
        return self

    @property
    def narrow(self) -> bool:
        """Whether its networks gain from bf16: convolutions do, and the wide linear layers that rows of tables meet."""
        return layout.convolves(self) or self.spec.kind == "table"

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
        self.chosen[name] = explained(value, reason)
        return value

    def log(self, **values: Tensor) -> None:
        """Log 0-d tensors under their names, without waiting for the device."""
        for name, value in values.items():
            self.arena.log.add(name, value)

    def augment_with(self, settings: Augment) -> None:
        """From now on D is shown augmented images in each round.

        Raises:
            BadOption: the game has no images or no discriminator.
        """
        D, name = getattr(self, "D", None), type(self).__name__
        if self.spec.kind != "image" or not isinstance(D, nn.Module):
            what = f"samples are {self.spec.kind}" if self.spec.kind != "image" else f"{name} has no single D"
            raise BadOption(f"--augment is for games whose discriminator sees images: here {what}. Leave it out.")
        self.augmentation = Augmentation(settings, self.spec.shape[0])
        D.register_forward_pre_hook(lambda module, given: (self.augment(given[0]), *given[1:]))

    def augment(self, images: Tensor) -> Tensor:
        """Images as D sees them. Calling D does this by itself; calling a method of D does not."""
        return images if self.augmentation is None else self.augmentation(images)

    @contextmanager
    def augmenting(self) -> Iterator[None]:
        """D sees augmented images inside, where the run asks for it; outside of rounds it otherwise does not."""
        if self.augmentation is None:
            yield
            return
        before, self.augmentation.active = self.augmentation.active, True
        try:
            yield
        finally:
            self.augmentation.active = before

    def turn(self, phase: Phase, batches: Batches) -> None:
        """A round of a phase, and what augmentation does around it."""
        if self.augmentation is None:
            phase.play(batches)
            return
        shown = batches.samples
        self.augmentation.before(self, batches)
        with self.augmenting():
            phase.play(batches)
        self.augmentation.after(batches.samples - shown)

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
