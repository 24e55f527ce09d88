"""What pictures cost: dollars and days from a price and a rate, joules from a power and a rate.

Must not know records or reports. The only file it reads is its own price list. Formulas: dollars per
million = dollars per hour / (images per second x 3600) x 10^6; days per billion = 10^9 / images per
second / 86400; joules per image = watts / images per second, or joules of a window over its images. Left
out: what storage, network, start-up and idle hours cost, which a price per hour doesn't hold; every
figure is therefore of a machine that is kept busy, and a lower bound of a bill.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources

from qbg.bench.platforms import API, PLATFORMS, RATE
from qbg.bench.statistics import Interval
from qbg.report.document import ESTIMATED, PUBLISHED

MILLION, BILLION = 1e6, 1e9
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A row of the price list.

    Attributes:
        key: short name, for `--price`.
        name: to be printed.
        dollars_per_hour: None where a service charges by image.
        dollars_per_image: None where a machine is charged by time.
        source: in words.
    """

    key: str
    name: str
    dollars_per_hour: float | None
    dollars_per_image: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Prices:
    """The price list.

    Attributes:
        dated: when it was last looked at as a whole.
        rows: by key.
    """

    dated: date
    rows: Mapping[str, Price]


def prices(text: str | None = None) -> Prices:
    """The list that comes with the package, or the one in `text` (TOML).

    Raises:
        ValueError: not such a list; says which row.
    """
    if text is None:
        text = resources.files("qbg.bench").joinpath("prices.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    dated = data.get("dated")
    if not isinstance(dated, date):
        raise ValueError("the price list has no date `dated`")
    rows: dict[str, Price] = {}
    for item in data.get("price", []):
        row = _price(item)
        if row.key in rows:
            raise ValueError(f"the price list has `{row.key}` twice")
        rows[row.key] = row
    return Prices(dated, rows)


def _price(item: Mapping[str, object]) -> Price:
    words = {}
    for name in ("key", "name", "source"):
        value = item.get(name)
        if not isinstance(value, str) or not value:
            raise ValueError(f"a row of the price list lacks `{name}`: {dict(item)}")
        words[name] = value
    sums: dict[str, float | None] = {}
    for name in ("dollars_per_hour", "dollars_per_image"):
        amount = item.get(name)
        if amount is not None and (
            isinstance(amount, bool) or not isinstance(amount, int | float) or not amount > 0
        ):
            raise ValueError(f"`{words['key']}` of the price list: `{name}` must be a positive number")
        sums[name] = None if amount is None else float(amount)
    if (sums["dollars_per_hour"] is None) == (sums["dollars_per_image"] is None):
        raise ValueError(
            f"`{words['key']}` of the price list needs a price per hour or per image, one of the two"
        )
    return Price(
        key=words["key"],
        name=words["name"],
        source=words["source"],
        dollars_per_hour=sums["dollars_per_hour"],
        dollars_per_image=sums["dollars_per_image"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What pictures cost on one machine or at one service.

    Attributes:
        name: of the machine.
        label: where the rate comes from: measured, published, estimated, projected, simulated. Never the
            price's, which is in `price_source`.
        price_source: in words; empty without a price.
        images_per_s: rate; None for a service that charges by image.
        dollars_per_hour: price; None where nobody said or it is charged by image.
        dollars_per_million: for 10^6 pictures; None without a price. Low is good, as with all that follow.
        dollars_per_billion: for 10^9 pictures.
        days_per_billion: 86,400 s each, on one such machine; None without a rate.
        joules_per_image: None where no power is known.
        kwh_per_million: the same in kilowatt-hours for 10^6 pictures.
        energy_dollars_per_million: what that energy costs; already within a rented machine's price.
        energy_source: `measured` by the CPU's counters, or `--watts`; empty without.
        ratio: its dollars over this machine's dollars; None until `against` was asked, or without a price.
    """

    name: str
    label: str
    price_source: str = ""
    images_per_s: Interval | None = None
    dollars_per_hour: float | None = None
    dollars_per_million: Interval | None = None
    dollars_per_billion: Interval | None = None
    days_per_billion: Interval | None = None
    joules_per_image: float | None = None
    kwh_per_million: float | None = None
    energy_dollars_per_million: float | None = None
    energy_source: str = ""
    ratio: float | None = None


def machine_cost(
    name: str,
    label: str,
    images_per_s: Interval | float,
    *,
    dollars_per_hour: float | None = None,
    price_source: str = "",
    joules_per_image: float | None = None,
    watts: float | None = None,
    dollars_per_kwh: float | None = None,
) -> Cost:
    """A machine's cost at a rate. The rate's interval carries over to money and days, upside down.

    `joules_per_image`, from counters, wins over `watts`, which somebody said.

    Raises:
        ValueError: a rate, price or power that isn't positive.
    """
    rate = images_per_s if isinstance(images_per_s, Interval) else _point(images_per_s)
    for what, value in (
        ("rate", rate.value),
        ("price per hour", dollars_per_hour),
        ("energy per image", joules_per_image),
        ("power", watts),
        ("price per kWh", dollars_per_kwh),
    ):
        if value is not None and not value > 0:
            raise ValueError(f"a {what} must be positive, not {value}")
    energy_source = "measured" if joules_per_image is not None else "--watts" if watts is not None else ""
    joules = joules_per_image
    if joules is None and watts is not None:
        joules = watts / rate.value
    kwh = None if joules is None else joules * MILLION / JOULES_PER_KWH
    seconds_each = inverse(rate)
    dollars = None if dollars_per_hour is None else seconds_each.scaled(dollars_per_hour / 3600)
    return Cost(
        name=name,
        label=label,
        price_source=price_source,
        images_per_s=rate,
        dollars_per_hour=dollars_per_hour,
        dollars_per_million=None if dollars is None else dollars.scaled(MILLION),
        dollars_per_billion=None if dollars is None else dollars.scaled(BILLION),
        days_per_billion=seconds_each.scaled(BILLION / 86400),
        joules_per_image=joules,
        kwh_per_million=kwh,
        energy_dollars_per_million=None if kwh is None or dollars_per_kwh is None else kwh * dollars_per_kwh,
        energy_source=energy_source,
    )


def service_cost(price: Price) -> Cost:
    """A service's cost, which charges by image: there is no rate and so no days.

    Raises:
        ValueError: the row has no price per image.
    """
    if price.dollars_per_image is None:
        raise ValueError(f"`{price.key}` isn't charged by image")
    each = _point(price.dollars_per_image)
    return Cost(
        name=price.name,
        label=PUBLISHED,
        price_source=price.source,
        dollars_per_million=each.scaled(MILLION),
        dollars_per_billion=each.scaled(BILLION),
    )


def published_costs(listed: Prices | None = None) -> tuple[Cost, ...]:
    """The published platforms at their own rates, recomputed, then the API. Their printed cells stand in
    `platforms`. Rows whose rate the source calls an estimate are labelled so."""
    listed = listed or prices()
    by_name = {price.name: price for price in listed.rows.values()}
    rows = []
    for cells in PLATFORMS.rows:
        price = by_name[cells[0]]
        rows.append(
            machine_cost(
                cells[0],
                ESTIMATED if cells[0] in PLATFORMS.estimated else PUBLISHED,
                float(PLATFORMS.number(cells[0], RATE)),
                dollars_per_hour=price.dollars_per_hour,
                price_source=price.source,
            )
        )
    rows.append(service_cost(by_name[API.rows[0][0]]))
    return tuple(rows)


def against(costs: Sequence[Cost], here: Cost) -> tuple[Cost, ...]:
    """The same with `ratio`: each one's dollars per picture over `here`'s; above 1 it is dearer than here."""
    ours = here.dollars_per_million
    return tuple(
        dataclasses.replace(
            cost,
            ratio=None
            if ours is None or cost.dollars_per_million is None
            else cost.dollars_per_million.value / ours.value,
        )
        for cost in costs
    )


def inverse(rate: Interval) -> Interval:
    """1 / rate, ends swapped; an end at or below 0 becomes infinity."""
    low = 1 / rate.high if rate.high > 0 and rate.known else float("-inf")
    high = 1 / rate.low if rate.low > 0 and rate.known else float("inf")
    return Interval(1 / rate.value, low, high, rate.count, rate.method)


def _point(value: float) -> Interval:
    """A figure that comes without an interval, such as a published one."""
    return Interval(value, float("-inf"), float("inf"), 0, "given")
