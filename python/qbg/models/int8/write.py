"""The quantized network as ONNX: QuantizeLinear and DequantizeLinear around plain operators.

The same code writes a whole network and a single step of it, so that a step alone runs by the same kernels.
Must not choose anything: placement and weights are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from qbg.models.int8.graph import Array, Graph, assemble, attribute
from qbg.models.int8.place import NARROW, Placement, Step


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


WIDE = 32
"""Input channels from which on a convolution of few outputs is worth a product of matrices."""


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
            if self._narrow(step):
                return
            node = _copy(step.node)
            for place, name in enumerate(node.input):
                if name in step.inputs and name not in self._placement.floats:
                    node.input[place] = self._floating(name)
            self._use(node)
            for name in step.outputs:
                if name in self._placement.scales:
                    self._quantize_last(name)
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

    def _narrow(self, step: Step) -> bool:
        """A float convolution of many channels to few as a product of matrices: what each tap of the kernel
        gives, moved and added. ONNX Runtime's own convolution computes 16 outputs where one is wanted, and
        lays all of its input out anew.
        """
        node, constants = step.node, self._graph.constants
        if node.op_type != "Conv" or len(step.inputs) != 1 or constants[node.input[1]].ndim != 4:
            return False
        weight, source, target = constants[node.input[1]], node.input[0], node.output[0]
        out, entries, high, wide = weight.shape
        pads, dilations = attribute(node, "pads", [0] * 4), attribute(node, "dilations", [1, 1])
        plain = attribute(node, "group", 1) == 1 and set(attribute(node, "strides", [1])) == {1}
        plain = plain and attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"")
        if not plain or out > NARROW or entries < WIDE or source in self._placement.floats:
            return False
        (rows, columns), size = self._graph.shapes[source][2:], self._graph.shapes[target][2:]
        base = step.name

        def give(kind: str, inputs: list[str], part: str, **attributes: Any) -> str:
            name = f"{base}/{part}" if part else target
            self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
            return name

        def whole(values: list[int], part: str) -> str:
            return self._constant(f"{base}/{part}", np.array(values, np.int64))

        last = give("Transpose", [self._floating(source)], "last", perm=[0, 2, 3, 1])
        flat = give("Reshape", [last, whole([rows * columns, entries], "flat/shape")], "flat")
        taps = self._constant(f"{base}/taps", weight.transpose(1, 2, 3, 0).reshape(entries, -1))
        turned = give("Transpose", [give("MatMul", [flat, taps], "product")], "turned", perm=[1, 0])
        maps = give("Reshape", [turned, whole([high * wide, out, rows, columns], "shape")], "maps")
        if any(pads):
            maps = give("Pad", [maps, whole([0, 0, *pads[:2], 0, 0, *pads[2:]], "pads")], "padded")
        axes, parts = whole([0, 2, 3], "axes"), []
        for tap in range(high * wide):
            y, x = tap // wide * dilations[0], tap % wide * dilations[1]
            begin = whole([tap, y, x], f"{tap}/begin")
            end = whole([tap + 1, y + size[0], x + size[1]], f"{tap}/end")
            parts.append(give("Slice", [maps, begin, end, axes], f"{tap}"))
        if len(node.input) > 2 and node.input[2]:
            parts.append(self._constant(f"{base}/bias", constants[node.input[2]].reshape(1, out, 1, 1)))
        give("Sum", parts, "")
        if target in self._placement.scales:
            self._quantize(target)
        return True

    def _quantize_last(self, name: str) -> None:
        """Rounds a map that a float step gave. If it is not for convolutions alone, which lay their channels
        last by themselves, one that does nothing goes before: else all up to the next convolution would work
        with channels first, which takes more than twice as long.
        """
        shape = self._graph.shapes.get(name, ())
        if len(shape) != 4 or shape[1] == 1 or all(step.kind == "Conv" for step in self._readers(name)):
            self._quantize(name)
            return
        ones = np.ones((shape[1], 1, 1, 1), np.int8)
        trio = [
            self._constant(f"{name}/ones/levels", ones),
            self._constant(f"{name}/ones/scale", np.ones(shape[1], np.float32)),
            self._constant(f"{name}/ones/zero", np.zeros(shape[1], np.int8)),
        ]
        first, value, weight, same = (f"{name}/{part}" for part in ("first", "first/value", "ones", "same"))
        scale = self._scale(name)
        self._nodes += [
            helper.make_node("QuantizeLinear", [name, *scale], [first], name=f"{first}/quantize"),
            helper.make_node("DequantizeLinear", [first, *scale], [value], name=f"{value}/dequantize"),
            helper.make_node("DequantizeLinear", trio, [weight], name=f"{weight}/dequantize", axis=0),
            helper.make_node("Conv", [value, weight], [same], name=same, group=shape[1]),
        ]
        self._quantize(name, same)

    def _readers(self, name: str) -> list[Step]:
        return [step for step in self._placement.steps if name in step.inputs]

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
