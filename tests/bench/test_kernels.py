"""The kernels' bench: what it returns, that all do the same work, and that a broken kernel is never timed.

Times are not looked at, only that there are some. Pillow's side is held to the oracle in float64, and the
comparison to outputs that are broken on purpose in each place where a kernel could break.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import oracles
from oracles import recipe as by_hand
from qbg import _native
from qbg.bench import kernels
from qbg.models import MODELS
from qbg.report.record import Kernel

RECIPE = MODELS["u2netp"].recipe
SIZES = ((48, 64), (37, 53))
LEVELS = tuple(_native.system()["simd_levels"])


@pytest.fixture
def few(photos: Path) -> list[Path]:
    return [photos / "coat.jpg", photos / "boots.jpg"]


@pytest.fixture
def item(few: list[Path]) -> kernels.Item:
    return kernels.make_item(few[0], 60, 80, RECIPE)


def test_a_row_for_each_size_stage_and_level(few: list[Path]) -> None:
    seen: list[tuple[int, int]] = []
    rows = kernels.measure(few, sizes=SIZES, rounds=3, progress=lambda done, of: seen.append((done, of)))
    assert all(isinstance(row, Kernel) for row in rows)
    assert [(row.name, row.level) for row in rows] == [
        (f"{stage} {width}x{height}", level)
        for height, width in SIZES
        for stage in ("decode", "preprocess", "mask", "composite", "encode")
        for level in (*LEVELS, "pillow")
    ]
    assert all(len(row.seconds) == 3 and min(row.seconds) > 0 for row in rows)
    assert seen == [(done, 6) for done in range(1, 7)]


def test_bytes_are_those_of_the_arrays(few: list[Path]) -> None:
    rows = {(row.name, row.level): row.bytes_moved for row in kernels.measure(few, sizes=SIZES[:1], rounds=1)}
    pixels, tensor = 48 * 64, 320 * 320 * 4
    for level in (*LEVELS, "pillow"):
        assert rows["preprocess 64x48", level] == 3 * pixels + 3 * tensor
        assert rows["mask 64x48", level] == tensor + pixels
        assert rows["composite 64x48", level] == 8 * pixels
        assert rows["decode 64x48", level] > 3 * pixels
        assert rows["encode 64x48", level] > 4 * pixels


def test_turns_are_interleaved(few: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A B A B: nobody has all his turns while the machine is in one mood."""
    calls: list[str] = []
    ours, theirs = kernels.Worker.run, kernels.with_pillow

    def note_ours(self: kernels.Worker, item: kernels.Item) -> Any:
        calls.append(self.level)
        return ours(self, item)

    def note_theirs(*arguments: Any) -> Any:
        calls.append("pillow")
        return theirs(*arguments)

    monkeypatch.setattr(kernels.Worker, "run", note_ours)
    monkeypatch.setattr(kernels, "with_pillow", note_theirs)
    kernels.measure(few, sizes=SIZES[:1], rounds=2)
    turn = [name for name in (*LEVELS, "pillow") for _ in few]
    assert calls[-2 * len(turn) :] == turn * 2


def test_one_level_alone(few: list[Path]) -> None:
    rows = kernels.measure(few, sizes=SIZES[:1], rounds=1, levels=["scalar"])
    assert {row.level for row in rows} == {"scalar", "pillow"}


def test_nothing_to_measure(few: list[Path]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        kernels.measure([])
    with pytest.raises(ValueError, match="at least one"):
        kernels.measure(few, rounds=0)
    with pytest.raises(ValueError, match="sse9"):
        kernels.measure(few, levels=["sse9"])
    with pytest.raises(OSError, match="nowhere"):
        kernels.measure([Path("nowhere.jpg")], rounds=1)


# ---------------------------------------------------------------- the same work


@pytest.mark.parametrize("size", [(60, 80), (400, 300), (1, 1), (321, 319)])
def test_pillows_side_is_the_recipe(few: list[Path], size: tuple[int, int]) -> None:
    item = kernels.make_item(few[1], *size, RECIPE)
    assert item.pixels.shape == (*size, 3)
    output, seconds = kernels.with_pillow(item, RECIPE)
    image = Image.fromarray(item.pixels)
    wanted = by_hand.tensor(image, 320)
    assert np.abs(output.tensor - wanted).max() <= oracles.TENSOR
    assert output.tensor.dtype == np.float32
    assert (output.alpha == by_hand.alpha(item.logits[0, 0], image.size)).all()
    with Image.open(io.BytesIO(output.png)) as written:
        assert (np.asarray(written) == output.cutout).all()
    assert tuple(seconds) == kernels.STAGES


def test_pillows_composite_pixel_by_pixel(item: kernels.Item) -> None:
    alpha = (np.arange(60 * 80) * 7 % 5 * 63).astype(np.uint8).reshape(60, 80)
    cutout = kernels.pillow_composite(item.pixels, alpha)
    for y, x in np.ndindex(60, 80):
        colors = item.pixels[y, x].tolist() if alpha[y, x] else [0, 0, 0]
        assert cutout[y, x].tolist() == [*colors, alpha[y, x]]


def test_alpha_is_neither_flat_nor_hard(item: kernels.Item) -> None:
    """Else the PNG of a cut-out would be easier than in use."""
    output, _ = kernels.with_pillow(item, RECIPE)
    soft = ((output.alpha > 0) & (output.alpha < 255)).mean()
    assert 0.05 < soft < 0.6
    assert (output.alpha == 0).mean() > 0.1
    assert (output.alpha > 250).mean() > 0.1


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_passes(level: str, few: list[Path]) -> None:
    worker = kernels.Worker(RECIPE, level)
    assert worker.core.simd == level
    for photo in few:
        item = kernels.make_item(photo, 60, 80, RECIPE)
        theirs, _ = kernels.with_pillow(item, RECIPE)
        kernels.check(level, worker.output(item), theirs)
    worker.core.close()


# ---------------------------------------------------------------- broken kernels


def broken(output: kernels.Output, name: str) -> kernels.Output:
    """One element of one array off by as little as counts; of alpha, a row."""
    if name == "png":
        return dataclasses.replace(output, png=output.png[:-1])
    array = getattr(output, name).copy()
    if name == "tensor":
        array[0, 2, 319, 319] += 1e-3
    elif name == "alpha":
        array[7] ^= 64
    else:
        array[-1, -1, 0] ^= 1
    return dataclasses.replace(output, **{name: array})


@pytest.mark.parametrize("name", ["rgb", "tensor", "alpha", "cutout"])
def test_a_broken_kernel_is_seen_beside_pillow(name: str, item: kernels.Item) -> None:
    theirs, _ = kernels.with_pillow(item, RECIPE)
    kernels.check("level", theirs, theirs)
    with pytest.raises(kernels.MismatchError, match="level"):
        kernels.check("level", broken(theirs, name), theirs)


@pytest.mark.parametrize("name", ["tensor", "alpha", "cutout", "png"])
def test_a_broken_kernel_is_seen_beside_another_level(name: str, item: kernels.Item) -> None:
    good, _ = kernels.with_pillow(item, RECIPE)
    kernels.check_levels({"scalar": good, "avx2": good})
    stage = {"tensor": "preprocess", "alpha": "mask", "cutout": "composite", "png": "encode"}[name]
    with pytest.raises(kernels.MismatchError, match=f"avx2 differs from scalar in {stage}"):
        kernels.check_levels({"scalar": good, "avx2": broken(good, name)})


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_a_tensor_without_numbers_is_seen(fill: float, item: kernels.Item) -> None:
    """No comparison with NaN is true: the wrong way round, a check would let it pass."""
    good, _ = kernels.with_pillow(item, RECIPE)
    array = good.tensor.copy()
    array[0, 0, 0, 0] = fill
    bad = dataclasses.replace(good, tensor=array)
    with pytest.raises(kernels.MismatchError):
        kernels.check("level", bad, good)
    with pytest.raises(kernels.MismatchError):
        kernels.check_levels({"scalar": good, "avx2": bad})


@pytest.mark.parametrize("name", ["rgb", "tensor", "alpha", "cutout"])
def test_a_broken_kernel_is_never_timed(name: str, few: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    good: Callable[..., kernels.Output] = kernels.Worker.output

    def bad(self: kernels.Worker, item: kernels.Item) -> kernels.Output:
        output = good(self, item)
        return broken(output, name) if self.level == LEVELS[-1] else output

    def never(*_: object) -> None:
        raise AssertionError("timed")

    monkeypatch.setattr(kernels.Worker, "output", bad)
    monkeypatch.setattr(kernels, "turns", never)
    with pytest.raises(kernels.MismatchError, match=LEVELS[-1]):
        kernels.measure(few, sizes=SIZES[:1], rounds=1)


@given(st.integers(1, 90), st.integers(1, 90))
def test_the_blob_is_always_logits(height: int, width: int) -> None:
    pixels = (np.arange(height * width * 3) * 7 % 251).astype(np.uint8).reshape(height, width, 3)
    logits = kernels.blob(pixels, 32, 24)
    assert logits.shape == (1, 1, 32, 24)
    assert logits.dtype == np.float32
    assert logits.min() >= 0
    assert logits.max() <= 1
    assert logits.min() < logits.max()
