"""Documents for the renderers' tests: one with something of everything, and ways to vary it."""

from __future__ import annotations

from typing import Any

from qbg.report.document import (
    ESTIMATED,
    LABELS,
    MEASURED,
    PROJECTED,
    PUBLISHED,
    SIMULATED,
    Chart,
    Document,
    Marker,
    Row,
    Section,
    Series,
    Strip,
    Table,
)

# The smallest PNG there is: one transparent pixel.
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAA"
    "AABJRU5ErkJggg=="
)


def series(name: str = "this", label: str | None = MEASURED, **fields: Any) -> Series:
    """A series of three points unless others are given."""
    return Series(**{"name": name, "label": label, "x": (1.0, 2.0, 4.0), "y": (6.0, 12.0, 23.0), **fields})


def line_chart(**fields: Any) -> Chart:
    """Throughput by cores as the bench draws it."""
    values: dict[str, Any] = {
        "kind": "line",
        "title": "Images per second by cores",
        "x_title": "cores",
        "y_title": "images/s",
        "series": (
            series(low=(5.5, 11.0, 22.0), high=(6.5, 13.0, 25.0)),
            series("law", PROJECTED, x=(8.0, 384.0), y=(44.0, 900.0), dashed=True),
            series("384 vCPU", PUBLISHED, x=(1.0, 384.0), y=(0.6, 230.14)),
            series("ideal", None, x=(1.0, 384.0), y=(6.0, 2304.0), dashed=True),
        ),
        "log_x": True,
        "log_y": True,
        "caption": "It bends.",
    }
    return Chart(**{**values, **fields})


def bar_chart(**fields: Any) -> Chart:
    """Costs by platform: each category has one bar, of one of three series."""
    values: dict[str, Any] = {
        "kind": "bars",
        "title": "Dollars per million",
        "x_title": "platform",
        "y_title": "$ per million images",
        "categories": ("here", "CPU", "A10G", "H100"),
        "series": (
            series("here", MEASURED, x=(0.0,), y=(2.0,), low=(1.5,), high=(2.5,)),
            series("printed", PUBLISHED, x=(1.0, 2.0), y=(4.0, 8.0)),
            series("guessed", ESTIMATED, x=(3.0,), y=(16.0,)),
        ),
    }
    return Chart(**{**values, **fields})


def stacked_chart(**fields: Any) -> Chart:
    """Three stages, two runs."""
    values: dict[str, Any] = {
        "kind": "stacked",
        "title": "Stages",
        "x_title": "",
        "y_title": "ms",
        "categories": ("one", "two"),
        "series": tuple(
            series(name, MEASURED, x=(0.0, 1.0), y=(height, 2 * height))
            for name, height in (("decode", 5.0), ("infer", 40.0), ("encode", 10.0))
        ),
    }
    return Chart(**{**values, **fields})


def histogram(**fields: Any) -> Chart:
    """Four bins of equal ratio, percentiles marked."""
    values: dict[str, Any] = {
        "kind": "histogram",
        "title": "Service time",
        "x_title": "ms",
        "y_title": "pictures",
        "series": (series("2 workers", MEASURED, x=(100.0, 200.0, 400.0, 800.0), y=(30.0, 10.0, 0.0, 5.0)),),
        "edges": (100.0, 200.0, 400.0, 800.0, 1600.0),
        "markers": (
            Marker(x=150.0, name="P50"),
            Marker(x=390.0, name="P90"),
            Marker(x=400.0, name="P95"),
            Marker(x=1600.0, name="max"),
        ),
        "log_x": True,
    }
    return Chart(**{**values, **fields})


def area_chart(**fields: Any) -> Chart:
    """Memory over time."""
    values: dict[str, Any] = {
        "kind": "area",
        "title": "Memory",
        "x_title": "s",
        "y_title": "bytes",
        "series": (series("rss", MEASURED, x=(0.0, 1.0, 2.0, 3.0), y=(1e8, 3e8, 4e8, 4e8)),),
    }
    return Chart(**{**values, **fields})


CHARTS = {
    "line": line_chart,
    "bars": bar_chart,
    "stacked": stacked_chart,
    "histogram": histogram,
    "area": area_chart,
}


def table(**fields: Any) -> Table:
    """A row of each label."""
    values: dict[str, Any] = {
        "title": "Scaling",
        "columns": ("cores", "images/s", "95 % interval"),
        "numeric": (True, True, True),
        "rows": (
            Row(cells=("1", "6.41", "6.30 to 6.50"), label=MEASURED, strong=True, notes=("noisy", "warm")),
            Row(cells=("4", "24.6", "n/a (had 300, needs 10,000)"), label=PROJECTED, notes=("warm",)),
            Row(cells=("384", "230.14", ""), label=PUBLISHED),
            Row(cells=("384", "1,650", ""), label=SIMULATED),
            Row(cells=("8", "47", ""), label=ESTIMATED),
        ),
        "notes": ("Not like for like.",),
    }
    return Table(**{**values, **fields})


def facts(**pairs: str) -> Table:
    """Pairs of words, as the header has them."""
    rows = tuple(Row(cells=pair) for pair in pairs.items())
    return Table(title="", columns=("what", "value"), numeric=(False, False), rows=rows)


def document(*sections: Section, **fields: Any) -> Document:
    """A valid report of the sections given."""
    values: dict[str, Any] = {
        "title": "qbg bench",
        "verdict": "Two cores do 12.6 images per second.",
        "valid": True,
        "reasons": (),
        "sections": sections,
    }
    return Document(**{**values, **fields})


def everything(**fields: Any) -> Document:
    """Something of everything, an empty section and a long one among it."""
    return document(
        Section(title="Machine", tables=(facts(CPU="EPYC", command="qbg bench --images '/a [b]/<c>|d'"),)),
        Section(title="Throughput", text=("In turns.",), tables=(table(),), charts=(line_chart(),)),
        Section(title="Rest", charts=(bar_chart(), stacked_chart(), histogram(), area_chart()), brief=False),
        Section(title="Gate", strips=(Strip(title="a.jpg", images=((PIXEL, "photo"), (PIXEL, "mask"))),)),
        Section(title="Empty"),
        Section(title="Empty table", tables=(table(rows=()),), charts=(line_chart(series=()),)),
        **fields,
    )


def labels_of(document: Document) -> dict[str, int]:
    """How many rows have each label."""
    rows = [row for section in document.sections for part in section.tables for row in part.rows]
    return {label: sum(row.label == label for row in rows) for label in LABELS}
