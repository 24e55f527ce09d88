"""One model for callers that come alone or in crowds: all cores on a lone picture, a picture per core else.

A single-threaded script wants its one picture soon; a server under load wants as many as it can get.
Two Removers serve both, and who comes is led to one of them. Must not know who calls, or why.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from qbg.remover import Remover

T = TypeVar("T")


class Elastic:
    """Two Removers of one model, made when they are first needed. Safe to use from many threads.

    Args:
        model: see `Remover`.
        workers: pictures worked on at once. None: one per CPU that this process may use.
        threads: of the inference of a lone picture. None: as many as `workers`.
        options: further arguments of `Remover`.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        workers: int | None = None,
        threads: int | None = None,
        **options: Any,
    ) -> None:
        from qbg import _native

        cpus = max(1, int(_native.system()["default_workers"]))
        self.workers = workers if workers is not None else cpus
        self._threads = threads if threads is not None else self.workers
        self._arguments: dict[str, Any] = {"model": model, **options}
        self._lock = threading.Lock()
        self._quick: Remover | None = None
        self._wide: Remover | None = None
        self._inside = 0
        self._making = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def quick(self) -> Remover:
        """For a picture that is alone."""
        if self._threads == 1:
            return self.wide
        with self._making:
            if self._quick is None:
                self._quick = Remover(workers=1, threads_per_worker=self._threads, **self._arguments)
            return self._quick

    @property
    def wide(self) -> Remover:
        """For pictures that come together."""
        with self._making:
            if self._wide is None:
                self._wide = Remover(workers=self.workers, **self._arguments)
            return self._wide

    def use(self, work: Callable[[Remover], T]) -> T:
        """What `work` makes of the Remover that suits the moment."""
        with self._lock:
            alone = self._inside == 0
            self._inside += 1
        try:
            return work(self.quick if alone else self.wide)
        finally:
            with self._lock:
                self._inside -= 1

    def close(self) -> None:
        """Frees both, after pictures in hand."""
        with self._making:
            for remover in (self._quick, self._wide):
                if remover is not None:
                    remover.close()
