"""What each tensor of the float network holds on the calibration photos: range and mean of each channel.

The reductions are nodes of the graph itself, so that a whole tensor never leaves ONNX Runtime. Must not know
what the figures are for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from qbg.models.int8.graph import Graph
from qbg.models.int8.session import open_bytes

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

AXES_ARE_INPUT = 18
"""Opset from which on reductions take their axes as an input."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one tensor, over all photos.

    Attributes:
        low, high: smallest and largest value of each channel (axis 1; one entry where there is none).
        means: (N, C) of each channel in each photo.
    """

    low: Doubles
    high: Doubles
    means: Doubles

    @property
    def mean(self) -> Doubles:
        """Of each channel over all photos."""
        found: Doubles = self.means.mean(axis=0)
        return found

    @property
    def reach(self) -> Doubles:
        """Largest magnitude of each channel."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def scaled(self, factor: Doubles) -> Spread:
        """The same with each channel times a positive factor."""
        return replace(self, low=self.low * factor, high=self.high * factor, means=self.means * factor)


def measure(
    graph: Graph, tensors: Sequence[Floats], on_photo: Callable[[int, int], object] | None = None
) -> dict[str, Spread]:
    """The spread of every float tensor of rank 2 and more."""
    names = [name for name, shape in graph.shapes.items() if len(shape) >= 2]
    names.sort()
    nodes = list(graph.nodes)
    outputs = []
    constants: dict[str, npt.NDArray[np.int64]] = {}
    for name in names:
        rank = len(graph.shapes[name])
        axes = [axis for axis in range(rank) if axis != 1]
        # From opset 18 on the axes are an input.
        late = graph.opset >= AXES_ARE_INPUT
        if late:
            constants[f"axes/{rank}"] = np.array(axes, np.int64)
        for kind in ("Min", "Max", "Mean"):
            inputs = [name, f"axes/{rank}"] if late else [name]
            attributes: dict[str, Any] = {} if late else {"axes": axes}
            nodes.append(
                helper.make_node(f"Reduce{kind}", inputs, [f"{name}/{kind}"], keepdims=0, **attributes)
            )
            outputs.append(f"{name}/{kind}")
    model = graph.model()
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in constants.items())
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs
    )
    session = open_bytes(model)
    lows: list[Doubles] = []
    highs: list[Doubles] = []
    means: list[list[Doubles]] = [[] for _name in names]
    for number, tensor in enumerate(tensors):
        found = [item.astype(np.float64) for item in session.run(outputs, {graph.input: tensor})]
        for index in range(len(names)):
            low, high, mean = found[3 * index : 3 * index + 3]
            if number == 0:
                lows.append(low)
                highs.append(high)
            else:
                lows[index] = np.minimum(lows[index], low)
                highs[index] = np.maximum(highs[index], high)
            means[index].append(mean)
        if on_photo is not None:
            on_photo(number + 1, len(tensors))
    return {name: Spread(lows[i], highs[i], np.stack(means[i])) for i, name in enumerate(names)}
