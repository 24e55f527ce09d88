"""What pictures cost here and elsewhere: dollars, days, energy."""

from __future__ import annotations

from qbg.bench import cost, platforms
from qbg.bench.sections.throughput import rates, widest
from qbg.bench.sections.words import NONE, figure, interval
from qbg.bench.statistics import median
from qbg.bench.validity import Verdict
from qbg.report.document import MEASURED, PUBLISHED, Chart, Row, Section, Series, Table
from qbg.report.record import Record

KWH_DOLLARS = None
"""No price of electricity is assumed."""


def section(record: Record, verdict: Verdict) -> Section | None:
    """None if no run of the network was measured."""
    shown = widest(record)
    here = this_machine(record)
    if shown is None or here is None:
        return None
    if not verdict.holds(shown.name):
        return Section(
            title="Platforms and cost",
            text=("This machine's rate can't be defended, so there is no cost to it.",),
            tables=published(),
        )
    others = cost.against(cost.published_costs(), here)
    rows = [_row(here, strong=True), *(_row(other) for other in others)]
    notes = [
        f"Prices as of {cost.prices().dated.isoformat()}; a machine that is kept busy, and nothing else."
    ]
    if here.dollars_per_hour is None:
        notes.append("This machine has no price: give one with --price-per-hour.")
    else:
        notes.append(f"This machine's price: {here.price_source}.")
    notes.append(
        "The others' rates are of the published network and pictures, this machine's of those in the header: "
        "the rows compare offers, not machines."
    )
    return Section(
        title="Platforms and cost",
        tables=(
            Table(
                title="Cost by platform",
                columns=(
                    "platform",
                    "$/h",
                    "images/s",
                    "$/million",
                    "days per billion",
                    "$ per billion",
                    "against here",
                    "J/image",
                ),
                numeric=(False, *(True,) * 7),
                rows=tuple(rows),
                notes=tuple(notes),
            ),
            *published(),
        ),
        charts=_charts((here, *others)),
    )


def this_machine(record: Record) -> cost.Cost | None:
    """Cost of this machine at the measured rate of its widest run; None without one."""
    shown = widest(record)
    if shown is None:
        return None
    energies = [
        outcome.energy_j / (outcome.images_per_s * outcome.window_s)
        for outcome in record.of(shown.name)
        if outcome.energy_j is not None
    ]
    return cost.machine_cost(
        f"this machine, {shown.workers} workers",
        MEASURED,
        median(rates(record, shown)),
        dollars_per_hour=record.price_per_hour,
        price_source=record.price_source or "",
        joules_per_image=median(energies).value if energies else None,
        watts=record.watts,
        dollars_per_kwh=KWH_DOLLARS,
    )


def published() -> tuple[Table, ...]:
    """The published tables as printed, with what doesn't follow in them."""
    return tuple(
        Table(
            title=table.title,
            columns=table.columns,
            numeric=(False, *(True for _column in table.columns[1:])),
            rows=tuple(
                Row(cells=row, label=PUBLISHED, notes=platforms.notes(table.key, row[0]))
                for row in table.rows
            ),
            notes=tuple(f"{name}: an estimate of the source itself." for name in table.estimated),
            brief=False,
        )
        for table in (platforms.PLATFORMS, platforms.BILLION_IMAGES, platforms.API)
    )


def _row(found: cost.Cost, *, strong: bool = False) -> Row:
    def money(value: float | None) -> str:
        return NONE if value is None else figure(value)

    return Row(
        cells=(
            found.name,
            NONE if found.dollars_per_hour is None else f"{found.dollars_per_hour:.3f}",
            NONE if found.images_per_s is None else interval(found.images_per_s),
            NONE if found.dollars_per_million is None else interval(found.dollars_per_million),
            NONE if found.days_per_billion is None else figure(found.days_per_billion.value, 4),
            NONE if found.dollars_per_billion is None else f"{found.dollars_per_billion.value:,.0f}",
            NONE if found.ratio is None else f"{figure(found.ratio)} x",
            money(found.joules_per_image),
        ),
        label=found.label,
        strong=strong,
    )


def _charts(costs: tuple[cost.Cost, ...]) -> tuple[Chart, ...]:
    shown = [found for found in costs if found.dollars_per_million is not None]
    if len(shown) < 2:
        return ()
    labels = list(dict.fromkeys(found.label for found in shown))
    return (
        Chart(
            kind="bars",
            title="Dollars per million pictures",
            x_title="",
            y_title="$ per million",
            categories=tuple(found.name for found in shown),
            series=tuple(
                Series(
                    name=label,
                    label=label,
                    x=tuple(float(index) for index, found in enumerate(shown) if found.label == label),
                    y=tuple(
                        found.dollars_per_million.value
                        for found in shown
                        if found.label == label and found.dollars_per_million is not None
                    ),
                )
                for label in labels
            ),
            log_y=True,
            y_from_zero=False,
            caption="Different networks and pictures: see the table's notes.",
        ),
    )
