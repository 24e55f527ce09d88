"""What engines see of the core, with memory of NumPy's, and the facts of the quick network. For tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qbg.bench.batches import Slot, Tensor
from qbg.network import Network

SIDE = 32


def a_slot(side: int = SIDE, *, dynamic: bool = False, node: int | None = None, index: int = 0) -> Slot:
    """What an engine sees of a worker, zeros in its tensors."""
    entry, output = (Tensor(np.zeros((1, channels, side, side), np.float32)) for channels in (3, 1))
    return Slot(entry, output, index=index, node=node, dynamic=dynamic)


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
