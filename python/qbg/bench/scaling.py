"""What measured rates by number of workers say about more workers: the Universal Scalability Law.

    X(N) = gamma N / (1 + alpha (N - 1) + beta N (N - 1))

gamma is one worker's rate, alpha the share that queues for something, beta what keeping N workers in
agreement costs (Gunther 2007, Guerrilla Capacity Planning, ch. 4-6). Must not know records. Everything
that comes from here is a projection: it holds as far as nothing appears at more workers that the
measured points didn't have, such as a second socket, threads that share a core, or a full memory bus.
Left out: fits with gamma fixed to X(1), which hang everything on one noisy point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from qbg.bench.statistics import SEED, Floats, Interval, Refusal, ends, median

DRAWS = 2000
FEWEST_COUNTS = 3


@dataclass(frozen=True, slots=True)
class Usl:
    """A fitted law.

    Attributes:
        gamma: rate of one worker, per second.
        alpha: contention, 0 for none; at 1 a second worker adds nothing.
        beta: coherency, 0 for none; above 0 the rate has a peak and falls beyond it.
        worst: largest relative distance of a measured median from the curve.
        counts: numbers of workers that were measured.
        draws: parameters of the bootstrap's fits, (draws, 3); empty where no interval can be had.
    """

    gamma: Interval
    alpha: Interval
    beta: Interval
    worst: float
    counts: tuple[int, ...]
    draws: Floats = field(repr=False, compare=False)

    def predict(self, workers: int) -> Interval:
        """Rate at so many workers, per second, with 95 % interval. A projection beyond the largest count
        measured; `reach` says how far beyond."""
        values = _rate(np.array([[self.gamma.value, self.alpha.value, self.beta.value]]), workers)
        if not self.draws.size:
            return Interval(float(values[0]), -math.inf, math.inf, len(self.counts), "none")
        low, high = ends(_rate(self.draws, workers))
        value = float(values[0])
        return Interval(value, min(low, value), max(high, value), len(self.counts), "bootstrap")

    def reach(self, workers: int) -> float:
        """How many times the largest measured count that is; above 4 read the interval, not the figure."""
        return workers / max(self.counts)

    @property
    def peak(self) -> float:
        """Workers beyond which the rate falls, sqrt((1 - alpha) / beta); infinity for beta 0."""
        if self.beta.value <= 0:
            return math.inf
        return math.sqrt(max(0.0, 1 - self.alpha.value) / self.beta.value)


@dataclass(frozen=True, slots=True)
class UpperBound:
    """A straight line through the smallest count's rate: what no contention at all would give.

    Attributes:
        per_worker: rate per worker there, per second.
        label: to be printed with it.
    """

    per_worker: Interval
    label: str = "upper bound: linear from the smallest count, no contention assumed"

    def predict(self, workers: int) -> Interval:
        """Rate at so many workers; the interval is that of the measured point, no more."""
        return self.per_worker.scaled(workers)


def fit(rates: Mapping[int, Sequence[float]]) -> Usl | Refusal:
    """The law through `rates`: repeats (images per second) by number of workers.

    Each count's median is one point, so that one disturbed repeat doesn't bend the curve. Intervals: where
    every count has at least two repeats, repeats are drawn again within each count, their deviations widened
    by sqrt(n / (n - 1)) because few draws scatter too little; otherwise the fit's own relative residuals are
    drawn, widened by sqrt(k / (k - 3)). With single repeats at just three counts the curve passes through
    all points, nothing is left to judge it by, and intervals are unbounded. In simulations (2 % noise, six
    or fewer counts) the intervals hold the truth in 9 of 10 cases from three repeats on, in 7 to 8 of 10
    below. Not seen by any of this: that the law itself may be wrong for the machine. Look at `worst`.

    Refuses with fewer than three different counts: three unknowns.

    Raises:
        ValueError: a count below 1, a count without repeats, or a rate that isn't positive and finite.
    """
    counts = sorted(rates)
    for count in counts:
        values = np.asarray(rates[count], dtype=np.float64)
        if count < 1 or values.size == 0 or not bool(np.isfinite(values).all()) or bool((values <= 0).any()):
            raise ValueError(f"{count} workers: rates must be positive, and there must be one")
    if len(counts) < FEWEST_COUNTS:
        had = " and ".join(str(count) for count in counts) or "none"
        return Refusal(
            f"a scalability law has three unknowns and needs three different numbers of workers, not {had}"
        )
    workers = np.array(counts, dtype=np.float64)
    medians = np.array([np.median(rates[count]) for count in counts])
    best = solve(workers, medians[None, :])
    curve = np.array([_rate(best, int(count))[0] for count in counts])
    draws = _draws(rates, counts, medians, curve)
    worst = float(np.abs(medians / curve - 1).max())
    spans = []
    for index in range(3):
        value = float(best[0, index])
        low, high = ends(draws[:, index]) if draws.size else (-math.inf, math.inf)
        method = "bootstrap" if draws.size else "none"
        spans.append(Interval(value, min(low, value), max(high, value), len(counts), method))
    return Usl(spans[0], spans[1], spans[2], worst, tuple(counts), draws)


def upper_bound(rates: Mapping[int, Sequence[float]]) -> UpperBound:
    """The line to offer where `fit` refuses.

    Raises:
        ValueError: no rates.
    """
    if not rates:
        raise ValueError("no rates")
    fewest = min(rates)
    return UpperBound(median(rates[fewest]).scaled(1 / fewest))


def solve(workers: Floats, rates: Floats) -> Floats:
    """(draws, 3) of gamma, alpha, beta for (draws, counts) of positive rates at (counts,) workers.

    Minimizes sum (1 - fitted(N / X) / measured(N / X))^2 over c >= 0, where fitted is
    c0 + c1 (N - 1) + c2 N (N - 1), and returns 1 / c0, c1 / c0, c2 / c0.
    c0 stays positive: a single worker has a finite rate, whatever the noise says.

    N / X is linear in (1, N - 1, N (N - 1)), so that this is a linear least-squares problem with non-negative
    parameters. With c0 positive there are four possible sets of active bounds; all four are solved in closed
    form and the best admissible one is the optimum. No starting values, no iterations, nothing to fail to
    converge. It is X's relative error that counts, since a rate's noise grows with the rate.
    """
    basis = np.stack([np.ones_like(workers), workers - 1, workers * (workers - 1)], axis=-1)
    scale = basis.max(axis=0)
    scaled = (basis / scale)[None, :, :] * (rates / workers)[:, :, None]
    best = np.zeros((rates.shape[0], 3))
    least = np.full(rates.shape[0], np.inf)
    for active in ((0,), (0, 1), (0, 2), (0, 1, 2)):
        part = scaled[:, :, active]
        found = np.linalg.pinv(part) @ np.ones((rates.shape[0], workers.size, 1))
        left = ((part @ found)[:, :, 0] - 1) ** 2
        error = np.where((found[:, :, 0] >= 0).all(axis=1) & (found[:, 0, 0] > 0), left.sum(axis=1), np.inf)
        better = error < least
        least = np.where(better, error, least)
        whole = np.zeros_like(best)
        whole[:, active] = found[:, :, 0]
        best = np.where(better[:, None], whole, best)
    unscaled = best / scale
    return np.stack(
        [1 / unscaled[:, 0], unscaled[:, 1] / unscaled[:, 0], unscaled[:, 2] / unscaled[:, 0]], -1
    )


def _draws(rates: Mapping[int, Sequence[float]], counts: list[int], medians: Floats, curve: Floats) -> Floats:
    random = np.random.default_rng(SEED)
    workers = np.array(counts, dtype=np.float64)
    if all(len(rates[count]) >= 2 for count in counts):
        columns = []
        for count, middle in zip(counts, medians, strict=True):
            values = np.asarray(rates[count], dtype=np.float64)
            picked = values[random.integers(0, values.size, (DRAWS, values.size))]
            widened = math.sqrt(values.size / (values.size - 1))
            columns.append(middle + (np.median(picked, axis=1) - middle) * widened)
        drawn = np.stack(columns, axis=-1)
    elif len(counts) > FEWEST_COUNTS:
        residual = (medians / curve - 1) * math.sqrt(len(counts) / (len(counts) - 3))
        residual = residual - residual.mean()
        drawn = curve * (1 + residual[random.integers(0, residual.size, (DRAWS, residual.size))])
    else:
        return np.empty((0, 3))
    return solve(workers, np.maximum(drawn, medians * 1e-3))


def _rate(parameters: Floats, workers: int) -> Floats:
    gamma, alpha, beta = parameters[:, 0], parameters[:, 1], parameters[:, 2]
    return np.asarray(gamma * workers / (1 + alpha * (workers - 1) + beta * workers * (workers - 1)))
