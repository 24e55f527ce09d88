"""Axes: ticks at round places within the ends, texts that say the tick's value, shares that invert."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qbg.report.axes import drawable, linear, logarithmic, nice_step, number, powers_of_two, tick_texts

SIZES = st.floats(min_value=-1e12, max_value=1e12, allow_subnormal=False).filter(drawable)
POSITIVE = st.floats(min_value=1e-9, max_value=1e12)
UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def read(text: str) -> float:
    """A printed number back as a number."""
    plain = text.replace("\N{MINUS SIGN}", "-")
    return float(plain[:-1]) * UNITS[plain[-1]] if plain[-1] in UNITS else float(plain)


@given(SIZES, SIZES, st.integers(2, 12), st.booleans())
def test_linear_ticks_are_round_even_and_inside(a: float, b: float, count: int, extend: bool) -> None:
    low, high = min(a, b), max(a, b)
    axis = linear(low, high, count, extend=extend)
    assert axis.low <= low <= high <= axis.high
    assert axis.low < axis.high
    assert len(axis.ticks) <= 2 * count + 3
    slack = (axis.high - axis.low) * 1e-6
    assert all(axis.low - slack <= tick <= axis.high + slack for tick in axis.ticks)
    if len(axis.ticks) > 2:
        steps = [after - before for before, after in zip(axis.ticks, axis.ticks[1:], strict=False)]
        assert max(steps) == pytest.approx(min(steps), rel=1e-3)
    if extend:
        assert axis.ticks[0] == pytest.approx(axis.low, abs=slack)
        assert axis.ticks[-1] == pytest.approx(axis.high, abs=slack)


@given(POSITIVE)
def test_steps_are_one_two_or_five(step: float) -> None:
    nice = nice_step(step)
    mantissa = nice / 10.0 ** math.floor(math.log10(nice) + 1e-9)
    assert min(abs(mantissa - one) for one in (1, 2, 5, 10)) < 1e-6
    assert step * (1 - 1e-6) <= nice <= 2.5 * step * (1 + 1e-6)


@given(SIZES, SIZES, st.integers(2, 9))
def test_tick_texts_say_the_tick(a: float, b: float, count: int) -> None:
    axis = linear(min(a, b), max(a, b), count, extend=True)
    assume(len(axis.ticks) > 1)
    step = axis.ticks[1] - axis.ticks[0]
    assume(step > 1e-6 * max(map(abs, axis.ticks)))
    assert len(set(axis.texts)) == len(axis.texts)
    for tick, text in zip(axis.ticks, axis.texts, strict=True):
        assert read(text) == pytest.approx(tick, abs=0.02 * step, rel=1e-3)


@given(POSITIVE, POSITIVE, st.integers(2, 9), st.booleans(), st.booleans())
def test_logarithmic_axes(a: float, b: float, count: int, extend: bool, twos: bool) -> None:
    low, high = min(a, b), max(a, b)
    axis = logarithmic(low, high, count, extend=extend, twos=twos)
    assert 0 < axis.low <= low * (1 + 1e-8)
    assert high * (1 - 1e-8) <= axis.high
    assert all(tick > 0 for tick in axis.ticks)
    assert list(axis.ticks) == sorted(set(axis.ticks))
    middle = math.sqrt(axis.low * axis.high)
    assert axis.share(middle) == pytest.approx(0.5)
    assert (axis.share(axis.low), axis.share(axis.high)) == pytest.approx((0.0, 1.0))
    assert not axis.shows(0.0)
    assert not axis.shows(-1.0)


def test_cores_have_their_own_ticks() -> None:
    assert logarithmic(1, 384, 8, extend=False, twos=True).ticks == (1, 2, 4, 8, 16, 32, 64, 128, 256)
    assert powers_of_two([1, 2, 4, 384])
    assert not powers_of_two([1, 3, 5, 7])
    assert linear(1, 4, 8, extend=False, whole=True).ticks == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (230.14, "230.1"),
        (4.64, "4.64"),
        (15.0, "15"),
        (0.0031, "0.0031"),
        (0.031254, "0.03125"),
        (9999, "9999"),
        (38418, "38.42k"),
        (4.12e8, "412M"),
        (1.2e12, "1.2T"),
        (2.5e-5, "2.5e-5"),
        (-3.5, "\N{MINUS SIGN}3.5"),
        (float("nan"), "n/a"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@given(SIZES)
def test_numbers_hold_four_digits(value: float) -> None:
    assert read(number(value)) == pytest.approx(value, rel=6e-4)


def test_ticks_share_unit_and_decimals() -> None:
    assert tick_texts((0.0, 0.5, 1.0)) == ("0", "0.5", "1.0")
    assert tick_texts((0.0, 5e7, 1e8)) == ("0", "50M", "100M")
    assert tick_texts(()) == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, 1e-300])
def test_absurd_numbers_have_no_place(value: float) -> None:
    assert not drawable(value)
