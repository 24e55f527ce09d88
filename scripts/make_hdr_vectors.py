"""Writes tests/vectors/hdr: times in microseconds, and the `.hgrm` that the PyPI package hdrhistogram
makes of them.

Run with a Python that has hdrhistogram 0.10.8; no code of qbg takes part. Two departures from the
package, which differs from the reference for Java there: its steps between percentile levels don't round
the number of halvings down, and its StdDeviation isn't brought to the printed unit. Both are set right
here, in the open.
"""

from __future__ import annotations

import io
import json
import math
import random
import sys
from importlib.metadata import version
from pathlib import Path

from hdrh.histogram import HdrHistogram
from hdrh.iterators import PercentileIterator

ROOT = Path(__file__).parents[1] / "tests" / "vectors" / "hdr"
TO_MILLISECONDS = 1000.0


def step(self: PercentileIterator) -> None:
    """The reference's step: a whole number of halvings."""
    self.percentile_to_iterate_from = self.percentile_to_iterate_to
    gap = 100.0 - self.percentile_to_iterate_to
    if gap:
        halvings = math.floor(math.log(100.0 / gap) / math.log(2)) + 1
        self.percentile_to_iterate_to += 100.0 / (self.percentile_ticks_per_half_distance * 2**halvings)


def cases() -> dict[str, list[int]]:
    """Small, and each with a property of its own."""
    draw = random.Random(4)
    return {
        "one": [1650000],
        "equal": [20000] * 7,
        "edges": [1, 2, 2046, 2047, 2048, 2049, 4094, 4095, 4096, 4097, 1 << 20, (1 << 20) - 1],
        "spread": [round(1e6 * math.exp(draw.gauss(-2, 0.6))) for _ in range(300)],
        "tail": [15000 + draw.randrange(400) for _ in range(990)]
        + [draw.randrange(30000, 900000) for _ in range(10)],
        "hours": [3_500_000_000, 3_599_999_999, 60_000_000],
    }


def main() -> None:
    PercentileIterator.increment_iteration_level = step
    ROOT.mkdir(parents=True, exist_ok=True)
    values = cases()
    for name, times in values.items():
        histogram = HdrHistogram(1, 3_600_000_000, 3)
        for time in times:
            if not histogram.record_value(time):
                sys.exit(f"{name}: {time} is out of range")
        histogram_deviation = histogram.get_stddev
        histogram.get_stddev = lambda of=histogram_deviation: of() / TO_MILLISECONDS
        out = io.BytesIO()
        histogram.output_percentile_distribution(out, TO_MILLISECONDS, 5)
        (ROOT / f"{name}.hgrm").write_bytes(out.getvalue())
    (ROOT / "values_us.json").write_text(json.dumps(values, separators=(",", ":")) + "\n")
    print(f"hdrhistogram {version('hdrhistogram')}: {len(values)} cases")


if __name__ == "__main__":
    main()
