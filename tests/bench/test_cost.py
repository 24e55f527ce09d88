"""Money, days and energy against the formulas, the price list, and the published row."""

from __future__ import annotations

import math
from datetime import date
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbg.bench import cost
from qbg.bench.statistics import Interval
from qbg.report.document import ESTIMATED, MEASURED, PUBLISHED

POSITIVE = st.floats(min_value=1e-3, max_value=1e5)


@given(POSITIVE, POSITIVE)
def test_formulas(rate: float, price: float) -> None:
    found = cost.machine_cost("x", MEASURED, rate, dollars_per_hour=price, watts=100.0, dollars_per_kwh=0.3)
    seconds = 1e6 / rate
    assert found.dollars_per_million is not None
    assert found.dollars_per_million.value == pytest.approx(price * seconds / 3600)
    assert found.dollars_per_billion is not None
    assert found.dollars_per_billion.value == pytest.approx(1000 * price * seconds / 3600)
    assert found.days_per_billion is not None
    assert found.days_per_billion.value == pytest.approx(1000 * seconds / 86400)
    # days times 24 hours times the price is the money
    assert found.days_per_billion.value * 24 * price == pytest.approx(found.dollars_per_billion.value)
    assert found.joules_per_image == pytest.approx(100.0 / rate)
    assert found.kwh_per_million == pytest.approx(100.0 * seconds / 3.6e6)
    assert found.energy_dollars_per_million == pytest.approx(0.3 * 100.0 * seconds / 3.6e6)
    assert found.energy_source == "--watts"


def test_published_machine() -> None:
    found = cost.machine_cost("384-core CPU", PUBLISHED, 230.14, dollars_per_hour=3.84)
    assert found.dollars_per_million is not None
    assert found.days_per_billion is not None
    assert round(found.dollars_per_million.value, 4) == 4.6349
    assert round(found.days_per_billion.value, 1) == 50.3
    assert not found.dollars_per_million.known
    assert found.dollars_per_million.words == "published without an interval"


def test_interval_turns_over() -> None:
    rate = Interval(10.0, 8.0, 12.5, 5, "bootstrap")
    found = cost.machine_cost("x", MEASURED, rate, dollars_per_hour=3.6)
    money = found.dollars_per_million
    assert money is not None
    assert (money.low, money.value, money.high) == pytest.approx((80.0, 100.0, 125.0))
    assert (money.count, money.method) == (5, "bootstrap")
    slow = cost.inverse(Interval(0.5, 0.4, 0.8, 5, "bootstrap"))
    assert (slow.low, slow.value, slow.high) == pytest.approx((1.25, 2.0, 2.5))
    alone = cost.inverse(Interval(0.5, -math.inf, math.inf, 1, "none"))
    assert (alone.low, alone.high) == (-math.inf, math.inf)
    open_end = cost.inverse(Interval(10.0, -1.0, 20.0, 3, "range"))
    assert (open_end.low, open_end.high) == (0.05, math.inf)


def test_counters_win_over_what_somebody_said() -> None:
    found = cost.machine_cost("x", MEASURED, 2.0, joules_per_image=7.0, watts=1000.0)
    assert found.joules_per_image == 7.0
    assert found.energy_source == "measured"
    assert found.dollars_per_million is None
    assert found.energy_dollars_per_million is None


@pytest.mark.parametrize(
    "bad", [{"dollars_per_hour": 0.0}, {"watts": -1.0}, {"joules_per_image": 0.0}, {"dollars_per_kwh": -0.1}]
)
def test_nonsense_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        cost.machine_cost("x", MEASURED, 1.0, **bad)
    with pytest.raises(ValueError, match="rate must be positive"):
        cost.machine_cost("x", MEASURED, 0.0)


def test_published_rows_have_labels_sources_and_ratios() -> None:
    rows = cost.published_costs()
    assert [(row.name, row.label) for row in rows] == [
        ("A10G", PUBLISHED),
        ("A100", ESTIMATED),
        ("H100", ESTIMATED),
        ("384-core CPU", PUBLISHED),
        ("API", PUBLISHED),
    ]
    assert all(row.price_source for row in rows)
    here = cost.machine_cost("here", MEASURED, 230.14, dollars_per_hour=3.84)
    compared = {row.name: row.ratio for row in cost.against(rows, here)}
    assert compared["384-core CPU"] == pytest.approx(1.0)
    assert compared["A10G"] == pytest.approx(1.78, abs=0.005)
    assert compared["H100"] == pytest.approx(2.20, abs=0.005)
    assert compared["API"] == pytest.approx(20000 / 4.63486, rel=1e-4)
    unpriced = cost.machine_cost("here", MEASURED, 230.14)
    assert {row.ratio for row in cost.against(rows, unpriced)} == {None}


def test_api_has_no_days() -> None:
    api = cost.published_costs()[-1]
    assert api.dollars_per_million is not None
    assert api.dollars_per_billion is not None
    assert (api.dollars_per_million.value, api.dollars_per_billion.value) == (20_000.0, 20_000_000.0)
    assert api.days_per_billion is None
    with pytest.raises(ValueError, match="isn't charged by image"):
        cost.service_cost(cost.prices().rows["a10g"])


def test_price_list_is_dated_and_says_where_each_price_is_from() -> None:
    listed = cost.prices()
    assert listed.dated >= date(2026, 1, 1)
    assert set(listed.rows) == {"cpu-384", "a10g", "a100", "h100", "api"}
    assert all(
        "published row" in price.source or "list price noted on" in price.source
        for price in listed.rows.values()
    )
    assert resources.files("qbg.bench").joinpath("prices.toml").is_file()


ROW = '[[price]]\nkey = "a"\nname = "A"\nsource = "s"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no date"),
        ("dated = 1", "no date"),
        ("dated = 2026-01-01\n[[price]]\nkey = 'a'", "lacks `name`"),
        (f"dated = 2026-01-01\n{ROW}", "one of the two"),
        (f"dated = 2026-01-01\n{ROW}dollars_per_hour = 1\ndollars_per_image = 1", "one of the two"),
        (f"dated = 2026-01-01\n{ROW}dollars_per_hour = -1", "positive number"),
        (f"dated = 2026-01-01\n{ROW}dollars_per_hour = true", "positive number"),
        (f"dated = 2026-01-01\n{ROW}dollars_per_hour = nan", "positive number"),
        (f"dated = 2026-01-01\n{ROW}dollars_per_hour = 1\n{ROW}dollars_per_hour = 1", "twice"),
        ("dated =", "Invalid value"),
    ],
)
def test_a_bad_price_list_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        cost.prices(text)


def test_another_list_can_be_given() -> None:
    listed = cost.prices(f"dated = 2026-01-01\n{ROW}dollars_per_hour = 2")
    assert listed.rows["a"].dollars_per_hour == 2.0
    assert listed.rows["a"].dollars_per_image is None
