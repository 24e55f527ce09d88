"""The scalability law's fit: exact on exact data, optimal on noise, and modest where it must be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbg.bench import platforms, scaling
from qbg.bench.statistics import Refusal


def law(gamma: float, alpha: float, beta: float, workers: int) -> float:
    """The formula of the head comment, once more."""
    return gamma * workers / (1 + alpha * (workers - 1) + beta * workers * (workers - 1))


@given(
    st.floats(0.01, 1e3),
    st.floats(0, 0.5),
    st.floats(0, 0.01),
    st.lists(st.integers(1, 512), min_size=3, max_size=9, unique=True),
)
def test_exact_points_give_the_curve_back(gamma: float, alpha: float, beta: float, counts: list[int]) -> None:
    found = scaling.fit({count: [law(gamma, alpha, beta, count)] * 2 for count in counts})
    assert isinstance(found, scaling.Usl)
    assert found.worst < 1e-6
    assert min(found.gamma.value, found.alpha.value + 1e-15, found.beta.value + 1e-15) > 0
    for count in counts:
        predicted = found.predict(count)
        assert predicted.value == pytest.approx(law(gamma, alpha, beta, count), rel=1e-6)
        assert predicted.low <= predicted.value <= predicted.high


def test_parameters_come_back() -> None:
    found = scaling.fit({count: [law(0.6, 0.01, 1e-4, count)] * 3 for count in (1, 2, 4, 8, 16, 32)})
    assert isinstance(found, scaling.Usl)
    assert found.gamma.value == pytest.approx(0.6, rel=1e-6)
    assert found.alpha.value == pytest.approx(0.01, rel=1e-5)
    assert found.beta.value == pytest.approx(1e-4, rel=1e-5)
    assert found.peak == pytest.approx(math.sqrt(0.99 / 1e-4), rel=1e-4)
    assert found.reach(64) == 2.0


def test_better_than_linear_is_held_at_linear() -> None:
    found = scaling.fit({1: [1.0], 2: [2.1], 4: [4.4], 8: [9.2]})
    assert isinstance(found, scaling.Usl)
    assert (found.alpha.value, found.beta.value, found.peak) == (0.0, 0.0, math.inf)
    assert found.predict(16).value == pytest.approx(16 * found.gamma.value)


@given(st.lists(st.floats(0.5, 1.5), min_size=4, max_size=6), st.integers(0, 2**32 - 1))
def test_no_admissible_parameters_fit_better(noise: list[float], seed: int) -> None:
    workers = 2.0 ** np.arange(len(noise))
    rates = workers * np.array(noise)
    gamma, alpha, beta = scaling.solve(workers, rates[None, :])[0]

    def error(gamma: float, alpha: float, beta: float) -> float:
        fitted = (1 + alpha * (workers - 1) + beta * workers * (workers - 1)) / gamma
        return float(((1 - fitted / (workers / rates)) ** 2).sum())

    least = error(gamma, alpha, beta)
    assert min(gamma, alpha, beta) >= 0
    random = np.random.default_rng(seed)
    for scale in (1e-3, 1e-1, 1.0):
        for _ in range(20):
            other = np.abs(np.array([gamma, alpha, beta]) + scale * random.normal(0, [gamma, 0.1, 0.01]))
            assert error(*np.maximum(other, [1e-9, 0, 0])) >= least - 1e-9


@pytest.mark.parametrize("rates", [{}, {1: [0.6]}, {1: [0.6, 0.6], 2: [1.2, 1.1]}])
def test_fewer_than_three_counts_are_refused(rates: dict[int, list[float]]) -> None:
    found = scaling.fit(rates)
    assert isinstance(found, Refusal)
    assert "needs three different numbers of workers" in found.reason


def test_upper_bound_is_a_line_and_labelled_so() -> None:
    bound = scaling.upper_bound({2: [1.2, 1.0, 1.1], 4: [1.9]})
    assert bound.predict(384).value == pytest.approx(384 * 0.55)
    assert bound.predict(384).low == pytest.approx(384 * 0.5)
    assert "upper bound" in bound.label
    with pytest.raises(ValueError, match="no rates"):
        scaling.upper_bound({})


@pytest.mark.parametrize("rates", [{0: [1.0]}, {1: []}, {1: [0.0]}, {1: [math.nan]}])
def test_impossible_rates_are_an_error(rates: dict[int, list[float]]) -> None:
    with pytest.raises(ValueError, match="rates must be positive"):
        scaling.fit(rates)


def test_three_single_points_claim_no_interval() -> None:
    found = scaling.fit({1: [1.0], 2: [1.9], 4: [3.5]})
    assert isinstance(found, scaling.Usl)
    assert not found.gamma.known
    assert not found.predict(64).known
    assert found.predict(64).value > 3.5


def simulated(repeats: int, rounds: int, seed: int) -> tuple[float, float]:
    """How often X(64) and X(16) of the truth lie in their intervals, with 2 % noise."""
    random = np.random.default_rng(seed)
    far = near = 0
    for _ in range(rounds):
        found = scaling.fit(
            {
                count: [
                    law(1.0, 0.03, 2e-4, count) * math.exp(random.normal(0, 0.02)) for _ in range(repeats)
                ]
                for count in (1, 2, 4, 8, 16)
            }
        )
        assert isinstance(found, scaling.Usl)
        beyond, within = found.predict(64), found.predict(16)
        far += beyond.low <= law(1.0, 0.03, 2e-4, 64) <= beyond.high
        near += within.low <= law(1.0, 0.03, 2e-4, 16) <= within.high
    return far / rounds, near / rounds


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    far, near = simulated(3, 60, 3)
    assert far >= 0.85
    assert near >= 0.80


def test_one_disturbed_repeat_does_not_bend_the_curve() -> None:
    clean = {count: [law(1.0, 0.02, 0.0, count)] * 5 for count in (1, 2, 4, 8)}
    disturbed = {count: [*values[:4], values[4] * 0.3] for count, values in clean.items()}
    found = scaling.fit(disturbed)
    assert isinstance(found, scaling.Usl)
    assert found.predict(64).value == pytest.approx(law(1.0, 0.02, 0.0, 64), rel=1e-6)


def test_published_table_is_nearly_linear_by_this_law() -> None:
    cores = platforms.numbers(platforms.SCALING, "cores")
    rates = platforms.numbers(platforms.SCALING, platforms.RATE)
    found = scaling.fit({int(count): [rate] for count, rate in zip(cores, rates, strict=True)})
    assert isinstance(found, scaling.Usl)
    assert found.alpha.value < 0.001
    assert found.worst > 0.01  # 95.9 % at 32 cores and 99.9 % at 384 don't lie on one such curve
