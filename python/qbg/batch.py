"""Drives one batch that the core works on: reports progress, cancels, and sums up.

Must not know how inputs are named on a command line, nor print. The core's own threads do the
work; this loop wakes a few times a second.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qbg.errors import QbgError
from qbg.summary import Failure, Progress, Summary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qbg._native import Run

POLL_S = 0.1
"""Ten looks a second: smooth for the eye, nothing for the interpreter."""


class Batch:
    """A running batch. Made by `Remover.start`; not meant to be made by hand."""

    def __init__(self, run: Run, facts: dict[str, Any]) -> None:
        self._run = run
        self._facts = facts
        self._began = time.monotonic()
        with _lock:
            _live.add(self)

    def cancel(self) -> None:
        """Asks the workers to stop after the image in hand. Returns at once; from any thread or signal."""
        self._run.cancel()

    def progress(self) -> Progress:
        """How far it is now."""
        done, skipped, failed, total = self._run.progress()
        seconds = time.monotonic() - self._began
        return Progress(done=done, skipped=skipped, failed=failed, total=total, seconds=seconds)

    def failures(self, start: int = 0) -> list[Failure]:
        """The failures so far, from the `start`-th on."""
        return [
            Failure(file=item.file, stage=item.stage, message=item.message, hint=item.hint)
            for item in self._run.failures(start)
        ]

    def wait(self, on_progress: Callable[[Progress], object] | None = None) -> Summary:
        """Waits for the end and sums up.

        Args:
            on_progress: called about ten times a second and once at the end, on this thread. What
                it raises cancels the batch and is raised here, as is KeyboardInterrupt.
        """
        try:
            while not self._run.poll(POLL_S):
                if on_progress is not None:
                    on_progress(self.progress())
            if on_progress is not None:
                on_progress(self.progress())
        except BaseException:
            self._run.cancel()
            while not self._run.poll(POLL_S):
                pass
            raise
        return self._summary()

    def samples(self, start: int = 0) -> NDArray[np.void]:
        """One row per finished image of a batch with a `trial`, in the order in which they ended.

        Args:
            start: rows from this one on.

        Returns:
            A structured array (N,), read-only, whose fields are the columns of
            `qbg._native.SAMPLE_COLUMNS` as uint64: times in nanoseconds since the batch began.

        Raises:
            RuntimeError: the batch isn't over.
            ValueError: it has no trial.
        """
        import numpy as np

        from qbg import _native

        columns = np.dtype([(name, np.uint64) for name in _native.SAMPLE_COLUMNS])
        return np.frombuffer(self._run.samples(start), columns)

    def _summary(self) -> Summary:
        from qbg import _native

        raw = self._run.summary()
        seconds = float(raw["seconds"])
        done = int(raw["done"])
        return Summary(
            images=int(raw["images"]),
            done=done,
            skipped=int(raw["skipped"]),
            failed=tuple(self.failures()),
            warnings=tuple(self._run.warnings()),
            cancelled=bool(raw["cancelled"]),
            stopped=raw["stopped"],
            seconds=seconds,
            images_per_s=done / seconds if seconds > 0 else 0.0,
            stage_seconds={name: float(value) for name, value in raw["stage_seconds"].items()},
            service_s={name: value / 1e9 for name, value in raw["service_ns"].items()} if done else {},
            steals={name: int(value) for name, value in raw["steals"].items()},
            idle_seconds=float(raw["idle_seconds"]),
            pixels=int(raw["pixels"]),
            bytes_in=int(raw["bytes_in"]),
            bytes_out=int(raw["bytes_out"]),
            peak_rss_bytes=_native.peak_rss_bytes(),
            workers=int(raw["workers"]),
            unpinned=int(raw["unpinned"]),
            **self._facts,
        )


_lock = threading.Lock()
_live: weakref.WeakSet[Batch] = weakref.WeakSet()
_lost: list[Batch] = []


def end_all() -> None:
    """Cancels every batch and waits for its workers: they hold thread states of the interpreter, which
    mustn't end before them."""
    while batches := _unfinished():
        for batch in batches:
            batch.cancel()
        for batch in batches:
            while not _over(batch):
                pass
            with _lock:
                _live.discard(batch)


def forget_all() -> None:
    """In a forked child, where no worker lives on. Batches are never freed there: that would wait for
    the workers."""
    global _lock
    _lock = threading.Lock()
    _lost.extend(_live)
    _live.clear()


def _unfinished() -> list[Batch]:
    with _lock:
        return list(_live)


def _over(batch: Batch) -> bool:
    try:
        return batch._run.poll(POLL_S)
    except QbgError:
        return True  # a fault of the engine, which `wait` would have raised


def native_path(path: str | bytes) -> str | bytes:
    """A path as the core takes it: text, or bytes where the name isn't valid UTF-8."""
    if isinstance(path, bytes):
        return path
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def native_paths(paths: Sequence[str | bytes]) -> list[str | bytes]:
    """`native_path` of each."""
    return [native_path(path) for path in paths]
