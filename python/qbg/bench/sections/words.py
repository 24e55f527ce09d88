"""How figures are written in all sections: digits, units, intervals, absent values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from qbg.bench.statistics import Interval
from qbg.bench.validity import Verdict
from qbg.report.document import Row, Table

NONE = "n/a"
INVALID = "INVALID"


def figure(value: float, digits: int = 3) -> str:
    """A number with about that many significant digits and no exponent; thousands get commas."""
    if not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def interval(found: Interval, digits: int = 3) -> str:
    """`3.26 (3.21 to 3.30)`, or the value alone where it has no interval."""
    if not found.known or found.method == "given":
        return figure(found.value, digits)
    places = max(0, digits - 1 - math.floor(math.log10(abs(found.value)))) if found.value else digits
    return f"{found.value:,.{places}f} ({found.low:,.{places}f} to {found.high:,.{places}f})"


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return f"{value * 100:.{digits}f} %" if math.isfinite(value) else NONE


def seconds(value: float) -> str:
    """A time in the unit that suits it."""
    if value < 1e-3:
        return f"{figure(value * 1e6)} µs"
    if value < 1:
        return f"{figure(value * 1e3)} ms"
    return f"{figure(value)} s"


def size(value: float | None) -> str:
    """Bytes in MB or GB (powers of ten)."""
    if value is None:
        return NONE
    return f"{figure(value / 1e9)} GB" if abs(value) >= 1e9 else f"{figure(value / 1e6)} MB"


def facts(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """A table of names and values, which hold no figures of a benchmark."""
    return Table(
        title=title,
        columns=("what", "value"),
        numeric=(False, False),
        rows=tuple(Row(cells=pair) for pair in rows),
        brief=False,
    )


def held(verdict: Verdict, case: str, figures: Sequence[str]) -> tuple[str, ...]:
    """The figures of a case, or the word that stands in their place when they can't be defended."""
    return tuple(figures) if verdict.holds(case) else (INVALID,) * len(figures)


def mean(values: Sequence[float]) -> float:
    """Of a sequence; NaN of none, which is then written as absent."""
    return math.fsum(values) / len(values) if values else math.nan
