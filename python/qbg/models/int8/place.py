"""Decides which nodes work on integers, and the scale of each tensor between them. Reads no weights.

ONNX Runtime fuses dequantize -> operator -> quantize into one integer kernel; so an integer step reads only
quantized tensors and gives only quantized ones. A ReLU after a convolution or sum needs no node: with zero
point 0 the quantizer cuts negatives off. Operators that only move or select numbers keep their input's scale,
so that they work on bytes. Everything else stays float.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import onnx

from qbg.models.int8.graph import Graph, attribute
from qbg.models.int8.measure import Spread

MOVING = ("MaxPool", "Resize", "Split", "Reshape", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Flatten")
"""Same scale in as out."""

POOLING = ("AveragePool", "GlobalAveragePool")
NARROW = 4
"""Convolutions of at most so many output channels on the way out carry the map itself: they stay float."""

LEVELS = 255


@dataclass(slots=True)
class Step:
    """One node, or a node and its ReLU.

    Attributes:
        node: what is computed.
        inputs: tensors that it reads.
        outputs: tensors that it gives; the ReLU's, where there is one.
        integer: whether it works on integers.
        relu: whether negatives are cut off.
    """

    node: onnx.NodeProto
    inputs: list[str]
    outputs: list[str]
    integer: bool
    relu: onnx.NodeProto | None = None

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def kind(self) -> str:
        return self.node.op_type


@dataclass(slots=True)
class Placement:
    """The steps in order, and the tensors between them.

    Attributes:
        steps: all of them.
        scales: (scale, zero point) of each tensor that exists as uint8: value = scale * (level - zero point).
        floats: tensors that exist as float: what float steps give, and the network's input.
    """

    steps: list[Step]
    scales: dict[str, tuple[float, int]]
    floats: set[str] = field(default_factory=set)


def convolutions(graph: Graph) -> list[onnx.NodeProto]:
    """Those whose weights are constant: what can be quantized."""
    return [
        node
        for node in graph.nodes
        if node.op_type == "Conv"
        and node.input[1] in graph.constants
        and (len(node.input) < 3 or not node.input[2] or node.input[2] in graph.constants)
    ]


def tail(graph: Graph) -> set[str]:
    """Names of the narrow convolutions through which alone the output is reached."""
    producers = graph.producers()
    found: set[str] = set()
    seen: set[str] = set()
    wanted = [graph.output]
    while wanted:
        name = wanted.pop()
        node = producers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op_type == "Conv":
            if graph.shapes.get(node.output[0], (0, LEVELS))[1] > NARROW:
                continue
            found.add(node.name)
        wanted += graph.data_inputs(node)
    return found


def macs(graph: Graph) -> dict[str, int]:
    """Multiplications of each convolution."""
    found = {}
    for node in convolutions(graph):
        weight = graph.constants[node.input[1]]
        rows, columns = graph.shapes[node.output[0]][2:]
        found[node.name] = int(weight.size) * rows * columns
    return found


def place(graph: Graph, spreads: dict[str, Spread], keep: Collection[str] = ()) -> Placement:
    """Integer steps wherever it can be, but for the nodes named in `keep`."""
    consumers = graph.consumers()
    merged: set[str] = set()
    steps: list[Step] = []
    whole: set[str] = set()  # tensors that integer steps give
    able = {node.name for node in convolutions(graph)}
    for node in graph.nodes:
        if node.name in merged:
            continue
        inputs = graph.data_inputs(node)
        outputs = [name for name in node.output if name]
        integer = node.name not in keep and _measured((*inputs, *outputs), spreads)
        integer = integer and _suits(node, graph, able, whole)
        relu = None
        if integer and node.op_type in ("Conv", "Add"):
            readers = consumers.get(outputs[0], [])
            if len(readers) == 1 and readers[0].op_type == "Relu" and outputs[0] != graph.output:
                relu = readers[0]
                merged.add(relu.name)
                outputs = [relu.output[0]]
        if integer:
            whole.update(outputs)
        steps.append(Step(node, inputs, outputs, integer, relu))
    placement = Placement(steps, {}, {graph.input})
    _set_scales(placement, spreads)
    for step in steps:
        if not step.integer:
            placement.floats.update(step.outputs)
    return placement


def _suits(node: onnx.NodeProto, graph: Graph, able: set[str], whole: set[str]) -> bool:
    """Whether ONNX Runtime has an integer kernel for it that is worth the while here."""
    kind, inputs = node.op_type, graph.data_inputs(node)
    given = [name in whole for name in inputs]
    if kind == "Conv":
        return node.name in able
    if kind == "MatMul":
        return len(inputs) == 2 and any(given)
    if kind == "Add":
        return len(inputs) == 2 and any(given)
    if kind == "Concat":
        return len(inputs) == len(node.input) and 2 * sum(given) >= len(given)
    if kind in POOLING:
        return all(given)
    if kind == "Resize":
        known = attribute(node, "mode", b"nearest") in (b"linear", b"nearest")
        return known and (all(given) or _enlarges_for_integers(node, graph, able))
    return kind in MOVING and len(inputs) == 1 and all(given) and len(node.output[0]) > 0


def _enlarges_for_integers(node: onnx.NodeProto, graph: Graph, able: set[str]) -> bool:
    """Whether a float map is enlarged only for layers on integers: then it is rounded while it is small."""
    source, target = graph.shapes.get(node.input[0], ()), graph.shapes.get(node.output[0], ())
    if (
        len(source) != 4
        or len(target) != 4
        or target[1] <= NARROW
        or target[2] * target[3] <= source[2] * source[3]
    ):
        return False
    readers = graph.consumers().get(node.output[0], [])
    return bool(readers) and all(
        reader.op_type in ("Concat", "Add") or reader.name in able for reader in readers
    )


def _measured(names: tuple[str, ...], spreads: dict[str, Spread]) -> bool:
    return all(name in spreads for name in names)


def _set_scales(placement: Placement, spreads: dict[str, Spread]) -> None:
    """Each tensor's own range; moving steps hand theirs on."""
    for step in placement.steps:
        if not step.integer:
            continue
        for name in step.inputs:
            if name not in placement.scales:
                placement.scales[name] = scale_of(spreads[name])
        for name in step.outputs:
            if step.kind in MOVING:
                placement.scales[name] = placement.scales[step.inputs[0]]
            else:
                placement.scales[name] = scale_of(spreads[name])
                if step.relu is not None:
                    placement.scales[name] = (placement.scales[name][0], 0)


def scale_of(spread: Spread) -> tuple[float, int]:
    """(scale, zero point) of uint8 levels that hold the range and 0 exactly."""
    low, high = min(float(spread.low.min()), 0.0), max(float(spread.high.max()), 0.0)
    scale = (high - low) / LEVELS
    if not scale > 1e-30:
        return 1.0, 0
    return scale, min(LEVELS, max(0, round(-low / scale)))
