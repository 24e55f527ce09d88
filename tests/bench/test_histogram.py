"""The `.hgrm` text against that of the PyPI package hdrhistogram (tests/vectors/hdr), and its properties."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT
from qbg.bench.histogram import hdr_log

VECTORS = ROOT / "tests" / "vectors" / "hdr"
VALUES: dict[str, list[int]] = json.loads((VECTORS / "values_us.json").read_text())


@pytest.mark.parametrize("name", VALUES)
def test_same_text_as_the_package(name: str) -> None:
    ours = hdr_log([value / 1e6 for value in VALUES[name]]).splitlines()
    theirs = (VECTORS / f"{name}.hgrm").read_text().splitlines()
    # The package prints the count as `TotalCount = 7.000`; the reference's form is ours.
    assert theirs[-2].split(",")[0] == ours[-2].split(",")[0]
    assert ours[-2].endswith(f"Total count    = {len(VALUES[name]):12d}]")
    del ours[-2], theirs[-2]
    assert ours == theirs


def rows(text: str) -> list[tuple[float, float, int]]:
    """(value in ms, percentile, count) of each line, as a plotter reads them."""
    lines = [line.split() for line in text.splitlines()[1:] if line and not line.startswith("#")]
    return [(float(line[0]), float(line[1]), int(line[2])) for line in lines]


@given(st.lists(st.floats(min_value=0, max_value=7200, allow_nan=False), min_size=1, max_size=200))
def test_each_line_bounds_the_samples_it_counts(values: list[float]) -> None:
    table = rows(hdr_log(values))
    ordered = sorted(round(value * 1e6) / 1e3 for value in values)
    for value, percentile, count in table:
        inside = ordered[count - 1]
        assert inside <= value + 1e-9
        assert value <= inside * 1.001 + 0.0011
        assert count >= math.floor(percentile * len(values) - 1e-6)
        assert count == len(values) or ordered[count] > value
    assert table[-1][1:] == (1.0, len(values))
    assert [row[1] for row in table] == sorted({row[1] for row in table})


@pytest.mark.parametrize("bad", [[], [-1e-6], [math.nan], [math.inf]])
def test_refuses(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"needs a value|negative or not finite"):
        hdr_log(bad)
