"""Pictures at the door: what each kind becomes for the core, without the core."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from qbg import images

take = partial(images.take, max_pixels=1 << 30)


def pixels(source: images.Source) -> np.ndarray:
    """What the core gets, as an array."""
    assert isinstance(source.image, tuple)
    height, width, channels, data = source.image
    return np.frombuffer(data, np.uint8).reshape(height, width, channels)


def test_paths_and_bytes(tmp_path: Path) -> None:
    assert take("a.jpg").is_path
    assert take(tmp_path / "a.jpg").image == str(tmp_path / "a.jpg")
    assert take("caf\udce9.jpg").image == b"caf\xe9.jpg"
    for data in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
        source = take(data)
        assert (source.image, source.is_path, source.kind) == (b"abc", False, "bytes")


def test_arrays_are_copied() -> None:
    array = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    source = take(array[:, ::-2])
    want = array[:, ::-2].copy()
    array[:] = 0
    np.testing.assert_array_equal(pixels(source), want)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.uint16),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="an array must be"):
        take(array)


def test_other_objects_are_refused() -> None:
    for thing in (None, 3, [1, 2]):
        with pytest.raises(TypeError, match="a picture is"):
            take(thing)


@pytest.mark.parametrize(
    ("mode", "color", "want"),
    [
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (1, 2, 3, 4), (1, 2, 3, 4)),
        ("L", 9, (9, 9, 9)),
        ("LA", (9, 100), (9, 9, 9, 100)),
        ("1", 1, (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 257 * 7 + 128, (7, 7, 7)),
        ("I;16", 257 * 7 + 129, (8, 8, 8)),
        ("I", 257 * 200, (200, 200, 200)),
    ],
)
def test_modes(mode: str, color: Any, want: tuple[int, ...]) -> None:
    got = pixels(take(Image.new(mode, (3, 2), color)))
    assert got.shape == (2, 3, len(want))
    assert tuple(got[1, 2]) == want


def test_palette_with_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    assert pixels(take(image)).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    image.info["transparency"] = 1
    assert pixels(take(image)).tolist() == [[[10, 20, 30, 255], [40, 50, 60, 0]]]


def test_float_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="mode F"):
        take(Image.new("F", (2, 2)))


def test_orientation_is_applied_once() -> None:
    image = Image.new("RGB", (2, 1))
    image.putpixel((1, 0), (255, 0, 0))
    memory = io.BytesIO()
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    image.save(memory, "PNG", exif=exif)
    opened = Image.open(memory)
    turned = pixels(take(opened))
    assert turned[:, :, 0].tolist() == [[0], [255]]
    again = Image.fromarray(turned)
    np.testing.assert_array_equal(pixels(take(again)), turned)


def test_profile_travels_with_the_pixels() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGB", (4, 3), (10, 200, 30))
    image.info.update(icc_profile=profile, dpi=(300, 300))
    source = take(image)
    assert isinstance(source.image, bytes)
    stored = Image.open(io.BytesIO(source.image))
    assert stored.info["icc_profile"] == profile
    np.testing.assert_array_equal(np.asarray(stored), np.asarray(image))
    assert source.info == {"dpi": (300, 300)}
