"""Small ONNX graphs that stand for networks: quick ones, and ones that qbg must refuse.

Written with the onnx package, which only tests need. Must not know qbg.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

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
