"""What games of super-resolution share: patches and what they are enlarged from, two phases, features to compare by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from zerosum.core.errors import BadOption
from zerosum.core.latents import Latent, Normal, Uniform
from zerosum.core.randomness import generator
from zerosum.data.spec import Batch, Store
from zerosum.networks import shapes
from zerosum.objectives.degradations import bicubic
from zerosum.objectives.jitter import CROP_DRAWS, crop
from zerosum.objectives.perceptual import Perceptual, exemplar, vgg19
from zerosum.training.arena import Arena
from zerosum.training.automatic import explained
from zerosum.training.batches import Batches
from zerosum.training.game import Game, Phase
from zerosum.training.player import Losses, Player, simultaneously
from zerosum.training.translation import Translation
from zerosum.training.translator import Translator

EXEMPLARS, SIDE = 4096, 32
"""Patches that the features without labels are learned from, each of a tile of its own, and their pixels a side."""


class SuperResolution(Translation):
    """A game of two phases: first G learns to be near the pixels of what it is to restore, then to look real, too.

    What srgan, esrgan and real_esrgan share. A system calls `prepared`, makes G and its player, and, where there
    is a game, D and its player and calls `perceiving`; it writes `pixel_loss` and `losses`.

    Attributes:
        layers: of VGG-19, and the weight of each in the distance of features.
        draws: random numbers that `pose` takes for an image.
        source: (channels, height, width) of what a whole sample is made from.
    """

    layers: ClassVar[Mapping[str, float]]
    draws: ClassVar[int] = 1
    G: nn.Module
    generator: Player
    discriminator: Player

    def prepared(self, system: str) -> tuple[int, int, int]:
        """(channels, height, width) of a patch.

        Raises:
            BadOption: the data's images, the patches and the scale do not go together.
        """
        (channels, height, width), config = shapes.image_size(self.spec), self.config
        if channels == 4:
            raise BadOption(
                f"{system} learns from grey and colour images, but these have transparency: give --data.channels 3. "
                "What is transparent in an image stays so when that is enlarged."
            )
        if min(height, width) < config.patch:
            raise BadOption(
                f"{system} cuts patches of {config.patch} pixels a side, but the data gives {height} x {width}: give "
                f"--data.fit tiles --data.resolution {config.patch} or more, or a smaller --patch."
            )
        if config.scale < 1 or any(side % config.scale for side in (height, width, config.patch)):
            raise BadOption(
                f"--scale {config.scale} must divide the data's {height} x {width} pixels and --patch {config.patch}."
            )
        if config.rounds + config.pixel_rounds < 1:
            raise BadOption(f"{system} has nothing to play: --rounds and --pixel-rounds are both 0.")
        self.latent = Normal(0)
        self.source = (channels, height // config.scale, width // config.scale)
        return channels, config.patch, config.patch

    def perceiving(self, channels: int) -> None:
        """Choose the features in whose distance G's images are to be near, and say so."""
        vgg, self.vgg = self.config.vgg, tuple[Perceptual, ...]()
        if vgg is not None:
            self.chosen["vgg"] = explained(vgg, "perceptual features of VGG-19, " + ", ".join(self.layers))
            return
        shown = f"{self.config.exemplar:,} patches shown"
        reason = f"perceptual features are learned from the data, without labels ({shown})"
        self.chosen["vgg"] = explained(None, reason)
        # Of noise, as yet: checkpoints need its place, `learn` puts the data's there.
        noise = torch.zeros(2, channels, 8, 8)
        self.learned = Perceptual(exemplar(noise, torch.arange(2), samples=16, batch_size=2))

    def seat(self, arena: Arena) -> Game:
        """As every game; VGG-19's weights are read here, where training begins: a trained generator needs no such file.

        Raises:
            BadFile: `--vgg` names no such weights.
        """
        if self.config.rounds and self.config.vgg is not None:
            perceptual = Perceptual(vgg19(self.config.vgg, tuple(self.layers)), self.layers).to(arena.device)
            self.vgg = (perceptual,)  # a tuple is not registered: it never changes, so checkpoints need not hold it
        return super().seat(arena)

    @property
    def perceptual(self) -> Perceptual:
        """The distance of features."""
        return self.vgg[0] if self.vgg else self.learned

    def phases(self) -> list[Phase]:
        """Pixels, then features where they have to be learned, then the game."""
        config = self.config
        phases = [Phase("pixel", config.pixel_rounds, self.near)]
        if config.rounds:
            phases += [Phase("features", 1, self.learn)] if config.vgg is None else []
            phases += [Phase("game", config.rounds, self.round, enter=self.begin)]
        return [phase for phase in phases if phase.rounds]

    def act(self) -> tuple[bool, float]:
        """Whether this round is of the game, and how much of its phase is played."""
        phase, played = self.phase()
        return phase.name == "game", played / phase.rounds

    def noise(self) -> dict[str, Latent]:
        """Where a patch is cut and how it is turned, and how it is made worse."""
        return {"crop": Uniform(CROP_DRAWS, 0.0, 1.0), "pose": Uniform(self.draws, 0.0, 1.0)}

    def pose(self, images: Tensor, draws: Tensor) -> Tensor:
        """What is to be enlarged into images (n, c, h, w): the images made small bicubically, with 256 levels."""
        small = bicubic(images, self.config.scale)
        return ((small.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1

    def posed(self, batch: Batch) -> Batch:
        """Patches, and what they are to be made from."""
        image = crop(batch["image"], batch["crop"], self.config.patch)
        return self.arena.place({"image": image, "source": self.pose(image, batch["pose"])})

    def near(self, batches: Batches) -> None:
        """A round of the pixel phase: one step of G."""
        self.generator.step(self.pixel_loss, self.posed(next(batches)))

    def learn(self, batches: Batches) -> None:
        """The one round in which features are learned, from tiles of the training data; the same in each process."""
        patches = exemplars(batches.store, self.config.patch).to(self.arena.device)
        features = exemplar(patches, torch.arange(len(patches), device=patches.device), samples=self.config.exemplar)
        self.learned = Perceptual(features)
        self.arena.same([*features.parameters(), *features.buffers()])

    def begin(self) -> None:
        """The game starts from the average of the pixel phase, where one is kept; the optimizer's memory is cleared."""
        self.G.load_state_dict(self.averaged(self.G).state_dict())
        self.generator.reset()

    def round(self, batches: Batches) -> None:
        """A round of the game: one step of both at once."""
        simultaneously(self.losses, self.posed(next(batches)), self.generator, self.discriminator)

    def pixel_loss(self, batch: Batch) -> Losses:
        """How far G's images are from the pixels."""
        raise NotImplementedError

    def losses(self, batch: Batch) -> tuple[Losses, Losses]:
        """The terms of G and those of D."""
        raise NotImplementedError

    def critique(self, batch: Batch) -> Tensor | None:
        """Logits (n,), the means of maps where D makes these; None where there is no game."""
        D = getattr(self, "D", None)
        if not isinstance(D, nn.Module):
            return None
        with torch.no_grad(), self.undisturbed(D), self.arena.autocast():
            image = self.judged(batch)
            return D(image).float().view(len(image), -1).mean(1)

    def judged(self, batch: Batch) -> Tensor:
        """The middle of the images, as large as a patch."""
        return shapes.crop(batch["image"], self.config.patch, self.config.patch)

    def trained(self) -> Translator:
        """G, or its moving average."""
        return self.translator(self.averaged(self.G))

    def translator(self, network: nn.Module) -> Translator:
        """The translator whose network this is."""
        return Translator(
            network, self.latent, self.spec, source=self.source, scale=self.config.scale, pose=self.pose,
            draws=self.draws,
        )  # fmt: skip


def exemplars(store: Store, patch: int) -> Tensor:
    """A patch (c, 32, 32), or of `patch` pixels where that is less, of each of 4,096 samples, at most: (n, c, h, w)."""
    random = generator("cpu", "exemplars")
    chosen = torch.randperm(len(store), generator=random)[:EXEMPLARS].sort().values  # in order: neighbours share files
    draws = torch.rand(len(chosen), CROP_DRAWS, generator=random)
    found = [
        crop(store.fetch(indices)["image"], own, min(SIDE, patch))
        for indices, own in zip(chosen.split(64), draws.split(64), strict=True)
    ]
    return torch.cat(found)
