"""One worker per node of a Ray cluster; chunks handed out, and taken back from nodes that are lost.

A node that joins gets a worker, one that goes loses its own. A chunk whose worker died goes to another one,
from its beginning. Must not know what a chunk's work is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from qbg.cluster.places import Item, Rows
from qbg.cluster.worker import Task, Worker
from qbg.errors import EngineError, QbgError

LOOK_S = 2.0
"""Between two looks at the cluster's nodes."""

AHEAD = 2
"""Chunks that a worker has at once, so that it never waits for the driver."""

MOST_LOSSES = 5
"""Of one chunk. A chunk that kills every worker it meets is told as failed."""

PATIENCE_S = 60.0
"""Without any node that works."""


@dataclass(slots=True)
class Chunk:
    """Pictures that are handed out together."""

    items: list[Item]
    losses: int = 0


@dataclass(slots=True)
class Member:
    """A node and its worker."""

    node: str
    actor: Any
    chunks: int = 0


class Fleet:
    """Runs chunks on all nodes of the cluster that this process is connected to.

    Args:
        task: what is done.
        workers: pictures at once on each node. None: its CPUs.
        say: told a line when nodes come and go.
    """

    def __init__(self, task: Task, workers: int | None, say: Callable[[str], None]) -> None:
        import ray

        self._ray = ray
        self._task = task
        self._workers = workers
        self._say = say
        self._members: dict[str, Member] = {}
        self._waiting: dict[Any, tuple[Member, Chunk]] = {}
        self._lost: deque[Chunk] = deque()
        self._looked = 0.0
        self._alive = time.monotonic()

    @property
    def nodes(self) -> int:
        """Nodes that have a worker now."""
        return len(self._members)

    def run(self, chunks: Iterator[list[Item]]) -> Iterator[tuple[Rows, int]]:
        """Each chunk's rows, and how often it was lost, as chunks get done.

        Raises:
            QbgError: a worker can't be made, as when the model isn't on its node.
            EngineError: there is no node left, and none has come for a while.
        """
        more = True
        while more or self._lost or self._waiting:
            self._look()
            for member in sorted(self._members.values(), key=lambda member: member.chunks):
                while member.chunks < AHEAD and (self._lost or more):
                    chunk = self._lost.popleft() if self._lost else None
                    if chunk is None:
                        items = next(chunks, None)
                        if items is None:
                            more = False
                            break
                        chunk = Chunk(items)
                    self._give(member, chunk)
            if not self._waiting:
                if not self._members and time.monotonic() - self._alive > PATIENCE_S:
                    raise EngineError(f"no node has worked for {PATIENCE_S:.0f} s", stage="engine")
                time.sleep(0.2 if self._lost or more else 0)
                continue
            ready, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=LOOK_S)
            for reference in ready:
                yield from self._take(reference)

    def close(self) -> None:
        """Lets all workers go."""
        for member in self._members.values():
            self._ray.kill(member.actor)
        self._members.clear()

    def _give(self, member: Member, chunk: Chunk) -> None:
        member.chunks += 1
        begun = member.actor.work.remote(chunk.items, again=chunk.losses > 0)
        self._waiting[begun] = (member, chunk)

    def _take(self, reference: Any) -> Iterator[tuple[Rows, int]]:
        member, chunk = self._waiting.pop(reference)
        member.chunks -= 1
        try:
            rows: Rows = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise (cause if isinstance(cause, QbgError) else error) from None
        except self._ray.exceptions.RayError as error:
            self._drop(member, error)
            chunk.losses += 1
            if chunk.losses < MOST_LOSSES:
                self._lost.append(chunk)
                return
            yield [_given_up(item, chunk.losses) for item in chunk.items], chunk.losses
            return
        self._alive = time.monotonic()
        yield rows, chunk.losses

    def _drop(self, member: Member, error: Exception) -> None:
        if self._members.get(member.node) is not member:
            return
        del self._members[member.node]
        init = getattr(error, "cause", None)
        if isinstance(init, QbgError):
            raise init
        self._say(f"node {member.node} is lost: {len(self._members)} left; its pictures go to others")

    def _look(self) -> None:
        """Workers for nodes that are new. Lost nodes are noticed by what they don't answer."""
        now = time.monotonic()
        if self._members and now - self._looked < LOOK_S:
            return
        self._looked = now
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for node in self._ray.nodes():
            name, cpus = node["NodeID"], int(node["Resources"].get("CPU", 0))
            if not node["Alive"] or cpus < 1 or name in self._members:
                continue
            actor = (
                self._ray.remote(Worker)
                .options(
                    num_cpus=cpus,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(name, soft=False),
                    max_restarts=0,
                    max_concurrency=AHEAD,
                )
                .remote(self._task, self._workers or cpus, name[:12])
            )
            self._members[name] = Member(name, actor)
            self._say(f"node {name[:12]} with {cpus} CPUs: {len(self._members)} now")


def _given_up(item: Item, losses: int) -> dict[str, Any]:
    return {
        "input": item.source,
        "output": item.name,
        "outcome": "failed",
        "stage": "engine",
        "message": f"{losses} nodes were lost while they had its chunk in hand",
        "bytes_in": 0,
        "bytes_out": 0,
        "seconds": 0.0,
        "node": "",
    }
