"""The Python doors: for any array the answer is a picture of its size, or an error that says why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import qbg

DTYPES = st.one_of(
    hnp.scalar_dtypes(),
    st.just(np.dtype(object)),
    st.just(np.dtype("U3")),
    st.just(np.dtype("V5")),
    st.just(np.dtype([("r", "u1"), ("g", "u1")])),
)


@pytest.fixture(scope="module")
def remover(quick_model: Path) -> Iterator[qbg.Remover]:
    with qbg.Remover(quick_model, workers=1) as made:
        yield made


def answer(remover: qbg.Remover, array: Any) -> np.ndarray | None:
    """The cut-out; None where the array was refused."""
    try:
        made = remover.cutout(array)
    except (TypeError, ValueError):
        return None
    assert made.dtype == np.uint8
    return made


@given(data=st.data())
def test_arrays_of_all_kinds(remover: qbg.Remover, data: st.DataObject) -> None:
    dtype = data.draw(DTYPES)
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6))
    array = np.zeros(shape, dtype)
    made = answer(remover, array)
    fits = dtype == np.uint8 and len(shape) == 3 and shape[2] in (3, 4) and array.size > 0
    assert (made is not None) == fits
    if made is not None:
        assert made.shape == (*shape[:2], 4)


@given(data=st.data())
def test_views_are_read_as_they_look(remover: qbg.Remover, data: st.DataObject) -> None:
    """Any stride, any order, any offset, read-only or not: as its contiguous copy."""
    base = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 256, (7, 9, 4), np.uint8)
    view = base[data.draw(st.slices(7)), data.draw(st.slices(9)), data.draw(st.slices(4))]
    view = view.transpose(data.draw(st.permutations(range(3))))
    if data.draw(st.booleans()):
        view = np.asfortranarray(view)
    view.flags.writeable = False
    before = base.copy()
    made = answer(remover, view)
    again = answer(remover, np.ascontiguousarray(view))
    assert (made is None) == (again is None)
    if made is not None:
        assert again is not None
        assert np.array_equal(made, again)
        assert np.array_equal(base, before)


@pytest.mark.parametrize("shape", [(65_536, 1, 3), (1, 65_536, 3), (65_536, 2, 4), (2, 65_536, 4)])
def test_long_sides(remover: qbg.Remover, shape: tuple[int, int, int]) -> None:
    array = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    made = answer(remover, array)
    assert made is not None
    assert made.shape == (*shape[:2], 4)


@pytest.mark.parametrize("shape", [(0, 65_536, 3), (65_536, 0, 3), (65_536, 65_536, 0), (0, 0, 4)])
def test_sides_of_nothing(remover: qbg.Remover, shape: tuple[int, int, int]) -> None:
    assert answer(remover, np.zeros(shape, np.uint8)) is None


def test_more_pixels_than_are_allowed_are_refused_before_they_are_copied(remover: qbg.Remover) -> None:
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (65_536, 65_536, 3))  # 12 GB, if it were copied
    with pytest.raises((qbg.InputError, ValueError), match="pixels"):
        remover.cutout(huge)


def test_subclasses_and_masked_arrays(remover: qbg.Remover) -> None:
    plain = np.random.default_rng(4).integers(0, 256, (5, 6, 3), np.uint8)
    wanted = answer(remover, plain)
    assert wanted is not None
    for other in (plain.view(np.matrix) if plain.ndim == 2 else plain.view(np.recarray), np.ma.array(plain)):
        made = answer(remover, other)
        assert made is None or np.array_equal(np.asarray(made), wanted)
