"""The published cells, and the complete list of those that don't follow, against another recomputation."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest

from qbg.bench import platforms
from qbg.bench.platforms import CONTRADICTION, ROUNDING, UNIT

LISTED = {
    ("scaling", "2", "per core", "0.59", "0.60", ROUNDING),
    ("scaling", "8", "per core", "0.58", "0.59", ROUNDING),
    ("scaling", "64", "efficiency [%]", "96.9", "96.7", CONTRADICTION),
    ("scaling", "256", "efficiency [%]", "97.9", "97.8", CONTRADICTION),
    ("memory", "per worker", "value", "468", "469", ROUNDING),
    ("latency", "P50", "latency [ms]", "1.65 ms", "1.67 s", UNIT),
    ("platforms", "A10G", "$/million", "8.26", "8.27", ROUNDING),
    ("platforms", "A100", "$/million", "15.00", "14.99", ROUNDING),
    ("platforms", "384-core CPU", "$/million", "4.64", "4.63", ROUNDING),
    ("billion", "384-core CPU", "$", "4,637", "4,635", ROUNDING),
    ("billion", "A10G", "days", "343.7", "342.3", CONTRADICTION),
    ("billion", "A10G", "$", "8,260", "8,265", ROUNDING),
    ("billion", "A100", "days", "170.1", "170.2", ROUNDING),
    ("billion", "A100", "$", "15,000", "14,992", ROUNDING),
    ("billion", "A100", "against CPU", "3.24", "3.23", ROUNDING),
    ("billion", "H100", "days", "85.0", "85.1", ROUNDING),
    ("billion", "H100", "$", "10,210", "10,212", ROUNDING),
}


def test_the_complete_list() -> None:
    found = [
        (doubt.table, doubt.row, doubt.column, doubt.printed, doubt.recomputed, doubt.grade)
        for doubt in platforms.doubts()
    ]
    assert len(found) == len(set(found))
    assert set(found) == LISTED
    order = [table.key for table in platforms.TABLES]
    assert [place[0] for place in found] == sorted((place[0] for place in found), key=order.index)


RATES = {1: "0.60", 2: "1.19", 4: "2.37", 8: "4.68", 16: "9.28", 32: "18.41", 64: "37.12", 128: "74.85"}
RATES |= {256: "150.22", 384: "230.14"}
MACHINES = {
    "384-core CPU": (Fraction("3.84"), Fraction("230.14")),
    "A10G": (Fraction("1.006"), Fraction("33.81")),
    "A100": (Fraction("3.67"), Fraction(68)),
    "H100": (Fraction(5), Fraction(136)),
}


def half_up(value: Fraction, digits: int) -> str:
    """Exact, without the module's help."""
    scaled = math.floor(value * 10**digits + Fraction(1, 2))
    return f"{Decimal(scaled).scaleb(-digits):,.{digits}f}"


def recomputed() -> dict[tuple[str, str, str], str]:
    """Every derived cell again, in exact fractions, from primary numbers that are typed in again."""
    cells: dict[tuple[str, str, str], str] = {}
    one = Fraction(RATES[1])
    for cores, printed in RATES.items():
        rate = Fraction(printed)
        cells["scaling", str(cores), "per core"] = half_up(rate / cores, 2)
        cells["scaling", str(cores), "efficiency [%]"] = half_up(100 * rate / cores / one, 1)
        cells["scaling", str(cores), "speed-up"] = half_up(rate / one, 1)
    cells["memory", "peak's share of memory", "value"] = half_up(Fraction(18000, 768), 1)
    cells["memory", "per worker", "value"] = half_up(Fraction(180000, 384), 0)
    price, rate = MACHINES["384-core CPU"]
    ours = price / rate
    for name, (price, rate) in MACHINES.items():
        cells["platforms", name, "$/million"] = half_up(price / rate / 3600 * 10**6, 2)
        cells["billion", name, "days"] = half_up(10**9 / rate / 86400, 1)
        cells["billion", name, "$"] = half_up(price / rate / 3600 * 10**9, 0)
        digits = 0 if name == "384-core CPU" else 2
        cells["billion", name, "against CPU"] = half_up(price / rate / ours, digits)
    return cells


def test_every_derived_cell_is_recomputed_and_only_the_wrong_ones_are_listed() -> None:
    tables = {table.key: table for table in platforms.TABLES}
    expected = recomputed()
    assert {(cell.table.key, cell.row, cell.column) for cell in platforms.derived()} == set(expected)
    wrong = {place for place, value in expected.items() if tables[place[0]].cell(*place[1:]) != value}
    listed = {
        (doubt.table, doubt.row, doubt.column): doubt.recomputed
        for doubt in platforms.doubts()
        if doubt.grade != UNIT
    }
    assert set(listed) == wrong
    assert listed == {place: expected[place] for place in wrong}


def test_one_core_is_narrowed_by_what_follows() -> None:
    """The ends, from the two cells that are tightest: 384 cores' speed-up and 128 cores' or 384 cores'."""
    bounds = []
    for cores, speedup in ((128, "124.8"), (256, "250.4"), (384, "383.6")):
        rate, goal = Fraction(RATES[cores]), Fraction(speedup)
        ends = (
            (rate - Fraction("0.005")) / (goal + Fraction("0.05")),
            (rate + Fraction("0.005")) / (goal - Fraction("0.05")),
        )
        bounds.append(ends)
    found = platforms._one_core()
    assert float(found.low) == pytest.approx(float(max(low for low, _ in bounds)), abs=1e-12)
    assert float(found.high) == pytest.approx(float(min(high for _, high in bounds)), abs=1e-12)
    assert f"{found.low:.5f} {found.high:.5f}" == "0.59986 0.60004"


@pytest.mark.parametrize(("cores", "printed"), [(64, "96.9"), (256, "97.9")])
def test_contradictions_of_efficiency_hold_for_any_unprinted_digits(cores: int, printed: str) -> None:
    """384 cores' 99.9 % and 383.6 narrow one core's rate; no rate in there gives the other cell."""
    half = Decimal("0.005")
    full = Decimal("230.14")
    low, high = (full - half) / Decimal("383.65"), (full + half) / Decimal("383.55")
    rate, unit = Decimal(RATES[cores]), Decimal("0.1")
    reachable = {
        (100 * (rate + sign * half) / cores / one).quantize(unit, ROUND_HALF_UP)
        for sign in (-1, 0, 1)
        for one in (low, (low + high) / 2, high)
    }
    assert max(reachable) < Decimal(printed)


def test_a_contradiction_of_days_holds_for_any_unprinted_digits() -> None:
    least, most = Fraction("33.805"), Fraction("33.815")
    assert half_up(10**9 / least / 86400, 1) == "342.4"
    assert half_up(10**9 / most / 86400, 1) == "342.3"


def test_what_the_remarks_say() -> None:
    assert f"{1.19 / 2:.2f}" == "0.59"
    assert f"{4.68 / 8:.2f}" == "0.58"
    assert int(180000 / 384) == 468
    twice = Decimal("3.84") / Decimal("230.14") / 3600 * 10**6
    assert f"{twice:.4f}" == "4.6349"
    once = twice.quantize(Decimal("0.001"), ROUND_HALF_UP)
    assert str(once.quantize(Decimal("0.01"), ROUND_HALF_UP)) == "4.64"
    for name in ("A10G", "A100", "H100"):
        assert platforms.BILLION_IMAGES.number(name, "$") == 1000 * platforms.PLATFORMS.number(
            name, "$/million"
        )
    assert half_up(Fraction("15.00") / Fraction("4.63"), 2) == "3.24"
    assert half_up(10**9 / (Fraction("343.7") * 86400), 2) == "33.67"
    places = {(doubt.table, doubt.row, doubt.column): doubt for doubt in platforms.doubts()}
    assert set(platforms.REMARKS) <= set(places)
    for place, doubt in places.items():
        if place not in platforms.REMARKS and doubt.grade != UNIT:
            assert doubt.grade == ROUNDING
            assert doubt.sentence.endswith("can explain it.")


def test_seconds_fit_where_milliseconds_do_not() -> None:
    """The mean lies below what the percentiles allow at most, if they are seconds."""
    edges = [float(platforms.LATENCY.number(row[0], "latency [ms]")) for row in platforms.LATENCY.rows]
    shares = [0.5, 0.4, 0.05, 0.04, 0.009, 0.001]
    at_most = sum(share * edge for share, edge in zip(shares, edges, strict=True))
    assert 1.65 * 0.5 < 384 / 230.14 < at_most
    assert edges == sorted(edges)


def test_notes_are_sentences() -> None:
    for doubt in platforms.doubts():
        assert doubt.sentence.endswith(".")
        assert doubt.sentence[0].isupper() or doubt.sentence[0] in "$0123456789"
        assert doubt.sentence in platforms.notes(doubt.table, doubt.row)
    assert len(platforms.notes("billion")) == 8
    assert platforms.notes("api") == ()


def test_tables_are_whole() -> None:
    assert {table.key: len(table.rows) for table in platforms.TABLES} == {
        "machine": 10,
        "scaling": 10,
        "memory": 8,
        "latency": 6,
        "platforms": 4,
        "billion": 4,
        "api": 1,
    }
    for table in platforms.TABLES:
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert len({row[0] for row in table.rows}) == len(table.rows)
        assert set(table.estimated) <= {row[0] for row in table.rows}
    assert platforms.numbers(platforms.PLATFORMS, platforms.RATE) == (33.81, 68.0, 136.0, 230.14)
    assert platforms.API.cell("API", "$/image") == "0.02"
    assert platforms.MACHINE.number("vCPU", "value") == platforms.CORES
    assert platforms.MACHINE.number("images", "value") == platforms.IMAGES
    assert platforms.MACHINE.number("workers", "value") == platforms.WORKERS
    assert platforms.MACHINE.number("memory [GB]", "value") == platforms.MEMORY_TOTAL_GB
    assert float(platforms.MACHINE.number("images/s", "value")) == platforms.IMAGES_PER_S
    assert platforms.MACHINE.cell("price an hour [$]", "value") == platforms.PLATFORMS.cell(
        "384-core CPU", "$/h"
    )
    with pytest.raises(KeyError):
        platforms.SCALING.cell("3", "per core")
    with pytest.raises(KeyError):
        platforms.SCALING.cell("2", "price")
