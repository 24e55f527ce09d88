"""The kernels through Python, at each SIMD level, against Pillow and NumPy.

`make test` runs this file once more with QBG_SIMD set: then `auto` is that level. The sweeps over
widths, offsets and guard bytes are Rust's (`rust/core/src/*/`); here is the outside witness.
"""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import oracles
from conftest import PICTURES, SAMPLES
from oracles import recipe as by_hand
from qbg import _native
from qbg.options import Options
from qbg.recipe import Recipe

LEVELS = ("auto", "scalar", "avx2", "avx512")
PIL_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}
U2NETP = Recipe(
    height=320, width=320, filter="lanczos", scale="maximum", min_max=True, rounding="truncate",
    output_filter="lanczos",
)  # fmt: skip


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    """A level that this CPU has; a loud skip, or with QBG_REQUIRE_LEVEL a failure, for one that it lacks."""
    name = request.param
    present = ("auto", *_native.system()["simd_levels"])
    if name not in present:
        if os.environ.get("QBG_REQUIRE_LEVEL") == name:
            pytest.fail(f"QBG_REQUIRE_LEVEL={name}, but this CPU has only {', '.join(present[1:])}")
        pytest.skip(f"SKIPPED: this CPU has no {name}, so nothing is proven about it")
    return name


def pattern(height: int, width: int, channels: int) -> np.ndarray:
    """(H, W, C) uint8 of prime period 251, so that no two places that could be swapped look alike."""
    count = height * width * channels
    return (np.arange(count) * 7 % 251).astype(np.uint8).reshape(height, width, channels)


def crossing(pixels: np.ndarray) -> tuple[int, int, int, bytes]:
    """As the native side takes it."""
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    return height, width, channels, np.ascontiguousarray(pixels).tobytes()


def with_pillow(pixels: np.ndarray, height: int, width: int, name: str) -> np.ndarray:
    """Pillow's resize, channel by channel, so that it doesn't treat a fourth one as alpha."""
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(pixels[:, :, c])).resize((width, height), PIL_FILTERS[name])
        )
        for c in range(pixels.shape[2])
    ]
    return np.stack(planes, axis=2)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", ["bilinear", "lanczos"])
@pytest.mark.parametrize(
    "size",
    [
        ((480, 640), (320, 320)),
        ((1, 1), (7, 5)),
        ((3, 300), (17, 31)),
        ((257, 129), (64, 33)),
        ((32, 32), (90, 70)),
    ],
)
def test_resize_equals_pillow(
    size: tuple[tuple[int, int], tuple[int, int]], name: str, channels: int, level: str
):
    (height, width), (out_height, out_width) = size
    pixels = pattern(height, width, channels)
    ours = np.asarray(_native.resize(crossing(pixels), out_height, out_width, name, level))
    expected = with_pillow(pixels, out_height, out_width, name)
    np.testing.assert_array_equal(ours.reshape(expected.shape), expected)


@given(
    height=st.integers(1, 70), width=st.integers(1, 70),
    out_height=st.integers(1, 70), out_width=st.integers(1, 70),
    name=st.sampled_from(["bilinear", "lanczos"]), seed=st.integers(0, 2**32 - 1), extreme=st.booleans(),
)  # fmt: skip
def test_resize_equals_pillow_for_any_size(
    height: int, width: int, out_height: int, out_width: int, name: str, seed: int, extreme: bool
):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 3), np.uint8)
    if extreme:  # overshoot of Lanczos must be clipped, not wrapped
        pixels = np.where(pixels > 127, 255, 0).astype(np.uint8)
    ours = np.asarray(_native.resize(crossing(pixels), out_height, out_width, name))
    np.testing.assert_array_equal(ours, with_pillow(pixels, out_height, out_width, name))


@pytest.mark.parametrize("dark", [False, True])
def test_preprocess_equals_the_recipe(dark: bool, level: str):
    """A dark picture is where dividing by the maximum and by 255 differ."""
    image = by_hand.load(SAMPLES / "clogs.jpg")
    if dark:
        image = image.point(lambda value: value // 3)
    expected = by_hand.tensor(image, 320)
    ours = np.asarray(_native.preprocess(crossing(np.asarray(image)), U2NETP, level))
    assert ours.shape == (1, 3, 320, 320)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, rtol=0, atol=oracles.TENSOR)
    if dark:
        assert np.abs(ours - by_hand.tensor(image, 320, maximum=False)).max() > 0.5


def test_preprocess_of_a_black_picture_is_finite(level: str):
    black = np.zeros((40, 30, 3), np.uint8)
    ours = np.asarray(_native.preprocess(crossing(black), U2NETP, level))
    np.testing.assert_allclose(ours[0, :, 0, 0], -by_hand.MEAN / by_hand.STD, rtol=0, atol=oracles.TENSOR)


@pytest.mark.parametrize("size", [(480, 640), (31, 900), (1, 1)])
def test_mask_equals_the_recipe(size: tuple[int, int], level: str):
    height, width = size
    logits = np.random.default_rng(3).normal(size=(1, 320, 320)).astype(np.float32)
    ours = np.asarray(_native.mask((1, 320, 320, logits.tobytes()), U2NETP, height, width, level))
    expected = by_hand.alpha(logits[0], (width, height))
    assert ours.shape == (height, width)
    off = np.abs(ours.astype(int) - expected)
    assert off.max() <= oracles.LEVEL
    assert np.mean(off > 0) < 0.001


def test_sigmoid_and_rounding(level: str):
    recipe = Recipe(height=8, width=8, activation="sigmoid", rounding="nearest", output_filter="bilinear")
    logits = np.linspace(-9, 9, 64, dtype=np.float32).reshape(1, 8, 8)
    ours = np.asarray(_native.mask((1, 8, 8, logits.tobytes()), recipe, 8, 8, level)).astype(int)
    exact = 255 / (1 + np.exp(-logits[0].astype(np.float64)))
    assert np.abs(ours - exact).max() <= 0.5 + 0.01  # a half for rounding, a little for a vector exp


def test_composite_is_straight_and_hides_nothing(level: str):
    image = pattern(37, 53, 3) | 1  # no zero, so that a kept color shows
    alpha = pattern(37, 53, 1)
    alpha[:5], alpha[5:10] = 0, 255
    options = Options(decontaminate=False)
    ours = np.asarray(_native.composite(crossing(image), crossing(alpha), options, level))
    assert ours.shape == (37, 53, 4)
    np.testing.assert_array_equal(ours[:, :, 3:], alpha)
    np.testing.assert_array_equal(ours[:, :, :3], np.where(alpha == 0, 0, image))


def test_composite_on_white(level: str):
    image, alpha = pattern(21, 67, 3), pattern(67, 21, 1).reshape(21, 67, 1)
    options = Options(decontaminate=False, background=(255, 255, 255, 255))
    ours = np.asarray(_native.composite(crossing(image), crossing(alpha), options, level)).astype(int)
    part = alpha / 255.0
    assert ours.shape == (21, 67, 3)
    assert np.abs(ours - (image * part + 255 * (1 - part))).max() <= 0.5 + 1e-9


def test_decontaminate_takes_the_background_out_of_soft_pixels(level: str):
    """A red square on blue with a soft edge: the estimate must be redder than what the camera saw."""
    alpha = np.zeros((60, 60, 1), np.uint8)
    alpha[20:40, 20:40] = 255
    blurred = np.asarray(Image.fromarray(alpha[:, :, 0]).resize((15, 15)).resize((60, 60)))[:, :, None]
    part = blurred / 255.0
    image = np.rint(part * [220, 20, 20] + (1 - part) * [20, 20, 220]).astype(np.uint8)
    ours = np.asarray(_native.composite(crossing(image), crossing(blurred), Options(), level)).astype(int)
    soft = (blurred[:, :, 0] > 60) & (blurred[:, :, 0] < 200)
    assert soft.sum() > 50
    assert ours[soft][:, 2].mean() < image[soft][:, 2].mean() / 2
    solid = blurred[:, :, 0] == 255
    np.testing.assert_array_equal(ours[solid][:, :3], image[solid])


LOSSLESS = ("png", "tiff", "webp")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", LOSSLESS)
def test_encode_is_read_back_by_pillow(kind: str, channels: int):
    pixels = pattern(41, 59, channels)
    if channels == 4:
        pixels[pixels[:, :, 3] == 0] = 0
    encoded = _native.encode(crossing(pixels), Options(format=kind))
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.format == kind.upper()
        wanted = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        back = np.asarray(image.convert(wanted)).reshape(pixels.shape)
    np.testing.assert_array_equal(back, pixels)


@pytest.mark.parametrize("path", sorted((PICTURES / "odd").iterdir()), ids=lambda path: path.name)
def test_decode_of_odd_formats(path):
    pixels, alpha = _native.decode(path.read_bytes(), Options())
    ours = np.asarray(pixels).astype(int)
    with Image.open(path) as image:
        upright = by_hand.ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):  # Pillow clips 16-bit grey when it converts
            expected = np.repeat((np.asarray(upright) // 257)[:, :, None], 3, axis=2).astype(int)
        else:
            expected = np.asarray(upright.convert("RGBA"))[:, :, :3].astype(int)
        transparent = upright.has_transparency_data
        expected_alpha = np.asarray(upright.convert("RGBA"))[:, :, 3] if transparent else None
    assert ours.shape == expected.shape
    off = np.abs(ours - expected)
    if path.name == "cmyk.jpg":  # Pillow's conversion is the plain one as well, but rounds in another place
        assert off.mean() <= 2 * oracles.LOSSY_MEAN
    elif "lossy" in path.name:
        assert off.mean() <= oracles.LOSSY_MEAN
        assert off.max() <= oracles.LOSSY_MAX
    else:
        assert off.max() == 0
    if expected_alpha is None or expected_alpha.min() == 255:  # an alpha that says nothing is none
        assert alpha is None
    else:
        np.testing.assert_array_equal(np.asarray(alpha), expected_alpha)
