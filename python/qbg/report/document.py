"""What a report is made of: sections with text, tables, charts and pictures, still without a form.

A bench makes one from a record; the terminal, Markdown and HTML renderers draw it. Numbers in tables are text
already, in the unit their column names; numbers in charts are raw. Must not know records or benches.
"""

from __future__ import annotations

from dataclasses import dataclass

MEASURED, ESTIMATED, PUBLISHED, PROJECTED, SIMULATED = (
    "measured",
    "estimated",
    "published",
    "projected",
    "simulated",
)
LABELS = (MEASURED, ESTIMATED, PUBLISHED, PROJECTED, SIMULATED)
"""Where a number comes from. A table's rows have one each; they never share a column unsaid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table.

    Attributes:
        cells: as many as the table has columns; `n/a (had 300, needs 10,000)` where there is no number.
        label: one of `LABELS`; None in tables that hold no figures, such as the header's.
        strong: whether it is the row to look at.
        notes: footnotes of this row, printed below the table.
    """

    cells: tuple[str, ...]
    label: str | None = None
    strong: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows below named columns.

    Attributes:
        title: a short caption; empty for none.
        columns: names, with units.
        numeric: by column, whether it is set flush right.
        rows: see `Row`.
        notes: below the table, for all of it.
        brief: whether it also belongs in the short form on a terminal.
    """

    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    brief: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points of a chart.

    Attributes:
        name: in the legend.
        label: one of `LABELS`, or None for a guide such as the ideal line.
        x, y: of equal length.
        low, high: ends of each point's interval; empty for none.
        dashed: for guides and projections.
    """

    name: str
    label: str | None
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A vertical line at `x`, named, such as a percentile."""

    x: float
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture of numbers.

    Attributes:
        kind: `line` (points joined, intervals as whiskers), `bars` (one per x category and series),
            `stacked` (series on top of each other, one bar per category), `histogram` (x are left edges
            of equal or log-spaced bins, one series, y counts; `edges` has one more), `area`.
        title, x_title, y_title: with units.
        series: see `Series`.
        categories: names of the x positions 0, 1, ..; empty for numeric x.
        edges: of a histogram's bins.
        markers: vertical lines.
        log_x, log_y: logarithmic axes.
        y_from_zero: whether the y axis begins at 0.
        caption: a sentence on what is to be seen, also the text for those who can't see it.
    """

    kind: str
    title: str
    x_title: str
    y_title: str
    series: tuple[Series, ...]
    categories: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    markers: tuple[Marker, ...] = ()
    log_x: bool = False
    log_y: bool = False
    y_from_zero: bool = True
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Pictures side by side, such as photo, mask and cut-out.

    Attributes:
        title: below or beside them.
        images: (`data:` URL, text for those who can't see it) each.
    """

    title: str
    images: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report.

    Attributes:
        title: its heading.
        text: paragraphs.
        tables, charts, strips: in this order.
        brief: whether it also belongs in the short form on a terminal.
    """

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    strips: tuple[Strip, ...] = ()
    brief: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report.

    Attributes:
        title: its heading.
        verdict: one paragraph in plain words.
        valid: False puts INVALID before everything else.
        reasons: why it is invalid, and doubts that don't make it so, each with advice.
        sections: in order; the first is the header (machine, software, subject).
    """

    title: str
    verdict: str
    valid: bool
    reasons: tuple[str, ...]
    sections: tuple[Section, ...]
