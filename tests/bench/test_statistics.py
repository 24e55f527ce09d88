"""Statistics against naive definitions, exact distributions and simulated truth."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbg.bench import statistics as stats

TIMES = st.floats(min_value=1e-6, max_value=1e4, allow_nan=False)
TIED = st.integers(min_value=1, max_value=6).map(float)


@given(st.lists(TIMES, min_size=1, max_size=30))
def test_median_lies_in_its_interval(values: list[float]) -> None:
    found = stats.median(values)
    assert found.value == pytest.approx(float(np.median(values)))
    assert found.low <= found.value <= found.high
    assert found == stats.median(values)  # seeded
    if len(values) > 1:
        assert min(values) <= found.low
        assert found.high <= max(values)


def test_median_of_one_run_has_no_interval() -> None:
    found = stats.median([3.0])
    assert (found.value, found.low, found.high) == (3.0, -math.inf, math.inf)
    assert not found.known
    assert found.width_share == math.inf
    assert found.words == "one run: no interval"


def test_median_of_few_runs_shows_their_range_and_says_so() -> None:
    found = stats.median([5.0, 3.0, 4.0])
    assert (found.low, found.high, found.method) == (3.0, 5.0, "range")
    assert found.words == "smallest and largest of 3 runs (a 75% interval of the median at best)"


@pytest.mark.parametrize("bad", [[], [math.nan], [1.0, math.inf]])
def test_median_refuses(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"no values|not finite"):
        stats.median(bad)


def exact_end(count: int, tail: float) -> int:
    """Which order statistic is that quantile of the bootstrap's medians, exactly, for an odd count: a median
    is at most the k-th of the sample when more than half of the draws are, which is binomial."""
    half = (count + 1) // 2
    for rank in range(1, count + 1):
        share = rank / count
        reached = sum(
            math.comb(count, hits) * share**hits * (1 - share) ** (count - hits)
            for hits in range(half, count + 1)
        )
        if reached >= tail:
            return rank
    raise AssertionError


@pytest.mark.parametrize("count", [5, 7, 9, 11, 21])
def test_bootstrap_against_its_exact_distribution(count: int) -> None:
    values = np.random.default_rng(count).permutation(np.arange(1.0, count + 1))
    found = stats.median(values)
    assert found.method == "bootstrap"
    assert found.low == exact_end(count, 0.025)
    assert found.high == exact_end(count, 0.975)


def covered(count: int, rounds: int, seed: int) -> float:
    """How often the true median of a skewed distribution lies in the interval."""
    random = np.random.default_rng(seed)
    hits = 0
    for _ in range(rounds):
        found = stats.median(np.exp(random.normal(0, 0.5, count)))
        hits += found.low <= 1.0 <= found.high
    return hits / rounds


def test_coverage_is_what_the_docstring_says() -> None:
    assert covered(2, 2000, 1) == pytest.approx(0.50, abs=0.04)
    assert covered(3, 2000, 2) == pytest.approx(0.75, abs=0.04)
    assert covered(4, 2000, 3) == pytest.approx(0.875, abs=0.03)
    assert covered(5, 400, 4) == pytest.approx(0.9375, abs=0.04)
    assert covered(7, 400, 5) == pytest.approx(0.875, abs=0.05)
    assert 0.90 <= covered(9, 400, 6) <= 0.98
    assert covered(1000, 300, 7) == pytest.approx(0.95, abs=0.05)


def test_paired_ratio_is_blind_to_drift() -> None:
    drift = [1.0, 2.0, 5.0, 3.0, 1.5, 4.0]
    found = stats.paired_ratio([1.1 * item for item in drift], drift)
    assert found.value == pytest.approx(1.1)
    assert found.low == pytest.approx(1.1)
    assert found.high == pytest.approx(1.1)


def test_paired_ratio_refuses_what_is_no_pair() -> None:
    with pytest.raises(ValueError, match="not 2 and 1"):
        stats.paired_ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="positive"):
        stats.paired_ratio([1.0], [0.0])


@given(st.lists(TIMES, min_size=1, max_size=60), st.integers(min_value=1, max_value=999))
def test_nearest_rank_is_its_definition(values: list[float], per_mille: int) -> None:
    share = Fraction(per_mille, 1000)
    enough = [
        value for value in values if Fraction(sum(other <= value for other in values), len(values)) >= share
    ]
    assert stats.nearest_rank(sorted(values), per_mille) == min(enough)


def test_samples_that_a_percentile_needs() -> None:
    needs = {name: stats.samples_needed(per_mille) for name, per_mille in stats.PER_MILLE.items()}
    assert needs == {"P50": 20, "P90": 100, "P95": 200, "P99": 1000, "P99.9": 10000}


@pytest.mark.parametrize("per_mille", stats.PER_MILLE.values())
def test_at_the_limit_ten_samples_lie_beyond(per_mille: int) -> None:
    count = stats.samples_needed(per_mille)
    ordered = list(range(count))
    assert sum(value > stats.nearest_rank(ordered, per_mille) for value in ordered) == 10


def test_percentiles_say_what_they_lack() -> None:
    rows = {row.name: row for row in stats.percentiles([float(value) for value in range(1, 301)])}
    assert list(rows) == ["P50", "P90", "P95", "P99", "P99.9", "max"]
    assert (rows["P50"].value, rows["P90"].value, rows["P95"].value) == (150.0, 270.0, 285.0)
    assert rows["P50"].missing is None
    assert rows["P99"].value is None
    assert rows["P99"].missing == "n/a (had 300, needs 1,000)"
    assert rows["P99.9"].missing == "n/a (had 300, needs 10,000)"
    assert (rows["max"].value, rows["max"].had) == (300.0, 300)


def test_percentiles_of_nothing() -> None:
    assert {row.value for row in stats.percentiles([])} == {None}
    assert stats.percentiles([])[-1].missing == "n/a (had 0, needs 1)"


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(-1e3, 1e3)), min_size=3, max_size=20))
def test_line_against_the_normal_equations(points: list[tuple[int, float]]) -> None:
    x, y = [float(point[0]) for point in points], [point[1] for point in points]
    found = stats.line(x, y)
    if len(set(x)) < 2:
        assert isinstance(found, stats.Refusal)
        return
    assert isinstance(found, stats.Line)
    design = np.stack([np.ones(len(x)), np.array(x)], axis=1)
    solution, *_ = np.linalg.lstsq(design, np.array(y), rcond=None)
    assert found.intercept == pytest.approx(solution[0], abs=1e-6)
    assert found.slope.value == pytest.approx(solution[1], abs=1e-7)
    residual = np.array(y) - design @ solution
    covariance = np.linalg.inv(design.T @ design) * float(residual @ residual) / (len(x) - 2)
    assert found.slope_error == pytest.approx(math.sqrt(max(0.0, covariance[1, 1])), rel=1e-5, abs=1e-6)


def test_line_of_two_points_claims_no_error() -> None:
    found = stats.line([1.0, 2.0], [100.0, 150.0])
    assert isinstance(found, stats.Line)
    assert (found.slope.value, found.intercept) == (50.0, 50.0)
    assert not found.slope.known


def test_line_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    x = [1.0, 1.0, 2.0, 2.0, 4.0]
    hits = 0
    for _ in range(2000):
        found = stats.line(x, [100 + 30 * item + random.normal(0, 5) for item in x])
        assert isinstance(found, stats.Line)
        hits += found.slope.low <= 30 <= found.slope.high
    assert hits / 2000 == pytest.approx(0.95, abs=0.02)


PRINTED = "12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262 2.228 2.201 2.179 2.160 2.145 2.131 2.120"


def test_student_quantile_against_printed_tables() -> None:
    for freedom, printed in enumerate(PRINTED.split(), start=1):
        assert f"{stats.student_quantile(freedom):.3f}" == printed
    for freedom, quantile in ((11, 2.200985), (20, 2.085963), (30, 2.042272), (120, 1.979930)):
        assert stats.student_quantile(freedom) == pytest.approx(quantile, abs=2e-5)
    with pytest.raises(ValueError, match="degree of freedom"):
        stats.student_quantile(0)


def test_interval_in_another_unit() -> None:
    found = stats.Interval(2.0, 1.5, 2.5, 5, "bootstrap")
    assert found.width_share == 0.5
    assert found.scaled(10.0) == stats.Interval(20.0, 15.0, 25.0, 5, "bootstrap")
    assert stats.Interval(0.0, -1.0, 1.0, 5).width_share == math.inf
    assert found.words == "95 % interval (bootstrap) from 5 values"


def by_enumeration(first: list[float], second: list[float]) -> float:
    """Mann and Whitney's two-sided p from the definition: every way to deal the values."""
    values = [*first, *second]

    def wins(chosen: tuple[int, ...]) -> float:
        others = [index for index in range(len(values)) if index not in chosen]
        return sum(
            1.0 if values[a] > values[b] else 0.5 if values[a] == values[b] else 0.0
            for a in chosen
            for b in others
        )

    deals = [wins(chosen) for chosen in itertools.combinations(range(len(values)), len(first))]
    middle = len(first) * len(second) / 2
    seen = abs(wins(tuple(range(len(first)))) - middle)
    return sum(abs(deal - middle) >= seen for deal in deals) / len(deals)


@given(st.lists(TIED, min_size=1, max_size=5), st.lists(TIED, min_size=1, max_size=5))
def test_mann_whitney_with_ties_against_enumeration(first: list[float], second: list[float]) -> None:
    assert stats.mann_whitney(first, second) == pytest.approx(by_enumeration(first, second))


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.2, 0.3])
def test_mann_whitney_approximation_meets_the_exact_count(shift: float) -> None:
    """41 values are approximated; the exact count is that of the same 41 with the limit raised."""
    random = np.random.default_rng(3)
    first = np.round(random.normal(0, 1, 21), 1)  # rounded, so that there are ties
    second = np.round(random.normal(shift, 1, 20), 1)
    approximate = stats.mann_whitney(first, second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stats, "EXACT_UP_TO", 41)
        exact = stats.mann_whitney(first, second)
    assert exact > 0.005
    assert approximate == pytest.approx(exact, rel=0.05, abs=0.001)


def test_mann_whitney_of_equal_values_is_certain_of_nothing() -> None:
    assert stats.mann_whitney([1.0] * 30, [1.0] * 30) == 1.0
    assert stats.mann_whitney([1.0] * 3, [1.0] * 3) == 1.0


def alarms(count: int, rounds: int, seed: int, change: float = 1.0) -> float:
    """How often two skewed samples are told apart; margin 0, so that only the test decides."""
    random = np.random.default_rng(seed)
    hits = 0
    for _ in range(rounds):
        first = np.exp(random.normal(0, 0.03, count))
        second = change * np.exp(random.normal(0, 0.03, count))
        hits += stats.difference(first, second, margin=0.0).significant
    return hits / rounds


def test_false_alarms_stay_below_five_percent() -> None:
    for count in (4, 5, 7):
        rate = alarms(count, 600, count)
        assert 0.005 <= rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)


def test_a_real_difference_is_seen() -> None:
    assert alarms(5, 100, 11, change=1.2) >= 0.98


def test_three_repeats_cannot_show_a_difference_and_say_so() -> None:
    found = stats.difference([1.0, 1.1, 1.2], [5.0, 5.1, 5.2])
    assert found.p == pytest.approx(0.1)
    assert not found.significant
    assert found.reason is not None
    assert "3 and 3 repeats can't show" in found.reason
    assert stats.difference([1.0, 1.1, 1.2, 1.3], [5.0, 5.1, 5.2, 5.3]).reason is None


def test_a_difference_below_the_margin_is_none() -> None:
    first = [1.000, 1.001, 1.002, 1.003, 1.004]
    found = stats.difference(first, [1.01 * item for item in first])
    assert found.p < 0.05
    assert not found.significant
    assert stats.difference(first, [1.03 * item for item in first]).significant


@given(st.lists(TIMES, min_size=1, max_size=8), st.lists(TIMES, min_size=1, max_size=8))
def test_ratio_lies_in_its_interval_and_turns_over(first: list[float], second: list[float]) -> None:
    forth, back = stats.difference(first, second), stats.difference(second, first)
    assert forth.ratio.low <= forth.ratio.value <= forth.ratio.high
    assert forth.ratio.value * back.ratio.value == pytest.approx(1.0)
    assert forth.p == pytest.approx(back.p)


def test_holm_keeps_a_whole_table_below_five_percent() -> None:
    random = np.random.default_rng(21)
    alarmed = 0
    for _ in range(100):
        table = [
            stats.difference(np.exp(random.normal(0, 0.03, 6)), np.exp(random.normal(0, 0.03, 6)), margin=0.0)
            for _ in range(8)
        ]
        alarmed += any(row.significant for row in stats.holm(table))
    assert alarmed / 100 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)


def test_holm_steps_down() -> None:
    ratio = stats.Interval(1.5, 1.4, 1.6)
    rows = [stats.Difference(ratio, p, True, None) for p in (0.04, 0.01, 0.02)]
    assert [row.significant for row in stats.holm(rows)] == [True, True, True]
    rows = [stats.Difference(ratio, p, True, None) for p in (0.04, 0.01, 0.03)]
    assert [row.significant for row in stats.holm(rows)] == [False, True, False]
