"""A float network, ready to be quantized: one input and one output, constants folded, opset 17, fixed sizes.

ONNX Runtime's basic optimizer does the folding (batch norms into convolutions, shapes into constants); it
writes plain ONNX. Must not know of integers. Left out: control flow, several inputs, open sizes, tensors
outside the file.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference, version_converter

from qbg.engine.onnx import ERROR_SEVERITY, first_line, load_onnxruntime
from qbg.errors import ModelError
from qbg.network import Network

Array = npt.NDArray[Any]

OPSET = 17
"""DequantizeLinear has an axis from 13 on; onnxruntime 1.18, the oldest that qbg allows, knows 17 well."""

IR_VERSION = 8

INTEGER_OPS = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger")


@dataclass(slots=True)
class Graph:
    """Nodes in the order in which they can run, and what they read.

    Attributes:
        nodes: each with a name of its own.
        constants: arrays by name.
        shapes: of every float tensor, constants not counted.
        input, output: names.
        opset: of the default domain.
        metadata: text that the file carries.
    """

    nodes: list[onnx.NodeProto]
    constants: dict[str, Array]
    shapes: dict[str, tuple[int, ...]]
    input: str
    output: str
    opset: int
    metadata: dict[str, str]

    def producers(self) -> dict[str, onnx.NodeProto]:
        """Which node gives each tensor."""
        return {name: node for node in self.nodes for name in node.output if name}

    def consumers(self) -> dict[str, list[onnx.NodeProto]]:
        """Which nodes read each tensor."""
        found: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                if name and name not in self.constants:
                    found.setdefault(name, []).append(node)
        return found

    def data_inputs(self, node: onnx.NodeProto) -> list[str]:
        """Inputs of a node that aren't constants."""
        return [name for name in node.input if name and name not in self.constants]

    def model(self, outputs: list[str] | None = None) -> onnx.ModelProto:
        """The network as an ONNX model; `outputs` instead of its own one."""
        wanted = [self.output] if outputs is None else outputs
        return assemble(
            self.nodes,
            self.constants,
            [helper.make_tensor_value_info(self.input, TensorProto.FLOAT, self.shapes[self.input])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, self.shapes.get(name))
                for name in wanted
            ],
            self.opset,
            self.metadata,
        )


def assemble(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Array],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    opset: int = OPSET,
    metadata: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """A model of these parts, with those of the constants that its nodes read."""
    used = dict.fromkeys(name for node in nodes for name in node.input if name in constants)
    graph = helper.make_graph(
        nodes, "qbg", inputs, outputs, [numpy_helper.from_array(constants[name], name) for name in used]
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION, producer_name="qbg"
    )
    if metadata:
        helper.set_model_props(model, metadata)
    return model


def load(network: Network, height: int, width: int) -> Graph:
    """Reads a network's file.

    Args:
        network: its facts.
        height, width: of the picture tensor, where the graph leaves them open.

    Raises:
        ModelError: it can't be read, is quantized already, or doesn't fold into a plain graph.
    """
    path = network.path
    try:
        model = onnx.load(path)
    except Exception as error:
        raise _unfit(
            path, f"can't be read: {first_line(error)}", "the file may be incomplete; get it again"
        ) from error
    metadata = {item.key: item.value for item in model.metadata_props}
    if any(node.op_type in INTEGER_OPS for node in model.graph.node):
        raise _unfit(path, "is quantized already", "quantize the float network that it was made of")
    _narrow(model, network, (height, width))
    try:
        opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
        if opset < OPSET:
            model = version_converter.convert_version(model, OPSET)
            opset = OPSET
        model = _fold(model)
        model = shape_inference.infer_shapes(model)
    except Exception as error:
        raise _unfit(
            path,
            f"can't be prepared: {first_line(error)}",
            "export it again with opset 17 and a fixed input size",
        ) from error
    return without_pads(_graph(model, opset, metadata, path))


def _narrow(model: onnx.ModelProto, network: Network, size: tuple[int, int]) -> None:
    """Leaves one output, and the nodes that it needs; puts the size in."""
    graph = model.graph
    entry = next(item for item in graph.input if item.name == network.input_name)
    for place, value in zip(entry.type.tensor_type.shape.dim, (1, 3, *size), strict=True):
        place.Clear()
        place.dim_value = value
    output = next(item for item in graph.output if item.name == network.output_name)
    output.type.tensor_type.ClearField("shape")
    needed = {output.name}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    for items, new in ((graph.node, kept[::-1]), (graph.output, [output])):
        del items[:]
        items.extend(new)
    del graph.value_info[:]
    weights = {item.name for item in graph.initializer}
    inputs = [item for item in graph.input if item.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)


def _fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """Constants folded by ONNX Runtime."""
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = ERROR_SEVERITY
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory(prefix="qbg-") as folder:
        place = str(Path(folder) / "folded.onnx")
        options.optimized_model_filepath = place
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(place)


def _graph(model: onnx.ModelProto, opset: int, metadata: dict[str, str], path: str) -> Graph:
    graph = model.graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    shapes: dict[str, tuple[int, ...]] = {}
    # The optimizer leaves shapes of tensors that it took out.
    there = {graph.input[0].name, *(name for node in graph.node for name in node.output)}
    for item in (*graph.input, *graph.value_info, *graph.output):
        kind = item.type.tensor_type
        sizes = tuple(place.dim_value for place in kind.shape.dim)
        if (
            item.name in there
            and kind.elem_type == TensorProto.FLOAT
            and kind.HasField("shape")
            and all(sizes)
        ):
            shapes[item.name] = sizes
    nodes = []
    for number, node in enumerate(graph.node):
        if node.domain not in ("", "ai.onnx"):
            raise _unfit(
                path, f"operator {node.domain}.{node.op_type} isn't plain ONNX", "export it as plain ONNX"
            )
        if any(
            item.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for item in node.attribute
        ):
            raise _unfit(
                path, f"operator {node.op_type} holds a graph of its own", "export it without control flow"
            )
        if not node.name:
            node.name = f"{node.op_type}_{number}"
        nodes.append(node)
    return Graph(
        nodes=nodes,
        constants=constants,
        shapes=shapes,
        input=graph.input[0].name,
        output=graph.output[0].name,
        opset=opset,
        metadata=metadata,
    )


def without_pads(graph: Graph) -> Graph:
    """Borders of zeros as part of the convolutions that read them: a Pad has no integer kernel."""
    consumers = graph.consumers()
    borders: dict[str, tuple[str, list[int]]] = {}
    for node in graph.nodes:
        border = _border(node, graph)
        readers = consumers.get(node.output[0], [])
        if (
            border is not None
            and node.output[0] != graph.output
            and all(_takes_border(reader, node.output[0]) for reader in readers)
        ):
            borders[node.output[0]] = (node.input[0], border)
    nodes = [
        _widened(node, *borders[node.input[0]]) if node.input and node.input[0] in borders else node
        for node in graph.nodes
        if node.output[0] not in borders
    ]
    shapes = {name: shape for name, shape in graph.shapes.items() if name not in borders}
    return replace(graph, nodes=nodes, shapes=shapes)


def _widened(conv: onnx.NodeProto, source: str, border: list[int]) -> onnx.NodeProto:
    """The convolution with that border as its own, reading what the border was put around."""
    found = onnx.NodeProto()
    found.CopyFrom(conv)
    found.input[0] = source
    pads = [first + second for first, second in zip(attribute(conv, "pads", [0] * 4), border, strict=True)]
    kept = [item for item in conv.attribute if item.name not in ("pads", "auto_pad")]
    del found.attribute[:]
    found.attribute.extend([*kept, helper.make_attribute("pads", pads)])
    return found


def _border(node: onnx.NodeProto, graph: Graph) -> list[int] | None:
    """Top, left, bottom, right of zeros that a node adds to pictures; None if it is or does anything else."""
    if node.op_type != "Pad" or attribute(node, "mode", b"constant") != b"constant":
        return None
    inputs = [*node.input, "", ""]
    sizes, value, axes = (graph.constants.get(name) for name in inputs[1:4])
    if sizes is None or sizes.size != 8 or inputs[3] or axes is not None or sizes.min() < 0:
        return None
    if inputs[2] and (value is None or value.any()):
        return None
    (_, _, top, left), (_, _, bottom, right) = sizes.reshape(2, 4).tolist()
    return [top, left, bottom, right] if not sizes.reshape(2, 4)[:, :2].any() else None


def _takes_border(node: onnx.NodeProto, padded: str) -> bool:
    """Whether a node is a convolution of that map, which its weights aren't, and has no padding by rule."""
    plain = attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"", b"VALID")
    return node.op_type == "Conv" and plain and padded not in node.input[1:]


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """An attribute's value."""
    for item in node.attribute:
        if item.name == name:
            return helper.get_attribute_value(item)
    return default


def contiguous(array: Array, kind: Any = None) -> Array:
    """The array in C order, of this type."""
    return np.ascontiguousarray(array, kind)


def _unfit(path: str, message: str, hint: str) -> ModelError:
    return ModelError(message, stage="model", path=path, hint=hint)
