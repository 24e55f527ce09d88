"""The Markdown report: tables with as many cells in each line, words that stay words, labels in every row."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import (
    CHARTS,
    PIXEL,
    bar_chart,
    document,
    everything,
    histogram,
    labels_of,
    line_chart,
    series,
    table,
)
from qbg.report import markdown
from qbg.report.document import MEASURED, Row, Section
from qbg.report.words import INVALID, plain

PIPE = re.compile(r"(?<!\\)(?:\\\\)*\|")


def grids(text: str) -> list[list[list[str]]]:
    """Each table as lines of cells."""
    found: list[list[list[str]]] = []
    before = ""
    for line in text.splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            found[-1].append([cell.strip() for cell in PIPE.split(line)[1:-1]])
        before = line
    return found


def one_table(text: str) -> list[list[str]]:
    (grid,) = grids(text)
    return grid


def test_tables_have_equal_lines() -> None:
    found = grids(markdown.render(everything()))
    assert len(found) >= 5
    for grid in found:
        assert len({len(line) for line in grid}) == 1
        assert all(re.fullmatch(r"-{3}:?", cell) for cell in grid[1])


def test_every_row_has_its_label() -> None:
    text = markdown.render(document(Section(title="s", tables=(table(),))))
    grid = one_table(text)
    assert grid[0][-1] == "basis"
    assert [line[-1] for line in grid[2:]] == [row.label for row in table().rows]
    assert grid[1] == ["---:", "---:", "---:", "---"]
    counts = labels_of(everything())
    whole = [line[-1] for each in grids(markdown.render(everything())) for line in each]
    assert {label: whole.count(label) for label in counts} == counts


def test_strong_rows_and_notes() -> None:
    text = markdown.render(document(Section(title="s", tables=(table(),))))
    grid = one_table(text)
    assert grid[2][:2] == ["**1** <sup>1, 2</sup>", "**6.41**"]
    assert grid[3][0] == "4 <sup>2</sup>"
    for line in ("- <sup>1</sup> noisy", "- <sup>2</sup> warm", "- Not like for like."):
        assert line in text.splitlines()


def test_invalid_comes_first() -> None:
    lines = markdown.render(everything(valid=False, reasons=("masks differ",))).splitlines()
    assert lines[0] == f"# {INVALID}"
    assert lines.index("- masks differ") < lines.index("# qbg bench")
    assert INVALID not in markdown.render(everything())


def test_no_pictures_but_a_line() -> None:
    text = markdown.render(everything())
    assert PIXEL not in text
    assert "data:" not in text
    assert "_a.jpg: pictures are left out here; the HTML report shows them._" in text.splitlines()


def test_charts_are_small_tables() -> None:
    text = markdown.render(document(Section(title="s", charts=(line_chart(),))))
    assert one_table(text) == [
        ["cores", "this (measured)", "law (projected)", "384 vCPU (published)", "ideal"],
        ["---:"] * 5,
        ["1", "6 (5.5 to 6.5)", "", "0.6", "6"],
        ["2", "12 (11 to 13)", "", "", ""],
        ["4", "23 (22 to 25)", "", "", ""],
        ["8", "", "44", "", ""],
        ["384", "", "900", "230.1", "2304"],
    ]
    assert "It bends." in text.splitlines()
    bars = one_table(markdown.render(document(Section(title="s", charts=(bar_chart(),)))))
    assert [line[0] for line in bars[2:]] == ["here", "CPU", "A10G", "H100"]
    shown = markdown.render(document(Section(title="s", charts=(histogram(),))))
    assert one_table(shown)[2:4] == [["100 to 200", "30"], ["200 to 400", "10"]]
    assert "Marked: P50 at 150, P90 at 390, P95 at 400, max at 1600." in shown


def test_long_charts_leave_their_caption() -> None:
    xs = tuple(float(x) for x in range(200))
    text = markdown.render(document(Section(title="s", charts=(line_chart(series=(series(x=xs, y=xs),)),))))
    assert not grids(text)
    lines = text.splitlines()
    # 0 has no place on logarithmic axes.
    remark = "1 value can't be drawn here (not positive, or not finite)."
    assert f"_Chart, in the HTML report: Images per second by cores._ It bends. {remark}" in lines


@pytest.mark.parametrize("kind", CHARTS)
def test_unknown_kinds_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="no such kind"):
        markdown.render(document(Section(title="s", charts=(CHARTS[kind](kind="pie"),))))


def test_empty_documents() -> None:
    assert markdown.render(document(verdict="")).startswith("# qbg bench\n")
    text = markdown.render(
        document(Section(title="s", tables=(table(rows=()),), charts=(line_chart(series=()),)))
    )
    assert len(grids(text)) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("*bold* _it_ snake_case", r"\*bold\* \_it\_ snake_case"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("[x](y)", r"\[x\](y)"),
        ("$3.84 and $5", r"\$3.84 and \$5"),
        ("# head", r"\# head"),
        ("- item", r"\- item"),
        ("-5", "-5"),
        ("1. one", r"1\. one"),
        ("6.41", "6.41"),
        ("see `a_*b*_`", "see `a_*b*_`"),
        ("two\nlines", "two lines"),
        ("back\\slash", r"back\\slash"),
    ],
)
def test_words_stay_words(text: str, shown: str) -> None:
    assert markdown.line(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("`a|b`", r"`a\|b`"),
        (r"`a\|b`", r"\`a\\\|b\`"),
        (r"a\|b", r"a\\\|b"),
        ("`a\\`", r"\`a\\\`"),
    ],
)
def test_pipes_in_cells(text: str, shown: str) -> None:
    assert markdown.cell(text) == shown


@given(
    st.lists(st.text(alphabet=st.sampled_from("ab|\\`*_$<>&\n \x00"), max_size=12), min_size=2, max_size=2)
)
def test_any_cell_is_one_cell(cells: list[str]) -> None:
    rows = (Row(cells=tuple(cells), label=MEASURED, strong=True, notes=(cells[0],)),)
    part = table(columns=tuple(cells), numeric=(True, False), rows=rows, title="")
    grid = one_table(markdown.render(document(Section(title="s", tables=(part,)))))
    assert {len(line) for line in grid} == {3}


@given(st.text(max_size=60))
def test_any_text_is_one_line(text: str) -> None:
    shown = markdown.line(text)
    assert len(shown.splitlines()) <= 1
    # Without its defenses it is the text again.
    bare = re.sub(r"\\([\\`*\[\]|~$_#+=.)-])", r"\1", shown)
    bare = bare.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    if "`" not in text:
        assert bare == plain(text).strip()
