"""The queue in front of the workers: a bounded number of places, a deadline each, and no work for a
client that has left. Must not know HTTP beyond that, nor what a picture is."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from qbg.serve.problems import ClientLeftError, ProblemError

if TYPE_CHECKING:
    from qbg.serve.metrics import Metrics

T = TypeVar("T")

LONGEST_TURN_S = 30.0
"""Nobody is told to come again later than that."""

SMOOTHING = 0.1
"""Of the mean time of a picture: about the last ten count."""


class Desk:
    """Hands work to threads. One per server; used from its event loop only.

    Args:
        workers: that work at once.
        queue: places for work that waits.
        deadline_s: from `admit` to the result.
        metrics: where it is counted.
    """

    def __init__(self, workers: int, queue: int, deadline_s: float, metrics: Metrics) -> None:
        self.workers = workers
        self._places = workers + queue
        self._deadline_s = deadline_s
        self._metrics = metrics
        self._taken = 0
        self._mean_s = 0.5
        self._next_turn = 0.0
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="qbg-serve")
        metrics.workers.set(workers)

    def admit(self, *, many: bool = False) -> Place:
        """A place, before anything is read of the request.

        Args:
            many: the deadline is each picture's, not the request's.

        Raises:
            ProblemError: all are taken; Retry-After says when about there will be one.
        """
        if self._taken >= self._places:
            self._metrics.rejects.labels("queue full").inc()
            wait_s = self._come_again()
            raise ProblemError(
                429,
                "busy",
                f"{self._taken} requests are here already",
                hint=f"come again in {wait_s} s",
                Retry_After=str(wait_s),
            )
        self._taken += 1
        return Place(self, self._deadline_s, many=many)

    def close(self) -> None:
        """Work that hasn't begun is dropped; what is in hand is finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _come_again(self) -> int:
        """Seconds. Who is turned away gets the next turn behind all who were told one, at the pace of the
        workers, so that a crowd doesn't come back at once to be turned away again.
        """
        now = time.monotonic()
        pace_s = self._mean_s / self.workers
        self._next_turn = max(self._next_turn, now + pace_s * (self._places - self.workers)) + pace_s
        # Who has given up in the meantime mustn't make others wait for ever.
        self._next_turn = min(self._next_turn, now + LONGEST_TURN_S)
        return max(1, math.ceil(self._next_turn - now))

    def _leave(self) -> None:
        self._taken -= 1

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        metrics = self._metrics
        came = time.monotonic()

        def timed() -> T:
            began = time.monotonic()
            metrics.waiting.dec()
            metrics.wait_seconds.observe(began - came)
            with metrics.working.track_inprogress():
                try:
                    return work()
                finally:
                    self._mean_s += SMOOTHING * (time.monotonic() - began - self._mean_s)

        metrics.waiting.inc()
        future = self._threads.submit(timed)
        future.add_done_callback(lambda done: metrics.waiting.dec() if done.cancelled() else None)
        return future


class Place:
    """One request's place. A context manager; work that can't be stopped keeps it until it is done."""

    def __init__(self, desk: Desk, deadline_s: float, *, many: bool) -> None:
        self._desk = desk
        self._deadline_s = deadline_s
        self._end = None if many else time.monotonic() + deadline_s
        self._running: set[Future[Any]] = set()
        self._left = False
        self._given_back = False

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self._left = True
        self._give_back()

    @property
    def rest_s(self) -> float:
        """Until the deadline; not below 0."""
        return self._deadline_s if self._end is None else max(0.0, self._end - time.monotonic())

    async def run(self, work: Callable[[], T], gone: Awaitable[object] | None = None) -> T:
        """The result of `work`, done by a worker's thread.

        Args:
            work: one picture.
            gone: completes when the client leaves.

        Raises:
            ProblemError: the deadline has passed. ClientLeftError: it has left. Else what `work` raises.
        """
        loop = asyncio.get_running_loop()
        future = self._desk._submit(work)
        self._running.add(future)
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._done, done))
        result = asyncio.wrap_future(future)
        waiters: set[asyncio.Future[Any]] = {result}
        if gone is not None:
            waiters.add(asyncio.ensure_future(gone))
        try:
            done, _ = await asyncio.wait(waiters, timeout=self.rest_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            future.cancel()
            raise
        if result in done:
            return result.result()
        future.cancel()
        result.cancel()
        metrics = self._desk._metrics
        if done:
            metrics.rejects.labels("client left").inc()
            raise ClientLeftError
        metrics.rejects.labels("deadline").inc()
        raise ProblemError(
            504, "deadline", f"not done within {self._deadline_s:g} s", hint="send fewer at once"
        )

    def _done(self, future: Future[Any]) -> None:
        self._running.discard(future)
        if self._left:
            self._give_back()

    def _give_back(self) -> None:
        if self._left and not self._running and not self._given_back:
            self._given_back = True
            self._desk._leave()
