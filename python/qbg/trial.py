"""How a batch is run when it is measured rather than used: repeats, arrivals, and parts switched off.

Read once by the native side. Must not know who measures what. `Trial()` runs as `qbg remove` does.
"""

from __future__ import annotations

from dataclasses import dataclass

ROUND = "round-"
"""What the folders of later rounds are called, with the round's number behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A measured batch.

    Attributes:
        count: pictures in all: the inputs are taken again from the start until there are so many,
            and round n > 0 writes below OUT/round-n. None: each input once.
        keep_every: of the outputs only the first and each n-th after it stay; the others are removed
            once they have been written and renamed. 1: all stay. 0: none.
        arrivals_ns: open loop: when each picture arrives, nanoseconds after the start, ascending;
            as many as there are pictures. None: closed loop, a worker takes the next one at once.
        pixels: False: nothing is read, decoded or written; each job is one call of `infer`. For simulations.
        stealing: False: each worker has a fixed share of the pictures and takes nothing from others.
        lock_free: False: one locked queue in the place of the work-stealing deques.
        ring: False: a locked, growing list in the place of the bounded ring of records.
        reuse: False: a worker's scratch memory is given back after each picture and made anew.
        mmap: False: files are read into memory instead of mapped.
    """

    count: int | None = None
    keep_every: int = 1
    arrivals_ns: tuple[int, ...] | None = None
    pixels: bool = True
    stealing: bool = True
    lock_free: bool = True
    ring: bool = True
    reuse: bool = True
    mmap: bool = True
