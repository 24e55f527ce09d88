"""Counts and times for Prometheus. Must not know what is counted for whom."""

from __future__ import annotations

from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Of one server; each has a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series each that nobody reads
        self.registry = CollectorRegistry()
        here: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("qbg_requests", "Answered requests.", ["route", "status"], **here)
        self.seconds = Histogram(
            "qbg_request_seconds", "From head to answer.", ["route"], buckets=BUCKETS_S, **here
        )
        self.rejects = Counter("qbg_rejects", "Requests that were turned away.", ["reason"], **here)
        self.pictures = Counter("qbg_pictures", "Pictures that were worked on.", ["outcome"], **here)
        self.stage_seconds = Counter(
            "qbg_stage_seconds", "Time by stage, over all workers.", ["stage"], **here
        )
        self.wait_seconds = Histogram(
            "qbg_queue_seconds", "From a place in the queue to a worker.", buckets=BUCKETS_S, **here
        )
        self.waiting = Gauge("qbg_queue_pictures", "Pictures that have a place and no worker yet.", **here)
        self.working = Gauge("qbg_working_pictures", "Pictures that a worker has in hand.", **here)
        self.workers = Gauge("qbg_workers", "Pictures that can be worked on at once.", **here)
        self.bytes = Counter("qbg_bytes", "Of pictures, in and out.", ["direction"], **here)
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """In Prometheus' format."""
        return generate_latest(self.registry)
