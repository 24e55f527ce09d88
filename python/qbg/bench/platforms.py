"""The published result as data, and which of its cells don't follow from the others.

Every cell is kept as it was printed, since the number of digits is part of what was claimed. All of it is
labelled published: none of it was measured here, and none is ever mixed with what was. Must not know records.
Its machine: 384 vCPU (AMD Turin), 768 GB DDR5, 8 NUMA nodes, $3.84 an hour; InSPyReNet-Fast (108 MB ONNX),
38,418 images (a subset of COCO 2017), 384 workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from functools import cache

CORES = 384
IMAGES = 38_418
WORKERS = 384
RATE = "images/s"
IMAGES_PER_S = 230.14
BILLION = Decimal(10) ** 9

ROUNDING, CONTRADICTION, UNIT = "rounding", "contradiction", "unit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A published table.

    Attributes:
        key: short name: `machine`, `scaling`, `memory`, `latency`, `platforms`, `billion`, `api`.
        title: its heading.
        columns: names, with the units as printed; the first names the rows.
        rows: cells as printed, as many as there are columns.
        estimated: names of rows whose rate the source itself calls an estimate.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    estimated: tuple[str, ...] = ()

    def cell(self, row: str, column: str) -> str:
        """A cell as it was printed.

        Raises:
            KeyError: no such row or column.
        """
        if column not in self.columns:
            raise KeyError(column)
        for cells in self.rows:
            if cells[0] == row:
                return cells[self.columns.index(column)]
        raise KeyError(row)

    def number(self, row: str, column: str) -> Decimal:
        """A cell's number, without thousands' commas and words such as `about`."""
        return Decimal(self.cell(row, column).removeprefix("about ").replace(",", ""))


MACHINE = Published(
    key="machine",
    title="Published: machine and subject",
    columns=("what", "value"),
    rows=(
        ("machine", "384 vCPU, AMD Turin, 768 GB DDR5, 8 NUMA nodes"),
        ("price an hour [$]", "3.84"),
        ("vCPU", "384"),
        ("memory [GB]", "768"),
        ("NUMA nodes", "8"),
        ("model", "InSPyReNet-Fast (108 MB ONNX)"),
        ("images", "38,418"),
        ("data set", "COCO 2017 subset"),
        ("workers", "384"),
        ("images/s", "230.14"),
    ),
)

SCALING = Published(
    key="scaling",
    title="Published: throughput by cores",
    columns=("cores", RATE, "per core", "efficiency [%]", "speed-up"),
    rows=(
        ("1", "0.60", "0.60", "100.0", "1.0"),
        ("2", "1.19", "0.59", "99.2", "2.0"),
        ("4", "2.37", "0.59", "98.8", "4.0"),
        ("8", "4.68", "0.58", "97.5", "7.8"),
        ("16", "9.28", "0.58", "96.7", "15.5"),
        ("32", "18.41", "0.58", "95.9", "30.7"),
        ("64", "37.12", "0.58", "96.9", "61.9"),
        ("128", "74.85", "0.58", "97.5", "124.8"),
        ("256", "150.22", "0.59", "97.9", "250.4"),
        ("384", "230.14", "0.60", "99.9", "383.6"),
    ),
)

MEMORY = Published(
    key="memory",
    title="Published: memory",
    columns=("what", "value", "unit", "note"),
    rows=(
        ("peak", "180", "GB", "23.4 % of total"),
        ("peak's share of memory", "23.4", "%", ""),
        ("per worker", "468", "MB", ""),
        ("model", "108", "MB", "shared"),
        ("session pool", "12", "GB", "pre-allocated"),
        ("image buffer cache", "8", "GB", "ring"),
        ("NUMA nodes", "8", "", "balanced"),
        ("bandwidth", "1.2", "TB/s", "peak"),
    ),
)

LATENCY = Published(
    key="latency",
    title="Published: latency",
    columns=("percentile", "latency [ms]"),
    rows=(
        ("P50", "1.65"),
        ("P90", "1.68"),
        ("P95", "1.71"),
        ("P99", "1.89"),
        ("P99.9", "2.14"),
        ("max", "3.82"),
    ),
)

PLATFORMS = Published(
    key="platforms",
    title="Published: platforms",
    columns=("platform", "$/h", RATE, "$/million"),
    rows=(
        ("A10G", "1.006", "33.81", "8.26"),
        ("A100", "3.67", "about 68", "15.00"),
        ("H100", "5.00", "about 136", "10.21"),
        ("384-core CPU", "3.84", "230.14", "4.64"),
    ),
    estimated=("A100", "H100"),
)

BILLION_IMAGES = Published(
    key="billion",
    title="Published: a billion images",
    columns=("platform", "days", "$", "against CPU"),
    rows=(
        ("384-core CPU", "50.3", "4,637", "1"),
        ("A10G", "343.7", "8,260", "1.78"),
        ("A100", "170.1", "15,000", "3.24"),
        ("H100", "85.0", "10,210", "2.20"),
    ),
    estimated=("A100", "H100"),
)

API = Published(
    key="api",
    title="Published: a paid API",
    columns=("service", "$/image"),
    rows=(("API", "0.02"),),
)

TABLES = (MACHINE, SCALING, MEMORY, LATENCY, PLATFORMS, BILLION_IMAGES, API)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A published cell that doesn't follow from the others.

    Attributes:
        table: key of its table.
        row, column: where it stands.
        printed: as it stands there.
        recomputed: what rule 1 gives, with the printed number of digits.
        grade: `rounding`, `contradiction`, or `unit`.
        sentence: a note to print beside it.
    """

    table: str
    row: str
    column: str
    printed: str
    recomputed: str
    grade: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Span:
    """A printed number: as printed, and the ends of all numbers that round to it."""

    value: Decimal
    low: Decimal
    high: Decimal

    def times(self, factor: Decimal) -> Span:
        """Scaled by an exact, positive number."""
        return Span(self.value * factor, self.low * factor, self.high * factor)

    def over(self, other: Span) -> Span:
        """A quotient of positive numbers that vary independently."""
        return Span(self.value / other.value, self.low / other.high, self.high / other.low)


def span(printed: str) -> Span:
    """From a printed cell."""
    value = Decimal(printed.removeprefix("about ").replace(",", ""))
    half = unit_of(printed) / 2
    return Span(value, value - half, value + half)


def exact(value: int | Decimal) -> Span:
    """A count, which isn't rounded."""
    number = Decimal(value)
    return Span(number, number, number)


def unit_of(printed: str) -> Decimal:
    """One unit of the last printed digit."""
    digits = printed.removeprefix("about ").replace(",", "").partition(".")[2]
    return Decimal(1).scaleb(-len(digits))


def rounded(value: Decimal, printed: str) -> str:
    """To the digits of `printed`, half up, with commas if it has."""
    result = value.quantize(unit_of(printed), rounding=ROUND_HALF_UP)
    return f"{result:,}"


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived cell: where it stands, and what gives it."""

    table: Published
    row: str
    column: str
    value: Span
    how: str

    @property
    def printed(self) -> str:
        """The cell."""
        return self.table.cell(self.row, self.column)

    @property
    def follows(self) -> bool:
        """Rule 1 of `doubts`."""
        return rounded(self.value.value, self.printed) == rounded(span(self.printed).value, self.printed)

    @property
    def attainable(self) -> bool:
        """Rule 2 of `doubts`: whether some inputs that round to what was printed give the cell."""
        cell = span(self.printed)
        return self.value.low < cell.high and self.value.high >= cell.low


def derived() -> Iterator[Derived]:
    """Every derived cell of all tables, in their order."""
    yield from _scaling(_one_core())
    total, peak = exact(MEMORY_TOTAL_GB), span(MEMORY.cell("peak", "value"))
    share = peak.over(total).times(Decimal(100))
    yield Derived(MEMORY, "peak's share of memory", "value", share, "180 GB of 768 GB")
    worker = peak.over(exact(WORKERS)).times(Decimal(1000))
    yield Derived(MEMORY, "per worker", "value", worker, "180 GB over 384 workers")
    for row in PLATFORMS.rows:
        price, rate = span(row[1]), span(row[2])
        yield Derived(
            PLATFORMS,
            row[0],
            "$/million",
            _dollars(price, rate, 6),
            f"${row[1]} an hour at {row[2]} images/s",
        )
    cpu = _dollars(span("3.84"), span("230.14"), 9)
    for row in BILLION_IMAGES.rows:
        price = span(PLATFORMS.cell(row[0], "$/h"))
        rate = span(PLATFORMS.cell(row[0], RATE))
        at = PLATFORMS.cell(row[0], RATE)
        days = exact(BILLION).over(rate).times(Decimal(1) / 86400)
        yield Derived(BILLION_IMAGES, row[0], "days", days, f"a billion at {at} images/s")
        dollars = _dollars(price, rate, 9)
        yield Derived(
            BILLION_IMAGES, row[0], "$", dollars, f"${PLATFORMS.cell(row[0], '$/h')} an hour at {at} images/s"
        )
        against = exact(1) if row[0] == "384-core CPU" else dollars.over(cpu)
        yield Derived(BILLION_IMAGES, row[0], "against CPU", against, "both costs from price and rate")


MEMORY_TOTAL_GB = 768


def _dollars(price: Span, rate: Span, power: int) -> Span:
    """Dollars for 10^power images."""
    return price.over(rate).times(Decimal(10) ** power / 3600)


def _scaling(one: Span) -> Iterator[Derived]:
    for cores, rate, *_ in SCALING.rows:
        many, count = span(rate), exact(int(cores))
        if cores == "1":  # the row that defines the others: its own rate is both sides
            for column, value in (("per core", many), ("efficiency [%]", exact(100)), ("speed-up", exact(1))):
                yield Derived(SCALING, cores, column, value, "by definition")
            continue
        speedup = many.over(one)
        yield Derived(SCALING, cores, "per core", many.over(count), f"{rate} over {cores}")
        efficiency = speedup.over(count).times(Decimal(100))
        yield Derived(SCALING, cores, "efficiency [%]", efficiency, f"{rate} over {cores} times {one.value}")
        yield Derived(SCALING, cores, "speed-up", speedup, f"{rate} over {one.value}")


def _one_core() -> Span:
    """One core's rate, narrowed to what the cells that follow leave open (rule 2 of `doubts`)."""
    printed = span(SCALING.cell("1", RATE))
    low, high = printed.low, printed.high
    for cell in _scaling(printed):
        if cell.row == "1" or cell.column == "per core" or not cell.follows:
            continue
        rate, goal = span(SCALING.cell(cell.row, RATE)), span(cell.printed)
        if cell.column == "efficiency [%]":
            rate = rate.times(Decimal(100) / int(cell.row))
        low, high = max(low, rate.low / goal.high), min(high, rate.high / goal.low)
    return Span(printed.value, low, high)


@cache
def doubts() -> tuple[Doubt, ...]:
    """Every derived cell that doesn't follow from the primary ones (cores, images per second, price, sizes),
    in the tables' order, and the unit of the latencies. Rules:

    1. A cell follows if the recomputed value, from inputs taken exactly as printed, rounded half up in
       decimal to the printed digits, is what was printed. Whatever fails this is listed.
    2. What fails rule 1 is graded. Each printed input stands for all numbers that round to it (half a unit
       of its last digit either way; counts of cores and images are exact). If some of these give the printed
       cell, the grade is `rounding`: digits that weren't printed, or truncation, can explain it. An input
       has one true value in all cells that use it, so the rate of one core is first narrowed to what the
       cells of the scaling table that do follow leave open (0.59986 to 0.60004 rather than 0.595 to 0.605).
    3. If none gives it, the grade is `contradiction`: no unprinted digit can save the cell.

    Rule 1 alone would accuse the author of what a spreadsheet's unrounded cells do by themselves; rule 2
    alone would let nearly everything pass, 64 cores' efficiency included, since a rate printed as 0.60
    leaves 1.7 % of room.
    """
    with localcontext(prec=28):
        found = [_doubt(cell) for cell in derived() if not cell.follows]
        at = [index for index, doubt in enumerate(found) if doubt.table in ("platforms", "billion")]
        found.insert(at[0] if at else len(found), _latency_unit())
    return tuple(found)


REMARKS: dict[tuple[str, str, str], str] = {
    ("scaling", "2", "per core"): "binary floating point holds 0.595 as slightly less and prints 0.59",
    ("scaling", "8", "per core"): "binary floating point holds 0.585 as slightly less and prints 0.58",
    (
        "memory",
        "per worker",
        "value",
    ): "it was cut off rather than rounded, and counts what all workers share",
    ("platforms", "384-core CPU", "$/million"): "4.6349 becomes 4.635 and then 4.64 when it is rounded twice",
    ("billion", "A10G", "$"): "it is the printed $8.26 a million, times 1,000",
    ("billion", "A100", "$"): "it is the printed $15.00 a million, times 1,000",
    ("billion", "H100", "$"): "it is the printed $10.21 a million, times 1,000",
    ("billion", "A100", "against CPU"): "15.00 over 4.63 gives 3.24",
    ("scaling", "64", "efficiency [%]"): "the other rows leave one core no rate that gives it",
    ("scaling", "256", "efficiency [%]"): "the other rows leave one core no rate that gives it",
    ("billion", "A10G", "days"): "no rate that rounds to 33.81 gives it; 33.67 images/s would",
}
"""What a reader may want to know beyond the numbers; a test checks each of these statements. Every
contradiction has one."""
UNPRINTED = "digits that weren't printed, or cut off, can explain it"


def _doubt(cell: Derived) -> Doubt:
    grade = ROUNDING if cell.attainable else CONTRADICTION
    recomputed = rounded(cell.value.value, cell.printed)
    remark = REMARKS.get((cell.table.key, cell.row, cell.column), UNPRINTED)
    sentence = f"{cell.how} gives {recomputed}, not {cell.printed}; {remark}."
    return Doubt(
        table=cell.table.key,
        row=cell.row,
        column=cell.column,
        printed=cell.printed,
        recomputed=recomputed,
        grade=grade,
        sentence=sentence[0].upper() + sentence[1:],
    )


def _latency_unit() -> Doubt:
    """384 workers at 230.14 images/s take 1.67 s for each image on average (Little's law); milliseconds are a
    thousandfold off for every row of the table, and seconds fit."""
    mean = Decimal(WORKERS) / Decimal(SCALING.cell("384", RATE))
    return Doubt(
        table="latency",
        row="P50",
        column="latency [ms]",
        printed="1.65 ms",
        recomputed=f"{rounded(mean, '1.67')} s",
        grade=UNIT,
        sentence=(
            f"{WORKERS} workers at 230.14 images/s have each image in work for {rounded(mean, '1.67')} s on "
            "average (Little's law), so that every row of this table must be seconds, not milliseconds."
        ),
    )


def notes(key: str, row: str | None = None) -> tuple[str, ...]:
    """Sentences for the footnotes of a table, or of one of its rows."""
    return tuple(
        doubt.sentence for doubt in doubts() if doubt.table == key and (row is None or doubt.row == row)
    )


def numbers(table: Published, column: str, convert: Callable[[Decimal], float] = float) -> tuple[float, ...]:
    """A column as numbers, for charts."""
    return tuple(convert(table.number(row[0], column)) for row in table.rows)
