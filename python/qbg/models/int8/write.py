"""The quantized network as ONNX: QuantizeLinear and DequantizeLinear around plain operators.

The same code writes a whole network and a single step of it, so that a step alone runs by the same kernels.
Must not choose anything: placement and weights are given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from qbg.models.int8.graph import Array, Graph, assemble, attribute
from qbg.models.int8.place import Placement, Step


@dataclass(slots=True)
class Layer:
    """A convolution's integers.

    Attributes:
        weight: (O, I, kh, kw) int8.
        step: (O,) float: value of one level.
        bias: (O,) float, corrected.
        unsigned: whether the file holds the weights as uint8 with zero point 128.
    """

    weight: npt.NDArray[np.int8]
    step: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    unsigned: bool = False


class Writer:
    """Nodes and constants of the quantized graph.

    Args:
        graph: the float network.
        placement: of it.
        layers: integers of each convolution that is placed as integer, by its node's name.
    """

    def __init__(self, graph: Graph, placement: Placement, layers: dict[str, Layer]) -> None:
        self._graph = graph
        self._placement = placement
        self._layers = layers
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, Array] = {}
        self._dequantized: set[str] = set()

    def whole(self, metadata: dict[str, str]) -> onnx.ModelProto:
        """The whole network."""
        graph, placement = self._graph, self._placement
        if graph.input in placement.scales:
            self._quantize(graph.input)
        for step in placement.steps:
            self._step(step)
        output = graph.output
        if output not in placement.floats:
            self._nodes.append(self._dequantizer(output, output))
        return self._model([graph.input], [output], metadata)

    def alone(self, step: Step) -> tuple[onnx.ModelProto, list[str], list[str]]:
        """One step as a model, with its inputs' and outputs' names: `NAME/levels` where they are uint8."""
        inputs = []
        for name in step.inputs:
            levels = step.integer or name not in self._placement.floats
            inputs.append(levels_of(name) if levels else name)
        self._step(step)
        outputs = []
        for name in step.outputs:
            if not step.integer:
                outputs.append(name)
            if name in self._placement.scales:
                outputs.append(levels_of(name))
        return self._model(inputs, outputs, {}), inputs, outputs

    def _step(self, step: Step) -> None:
        if not step.integer:
            node = _copy(step.node)
            for place, name in enumerate(node.input):
                if name in step.inputs and name not in self._placement.floats:
                    node.input[place] = self._floating(name)
            self._use(node)
            for name in step.outputs:
                if name in self._placement.scales:
                    self._quantize(name)
            return
        node = _copy(step.node)
        for place, name in enumerate(node.input):
            if name in step.inputs:
                node.input[place] = self._floating(name)
        if step.kind == "Conv":
            del node.input[1:]
            node.input.extend(self._parameters(step))
        if step.kind == "Resize" and self._resize_by_rows(step, node):
            return
        for place, name in enumerate(step.outputs):
            node.output[place] = f"{name}/raw"
        self._use(node)
        for name in step.outputs:
            self._quantize(name, f"{name}/raw")

    def _resize_by_rows(self, step: Step, node: onnx.NodeProto) -> bool:
        """A resize with its channels last: ONNX Runtime's kernel is three times as fast then, and its integer
        convolutions want their channels last too, so that its optimizer drops the transposes between. It
        works on floats between bytes, which is quicker than its byte kernel, and rounds where that truncates.
        """
        sizes = {
            name: self._graph.constants[name] for name in node.input[2:] if name in self._graph.constants
        }
        if attribute(node, "axes") is not None or len(self._graph.shapes[step.inputs[0]]) != 4:
            return False
        source, target = step.inputs[0], step.outputs[0]
        first, last = f"{target}/before", f"{target}/after"
        for place, name in enumerate(node.input):
            if place >= 2 and name in sizes and sizes[name].size == 4:
                node.input[place] = self._constant(f"{step.name}/{place}", sizes[name][[0, 2, 3, 1]])
        scale = self._scale(source)

        def pass_on(node: onnx.NodeProto, name: str) -> None:
            """The node's only output as levels of the same scale, and these as values again."""
            node.output[0] = f"{name}/raw"
            self._use(node)
            inputs = [f"{name}/raw", *scale]
            self._nodes.append(
                helper.make_node("QuantizeLinear", inputs, [levels_of(name)], name=f"{name}/quantize")
            )

        def value(name: str) -> str:
            inputs = [levels_of(name), *scale]
            self._nodes.append(
                helper.make_node("DequantizeLinear", inputs, [f"{name}/value"], name=f"{name}/dequantize")
            )
            return f"{name}/value"

        def turned(name: str, order: list[int], at: str) -> onnx.NodeProto:
            return helper.make_node("Transpose", [name], [""], name=f"{step.name}/{at}", perm=order)

        pass_on(turned(node.input[0], [0, 2, 3, 1], "first"), first)
        node.input[0] = value(first)
        pass_on(node, last)
        pass_on(turned(value(last), [0, 3, 1, 2], "last"), target)
        return True

    def _parameters(self, step: Step) -> list[str]:
        """Dequantized weight and bias of a convolution."""
        layer = self._layers[step.name]
        weight = layer.weight.view(np.uint8) ^ 128 if layer.unsigned else layer.weight
        zero = np.full(len(weight), 128 if layer.unsigned else 0, weight.dtype)
        scale = layer.step.astype(np.float32)
        entry = np.float32(self._placement.scales[step.inputs[0]][0])
        bias_scale = scale * entry
        bias = np.clip(np.rint(layer.bias / bias_scale), -(2**31 - 1), 2**31 - 1).astype(np.int32)
        names = []
        for part, levels, size, point in (
            ("weight", weight, scale, zero),
            ("bias", bias, bias_scale, np.zeros(len(bias), np.int32)),
        ):
            base = f"{step.name}/{part}"
            trio = [self._constant(f"{base}/levels", levels), self._constant(f"{base}/scale", size)]
            trio.append(self._constant(f"{base}/zero", point))
            self._nodes.append(
                helper.make_node("DequantizeLinear", trio, [base], name=f"{base}/dequantize", axis=0)
            )
            names.append(base)
        return names

    def _quantize(self, name: str, source: str | None = None) -> None:
        inputs = [source or name, *self._scale(name)]
        self._nodes.append(
            helper.make_node("QuantizeLinear", inputs, [levels_of(name)], name=f"{name}/quantize")
        )

    def _floating(self, name: str) -> str:
        """The dequantized tensor, made once."""
        if name not in self._dequantized:
            self._dequantized.add(name)
            self._nodes.append(self._dequantizer(name, f"{name}/value"))
        return f"{name}/value"

    def _dequantizer(self, name: str, output: str) -> onnx.NodeProto:
        inputs = [levels_of(name), *self._scale(name)]
        return helper.make_node("DequantizeLinear", inputs, [output], name=f"{output}/dequantize")

    def _scale(self, name: str) -> list[str]:
        scale, zero = self._placement.scales[name]
        return [
            self._constant(f"{name}/scale", np.array(scale, np.float32)),
            self._constant(f"{name}/zero", np.array(zero, np.uint8)),
        ]

    def _constant(self, name: str, array: Array) -> str:
        self._constants[name] = np.ascontiguousarray(array).reshape(array.shape)
        return name

    def _use(self, node: onnx.NodeProto) -> None:
        for name in node.input:
            if name in self._graph.constants:
                self._constants[name] = self._graph.constants[name]
        self._nodes.append(node)

    def _model(self, inputs: list[str], outputs: list[str], metadata: dict[str, str]) -> onnx.ModelProto:
        return assemble(
            self._nodes,
            self._constants,
            [self._info(name) for name in dict.fromkeys(inputs)],
            [self._info(name) for name in outputs],
            self._graph.opset,
            metadata,
        )

    def _info(self, name: str) -> onnx.ValueInfoProto:
        levels = name.endswith(LEVELS)
        shape = self._graph.shapes.get(name.removesuffix(LEVELS) if levels else name)
        return helper.make_tensor_value_info(name, TensorProto.UINT8 if levels else TensorProto.FLOAT, shape)


LEVELS = "/levels"


def levels_of(name: str) -> str:
    """The uint8 tensor's name."""
    return name + LEVELS


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    new = onnx.NodeProto()
    new.CopyFrom(node)
    return new
