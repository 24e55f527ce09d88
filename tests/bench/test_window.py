"""The measured window against runs whose truth is known, and against a naive count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbg.bench.window import asked_share, measure

COLUMNS = (
    "index",
    "worker",
    "arrival_ns",
    "begin_ns",
    "end_ns",
    "status",
    "pixels",
    "bytes_in",
    "bytes_out",
    "decode_ns",
    "infer_ns",
)
SECOND = 1_000_000_000


def rows(pictures: list[tuple[int, int, int]], *, status: int = 0, arrival: int = 0) -> np.ndarray:
    """Samples from (worker, begin_ns, end_ns), a quarter of each picture's time in `decode`."""
    table = [
        [number, worker, arrival, begin, end, status, 1, 1, 1, (end - begin) // 4, (end - begin) * 3 // 4]
        for number, (worker, begin, end) in enumerate(sorted(pictures, key=lambda one: one[2]))
    ]
    types = np.dtype([(name, np.uint64) for name in COLUMNS])
    return np.array([tuple(row) for row in table], types)


def steady(workers: int, service_ns: int, pictures: int, *, shift_ns: int = 0) -> list[tuple[int, int, int]]:
    """Each worker does its pictures back to back, worker n beginning n shifts later."""
    return [
        (worker, worker * shift_ns + turn * service_ns, worker * shift_ns + (turn + 1) * service_ns)
        for worker in range(workers)
        for turn in range(pictures)
    ]


@given(
    workers=st.integers(1, 8),
    service_ms=st.integers(1, 500),
    pictures=st.integers(4, 30),
    shift_ms=st.integers(0, 20),
    cut=st.floats(0.3, 1.0),
)
def test_a_steady_run_gives_its_rate_wherever_it_is_cut(
    workers: int, service_ms: int, pictures: int, shift_ms: int, cut: float
) -> None:
    service_ns = service_ms * 1_000_000
    shift_ns = min(shift_ms * 1_000_000, service_ns // workers)
    samples = rows(steady(workers, service_ns, pictures, shift_ns=shift_ns))
    first_dry_s = pictures * service_ns / SECOND
    warm_s = (2 * service_ns + (workers - 1) * shift_ns) / SECOND
    stop_s = warm_s + cut * (first_dry_s - warm_s)
    seen = measure(samples, workers=workers, stop_s=stop_s)
    assert seen is not None
    assert seen.images_per_s == pytest.approx(workers * SECOND / service_ns, rel=1e-6)
    assert seen.concurrency == pytest.approx(workers, rel=1e-6)
    assert seen.start_s == pytest.approx(warm_s)
    # Little's law, with a mean service time that comes from elsewhere.
    if seen.images:
        mean_s = sum(seen.service_s) / len(seen.service_s)
        assert seen.images_per_s * mean_s == pytest.approx(seen.concurrency, rel=1e-6)
        assert sum(seen.stage_s.values()) == pytest.approx(mean_s, rel=1e-6)


def test_a_run_that_ends_by_itself_ends_with_the_first_idle_worker() -> None:
    pictures = [*steady(2, SECOND, 10), (0, 10 * SECOND, 11 * SECOND), (0, 11 * SECOND, 12 * SECOND)]
    seen = measure(rows(pictures), workers=2, stop_s=None)
    assert seen is not None
    assert (seen.start_s, seen.end_s, seen.warm_up_images, seen.images) == (2.0, 10.0, 4, 16)
    assert seen.images_per_s == pytest.approx(2.0)


def test_idle_time_between_pictures_lowers_rate_and_concurrency_alike() -> None:
    pictures = [(0, turn * 2 * SECOND, (turn * 2 + 1) * SECOND) for turn in range(10)]
    seen = measure(rows(pictures), workers=1, stop_s=17.0)
    assert seen is not None
    # From the end of the second picture (3 s) on: 7 pictures of a second each in 14 s.
    assert (seen.images_per_s, seen.concurrency) == (pytest.approx(0.5), pytest.approx(0.5))


def test_failures_and_response_times() -> None:
    good, bad = rows(steady(1, SECOND, 6)), rows([(0, 100, 200)], status=2)
    good["arrival_ns"] = np.arange(6) * SECOND // 2 + 1
    seen = measure(np.concatenate([bad, good]), workers=1, stop_s=None)
    assert seen is not None
    assert seen.images == 4
    assert seen.response_s[0] == pytest.approx(3.0 - 1.0)
    assert seen.response_s[-1] == pytest.approx(6.0 - 2.5)


@pytest.mark.parametrize(
    ("pictures", "workers", "stop_s"),
    [
        ([], 1, None),
        (steady(1, SECOND, 1), 1, None),
        (steady(1, SECOND, 9), 2, None),
        (steady(1, 9, 9), 1, 0.0),
    ],
    ids=["nothing", "only warm-up", "a worker without pictures", "stopped before"],
)
def test_too_short_a_run_gives_no_window(
    pictures: list[tuple[int, int, int]], workers: int, stop_s: float | None
) -> None:
    assert measure(rows(pictures), workers=workers, stop_s=stop_s) is None


@given(late_ms=st.integers(0, 100), pictures=st.integers(4, 20))
def test_the_asked_share_is_what_waiting_leaves_for_others(late_ms: int, pictures: int) -> None:
    """Two workers ask for 1 s and 2 s in turn, and each call takes some milliseconds longer."""
    asked, runs = [(1.0, 2.0), (2.0, 1.0)], []
    for worker, times in enumerate(asked):
        at = 0
        for turn in range(pictures):
            length = int(times[turn % 2] * SECOND) + late_ms * 1_000_000
            runs.append((worker, at, at + length))
            at += length
    samples = rows(runs)
    seen = measure(samples, workers=2, stop_s=None)
    assert seen is not None
    wanted = sum(
        max(0.0, min(end / SECOND, seen.end_s) - max(begin / SECOND, seen.start_s))
        * (1 - late_ms / 1000 / ((end - begin) / SECOND))
        for _worker, begin, end in runs
    )
    assert asked_share(samples, seen, asked) == pytest.approx(wanted / (2 * seen.length_s))
    if late_ms == 0:
        assert asked_share(samples, seen, asked) == pytest.approx(1.0)
