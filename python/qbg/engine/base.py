"""What an engine is: something that makes one worker's `infer` for the worker's own tensors.

Must not know any framework, any model's meaning, or what happens before and after the network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from qbg._native import Slot

Infer = Callable[..., None]
"""Called with nothing, or with (height, width) of the filled tensor when the slot is dynamic."""


class Engine(Protocol):
    """Runs one network on many workers."""

    @property
    def name(self) -> str:
        """As in `--engine`."""

    @property
    def precision(self) -> str:
        """Of the arithmetic, as in `fp32`."""

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(1, 3, H, W); 0 where the size is open."""

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(C, h, w); h = w = 0 where the size is the input's."""

    def make_worker(self, slot: Slot) -> Infer:
        """The callable of one worker. Called once per worker, on the worker's own pinned thread.

        Raises:
            ModelError: the network can't be loaded.
            EngineError: the engine can't run it.
        """

    def describe(self) -> dict[str, Any]:
        """Facts for `doctor` and records: version, threads, sessions."""
