"""Weights to integers: what each format promises, for any weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qbg.models.int8 import rounding

ROWS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 21)),
    elements=st.floats(-100.0, 100.0, allow_subnormal=False),
)


def worst_pair(levels: np.ndarray) -> int:
    """The largest sum, by magnitude, that two neighbors of one row can add in 16 bits over 255."""
    worst = 0
    for row in levels.astype(int).tolist():
        for first, second in zip(row[0::2], [*row[1::2], 0], strict=False):
            worst = max(worst, max(first, 0) + max(second, 0), -(min(first, 0) + min(second, 0)))
    return worst


@given(rows=ROWS, seed=st.integers(0, 1000))
def test_no_two_neighbors_of_the_paired_format_overflow_16_bits(rows: np.ndarray, seed: int) -> None:
    step = rounding.steps(rows, "paired")
    inputs = np.random.default_rng(seed).normal(size=(rows.shape[1] + 3, rows.shape[1])).astype(np.float32)
    for levels in (
        rounding.nearest(rows, step, "paired"),
        rounding.feedback(rows, step, "paired", inputs),
        # A step that is far too small: even then.
        rounding.nearest(rows, step / 3.0, "paired"),
    ):
        assert 255 * worst_pair(levels) <= 32767


@given(rows=ROWS, form=st.sampled_from(rounding.FORMATS))
def test_nearest_is_off_by_half_a_step_at_most(rows: np.ndarray, form: str) -> None:
    step = rounding.steps(rows, form)
    levels = rounding.nearest(rows, step, form)
    assert np.abs(levels.astype(int)).max() <= rounding.TOP[form]
    assert np.all(np.abs(levels * step[:, None] - rows) <= 0.5001 * step[:, None])


def test_paired_steps_are_finer_than_seven_bits() -> None:
    rows = np.random.default_rng(1).normal(size=(64, 576))
    full, paired, narrow = (rounding.steps(rows, form).mean() for form in ("full", "paired", "narrow"))
    assert full < paired < 0.75 * narrow


def test_the_order_of_inputs_is_that_of_channels_last() -> None:
    weight = np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2)
    rows = rounding.to_rows(weight)
    assert rows[0].tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert np.array_equal(rounding.from_rows(rows, weight.shape), weight)


def test_feedback_lessens_the_error_of_the_output() -> None:
    random = np.random.default_rng(5)
    inputs = random.normal(size=(4000, 6)) @ random.normal(size=(6, 72)) + 0.1 * random.normal(
        size=(4000, 72)
    )
    rows = random.normal(size=(16, 72))
    step = rounding.steps(rows, "narrow")

    def noise(levels: np.ndarray) -> float:
        off = inputs @ (levels * step[:, None] - rows).T
        return float(off.var(axis=0).mean())

    plain = noise(rounding.nearest(rows, step, "narrow"))
    better = noise(rounding.feedback(rows, step, "narrow", inputs.astype(np.float32)))
    assert better < 0.3 * plain


@pytest.mark.parametrize(
    ("flags", "form"),
    [
        ({"avx2", "fma"}, "paired"),
        ({"avx2", "avx512f", "avx512_vnni"}, "full"),
        ({"avx2", "avx_vnni"}, "full"),
        ({"asimddp"}, "full"),
        (set(), "paired"),
    ],
)
def test_format_by_cpu(flags: set[str], form: str) -> None:
    assert rounding.format_for(flags) == form
