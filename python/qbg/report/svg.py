"""A `document.Chart` as SVG inside an HTML page: layout, axes, legend; `marks` draws the rest.

Layout from top to bottom: legend, title of the y axis (lying, since nobody reads standing text),
names of the markers, plot, ticks, title of the x axis. The plot's height is fixed; what stands
around it makes the picture as high as it must be, so nothing is ever squeezed. Colors are classes
(`s1` .. `s8`, `guide`), which the page's style sheet turns into one palette for light and one for
dark. Each label has its own point and its own filling as well, since color alone is not for
everybody. Leaves out: negative logarithms, a second y axis.
"""

from __future__ import annotations

from dataclasses import dataclass

from qbg.report import charts, marks
from qbg.report.axes import Axis
from qbg.report.document import Chart
from qbg.report.letters import fits, free_of_overlap, text_width, wrap
from qbg.report.markup import tag, words
from qbg.report.words import common_label, plain, series_name

TEXT_PX = 12.0
LINE_PX = 15.0
PAD_PX = 8.0
TICK_ROOM_PX = 22.0
SWATCH_PX = 26.0
BAR_LABEL_LINES = 3


@dataclass(frozen=True, slots=True)
class Size:
    """How large a chart is drawn, in CSS pixels: the whole width, and the height of the plot alone."""

    width_px: float
    plot_px: float


FULL, HALF, NARROW = Size(960.0, 280.0), Size(464.0, 240.0), Size(330.0, 220.0)
"""For the page's whole width, for half of it, and for a telephone."""


def draw(chart: Chart, size: Size = HALF, *, name: str = "chart") -> str:
    """One `<svg>` element.

    Args:
        chart: any kind of `charts.KINDS`.
        size: see `Size`.
        name: begins every id in the picture; unique in its page.

    Raises:
        ValueError: the chart is not sound, see `charts.check`.
    """
    charts.check(chart)
    if charts.empty(chart):
        body, height = _nothing(), 60.0
    elif chart.kind in charts.BARRED and _lying(chart, size):
        body, height = _draw_lying(chart, size, name)
    else:
        body, height = _draw_standing(chart, size, name)
    return tag(
        "svg",
        tag("title", words(chart.title), id=f"{name}-title"),
        tag("desc", words(description(chart)), id=f"{name}-desc"),
        body,
        class_=f"plot {chart.kind}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        viewBox=f"0 0 {size.width_px:g} {height:g}",
        width=size.width_px,
        height=height,
        font_size=TEXT_PX,
    )


def description(chart: Chart) -> str:
    """The caption, what wasn't drawn, and the series by name, for who can't see the picture."""
    names = ", ".join(series_name(series.name, series.label) for series in chart.series)
    marked = ", ".join(plain(marker.name) for marker in chart.markers)
    parts = [chart.caption, charts.remark(chart), f"Series: {names}." if names else ""]
    parts.append(f"Marked: {marked}." if marked else "")
    return " ".join(part for part in parts if part)


def _nothing() -> str:
    return tag("text", "nothing to show", x=PAD_PX, y=34.0, class_="soft")


def _draw_standing(chart: Chart, size: Size, name: str) -> tuple[str, float]:
    """Everything but lying bars: the y axis stands, x lies below."""
    legend, top = _legend(chart, size, name)
    y = charts.y_axis(chart, max(2, int(size.plot_px / 36)))
    left = max(text_width(text, TEXT_PX) for text in (*y.texts, "0")) + PAD_PX
    title = _y_title(chart, size, top)
    top += title[1]
    if chart.kind in charts.BARRED:
        top += LINE_PX  # the numbers above the bars
        frame = marks.Frame(left, top, size.width_px - PAD_PX, top + size.plot_px, None, y)
        flags = ""
        axis, foot = _categories(charts.categories(chart), frame)
        body = marks.standing_bars(chart, frame, name)
    elif chart.categories:
        frame = marks.Frame(left, top, size.width_px - PAD_PX, top + size.plot_px, None, y)
        flags = ""
        axis, foot = _categories(charts.categories(chart), frame)
        body = marks.body(chart, frame)
    else:
        x = charts.x_axis(chart, max(2, int((size.width_px - left) / 60)))
        right = size.width_px - max(PAD_PX + 4, text_width(x.texts[-1] if x.texts else "", TEXT_PX) / 2)
        inset = marks.INSET_PX if marks.has_points(chart) else 0.0
        row = marks.place_flags(chart.markers, x, left + inset, right - inset)
        top += row.height_px
        frame = marks.Frame(left, top, row.right_px + inset, top + size.plot_px, x, y, inset)
        flags = marks.flags(row, frame)
        axis, foot = _x_ticks(x, frame)
        body = marks.body(chart, frame)
    x_title, foot = _x_title(chart.x_title, frame, foot)
    return legend + title[0] + _y_ticks(y, frame) + axis + body + flags + x_title, foot


def _y_title(chart: Chart, size: Size, top: float) -> tuple[str, float]:
    """The title of the y axis above it, and how much height it takes."""
    if not chart.y_title:
        return "", PAD_PX
    lines = wrap(plain(chart.y_title), size.width_px, TEXT_PX)
    rows = [
        tag("text", words(line), x=0.0, y=top + (index + 1) * LINE_PX - 3, class_="axis-title")
        for index, line in enumerate(lines)
    ]
    return "".join(rows), len(lines) * LINE_PX + PAD_PX + 3


def _x_title(text: str, frame: marks.Frame, foot: float) -> tuple[str, float]:
    if not text:
        return "", foot + 4
    lines = wrap(plain(text), frame.right_px - frame.left_px, TEXT_PX)
    rows = [
        tag(
            "text",
            words(line),
            x=(frame.left_px + frame.right_px) / 2,
            y=foot + (index + 1) * LINE_PX - 1,
            text_anchor="middle",
            class_="axis-title",
        )
        for index, line in enumerate(lines)
    ]
    return "".join(rows), foot + len(lines) * LINE_PX + 4


def _y_ticks(axis: Axis, frame: marks.Frame) -> str:
    """Grid lines with their numbers left of them, and the base line."""
    parts = []
    for value, text in zip(axis.ticks, axis.texts, strict=True):
        at = frame.py(value)
        parts.append(
            tag(
                "g",
                tag("path", d=f"M{frame.left_px:.2f} {at:.2f}H{frame.right_px:.2f}", class_="grid"),
                tag("text", words(text), x=frame.left_px - 6, y=at + 4, text_anchor="end"),
                class_="y-tick",
                data_value=f"{value!r}",
            )
        )
    base = f"M{frame.left_px:.2f} {frame.bottom_px:.2f}H{frame.right_px:.2f}"
    return "".join(parts) + tag("path", d=base, class_="base")


def _x_ticks(axis: Axis, frame: marks.Frame) -> tuple[str, float]:
    """Small strokes with numbers below them; numbers that would touch are left away."""
    spans = []
    for value, text in zip(axis.ticks, axis.texts, strict=True):
        half = text_width(text, TEXT_PX) / 2
        spans.append((frame.px(value) - half, frame.px(value) + half))
    kept = set(free_of_overlap(spans, PAD_PX))
    parts = []
    for index, (value, text) in enumerate(zip(axis.ticks, axis.texts, strict=True)):
        at = frame.px(value)
        stroke = tag("path", d=f"M{at:.2f} {frame.bottom_px:.2f}v5", class_="base")
        written = tag("text", words(text), x=at, y=frame.bottom_px + 18, text_anchor="middle")
        parts.append(
            tag("g", stroke, written if index in kept else "", class_="x-tick", data_value=f"{value!r}")
        )
    return "".join(parts), frame.bottom_px + TICK_ROOM_PX


def _categories(names: tuple[str, ...], frame: marks.Frame) -> tuple[str, float]:
    """Names below their bands, on as many lines as they need."""
    band = (frame.right_px - frame.left_px) / max(1, len(names))
    parts, most = [], 1
    for index, name in enumerate(names):
        lines = wrap(name, band - PAD_PX, TEXT_PX)
        most = max(most, len(lines))
        parts += [
            tag(
                "text",
                words(line),
                x=frame.left_px + (index + 0.5) * band,
                y=frame.bottom_px + 4 + (row + 1) * LINE_PX,
                text_anchor="middle",
                class_="category",
            )
            for row, line in enumerate(lines)
        ]
    return "".join(parts), frame.bottom_px + 8 + most * LINE_PX


def _legend(chart: Chart, size: Size, name: str) -> tuple[str, float]:
    """A swatch and a name for each series, in rows; and the height of all rows.

    A single series without a label needs none: the titles of chart and axis say what it is.
    """
    if len(chart.series) == 1 and chart.series[0].label is None:
        return "", 0.0
    parts = []
    x = y = 0.0
    common = common_label(chart)
    entries = [
        plain(series.name) if common else series_name(series.name, series.label) for series in chart.series
    ]
    for index, label in enumerate(entries):
        lines = wrap(label, size.width_px - SWATCH_PX, TEXT_PX)
        width = SWATCH_PX + max(text_width(line, TEXT_PX) for line in lines)
        if x > 0 and x + width > size.width_px:
            x, y = 0.0, y + LINE_PX + 4
        rows = [
            tag("text", words(line), x=x + SWATCH_PX, y=y + 12 + row * LINE_PX)
            for row, line in enumerate(lines)
        ]
        parts.append(tag("g", marks.swatch(chart, index, x, y + 8, name), *rows, class_="key"))
        y += (len(lines) - 1) * LINE_PX
        x += width + 2 * PAD_PX
    if common:
        text = f"all {common}"
        if x + text_width(text, TEXT_PX) > size.width_px:
            x, y = 0.0, y + LINE_PX + 4
        parts.append(tag("text", text, x=x, y=y + 12, class_="soft"))
    return "".join(parts), y + LINE_PX + PAD_PX


def _lying(chart: Chart, size: Size) -> bool:
    """Whether bars lie on their side, as they do where their names would not fit below them."""
    names = charts.categories(chart)
    band = (size.width_px - 60) / max(1, len(names)) - PAD_PX
    wrapped = [wrap(name, band, TEXT_PX) for name in names]
    return any(len(lines) > BAR_LABEL_LINES or not fits(lines, band, TEXT_PX) for lines in wrapped)


def _draw_lying(chart: Chart, size: Size, name: str) -> tuple[str, float]:
    """Bars on their side: names above them, values behind them, the axis of values below."""
    legend, top = _legend(chart, size, name)
    values = charts.y_axis(chart, max(2, int(size.width_px / 90)))
    room = marks.value_room(chart)
    rows = marks.lying_rows(chart, top + 4, size.width_px)
    bottom = rows[-1].bottom_px + PAD_PX
    first = text_width(values.texts[0], TEXT_PX) / 2
    frame = marks.Frame(first, top + 4, size.width_px - room, bottom, values, values)
    grid = "".join(
        tag("path", d=f"M{frame.px(value):.2f} {frame.top_px:.2f}V{bottom:.2f}", class_="grid")
        for value in values.ticks
    )
    axis, foot = _x_ticks(values, frame)
    title, foot = _x_title(chart.y_title, frame, foot)
    return legend + grid + axis + marks.lying_bars(chart, frame, rows, name) + title, foot
