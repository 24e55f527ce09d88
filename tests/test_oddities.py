"""Pictures that are valid and odd: every kind of PNG that the standard allows, thin ones, ones that just end.

All are made here from samples that are known, so that the oracle is NumPy's arithmetic and no decoder. The
pixels are read back as the colors of a cut-out whose hidden colors are kept.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import qbg

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
KINDS = [
    *((GRAY, depth) for depth in (1, 2, 4, 8, 16)),
    *((RGB, depth) for depth in (8, 16)),
    *((PALETTE, depth) for depth in (1, 2, 4, 8)),
    *((GRAY_ALPHA, depth) for depth in (8, 16)),
    *((RGBA, depth) for depth in (8, 16)),
]
SIZES = [(1, 1), (1, 9), (9, 1), (3, 5), (33, 17)]

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
"""Per pass: first column, first row, step of columns, step of rows (PNG specification, 8.2)."""

COLORS = np.random.default_rng(7).integers(0, 256, (256, 3), np.uint8)


@pytest.fixture(scope="module")
def remover(quick_model: Path) -> Iterator[qbg.Remover]:
    with qbg.Remover(quick_model, workers=1, keep_hidden=True, decontaminate=False) as made:
        yield made


def rows_of(samples: np.ndarray, depth: int) -> list[bytes]:
    """Samples (H, W, C) as the standard packs them."""
    height, width, channels = samples.shape
    flat = samples.reshape(height, width * channels)
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in flat]
    if depth == 8:
        return [row.astype(np.uint8).tobytes() for row in flat]
    bits = (flat[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return [np.packbits(row.reshape(-1).astype(np.uint8)).tobytes() for row in bits]


def paeth(a: int, b: int, c: int) -> int:
    p = a + b - c
    near = [abs(p - a), abs(p - b), abs(p - c)]
    return (a, b, c)[near.index(min(near))]


def filtered(rows: list[bytes], step: int) -> bytes:
    """Each row with another of the five filters (9.2), in turn."""
    out = bytearray()
    above = bytes(len(rows[0]))
    for number, row in enumerate(rows):
        kind = number % 5
        out.append(kind)
        for i, value in enumerate(row):
            left = row[i - step] if i >= step else 0
            corner = above[i - step] if i >= step else 0
            guess = [0, left, above[i], (left + above[i]) // 2, paeth(left, above[i], corner)][kind]
            out.append((value - guess) & 255)
        above = row
    return bytes(out)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(samples: np.ndarray, color: int, depth: int, interlaced: bool) -> bytes:
    height, width, channels = samples.shape
    step = max(1, channels * depth // 8)
    parts = [samples]
    if interlaced:
        parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
    body = b"".join(filtered(rows_of(part, depth), step) for part in parts if part.size)
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    palette = chunk(b"PLTE", COLORS[: 1 << depth].tobytes()) if color == PALETTE else b""
    # Two pieces, as a writer with a small buffer leaves them.
    packed = zlib.compress(body)
    data = chunk(b"IDAT", packed[: len(packed) // 2]) + chunk(b"IDAT", packed[len(packed) // 2 :])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + data + chunk(b"IEND", b"")


def wanted(samples: np.ndarray, color: int, depth: int) -> np.ndarray:
    """Colors (H, W, 3): levels of fewer bits stretched, of 16 bits rounded to 8."""
    if color == PALETTE:
        return COLORS[samples[..., 0]]
    levels = np.floor(samples.astype(np.float64) * 255 / ((1 << depth) - 1) + 0.5).astype(np.uint8)
    plane = levels[..., :1] if color in (GRAY, GRAY_ALPHA) else levels[..., :3]
    return np.broadcast_to(plane, (*plane.shape[:2], 3))


def colors(remover: qbg.Remover, data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(remover.encoded(data))).convert("RGBA"))[..., :3]


@pytest.mark.parametrize("interlaced", [False, True], ids=["plain", "interlaced"])
@pytest.mark.parametrize(("color", "depth"), KINDS)
def test_every_kind_of_png(remover, color, depth, interlaced):
    for width, height in SIZES:
        rng = np.random.default_rng(width * 100 + height)
        samples = rng.integers(0, 1 << depth, (height, width, CHANNELS[color]), np.uint32)
        data = png(samples, color, depth, interlaced)
        Image.open(io.BytesIO(data)).load()  # the maker above is held to another reader
        assert np.array_equal(colors(remover, data), wanted(samples, color, depth)), (width, height)


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (1, 65_500), (65_500, 1)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "PPM"])
def test_thin_pictures(remover, size, kind):
    rng = np.random.default_rng(1)
    picture = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
    stream = io.BytesIO()
    picture.save(stream, kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
    made = colors(remover, stream.getvalue())
    known = np.asarray(Image.open(io.BytesIO(stream.getvalue())).convert("RGB"))
    assert np.abs(made.astype(int) - known).max() <= (1 if kind == "JPEG" else 0)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_only_its_end_is_whole(remover, photos, progressive):
    stream = io.BytesIO()
    Image.open(min(photos.glob("*.jpg"))).save(stream, "JPEG", quality=90, progressive=progressive)
    whole = stream.getvalue()
    assert whole.endswith(b"\xff\xd9")
    assert np.array_equal(colors(remover, whole[:-2]), colors(remover, whole))


def test_what_follows_the_end_is_passed_over(remover, photos):
    whole = min(photos.glob("*.jpg")).read_bytes()
    assert remover.encoded(whole + b"\0" * 5000) == remover.encoded(whole)
    with_tail = png(np.full((5, 7, 3), 90, np.uint32), RGB, 8, False) + b"tail"
    assert np.array_equal(colors(remover, with_tail), np.full((5, 7, 3), 90))
