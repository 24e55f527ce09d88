"""How long a picture takes: service time in a closed loop, response time in an open one; and by stage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qbg.bench import plan, platforms
from qbg.bench.histogram import hdr_log
from qbg.bench.sections.throughput import widest
from qbg.bench.sections.words import figure, held, mean, percent, seconds
from qbg.bench.statistics import nearest_rank, percentiles
from qbg.bench.validity import Verdict
from qbg.report.document import MEASURED, PUBLISHED, Chart, Marker, Row, Section, Series, Table
from qbg.report.record import Case, Record

BINS = 40
CDF_POINTS = 200
STAGES = ("map", "decode", "preprocess", "infer", "mask", "composite", "encode", "write")
COLUMNS = ("", "images", "P50", "P90", "P95", "P99", "P99.9", "max")


def section(record: Record, verdict: Verdict) -> Section | None:
    """None if no picture was timed."""
    rows = []
    times: tuple[float, ...] = ()
    for case in record.cases:
        if case.kind not in (plan.SCALING, plan.MASSIVE):
            continue
        found = service_s(record, case)
        if found:
            rows.append(
                _row(verdict, case, f"service, {_workers(case)}", found, strong=case is widest(record))
            )
            times = found if verdict.holds(case.name) else ()
    for case in record.of_kind(plan.OPEN_LOOP):
        response = tuple(value for outcome in record.of(case.name) for value in outcome.response_s)
        if response:
            name = f"response, {_workers(case)}, {figure(case.rate_per_s or 0.0)} arrivals/s"
            rows.append(_row(verdict, case, name, response))
    if not rows:
        return None
    return Section(
        title="Latency",
        text=(
            "Service time runs from picking a picture up to its written output, with all workers busy. "
            "Response time runs from a picture's intended arrival, by a Poisson process: waiting counts too.",
        ),
        tables=(_table("Latency, measured on this machine", tuple(rows)), published()),
        charts=_charts(times),
    )


def stages(record: Record, verdict: Verdict) -> Section | None:
    """Where a picture's time goes, with the network and without."""
    columns: list[tuple[str, dict[str, float]]] = []
    shown = widest(record)
    nulls = [case for case in record.of_kind(plan.NULL) if record.of(case.name)]
    for name, case in (("with the network", shown), ("null engine", nulls[-1] if nulls else None)):
        if case is not None and verdict.holds(case.name):
            columns.append((name, stage_s(record, case)))
    if not columns:
        if shown is None:
            return None
        why = f"No times by stage: the run that they are of, {shown.name}, can't be defended."
        return Section(title="Stages", text=(why,))
    total = sum(columns[0][1].values()) or 1.0
    rows = [
        Row(
            cells=(
                stage,
                *(f"{figure(found.get(stage, 0.0) * 1e3)}" for _name, found in columns),
                percent(columns[0][1].get(stage, 0.0) / total),
            ),
            label=MEASURED,
        )
        for stage in STAGES
    ]
    sums = tuple(figure(sum(found.values()) * 1e3) for _name, found in columns)
    rows.append(Row(cells=("all", *sums, "100.0 %"), label=MEASURED, strong=True))
    return Section(
        title="Stages",
        tables=(
            Table(
                title="Mean milliseconds of a picture" + (f", {_workers(shown)}" if shown else ""),
                columns=("stage", *(f"{name} [ms]" for name, _found in columns), "share"),
                numeric=(False, *(True for _column in columns), True),
                rows=tuple(rows),
            ),
        ),
        charts=(
            Chart(
                kind="stacked",
                title="Where a picture's time goes",
                x_title="",
                y_title="milliseconds",
                categories=tuple(name for name, _found in columns),
                series=tuple(
                    Series(
                        name=stage,
                        label=MEASURED,
                        x=tuple(float(index) for index in range(len(columns))),
                        y=tuple(found.get(stage, 0.0) * 1e3 for _name, found in columns),
                    )
                    for stage in STAGES
                ),
                caption=f"{percent(columns[0][1].get('infer', 0.0) / total)} in the network.",
            ),
        ),
    )


def service_s(record: Record, case: Case) -> tuple[float, ...]:
    """Service times of all repeats."""
    return tuple(value for outcome in record.of(case.name) for value in outcome.service_s)


def stage_s(record: Record, case: Case) -> dict[str, float]:
    """Mean seconds by stage over the repeats, each as heavy as the other."""
    outcomes = record.of(case.name)
    return {stage: mean([outcome.stage_s.get(stage, 0.0) for outcome in outcomes]) for stage in STAGES}


def published() -> Table:
    """The published percentiles, as printed."""
    cells = ("published, 384 workers", "not said", *(row[1] for row in platforms.LATENCY.rows))
    row = Row(cells=cells, label=PUBLISHED, notes=platforms.notes("latency"))
    return replace(_table("Latency, published, as printed in ms", (row,)), brief=False)


def _table(title: str, rows: tuple[Row, ...]) -> Table:
    return Table(title=title, columns=COLUMNS, numeric=(False, *(True for _column in COLUMNS[1:])), rows=rows)


def _row(verdict: Verdict, case: Case, name: str, times: tuple[float, ...], *, strong: bool = False) -> Row:
    found = percentiles(times)
    cells = held(verdict, case.name, [item.missing or seconds(item.value or 0.0) for item in found])
    return Row(cells=(name, f"{len(times):,}", *cells), label=MEASURED, strong=strong)


def _workers(case: Case) -> str:
    return f"{case.workers} worker{'' if case.workers == 1 else 's'}"


def _charts(times: tuple[float, ...]) -> tuple[Chart, ...]:
    if len(times) < BINS // 2:
        return ()
    ordered = np.sort(np.asarray(times)) * 1e3
    # The tail is in the table and in the cumulative chart; bins over it would flatten the rest.
    low, high = float(ordered[0]), nearest_rank(ordered, 990)
    edges = np.linspace(low, max(high, low * 1.001), BINS + 1)
    counts, _edges = np.histogram(ordered, edges)
    markers = tuple(
        Marker(x=item.value * 1e3, name=item.name)
        for item in percentiles(times)
        if item.value is not None and item.name != "max"
    )
    step = max(1, len(ordered) // CDF_POINTS)
    places = np.unique(np.append(np.arange(0, len(ordered), step), len(ordered) - 1))
    return (
        Chart(
            kind="histogram",
            title="Service time",
            x_title="milliseconds",
            y_title="pictures",
            series=(
                Series(
                    name="pictures",
                    label=MEASURED,
                    x=tuple(edges[:-1].tolist()),
                    y=tuple(float(count) for count in counts),
                ),
            ),
            edges=tuple(edges.tolist()),
            markers=tuple(marker for marker in markers if marker.x <= edges[-1]),
            caption="The slowest hundredth lies outside to the right.",
        ),
        Chart(
            kind="line",
            title="Service time, cumulative",
            x_title="milliseconds",
            y_title="percent of pictures",
            series=(
                Series(
                    name="pictures",
                    label=MEASURED,
                    x=tuple(ordered[places].tolist()),
                    y=tuple(((places + 1) / len(ordered) * 100).tolist()),
                ),
            ),
            markers=(*markers, Marker(x=float(ordered[-1]), name="max")),
            caption="Share of pictures that were done within a time.",
        ),
    )


def hdr_histogram(record: Record) -> str:
    """Service times of the widest run in HdrHistogram's text form; empty if nothing was timed."""
    shown = widest(record)
    times = service_s(record, shown) if shown is not None else ()
    return hdr_log(times) if times else ""
