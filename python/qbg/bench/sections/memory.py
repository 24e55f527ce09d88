"""Memory: what a process takes, what each further worker adds, and how fast memory is."""

from __future__ import annotations

from qbg.bench import plan, platforms
from qbg.bench.sections.throughput import widest
from qbg.bench.sections.words import NONE, figure, percent, size
from qbg.bench.statistics import Line, line, median
from qbg.report.document import ESTIMATED, MEASURED, PUBLISHED, Chart, Row, Section, Series, Table
from qbg.report.record import Case, Outcome, Record

RING_RECORDS, RING_RECORD_BYTES = 1024, 320
"""Of the ring that carries finished pictures' records: its places, and about what one takes."""


def section(record: Record) -> Section | None:
    """None if no run of the network was measured."""
    shown = widest(record)
    if shown is None:
        return None
    tables = [_process(record, shown), *_bandwidth(record), published()]
    return Section(
        title="Memory",
        text=("Each run has a process of its own, so that a figure belongs to its number of workers alone.",),
        tables=tuple(tables),
        charts=_charts(record, shown),
    )


def per_worker(record: Record) -> Line | None:
    """Peak resident memory by number of workers, as a line; None with fewer than two numbers."""
    points = [
        (case.workers, outcome.memory.peak_rss_bytes)
        for case in record.of_kind(plan.SCALING)
        for outcome in record.of(case.name)
        if outcome.memory.peak_rss_bytes
    ]
    found = line([float(count) for count, _peak in points], [float(peak or 0) for _count, peak in points])
    return found if isinstance(found, Line) else None


def _process(record: Record, shown: Case) -> Table:
    outcomes = record.of(shown.name)
    last = max(outcomes, key=lambda outcome: outcome.memory.peak_rss_bytes or 0)
    memory, total = last.memory, record.machine.memory_bytes
    peak = memory.peak_rss_bytes
    share = f"{percent(peak / total)} of {size(total)}" if peak and total else NONE
    slope = per_worker(record)
    rows = [
        (f"peak resident, {shown.workers} workers", size(peak), share, MEASURED),
        ("proportional share (PSS) at the end", size(memory.pss_bytes), "", MEASURED),
        ("interpreter and libraries", size(memory.before_bytes), "before the model was loaded", MEASURED),
    ]
    if slope is not None:
        ends = slope.slope
        note = f"95 %: {size(ends.low)} to {size(ends.high)}" if ends.known else "two numbers of workers only"
        rows.append(("each further worker", size(ends.value), f"regression over workers; {note}", MEASURED))
        shared = slope.intercept - (memory.before_bytes or 0)
        rows.append(("model and session, shared", size(shared), "intercept less the libraries", ESTIMATED))
    slots = memory.slots_bytes / shown.workers if memory.slots_bytes else None
    rows += [
        ("model file", size(record.subject.model_bytes), "shared by all workers of a node", MEASURED),
        ("tensor slots, each worker", size(slots), "by accounting", ESTIMATED),
        ("ring of records", size(RING_RECORDS * RING_RECORD_BYTES), "by accounting", ESTIMATED),
    ]
    rows += [
        (f"pages on node {node}", size(pages), "resident at the end", MEASURED)
        for node, pages in sorted(memory.node_pages_bytes.items())
    ]
    return Table(
        title="This process",
        columns=("what", "size", "note"),
        numeric=(False, True, False),
        rows=tuple(Row(cells=row[:3], label=row[3]) for row in rows),
    )


def _bandwidth(record: Record) -> list[Table]:
    if not record.bandwidth_bytes_per_s:
        return []
    shown = widest(record)
    rows = []
    for threads, repeats in sorted(record.bandwidth_bytes_per_s.items(), key=lambda item: int(item[0])):
        found = median(repeats)
        rate = f"{figure(found.value / 1e9)} GB/s"
        rows.append(Row(cells=(f"triad, {threads} threads", rate), label=MEASURED))
    notes: tuple[str, ...] = ()
    if shown is not None:
        outcomes = record.of(shown.name)
        moved = pixel_bytes(record) * median([outcome.images_per_s for outcome in outcomes]).value
        best = max(median(repeats).value for repeats in record.bandwidth_bytes_per_s.values())
        rows.append(
            Row(cells=("pixels that a run moves, at least", f"{figure(moved / 1e9)} GB/s"), label=ESTIMATED)
        )
        notes = (
            f"Pixels move at {percent(moved / best, 2)} of the triad's rate; the network's own traffic "
            "isn't in it.",
        )
    return [
        Table(
            title="Memory bandwidth",
            columns=("what", "rate"),
            numeric=(False, True),
            rows=tuple(rows),
            notes=notes,
        )
    ]


def pixel_bytes(record: Record) -> float:
    """What one picture's stages read and write at least: RGB out of the decoder and into two readers, the
    tensor twice, alpha twice, RGBA twice."""
    pixels = record.subject.mean_pixels
    tensor = 3 * 4 * record.subject.input_height_px * record.subject.input_width_px
    return pixels * (3 * 3 + 2 + 4 * 2) + 2 * tensor


def published() -> Table:
    """The published figures, as printed."""
    table = platforms.MEMORY
    return Table(
        title="Published",
        columns=("what", "value", "note"),
        numeric=(False, True, False),
        rows=tuple(
            Row(
                cells=(row[0], f"{row[1]} {row[2]}".strip(), row[3]),
                label=PUBLISHED,
                notes=platforms.notes(table.key, row[0]),
            )
            for row in table.rows
        ),
        brief=False,
    )


def _charts(record: Record, shown: Case) -> tuple[Chart, ...]:
    outcome: Outcome = record.of(shown.name)[-1]
    charts = []
    if len(outcome.memory.timeline) > 1:
        charts.append(
            Chart(
                kind="area",
                title=f"Resident memory over time, {shown.workers} workers",
                x_title="seconds since the start",
                y_title="MB",
                series=(
                    Series(
                        name="resident",
                        label=MEASURED,
                        x=tuple(at for at, _bytes in outcome.memory.timeline),
                        y=tuple(size_ / 1e6 for _at, size_ in outcome.memory.timeline),
                    ),
                ),
                caption=f"Peak {size(outcome.memory.peak_rss_bytes)}.",
            )
        )
    cases = [case for case in record.of_kind(plan.SCALING) if record.of(case.name)]
    peaks = [
        median([float(found.memory.peak_rss_bytes or 0) for found in record.of(case.name)]) for case in cases
    ]
    slope = per_worker(record)
    if len(cases) > 1 and all(peak.value > 0 for peak in peaks):
        workers = tuple(float(case.workers) for case in cases)
        series = [Series(name="peak", label=MEASURED, x=workers, y=tuple(peak.value / 1e6 for peak in peaks))]
        if slope is not None:
            series.append(
                Series(
                    name=f"{size(slope.slope.value)} per worker",
                    label=None,
                    x=workers,
                    y=tuple((slope.intercept + slope.slope.value * count) / 1e6 for count in workers),
                    dashed=True,
                )
            )
        charts.append(
            Chart(
                kind="line",
                title="Peak memory by number of workers",
                x_title="workers",
                y_title="MB",
                series=tuple(series),
                caption="Peak resident memory of each run, and the line through it.",
            )
        )
    return tuple(charts)
