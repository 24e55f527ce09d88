"""The terminal's report: width, colors, encodings, labels, and that nothing is read as markup."""

from __future__ import annotations

import io
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len  # noqa: TID251 -- the measure that terminals go by

from documents import (
    CHARTS,
    document,
    everything,
    facts,
    histogram,
    labels_of,
    line_chart,
    series,
    stacked_chart,
    table,
)
from qbg.report import plot
from qbg.report.document import LABELS, MEASURED, Chart, Document, Row, Section
from qbg.report.terminal import show
from qbg.report.words import INVALID, MEANINGS

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables by which Rich would be told something else."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")


def shown(report: Document, *, brief: bool = False) -> str:
    """What a pipe gets."""
    file = io.StringIO()
    show(report, file, brief)
    return file.getvalue()


def in_terminal(report: Document) -> str:
    file = Terminal()
    show(report, file, brief=False)
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("terminal", [False, True])
def test_width_is_respected(width: int, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    report = everything(verdict="word " * 100, valid=False, reasons=("a reason " * 30,))
    text = in_terminal(report) if terminal else shown(report)
    lines = [ESCAPE.sub("", line) for line in text.splitlines()]
    assert max(cell_len(line) for line in lines) <= width
    # Every cell is whole, on one line or in parts below each other.
    squeezed = "".join(ESCAPE.sub("", text).split())
    for row in table().rows:
        for cell in row.cells[:2]:
            assert cell in squeezed
        assert (row.label or "") in squeezed


def test_wide_tables_are_split_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    columns = tuple(f"column-{index}" for index in range(12))
    rows = tuple(Row(cells=tuple(f"{n}.{index}" for index in range(12)), label=MEASURED) for n in range(3))
    part = table(columns=columns, numeric=(True,) * 12, rows=rows)
    lines = shown(document(Section(title="s", tables=(part,)))).splitlines()
    assert max(map(len, lines)) <= 60
    words = " ".join(lines).split()
    assert set(columns) <= set(words)
    assert {cell for row in rows for cell in row.cells} <= set(words)
    heads = [line for line in lines if "column-0" in line]
    assert len(heads) > 1
    # Each part says whose rows they are and where they come from.
    assert all(line.rstrip().endswith("basis") for line in heads)
    assert words.count("measured") >= 3 * len(heads)


def test_every_row_has_its_label() -> None:
    counts = labels_of(everything())
    lines = shown(everything()).splitlines()
    for label, count in counts.items():
        assert sum(line.rstrip().endswith(f"  {label}") for line in lines) == count
    for label in LABELS:
        assert any(line.startswith(f"  {label}") and MEANINGS[label] in line for line in lines)


def test_invalid_comes_first() -> None:
    lines = shown(everything(valid=False, reasons=("masks differ", "too short"))).splitlines()
    assert INVALID in lines[0]
    title = lines.index("qbg bench")
    for reason in ("masks differ", "too short"):
        assert any(reason in line for line in lines[:title])
    assert INVALID not in shown(everything(reasons=("not quiet",)))
    assert "- not quiet" in shown(everything(reasons=("not quiet",))).splitlines()


def test_brief_leaves_out() -> None:
    brief, whole = shown(everything(), brief=True), shown(everything())
    assert "Dollars per million" not in brief
    assert "Dollars per million" in whole
    assert "Images per second by cores" in brief
    assert "pictures are left out here" not in brief
    assert "pictures are left out here" in whole


def test_brief_is_the_default_and_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    show(everything())
    captured = capsys.readouterr()
    assert captured.out == shown(everything(), brief=True)
    assert captured.err == ""


def test_pipes_get_no_colors_and_no_blanks_at_the_end() -> None:
    text = shown(everything(valid=False, reasons=("x",)))
    assert "\x1b" not in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_terminals_get_colors_unless_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    color = re.compile(r"\x1b\[[0-9;]*(?:3[0-7]|9[0-7]|4[0-7]|38;5;\d+)m")
    with_colors = in_terminal(everything(valid=False))
    assert color.search(with_colors)
    monkeypatch.setenv("NO_COLOR", "1")
    without = in_terminal(everything(valid=False))
    assert not color.search(without)
    assert ESCAPE.sub("", without) == ESCAPE.sub("", with_colors)


@pytest.mark.parametrize("text", ["/data/[bold]x[/bold].jpg", "[link=a]b", ":smile:", "[/]", "\\[red]"])
def test_brackets_are_no_markup(text: str) -> None:
    report = document(
        Section(title=text, text=(text,), tables=(facts(path=text),)),
        title=text,
        verdict=text,
        reasons=(text,),
    )
    assert shown(report).count(text) == 6
    assert ESCAPE.sub("", in_terminal(report)).count(text) == 6


def test_no_escape_sequence_comes_through() -> None:
    text = in_terminal(document(Section(title="\x1b[2Jx", tables=(facts(path="a\x1b]0;b\x07c"),))))
    assert "\x1b[2J" not in text
    assert "\x1b]0" not in text
    assert r"\x1b[2Jx" in ESCAPE.sub("", text)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_other_encodings(encoding: str) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    words = "320 × 320 – “caf\N{LATIN SMALL LETTER E WITH ACUTE}” ≥ 1 \N{SNOWMAN}"
    show(everything(verdict=words, valid=False, reasons=("x",)), file, brief=False)
    file.flush()
    text = raw.getvalue().decode(encoding)
    assert '320 x 320 - "caf' in text
    assert ">= 1 ?" in text
    assert not set(text) & set("─│█━┄╭⠉")


def test_paths_that_are_no_unicode() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="utf-8")
    show(document(title="caf\udce9"), file)
    file.flush()
    assert raw.getvalue().startswith(b"caf\\xe9")


@given(st.text(max_size=30))
def test_any_words_can_be_shown(text: str) -> None:
    part = Section(
        title=text, text=(text,), tables=(facts(a=text), table(title=text)), charts=(line_chart(title=text),)
    )
    lines = shown(document(part, title=text, verdict=text)).splitlines()
    assert max(cell_len(line) for line in lines) <= 100


def rows_of(chart: Chart, width: int = 60, *, ascii_only: bool = True) -> list[str]:
    return ["".join(text for text, _ in row) for row in plot.draw(chart, width, ascii_only=ascii_only)]


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("width", [40, 60, 100, 300])
@pytest.mark.parametrize("kind", CHARTS)
def test_plots_keep_their_width(kind: str, width: int, ascii_only: bool) -> None:
    lines = rows_of(CHARTS[kind](), width, ascii_only=ascii_only)
    assert max(map(cell_len, lines)) <= min(width, plot.WIDEST)
    assert all(line.isascii() for line in lines) == ascii_only
    named = [one.label for one in CHARTS[kind]().series if one.label]
    assert all(any(label in line for line in lines) for label in named)


def test_curves_rise_from_corner_to_corner() -> None:
    one = series(x=(0.0, 10.0), y=(0.0, 10.0))
    chart = line_chart(series=(one,), log_x=False, log_y=False)
    cells = [line.split("|", 1)[1] for line in rows_of(chart) if "|" in line]
    assert len(cells) == plot.HEIGHT
    assert cells[-1].startswith("*")
    assert cells[0].rstrip().endswith("*")
    columns = [line.index("*") for line in cells]
    assert columns == sorted(columns, reverse=True)


def test_braille_dots_lie_where_the_point_is() -> None:
    one = series(x=(0.0,), y=(0.0,))
    lines = rows_of(line_chart(series=(one,), log_x=False, log_y=False), ascii_only=False)
    cells = "".join(line.split("│", 1)[1] for line in lines if "│" in line)
    dots = [character for character in cells if character != " "]
    assert len(dots) == 1
    assert bin(ord(dots[0]) - 0x2800).count("1") == 1


def test_guides_are_dashed_in_their_own_sign() -> None:
    text = "\n".join(rows_of(line_chart()))
    assert "* this (measured)" in text
    assert "x ideal" in text


def test_bars_are_as_long_as_their_values() -> None:
    one = series(x=(0.0, 1.0, 2.0), y=(10.0, 20.0, 40.0))
    lines = rows_of(
        Chart(kind="bars", title="", x_title="", y_title="", series=(one,), categories=("a", "b", "c"))
    )
    lengths = [line.count("#") for line in lines[:3]]
    assert lengths[2] == pytest.approx(4 * lengths[0], abs=2)
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=1)
    assert [line.split()[-1] for line in lines[:3]] == ["10", "20", "40"]


def test_stacks_show_their_parts() -> None:
    first, second = (line for line in rows_of(stacked_chart(), 80) if line.startswith(("one", "two")))
    for sign, share in (("#", 5 / 55), ("=", 40 / 55), ("+", 10 / 55)):
        assert second.count(sign) == pytest.approx(
            share * sum(second.count(part) for part in "#=+"), abs=1.01
        )
    assert sum(second.count(part) for part in "#=+") == pytest.approx(
        2 * sum(first.count(part) for part in "#=+"), abs=2
    )


def test_histograms_show_each_bin_that_is_not_empty() -> None:
    lines = rows_of(histogram(), 68)
    floor = next(line for line in lines if line.lstrip().startswith("0 |")).split("|")[1]
    quarter = len(floor) // 4
    assert [("#" in floor[n * quarter + 1 : (n + 1) * quarter - 1]) for n in range(4)] == [
        True,
        True,
        False,
        True,
    ]
    assert "marked: P50, P90, P95, max" in lines


def test_histograms_are_as_high_as_their_counts() -> None:
    cells = [line.split("|") for line in rows_of(histogram(), 68) if "|" in line]
    top = float(cells[0][0])
    columns = len(cells[0][1])
    heights = [sum(row[1].ljust(columns)[at] == "#" for row in cells) for at in range(columns)]
    middles = [heights[round(columns * (n + 0.5) / 4)] for n in range(4)]
    assert middles == [round(plot.HEIGHT * count / top) for count in (30, 10, 0, 5)]


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="no such kind"):
        shown(document(Section(title="s", charts=(line_chart(kind="pie"),))))


def test_large_tables_are_fine() -> None:
    rows = tuple(Row(cells=(str(n), "x", "y"), label=MEASURED) for n in range(500))
    text = shown(document(Section(title="s", tables=(table(rows=rows),))))
    assert sum(line.endswith("  measured") for line in text.splitlines()) == 500


def test_rich_is_loaded_only_when_something_is_shown() -> None:
    import subprocess

    program = "import sys, qbg.report.terminal; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
