"""Engines without a network: what harness and pipeline cost by themselves.

`null` writes an ellipse into the output once and then does nothing. `simulated` also sleeps, which
gives up the core as no real network does: it shows scheduling, not memory or cache behavior.
Must not know any framework.
"""

from __future__ import annotations

import functools
import itertools
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qbg.network import Network

if TYPE_CHECKING:
    from qbg._native import Slot
    from qbg.engine.base import Infer

INSIDE, OUTSIDE = 8.0, -8.0
"""Read as logits, these are 0.9997 and 0.0003; read as levels, they are clipped to 1 and 0."""


class SimulatedEngine:
    """Gives a centered ellipse for every picture.

    Args:
        network: whose shapes it imitates.
        seconds: that each call sleeps; None for not even that.
        times: seconds that the calls sleep instead, each worker taking all of them in an order of its
            own, the same in every run, over and over.
    """

    def __init__(self, network: Network, *, seconds: float | None, times: tuple[float, ...] = ()) -> None:
        for each in (*times, seconds):
            if each is not None and not 0.0 <= each <= 3600.0:
                raise ValueError(f"a simulated inference takes 0 to 3600 seconds, not {each}")
        self._network = network
        self._seconds = seconds
        self._times = times

    @property
    def name(self) -> str:
        return "null" if self._seconds is None else f"simulated:{self._seconds:g}"

    @property
    def precision(self) -> str:
        return "none"

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return self._network.input_shape

    @property
    def output_shape(self) -> tuple[int, int, int]:
        return self._network.output_shape

    def make_worker(self, slot: Slot) -> Infer:
        """Fills the output once where its size is fixed; a dynamic slot is filled at each new size."""
        wait = self._wait(slot.index)
        if slot.dynamic:
            return _Dynamic(slot, wait)
        _channels, height, width = slot.output.shape[-3:]
        _ellipse(slot, height, width)
        return wait

    def _wait(self, worker: int) -> Callable[[], None]:
        if not self._times:
            return _nothing if self._seconds is None else functools.partial(time.sleep, self._seconds)
        following = itertools.cycle(order(self._times, worker)).__next__
        sleep = time.sleep

        def wait() -> None:
            sleep(following())

        return wait

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "precision": self.precision, "seconds": self._seconds}


def order(times: tuple[float, ...], worker: int) -> list[float]:
    """The times in the order in which that worker sleeps them."""
    own = list(times)
    random.Random(worker).shuffle(own)  # noqa: S311  # no secret
    return own


class _Dynamic:
    def __init__(self, slot: Slot, wait: Callable[[], None]) -> None:
        self._slot = slot
        self._wait = wait
        self._size: tuple[int, int] | None = None

    def __call__(self, height: int, width: int) -> None:
        if self._size != (height, width):
            _ellipse(self._slot, height, width)
            self._size = (height, width)
        self._wait()


def _nothing() -> None:
    """The null engine's infer."""


def _ellipse(slot: Slot, height: int, width: int) -> None:
    import numpy as np

    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height - 0.5
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width - 0.5
    plane = np.where((x / 0.35) ** 2 + (y / 0.45) ** 2 <= 1.0, INSIDE, OUTSIDE).astype(np.float32)
    memory = np.asarray(slot.output)
    channels = memory.shape[1]
    # A smaller picture uses the front of the memory: NCHW without gaps.
    memory.reshape(-1)[: channels * height * width] = np.tile(plane.reshape(-1), channels)
