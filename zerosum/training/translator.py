"""Generators that start from an image: translation, super-resolution, colouring, filling in."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zerosum.core import randomness
from zerosum.core.errors import BadData, BadOption
from zerosum.core.latents import Latent
from zerosum.data.encodings import ImageEncoding, normalise, to_tensor
from zerosum.data.files import to_array
from zerosum.data.pixels import change_bits, change_channels
from zerosum.data.spec import Spec, Store
from zerosum.data.stores import Sources
from zerosum.training.generator import Given, TrainedGenerator
from zerosum.training.tiling import Tiling, bands, common_statistics, enlarged, thumbnail

Pose = Callable[[Tensor, Tensor], Tensor]
"""(images (n, c, h, w), draws (n, k) uniform in [0, 1)) -> what is to be translated into them, (n, c', h', w')."""


class Translator(TrainedGenerator):
    """A generator whose network takes an image, then z where there is one, then labels where it is conditional.

    Where a source has one channel more than an image, that channel is a mask, 1 where the image is known and 0 in
    holes, and the other channels are 0 in holes (`degradations.holed`): such a network fills in.

    Args:
        network: (source (n, c', h', w')[, z][, label]) -> (n, c, scale h', scale w'). One with a part called `back`
            translates the other way too: see `back`.
        latent: the distribution of z; Normal(0) for networks without.
        spec: what one encoded image looks like that comes out.
        source: (channels, height, width) of what goes in, in training; other sizes do as well.
        conditional: whether the network takes labels.
        scale: how many times larger the output is.
        multiple: the network takes sides that are multiples of this; others are made so by reflection.
        pose: makes sources from images, for systems that are trained on images alone (super-resolution ...).
        draws: numbers that `pose` takes for an image.
    """

    example = (
        "import zerosum\nfrom PIL import Image\n\n"
        'zerosum.load("this/folder").translate(Image.open("photo.png"))[0].save("translated.png")'
    )

    def __init__(
        self, network: nn.Module, latent: Latent, spec: Spec, *, source: tuple[int, int, int],
        conditional: bool = False, scale: int = 1, multiple: int = 1, pose: Pose | None = None, draws: int = 1,
    ):  # fmt: skip
        super().__init__(network, latent, spec, conditional=conditional)
        self.source, self.scale, self.multiple, self.pose, self.draws = source, scale, multiple, pose, draws
        self.store: Store | None = None

    @property
    def fills_in(self) -> bool:
        """Whether sources are images with holes and a mask of what is known."""
        return self.source[0] == self.spec.shape[0] + 1

    @property
    def paired(self) -> bool:
        """Whether there is one right answer to each source of `ask`: pairs, or sources made from the images."""
        return self.spec.paired or (self.pose is not None and not self.conditional)

    def distinct(self, n: int) -> int:
        """How many of n translations are not repetitions: of the sources of `ask` there may be fewer."""
        if self.store is None or self.latent.size or self.conditional:
            return n
        return min(n, len(Sources(self.store) if self.pose is None else self.store))

    @property
    def back(self) -> Translator:
        """The translator from images to sources, where the system has trained one.

        Raises:
            BadOption: it has not.
        """
        network = getattr(self.network, "back", None)
        if not isinstance(network, nn.Module):
            raise BadOption(
                "this generator translates one way only. One that cyclegan trained here translates both; of released "
                "weights, import the file of the other direction (latest_net_G_B.pth)."
            )
        channels, height, width = self.spec.shape
        spec = replace(self.spec, shape=self.source, source=(channels, height, width))
        other = Translator(network, self.latent, spec, source=(channels, height, width), multiple=self.multiple)
        other.encoding = replace(self.encoding, spec=spec) if isinstance(self.encoding, ImageEncoding) else None
        other.facts = self.facts
        return other.to(self.device)

    def ask(self, store: Store) -> Translator:
        """From now on `tensors` translates what belongs to the samples of a store."""
        self.store = store
        return self

    def sources(self, start: int, count: int, seed: int = 0) -> Tensor:
        """The sources (count, c', h', w') of the samples from `start` on, in turn, on the generator's device.

        Raises:
            BadOption: nobody has said (`ask`) whose.
        """
        if self.store is None:
            raise BadOption(
                "this generator translates images, it does not make them from noise: `zerosum translate RUN in/ "
                "--out out/`, or translate(images)."
            )
        store = Sources(self.store) if self.pose is None else self.store
        images = store.fetch(torch.arange(start, start + count) % len(store))["image"].to(self.device)
        if self.pose is None:
            return images
        numbers = [torch.rand(self.draws, generator=randomness.generator("cpu", seed, "pose", index))
                   for index in range(start, start + count)]  # fmt: skip
        return self.pose(images, torch.stack(numbers).to(self.device))

    def forward(self, z: Tensor, given: Given | None = None, truncation: float = 1.0) -> Tensor:
        """Encoded images (n, c, h, w) in [-1, 1].

        Args:
            z: (n, latent.size).
            given: {"source": (n, c', h', w')}, and {"label": int64 (n,)} where it is conditional.
            truncation: factor on a normal z.
        """
        return self.synthesise(self.map(z, given, truncation), given)

    def synthesise(self, w: Tensor, given: Given | None = None) -> Tensor:
        """Encoded images from z (n, latent.size) and given["source"], differentiable."""
        if not given or given.get("source") is None:
            raise BadOption("this generator translates images: give {'source': float tensor (n, c, h, w) in [-1, 1]}.")
        label = self.condition(given)
        inputs = [given["source"]] + ([w] if self.latent.size else []) + ([] if label is None else [label])
        made: Tensor = self.network(*inputs)
        return made

    def settle(self, passes: int = 8, batch: int = 64) -> None:
        """Estimate the statistics of batch norms anew, from translations of the sources at hand; without any, leave
        them.
        """
        if self.store is not None:
            super().settle(passes, min(batch, self.at_once))

    def conditions(self, start: int, count: int, draw: torch.Generator) -> Given:
        """Random labels, and the sources from `start` on."""
        return super().conditions(start, count, draw) | {"source": self.sources(start, count)}

    @torch.no_grad()
    def tensors(
        self, n: int, *, given: Given | None = None, seed: int = 0, truncation: float = 1.0, batch: int | None = None
    ) -> Iterator[Tensor]:
        """Translations of n sources in batches: those given as {"source": (n, c', h', w')}, else those of `ask`."""
        batch = batch or self.at_once
        own = (given or {}).get("source")
        label = self._label(n, {key: value for key, value in (given or {}).items() if key != "source"}, seed)
        z = self.latent.draw(n, randomness.generator("cpu", seed, "z"))
        for start in range(0, n, batch):
            count = min(batch, n - start)
            source = self.sources(start, count, seed) if own is None else own[start : start + count].to(self.device)
            conditions = {"source": source}
            if label is not None:
                conditions["label"] = label[start : start + count].to(self.device)
            yield self(z[start : start + count].to(self.device), conditions, truncation).float()

    def class_number(self, label: int | str | None) -> int | None:
        """A class by its number or name; None for a generator without.

        Raises:
            BadOption: there is no such class, none was given, or it knows none.
        """
        names = self.class_names
        known = ", ".join(names[:20]) or f"the numbers 0 to {self.spec.classes - 1}"
        if not self.conditional:
            if label is not None:
                raise BadOption(f"label {label}: this generator knows no labels, it has one kind of answer: give none.")
            return None
        if label is None:
            raise BadOption(f"what is to be translated into? Give a label: {known}.")
        if label in names:
            return names.index(str(label))
        if str(label).isdigit() and int(label) < self.spec.classes:
            return int(label)
        near = difflib.get_close_matches(str(label), names, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise BadOption(f"label {label}: there is no such class.{hint} The labels are {known}.")

    @torch.no_grad()
    def translate(
        self, images: Any, *, label: int | str | None = None, seed: int = 0, tile: int | None = None,
        overlap: int | None = None,
    ) -> list[Any]:  # fmt: skip
        """Images of any size, translated: PIL images give PIL images, arrays arrays.

        An alpha channel that the network does not know is kept (enlarged as the image is), and so are 16 bits. A
        network that fills in (see above) takes what is transparent, by more than half, for holes, and leaves the rest
        of the image as it is.

        Args:
            images: a PIL image, an array (h, w) or (h, w, c) of uint8 or uint16, or a list of them.
            label: what to translate into, for a conditional generator: a class by its number or name.
            seed: of z, for a generator that has several answers.
            tile: images larger than this are translated in tiles of so many pixels a side, in a bounded memory; by
                default such that a tile's output has 1,024.
            overlap: pixels that neighbouring tiles share; by default 64, or a quarter of smaller tiles.

        Raises:
            BadData: something that is not an image.
            BadOption: a label that does not exist, or is missing; tiles that are too small.

        Example:
            >>> translator = zerosum.load("runs/facades")
            >>> translator.translate(Image.open("labels.png"))[0].save("facade.png")
        """
        several = isinstance(images, Sequence)
        tiling, number = Tiling.of(self.scale, self.multiple, tile, overlap), self.class_number(label)
        return [self._translated(image, number, seed, tiling) for image in (images if several else [images])]

    def _translated(self, image: Any, label: int | None, seed: int, tiling: Tiling) -> Any:
        array = pixels_of(image)
        channels, bits = self.spec.shape[0], array.dtype.itemsize * 8
        alpha = array[..., 3:] if array.shape[2] == 4 else None
        if self.fills_in:
            hidden = np.zeros_like(array[..., :1], bool) if alpha is None else alpha <= np.iinfo(alpha.dtype).max // 2
            seen = change_channels(array if alpha is None or channels == 4 else array[..., :3], channels)
            mask = torch.from_numpy(~hidden.transpose(2, 0, 1)[None]).float()
            made = self._in_tiles(torch.cat([encoded(seen) * mask, mask], 1), label, seed, tiling, bits)
            made = np.where(hidden, made, seen)
        elif alpha is None or self.source[0] == 4:
            made = self._in_tiles(encoded(change_channels(array, self.source[0])), label, seed, tiling, bits)
        else:
            seen = change_channels(array[..., :3], self.source[0])
            made = change_channels(self._in_tiles(encoded(seen), label, seed, tiling, bits), 3)
            made = np.concatenate([made, enlarged(alpha, tiling.scale)], axis=2)
        if not isinstance(image, Image.Image):
            return made
        pixels = made if bits == 16 and made.shape[2] == 1 else change_bits(made, 8)
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)

    def _in_tiles(self, source: Tensor, label: int | None, seed: int, tiling: Tiling, bits: int) -> np.ndarray:
        """(1, c', h, w) in [-1, 1] to pixels (scale h, scale w, c)."""
        source = source.to(self.device)
        z = self.latent.draw(1, randomness.generator("cpu", seed, "z")).to(self.device)
        asked = None if label is None else torch.tensor([label], device=self.device)

        def network(piece: Tensor) -> Tensor:
            return self(z, {"source": piece, "label": asked})

        encoding = ImageEncoding(self.spec, bits=bits)
        height, width = (side * tiling.scale for side in source.shape[2:])
        found = np.empty((height, width, self.spec.shape[0]), np.uint16 if bits == 16 else np.uint8)
        cut = max(source.shape[2:]) > tiling.side
        small = common_statistics(self.network, lambda: network(thumbnail(source, tiling))) if cut else nullcontext()
        top = 0
        with small:
            for band in bands(network, source, tiling):
                found[top : top + band.shape[2]] = encoding.values(band)[0]
                top += band.shape[2]
        return found


def encoded(pixels: np.ndarray) -> Tensor:
    """Pixels (h, w, c) as (1, c, h, w) in [-1, 1]."""
    return normalise(to_tensor(np.array(pixels.transpose(2, 0, 1), order="C"))[None])  # a copy: Pillow's are read-only


def pixels_of(image: Any) -> np.ndarray:
    """A PIL image or an array as (h, w, c) of uint8 or uint16. Raises BadData."""
    if isinstance(image, Image.Image):
        try:
            return to_array(image)
        except Exception as error:  # a hostile file can make a decoder raise anything
            raise BadData(f"an image to be translated cannot be decoded: {error}.") from error
    if not isinstance(image, np.ndarray):
        raise BadData(f"a {type(image).__name__} was given to be translated: give PIL images or arrays (h, w, c).")
    array = image[..., None] if image.ndim == 2 else image
    if array.dtype not in (np.uint8, np.uint16) or array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise BadData(
            f"an image to be translated is {image.dtype} of shape {image.shape}; expected uint8 or uint16, (h, w) or "
            "(h, w, c) with 1, 3 or 4 channels."
        )
    return array
