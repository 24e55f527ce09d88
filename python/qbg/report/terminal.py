"""A document on a terminal, or in a file as text: Rich tables, small plots, and INVALID before everything.

Colors only where the output is a terminal and NO_COLOR is not set; characters beyond ASCII only
where the encoding has them. Labels are words in a column of their own, so they stay without any
color. A table that would not fit becomes a list of its rows. Text is never read as Rich markup: a
path may hold brackets. Must not know records.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
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
    from rich.console import Console, JustifyMethod, RenderableType
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
_GAP, _PROSE_CELLS = 2, 100
_LABEL_CELLS = max(map(len, LABELS))
_NUMBER_CELLS, _WORDS_CELLS = 18, 26
"""A numeric cell that is longer holds words; a column of words gets so much before it is folded."""
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
    from rich.console import Console

    target = file or sys.stdout
    console = Console(file=target, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        _Printer(console).document(document, brief=brief)
        return
    # Rich fills tables up with blanks; in a file nobody wants them at the ends of lines.
    with console.capture() as captured:
        _Printer(console).document(document, brief=brief)
    target.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


class _Printer:
    """Prints in order; knows width and encoding of its console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._encoding = console.encoding
        self._ascii_only = not self._encoding.lower().startswith("utf")
        self._width = console.width

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
        hidden = sum(
            not (section.brief and table.brief) for section in document.sections for table in section.tables
        )
        if brief and hidden:
            self._print()
            self._print(self.text(f"({hidden} more tables in the long form and in files)", "dim"))

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

    def _print(self, what: RenderableType = "") -> None:
        from rich.text import Text

        # Running text in lines of two hundred letters is hard to read; tables may use the room.
        prose = isinstance(what, Text) and not what.no_wrap
        self._console.print(what, width=min(self._width, _PROSE_CELLS) if prose else None)

    def _list(self, lines: tuple[str, ...], style: str = "") -> None:
        for line in lines:
            self._hanging("- ", self.text(line, style))

    def _hanging(self, sign: str, text: Text, style: str = "") -> None:
        self._print(self._hung(sign, text, style))

    def _hung(self, sign: str, text: Text, style: str = "") -> RenderableType:
        """A text whose further lines stand below its first, not below its sign."""
        from rich.table import Table as Grid

        grid = Grid.grid(padding=0)
        grid.add_column(no_wrap=True, width=len(sign))
        grid.add_column(overflow="fold")
        grid.add_row(self.text(sign, style), text)
        return grid

    def _alarm(self, document: Document) -> None:
        """What nobody can overlook: a frame around the word, what it means, and why."""
        from rich.console import Group
        from rich.panel import Panel

        lines: list[RenderableType] = [self.text(INVALID_MEANING, "bold")]
        lines += [self._hung("- ", self.text(reason)) for reason in document.reasons]
        self._print(Panel(Group(*lines), title=self.text(f" {INVALID} ", "bold white on red"), style="red"))

    def _legend(self, document: Document, *, brief: bool) -> None:
        """The labels that occur, each with its meaning."""
        used = {
            label
            for section in document.sections
            if section.brief or not brief
            for label in _labels(section, brief=brief)
        }
        if used:
            self._print()
        for label in LABELS:
            if label in used:
                self._hanging(f"  {label:<11}", self.text(MEANINGS[label], "dim"), STYLES[label])

    def _section(self, section: Section, *, brief: bool) -> None:
        for text in section.text:
            self._print(self.text(text))
        for table in section.tables:
            if table.brief or not brief:
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
            needs = _needs(table, notes.marks)
            for number, part in enumerate(self._parts(needs, labelled=labelled)):
                if number:
                    self._print()
                widths = self._widths(part, needs, labelled=labelled)
                self._print(self._grid(table, notes.marks, part, widths, labelled=labelled))
        for index, text in enumerate(notes.texts, 1):
            self._hanging(f"[{index}] ", self.text(text, "dim"))
        for text in table.notes:
            self._print(self.text(text, "dim"))

    def _room(self, *, labelled: bool) -> int:
        return self._width - (_LABEL_CELLS + _GAP if labelled else 0)

    def _parts(self, needs: list[_Need], *, labelled: bool) -> list[list[int]]:
        """Columns side by side as far as they fit; each part begins with the first column again."""
        parts, used = [[0]], needs[0].least
        for index in range(1, len(needs)):
            if used + _GAP + needs[index].least > self._room(labelled=labelled) and len(parts[-1]) > 1:
                parts.append([0])
                used = needs[0].least
            parts[-1].append(index)
            used += _GAP + needs[index].least
        return parts

    def _widths(self, part: list[int], needs: list[_Need], *, labelled: bool) -> dict[int, int]:
        """What each column gets: what it needs, and of what is left, from the left, what it would like."""
        room = self._room(labelled=labelled) - _GAP * (len(part) - 1)
        widths = {index: needs[index].least for index in part}
        # Two columns that are too wide together share; never happens to more, since they are in parts.
        for index in part[::-1]:
            over = sum(widths.values()) - room
            widths[index] = max(min(widths[index], 4), widths[index] - max(0, over))
        for index in part:
            left = room - sum(widths.values())
            widths[index] += max(0, min(left, needs[index].wanted - widths[index]))
        return widths

    def _grid(
        self,
        table: Table,
        marks: tuple[tuple[int, ...], ...],
        part: list[int],
        widths: dict[int, int],
        *,
        labelled: bool,
    ) -> RenderableType:
        from rich import box
        from rich.table import Table as Grid

        # A rule below the head and nothing else. The blank between columns becomes two by the padding.
        dash = "-" if self._ascii_only else "─"
        rule = box.Box(f"    \n    \n {dash}{dash} \n" + "    \n" * 5, ascii=self._ascii_only)
        grid = Grid(
            box=rule,
            show_edge=False,
            pad_edge=False,
            padding=(0, _GAP - 1, 0, 0),
            header_style="bold",
        )
        for index in part:
            justify: JustifyMethod = "right" if table.numeric[index] else "left"
            head = self.text(table.columns[index])
            grid.add_column(head, justify=justify, overflow="fold", width=widths[index])
        if labelled:
            grid.add_column(BASIS, no_wrap=True, width=_LABEL_CELLS)
        for row, numbers in zip(table.rows, marks, strict=True):
            cells = [self.text(row.cells[index]) for index in part]
            cells[0].append("".join(f" [{number}]" for number in numbers), "dim")
            if labelled:
                cells.append(self.text(row.label or "", STYLES[row.label] if row.label else ""))
            grid.add_row(*cells, style="bold" if row.strong else None)
        return grid

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


@dataclass(frozen=True, slots=True)
class _Need:
    """Cells of a column: so many at least, and so many for all of it to be on one line."""

    least: int
    wanted: int


def _needs(table: Table, marks: tuple[tuple[int, ...], ...]) -> list[_Need]:
    """By column: whole numbers stay on one line, texts are folded at words where they are long."""
    from rich.cells import cell_len

    needs = []
    for index, numeric in enumerate(table.numeric):
        texts = [row.cells[index] for row in table.rows]
        if index == 0:
            pairs = zip(texts, marks, strict=True)
            texts = [text + "".join(f" [{mark}]" for mark in numbers) for text, numbers in pairs]
        sizes = [cell_len(text) for text in texts]
        words = [cell_len(word) for text in [table.columns[index], *texts] for word in text.split()]
        whole = [size for size in sizes if not numeric or size <= _NUMBER_CELLS]
        least = max([1, *(min(size, _WORDS_CELLS) for size in [*whole, *words])])
        needs.append(_Need(least, max([least, cell_len(table.columns[index]), *sizes])))
    return needs


def _color(chart: Chart, index: int) -> str:
    series = chart.series[index]
    if series.label is None and series.dashed:
        return _GUIDE
    return _SERIES[index % len(_SERIES)]


def _labels(section: Section, *, brief: bool) -> set[str]:
    shown = [table for table in section.tables if table.brief or not brief]
    rows = {row.label for table in shown for row in table.rows}
    series = {series.label for chart in section.charts for series in chart.series}
    return {label for label in rows | series if label}
