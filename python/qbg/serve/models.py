"""The models of one server, each loaded when it is first asked for. Must not know HTTP."""

from __future__ import annotations

import threading

from qbg.elastic import Elastic
from qbg.serve.problems import ProblemError
from qbg.serve.settings import Settings


class Models:
    """By name. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, Elastic] = {}
        self._lock = threading.Lock()
        self.names = settings.models
        self.default = settings.models[0]
        self.workers = self.get(self.default).workers

    def warm(self) -> tuple[str, ...]:
        """Loads the default for both kinds of callers; lines that the operator should see."""
        elastic = self.get(self.default)
        return tuple(dict.fromkeys((*elastic.quick.notes, *elastic.wide.notes)))

    def get(self, name: str | None) -> Elastic:
        """A served model; None: the default.

        Raises:
            ProblemError: it isn't served.
        """
        name = self.default if name is None else name
        if name not in self.names:
            raise ProblemError(
                400, "model", f"no model `{name}` here", hint=f"there are: {', '.join(self.names)}"
            )
        settings = self._settings
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = Elastic(
                    name,
                    workers=settings.workers,
                    max_pixels=settings.max_pixels,
                    max_memory=settings.max_memory,
                )
            return self._loaded[name]

    def close(self) -> None:
        """Frees all."""
        with self._lock:
            for elastic in self._loaded.values():
                elastic.close()
