"""Throughput by number of workers: measured, simulated, projected, published, each in its own table."""

from __future__ import annotations

import math

from qbg.bench import plan, platforms, scaling
from qbg.bench.sections.words import NONE, figure, held, interval, mean, percent
from qbg.bench.statistics import Interval, Refusal, median, paired_ratio
from qbg.bench.validity import Verdict
from qbg.report.document import (
    MEASURED,
    PROJECTED,
    PUBLISHED,
    SIMULATED,
    Chart,
    Row,
    Section,
    Series,
    Table,
)
from qbg.report.record import Case, Outcome, Record

PROJECTED_WORKERS = tuple(int(row[0]) for row in platforms.SCALING.rows)
FAR = 4.0
"""Times the largest measured count; beyond it a projection says little."""


def section(record: Record, verdict: Verdict) -> Section | None:
    """None if no run of the network was measured."""
    cases = [
        case for case in record.cases if case.kind in (plan.SCALING, plan.MASSIVE) and record.of(case.name)
    ]
    if not cases:
        return None
    tables = [_measured(record, verdict, cases)]
    null = _null(record, verdict)
    if null is not None:
        tables.append(null)
    simulated = _simulated(record, verdict)
    if simulated is not None:
        tables.append(simulated)
    sound = [case for case in cases if verdict.holds(case.name)]
    projected = _projected(record, sound)
    if projected is not None:
        tables.append(projected)
    tables.append(published())
    return Section(
        title="Throughput by number of workers",
        text=(
            "One worker takes one picture from file to cut-out on one core. Runs of all widths took turns; "
            "a figure is the median of its repeats with its interval.",
        ),
        tables=tuple(tables),
        charts=_charts(record, sound),
    )


def rates(record: Record, case: Case) -> list[float]:
    """Pictures per second of the case's repeats."""
    return [outcome.images_per_s for outcome in record.of(case.name)]


def efficiency(record: Record, case: Case) -> Interval | None:
    """Rate per worker over that of one worker, from runs that took turns; None without one worker's."""
    one = _single(record)
    if one is None:
        return None
    many, single = rates(record, case), rates(record, one)
    pairs = min(len(many), len(single))
    return paired_ratio(many[:pairs], single[:pairs]).scaled(1 / case.workers) if pairs else None


def widest(record: Record) -> Case | None:
    """The case with the real engine and the most workers."""
    cases = [
        case for case in record.cases if case.kind in (plan.SCALING, plan.MASSIVE) and record.of(case.name)
    ]
    return max(cases, key=lambda case: case.workers, default=None)


def _single(record: Record) -> Case | None:
    cases = [case for case in record.of_kind(plan.SCALING) if case.workers == 1 and record.of(case.name)]
    return cases[0] if cases else None


COLUMNS = (
    "workers",
    "images/s",
    "per worker",
    "efficiency",
    "speed-up",
    "idle",
    "steals local / remote",
    "switches per image, own / forced",
)


def _measured(record: Record, verdict: Verdict, cases: list[Case]) -> Table:
    rows = []
    for case in cases:
        outcomes = record.of(case.name)
        rate = median(rates(record, case))
        found = efficiency(record, case)
        rows.append(
            Row(
                cells=(
                    str(case.workers),
                    *held(
                        verdict,
                        case.name,
                        (
                            interval(rate),
                            figure(rate.value / case.workers),
                            percent(found.value) if found is not None else NONE,
                            figure(found.value * case.workers) if found is not None else NONE,
                        ),
                    ),
                    percent(mean([outcome.idle_share for outcome in outcomes])),
                    _steals(outcomes),
                    _switches(outcomes),
                ),
                label=MEASURED,
                strong=case is cases[-1],
            )
        )
    first = median(rates(record, cases[-1]))
    return Table(
        title="Throughput, measured on this machine",
        columns=COLUMNS,
        numeric=(True,) * len(COLUMNS),
        rows=tuple(rows),
        notes=(f"{'In brackets: ' if first.known else ''}{first.words}.".capitalize(),),
    )


def _steals(outcomes: tuple[Outcome, ...]) -> str:
    local, remote = (
        mean([outcome.steals.get(kind, 0) for outcome in outcomes]) for kind in ("local", "remote")
    )
    return f"{local:,.0f} / {remote:,.0f}"


def _switches(outcomes: tuple[Outcome, ...]) -> str:
    images = sum(outcome.wall_images for outcome in outcomes)
    if not images:
        return NONE
    own = sum(outcome.switches_voluntary for outcome in outcomes) / images
    forced = sum(outcome.switches_involuntary for outcome in outcomes) / images
    return f"{figure(own, 2)} / {figure(forced, 2)}"


def _null(record: Record, verdict: Verdict) -> Table | None:
    """What everything but the network costs."""
    rows = []
    for case in record.of_kind(plan.NULL):
        outcomes = record.of(case.name)
        if not outcomes:
            continue
        rate = median(rates(record, case))
        each = case.workers / rate.value
        figures = held(verdict, case.name, (interval(rate), f"{figure(each * 1e3)} ms"))
        rows.append(Row(cells=(str(case.workers), *figures), label=MEASURED))
    if not rows:
        return None
    return Table(
        title="Without a network (null engine): what pipeline and harness cost",
        columns=("workers", "images/s", "core time per image"),
        numeric=(True, True, True),
        rows=tuple(rows),
    )


def _simulated(record: Record, verdict: Verdict) -> Table | None:
    """Scheduler, ring and interpreter at a width that this machine doesn't have."""
    rows = []
    for case in record.of_kind(plan.SIMULATED):
        for outcome in record.of(case.name)[:1]:
            assert case.service_s is not None
            ideal = case.workers / case.service_s
            share = outcome.asked_share if outcome.asked_share is not None else math.nan
            cells = (
                str(case.workers),
                f"{case.service_s * 1e3:,.0f} ms",
                *held(verdict, case.name, (figure(outcome.images_per_s, 4),)),
                figure(ideal, 4),
                *held(verdict, case.name, (percent(share, 2),)),
                percent(outcome.cpu_s / max(outcome.wall_s, 1e-9) / record.machine.cpus_allowed),
            )
            rows.append(Row(cells=cells, label=SIMULATED))
    if not rows:
        return None
    return Table(
        title="Simulated: 384 real worker threads on an imitated machine of 8 nodes",
        columns=("workers", "inference", "images/s", "ideal", "efficiency", "this CPU's use"),
        numeric=(True,) * 6,
        rows=tuple(rows),
        notes=(
            "Each inference is a wait, drawn from the measured service times and scaled to the mean in the "
            "second column, that holds no core; nothing is read, decoded or written. Efficiency is the share "
            "of the workers' time that was such waiting: the rest is what scheduler, ring and interpreter "
            "took. What 384 cores would do to each other's memory isn't in it.",
        ),
    )


def _projected(record: Record, cases: list[Case]) -> Table | None:
    """More workers than were measured, by the scalability law or, failing that, a straight line."""
    measured = {case.workers: rates(record, case) for case in cases if case.kind == plan.SCALING}
    if not measured:
        return None
    law = scaling.fit(measured)
    most = max(measured)
    wanted = [count for count in PROJECTED_WORKERS if count > most]
    if not wanted:
        return None
    if isinstance(law, Refusal):
        bound = scaling.upper_bound(measured)
        notes = [f"No scalability law: {law.reason}.", f"{bound.label.capitalize()}; not a forecast."]
        predict = bound.predict
    else:
        notes = [
            f"Universal Scalability Law: contention {percent(law.alpha.value, 2)}, "
            f"coherency {law.beta.value:.2g}; the curve misses a measured median by {percent(law.worst)} "
            "at most.",
        ]
        predict = law.predict
    rows = [
        Row(cells=(str(count), interval(predict(count)), f"{count / most:g} x"), label=PROJECTED)
        for count in wanted
    ]
    far = f"Beyond {FAR * most:g} workers it is an extrapolation of more than {FAR:g} x: read it as such."
    return Table(
        title="Projected to more workers of the same kind",
        columns=("workers", "images/s", "of the most measured"),
        numeric=(True, True, True),
        rows=tuple(rows),
        notes=(*notes, far),
    )


def published() -> Table:
    """The published table as it was printed."""
    table = platforms.SCALING
    return Table(
        title="Published: 384 vCPU AMD Turin, InSPyReNet-Fast, 38,418 images",
        columns=table.columns,
        numeric=(True,) * len(table.columns),
        rows=tuple(
            Row(cells=row, label=PUBLISHED, notes=platforms.notes(table.key, row[0])) for row in table.rows
        ),
        notes=(
            "Per core, that is per vCPU with all 384 busy, which share 192 cores; not to be set against one "
            "busy core of an idle machine.",
        ),
        brief=False,
    )


def _charts(record: Record, cases: list[Case]) -> tuple[Chart, ...]:
    scaled = [case for case in cases if case.kind == plan.SCALING]
    if len(scaled) < 2:
        return ()
    workers = tuple(float(case.workers) for case in scaled)
    found = [median(rates(record, case)) for case in scaled]
    first = found[0].value / scaled[0].workers
    ideal = Series(
        name="ideal", label=None, x=workers, y=tuple(first * count for count in workers), dashed=True
    )
    known = all(item.known for item in found)
    measured = Series(
        name="measured",
        label=MEASURED,
        x=workers,
        y=tuple(item.value for item in found),
        low=tuple(item.low for item in found) if known else (),
        high=tuple(item.high for item in found) if known else (),
    )
    shares = [efficiency(record, case) for case in scaled]
    charts = [
        Chart(
            kind="line",
            title="Throughput by number of workers",
            x_title="workers",
            y_title="images per second",
            series=(ideal, measured),
            log_x=len(workers) > 4,
            log_y=len(workers) > 4,
            y_from_zero=len(workers) <= 4,
            caption=f"{figure(found[-1].value)} images/s with {scaled[-1].workers} workers.",
        )
    ]
    if all(share is not None for share in shares):
        charts.append(
            Chart(
                kind="bars",
                title="Efficiency by number of workers",
                x_title="workers",
                y_title="percent of one worker's rate",
                categories=tuple(str(case.workers) for case in scaled),
                series=(
                    Series(
                        name="measured",
                        label=MEASURED,
                        x=tuple(float(index) for index in range(len(scaled))),
                        y=tuple(share.value * 100 for share in shares if share is not None),
                    ),
                ),
                caption="Rate per worker over that of one worker alone.",
            )
        )
    return tuple(charts)
