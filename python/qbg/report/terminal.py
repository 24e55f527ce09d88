"""A document on a terminal, or in a file as text: Rich tables, small plots, and INVALID before everything.

Colors only where the output is a terminal and NO_COLOR is not set; characters beyond ASCII only
where the encoding has them. Labels are words in a column of their own, so they stay without any
color. A table that would not fit becomes a list of its rows. Text is never read as Rich markup: a
path may hold brackets. Must not know records.
"""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING

from qbg.report import charts, plot
from qbg.report.document import (
    ESTIMATED,
    LABELS,
    MEASURED,
    PROJECTED,
    PUBLISHED,
    SIMULATED,
    Chart,
    Document,
    Section,
    Table,
)
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
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

STYLES = {
    MEASURED: "bold green",
    ESTIMATED: "yellow",
    PUBLISHED: "cyan",
    PROJECTED: "magenta",
    SIMULATED: "blue",
}
_SERIES = ("bright_blue", "dark_orange", "green", "magenta", "yellow", "white", "cyan", "red")
_GUIDE = "bright_black"
_GAP = 2
# What a terminal without UTF-8 gets instead; everything else that its encoding lacks becomes a question mark.
_ASCII = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{MIDDLE DOT}": "-",
        "\N{BULLET}": "*",
        "\N{LESS-THAN OR EQUAL TO}": "<=",
        "\N{GREATER-THAN OR EQUAL TO}": ">=",
        "\N{PLUS-MINUS SIGN}": "+-",
        "\N{MICRO SIGN}": "u",
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{NO-BREAK SPACE}": " ",
        "\N{NARROW NO-BREAK SPACE}": " ",
    }
)


def show(document: Document, file: IO[str] | None = None, brief: bool = True) -> None:
    """Prints a document.

    Args:
        document: see there.
        file: where to; standard output for None.
        brief: only the sections that say so of themselves, and of their charts only the first curve.

    Raises:
        ValueError: a table or chart isn't sound; see `words.check_table` and `charts.check`.
        OSError: the file can't be written.
    """
    _Printer(file or sys.stdout).document(document, brief=brief)


class _Printer:
    """Prints in order; knows width and encoding of its file."""

    def __init__(self, file: IO[str]) -> None:
        from rich.console import Console

        self._console: Console = Console(file=file, highlight=False, markup=False, emoji=False)
        self._encoding = self._console.encoding
        self._ascii_only = not self._encoding.lower().startswith("utf")
        self._width = self._console.width

    def document(self, document: Document, *, brief: bool) -> None:
        from rich.rule import Rule

        if not document.valid:
            self._alarm(document)
        self._print(self.text(document.title, "bold"))
        if document.verdict:
            self._print(self.text(document.verdict))
        if document.valid and document.reasons:
            self._print()
            self._print(self.text(reasons_title(document), "bold yellow"))
            self._list(document.reasons)
        self._legend(document, brief=brief)
        for section in document.sections:
            if brief and not section.brief:
                continue
            self._print()
            dash = "-" if self._ascii_only else "─"
            self._print(Rule(self.text(section.title, "bold"), align="left", style="dim", characters=dash))
            self._section(section, brief=brief)

    def text(self, words: str, style: str = "") -> Text:
        """Text that is printed as it is, in what the encoding has."""
        from rich.text import Text

        return Text(self._known(words), style=style)

    def _known(self, words: str) -> str:
        shown = plain(words)
        if self._ascii_only:
            shown = shown.translate(_ASCII)
            return shown.encode(self._encoding, "replace").decode(self._encoding)
        return shown

    def _print(self, *what: RenderableType) -> None:
        self._console.print(*what)

    def _list(self, lines: tuple[str, ...], style: str = "") -> None:
        for line in lines:
            self._hanging("- ", self.text(line, style))

    def _hanging(self, sign: str, text: Text) -> None:
        """A text whose further lines stand below its first, not below its sign."""
        from rich.table import Table as Grid

        grid = Grid.grid(padding=0)
        grid.add_column(no_wrap=True, width=len(sign))
        grid.add_column(overflow="fold")
        grid.add_row(self.text(sign), text)
        self._print(grid)

    def _alarm(self, document: Document) -> None:
        """What nobody can overlook: a frame around the word, what it means, and why."""
        from rich.console import Group
        from rich.panel import Panel

        lines = [self.text(INVALID_MEANING, "bold")]
        lines += [self.text(f"- {reason}") for reason in document.reasons]
        self._print(Panel(Group(*lines), title=self.text(f" {INVALID} ", "bold white on red"), style="red"))

    def _legend(self, document: Document, *, brief: bool) -> None:
        """The labels that occur, each with its meaning."""
        used = {
            label for section in document.sections if section.brief or not brief for label in _labels(section)
        }
        if used:
            self._print()
        for label in LABELS:
            if label in used:
                line = self.text(f"{label:<10}", STYLES[label])
                self._hanging("  ", line.append_text(self.text(f" {MEANINGS[label]}", "dim")))

    def _section(self, section: Section, *, brief: bool) -> None:
        for text in section.text:
            self._print(self.text(text))
        for table in section.tables:
            self._table(table)
        drawn = list(section.charts)
        if brief:
            drawn = [chart for chart in drawn if chart.kind == "line"][:1]
        for chart in drawn:
            self._chart(chart)
        if section.strips and not brief:
            titles = ", ".join(strip.title for strip in section.strips if strip.title)
            self._print(self.text(f"({titles + ': ' if titles else ''}{PICTURES_ELSEWHERE})", "dim"))

    def _table(self, table: Table) -> None:
        labelled = check_table(table)
        notes = footnotes(table)
        self._print()
        if table.title:
            self._print(self.text(table.title, "bold"))
        if table.columns:
            if self._narrowest(table, labelled=labelled) <= self._width:
                self._print(self._grid(table, notes.marks, labelled=labelled))
            else:
                self._listed(table, notes.marks)
        for index, text in enumerate(notes.texts, 1):
            self._hanging(f"[{index}] ", self.text(text, "dim"))
        for text in table.notes:
            self._hanging("", self.text(text, "dim"))

    def _narrowest(self, table: Table, *, labelled: bool) -> int:
        """Cells that the table needs when each column is as narrow as its longest word."""
        from rich.cells import cell_len

        columns = [
            [head, *(row.cells[index] for row in table.rows)] for index, head in enumerate(table.columns)
        ]
        words = [
            max((cell_len(word) for text in column for word in text.split()), default=1) for column in columns
        ]
        if labelled:
            words.append(max(map(len, LABELS)))
        return sum(words) + _GAP * (len(words) - 1) + 4  # a footnote's mark

    def _grid(self, table: Table, marks: tuple[tuple[int, ...], ...], *, labelled: bool) -> RenderableType:
        from rich import box
        from rich.table import Table as Grid

        grid = Grid(
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold"
        )
        for head, numeric in zip(table.columns, table.numeric, strict=True):
            grid.add_column(self.text(head), justify="right" if numeric else "left", overflow="fold")
        if labelled:
            grid.add_column(BASIS, no_wrap=True)
        for row, numbers in zip(table.rows, marks, strict=True):
            cells = [self.text(cell) for cell in row.cells]
            cells[0].append("".join(f" [{number}]" for number in numbers), "dim")
            if labelled:
                cells.append(self.text(row.label or "", STYLES[row.label] if row.label else ""))
            grid.add_row(*cells, style="bold" if row.strong else None)
        return grid

    def _listed(self, table: Table, marks: tuple[tuple[int, ...], ...]) -> None:
        """Row after row, a line for each column."""
        for row, numbers in zip(table.rows, marks, strict=True):
            head = self.text(row.cells[0], "bold")
            head.append("".join(f" [{number}]" for number in numbers), "dim")
            if row.label:
                head.append("  ").append(row.label, STYLES[row.label])
            self._print(head)
            for name, cell in zip(table.columns[1:], row.cells[1:], strict=True):
                self._hanging("  ", self.text(f"{name}: ", "dim").append_text(self.text(cell, "not dim")))

    def _chart(self, chart: Chart) -> None:
        self._print()
        self._print(self.text(chart.title, "bold"))
        for pieces in plot.draw(chart, self._width, ascii_only=self._ascii_only):
            line = self.text("")
            for words, series in pieces:
                line.append_text(self.text(words, "" if series is None else _color(chart, series)))
            line.rstrip()
            line.no_wrap = True
            line.overflow = "ellipsis" if not self._ascii_only else "crop"
            self._print(line)
        for text in (chart.caption, charts.remark(chart)):
            if text:
                self._print(self.text(text, "dim"))


def _color(chart: Chart, index: int) -> str:
    series = chart.series[index]
    if series.label is None and series.dashed:
        return _GUIDE
    return _SERIES[index % len(_SERIES)]


def _labels(section: Section) -> set[str]:
    rows = {row.label for table in section.tables for row in table.rows}
    series = {series.label for chart in section.charts for series in chart.series}
    return {label for label in rows | series if label}
