"""Moves scale from loud channels into the weights that read them: one step then fits a whole tensor better.

ReLU(s x) = s ReLU(x) for s > 0, and the same holds for pooling, resizing, concatenation and sums of terms
scaled alike. So a channel may be divided by s where it is made (rows of weights and bias) if its readers'
columns are multiplied by s; the float network stays the same function. Channels that must share s (the terms
of an Add) form one class. s = reach^a / column^(1 - a), as in SmoothQuant (Xiao et al. 2023), on the classes
of data-free cross-layer equalization (Nagel et al. 2019). Must not know integers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx

from qbg.models.int8.graph import Array, Graph
from qbg.models.int8.measure import Spread

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

PASSING = ("Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize")
"""Operators that give s f(x) for s x, channel by channel."""

ALPHA = 0.5
"""Share of the reach in s; see the table in models/README.md."""

LIMIT = 256.0
"""s stays within 1 / LIMIT and LIMIT."""


class _Classes:
    """Channels that must share a factor: union-find over numbers."""

    def __init__(self) -> None:
        self.parent: list[int] = []

    def new(self, count: int) -> Indices:
        first = len(self.parent)
        self.parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def root(self, item: int) -> int:
        while self.parent[item] != item:
            self.parent[item] = self.parent[self.parent[item]]
            item = self.parent[item]
        return item

    def roots(self, items: Indices) -> Indices:
        return np.array([self.root(int(item)) for item in items], np.int64)

    def join(self, one: Indices, other: Indices) -> None:
        for first, second in zip(one, other, strict=True):
            self.parent[self.root(int(first))] = self.root(int(second))


def equalize(
    graph: Graph, spreads: dict[str, Spread], alpha: float = ALPHA
) -> tuple[Graph, dict[str, Spread]]:
    """The same function with evener channels, and its spreads.

    Args:
        graph: weights are replaced, not changed in place.
        spreads: of its tensors.
        alpha: share of the activations in the factor, 0 to 1.
    """
    classes = _Classes()
    channels, frozen = _channels(graph, classes)
    count = len(classes.parent)
    roots = classes.roots(np.arange(count)) if count else np.zeros(0, np.int64)
    reach, column = np.zeros(count), np.zeros(count)
    for name, items in channels.items():
        if name in spreads and spreads[name].reach.shape == items.shape:
            np.maximum.at(reach, roots[items], spreads[name].reach)
    for node in graph.nodes:
        if node.op_type == "Conv" and node.input[1] in graph.constants:
            weight = np.abs(graph.constants[node.input[1]]).astype(np.float64)
            rows = weight.reshape(len(weight), -1).max(axis=1)
            share = (weight / np.maximum(rows, 1e-30)[:, None, None, None]).max(axis=(2, 3))
            np.maximum.at(column, roots[channels[node.input[0]]], _by_input(share, node, graph).max(axis=0))
    factor = np.ones(count)
    alive = (reach > 0) & (column > 0)
    factor[alive] = reach[alive] ** alpha / column[alive] ** (1.0 - alpha)
    stuck = np.zeros(count, bool)
    for items in frozen:
        stuck[roots[items]] = True
    free = alive & ~stuck
    if free.any():
        # The middle is 1, so that factors say how far a channel is from the usual.
        factor = factor / np.exp(np.log(factor[free]).mean())
    factor = np.where(free, np.clip(factor, 1.0 / LIMIT, LIMIT), 1.0)[roots]
    constants = dict(graph.constants)
    nodes = [_rescaled(node, graph, constants, channels, factor) for node in graph.nodes]
    spreads = {
        name: spread.scaled(1.0 / factor[channels[name]])
        if name in channels and channels[name].shape == spread.mean.shape
        else spread
        for name, spread in spreads.items()
    }
    return replace(graph, nodes=nodes, constants=constants), spreads


def _channels(graph: Graph, classes: _Classes) -> tuple[dict[str, Indices], list[Indices]]:
    """The class of each channel of each tensor of rank 4, and the channels that can't be scaled."""
    channels: dict[str, Indices] = {}
    frozen: list[Indices] = []

    def of(name: str) -> Indices:
        if name not in channels:
            channels[name] = classes.new(graph.shapes[name][1])
            frozen.append(channels[name])
        return channels[name]

    for node in graph.nodes:
        entries = [name for name in graph.data_inputs(node) if len(graph.shapes.get(name, ())) == 4]
        for name in entries:
            of(name)
        whole = (
            len(entries) == len(graph.data_inputs(node)) and len(graph.shapes.get(node.output[0], ())) == 4
        )
        kind = node.op_type
        if kind == "Conv" and whole and len(entries) == 1 and node.input[1] in graph.constants:
            channels[node.output[0]] = classes.new(graph.shapes[node.output[0]][1])
        elif kind in PASSING and whole and len(node.output) == 1:
            channels[node.output[0]] = of(entries[0])
        elif kind == "Concat" and whole and len(entries) == len(node.input):
            channels[node.output[0]] = np.concatenate([of(name) for name in node.input])
        elif kind == "Add" and whole and len(entries) == 2 and _alike(graph, node.input):
            classes.join(of(node.input[0]), of(node.input[1]))
            channels[node.output[0]] = of(node.input[0])
        else:
            frozen += [of(name) for name in entries]
    if graph.output in channels:
        frozen.append(channels[graph.output])
    return channels, frozen


def _alike(graph: Graph, names: list[str]) -> bool:
    return graph.shapes[names[0]] == graph.shapes[names[1]]


def _by_input(share: Doubles, node: onnx.NodeProto, graph: Graph) -> Doubles:
    """(rows, all input channels) of (rows, channels per group): each row reads its group's channels."""
    total = graph.shapes[node.input[0]][1]
    rows, width = share.shape
    if width == total:
        return share
    groups = total // width
    spread = np.zeros((rows, total))
    for group in range(groups):
        part = slice(group * rows // groups, (group + 1) * rows // groups)
        spread[part, group * width : (group + 1) * width] = share[part]
    return spread


def _rescaled(
    node: onnx.NodeProto,
    graph: Graph,
    constants: dict[str, Array],
    channels: dict[str, Indices],
    factor: Doubles,
) -> onnx.NodeProto:
    """The node, with new constants if its weights change."""
    if node.op_type != "Conv" or node.input[1] not in graph.constants or node.output[0] not in channels:
        return node
    weight = graph.constants[node.input[1]].astype(np.float64)
    entry, result = factor[channels[node.input[0]]], factor[channels[node.output[0]]]
    rows, width = weight.shape[:2]
    groups = len(entry) // width
    columns = entry.reshape(groups, width).repeat(rows // groups, axis=0)
    weight = weight * columns[:, :, None, None] / result[:, None, None, None]
    new = onnx.NodeProto()
    new.CopyFrom(node)
    new.input[1] = f"{node.name}/equalized"
    constants[new.input[1]] = weight.astype(np.float32)
    if len(node.input) > 2 and node.input[2]:
        new.input[2] = f"{node.name}/equalized_bias"
        constants[new.input[2]] = (graph.constants[node.input[2]] / result).astype(np.float32)
    return new
