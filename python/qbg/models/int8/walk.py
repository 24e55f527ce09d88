"""Goes through the quantized network layer by layer with the calibration photos, and settles each layer's
integers on the inputs that it will truly get: rounded, corrected and run by the kernels before it.

Bias correction (Nagel et al. 2019): a layer's mean output is linear in its mean input, so with M the mean of
each input under each tap of the kernel, rounding shifts the output by (Wq - W) . M. `analytic` takes M from
the float network, one figure a channel, borders left out; `local` from the quantized tensors of this walk,
tap by tap. `empirical` makes the quantized mean equal the float one, b' = (fp32 mean) - Wq . M: it also
undoes what layers before have shifted. That was measured to be worse on photos that weren't calibrated on:
such shifts depend on the picture (models/README.md). All photos' tensors are held as bytes and dropped after
their last use. Must not know files or masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qbg.models.int8 import rounding
from qbg.models.int8.graph import Graph, attribute
from qbg.models.int8.measure import Spread
from qbg.models.int8.place import Placement, Step
from qbg.models.int8.session import open_bytes
from qbg.models.int8.write import LEVELS, Layer, Writer, levels_of

Doubles = npt.NDArray[np.float64]

SAMPLES = 4096
"""Places of the pictures, all together, that the covariance of a layer's input is taken from."""

SEED = 20190611

CORRECTIONS = ("none", "analytic", "local", "empirical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How integers are found.

    Attributes:
        form: of the weights: one of `rounding.FORMATS`.
        correction: one of `CORRECTIONS`.
        feedback: whether rounding passes errors on.
    """

    form: str = "paired"
    correction: str = "local"
    feedback: bool = True


class Taps:
    """Which inputs a convolution's kernel sees at each place of its output."""

    def __init__(self, step: Step, graph: Graph) -> None:
        node = step.node
        self.weight = graph.constants[node.input[1]]
        self.group = int(attribute(node, "group", 1))
        self.strides = tuple(attribute(node, "strides", [1, 1]))
        self.dilations = tuple(attribute(node, "dilations", [1, 1]))
        self.rows, self.columns = graph.shapes[node.output[0]][2:]
        self.pads = _pads(node, graph.shapes[step.inputs[0]][2:], self)

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width."""
        return self.weight.shape[2], self.weight.shape[3]

    def padded(self, plane: npt.NDArray[Any], zero: int) -> npt.NDArray[Any]:
        """(C, H, W) with the border that stands for 0."""
        top, left, bottom, right = self.pads
        return np.pad(plane, ((0, 0), (top, bottom), (left, right)), constant_values=zero)

    def views(self, padded: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """For each tap, row by row: the (C, rows, columns) that it reads."""
        (high, wide), (down, across) = self.kernel, self.strides
        found = []
        for y in range(high):
            for x in range(wide):
                first, left = y * self.dilations[0], x * self.dilations[1]
                found.append(
                    padded[
                        :,
                        first : first + (self.rows - 1) * down + 1 : down,
                        left : left + (self.columns - 1) * across + 1 : across,
                    ]
                )
        return found


def walk(
    graph: Graph,
    placement: Placement,
    spreads: dict[str, Spread],
    tensors: Sequence[npt.NDArray[np.float32]],
    method: Method,
    on_step: Callable[[int, int], object] | None = None,
) -> dict[str, Layer]:
    """Integers for every convolution that is placed as integer, by its node's name."""
    layers: dict[str, Layer] = {}
    if method.correction in ("none", "analytic") and not method.feedback:
        for step in placement.steps:
            if step.integer and step.kind == "Conv":
                layers[step.name] = _layer(step, graph, spreads, [], placement, method)
        return layers
    last = {name: number for number, step in enumerate(placement.steps) for name in step.inputs}
    held: dict[str, list[npt.NDArray[Any]]] = {graph.input: list(tensors)}
    if graph.input in placement.scales:
        held[levels_of(graph.input)] = [levels(tensor, *placement.scales[graph.input]) for tensor in tensors]
    convolutions = sum(step.integer and step.kind == "Conv" for step in placement.steps)
    for number, step in enumerate(placement.steps):
        if step.integer and step.kind == "Conv":
            entries = held[levels_of(step.inputs[0])]
            layers[step.name] = _layer(step, graph, spreads, entries, placement, method)
            if on_step is not None:
                on_step(len(layers), convolutions)
            if len(layers) == convolutions:
                break
        _run(step, graph, placement, layers, held)
        for name in step.inputs:
            if last[name] == number:
                held.pop(name, None)
                held.pop(levels_of(name), None)
    return layers


def levels(value: npt.NDArray[np.float32], scale: float, zero: int) -> npt.NDArray[np.uint8]:
    """QuantizeLinear."""
    found: npt.NDArray[np.uint8] = np.clip(np.rint(value / np.float32(scale)) + zero, 0, 255).astype(np.uint8)
    return found


def _run(
    step: Step,
    graph: Graph,
    placement: Placement,
    layers: dict[str, Layer],
    held: dict[str, list[npt.NDArray[Any]]],
) -> None:
    """One step on all photos."""
    model, inputs, outputs = Writer(graph, placement, layers).alone(step)
    session = open_bytes(model)
    count = len(held[inputs[0]]) if inputs else 1
    for name in outputs:
        held[name] = []
    for number in range(count):
        found = session.run(outputs, {name: held[name][number] for name in dict.fromkeys(inputs)})
        for name, array in zip(outputs, found, strict=True):
            held[name].append(array)


def _layer(
    step: Step,
    graph: Graph,
    spreads: dict[str, Spread],
    entries: list[npt.NDArray[Any]],
    placement: Placement,
    method: Method,
) -> Layer:
    taps = Taps(step, graph)
    node = step.node
    rows = rounding.to_rows(taps.weight)
    has_bias = len(node.input) > 2 and bool(node.input[2])
    bias = graph.constants[node.input[2]].astype(np.float64) if has_bias else np.zeros(len(rows))
    size = rounding.steps(rows, method.form)
    # The int32 bias must hold it: a channel of tiny weights gets a larger step than they need.
    entry = placement.scales[step.inputs[0]][0]
    size = np.maximum(size, np.abs(bias) / (entry * 2.0**30))
    form = method.form
    if method.feedback and taps.group == 1 and entries:
        integers = rounding.feedback(
            rows, size, form, _samples(taps, entries, *placement.scales[step.inputs[0]])
        )
    else:
        integers = rounding.nearest(rows, size, form)
    found = integers.astype(np.float64) * size[:, None]
    scale = placement.scales[step.inputs[0]]

    def shifted(by: Doubles) -> Doubles:
        """(N, O) mean output of these weights in each photo."""
        return np.stack([_applied(by, _means(taps, entry, *scale), taps) for entry in entries])

    if method.correction == "empirical":
        bias = (spreads[node.output[0]].means - shifted(found)).mean(axis=0)
    elif method.correction == "local":
        bias = bias - shifted(found - rows).mean(axis=0)
    elif method.correction == "analytic":
        high, wide = taps.kernel
        mean = np.tile(spreads[step.inputs[0]].mean, (high * wide, 1))
        bias = bias - _applied(found - rows, mean, taps)
    weight = rounding.from_rows(integers, taps.weight.shape)
    return Layer(weight.astype(np.int8), size, bias, form == "unsigned")


def _applied(rows: Doubles, mean: Doubles, taps: Taps) -> Doubles:
    """(O,) mean output of weights (O, kh kw I) for mean inputs (kh kw, C)."""
    width = taps.weight.shape[1]
    count = len(rows) // taps.group
    parts = []
    for group in range(taps.group):
        channels = mean[:, group * width : (group + 1) * width].reshape(-1)
        parts.append(rows[group * count : (group + 1) * count] @ channels)
    return np.concatenate(parts)


def _means(taps: Taps, entry: npt.NDArray[Any], scale: float, zero: int) -> Doubles:
    """(kh kw, C) mean of what each tap reads in one photo's tensor (1, C, H, W) of levels."""
    views = taps.views(taps.padded(entry[0], zero))
    sums = np.stack([view.sum(axis=(1, 2), dtype=np.uint32) for view in views]).astype(np.float64)
    return (sums / (taps.rows * taps.columns) - zero) * scale


def _samples(taps: Taps, entries: list[npt.NDArray[Any]], scale: float, zero: int) -> npt.NDArray[np.float32]:
    """(N, K) inputs under the kernel, K = kh kw I, at places drawn from all photos."""
    random = np.random.default_rng(SEED)
    places = taps.rows * taps.columns
    each = min(places, max(1, SAMPLES // len(entries)))
    samples = []
    for entry in entries:
        chosen = random.choice(places, each, replace=False) if each < places else np.arange(places)
        rows, columns = np.divmod(chosen, taps.columns)
        views = taps.views(taps.padded(entry[0], zero))
        samples.append(np.concatenate([view[:, rows, columns] for view in views]).T)
    values: npt.NDArray[np.float32] = np.concatenate(samples).astype(np.float32)
    values -= zero
    values *= np.float32(scale)
    return values


def _pads(node: Any, size: tuple[int, ...], taps: Taps) -> tuple[int, int, int, int]:
    """Top, left, bottom, right."""
    automatic = attribute(node, "auto_pad", b"NOTSET")
    if automatic in (b"NOTSET", b""):
        top, left, bottom, right = attribute(node, "pads", [0, 0, 0, 0])
        return top, left, bottom, right
    if automatic == b"VALID":
        return 0, 0, 0, 0
    first, last = [], []
    outputs = (taps.rows, taps.columns)
    for entry, output, taken, stride, dilation in zip(
        size, outputs, taps.kernel, taps.strides, taps.dilations, strict=True
    ):
        missing = max(0, (output - 1) * stride + (taken - 1) * dilation + 1 - entry)
        less, more = missing // 2, missing - missing // 2
        first.append(less if automatic == b"SAME_UPPER" else more)
        last.append(more if automatic == b"SAME_UPPER" else less)
    return first[0], first[1], last[0], last[1]


__all__ = ["LEVELS", "Method", "levels", "walk"]
