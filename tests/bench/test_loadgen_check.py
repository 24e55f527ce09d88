"""The cross-check's own arithmetic, on times that are worked out by hand. LoadGen itself isn't needed."""

from __future__ import annotations

import importlib
import json
import sys
from types import ModuleType

import pytest

from conftest import ROOT


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benches")
    return importlib.import_module("loadgen_check")


def test_it_says_what_is_missing_and_skips(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    monkeypatch.setattr(sys, "argv", ["loadgen_check.py"])
    assert check.main() == 0
    assert "pip install mlcommons-loadgen" in capsys.readouterr().out


def test_our_figures(check: ModuleType) -> None:
    second = 1_000_000_000
    # Picture n = 1 .. 100 comes at n / 10 s and takes n s: the first comes at 0.1 s, the last ends at 110 s.
    times = [(n * second // 10, n * second // 10 + n * second) for n in range(1, 101)]
    found = check.figures(times, "Offline")
    assert found.per_s == pytest.approx(100 / 109.9)
    assert check.figures(times, "Server").per_s == pytest.approx(99 / 109.9)
    assert found.latency_s == pytest.approx({"p50": 50, "p90": 90, "p95": 95, "p99": 99, "mean": 50.5})


def test_arrivals_are_the_schedule_in_our_clock(check: ModuleType) -> None:
    line = '{"name":"Sample","cat":"default","ph":"b","pid":1,"id":0,"ts":%s,"args":{"sample_seq":%d,"a":0}},'
    # Lines come in order of ending. Due at 100, 350 and 900 us; they came at 7, 2 and 30 us after that.
    trace = "\n".join([line % ("350.000", 1), line % ("100.000", 0), line % ("900.000", 2), "{}"])
    issued = [5_000_000 + 1000 * (due + late) for due, late in ((100, 7), (350, 2), (900, 30))]
    assert check.intended_ns(issued, trace) == [5_000_000 + 1000 * (due + 2) for due in (100, 350, 900)]


def test_loadgens_figures_from_its_log(check: ModuleType) -> None:
    values = {f"result_{p:.2f}_percentile_latency_ns": p * 1_000_000 for p in check.PERCENTILES}
    values |= {"result_mean_latency_ns": 7_000_000, "result_samples_per_second": 12.5}
    values |= {"result_completed_samples_per_sec": 11.0, "sut_name": "PySUT"}
    log = "\n".join(f":::MLLOG {json.dumps({'key': key, 'value': value})}" for key, value in values.items())
    found = check.loadgen_figures(f"{log}\nother text\n", "Offline")
    assert found.per_s == 12.5
    assert found.latency_s == pytest.approx(
        {"p50": 0.05, "p90": 0.09, "p95": 0.095, "p99": 0.099, "mean": 0.007}
    )
    assert check.loadgen_figures(log, "Server").per_s == 11
    with pytest.raises(KeyError):
        check.loadgen_figures("", "Server")


def test_rows_disagree_beyond_three_percent(check: ModuleType) -> None:
    theirs = check.Figures(100, {"p50": 1.0, "p99": 1.0})
    rows = check.compared(theirs, check.Figures(97.1, {"p50": 1.029, "p99": 1.031}))
    assert [row["agrees"] for row in rows] == [True, True, False]
