"""Axes of charts: ranges, ticks at round places, and numbers as a person writes them.

Linear ticks lie 1, 2 or 5 times a power of ten apart; logarithmic ones at 1, at 1-2-5 or at 1..9
times the powers of ten, whichever gives about as many as asked for, or at powers of two where the
data are core counts. A place on an axis is a share from 0 to 1, so that pixels and terminal cells
come from the same code. Must not know charts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

LARGEST, SMALLEST = 1e15, 1e-15
"""Sizes beyond these aren't drawn: nothing that is measured here is so large, or so small and yet not 0."""
SMALLEST_SPAN = 1e-9
"""Of a range's larger end; anything narrower counts as one point, as rounding would show otherwise."""
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_PLAIN_BELOW = 1e4
_SCIENTIFIC_BELOW = 1e-3
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of numbers on a line.

    Attributes:
        low, high: ends; low < high, both above 0 on a logarithmic axis.
        log: whether equal ratios are equally far apart.
        ticks: ascending, within the ends.
        texts: one for each tick.
    """

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]
    texts: tuple[str, ...]

    def share(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one, outside them beyond."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def shows(self, value: float) -> bool:
        """Whether the value has a place at all: finite, and positive on a logarithmic axis."""
        return drawable(value) and (value > 0 or not self.log)


def drawable(value: float) -> bool:
    """Whether it is finite and of a size that occurs."""
    return value == 0 or SMALLEST <= abs(value) <= LARGEST


def linear(low: float, high: float, count: int, *, extend: bool, whole: bool = False) -> Axis:
    """A linear axis over `low` to `high`.

    Args:
        low, high: of the data; equal ones get room around them.
        count: of ticks, about.
        extend: whether the ends move out to the next ticks.
        whole: whether only whole numbers make sense, as for cores.
    """
    low, high = _apart(low, high)
    step = nice_step((high - low) / max(1, count))
    if whole:
        step = max(1.0, step)
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    if extend:
        first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
        low, high = min(low, first * step), max(high, last * step)
    # A product of whole number and step, each rounded once: 3 * 0.1 is no 0.30000000000000004 on paper.
    ticks = tuple(float(f"{number * step:.12g}") for number in range(first, last + 1))
    return Axis(low, high, False, ticks, tick_texts(ticks))


def logarithmic(low: float, high: float, count: int, *, extend: bool, twos: bool = False) -> Axis:
    """A logarithmic axis over `low` to `high`, both above 0; `twos` puts ticks at powers of two."""
    if high < low * (1 + SMALLEST_SPAN):
        low, high = low / 2, high * 2
    choices = [_powers(low, high, 2, (1,))] if twos else []
    choices += [_powers(low, high, 10, factors) for factors in ((1,), (1, 2, 5), tuple(range(1, 10)))]
    ticks = min(choices, key=lambda ticks: abs(math.log((len(ticks) + 0.5) / (count + 0.5))))
    if twos and 2 <= len(choices[0]) <= 2 * count:
        ticks = choices[0]
    if len(ticks) < count / 2 and high / low < 10 and not extend:
        ticks = tuple(tick for tick in linear(low, high, count, extend=False).ticks if tick > 0)
    if extend:
        fine = _powers(low / 10, high * 10, 10, (1, 2, 5))
        low = max(tick for tick in fine if tick <= low * (1 + 1e-9))
        high = min(tick for tick in fine if tick >= high * (1 - 1e-9))
        around = [_powers(low, high, 10, factors) for factors in ((1,), (1, 2, 5), tuple(range(1, 10)))]
        ticks = min(around, key=lambda ticks: abs(math.log((len(ticks) + 0.5) / (count + 0.5))))
    return Axis(low, high, True, ticks, tuple(number(tick) for tick in ticks))


def _powers(low: float, high: float, base: int, factors: Sequence[int]) -> tuple[float, ...]:
    first, last = math.floor(math.log(low, base)) - 1, math.ceil(math.log(high, base)) + 1
    slack = 1e-9
    return tuple(
        float(f"{factor * float(base) ** power:.12g}")
        for power in range(first, last + 1)
        for factor in factors
        if low * (1 - slack) <= factor * float(base) ** power <= high * (1 + slack)
    )


def _apart(low: float, high: float) -> tuple[float, float]:
    size = max(abs(low), abs(high))
    if high - low > SMALLEST_SPAN * size:
        return low, high
    room = size / 10 if size else 1.0
    return low - room, high + room


def with_ticks(axis: Axis, ticks: Sequence[float]) -> Axis:
    """The same axis with ticks at the places given, all within its ends."""
    return Axis(axis.low, axis.high, axis.log, tuple(ticks), tuple(number(tick) for tick in ticks))


def nice_step(step: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that isn't below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    for factor in (1, 2, 5):
        if step <= factor * power * (1 + 1e-9):
            return factor * power
    return 10 * power


def span(values: Iterable[float], *, log: bool = False) -> tuple[float, float] | None:
    """The ends of all values that can be drawn; None when there are none."""
    kept = [value for value in values if drawable(value) and (value > 0 or not log)]
    return (min(kept), max(kept)) if kept else None


def powers_of_two(values: Iterable[float]) -> bool:
    """Whether most of the values are whole powers of two, as numbers of cores are."""
    distinct = {value for value in values if drawable(value)}
    hits = sum(value >= 1 and math.frexp(value)[0] == 0.5 for value in distinct)
    return len(distinct) >= 2 and hits >= 0.6 * len(distinct)


def number(value: float) -> str:
    """A single number to four digits: `230.1`, `0.0031`, `38.42k`, `2.5e-5`; a real minus sign."""
    if not math.isfinite(value):
        return "n/a"
    size = abs(value)
    if 0 < size < _SCIENTIFIC_BELOW or size >= 1e16:
        mantissa, _, exponent = f"{value:.{_DIGITS - 1}e}".partition("e")
        return _minus(f"{_trimmed(mantissa)}e{int(exponent)}")
    factor, unit = next((pair for pair in _UNITS if size >= max(pair[0], _PLAIN_BELOW)), (1.0, ""))
    scaled = size / factor
    decimals = max(0, _DIGITS - 1 - math.floor(math.log10(scaled))) if scaled else 0
    text = _trimmed(f"{scaled:.{decimals}f}")
    return _minus(f"{'-' if value < 0 and text != '0' else ''}{text}{unit if text != '0' else ''}")


def tick_texts(ticks: Sequence[float]) -> tuple[str, ...]:
    """Evenly spaced ticks in one unit and with as many decimals as the finest of them needs."""
    size = max((abs(tick) for tick in ticks), default=0.0)
    steps = [after - before for before, after in pairwise(ticks)]
    step = min(steps, default=size)
    if size == 0 or size < _SCIENTIFIC_BELOW or step <= 0:
        return tuple(number(tick) for tick in ticks)
    factor, unit = next((pair for pair in _UNITS if size >= max(pair[0], _PLAIN_BELOW)), (1.0, ""))
    decimals = max(0, -math.floor(math.log10(step / factor) + 1e-9))
    if len(ticks) == 1:
        return (number(ticks[0]),)
    return tuple(_minus(f"{tick / factor:.{decimals}f}{unit}") if tick else "0" for tick in ticks)


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _minus(text: str) -> str:
    return "\N{MINUS SIGN}" + text[1:] if text.startswith("-") else text
