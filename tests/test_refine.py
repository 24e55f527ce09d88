"""Edges moved to the picture's: against the definition in SciPy, and from the doors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import qbg as package
from oracles import guided
from oracles.any_recipe import widest
from qbg import _native
from qbg.bench import reference
from qbg.recipe import Recipe

Levels = NDArray[np.uint8]
RECIPE = Recipe(height=8, width=8, rounding="nearest")


def ours(plane: Levels, colors: Levels, *, sharpen: bool = True) -> Levels:
    """Alpha at the picture's size from a map of levels."""
    height, width = colors.shape[:2]
    logits = (plane / 255.0).astype(np.float32)
    image = (height, width, 3, colors.tobytes()) if sharpen else None
    made = _native.mask((1, *plane.shape, logits.tobytes()), RECIPE, height, width, "auto", image)
    return np.asarray(made).reshape(height, width)


def blurred(random: np.random.Generator, shape: tuple[int, int]) -> Levels:
    """A map with soft edges, flat parts and a little noise."""
    small = Image.fromarray(random.choice([0, 255], (3, 3)).astype(np.uint8))
    return np.asarray(small.resize(shape[::-1], Image.Resampling.BICUBIC))


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(sizes, st.tuples(st.integers(1, 90), st.integers(1, 90)), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_it_is_the_filter_of_its_definition(cells: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    plane = blurred(random, cells)
    colors = random.integers(0, 256, (*size, 3)).astype(np.uint8)
    plain = ours(plane, colors, sharpen=False)
    found, away = ours(plane, colors), ~guided.near(plane, size)
    assert widest(found, guided.refined(plane, colors, plain)) <= 1
    np.testing.assert_array_equal(found[away], plain[away])


@given(sizes, st.tuples(st.integers(1, 90), st.integers(1, 90)), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_the_reference_of_benches_says_the_same(
    cells: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    random = np.random.default_rng(seed)
    plane = blurred(random, cells)
    colors = random.integers(0, 256, (*size, 3)).astype(np.uint8)
    plain = ours(plane, colors, sharpen=False)
    assert widest(reference.refined(plane, colors, plain), ours(plane, colors)) <= 1


def test_an_edge_that_is_off_moves_to_the_photos() -> None:
    """A bright square on a dark ground, and a map whose edges are a cell and a half off."""
    side, cells = 256, 32
    colors = np.full((side, side, 3), 30, np.uint8)
    colors[64:192, 64:192] = 220
    truth = colors[:, :, 0] > 127
    map_ = Image.fromarray(truth.astype(np.uint8) * 255).crop((-12, 0, side - 12, side))
    plane = np.asarray(map_.resize((cells, cells), Image.Resampling.BILINEAR))
    before, after = ours(plane, colors, sharpen=False) > 127, ours(plane, colors) > 127
    assert np.mean(after != truth) < 0.6 * np.mean(before != truth)


def test_flat_maps_and_even_photos_stay_as_they_are() -> None:
    random = np.random.default_rng(1)
    colors = random.integers(0, 256, (50, 70, 3)).astype(np.uint8)
    for level in (0, 90, 255):
        flat = np.full((20, 20), level, np.uint8)
        np.testing.assert_array_equal(ours(flat, colors), ours(flat, colors, sharpen=False))
    steps = np.tile(np.arange(0, 20, dtype=np.uint8), (20, 1)) * 3  # windows differ by 12 at most
    np.testing.assert_array_equal(ours(steps, colors), ours(steps, colors, sharpen=False))


def test_the_option_goes_before_the_recipe(photos: Path) -> None:
    photo = photos / "cap.jpg"
    with package.Remover() as remover:
        default, on, off = (np.asarray(remover.mask(photo, refine=wish)) for wish in (None, True, False))
    np.testing.assert_array_equal(default, on)
    assert (on != off).mean() > 0.01
    with pytest.raises(TypeError, match="refine"):
        package.remove(photo, refine="yes")
