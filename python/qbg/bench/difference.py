"""Two records side by side: what differs, by how much, and whether it is more than chance. Pure.

A figure's repeats are compared by rank, and the whole table shares one chance of a false alarm; see
`qbg.bench.statistics.difference`. Records of unlike machines, models or pictures are compared all the same:
what is not alike stands above the table. Two sessions of one machine may differ by more than their repeats
show; `statistics.MARGIN` allows for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from qbg.bench import plan, validity
from qbg.bench.sections.words import figure, interval, mean
from qbg.bench.statistics import Difference, difference, holm, median
from qbg.report.document import MEASURED, Document, Row, Section, Table
from qbg.report.record import Case, Machine, Outcome, Record, Software, Subject

KINDS = (plan.SCALING, plan.MASSIVE, plan.NULL, plan.OPEN_LOOP, plan.ABLATION, plan.SIMULATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What is compared of each case that both records hold.

    Attributes:
        name: with its unit.
        of: reads it from an outcome; None where that has none.
    """

    name: str
    of: Callable[[Outcome], float | None]


def _median_service(outcome: Outcome) -> float | None:
    return median(outcome.service_s).value * 1e3 if outcome.service_s else None


def _peak(outcome: Outcome) -> float | None:
    peak = outcome.memory.peak_rss_bytes
    return peak / 1e6 if peak else None


FIGURES = (
    Figure(name="images/s", of=lambda outcome: outcome.images_per_s),
    Figure(name="median service time [ms]", of=_median_service),
    Figure(name="peak memory [MB]", of=_peak),
)


def document(before: Record, after: Record) -> Document:
    """The comparison as a report."""
    compared = compare(before, after)
    judged = holm([found for _case, _name, _values, found in compared])
    rows = []
    for (case, name, (first, second), _found), found in zip(compared, judged, strict=True):
        verdict = "differs" if found.significant else "can't tell" if found.reason else "no"
        cells = (
            case.name,
            name,
            figure(median(first).value, 4),
            figure(median(second).value, 4),
            f"{interval(found.ratio, 4)} x",
            f"{found.p:.3f}",
            verdict,
        )
        rows.append(Row(cells=cells, label=MEASURED, strong=found.significant))
    different = sum(found.significant for found in judged)
    unable = [found.reason for found in judged if found.reason is not None]
    unlike = differences(before, after)
    table = Table(
        title=f"{before.created} against {after.created}",
        columns=("case", "figure", "first", "second", "second over first", "p", "differs"),
        numeric=(False, False, True, True, True, True, False),
        rows=tuple(rows),
        notes=(
            "Mann and Whitney's U on the repeats, the whole table at 5 % (Holm); differences below 2 % are "
            "never called significant.",
            *dict.fromkeys(unable),
            *_alone(before, after),
        ),
    )
    if not rows:
        verdict = "The records have no case in common."
    elif different:
        verdict = f"{different} of {len(rows)} figures differ by more than chance."
    elif unable:
        verdict = f"No significant difference in {len(rows)} figures, but {len(unable)} have too few repeats."
    else:
        verdict = f"No significant difference in {len(rows)} figures."
    invalid = [
        f"the {place} record is INVALID: {finding.what}"
        for place, record in (("first", before), ("second", after))
        for finding in validity.judge(record).reasons
        if finding.severity == "fatal"
    ]
    return Document(
        title="Difference of two records",
        verdict=verdict,
        valid=not invalid,
        reasons=tuple(invalid),
        sections=(
            Section(
                title="What is not alike",
                text=tuple(unlike) or ("Machine, software and subject are the same.",),
            ),
            Section(title="Figures", tables=(table,)),
        ),
    )


Compared = tuple[Case, str, tuple[list[float], list[float]], Difference]


def compare(before: Record, after: Record) -> list[Compared]:
    """Each figure of each case that both hold: (case, figure, (first's repeats, second's), difference)."""
    others = {case.name: case for case in after.cases}
    found: list[Compared] = []
    for case in before.cases:
        if case.name not in others or case.kind not in KINDS:
            continue
        for wanted in FIGURES:
            first, second = (_values(record, case.name, wanted) for record in (before, after))
            if first and second and mean(first) > 0 and mean(second) > 0:
                found.append((case, wanted.name, (first, second), difference(first, second)))
    return found


def _alone(before: Record, after: Record) -> list[str]:
    """Cases that one of both hasn't got, a line each."""
    names = [[case.name for case in record.cases if case.kind in KINDS] for record in (before, after)]
    only = [[name for name in names[one] if name not in names[1 - one]] for one in (0, 1)]
    places = zip(("first", "second"), only, strict=True)
    return [f"only in the {place} record: {', '.join(found)}" for place, found in places if found]


def differences(before: Record, after: Record) -> list[str]:
    """What machine, software and subject don't share, a line each."""
    lines = []
    for name in ("machine", "software", "subject"):
        first, second = getattr(before, name), getattr(after, name)
        kind: type[Machine | Software | Subject] = type(first)
        for item in fields(kind):
            one, two = getattr(first, item.name), getattr(second, item.name)
            if one != two:
                lines.append(f"{name}, {item.name.replace('_', ' ')}: {one} and {two}")
    return lines


def _values(record: Record, name: str, wanted: Figure) -> list[float]:
    values = (wanted.of(outcome) for outcome in record.of(name))
    return [value for value in values if value is not None and value > 0]
