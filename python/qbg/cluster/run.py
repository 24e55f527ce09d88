"""From an input to a whole output on a cluster: discover, pass over what is done, hand out, keep the journal.

Must not know the command line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from qbg.cluster.fleet import Fleet
from qbg.cluster.journal import DONE, Journal
from qbg.cluster.places import Item, Place, discover
from qbg.cluster.worker import Task
from qbg.options import Options
from qbg.remover import Remover

EXTENSIONS = {"jpeg": "jpg", "tiff": "tif"}
FAILURES_KEPT = 10_000


@dataclass(slots=True)
class ClusterSummary:
    """What became of a run.

    Attributes:
        images: pictures that were found.
        done, skipped, failed: of them.
        lost_chunks: how often a chunk was begun anew because its node was lost.
        seconds: of the driver's clock, from connecting on.
        images_per_s: done ones over `seconds`.
        nodes: that had a worker at the end.
        failures: (input, stage, message), the first `FAILURES_KEPT`.
    """

    images: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    lost_chunks: int = 0
    seconds: float = 0.0
    images_per_s: float = 0.0
    nodes: int = 0
    failures: list[tuple[str, str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def run(
    source: str,
    out: str,
    *,
    model: str | None = None,
    options: Options | None = None,
    workers: int | None = None,
    chunk: int = 64,
    resume: bool = True,
    say: Callable[[str], None] = lambda line: None,
    on_progress: Callable[[ClusterSummary], object] | None = None,
) -> ClusterSummary:
    """Cuts out everything in `source` on the Ray cluster that this process is connected to.

    Args:
        source: a folder, or a manifest (Parquet or lines), as a path or an address.
        out: a folder, as a path or an address; `_qbg_journal` in it keeps what is done.
        model: name or path; each node must have it.
        options: of each picture. `background_image` must lie on each node.
        workers: pictures at once on each node. None: its CPUs.
        chunk: pictures that a node gets at once, and loses at once.
        resume: pass over what the journal says is done with the same model and options.
        say: told a line now and then.
        on_progress: called after each chunk.

    Raises:
        InputNotFoundError: there is no such source. ModelError, EngineError: see `Fleet.run`.
        OutputError: the journal can't be written.
    """
    chosen = options if options is not None else Options()
    changed = asdict(chosen)
    # The driver's own Remover says what outputs are made of, and that the model can be run at all.
    with Remover(model, workers=1, **changed) as remover:
        digest = remover.digest()
    task = Task(Place(source), Place(out), model, changed)
    journal = Journal(task.out, digest)
    known = journal.done()
    found = ClusterSummary()
    began = time.monotonic()

    def fresh() -> Iterator[Item]:
        for item in discover(task.source, EXTENSIONS.get(chosen.format, chosen.format), known):
            found.images += 1
            if resume and item.source in known:
                found.skipped += 1
            else:
                yield item

    items = fresh()
    chunks = iter(lambda: list(islice(items, chunk)), [])
    fleet = Fleet(task, workers, say)
    try:
        for rows, losses in fleet.run(chunks):
            journal.add(rows)
            found.lost_chunks += losses
            for row in rows:
                if row["outcome"] == DONE:
                    found.done += 1
                    continue
                found.failed += 1
                if len(found.failures) < FAILURES_KEPT:
                    found.failures.append((row["input"], row["stage"], row["message"]))
            found.seconds = time.monotonic() - began
            if on_progress is not None:
                on_progress(found)
    finally:
        # Also after Ctrl-C: what is done stays done.
        journal.flush()
        found.nodes = fleet.nodes
        fleet.close()
    found.seconds = time.monotonic() - began
    found.images_per_s = found.done / found.seconds if found.seconds > 0 else 0.0
    return found
