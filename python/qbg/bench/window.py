"""From a run's samples to what the measured window holds: throughput, concurrency, times. Pure.

A sample is one picture: (worker, begin, end). The window begins when each worker has ended its warm-up
pictures and ends when no new picture is begun, or when the first worker finds none; before it workers
start up, after it they run dry, and neither says anything about a long run.

Throughput counts a picture that reaches over an edge of the window with its share inside, so that a
window of few pictures isn't rounded to whole ones. Mean concurrency is the pictures' time inside the
window over its length. The mean service time is that of the pictures that ended inside. The three are
taken apart from one another, so that Little's law can be checked between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WARM_UP_PICTURES = 2
"""Of each worker: the first makes its memory, the second finds it made."""

DONE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was seen in it.

    Attributes:
        start_s, end_s: since the batch began.
        warm_up_images: pictures that ended before it.
        images: pictures that ended in it.
        images_per_s, concurrency: see above.
        service_s, response_s: of the pictures that ended in it, in order of ending.
        stage_s: mean seconds by stage of the same pictures.
    """

    start_s: float
    end_s: float
    warm_up_images: int
    images: int
    images_per_s: float
    concurrency: float
    service_s: tuple[float, ...]
    response_s: tuple[float, ...]
    stage_s: dict[str, float]

    @property
    def length_s(self) -> float:
        """Seconds from start to end."""
        return self.end_s - self.start_s


def measure(
    samples: NDArray[np.void],
    *,
    workers: int,
    stop_s: float | None,
    warm_up: int = WARM_UP_PICTURES,
) -> Window | None:
    """The window of a run.

    Args:
        samples: one row per picture, in order of ending, as `qbg.batch.Batch.samples` gives them.
        workers: that took part.
        stop_s: when the run was told to begin no more; None: it ended by itself.
        warm_up: pictures of each worker that are left out.

    Returns:
        None if the window would be empty: the run was too short.
    """
    rows = samples[samples["status"] == DONE]
    if len(rows) == 0:
        return None
    worker = rows["worker"]
    begin, end = rows["begin_ns"] / 1e9, rows["end_ns"] / 1e9
    start_s = _warm(worker, end, workers, warm_up)
    if start_s is None:
        return None
    end_s = stop_s if stop_s is not None else _dry(worker, end, workers)
    if not end_s > start_s:
        return None
    inside = np.clip(np.minimum(end, end_s) - np.maximum(begin, start_s), 0.0, None)
    service = end - begin
    ended = (end > start_s) & (end <= end_s)
    length = end_s - start_s
    # A simulated picture may take no measurable time at all; then it counts whole, by its end.
    share = np.where(service > 0, inside / np.where(service > 0, service, 1.0), ended.astype(np.float64))
    arrival = rows["arrival_ns"] / 1e9
    open_loop = bool(np.any(arrival > 0))
    names = [name for name in rows.dtype.names or () if name.endswith("_ns") and name not in _CLOCKS]
    count = int(np.count_nonzero(ended))
    return Window(
        start_s=float(start_s),
        end_s=float(end_s),
        warm_up_images=int(np.count_nonzero(end <= start_s)),
        images=count,
        images_per_s=float(share.sum() / length),
        concurrency=float(inside.sum() / length),
        service_s=tuple(service[ended].tolist()),
        response_s=tuple((end - arrival)[ended].tolist()) if open_loop else (),
        stage_s={
            name.removesuffix("_ns"): float(rows[name][ended].mean() / 1e9) if count else 0.0
            for name in names
        },
    )


def asked_share(samples: NDArray[np.void], window: Window, asked_s: Sequence[Sequence[float]]) -> float:
    """Of the workers' time in the window of a simulation, the share that was waiting as it was asked for.

    The rest is what scheduler, ring and interpreter took, waking up late included: this is the efficiency
    that the waits' own scatter can't blur.

    Args:
        samples: of the whole run.
        window: of it.
        asked_s: by worker, the seconds that its calls were to wait, in their order, taken over and over.
    """
    asked = 0.0
    for worker, times in enumerate(asked_s):
        rows = samples[samples["worker"] == worker]
        begin, end = rows["begin_ns"] / 1e9, rows["end_ns"] / 1e9
        inside = np.clip(np.minimum(end, window.end_s) - np.maximum(begin, window.start_s), 0.0, None)
        wanted = np.resize(np.asarray(times), len(rows))
        asked += float((inside / (end - begin) * wanted).sum())
    return asked / (len(asked_s) * window.length_s)


_CLOCKS = {"arrival_ns", "begin_ns", "end_ns"}
"""Columns that are times of the clock, not of a stage."""


def _warm(worker: NDArray[Any], end: NDArray[Any], workers: int, warm_up: int) -> float | None:
    """When the last worker ended its last warm-up picture; None if one didn't get that far."""
    latest = 0.0
    for number in range(workers):
        ends = end[worker == number]
        if len(ends) < warm_up:
            return None
        if warm_up:
            latest = max(latest, float(np.sort(ends)[warm_up - 1]))
    return latest


def _dry(worker: NDArray[Any], end: NDArray[Any], workers: int) -> float:
    """When the first worker had ended its last picture, in a run that ended by itself."""
    return min(float(end[worker == number].max()) for number in range(workers))
