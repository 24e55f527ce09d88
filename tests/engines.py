"""What engines see of the core, with memory of NumPy's, and the facts of the quick network. For tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qbg.network import Network

SIDE = 32


class Tensor:
    """What an engine sees of the core's tensor."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.memory = np.zeros(shape, np.float32)
        self.shape = shape
        self.address = self.memory.ctypes.data
        self.__array_interface__ = self.memory.__array_interface__


class Slot:
    """What an engine sees of a worker."""

    def __init__(self, side: int = SIDE, *, dynamic: bool = False, node: int | None = None) -> None:
        self.index = 0
        self.node = node
        self.input = Tensor((1, 3, side, side))
        self.output = Tensor((1, 1, side, side))
        self.dynamic = dynamic


def facts(path: Path | str = "unused", side: int = SIDE, precision: str = "fp32") -> Network:
    """Of `graphs.brightness`; `side` 0 where the size is open."""
    return Network(
        path=str(path),
        digest="",
        input_name="input",
        input_shape=(1, 3, side, side),
        output_name="alpha",
        output_shape=(1, side, side),
        precision=precision,
    )


def brightness(pixels: np.ndarray) -> np.ndarray:
    """What the quick network gives for (1, 3, h, w)."""
    return 1 / (1 + np.exp(-pixels.mean(axis=1, keepdims=True)))
