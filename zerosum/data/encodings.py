"""Encodings: between what the user knows (PIL images, arrays of points) and what networks see (float32 tensors)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zerosum.core.errors import BadData, BadFile
from zerosum.data.files import to_array
from zerosum.data.pixels import FILTERS, change_bits, change_channels, fit_to
from zerosum.data.spec import Batch, Encoding, Spec


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 as it is; uint16 as int16 less 32768, because torch has few operations for uint16; float32 as it is."""
    if pixels.dtype == np.uint16:
        return torch.from_numpy((pixels ^ np.uint16(0x8000)).view(np.int16))
    return torch.from_numpy(np.ascontiguousarray(pixels))


def normalise(values: Tensor) -> Tensor:
    """Stored values to float32: 8-bit x / 127.5 - 1, 16-bit x / 32767.5 - 1, floats (points) unchanged."""
    if values.dtype == torch.uint8:
        return values.to(torch.float32).div_(127.5).sub_(1.0)
    if values.dtype == torch.int16:
        return values.to(torch.float32).add_(32768.0).div_(32767.5).sub_(1.0)
    return values


@dataclass(frozen=True)
class ImageEncoding:
    """Images of any size and mode to (c, h, w) in [-1, 1], and back to PIL images.

    The size, the filter (antialiased), how the aspect ratio is kept and the bits per value are part of it and of its
    JSON. `decode(encode(x)) == x` for images that already have its size, channels and bits.
    """

    spec: Spec
    resize: str = "lanczos"
    fit: str = "crop"
    bits: int = 8

    def pixels(self, image: Image.Image | np.ndarray) -> np.ndarray:
        """One PIL image, or an array (h, w) or (h, w, c) of uint8 or uint16, to (c, h, w) of this encoding's size and
        type.
        """
        array = to_array(image) if isinstance(image, Image.Image) else np.asarray(image)
        array = array[..., None] if array.ndim == 2 else array
        if array.dtype not in (np.uint8, np.uint16) or array.ndim != 3 or array.shape[2] not in (1, 3, 4):
            raise BadData(
                f"an image must be uint8 or uint16 of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); "
                f"got {array.dtype} {array.shape}."
            )
        channels, height, width = self.spec.shape
        array = fit_to(change_channels(array, channels), height, width, self.resize, self.fit)
        return change_bits(array, self.bits).transpose(2, 0, 1)

    def encode(self, raw: Image.Image | np.ndarray | Iterable[Image.Image | np.ndarray]) -> Batch:
        """A PIL image, a list of them, or an array (n, h, w) or (n, h, w, c) to {"image": float32 (n, c, h, w) in [-1,
        1]}.
        """
        images = [raw] if isinstance(raw, Image.Image) else list(raw)
        pixels = [self.pixels(image) for image in images]
        dtype = np.uint16 if self.bits == 16 else np.uint8
        stacked = np.stack(pixels) if pixels else np.zeros((0, *self.spec.shape), dtype)
        return {"image": normalise(to_tensor(stacked))}

    def values(self, images: Tensor) -> np.ndarray:
        """Float images (n, c, h, w) to uint8 or uint16 (n, h, w, c), rounded; clipped to [-1, 1], NaN as mid-grey."""
        half = 32767.5 if self.bits == 16 else 127.5
        scaled = images.detach().to("cpu", torch.float32).nan_to_num(nan=0.0).clamp(-1, 1).add(1).mul(half).round()
        dtype = np.uint16 if self.bits == 16 else np.uint8
        return scaled.permute(0, 2, 3, 1).numpy().astype(dtype)

    def decode(self, batch: Batch) -> list[Any]:
        """{"image": (n, c, h, w)} to PIL images of mode L, RGB, RGBA or, with 16 bits, I;16.

        Pillow knows no 16-bit colour: with 16 bits and 3 or 4 channels the list holds uint16 arrays (h, w, c).
        """
        arrays = self.values(batch["image"])
        if self.bits == 16 and arrays.shape[3] > 1:
            return list(arrays)
        return [Image.fromarray(array[..., 0] if array.shape[2] == 1 else array) for array in arrays]

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "image",
            "spec": _spec_json(self.spec),
            "resize": self.resize,
            "antialias": True,
            "fit": self.fit,
            "bits": self.bits,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> ImageEncoding:
        """The encoding that wrote `content`."""
        encoding = cls(_spec(content), str(content["resize"]), str(content["fit"]), int(content["bits"]))
        if encoding.resize not in FILTERS or encoding.bits not in (8, 16):
            raise BadFile(
                f"an image encoding with resize {encoding.resize!r} and {encoding.bits} bits is not known here."
            )
        return encoding


@dataclass(frozen=True)
class PointEncoding:
    """Points (n, d), unscaled: networks see the coordinates as they are."""

    spec: Spec

    def encode(self, raw: np.ndarray) -> Batch:
        """An array (n, d) to {"image": float32 (n, d)}."""
        array = np.asarray(raw, dtype=np.float32)
        if array.ndim != 2 or array.shape[1:] != self.spec.shape:
            raise BadData(f"points must have the shape (n, {self.spec.shape[0]}); got {array.shape}.")
        return {"image": torch.from_numpy(array.copy())}

    def decode(self, batch: Batch) -> np.ndarray:
        """{"image": (n, d)} to a float32 array (n, d)."""
        return batch["image"].detach().to("cpu", torch.float32).numpy()

    def to_json(self) -> dict[str, Any]:
        return {"kind": "points", "spec": _spec_json(self.spec)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> PointEncoding:
        """The encoding that wrote `content`."""
        return cls(_spec(content))


def encoding_from_json(content: dict[str, Any]) -> Encoding:
    """The encoding that wrote `content` with its `to_json`."""
    try:
        match content["kind"]:
            case "image":
                return ImageEncoding.from_json(content)
            case "points":
                return PointEncoding.from_json(content)
            case "table":
                from zerosum.data.tables.encoding import TableEncoding

                return TableEncoding.from_json(content)
            case other:
                raise BadFile(
                    f"an encoding of kind {other!r} is not known here: 'image', 'points' and 'table' are. "
                    "Update zerosum?"
                )
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"the encoding {content!r} is not complete ({error!r}); save the generator again.") from error


def _spec_json(spec: Spec) -> dict[str, Any]:
    content = {**asdict(spec), "shape": list(spec.shape), "source": list(spec.source) if spec.source else None}
    names = ("shape", "classes", "kind", "source", "paired") if spec.source else ("shape", "classes", "kind")
    return {name: content[name] for name in names}


def _spec(content: dict[str, Any]) -> Spec:
    fields = content["spec"]
    spec = Spec(tuple(int(side) for side in fields["shape"]), int(fields["classes"]), str(fields["kind"]))
    if fields.get("source") is None:
        return spec
    channels, height, width = (int(side) for side in fields["source"])
    return replace(spec, source=(channels, height, width), paired=bool(fields["paired"]))
