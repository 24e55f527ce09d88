"""What all renderers share of a chart: which kinds there are, whether one is sound, its axes, its bars.

Must not know pixels, cells or any form. Values that an axis has no place for (not finite, or not
positive on a logarithmic one) are left out by all renderers alike, and `left_out` counts them so
that each can say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qbg.report.axes import Axis, drawable, linear, logarithmic, number, powers_of_two, span, with_ticks
from qbg.report.document import Chart, Series
from qbg.report.words import check_label, plain

KINDS = ("line", "bars", "stacked", "histogram", "area")
BARRED = ("bars", "stacked")
OWN_TICKS = 14


def check(chart: Chart) -> None:
    """Whether the chart can be drawn and means what it shows.

    Raises:
        ValueError: unknown kind, lengths that don't belong together, bars outside the categories,
            stacked bars that are negative or on a logarithmic axis (where heights don't add up).
    """
    name = f"chart `{plain(chart.title)}`"
    if chart.kind not in KINDS:
        raise ValueError(f"{name}: no such kind: `{plain(chart.kind)}`; they are {', '.join(KINDS)}")
    for series in chart.series:
        check_label(series.label)
        for part in (series.y, series.low or series.x, series.high or series.x):
            if len(part) != len(series.x):
                raise ValueError(f"{name}: series `{plain(series.name)}` has parts of unequal length")
        if chart.categories and not all(x in range(len(chart.categories)) for x in series.x):
            raise ValueError(f"{name}: series `{plain(series.name)}` leaves the categories")
    if chart.kind == "histogram":
        _check_histogram(chart, name)
    if chart.kind == "stacked":
        if chart.log_y:
            raise ValueError(f"{name}: stacked bars on a logarithmic axis")
        if any(value < 0 for series in chart.series for value in series.y):
            raise ValueError(f"{name}: stacked bars can't be negative")


def _check_histogram(chart: Chart, name: str) -> None:
    if len(chart.series) != 1:
        raise ValueError(f"{name}: a histogram has one series, not {len(chart.series)}")
    if len(chart.edges) != len(chart.series[0].x) + 1:
        raise ValueError(f"{name}: a histogram has one edge more than bins")
    if any(right <= left for left, right in zip(chart.edges, chart.edges[1:], strict=False)):
        raise ValueError(f"{name}: a histogram's edges ascend")


def empty(chart: Chart) -> bool:
    """Whether there is nothing to draw."""
    return not any(points(chart, series) for series in chart.series)


@dataclass(frozen=True, slots=True)
class Point:
    """A point that has a place on both axes; `low` and `high` are None where it has no interval."""

    x: float
    y: float
    low: float | None
    high: float | None


def points(chart: Chart, series: Series) -> list[Point]:
    """Those of a series' points that can be drawn."""
    return [point for point in places(chart, series) if point is not None]


def places(chart: Chart, series: Series) -> Iterator[Point | None]:
    """A series' points in order; None where one can't be drawn, so that a line breaks there."""
    for index, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        if not (_fits(x, chart.log_x and not chart.categories) and _fits(y, chart.log_y)):
            # An empty bin of a logarithmic histogram is no loss: it has no height.
            yield None
            continue
        low = series.low[index] if series.low else None
        high = series.high[index] if series.high else None
        if low is None or high is None or not (_fits(low, chart.log_y) and _fits(high, chart.log_y)):
            low = high = None
        yield Point(x, y, low, high)


def _fits(value: float, log: bool) -> bool:
    return drawable(value) and (value > 0 or not log)


def left_out(chart: Chart) -> int:
    """How many points can't be drawn; empty bins of a histogram don't count."""
    return sum(
        place is None and not (chart.kind == "histogram" and y == 0)
        for series in chart.series
        for place, y in zip(places(chart, series), series.y, strict=True)
    )


def remark(chart: Chart) -> str:
    """A sentence on what isn't drawn; empty when all is."""
    count = left_out(chart)
    if not count:
        return ""
    why = "not positive, or not finite" if chart.log_x or chart.log_y else "not finite"
    return f"{count} value{'s' if count > 1 else ''} can't be drawn here ({why})."


def x_axis(chart: Chart, count: int) -> Axis:
    """The axis of numeric x; for categories see `categories`."""
    values = [x for series in chart.series for x in series.x]
    if chart.kind == "histogram":
        values = list(chart.edges)
    marks = [marker.x for marker in chart.markers]
    ends = span([*values, *marks], log=chart.log_x) or ((1.0, 10.0) if chart.log_x else (0.0, 1.0))
    if chart.log_x:
        axis = logarithmic(*ends, count, extend=False, twos=powers_of_two(values))
        # Numbers of cores: those that were run are the ticks, 384 among them.
        own = sorted({x for x in values if _fits(x, True)})
        return with_ticks(axis, own) if powers_of_two(values) and len(own) <= OWN_TICKS else axis
    whole = chart.kind != "histogram" and all(drawable(x) and x == int(x) for x in values)
    axis = linear(*ends, count, extend=False, whole=whole)
    own = sorted(set(values))
    return with_ticks(axis, own) if whole and 2 <= len(own) <= OWN_TICKS else axis


def y_axis(chart: Chart, count: int) -> Axis:
    """The axis of y, moved out to the next ticks; holds 0 for bars and wherever it was asked for."""
    if chart.kind == "stacked":
        values = list(totals(chart))
    else:
        drawn = [point for series in chart.series for point in points(chart, series)]
        values = [point.y for point in drawn]
        values += [end for point in drawn for end in (point.low, point.high) if end is not None]
    whole = chart.kind == "histogram" and all(value == int(value) for value in values)
    if chart.log_y:
        low, high = span(values, log=True) or (1.0, 10.0)
        if chart.kind in ("bars", "histogram"):
            low /= 2  # so that the smallest bar is seen
        return logarithmic(low, high, count, extend=True)
    if chart.y_from_zero or chart.kind in ("bars", "stacked", "histogram", "area"):
        values.append(0.0)
    low, high = span(values) or (0.0, 1.0)
    if low == high == 0.0:
        high = 1.0
    return linear(low, high, count, extend=True, whole=whole)


def totals(chart: Chart) -> tuple[float, ...]:
    """Heights of the stacks, by category."""
    heights = [0.0] * len(categories(chart))
    for item in bars(chart):
        heights[item.category] += item.value
    return tuple(heights)


def categories(chart: Chart) -> tuple[str, ...]:
    """Names of a bar chart's categories: its own, or its distinct x as numbers."""
    if chart.categories:
        return tuple(plain(name) for name in chart.categories)
    return tuple(number(x) for x in _positions(chart))


def _positions(chart: Chart) -> list[float]:
    return sorted({point.x for series in chart.series for point in points(chart, series)})


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, or one part of a stack.

    Attributes:
        category: its place, from 0.
        series: whose.
        slot, slots: which of how many bars that stand side by side in this category.
        base: where it begins; 0 unless stacked.
        value: its length.
        low, high: ends of its interval, or None.
    """

    category: int
    series: int
    slot: int
    slots: int
    base: float
    value: float
    low: float | None
    high: float | None


def bars(chart: Chart) -> list[Bar]:
    """All bars; a category gives room only to the series that have a bar in it."""
    index = {x: place for place, x in enumerate(_positions(chart))}
    found: list[list[tuple[int, Point]]] = [[] for _ in (chart.categories or index)]
    for which, series in enumerate(chart.series):
        for point in points(chart, series):
            place = int(point.x) if chart.categories else index[point.x]
            found[place].append((which, point))
    made = []
    for place, items in enumerate(found):
        height = 0.0
        for slot, (which, point) in enumerate(items):
            stacked = chart.kind == "stacked"
            where = (0, 1) if stacked else (slot, len(items))
            made.append(Bar(place, which, *where, height if stacked else 0.0, point.y, point.low, point.high))
            height += point.y
    return made
