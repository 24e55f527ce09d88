"""A document as one HTML file: nothing is fetched, nothing runs, everything from outside is escaped.

Charts come in up to three sizes, of which the style sheet shows the one that fits the window, so
that their text is never scaled to where it can't be read. Pictures are accepted only as PNG or JPEG
inside a `data:` URL. The page forbids itself any other source by its own content security policy.
Must not know records or benches.
"""

from __future__ import annotations

import re

from qbg.report import charts, svg
from qbg.report.document import LABELS, Chart, Document, Section, Strip, Table
from qbg.report.markup import tag, words
from qbg.report.style import sheet
from qbg.report.words import (
    BASIS,
    DOUBTS,
    INVALID,
    INVALID_MEANING,
    MEANINGS,
    PASSED,
    check_table,
    footnotes,
    plain,
)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_PICTURE = re.compile(r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/]+={0,2}", re.ASCII)
_CODE = re.compile(r"`([^`]+)`")
LONG_CELL = 18
"""Numeric cells with more characters hold words, such as why there is no number; they may wrap."""


def render(document: Document) -> str:
    """The whole page.

    Raises:
        ValueError: a table, chart or picture that isn't sound; see `words.check_table`, `charts.check`
            and `Strip`.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", words(document.title if document.valid else f"{INVALID}: {document.title}")),
        f"<style>\n{sheet()}</style>",
    )
    sections = [_section(section, index) for index, section in enumerate(document.sections)]
    foot = tag("footer", "This page is complete in itself: it loads nothing and runs nothing.")
    body = tag("body", tag("main", _top(document), *sections, foot))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def prose(text: str) -> str:
    """A paragraph's text, with what stands between backticks as code."""
    parts = _CODE.split(plain(text))
    return "".join(tag("code", words(part)) if index % 2 else words(part) for index, part in enumerate(parts))


def badge(label: str) -> str:
    """A label as a small sign whose color and border differ, and which is its word."""
    return tag("span", words(label), class_=f"badge badge-{label}", title=MEANINGS[label])


def _top(document: Document) -> str:
    """Verdict before all else; an invalid run says so before its title."""
    reasons = (
        tag("ul", *(tag("li", prose(reason)) for reason in document.reasons)) if document.reasons else ""
    )
    title = tag("h1", words(document.title))
    verdict = tag("p", prose(document.verdict), class_="verdict") if document.verdict else ""
    if document.valid:
        head = title + tag("p", PASSED, class_="passed") + verdict
        if reasons:
            head += tag("aside", tag("h2", DOUBTS), reasons, class_="doubts")
    else:
        alarm = tag("h2", INVALID) + tag("p", INVALID_MEANING) + reasons
        head = tag("div", alarm, class_="invalid", role="alert") + title + verdict
    links = [
        tag("li", tag("a", words(section.title), href=f"#part{index}"))
        for index, section in enumerate(document.sections)
    ]
    contents = tag("nav", tag("ul", *links), aria_label="Contents") if links else ""
    return tag("header", head, _legend(), contents)


def _legend() -> str:
    entries = [tag("dt", badge(label)) + tag("dd", words(MEANINGS[label])) for label in LABELS]
    return tag("div", tag("h2", "Where each number comes from"), tag("dl", *entries), class_="legend")


def _section(section: Section, index: int) -> str:
    name = f"part{index}"
    parts = [tag("h2", words(section.title), id=f"{name}-title")]
    parts += [tag("p", prose(text)) for text in section.text]
    parts += [
        _table(table, f"{name}-table{number}", facts=index == 0)
        for number, table in enumerate(section.tables)
    ]
    if section.charts:
        drawn = [_chart(section, number, name) for number in range(len(section.charts))]
        parts.append(tag("div", *drawn, class_="charts"))
    parts += [_strip(strip) for strip in section.strips]
    return tag("section", *parts, id=name, aria_labelledby=f"{name}-title")


def _table(table: Table, name: str, *, facts: bool) -> str:
    """A table that scrolls by itself where it is wider than the window, and its notes."""
    labelled = check_table(table)
    notes = footnotes(table)
    heads = [
        tag("th", words(column), scope="col", class_="n" if numeric else None)
        for column, numeric in zip(table.columns, table.numeric, strict=True)
    ]
    if labelled:
        heads.append(tag("th", BASIS, scope="col"))
    rows = [
        _row(table, number, notes.marks[number], name, labelled=labelled) for number in range(len(table.rows))
    ]
    caption = tag("caption", words(table.title)) if table.title else ""
    # Pairs of words, as the header has them, flow in two columns and need no visible head.
    pairs = facts and not labelled and len(table.columns) == 2
    whole = tag(
        "table",
        caption,
        tag("thead", tag("tr", *heads, role="row" if pairs else None), role="rowgroup" if pairs else None),
        tag("tbody", *rows, role="rowgroup" if pairs else None),
        class_="facts" if pairs else None,
        role="table" if pairs else None,
    )
    lines = [
        tag("li", tag("sup", str(number)), " ", prose(text), id=f"{name}-note{number}")
        for number, text in enumerate(notes.texts, 1)
    ]
    lines += [tag("li", prose(text)) for text in table.notes]
    below = tag("ul", *lines, class_="notes") if lines else ""
    scroll = tag("div", whole, class_="scroll", role="region", tabindex=0, aria_label=table.title or "Table")
    return tag("div", scroll, below, class_="table")


def _row(table: Table, number: int, marks: tuple[int, ...], name: str, *, labelled: bool) -> str:
    row = table.rows[number]
    signs = "".join(tag("sup", tag("a", str(mark), href=f"#{name}-note{mark}")) for mark in marks)
    cells = []
    for index, (cell, numeric) in enumerate(zip(row.cells, table.numeric, strict=True)):
        look = ("n long" if len(cell) > LONG_CELL else "n") if numeric else None
        if index == 0:
            cells.append(tag("th", prose(cell), signs, scope="row", class_=look))
        else:
            cells.append(tag("td", prose(cell), class_=look))
    if labelled:
        cells.append(tag("td", badge(row.label) if row.label else ""))
    return tag("tr", *cells, class_="strong" if row.strong else None)


def _chart(section: Section, number: int, name: str) -> str:
    """One figure. It takes the whole width when it would otherwise stand alone in its row."""
    chart: Chart = section.charts[number]
    wide = number == len(section.charts) - 1 and number % 2 == 0
    sizes = {"full": svg.FULL, "half": svg.HALF, "narrow": svg.NARROW}
    if not wide:
        del sizes["full"]
    drawn = [
        tag("div", svg.draw(chart, size, name=f"{name}-chart{number}-{which}"), class_=which)
        for which, size in sizes.items()
    ]
    remark = charts.remark(chart)
    below = " ".join(part for part in (chart.caption, remark) if part)
    caption = tag("figcaption", prose(below)) if below else ""
    return tag(
        "figure", tag("h3", words(chart.title)), *drawn, caption, class_="chart wide" if wide else "chart"
    )


def _strip(strip: Strip) -> str:
    """Pictures side by side on a checkerboard, which shows what is transparent."""
    pictures = []
    for url, text in strip.images:
        check_picture(url)
        below = tag("figcaption", words(text), aria_hidden="true") if text else ""
        pictures.append(tag("figure", tag("img", src=url, alt=text), below))
    title = tag("h3", words(strip.title)) if strip.title else ""
    return tag("div", title, tag("div", *pictures, class_="pictures"), class_="strip")


def check_picture(url: str) -> None:
    """Whether a picture's address is one that loads nothing and holds no markup.

    Raises:
        ValueError: it is no `data:` URL of a PNG or JPEG file in base64.
    """
    if not _PICTURE.fullmatch(url):
        raise ValueError(f"a picture must be a PNG or JPEG in a `data:` URL, not `{plain(url[:40])}`")
