"""Runs a batch in front of a person: signals, progress, the end's report, the exit code.

The first Ctrl-C (or SIGTERM) lets each worker finish or drop its image; the second leaves at once.
Must not know how inputs were named.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from qbg.batch import Batch
from qbg.cli import INTERRUPTED, STOPS, leave
from qbg.cli.exits import DONE, SOME_FAILED
from qbg.report.console import Console
from qbg.summary import Progress, Summary

STOPPING = "stopping: the images in hand are being finished; once more leaves at once"


class Stop:
    """Whether somebody asked to stop."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler. It prints nothing: it may have interrupted the printing."""
        if self.asked:
            leave()
        self.asked = True
        self._batch.cancel()


def run_batch(batch: Batch, console: Console) -> tuple[Summary, int]:
    """Waits for the batch and reports it."""
    told = False

    with _handling(batch) as stop:

        def look(now: Progress) -> None:
            nonlocal told
            if stop.asked and not told:
                told = True
                console.say(STOPPING)
            console.progress(now)

        try:
            summary = batch.wait(look)
        finally:
            console.close()
    console.summary(summary)
    return summary, _exit_code(summary, stop.asked)


def _exit_code(summary: Summary, stopped: bool) -> int:
    if stopped:
        return INTERRUPTED
    return SOME_FAILED if summary.failed or summary.stopped else DONE


@contextmanager
def _handling(batch: Batch) -> Iterator[Stop]:
    stop = Stop(batch)
    before = [signal.signal(number, stop) for number in STOPS]
    try:
        yield stop
    finally:
        for number, handler in zip(STOPS, before, strict=True):
            signal.signal(number, handler)
