"""A chunk of pictures on one node: read, cut out, write, tell. Must not know who hands chunks out."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from qbg.cluster.journal import DONE, FAILED
from qbg.cluster.places import Item, Place, Rows, explain
from qbg.remover import Remover


@dataclass(frozen=True, slots=True)
class Task:
    """The same for all nodes.

    Attributes:
        source, out: where pictures are and go.
        model: name or path, which each node must have.
        options: fields of `qbg.options.Options`.
    """

    source: Place
    out: Place
    model: str | None
    options: dict[str, Any]


class Worker:
    """A node's Remover, loaded once.

    Args:
        task: what is done.
        workers: pictures at once; the node's cores.
        node: the node's name, for the journal.
    """

    def __init__(self, task: Task, workers: int, node: str) -> None:
        self._task = task
        self._node = node
        self._remover = Remover(task.model, workers=workers, **task.options)
        # Twice as many as are worked on: half of them read and write meanwhile.
        self._threads = ThreadPoolExecutor(2 * self._remover.workers, thread_name_prefix="qbg-cluster")

    def work(self, chunk: list[Item], *, again: bool = False) -> Rows:
        """One row per picture. A picture that fails is a row too. `again`: another node was lost with it."""
        return list(self._threads.map(lambda item: self._one(item, again), chunk))

    def _one(self, item: Item, again: bool) -> dict[str, Any]:
        began = time.monotonic()
        row: dict[str, Any] = {
            "input": item.source,
            "output": item.name,
            "outcome": DONE,
            "stage": "",
            "message": "",
            "bytes_in": 0,
            "bytes_out": 0,
            "node": self._node,
        }
        try:
            data = self._task.source.read(item.source)
            row["bytes_in"] = len(data)
            made = self._remover.encoded(data)
            self._task.out.write(item.name, made, again=again)
            row["bytes_out"] = len(made)
        except Exception as error:  # noqa: BLE001  # one picture never stops a chunk
            row["outcome"] = FAILED
            row["stage"], row["message"] = explain(error)
        row["seconds"] = time.monotonic() - began
        return row
