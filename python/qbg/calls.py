"""Counts calls into the core, so that the interpreter doesn't end while a daemon thread is inside one.

Such a thread would be torn down within native code, which aborts the process. Must not know what
the calls do.
"""

from __future__ import annotations

import threading
from types import TracebackType


class Calls:
    """A context manager around each call; `end` shuts the door and waits until all are out."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._inside = 0
        self._ended = False

    def __enter__(self) -> None:
        with self._change:
            if self._ended:
                raise RuntimeError("the interpreter is ending: no picture is begun any more")
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._change:
            self._inside -= 1
            self._change.notify_all()

    def end(self) -> None:
        """No call begins any more."""
        with self._change:
            self._ended = True

    def wait(self) -> None:
        """Until no call is under way."""
        with self._change:
            self._change.wait_for(lambda: self._inside == 0)
