"""Writes an ONNX graph node by node and knows the shape of each value. Must not know any network.

A value is a name with a fixed shape; batch is 1 and nothing is dynamic, so that every size is an
integer at build time and constants can be worked out here and not at run time. Only operators of
the default domain, opset 17, are written: any runtime of the last years loads them. Equal constants
are stored once. Source of operators and their shape rules: the ONNX operator specification.

Left out: types other than float32 (int64 in shape arguments), control flow, more than one output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # what onnxruntime 1.18, the oldest that qbg allows, can read

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor of the graph: its name and shape."""

    name: str
    shape: tuple[int, ...]


class Builder:
    """A graph in the making. Methods add nodes and return what they give.

    Args:
        name: of the graph.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[Value] = []
        self._constants: dict[str, Array] = {}
        self._known: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._count = 0

    def input(self, name: str, shape: tuple[int, ...]) -> Value:
        """An input of the graph, float32."""
        value = Value(name, shape)
        self._inputs.append(value)
        return value

    def constant(self, array: Array) -> Value:
        """A constant, float32 or int64; one that is there already is used again."""
        array = np.ascontiguousarray(array)
        if array.dtype not in (np.float32, np.int64):
            raise TypeError(f"a constant is float32 or int64, not {array.dtype}")
        key = (array.dtype.str, array.shape, array.tobytes() if array.size <= 64 else b"")
        if key[2] and key in self._known:
            return self._known[key]
        value = Value(f"constant_{len(self._constants)}", array.shape)
        self._constants[value.name] = array
        if key[2]:
            self._known[key] = value
        return value

    def add(
        self, operator: str, inputs: Sequence[Value | None], shape: tuple[int, ...], **attributes: Any
    ) -> Value:
        """One node with one output of this shape. None is an input that is left out."""
        return self.add_many(operator, inputs, [shape], **attributes)[0]

    def add_many(
        self,
        operator: str,
        inputs: Sequence[Value | None],
        shapes: Sequence[tuple[int, ...]],
        **attributes: Any,
    ) -> list[Value]:
        """One node with an output for each shape."""
        self._count += 1
        name = f"{operator.lower()}_{self._count}"
        outputs = [
            Value(f"{name}_{number}" if number else name, shape) for number, shape in enumerate(shapes)
        ]
        names = ["" if value is None else value.name for value in inputs]
        self._nodes.append(
            helper.make_node(operator, names, [value.name for value in outputs], name=name, **attributes)
        )
        return outputs

    def conv(
        self,
        x: Value,
        weight: Array | Value,
        bias: Array | None = None,
        *,
        stride: int = 1,
        pads: tuple[int, int] = (0, 0),
        dilation: int = 1,
        groups: int = 1,
    ) -> Value:
        """Convolution of (1, C, H, W) by (O, C / groups, kh, kw), zero padding of `pads` rows and columns."""
        kernel = weight if isinstance(weight, Value) else self.constant(weight)
        out, _, rows, columns = kernel.shape
        height, width = (
            (size + 2 * pad - dilation * (taps - 1) - 1) // stride + 1
            for size, pad, taps in zip(x.shape[2:], pads, (rows, columns), strict=True)
        )
        inputs = [x, kernel] if bias is None else [x, kernel, self.constant(bias)]
        return self.add(
            "Conv",
            inputs,
            (1, out, height, width),
            kernel_shape=[rows, columns],
            strides=[stride, stride],
            pads=[pads[0], pads[1], pads[0], pads[1]],
            dilations=[dilation, dilation],
            group=groups,
        )

    def norm(self, x: Value, scale: Array, shift: Array, mean: Array, variance: Array, eps: float) -> Value:
        """Batch normalization with fixed statistics."""
        constants = [self.constant(array) for array in (scale, shift, mean, variance)]
        return self.add("BatchNormalization", [x, *constants], x.shape, epsilon=eps)

    def pool(self, kind: str, x: Value, kernel: int, stride: int, pad: int, **attributes: Any) -> Value:
        """`MaxPool` or `AveragePool` with a square window."""
        height, width = ((size + 2 * pad - kernel) // stride + 1 for size in x.shape[2:])
        return self.add(
            kind,
            [x],
            (1, x.shape[1], height, width),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
            **attributes,
        )

    def resize(self, x: Value, height: int, width: int, *, corners: bool = False) -> Value:
        """Bilinear, not antialiased, of (1, C, H, W); nothing if the size is right already.

        Args:
            corners: the corner pixels' centers stay where they are (`align_corners`), or the
                corners of the plane do.
        """
        if x.shape[2:] == (height, width):
            return x
        mode = "align_corners" if corners else "half_pixel"
        shape = (1, x.shape[1], height, width)
        if height % x.shape[2] == 0 and width % x.shape[3] == 0:
            # Whole factors are exact, and runtimes have faster kernels for them.
            factors = np.array([1, 1, height // x.shape[2], width // x.shape[3]], np.float32)
            inputs: list[Value | None] = [x, None, self.constant(factors)]
        else:
            inputs = [x, None, None, self.constant(np.array(shape, np.int64))]
        return self.add("Resize", inputs, shape, mode="linear", coordinate_transformation_mode=mode)

    def reshape(self, x: Value, *sizes: int) -> Value:
        """The same numbers in the same order; one size may be -1."""
        known = -int(np.prod(sizes)) if -1 in sizes else 1
        shape = tuple(int(np.prod(x.shape)) // known if size == -1 else size for size in sizes)
        if np.prod(shape) != np.prod(x.shape):
            raise ValueError(f"{x.shape} can't be seen as {sizes}")
        return self.add("Reshape", [x, self.constant(np.array(shape, np.int64))], shape)

    def transpose(self, x: Value, *order: int) -> Value:
        """Axes in another order."""
        return self.add("Transpose", [x], tuple(x.shape[axis] for axis in order), perm=list(order))

    def concat(self, parts: Sequence[Value], axis: int = 1) -> Value:
        """Parts side by side along an axis."""
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        return self.add("Concat", parts, tuple(shape), axis=axis)

    def split(self, x: Value, sizes: Sequence[int], axis: int = 1) -> list[Value]:
        """The opposite of `concat`."""
        shapes = [(*x.shape[:axis], size, *x.shape[axis + 1 :]) for size in sizes]
        return self.add_many("Split", [x, self.constant(np.array(sizes, np.int64))], shapes, axis=axis)

    def matmul(self, a: Value, b: Value) -> Value:
        """Product of the last two axes; leading axes are equal, or one of both has none."""
        if a.shape[-1] != b.shape[-2]:
            raise ValueError(f"{a.shape} by {b.shape}")
        leading = max(a.shape[:-2], b.shape[:-2], key=len)
        return self.add("MatMul", [a, b], (*leading, a.shape[-2], b.shape[-1]))

    def binary(self, operator: str, a: Value, b: Value | float) -> Value:
        """`Add`, `Sub`, `Mul` or `Div` with broadcasting."""
        other = b if isinstance(b, Value) else self.constant(np.array(b, np.float32))
        return self.add(operator, [a, other], np.broadcast_shapes(a.shape, other.shape))

    def clip(self, x: Value, low: float, high: float) -> Value:
        """Into [low, high]."""
        bounds = [self.constant(np.array(bound, np.float32)) for bound in (low, high)]
        return self.add("Clip", [x, *bounds], x.shape)

    def unary(self, operator: str, x: Value, **attributes: Any) -> Value:
        """`Relu`, `Sigmoid`, `Softmax`, `Abs`, `Neg`, `Erf`: the shape stays."""
        return self.add(operator, [x], x.shape, **attributes)

    def model(self, output: Value, name: str, metadata: dict[str, str]) -> onnx.ModelProto:
        """The finished and checked model with one output, which is renamed.

        Args:
            output: what the graph gives.
            name: of the output.
            metadata: text that travels in the file.
        """
        nodes = [*self._nodes, helper.make_node("Identity", [output.name], [name], name=name)]
        if self._nodes and self._nodes[-1].output[0] == output.name:
            nodes = list(self._nodes)
            nodes[-1].output[0] = name
        graph = helper.make_graph(
            nodes,
            self._name,
            [helper.make_tensor_value_info(v.name, TensorProto.FLOAT, v.shape) for v in self._inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, output.shape)],
            [numpy_helper.from_array(array, key) for key, array in self._constants.items()],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="qbg",
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model
