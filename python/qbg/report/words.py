"""Words that all renderers of a document share: labels and their meanings, verdict, footnotes, harmless text.

Must not know any form. Text of a document comes from outside in part (paths, names of CPUs,
messages), so every renderer passes it through `plain` before it does its own escaping: a control
character or a bidirectional override would otherwise move the reader's cursor or turn a line
around.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qbg.report.document import (
    ESTIMATED,
    LABELS,
    MEASURED,
    PROJECTED,
    PUBLISHED,
    SIMULATED,
    Chart,
    Document,
    Table,
)

MEANINGS = {
    MEASURED: "timed on this machine, in this run",
    ESTIMATED: "worked out from measurements or data sheets with an assumption that is stated",
    PUBLISHED: "somebody else's figure, taken as printed; not checked here",
    PROJECTED: "a model fitted to measurements, read beyond them",
    SIMULATED: "run here with a stand-in for the network: the harness is real, the inference is not",
}
"""Each label in a sentence, for the legend."""

BASIS = "basis"
"""Head of the column that holds the labels."""

PASSED = "This run passed its own checks"
INVALID = "INVALID"
INVALID_MEANING = "This run did not pass its own checks. Do not quote its figures."
DOUBTS = "To keep in mind"
PICTURES_ELSEWHERE = "pictures are left out here; the HTML report shows them"

# Controls, bytes that were no UTF-8, other lone surrogates, bidirectional overrides, noncharacters.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069\ufffe\uffff]")


def plain(text: str) -> str:
    """The text on one line, with everything that a terminal or an XML parser would choke on as `\\xNN`."""
    return _HARMFUL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found.group()
    if character in "\t\n\r\u2028\u2029":
        return " "
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a path that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def check_label(label: str | None) -> str | None:
    """The label itself.

    Raises:
        ValueError: it is none of `LABELS`.
    """
    if label is not None and label not in LABELS:
        raise ValueError(f"no such label: `{plain(label)}`; they are {', '.join(LABELS)}")
    return label


def series_name(name: str, label: str | None) -> str:
    """`this machine (measured)`; a guide has no label, and a name that is its label needs no second one."""
    check_label(label)
    return plain(name) if label is None or name == label else f"{plain(name)} ({label})"


def common_label(chart: Chart) -> str | None:
    """The label that all of several series have, which is then said once; else None."""
    labels = {series.label for series in chart.series}
    return labels.pop() if len(labels) == 1 and len(chart.series) > 1 else None


def reasons_title(document: Document) -> str:
    """What stands above a document's reasons."""
    return INVALID if not document.valid else DOUBTS


@dataclass(frozen=True, slots=True)
class Footnotes:
    """A table's notes in the order of their first use.

    Attributes:
        marks: by row: numbers of its notes, from 1.
        texts: the notes; number n is at n - 1. Equal notes share one number.
    """

    marks: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]


def footnotes(table: Table) -> Footnotes:
    """Numbers the notes of all rows."""
    numbers: dict[str, int] = {}
    marks = tuple(
        tuple(numbers.setdefault(plain(note), len(numbers) + 1) for note in row.notes) for row in table.rows
    )
    return Footnotes(marks, tuple(numbers))


def check_table(table: Table) -> bool:
    """Whether it has labels, hence a column for them.

    Raises:
        ValueError: a row has another number of cells than there are columns, or an unknown label.
    """
    count = len(table.columns)
    if len(table.numeric) != count:
        raise ValueError(
            f"table `{plain(table.title)}`: {count} columns, `numeric` names {len(table.numeric)}"
        )
    for row in table.rows:
        if len(row.cells) != count:
            raise ValueError(
                f"table `{plain(table.title)}`: {count} columns, a row of {len(row.cells)} cells"
            )
        check_label(row.label)
    return any(row.label for row in table.rows)
