"""What games of image-to-image translation share: which data they need, and what their discriminators say."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zerosum.core.errors import BadOption
from zerosum.data.spec import Batch, Spec
from zerosum.training.game import Game


def source_of(spec: Spec, system: str, *, paired: bool = False) -> tuple[int, int, int]:
    """(channels, height, width) of the images to start from.

    Raises:
        BadOption: the data has none, or (paired) none that belong to its images.
    """
    if spec.kind != "image":
        raise BadOption(f"{system} translates images; this data is {spec.kind} of shape {spec.shape}.")
    if spec.source is None:
        raise BadOption(
            f"{system} translates images into images, but the data tells no sources: give --data.source left or right "
            "(pairs side by side), --data.source PATH (a folder with the same names), or --data.source CLASS "
            "(unpaired, of a data set with classes)."
        )
    if paired and not spec.paired:
        raise BadOption(
            f"{system} learns from pairs, but any source goes with any image here: give pairs, or train cyclegan or "
            "cut, which need none."
        )
    return spec.source


class Translation(Game):
    """A game whose discriminator judges patches of images, D(image) -> logits (n, 1, h', w')."""

    def judged(self, batch: Batch) -> Tensor:
        """What D is shown of a batch, (n, c, h, w); by default its images."""
        return batch["image"]

    def critique(self, batch: Batch) -> Tensor | None:
        """Logits (n,): the mean over the patches."""
        D = getattr(self, "D", None)
        if not isinstance(D, nn.Module):
            return None
        with torch.no_grad(), self.undisturbed(D), self.arena.autocast():
            maps = D(self.judged(batch))
            maps = maps if isinstance(maps, list) else [maps]
            return torch.stack([logits.float().flatten(1).mean(1) for logits in maps]).mean(0)
