"""Medians, ratios, percentiles, lines and differences, each with what it can and can't say.

Pure functions of numbers; must not know records, cases or reports. Every draw is seeded: the same record
always gives the same report. Sources: Efron & Tibshirani 1993 (percentile bootstrap); David & Nagaraja 2003
(order statistics); Mann & Whitney 1947 (U); Holm 1979. Left out on purpose: corrections of the bootstrap
(BCa) and models of the noise, which a handful of repeats can't carry. Scaling laws: `qbg.bench.scaling`;
HdrHistogram's text: `qbg.bench.histogram`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SEED = 20170911
DRAWS = 4000
CONFIDENCE = 0.95
FEWEST_TO_DRAW = 5
"""Fewer values than that are shown with their range: see `median`."""
MANY = 400
"""From here on a median's interval is read from ranks, which is what the bootstrap converges to."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and how sure it is.

    Attributes:
        value: the figure itself.
        low, high: ends of its interval, in the figure's unit; minus and plus infinity where nothing is known.
        count: repeats (or samples) behind it.
        method: `bootstrap`, `ranks`, `student`, `range` (smallest and largest of 2 to 4 values), `none`
            (one value: no interval), or `given` (a published figure, which came without one).
    """

    value: float
    low: float
    high: float
    count: int = 0
    method: str = "bootstrap"

    @property
    def known(self) -> bool:
        """Whether there are two ends to print."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def width_share(self) -> float:
        """Width over value; infinity where there is no interval or the value is 0."""
        if not self.known or self.value == 0:
            return math.inf
        return (self.high - self.low) / abs(self.value)

    @property
    def words(self) -> str:
        """What the interval is, for a footnote."""
        if self.method == "given":
            return "published without an interval"
        if self.method == "none" or not self.known:
            return "too few runs for an interval" if self.count > 1 else "one run: no interval"
        if self.method == "range":
            sure = 1 - 2 * 0.5**self.count
            return f"smallest and largest of {self.count} runs (a {sure:.0%} interval of the median at best)"
        return f"95 % interval ({self.method}) from {self.count} values"

    def scaled(self, factor: float) -> Interval:
        """The same in another unit; `factor` is positive."""
        return Interval(self.value * factor, self.low * factor, self.high * factor, self.count, self.method)


def median(values: Sequence[float] | Floats) -> Interval:
    """Median of repeats with a 95 % interval.

    One value has no interval: its ends are infinite, since a single run says nothing about the next one.
    Two to four values show their range. No method without assumptions does better: the range of n values
    holds the true median with probability 1 - 2 / 2^n, which is 50, 75 and 88 % for 2, 3 and 4, and a
    bootstrap of so few is that range or narrower, under a name that promises 95 %. Five and more: percentile
    bootstrap, seeded, as is usual for benchmarks. It can only end at values that were seen, so that its true
    coverage is 94 % at five, 87 % at seven (the worst), and 92 to 96 % from eight on, which tests simulate.
    It doesn't see what all repeats share: a slow hour, a hot room, another machine of the same name.
    From 400 values on, the ends are the order statistics of rank n/2 -+ 0.98 sqrt(n).

    Raises:
        ValueError: no values, or one that isn't finite.
    """
    array = _finite(values)
    count = array.size
    middle = float(np.median(array))
    if count == 1:
        return Interval(middle, -math.inf, math.inf, 1, "none")
    if count < FEWEST_TO_DRAW:
        return Interval(middle, float(array.min()), float(array.max()), count, "range")
    if count >= MANY:
        ordered = np.sort(array)
        reach = 0.98 * math.sqrt(count)
        first = max(0, math.floor(count / 2 - reach) - 1)
        last = min(count - 1, math.ceil(count / 2 + reach))
        return Interval(middle, float(ordered[first]), float(ordered[last]), count, "ranks")
    low, high = ends(_medians(array, np.random.default_rng(SEED)))
    return Interval(middle, low, high, count, "bootstrap")


def paired_ratio(over: Sequence[float], under: Sequence[float]) -> Interval:
    """Median of `over[i] / under[i]`, with the interval that `median` gives to these ratios.

    For runs that took turns (A B A B): what both of a pair suffered cancels out, so it is narrower than the
    ratio of two medians whenever the machine drifts. Meaningless if the i-th runs weren't neighbors in time.

    Raises:
        ValueError: unequal numbers, none, or a denominator that isn't positive.
    """
    above, below = _finite(over), _finite(under)
    if above.size != below.size:
        raise ValueError(f"pairs need equal numbers, not {above.size} and {below.size}")
    if bool((below <= 0).any()):
        raise ValueError("a ratio needs positive denominators")
    return median(above / below)


@dataclass(frozen=True, slots=True)
class Percentile:
    """A percentile, or why there is none.

    Attributes:
        name: `P50`, .., `P99.9`, `max`.
        value: in the unit of the samples; None with too few of them.
        had: samples.
        needs: samples that it takes.
    """

    name: str
    value: float | None
    had: int
    needs: int

    @property
    def missing(self) -> str | None:
        """`n/a (had 300, needs 1,000)`; None where there is a value."""
        return None if self.value is not None else f"n/a (had {self.had:,}, needs {self.needs:,})"


PER_MILLE = {"P50": 500, "P90": 900, "P95": 950, "P99": 990, "P99.9": 999}
BEYOND = 10


def samples_needed(per_mille: int) -> int:
    """Fewest samples for a percentile: so many that ten lie beyond it, 10 / (1 - p).

    A percentile is known by the samples beyond it. Their number is binomial; with ten, its relative
    standard error is 1 / sqrt(10) = 32 %, so that P99 of 1,000 samples lies, at 95 %, between the true
    P98.2 and P99.5. With one beyond it the figure is the maximum of the run under another name.
    LoadGen's early stopping asks the same question, how many may lie beyond for so many samples, and
    lets P99 pass at 459 samples with none beyond; that proves a bound, and we print a value, which needs
    more. P50: 20, P90: 100, P95: 200, P99: 1,000, P99.9: 10,000.

    Raises:
        ValueError: outside 1 to 999.
    """
    if not 1 <= per_mille <= 999:
        raise ValueError(f"per mille is 1 to 999, not {per_mille}")
    return -(-BEYOND * 1000 // (1000 - per_mille))


def nearest_rank(ordered: Sequence[float] | Floats, per_mille: int) -> float:
    """The smallest of the ascending samples with at least that share at or below it. Never interpolated:
    the figure is a time that some picture really took.

    Raises:
        ValueError: no samples.
    """
    count = len(ordered)
    if count == 0:
        raise ValueError("no samples")
    rank = -(-count * per_mille // 1000)  # in integers: 0.95 * 200 is 190 only by luck
    return float(ordered[max(rank, 1) - 1])


def percentiles(values: Sequence[float]) -> tuple[Percentile, ...]:
    """P50, P90, P95, P99, P99.9 by nearest rank on the raw list, then the maximum, which needs one sample and
    is of its run alone: it grows with the count, so it is printed beside it."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = int(ordered.size)
    rows = []
    for name, per_mille in PER_MILLE.items():
        needs = samples_needed(per_mille)
        value = nearest_rank(ordered, per_mille) if count >= needs else None
        rows.append(Percentile(name, value, count, needs))
    rows.append(Percentile("max", float(ordered[-1]) if count else None, count, 1))
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a figure can't be had from the data, as a sentence without its full stop."""

    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """A least-squares line.

    Attributes:
        slope: unit of y per unit of x, with Student's 95 % interval; unbounded with two points.
        intercept: y at x = 0.
        slope_error: standard error of the slope; infinity with two points.
        explained: share of y's variance that the line explains (R squared); 1 if y doesn't vary.
    """

    slope: Interval
    intercept: float
    slope_error: float
    explained: float


def line(x: Sequence[float], y: Sequence[float]) -> Line | Refusal:
    """Ordinary least squares, for what each further worker adds in memory.

    The interval holds if errors are independent and alike for all x. Standard error: sqrt(RSS / (n - 2)
    / Sxx), times Student's quantile for n - 2 degrees of freedom. Two points define a line and say
    nothing of its error, so the interval is unbounded then.

    Raises:
        ValueError: unequal numbers, or values that aren't finite.
    """
    if len(x) != len(y):
        raise ValueError(f"a line needs as many x as y, not {len(x)} and {len(y)}")
    if len(set(x)) < 2:
        return Refusal("a slope needs at least two different numbers of workers")
    across, up = _finite(x), _finite(y)
    count = across.size
    spread = across - across.mean()
    squares = float(spread @ spread)
    slope = float(spread @ (up - up.mean())) / squares
    intercept = float(up.mean() - slope * across.mean())
    residual = up - (intercept + slope * across)
    rest, total = float(residual @ residual), float(((up - up.mean()) ** 2).sum())
    explained = 1.0 if total == 0 else max(0.0, 1 - rest / total)
    if count == 2:
        return Line(Interval(slope, -math.inf, math.inf, 2, "none"), intercept, math.inf, explained)
    error = math.sqrt(rest / (count - 2) / squares)
    reach = student_quantile(count - 2) * error
    return Line(Interval(slope, slope - reach, slope + reach, count, "student"), intercept, error, explained)


_STUDENT = (
    12.706205,
    4.302653,
    3.182446,
    2.776445,
    2.570582,
    2.446912,
    2.364624,
    2.306004,
    2.262157,
    2.228139,
)


def student_quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t: tabulated to ten degrees of freedom, then Cornish and Fisher's
    expansion (Abramowitz & Stegun 26.7.5), right to 2e-5 there."""
    if freedom < 1:
        raise ValueError("Student's t needs a degree of freedom")
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = 1.959963985
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / float(freedom**power) for power, term in enumerate(terms, start=1))


@dataclass(frozen=True, slots=True)
class Difference:
    """How one figure differs between two records.

    Attributes:
        ratio: second over first: medians, with interval.
        p: two-sided probability of ranks so far apart if nothing differs.
        significant: see `difference`.
        reason: why a difference of whatever size couldn't be significant; None where it could.
    """

    ratio: Interval
    p: float
    significant: bool
    reason: str | None


MARGIN = 0.02
"""Two sessions of the same thing on the same machine differ by so much from placement, page layout and clock
frequency alone. Repeats within a session share these, so that no test on repeats can see them."""


def difference(
    first: Sequence[float], second: Sequence[float], *, alpha: float = 0.05, margin: float = MARGIN
) -> Difference:
    """Whether the repeats of a figure differ between two records: Mann-Whitney's U, and by more than
    `margin`.

    Ranks, since throughput has a ceiling and a long lower tail, where a t-test on few repeats goes wrong. The
    p-value is exact: all ways to deal the ranks are counted, ties included (above 40 values: normal
    approximation with tie correction). False alarms stay at or below alpha whatever the distribution, which a
    test simulates; the price is that 3 against 3 repeats reach p = 0.1 at best and so show nothing at 5 %.
    `reason` says so, instead of a silent "no difference"; 4 against 4 suffice. Feed repeats' figures: the
    pictures of one run aren't independent samples. For a table of many figures adjust with `holm`.

    The ratio's interval: bootstrap of the ratio of medians with five and more each, else the smallest over
    the largest to the largest over the smallest.

    Raises:
        ValueError: no values, or values that aren't positive.
    """
    before, after = _finite(first), _finite(second)
    if bool((before <= 0).any()) or bool((after <= 0).any()):
        raise ValueError("figures to compare must be positive")
    ratio = _ratio_of_medians(before, after)
    p = mann_whitney(before, after)
    best = 2 / math.comb(before.size + after.size, before.size)
    reason = None
    if best > alpha:
        reason = (
            f"{before.size} and {after.size} repeats can't show a difference at {alpha:.0%} (p is {best:.2f} "
            "at best); repeat each at least 4 times"
        )
    significant = p <= alpha and abs(ratio.value - 1) > margin
    return Difference(ratio, p, significant, reason)


def holm(differences: Sequence[Difference], *, alpha: float = 0.05) -> tuple[Difference, ...]:
    """The same with `significant` judged for the whole table: the chance of any false alarm stays below alpha
    (Holm 1979). With k rows the smallest p must pass alpha / k, the next alpha / (k - 1), until one fails."""
    order = sorted(range(len(differences)), key=lambda index: differences[index].p)
    kept: set[int] = set()
    for place, index in enumerate(order):
        if differences[index].p > alpha / (len(order) - place):
            break
        kept.add(index)
    return tuple(
        Difference(item.ratio, item.p, item.significant and index in kept, item.reason)
        for index, item in enumerate(differences)
    )


EXACT_UP_TO = 40


def mann_whitney(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> float:
    """Two-sided p-value of Mann and Whitney's U, exact under permutation up to 40 values in all.

    Exact: doubled mid-ranks are integers; counting the subsets of each size and sum by dynamic programming
    gives the distribution of the first group's rank sum, ties and all. p is the share of deals whose sum is
    at least as far from the mean as the one seen.
    """
    before, after = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    doubled = _doubled_ranks(np.concatenate([before, after]))
    size, total = int(before.size), int(doubled.size)
    seen = int(doubled[:size].sum())
    mean = size * (total + 1)  # of the doubled rank sum
    if total > EXACT_UP_TO:
        variance = (
            size * (total - size) * float((doubled.astype(np.float64) - (total + 1)).var(ddof=1)) / total
        )
        if variance == 0:
            return 1.0
        z = max(0.0, abs(seen - mean) - 1) / math.sqrt(variance)  # -1: half a rank, for continuity
        return min(1.0, math.erfc(z / math.sqrt(2)))
    ways: list[dict[int, int]] = [{0: 1}] + [{} for _ in range(size)]
    for rank in doubled.tolist():
        for taken in range(size, 0, -1):
            here = ways[taken]
            for reached, number in ways[taken - 1].items():
                here[reached + rank] = here.get(reached + rank, 0) + number
    far = abs(seen - mean)
    extreme = sum(number for reached, number in ways[size].items() if abs(reached - mean) >= far)
    return extreme / math.comb(total, size)


def _doubled_ranks(values: Floats) -> npt.NDArray[np.int64]:
    """Twice the mid-ranks, counted from 1, so that ties stay integers."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    upto = np.searchsorted(ordered, values, side="right")
    return (below + upto + 1).astype(np.int64)


def _ratio_of_medians(before: Floats, after: Floats) -> Interval:
    value = float(np.median(after) / np.median(before))
    count = min(before.size, after.size)
    if count == 1:
        return Interval(value, -math.inf, math.inf, 1, "none")
    if count < FEWEST_TO_DRAW:
        return Interval(
            value, float(after.min() / before.max()), float(after.max() / before.min()), count, "range"
        )
    random = np.random.default_rng(SEED)
    low, high = ends(_medians(after, random) / _medians(before, random))
    return Interval(value, low, high, count, "bootstrap")


def _medians(array: Floats, random: np.random.Generator) -> Floats:
    """Medians of `DRAWS` samples with replacement, a million draws at a time."""
    rows = max(1, 1_000_000 // array.size)
    parts = []
    for start in range(0, DRAWS, rows):
        picked = random.integers(0, array.size, (min(rows, DRAWS - start), array.size))
        parts.append(np.median(array[picked], axis=1))
    return np.concatenate(parts)


def ends(draws: Floats) -> tuple[float, float]:
    """Ends of the central 95 % of drawn values."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def _finite(values: Sequence[float] | Floats) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError("no values")
    if not bool(np.isfinite(array).all()):
        raise ValueError("a value is not finite")
    return array
