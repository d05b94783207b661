"""Arrays of pixels (height, width, channels): conversions between channel counts and bit depths, and the resize.

8-bit images are resized by Pillow's integer filters, 16-bit ones by its float32 filters channel by channel; both
antialias. Colours are multiplied by alpha meanwhile, so that the invisible colour of transparent pixels does not
bleed into visible ones.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
}


def change_bits(array: np.ndarray, bits: int) -> np.ndarray:
    """8 to 16 bits times 257 (255 becomes 65535), 16 to 8 bits by the nearest level."""
    if bits == array.dtype.itemsize * 8:
        return array
    if bits == 16:
        return array.astype(np.uint16) * np.uint16(257)
    return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def change_channels(array: np.ndarray, channels: int) -> np.ndarray:
    """(h, w, 1 | 3 | 4) to `channels`: luma of ITU-R BT.601 for grey, transparency laid over white where it has no
    channel.
    """
    have = array.shape[2]
    if have == channels:
        return array
    top = np.iinfo(array.dtype).max
    if have == 4:
        alpha = array[..., 3:].astype(np.uint64)
        blend = array[..., :3].astype(np.uint64) * alpha + top * (top - alpha)
        return change_channels(((blend + top // 2) // top).astype(array.dtype), channels)
    if channels == 1:
        # Pillow's fixed-point weights of 0.299, 0.587 and 0.114; they add up to 65536.
        weights = np.array([19595, 38470, 7471], dtype=np.uint64)
        luma = (array.astype(np.uint64) @ weights + np.uint64(32768)) >> np.uint64(16)
        return luma.astype(array.dtype)[..., None]
    colour = np.repeat(array, 3, axis=2) if have == 1 else array
    if channels == 3:
        return colour
    return np.concatenate([colour, np.full_like(colour[..., :1], top)], axis=2)


def fit_to(array: np.ndarray, height: int, width: int, resize: str, fit: str) -> np.ndarray:
    """(h, w, c) to (height, width, c): the centre cropped to the new aspect ratio, stretched to it, or padded with
    zeros.
    """
    have_height, have_width, channels = array.shape
    if (have_height, have_width) == (height, width):
        return array
    if fit == "stretch":
        return _resized(array, height, width, resize, (0.0, 0.0, have_width, have_height))
    if fit in ("crop", "tiles"):  # a whole image where a tile is meant
        scale = max(height / have_height, width / have_width)
        box_width, box_height = min(width / scale, have_width), min(height / scale, have_height)
        left, top = (have_width - box_width) / 2, (have_height - box_height) / 2
        return _resized(array, height, width, resize, (left, top, left + box_width, top + box_height))
    scale = min(height / have_height, width / have_width)
    inner_height, inner_width = max(1, round(have_height * scale)), max(1, round(have_width * scale))
    inner = _resized(array, inner_height, inner_width, resize, (0.0, 0.0, have_width, have_height))
    padded = np.zeros((height, width, channels), array.dtype)
    y, x = (height - inner_height) // 2, (width - inner_width) // 2
    padded[y : y + inner_height, x : x + inner_width] = inner
    return padded


def _resized(
    array: np.ndarray, height: int, width: int, resize: str, box: tuple[float, float, float, float]
) -> np.ndarray:
    if array.dtype == np.uint8:
        image = Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array))
        # Pillow multiplies RGBA by alpha itself before it resizes, and divides afterwards.
        return np.asarray(image.resize((width, height), FILTERS[resize], box=box)).reshape(height, width, -1)
    values = array.astype(np.float32)
    top = float(np.iinfo(array.dtype).max)
    if array.shape[2] == 4:
        values[..., :3] *= values[..., 3:] / top
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(values[..., c])).resize((width, height), FILTERS[resize], box=box)
        )
        for c in range(array.shape[2])
    ]
    result = np.stack(planes, axis=2)
    if array.shape[2] == 4:
        alpha = result[..., 3:].clip(0, top)
        result[..., :3] = np.where(alpha > 0, result[..., :3] * top / np.maximum(alpha, 1e-6), 0)
    return np.rint(result.clip(0, top)).astype(array.dtype)
