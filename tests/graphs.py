"""Small ONNX graphs that stand for networks: quick ones, and ones that qbg must refuse.

Written with the onnx package, which only tests need. Must not know qbg.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # what onnxruntime 1.18, the oldest that qbg allows, can read


def _save(path: Path, graph: onnx.GraphProto) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def _tensor(name: str, shape: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def brightness(path: Path, side: int = 32) -> Path:
    """[1, 3, side, side] to [1, 1, side, side]: the sigmoid of the mean over channels. Takes microseconds."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sigmoid", ["mean"], ["alpha"]),
    ]
    inputs, outputs = [_tensor("input", [1, 3, side, side])], [_tensor("alpha", [1, 1, side, side])]
    return _save(path, helper.make_graph(nodes, "brightness", inputs, outputs))


def two_inputs(path: Path, side: int = 32) -> Path:
    """A graph that wants a second picture, which qbg hasn't got."""
    shape = [1, 3, side, side]
    nodes = [helper.make_node("Add", ["picture", "trimap"], ["alpha"])]
    inputs = [_tensor("picture", shape), _tensor("trimap", shape)]
    return _save(path, helper.make_graph(nodes, "two_inputs", inputs, [_tensor("alpha", shape)]))


def flat_output(path: Path, side: int = 32) -> Path:
    """A classifier: its output [1, 3] is no map."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["classes"]),
    ]
    inputs = [_tensor("input", [1, 3, side, side])]
    return _save(path, helper.make_graph(nodes, "flat_output", inputs, [_tensor("classes", [1, 3])]))


def random_network(
    path: Path, side: int, *, seed: int, outputs: int = 1, half: bool = False, gain: float = 1.0
) -> Path:
    """[1, 3, side, side] to `outputs` maps [1, 1, side, side] of which the first is the one: a few random
    convolutions on a quarter of the size, then enlarged. The others are constants that no mask may show.

    `half`: the outputs are float16, as some exports have them. `gain`: of the logits.
    """
    random = np.random.default_rng(seed)
    weights = [
        ("w1", random.normal(0, 0.4 / np.sqrt(27), (4, 3, 7, 7))),
        ("b1", random.normal(0, 0.1, 4)),
        ("w2", random.normal(0, gain, (1, 4, 3, 3))),
        ("b2", random.normal(0, 0.1, 1)),
    ]
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights]
    constants.append(numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "scales"))
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["c1"], strides=[4, 4], pads=[3, 3, 3, 3]),
        helper.make_node("Tanh", ["c1"], ["t1"]),
        helper.make_node("Conv", ["t1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["c2", "", "scales"], ["full"], mode="linear"),
    ]
    names = ["alpha", *(f"side{number}" for number in range(1, outputs))]
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    nodes.append(helper.make_node("Cast", ["full"], ["alpha"], to=kind))
    nodes += [helper.make_node("Sub", ["alpha", "alpha"], [name]) for name in names[1:]]
    shape = [1, 1, side, side]
    results = [helper.make_tensor_value_info(name, kind, shape) for name in names]
    graph = helper.make_graph(nodes, "random", [_tensor("input", [1, 3, side, side])], results, constants)
    return _save(path, graph)
