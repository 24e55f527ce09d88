"""Charts in a terminal, drawn with characters: braille dots for curves, blocks for bars, ASCII where need be.

Gives rows of (text, series) pieces, so that who prints them chooses the colors; a series is an
index, or None for axes and words. Must not know Rich or terminals. Intervals and points are left to
the HTML report: a terminal cell is too coarse for them.
"""

from __future__ import annotations

from qbg.report import charts
from qbg.report.axes import Axis, number
from qbg.report.document import Chart
from qbg.report.words import common_label, plain, series_name

Piece = tuple[str, int | None]
Rows = list[list[Piece]]

HEIGHT = 12
WIDEST = 100
# Bits of a braille cell by (row, column): U+2800 plus their sum.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EIGHTHS_UP = " ▁▂▃▄▅▆▇█"
_EIGHTHS_RIGHT = " ▏▎▍▌▋▊▉█"
_SHADES, _SHADES_ASCII = "█▓▒░▚▞", "#=+-:."
_POINTS_ASCII = "*o+x#@%&"
_NAME_SHARE = 0.4


def draw(chart: Chart, width: int, *, ascii_only: bool) -> Rows:
    """A chart's rows, none wider than `width` (at least 40) cells; its title and caption aren't among them.

    Raises:
        ValueError: the chart is not sound, see `charts.check`.
    """
    charts.check(chart)
    width = min(max(40, width), WIDEST)
    if charts.empty(chart):
        return [[("nothing to show", None)]]
    if chart.kind in charts.BARRED:
        rows = _bars(chart, width, ascii_only=ascii_only)
    elif chart.kind == "histogram":
        rows = _histogram(chart, width, ascii_only=ascii_only)
    else:
        rows = _curves(chart, width, ascii_only=ascii_only)
    return rows + _legend(chart, width, ascii_only=ascii_only)


def _legend(chart: Chart, width: int, *, ascii_only: bool) -> Rows:
    if len(chart.series) == 1 and chart.series[0].label is None:
        return []
    rows: Rows = []
    common = common_label(chart)
    for index, series in enumerate(chart.series):
        name = plain(series.name) if common else series_name(series.name, series.label)
        first, *more = _wrapped(name, width - 4) or [""]
        rows.append([(f"  {_sign(chart, index, ascii_only=ascii_only)} ", index), (first, None)])
        rows += [[(f"    {line}", None)] for line in more]
    return [*rows, [(f"  all {common}", None)]] if common else rows


def _sign(chart: Chart, index: int, *, ascii_only: bool) -> str:
    if chart.kind == "stacked":
        return _shade(index, ascii_only=ascii_only)
    if chart.kind in ("bars", "histogram"):
        return "#" if ascii_only else "█"
    if ascii_only:
        return _POINTS_ASCII[index % len(_POINTS_ASCII)]
    return "┄" if chart.series[index].dashed else "━"


def _shade(index: int, *, ascii_only: bool) -> str:
    shades = _SHADES_ASCII if ascii_only else _SHADES
    return shades[index % len(shades)]


class _Canvas:
    """Cells with dots in them; the first series to draw into a cell owns its color."""

    def __init__(self, columns: int, rows: int, *, ascii_only: bool) -> None:
        self._columns, self._rows, self._ascii_only = columns, rows, ascii_only
        self._across, self._down = (1, 1) if ascii_only else (2, 4)
        self._bits = [[0] * columns for _ in range(rows)]
        self._owner: list[list[int | None]] = [[None] * columns for _ in range(rows)]

    @property
    def width(self) -> int:
        """In dots."""
        return self._columns * self._across

    @property
    def height(self) -> int:
        """In dots."""
        return self._rows * self._down

    def dot(self, x: float, y: float, owner: int) -> None:
        """Sets the dot at shares `x` and `y` of the canvas from its lower left; drops what lies outside."""
        if not (0 <= x <= 1 and 0 <= y <= 1):
            return
        column, row = round(x * (self.width - 1)), round((1 - y) * (self.height - 1))
        cell_row, cell_column = row // self._down, column // self._across
        if self._owner[cell_row][cell_column] is None:
            self._owner[cell_row][cell_column] = owner
        self._bits[cell_row][cell_column] |= _DOTS[row % self._down][column % self._across]

    def line(self, start: tuple[float, float], end: tuple[float, float], owner: int, *, dashed: bool) -> None:
        """Dots from one place to another; every other pair of them where it is dashed."""
        steps = max(1, round(max(abs(end[0] - start[0]) * self.width, abs(end[1] - start[1]) * self.height)))
        for step in range(steps + 1):
            if dashed and step % 4 >= 2:
                continue
            part = step / steps
            self.dot(start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part, owner)

    def row(self, index: int) -> list[Piece]:
        """One row of cells."""
        return [
            (self._character(bits, owner), owner)
            for bits, owner in zip(self._bits[index], self._owner[index], strict=True)
        ]

    def _character(self, bits: int, owner: int | None) -> str:
        if owner is None:
            return " "
        return _POINTS_ASCII[owner % len(_POINTS_ASCII)] if self._ascii_only else chr(0x2800 + bits)


def _curves(chart: Chart, width: int, *, ascii_only: bool) -> Rows:
    """Lines and areas; guides are drawn last, so that a measured curve owns the cells they share."""
    y = charts.y_axis(chart, 6)
    left = max(len(text) for text in (*y.texts, "0")) + 2
    count = len(chart.categories)
    x = None if count else charts.x_axis(chart, max(2, (width - left) // 10))
    canvas = _Canvas(width - left, HEIGHT, ascii_only=ascii_only)
    order = sorted(range(len(chart.series)), key=lambda index: chart.series[index].dashed)
    for index in order:
        series = chart.series[index]
        before = None
        for point in charts.places(chart, series):
            if point is None:
                before = None
                continue
            here = ((point.x + 0.5) / count if x is None else x.share(point.x), y.share(point.y))
            canvas.line(before or here, here, index, dashed=series.dashed)
            before = here
    names = _below_categories(chart, width - left) if x is None else _below(x, width - left)
    return _framed([canvas.row(row) for row in range(HEIGHT)], y, left, names, chart, ascii_only=ascii_only)


def _framed(cells: Rows, y: Axis, left: int, names: str, chart: Chart, *, ascii_only: bool) -> Rows:
    """Rows of a plot with the y axis before them and the x axis below."""
    at = {
        round((1 - y.share(value)) * (len(cells) - 1)): text
        for value, text in zip(y.ticks, y.texts, strict=True)
    }
    side, corner, floor = ("|", "+", "-") if ascii_only else ("│", "└", "─")
    rows: Rows = [[(plain(chart.y_title), None)]] if chart.y_title else []
    for index, row in enumerate(cells):
        rows.append([(f"{at.get(index, ''):>{left - 2}} {side}", None), *row])
    rows.append([(" " * (left - 1) + corner + floor * len(cells[0]), None)])
    if names.strip():
        rows.append([(" " * left + names, None)])
    if chart.x_title:
        rows.append(
            [(" " * left + plain(chart.x_title)[: len(cells[0])].center(len(cells[0])).rstrip(), None)]
        )
    return rows


def _below(x: Axis, width: int) -> str:
    """Tick texts below their places, those left out that would touch."""
    return _placed([(x.share(value), text) for value, text in zip(x.ticks, x.texts, strict=True)], width)


def _below_categories(chart: Chart, width: int) -> str:
    count = len(chart.categories)
    return _placed([((i + 0.5) / count, plain(name)) for i, name in enumerate(chart.categories)], width)


def _placed(items: list[tuple[float, str]], width: int) -> str:
    line = ""
    for share, text in items:
        start = min(max(0, round(share * (width - 1)) - len(text) // 2), width - len(text))
        if start >= len(line) + (1 if line else 0):
            line = line.ljust(start) + text
    return line


def _histogram(chart: Chart, width: int, *, ascii_only: bool) -> Rows:
    """Columns of cells, each as high as the fullest bin that its middle or any of its own bins touches."""
    series = chart.series[0]
    y = charts.y_axis(chart, 6)
    left = max(len(text) for text in (*y.texts, "0")) + 2
    x = charts.x_axis(chart, max(2, (width - left) // 10))
    columns = width - left
    heights = [0.0] * columns
    for start, end, value in zip(chart.edges, chart.edges[1:], series.y, strict=False):
        if not (x.shows(start) and x.shows(end) and y.shows(value)) or value == 0:
            continue
        first = int(x.share(start) * columns)
        last = max(first + 1, round(x.share(end) * columns))
        for column in range(max(0, first), min(columns, last)):
            heights[column] = max(heights[column], y.share(value))
    cells = [[_upright(height, row, ascii_only=ascii_only) for height in heights] for row in range(HEIGHT)]
    rows = _framed(cells, y, left, _below(x, columns), chart, ascii_only=ascii_only)
    if chart.markers:
        names = ", ".join(plain(item.name) for item in chart.markers)
        rows += [[(line, None)] for line in _wrapped(f"marked: {names}", width)]
    return rows


def _upright(height: float, row: int, *, ascii_only: bool) -> Piece:
    """A column's cell in `row` from above."""
    eighths = round(height * HEIGHT * 8) - (HEIGHT - 1 - row) * 8
    if height > 0 and row == HEIGHT - 1:
        eighths = max(1, eighths)  # a bin that isn't empty is seen
    eighths = min(8, max(0, eighths))
    if ascii_only:
        return ("#" if eighths >= 4 or (eighths and row == HEIGHT - 1) else " ", 0)
    return (_EIGHTHS_UP[eighths], 0)


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)


def _bars(chart: Chart, width: int, *, ascii_only: bool) -> Rows:
    """A row for each bar, or for each stack: name, bar, value."""
    axis = charts.y_axis(chart, 5)
    names = charts.categories(chart)
    values = charts.totals(chart) if chart.kind == "stacked" else [bar.value for bar in charts.bars(chart)]
    tail = max((len(number(value)) for value in values), default=0)
    head = min(max(len(name) for name in names), int(width * _NAME_SHARE))
    room = max(8, width - head - tail - 3)
    longest = max((axis.share(value) for value in values), default=1.0)
    scale = room / max(longest, 1e-9)
    rows: Rows = [[(plain(chart.y_title), None)]] if chart.y_title else []
    drawn: dict[int, list[Piece]] = {}
    for bar in charts.bars(chart):
        if chart.kind == "stacked":
            start = round(axis.share(bar.base) * scale)
            end = round(axis.share(bar.base + bar.value) * scale)
            shade = _shade(bar.series, ascii_only=ascii_only) * (end - start)
            drawn.setdefault(bar.category, []).append((shade, bar.series))
            continue
        name = names[bar.category] if bar.slot == 0 else ""
        begin = axis.share(0.0) * scale if not axis.log else 0.0
        length = max(0.0, axis.share(bar.value) * scale - begin)
        piece = (_lying(length, ascii_only=ascii_only), bar.series)
        rows.append([(_name(name, head), None), piece, (f" {number(bar.value)}", None)])
    for place, pieces in sorted(drawn.items()):
        total = charts.totals(chart)[place]
        rows.append([(_name(names[place], head), None), *pieces, (f" {number(total)}", None)])
    return rows


def _name(name: str, width: int) -> str:
    return f"{name if len(name) <= width else name[: width - 1] + '~':<{width}} "


def _lying(cells: float, *, ascii_only: bool) -> str:
    if ascii_only:
        return "#" * round(cells)
    eighths = round(cells * 8)
    return "█" * (eighths // 8) + (_EIGHTHS_RIGHT[eighths % 8] if eighths % 8 else "")
