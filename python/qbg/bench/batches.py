"""What two pictures in one call are worth: the network alone, one thread, against two calls of one each.

A worker takes one picture at a time. Each has a core of its own, so that a batch could only save calls and
reads of weights, and it doubles the tensors and the wait: this measures what that forgoes. A file's graph is
mostly of one picture; here it is written anew for two, and it counts only if it then gives each picture the
map that it gets alone. Must not know files of pictures, pools or reports.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbg import engine
from qbg.bench.statistics import Interval, paired_ratio
from qbg.errors import EngineError, ModelError, QbgError
from qbg.network import Network

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    Floats = npt.NDArray[np.float32]

TWO = 2

SECONDS = 3.0
ROUNDS = (3, 25)
"""Of calls in turns: until the time is over, and at least and at most so many."""

ALIKE = 1e-3
"""Of the range of a map: what two runs of the same network may differ by."""

OF_ONE = "its graph is of one picture"

SHAPED = {"Reshape": 1, "Expand": 1, "Resize": 3}
"""Operators that may hold the batch in a constant, and which input that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two pictures a call, one way of running the network.

    Attributes:
        engine, precision: the way.
        gain: images per second over those of one picture a call; None where it wasn't measured.
        why: it wasn't.
    """

    engine: str
    precision: str
    gain: Interval | None = None
    why: str | None = None


@dataclass(frozen=True)
class Tensor:
    """A worker's tensor, as engines see it."""

    array: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def address(self) -> int:
        return int(self.array.ctypes.data)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self.array.__array_interface__


@dataclass(frozen=True)
class Slot:
    """A worker's place, as the pool would give it."""

    input: Tensor
    output: Tensor
    index: int = 0
    node: int | None = None
    dynamic: bool = False


def call(
    network: Network, name: str, precision: str, pictures: Floats
) -> tuple[Callable[[], object], Floats]:
    """One worker's call of an engine, and the tensor that it fills.

    Args:
        pictures: (N, 3, H, W), where the network is of N pictures.

    Raises:
        QbgError: the engine isn't there or can't run it.
    """
    import numpy as np

    made = engine.make(name, network, precision=precision, workers=1)
    channels, rows, columns = made.output_shape
    count, _colors, height, width = pictures.shape
    output = np.empty((count, channels, rows or height, columns or width), np.float32)
    slot = Slot(Tensor(pictures), Tensor(output))
    return made.make_worker(slot), output  # type: ignore[arg-type]


def pair(network: Network, size: tuple[int, int], name: str, precision: str, work: Path) -> Pair:
    """Measures one way.

    Args:
        network: float or int8.
        size: height and width of its pictures, where the graph leaves them open.
        name, precision: engine and precision.
        work: a folder for the graph of two.
    """
    import numpy as np

    pictures = np.random.default_rng(1).standard_normal((TWO, 3, *size), np.float32)
    single = pictures[:1].copy()
    try:
        one, alone = call(network, name, precision, single)
        both, together = doubled(network, name, precision, pictures, work)
        one()
        try:
            both()
        except Exception as error:  # each engine has its own
            raise ModelError(OF_ONE, stage="model", path=network.path) from error
        for number in range(TWO):
            single[0] = pictures[number]
            one()
            if not np.allclose(together[number], alone[0], rtol=0.0, atol=ALIKE * float(np.ptp(alone))):
                raise ModelError("its graph mixes the pictures of a batch", stage="model", path=network.path)
    except QbgError as error:
        return Pair(engine=name, precision=precision, why=str(error.args[0]))
    return Pair(engine=name, precision=precision, gain=_turns(one, both))


def doubled(
    network: Network, name: str, precision: str, pictures: Floats, work: Path
) -> tuple[Callable[[], object], Floats]:
    """`call` of a network whose graph is written anew for two pictures.

    Args:
        work: a folder for the graph.

    Raises:
        EngineError: the engine, or the package that writes graphs, isn't there.
        ModelError: the graph is of one picture.
    """
    path = work / f"two-{name}-{precision}.onnx"
    path.write_bytes(of_two(network.path))
    double = replace(network, path=str(path), input_shape=(TWO, *network.input_shape[1:]))
    try:
        return call(double, name, precision, pictures)
    except (ModelError, EngineError) as error:
        raise ModelError(OF_ONE, stage="model", path=network.path) from error


def of_two(path: str) -> bytes:
    """The graph for two pictures.

    Raises:
        EngineError: the package that writes graphs isn't installed.
        ModelError: it can't be read, or it is of one picture by its constants.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise EngineError(
            "two pictures a call need a package that isn't installed: pip install 'qbg[models]'",
            stage="engine",
        ) from error
    try:
        model = onnx.load(path)
    except Exception as error:
        raise ModelError("the graph can't be read", stage="model", path=path) from error
    constants = {one.name: one for one in model.graph.initializer}
    for item in (*model.graph.input, *model.graph.output):
        if item.name not in constants and item.type.tensor_type.shape.dim:
            item.type.tensor_type.shape.dim[0].dim_value = TWO
    del model.graph.value_info[:]
    for node in model.graph.node:
        place = SHAPED.get(node.op_type)
        shape = constants.get(node.input[place]) if place is not None and place < len(node.input) else None
        if shape is None:
            continue
        values = numpy_helper.to_array(shape).copy()
        if values.ndim == 1 and values.size > 1 and values[0] == 1:
            values[0] = TWO
            shape.CopyFrom(numpy_helper.from_array(values, shape.name))
    if not _fits(model, constants):
        raise ModelError(OF_ONE, stage="model", path=path)
    found: bytes = model.SerializeToString()
    return found


def _fits(model: onnx.ModelProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether all tensors still have the shapes that the graph reshapes them to."""
    from onnx import numpy_helper, shape_inference

    known = {
        item.name: [dimension.dim_value for dimension in item.type.tensor_type.shape.dim]
        for item in shape_inference.infer_shapes(model).graph.value_info
    }
    for node in model.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants or 0 in known.get(node.input[0], [0]):
            continue
        wanted = numpy_helper.to_array(constants[node.input[1]])
        if bool((wanted > 0).all()) and math.prod(wanted.tolist()) != math.prod(known[node.input[0]]):
            return False
    return True


def _turns(one: Callable[[], object], both: Callable[[], object]) -> Interval:
    began = time.monotonic()
    apart: list[float] = []
    joined: list[float] = []
    while len(apart) < ROUNDS[1] and (len(apart) < ROUNDS[0] or time.monotonic() - began < SECONDS):
        start = time.perf_counter()
        for _picture in range(TWO):
            one()
        middle = time.perf_counter()
        both()
        apart.append(middle - start)
        joined.append(time.perf_counter() - middle)
    return paired_ratio(apart, joined)
