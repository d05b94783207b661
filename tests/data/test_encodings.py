"""Encodings: exact both ways, and the resize agrees with Pillow's."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from tests.data.pictures import pixels, png
from zerosum.core.errors import BadData, BadFile
from zerosum.data import ImageEncoding, PointEncoding, Spec, encoding_from_json
from zerosum.data.files import decode
from zerosum.data.pixels import change_bits, change_channels, fit_to

MOST = 10**8


def encoding(*shape: int, **settings: object) -> ImageEncoding:
    return ImageEncoding(Spec(shape), **settings)  # type: ignore[arg-type]


shapes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 3, 4]))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([np.uint8, np.uint16]).flatmap(lambda dtype: hnp.arrays(dtype, shapes)))
def test_decode_undoes_encode(images: np.ndarray) -> None:
    _, height, width, channels = images.shape
    own = encoding(channels, height, width, bits=images.dtype.itemsize * 8)
    batch = own.encode(images)
    assert batch["image"].dtype == torch.float32 and batch["image"].abs().max() <= 1
    decoded = np.stack([np.asarray(image).reshape(height, width, channels) for image in own.decode(batch)])
    assert decoded.dtype == images.dtype and np.array_equal(decoded, images)


@pytest.mark.parametrize(("dtype", "half"), [(np.uint8, 127.5), (np.uint16, 32767.5)])
def test_every_level_is_normalised_as_stated(dtype: type, half: float) -> None:
    levels: np.ndarray = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    own = encoding(1, 1, len(levels), bits=np.dtype(dtype).itemsize * 8)
    encoded = own.encode(levels[None, None])["image"].flatten()
    assert torch.allclose(encoded, torch.from_numpy(levels.astype(np.float64) / half - 1).float(), atol=1e-7, rtol=0)
    assert encoded[0] == -1 and encoded[-1] == 1


@pytest.mark.parametrize(("channels", "bits", "mode"), [(1, 8, "L"), (3, 8, "RGB"), (4, 8, "RGBA"), (1, 16, "I;16")])
def test_modes_of_decoded_images(channels: int, bits: int, mode: str) -> None:
    (image,) = encoding(channels, 5, 7, bits=bits).decode({"image": torch.zeros(1, channels, 5, 7)})
    assert (image.mode, image.size) == (mode, (7, 5))


def test_16_bit_colour_decodes_to_arrays() -> None:
    (array,) = encoding(3, 5, 7, bits=16).decode({"image": torch.ones(1, 3, 5, 7)})
    assert array.dtype == np.uint16 and array.shape == (5, 7, 3) and array.min() == 65535


def test_beyond_the_range_is_clipped_and_nan_is_grey() -> None:
    values = torch.tensor([-9.0, 9.0, float("nan"), float("inf")]).reshape(1, 1, 1, 4)
    assert encoding(1, 1, 4).values(values).flatten().tolist() == [0, 255, 128, 255]


@pytest.mark.parametrize("resize", ["lanczos", "bicubic", "bilinear", "box"])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_is_pillows(resize: str, channels: int) -> None:
    image = Image.fromarray(pixels(40, 60, channels).squeeze())
    filters = Image.Resampling
    wanted = image.resize((12, 8), getattr(filters, resize.upper()))
    ours = encoding(channels, 8, 12, resize=resize).pixels(image)
    assert np.array_equal(ours.transpose(1, 2, 0).squeeze(), np.asarray(wanted))


def test_crop_is_the_centre() -> None:
    image = Image.fromarray(pixels(20, 41, 3))
    wanted = image.resize((10, 10), Image.Resampling.LANCZOS, box=(10.5, 0, 30.5, 20))
    assert np.array_equal(encoding(3, 10, 10).pixels(image).transpose(1, 2, 0), np.asarray(wanted))


def test_stretch_and_pad() -> None:
    array = np.full((10, 20, 3), 200, np.uint8)
    assert (fit_to(array, 8, 8, "box", "stretch") == 200).all()
    padded = fit_to(array, 8, 8, "box", "pad")
    assert (padded[2:6] == 200).all() and (padded[:2] == 0).all() and (padded[6:] == 0).all()


def test_16_bit_resize_is_close_to_8_bit() -> None:
    array = pixels(40, 60, 3)
    small = fit_to(array, 10, 15, "lanczos", "crop")
    fine = fit_to(change_bits(array, 16), 10, 15, "lanczos", "crop")
    assert fine.dtype == np.uint16
    assert np.abs(fine / 257 - small).max() <= 1.0  # Pillow rounds twice, once for each axis


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_of_transparent_pixels_does_not_bleed(dtype: type) -> None:
    top = np.iinfo(dtype).max
    array: np.ndarray = np.zeros((8, 8, 4), dtype)
    array[:, :4] = (top, 0, 0, top)  # red and opaque
    array[:, 4:] = (0, top, 0, 0)  # green and invisible
    small = fit_to(array, 4, 4, "bilinear", "crop")
    visible = small[..., 3] > top // 10
    assert visible.any() and (small[visible][:, 1] == 0).all() and (small[visible][:, 0] >= top - top // 100).all()


def test_grey_is_pillows_luma() -> None:
    array = pixels(16, 16, 3)
    assert np.array_equal(change_channels(array, 1)[..., 0], np.asarray(Image.fromarray(array).convert("L")))


def test_transparency_is_laid_over_white() -> None:
    array = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], np.uint8)
    assert change_channels(array, 3).tolist() == [[[255, 255, 255], [10, 20, 30], [204, 204, 204]]]


def test_bits_there_and_back() -> None:
    array = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert change_bits(array, 16).max() == 65535
    assert np.array_equal(change_bits(change_bits(array, 16), 8), array)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


COLOUR = Image.fromarray(pixels(6, 8, 3))


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        (saved(COLOUR.convert("1"), "PNG"), (6, 8, 1)),
        (saved(COLOUR.convert("P"), "PNG"), (6, 8, 3)),
        (saved(COLOUR.convert("P"), "PNG", transparency=0), (6, 8, 4)),
        (saved(COLOUR.convert("LA"), "PNG"), (6, 8, 4)),
        (saved(COLOUR.convert("CMYK"), "JPEG"), (6, 8, 3)),
        (saved(COLOUR, "GIF", save_all=True, append_images=[COLOUR.rotate(180)]), (6, 8, 3)),
        (saved(COLOUR, "WEBP"), (6, 8, 3)),
        (saved(COLOUR, "BMP"), (6, 8, 3)),
    ],
)
def test_modes_are_converted(content: bytes, shape: tuple[int, ...]) -> None:
    array = decode(content, MOST)
    assert array.shape == shape and array.dtype == np.uint8


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_files(kind: str) -> None:
    array = pixels(6, 8, dtype=np.uint16)
    assert np.array_equal(decode(saved(Image.fromarray(array), kind), MOST)[..., 0], array)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    content = saved(COLOUR, "PNG", exif=exif)
    assert np.array_equal(decode(content, MOST), np.rot90(np.asarray(COLOUR), -1))


@pytest.mark.parametrize(
    "own",
    [
        ImageEncoding(Spec((3, 48, 64), 10), "bicubic", "pad", 16),
        PointEncoding(Spec((2,), 0, "points")),
    ],
)
def test_json(own: ImageEncoding | PointEncoding) -> None:
    assert encoding_from_json(json.loads(json.dumps(own.to_json()))) == own
    assert "resize" in own.to_json() or own.spec.kind == "points"


@pytest.mark.parametrize("content", [{}, {"kind": "sound"}, {"kind": "image"}, {"kind": "points", "spec": 3}])
def test_foreign_json(content: dict[str, object]) -> None:
    with pytest.raises(BadFile, match="encoding"):
        encoding_from_json(content)


def test_points() -> None:
    own = PointEncoding(Spec((2,), 0, "points"))
    points = np.array([[0.5, -3.0], [2.0, 1.0]], np.float32)
    assert np.array_equal(own.decode(own.encode(points)), points)
    with pytest.raises(BadData, match=r"points must have the shape \(n, 2\); got \(2, 3\)"):
        own.encode(np.zeros((2, 3)))


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(BadData, match=r"an image must be uint8 or uint16 .* got float64 \(4, 4, 1\)"):
        encoding(1, 4, 4).encode(np.zeros((1, 4, 4)))


def test_pil_images_of_any_mode_can_be_encoded() -> None:
    mixed = [COLOUR, COLOUR.convert("L"), COLOUR.convert("P"), Image.open(io.BytesIO(png(pixels(9, 5, 4))))]
    assert encoding(3, 6, 8).encode(mixed)["image"].shape == (4, 3, 6, 8)
    assert encoding(3, 6, 8).encode(COLOUR)["image"].shape == (1, 3, 6, 8)
