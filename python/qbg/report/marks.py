"""What lies between a chart's axes: lines, points, whiskers, areas, bars, and the flags of markers.

Given a frame with finished axes; must not know layout outside it. Each mark carries a `<title>`,
which browsers show under the pointer and read aloud. Flags: each marker is a line with its name to
the right of it. From left to right the names go down like a staircase as long as they would touch,
so no line ever crosses a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qbg.report import charts
from qbg.report.axes import Axis, number
from qbg.report.document import (
    ESTIMATED,
    MEASURED,
    PROJECTED,
    PUBLISHED,
    SIMULATED,
    Chart,
    Marker,
    Series,
)
from qbg.report.letters import shorten, text_width, wrap
from qbg.report.markup import tag, words
from qbg.report.words import plain, series_name

TEXT_PX = 12.0
FLAG_PX, FLAG_SHARE = 15.0, 0.45
COLORS = 8
POINTS_UP_TO = 40
"""More points than these are drawn as a line alone."""
WHISKERS_UP_TO = 24
"""More intervals than these are drawn as a band."""
BAR_PX, LYING_PX = 72.0, 18.0
INSET_PX = 9.0
"""Between the axes' ends and the first and last points, so that a point covers no number."""

# Around (0, 0), about 8 px wide: circle, diamond, triangle, square; hollow unless measured.
_CIRCLE = "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z"
SHAPES = {
    None: _CIRCLE,
    MEASURED: _CIRCLE,
    PROJECTED: _CIRCLE,
    PUBLISHED: "M0 -5.2L5.2 0L0 5.2L-5.2 0Z",
    ESTIMATED: "M0 -5L5 4H-5Z",
    SIMULATED: "M-4 -4H4V4H-4Z",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """The plot's rectangle and its axes, `x` None where x is categories; `inset_px` at both ends of x."""

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    x: Axis | None
    y: Axis
    inset_px: float = 0.0

    def px(self, x: float, count: int = 1) -> float:
        """From left of a value, or of the middle of category `x` of `count`."""
        width = self.right_px - self.left_px - 2 * self.inset_px
        return (
            self.left_px + self.inset_px + width * ((x + 0.5) / count if self.x is None else self.x.share(x))
        )

    def py(self, y: float) -> float:
        """From top of a value."""
        return self.bottom_px - (self.bottom_px - self.top_px) * self.y.share(y)


def is_guide(series: Series) -> bool:
    """Whether it is a line to compare with, such as the ideal: grey and without points."""
    return series.label is None and series.dashed


def has_points(chart: Chart) -> bool:
    """Whether single points of it are drawn."""
    return chart.kind == "line" and any(
        not is_guide(series) and len(series.x) <= POINTS_UP_TO for series in chart.series
    )


def color(chart: Chart, index: int) -> str:
    """The class that gives series `index` its color."""
    if is_guide(chart.series[index]):
        return "guide"
    before = sum(not is_guide(series) for series in chart.series[:index])
    return f"s{before % COLORS + 1}"


def body(chart: Chart, frame: Frame) -> str:
    """Lines, areas or a histogram; guides below everything else."""
    if chart.kind == "histogram":
        return _histogram(chart, frame)
    # What was measured is drawn last, so that nothing hides it.
    order = sorted(
        range(len(chart.series)),
        key=lambda index: (not is_guide(chart.series[index]), chart.series[index].label == MEASURED),
    )
    return "".join(_line(chart, index, frame) for index in order)


def _line(chart: Chart, index: int, frame: Frame) -> str:
    series = chart.series[index]
    runs: list[list[charts.Point]] = [[]]
    for place in charts.places(chart, series):
        if place is None:
            runs.append([])
        else:
            runs[-1].append(place)
    runs = [run for run in runs if run]
    at = _Placed(frame, len(chart.categories) or 1)
    parts = [tag("path", d=at.area(run), class_="fill") for run in runs if chart.kind == "area"]
    shown = [point for run in runs for point in run]
    intervals = [point for point in shown if point.low is not None]
    if len(intervals) > WHISKERS_UP_TO:
        bands = [[point for point in run if point.low is not None] for run in runs]
        parts += [tag("path", d=at.band(band), class_="fill interval") for band in bands if band]
        intervals = []
    path = " ".join(at.line(run) for run in runs)
    parts.append(tag("path", d=path, class_="line dashed" if series.dashed else "line"))
    for point in intervals:
        assert point.low is not None
        assert point.high is not None
        parts.append(whisker(at.x(point), frame.py(point.low), frame.py(point.high)))
    if not is_guide(series) and len(shown) <= POINTS_UP_TO:
        parts += [_point(chart, series, point, at) for point in shown]
    return tag("g", *parts, class_=f"series {color(chart, index)} {series.label or 'unlabelled'}")


@dataclass(frozen=True, slots=True)
class _Placed:
    """Paths through points."""

    frame: Frame
    count: int

    def x(self, point: charts.Point) -> float:
        return self.frame.px(point.x, self.count)

    def line(self, run: Sequence[charts.Point]) -> str:
        return "M" + "L".join(f"{self.x(point):.2f} {self.frame.py(point.y):.2f}" for point in run)

    def area(self, run: Sequence[charts.Point]) -> str:
        # Down to 0 where the axis has it, else to its lower end.
        axis = self.frame.y
        base = self.frame.py(axis.low if axis.log else min(max(0.0, axis.low), axis.high))
        return f"{self.line(run)}L{self.x(run[-1]):.2f} {base:.2f}L{self.x(run[0]):.2f} {base:.2f}Z"

    def band(self, ends: Sequence[charts.Point]) -> str:
        """Around points that all have an interval."""
        up = [f"{self.x(point):.2f} {self.frame.py(point.high or 0.0):.2f}" for point in ends]
        down = [f"{self.x(point):.2f} {self.frame.py(point.low or 0.0):.2f}" for point in reversed(ends)]
        return f"M{'L'.join(up + down)}Z"


def whisker(x: float, low: float, high: float, *, half: float = 4.0) -> str:
    """A standing interval."""
    left, bar = x - half, 2 * half
    d = f"M{left:.2f} {high:.2f}h{bar:g}M{x:.2f} {high:.2f}V{low:.2f}M{left:.2f} {low:.2f}h{bar:g}"
    return tag("path", d=d, class_="whisker")


def _point(chart: Chart, series: Series, point: charts.Point, at: _Placed) -> str:
    where = plain(chart.categories[int(point.x)]) if chart.categories else number(point.x)
    hollow = "" if series.label in (MEASURED, None) else " hollow"
    return tag(
        "path",
        tag("title", words(_hint(series, where, point.y, point.low, point.high))),
        d=SHAPES[series.label],
        transform=f"translate({at.x(point):.2f} {at.frame.py(point.y):.2f})",
        class_=f"point{hollow}",
    )


def _hint(series: Series, where: str, value: float, low: float | None, high: float | None) -> str:
    interval = f" ({number(low)} to {number(high)})" if low is not None and high is not None else ""
    return f"{series_name(series.name, series.label)}: {where}: {number(value)}{interval}"


def _histogram(chart: Chart, frame: Frame) -> str:
    assert frame.x is not None
    series = chart.series[0]
    parts = []
    for left, right, count in zip(chart.edges, chart.edges[1:], series.y, strict=False):
        if not (frame.x.shows(left) and frame.x.shows(right) and frame.y.shows(count)) or count == 0:
            continue
        start, end, top = frame.px(left), frame.px(right), frame.py(count)
        gap = 1.0 if end - start > 4 else 0.0
        hint = _hint(series, f"{number(left)} to {number(right)}", count, None, None)
        parts.append(_bar(start, top, end - start - gap, frame.bottom_px - top, hint, series.label, ""))
    return tag("g", *parts, class_=f"series {color(chart, 0)} {series.label or 'unlabelled'}")


def _bar(x: float, y: float, width: float, height: float, hint: str, label: str | None, fill: str) -> str:
    """A rectangle; `fill` names a pattern where the label has one."""
    return tag(
        "rect",
        tag("title", words(hint)),
        x=x,
        y=y,
        width=max(0.0, width),
        height=max(0.0, height),
        class_=f"bar bar-{label or 'unlabelled'}",
        fill=f"url(#{fill})" if fill else None,
    )


def patterns(chart: Chart, name: str) -> str:
    """Fillings of those series whose label has one: estimated is hatched, simulated is dotted."""
    made = []
    for index, series in enumerate(chart.series):
        if series.label not in (ESTIMATED, SIMULATED):
            continue
        drawing = "M-2 2L2 -2M-1 9L9 -1M6 10L10 6" if series.label == ESTIMATED else "M2 2h2v2h-2Z"
        made.append(
            tag(
                "pattern",
                tag("path", d=drawing, class_="hatch"),
                id=f"{name}-fill{index}",
                class_=color(chart, index),
                width=8 if series.label == ESTIMATED else 6,
                height=8 if series.label == ESTIMATED else 6,
                patternUnits="userSpaceOnUse",
            )
        )
    return tag("defs", *made) if made else ""


def _pattern(chart: Chart, index: int, name: str) -> str:
    return f"{name}-fill{index}" if chart.series[index].label in (ESTIMATED, SIMULATED) else ""


def swatch(chart: Chart, index: int, x: float, y: float, name: str) -> str:
    """What stands before a series' name in the legend, 18 px wide around height `y`."""
    series = chart.series[index]
    look = color(chart, index)
    if chart.kind not in ("line", "area"):
        bar = tag(
            "rect",
            x=x + 2,
            y=y - 6,
            width=14.0,
            height=12.0,
            class_=f"bar bar-{series.label or 'unlabelled'}",
            fill=f"url(#{_pattern(chart, index, name)})" if _pattern(chart, index, name) else None,
        )
        return tag("g", bar, class_=look)
    parts = [tag("path", d=f"M{x:.2f} {y:.2f}h18", class_="line dashed" if series.dashed else "line")]
    if not is_guide(series) and len(series.x) <= POINTS_UP_TO:
        hollow = "" if series.label in (MEASURED, None) else " hollow"
        shape, place = SHAPES[series.label], f"translate({x + 9:.2f} {y:.2f})"
        parts.append(tag("path", d=shape, transform=place, class_=f"point{hollow}"))
    return tag("g", *parts, class_=look)


def _bar_hint(chart: Chart, bar: charts.Bar) -> str:
    name = charts.categories(chart)[bar.category]
    return _hint(chart.series[bar.series], name, bar.value, bar.low, bar.high)


def _ends(axis: Axis, bar: charts.Bar) -> tuple[float, float]:
    """Values between which a bar reaches: from 0, or from the low end of a logarithmic axis."""
    base = axis.low if axis.log else bar.base
    return base, base + bar.value if not axis.log else bar.value


def standing_bars(chart: Chart, frame: Frame, name: str) -> str:
    """Bars or stacks side by side, with their values above them where all values fit."""
    count = len(charts.categories(chart))
    band = (frame.right_px - frame.left_px) / count
    drawn: list[list[str]] = [[] for _ in chart.series]
    written = []
    for bar in charts.bars(chart):
        width = min(BAR_PX, band * 0.76 / bar.slots)
        left = frame.left_px + (bar.category + 0.5) * band + (bar.slot - bar.slots / 2) * width
        ends = sorted(frame.py(value) for value in _ends(frame.y, bar))
        hint, label = _bar_hint(chart, bar), chart.series[bar.series].label
        shape = _bar(
            left + 0.5, ends[0], width - 1, ends[1] - ends[0], hint, label, _pattern(chart, bar.series, name)
        )
        drawn[bar.series].append(shape)
        top = ends[0]
        if bar.low is not None and bar.high is not None:
            drawn[bar.series].append(whisker(left + width / 2, frame.py(bar.low), frame.py(bar.high)))
            top = min(top, frame.py(bar.high))
        if chart.kind == "bars":
            written.append((left + width / 2, top, number(bar.value), band / bar.slots))
    if chart.kind == "stacked":
        for place, total in enumerate(charts.totals(chart)):
            written.append((frame.left_px + (place + 0.5) * band, frame.py(total), number(total), band))
    texts = ""
    if all(text_width(text, TEXT_PX) <= room for _, _, text, room in written):
        texts = "".join(
            tag("text", words(text), x=x, y=y - 5, text_anchor="middle", class_="value")
            for x, y, text, _ in written
        )
    return patterns(chart, name) + _grouped(chart, drawn) + texts


def _grouped(chart: Chart, drawn: list[list[str]]) -> str:
    return "".join(
        tag("g", *parts, class_=f"series {color(chart, index)} {chart.series[index].label or 'unlabelled'}")
        for index, parts in enumerate(drawn)
    )


def value_room(chart: Chart) -> float:
    """Width of the numbers behind lying bars."""
    values = charts.totals(chart) if chart.kind == "stacked" else [bar.value for bar in charts.bars(chart)]
    return max((text_width(number(value), TEXT_PX) for value in values), default=0.0) + 14


@dataclass(frozen=True, slots=True)
class LyingRow:
    """One category's lines of name and the room for its bars."""

    lines: tuple[str, ...]
    top_px: float
    bars_px: float
    bottom_px: float


def lying_rows(chart: Chart, top: float, width: float) -> list[LyingRow]:
    """From top to bottom, each as high as its name and its bars."""
    slots = [1] * len(charts.categories(chart))
    for bar in charts.bars(chart):
        slots[bar.category] = max(slots[bar.category], bar.slots)
    rows = []
    for name, count in zip(charts.categories(chart), slots, strict=True):
        lines = wrap(name, width, TEXT_PX)
        start = top + len(lines) * FLAG_PX + 3
        rows.append(LyingRow(tuple(lines), top, start, start + count * LYING_PX))
        top = rows[-1].bottom_px + 9
    return rows


def lying_bars(chart: Chart, frame: Frame, rows: list[LyingRow], name: str) -> str:
    """Bars on their side."""
    drawn: list[list[str]] = [[] for _ in chart.series]
    texts = [
        tag("text", words(line), x=frame.left_px, y=row.top_px + 12 + index * FLAG_PX, class_="category")
        for row in rows
        for index, line in enumerate(row.lines)
    ]
    for bar in charts.bars(chart):
        top = rows[bar.category].bars_px + bar.slot * LYING_PX
        left, right = sorted(frame.px(value) for value in _ends(frame.y, bar))
        hint, label = _bar_hint(chart, bar), chart.series[bar.series].label
        drawn[bar.series].append(
            _bar(left, top, right - left, LYING_PX - 2, hint, label, _pattern(chart, bar.series, name))
        )
        if bar.low is not None and bar.high is not None:
            low, high, y = frame.px(bar.low), frame.px(bar.high), top + LYING_PX / 2 - 1
            d = f"M{low:.2f} {y - 4:.2f}v8M{low:.2f} {y:.2f}H{high:.2f}M{high:.2f} {y - 4:.2f}v8"
            drawn[bar.series].append(tag("path", d=d, class_="whisker"))
            right = max(right, high)
        if chart.kind == "bars":
            texts.append(_value(number(bar.value), right, top))
    if chart.kind == "stacked":
        for row, total in zip(rows, charts.totals(chart), strict=True):
            texts.append(_value(number(total), frame.px(total), row.bars_px))
    return patterns(chart, name) + _grouped(chart, drawn) + "".join(texts)


def _value(text: str, right: float, top: float) -> str:
    return tag("text", words(text), x=right + 6, y=top + LYING_PX / 2 + 3, class_="value")


@dataclass(frozen=True, slots=True)
class Flag:
    """A marker, its name as written, its row from the plot upwards, and whether that lies left of it."""

    marker: Marker
    name: str
    row: int
    flipped: bool


@dataclass(frozen=True, slots=True)
class FlagRow:
    """All flags, the height they need above the plot, and how far right the plot may reach."""

    flags: tuple[Flag, ...]
    height_px: float
    right_px: float


def place_flags(markers: tuple[Marker, ...], x: Axis, left: float, right: float) -> FlagRow:
    """Rows for the markers' names, so that none touches another one or another one's line."""
    shown = sorted((item for item in markers if x.shows(item.x)), key=lambda item: item.x)
    if not shown:
        return FlagRow((), 0.0, right)
    names = [shorten(plain(item.name), (right - left) * FLAG_SHARE, TEXT_PX) for item in shown]
    widths = [text_width(name, TEXT_PX) + 6 for name in names]

    def at(index: int, end: float) -> float:
        return left + (end - left) * x.share(shown[index].x)

    last = len(shown) - 1
    flipped = at(last, right) + widths[last] > right and (
        at(last, right) - widths[last] > (at(last - 1, right) + widths[last - 1] if last else left)
    )
    # The plot gives way where a name would leave the picture: left + (end - left) * share + width <= right.
    end = min(
        (
            left + (right - left - widths[index]) / x.share(shown[index].x)
            for index in range(len(shown))
            if x.share(shown[index].x) > 0 and not (flipped and index == last)
        ),
        default=right,
    )
    end = min(end, right)
    rows = [0] * len(shown)
    for index in range(last - 1, -1, -1):
        reach = at(index, end) + widths[index]
        crossed = [rows[other] for other in range(index + 1, len(shown)) if at(other, end) < reach]
        rows[index] = 1 + max(crossed) if crossed else 0
    flags = tuple(
        Flag(item, names[index], rows[index], flipped and index == last) for index, item in enumerate(shown)
    )
    return FlagRow(flags, (max(rows) + 1) * FLAG_PX + 2, end)


def flags(row: FlagRow, frame: Frame) -> str:
    """Lines through the plot with the names on them."""
    parts = []
    for flag in row.flags:
        x, top = frame.px(flag.marker.x), frame.top_px - (flag.row + 1) * FLAG_PX
        parts.append(
            tag(
                "g",
                tag("title", words(f"{plain(flag.marker.name)}: {number(flag.marker.x)}")),
                tag("path", d=f"M{x:.2f} {top:.2f}V{frame.bottom_px:.2f}", class_="marker"),
                tag(
                    "text",
                    words(flag.name),
                    x=x - 4 if flag.flipped else x + 4,
                    y=top + 11,
                    text_anchor="end" if flag.flipped else "start",
                ),
                class_="flag",
                data_value=f"{flag.marker.x!r}",
            )
        )
    return "".join(parts)
