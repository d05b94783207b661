"""Encoded image files: opening them safely, what their headers say, and their pixels as arrays.

Conversions: 1-bit to grey; palette to colour, with transparency where the file has any; grey with alpha to RGBA;
CMYK, YCbCr, LAB and HSV to RGB; the first frame of an animation; EXIF orientation applied. 16-bit colour is read as
8 bits by Pillow.
"""

from __future__ import annotations

import contextlib
import functools
import io
import threading
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zerosum.data.found import Item

# Pixel formats only: no PostScript or PDF, whose readers run programs.
FORMATS = [
    "PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF", "PCX", "SGI", "TGA",
]  # fmt: skip
ORIENTATION = 0x0112
"""The EXIF tag."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
LOSSES = ("animated", "16-bit", "damaged")
"""How conversions begin that leave something of an image out."""


class Unusable(Exception):
    """A file that cannot be used: `kind` is one of `report.UNUSABLE`, the text says why."""

    def __init__(self, kind: str, why: str):
        super().__init__(why)
        self.kind = kind


def content_of(item: Item) -> bytes:
    """The bytes of an item. Raises Unusable."""
    try:
        return item.read()
    except Unusable:
        raise
    except OSError as error:
        raise Unusable("unreadable", error.strerror or str(error)) from error
    except Exception as error:  # a damaged archive can make its reader raise anything
        raise Unusable("broken", f"{type(error).__name__}: {error}") from error


class Header(NamedTuple):
    """What the beginning of an image file says, after conversions."""

    height: int
    width: int
    channels: int
    bits: int
    conversions: tuple[str, ...]


class OwnLimit:
    """Inside, Pillow's limit on pixels is off, because ours (`Data.max_pixels`) is applied. May be entered by many
    threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                Image.MAX_IMAGE_PIXELS = self._before


own_limit = OwnLimit()


def open_image(content: bytes, max_pixels: int) -> Image.Image:
    """The image in `content`, its header read and nothing more. Raises Unusable."""
    if not content:
        raise Unusable("empty", "the file has 0 bytes")
    try:
        image = Image.open(io.BytesIO(content), formats=_formats())
    except UnidentifiedImageError as error:
        raise Unusable(
            "not an image", f"no image format is recognised in it (it begins with {content[:8]!r})"
        ) from error
    except Exception as error:  # a hostile file can make a decoder raise anything
        raise Unusable("broken", f"{type(error).__name__}: {error}") from error
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height}"
        raise Unusable("too large", f"{size} pixels are more than --data.max-pixels {max_pixels:,}")
    return image


@functools.cache
def _formats() -> list[str]:
    """Those of FORMATS that this version of Pillow has."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def header(content: bytes, max_pixels: int) -> Header:
    """Size, channels, bits and conversions of an encoded image, without decoding it. Raises Unusable."""
    image = open_image(content, max_pixels)
    try:
        return _header(image)
    except Exception as error:  # a hostile file can make a decoder raise anything
        raise Unusable("broken", f"{type(error).__name__}: {error}") from error


def _header(image: Image.Image) -> Header:
    conversions = []
    width, height = image.size
    try:
        # A PNG may have EXIF after its pixels; to look there, Pillow would decode all of it.
        known = image.format != "PNG" or "exif" in image.info
        if known and image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8):
            width, height = height, width
    except Exception:  # damaged EXIF: `to_array` meets it again and reads the image without it
        conversions.append("damaged EXIF: orientation ignored")
    if (frames := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":
        conversions.append(f"animated: first of {frames} frames")
    channels, bits = _channels(image), 16 if image.mode.startswith("I") else 8
    if image.mode not in ("L", "RGB", "RGBA") and not image.mode.startswith("I"):
        conversions.append(f"mode {image.mode} read as {MODES[channels]}")
    if bits == 8 and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        conversions.append("16-bit colour read as 8 bits")
    return Header(height, width, channels, bits, tuple(conversions))


def _channels(image: Image.Image) -> int:
    if image.mode == "F" or image.mode.startswith("I"):
        return 1
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return 4
    return 1 if image.mode in ("1", "L") else 3


def to_array(image: Image.Image) -> np.ndarray:
    """The pixels (h, w, c), c 1, 3 or 4, as uint8, or uint16 for 16-bit grey.

    Raises:
        ValueError: the values fit into neither.
    """
    image.load()
    with contextlib.suppress(Exception):  # what fails here is damaged EXIF, of any kind: the orientation is left alone
        image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("its values are floats; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        array = np.asarray(image)
        if array.min() < 0 or array.max() > 65535:
            raise ValueError(f"its values reach from {array.min()} to {array.max()}; 16 bits hold 0 to 65535")
        return array.astype(np.uint16)[..., None]
    wanted = MODES[_channels(image)]
    array = np.asarray(image if image.mode == wanted else image.convert(wanted))
    return array.reshape(*array.shape[:2], -1)


def decode(content: bytes, max_pixels: int) -> np.ndarray:
    """The pixels of an encoded image (see `to_array`). Raises Unusable."""
    image = open_image(content, max_pixels)
    try:
        return to_array(image)
    except Exception as error:  # a hostile file can make a decoder raise anything
        kind = "truncated" if "truncated" in str(error).lower() else "broken"
        raise Unusable(kind, str(error) or type(error).__name__) from error
