"""A document as Markdown for GitHub: tables, and charts as small tables where they have few points.

Whatever comes from outside is escaped, so that a path can't become emphasis, a formula, HTML or a
second column. Charts with many points keep their caption alone, and pictures are never embedded: a
line says where they are. Must not know records or benches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qbg.report import charts
from qbg.report.axes import number
from qbg.report.document import LABELS, Chart, Document, Section, Series, Table
from qbg.report.words import (
    BASIS,
    INVALID,
    INVALID_MEANING,
    MEANINGS,
    PICTURES_ELSEWHERE,
    check_table,
    footnotes,
    plain,
    reasons_title,
    series_name,
)

ROWS_UP_TO = 24
"""A chart with more rows than these is left out."""

# A dollar sign begins a formula on GitHub. An underscore inside a word is harmless and common in names.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~$&]|(?<!\w)_|_(?!\w)")
# What makes a heading, a list or a rule of a line, when it stands at its beginning.
_AT_START = re.compile(r"^(#(?=[#\s]|$)|[-+](?=[-\s]|$)|=|\d+(?=[.)](?:\s|$)))")
_CODE = re.compile(r"`([^`]+)`")


def render(document: Document) -> str:
    """The whole text, with a line feed at its end.

    Raises:
        ValueError: a table or chart isn't sound; see `words.check_table` and `charts.check`.
    """
    blocks: list[str] = []
    if not document.valid:
        blocks += [f"# {INVALID}", f"**{INVALID_MEANING}**", *_reasons(document)]
    blocks.append(f"# {line(document.title)}")
    if document.verdict:
        blocks.append(line(document.verdict))
    if document.valid and document.reasons:
        blocks += [f"**{reasons_title(document)}**", *_reasons(document)]
    blocks.append("\n".join(f"- **{label}**: {line(MEANINGS[label])}" for label in LABELS))
    for section in document.sections:
        blocks += _section(section)
    return "\n\n".join(blocks) + "\n"


def line(text: str) -> str:
    """Text on one line with nothing in it that Markdown reads as more than text; code in backticks stays."""
    parts = _CODE.split(plain(text).strip())
    escaped = "".join(
        f"`{part}`" if index % 2 else _SPECIAL.sub(_escaped, part) for index, part in enumerate(parts)
    )
    return _AT_START.sub(_start, escaped)


def cell(text: str) -> str:
    """The same inside a table, where a pipe begins a new column even in code, if no backslash forbids it."""
    parts = _CODE.split(plain(text).strip())
    shown = []
    for index, part in enumerate(parts):
        if not index % 2:
            shown.append(_SPECIAL.sub(_escaped, part))
        elif r"\|" in part or part.endswith("\\"):
            # Readers disagree on a backslash before an escaped pipe in code, so this is no code.
            shown.append(_SPECIAL.sub(_escaped, f"`{part}`"))
        else:
            escaped = part.replace("|", r"\|")
            shown.append(f"`{escaped}`")
    return "".join(shown)


def _escaped(found: re.Match[str]) -> str:
    # As entities where some readers would still see HTML behind a backslash.
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(found.group(), f"\\{found.group()}")


def _start(found: re.Match[str]) -> str:
    mark = found.group()
    # A list's number is defused at the dot behind it; everything else by a backslash before it.
    return f"{mark}\\" if mark[0].isdigit() else f"\\{mark}"


def _reasons(document: Document) -> list[str]:
    return ["\n".join(f"- {line(reason)}" for reason in document.reasons)] if document.reasons else []


def _section(section: Section) -> list[str]:
    blocks = [f"## {line(section.title)}", *(line(text) for text in section.text)]
    for table in section.tables:
        blocks += _table(table)
    for chart in section.charts:
        blocks += _chart(chart)
    if section.strips:
        titles = ", ".join(line(strip.title) for strip in section.strips if strip.title)
        blocks.append(f"_{titles + ': ' if titles else ''}{PICTURES_ELSEWHERE}._")
    return blocks


def _table(table: Table) -> list[str]:
    labelled = check_table(table)
    notes = footnotes(table)
    rows = []
    for row, marks in zip(table.rows, notes.marks, strict=True):
        cells = [cell(text) for text in row.cells]
        if row.strong:
            cells = [f"**{text}**" if text else text for text in cells]
        if cells and marks:
            cells[0] += f" <sup>{', '.join(map(str, marks))}</sup>"
        rows.append(cells + ([row.label or ""] if labelled else []))
    heads = [cell(column) for column in table.columns] + ([BASIS] if labelled else [])
    blocks = [f"**{line(table.title)}**"] if table.title else []
    if heads:
        blocks.append(_grid(heads, [*table.numeric, *([False] if labelled else [])], rows))
    below = [f"- <sup>{index}</sup> {line(text)}" for index, text in enumerate(notes.texts, 1)]
    below += [f"- {line(text)}" for text in table.notes]
    return [*blocks, "\n".join(below)] if below else blocks


def _grid(heads: Sequence[str], numeric: Sequence[bool], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---:" if right else "---" for right in numeric]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, rule, *rows])


def _chart(chart: Chart) -> list[str]:
    """A table of the chart's points, or a line that says what it shows."""
    charts.check(chart)
    caption = " ".join(part for part in (chart.caption, charts.remark(chart)) if part)
    names = _places(chart)
    if not names or len(names) > ROWS_UP_TO:
        where = f"_Chart, in the HTML report: {line(chart.title)}._"
        return [f"{where} {line(caption)}" if caption else where]
    heads = [cell(chart.x_title) or "x"]
    heads += [cell(series_name(series.name, series.label)) for series in chart.series]
    rows = [
        [cell(name), *(cell(_value(chart, series, x)) for series in chart.series)]
        for x, name in names.items()
    ]
    title = f"**{line(chart.title)}**" + (f" ({line(chart.y_title)})" if chart.y_title else "")
    blocks = [title, _grid(heads, [not chart.categories, *([True] * len(chart.series))], rows)]
    if chart.markers:
        marks = ", ".join(f"{line(item.name)} at {number(item.x)}" for item in chart.markers)
        blocks.append(f"Marked: {marks}.")
    return [*blocks, line(caption)] if caption else blocks


def _places(chart: Chart) -> dict[float, str]:
    """Names of all x in ascending order."""
    places = sorted({point.x for series in chart.series for point in charts.points(chart, series)})
    if chart.kind == "histogram":
        edges = dict(zip(chart.series[0].x, zip(chart.edges, chart.edges[1:], strict=False), strict=True))
        return {x: f"{number(edges[x][0])} to {number(edges[x][1])}" for x in places}
    if chart.categories:
        return {x: chart.categories[int(x)] for x in places}
    return {x: number(x) for x in places}


def _value(chart: Chart, series: Series, x: float) -> str:
    for point in charts.points(chart, series):
        if point.x == x:
            if point.low is None or point.high is None:
                return number(point.y)
            return f"{number(point.y)} ({number(point.low)} to {number(point.high)})"
    return ""
