"""Times as HdrHistogram's percentile distribution (`.hgrm`), the text that its plotter and others read.

The buckets and lines are those of the reference implementation (HdrHistogram for Java 2.2,
`outputPercentileDistribution`), written from its description: values are whole microseconds, kept to three
significant digits, printed in milliseconds. Must not know where the times come from. Left out: the
compressed `.hlog` of intervals, for which the record itself is the better archive: it has every time raw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SUB_BUCKETS = 2048
"""The power of two at or above 2 * 10^3: every bucket then resolves 1/1,000 of its values."""
HIGHEST_US = 3_600_000_000
"""An hour, as a rule; a longer time only raises the number of buckets that the last line tells."""
TICKS_PER_HALF = 5


def hdr_log(values_s: Sequence[float]) -> str:
    """Lines of `Value Percentile TotalCount 1/(1-Percentile)`, value in milliseconds.

    Each value is the highest that its bucket stands for, up to 0.1 % above the time itself; each line's
    percentile is the level that was asked for, and steps halve their distance to 100 % five by five. The last
    line, 100 %, has no fourth column. StdDeviation and Mean take each bucket's middle, as the reference does.

    Raises:
        ValueError: no values, or one that is negative or not finite.
    """
    times = np.asarray(values_s, dtype=np.float64)
    if times.size == 0:
        raise ValueError("a histogram needs a value")
    if not bool(np.isfinite(times).all()) or bool((times < 0).any()):
        raise ValueError("a time is negative or not finite")
    ordered = np.sort(np.rint(times * 1e6).astype(np.int64))
    low, width = _bucket(ordered)
    high = low + width - 1
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}\n"]
    for level, last in _levels(high):
        line = f"{high[last - 1] / 1000:12.3f} {level / 100:2.12f} {last:10d}"
        lines.append(line if level == 100 else f"{line} {1 / (1 - level / 100):14.2f}")
    middle = low + width // 2
    mean = float(middle.mean())
    deviation = math.sqrt(float(((middle - mean) ** 2).mean()))
    lines += [
        f"#[Mean    = {mean / 1000:12.3f}, StdDeviation   = {deviation / 1000:12.3f}]",
        f"#[Max     = {high[-1] / 1000:12.3f}, Total count    = {ordered.size:12d}]",
        f"#[Buckets = {_buckets(int(ordered[-1])):12d}, SubBuckets     = {SUB_BUCKETS:12d}]",
    ]
    return "\n".join(lines) + "\n"


def _bucket(values: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Lowest value of each one's bucket, and the bucket's width: 1 below 2,048, then doubling each octave."""
    _, exponent = np.frexp(np.maximum(values, 1).astype(np.float64))  # exact below 2^53
    shift = np.maximum(exponent.astype(np.int64) - 11, 0)
    return (values >> shift) << shift, np.int64(1) << shift


def _levels(high: npt.NDArray[np.int64]) -> list[tuple[float, int]]:
    """(percentile level, values at or below its bucket) of each line."""
    count = high.size
    _, ends = np.unique(high[::-1], return_index=True)  # first from behind: the last of each bucket
    upto = np.sort(count - ends)
    lines: list[tuple[float, int]] = []
    level, place = 0.0, 0
    while place < upto.size:
        reached = int(upto[place])
        if 100.0 * reached / count >= level:
            lines.append((level, reached))
            if reached == count:
                break
            halvings = math.floor(math.log(100.0 / (100.0 - level)) / math.log(2)) + 1
            level += 100.0 / (TICKS_PER_HALF * 2**halvings)
        else:
            place += 1
    return [*lines, (100.0, count)]


def _buckets(highest_us: int) -> int:
    """Buckets that the reference would allocate."""
    buckets, reach = 1, SUB_BUCKETS
    while reach <= max(HIGHEST_US, highest_us):
        reach *= 2
        buckets += 1
    return buckets
