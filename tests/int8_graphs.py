"""Small float networks for tests of quantizing, and NumPy's word on integer convolution.

Written with the onnx package. Must not know qbg. Weights are drawn with fixed seeds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 32


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    *,
    opset: int = 17,
    outputs: dict[str, list[int]] | None = None,
    side: int = SIDE,
    metadata: dict[str, str] | None = None,
) -> Path:
    shapes = outputs or {"alpha": [1, 1, side, side]}
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 19 else 9
    )
    if metadata:
        helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def _conv(name: str, x: str, y: str, pad: int = 1, **attributes: object) -> onnx.NodeProto:
    inputs = [x, f"{name}.w", f"{name}.b"]
    return helper.make_node("Conv", inputs, [y], name=name, pads=[pad] * 4, **attributes)


def unet(path: Path, *, opset: int = 17, metadata: dict[str, str] | None = None) -> Path:
    """Convolutions with and without ReLU, pooling, resizing, concatenation, a sum, a sigmoid; two outputs.

    Says where a picture is bright: `alpha` (1, 1, 32, 32), and `side`, which nobody needs.
    """
    random = np.random.default_rng(3)

    def weights(out: int, entries: int, size: int = 3) -> np.ndarray:
        return (random.normal(0, 1, (out, entries, size, size)) / np.sqrt(entries * size * size)).astype(
            np.float32
        )

    constants = {
        "first.w": weights(8, 3),
        "low.w": weights(8, 8),
        "join.w": weights(8, 16),
        "map.w": weights(1, 8),
        "side.w": weights(1, 8),
        "norm.scale": random.uniform(0.5, 1.5, 8).astype(np.float32),
        "norm.shift": random.normal(0, 0.1, 8).astype(np.float32),
        "norm.mean": random.normal(0, 0.1, 8).astype(np.float32),
        "norm.variance": random.uniform(0.5, 1.5, 8).astype(np.float32),
        "roi": np.zeros(0, np.float32),  # opset 11 doesn't let it be left out
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    constants |= {
        f"{name}.b": random.normal(0, 0.1, len(constants[f"{name}.w"])).astype(np.float32)
        for name in ("first", "low", "join", "map", "side")
    }
    # The sum of channels carries brightness, so that masks have both inside and outside.
    constants["first.w"][0] = 0.0
    constants["first.w"][0, :, 1, 1] = 0.5
    constants["map.w"][:] *= 0.2
    constants["map.w"][0, 0, 1, 1] = 4.0
    nodes = [
        _conv("first", "input", "first.y"),
        helper.make_node("Relu", ["first.y"], ["first.r"]),
        helper.make_node("MaxPool", ["first.r"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        _conv("low", "pooled", "low.y"),
        helper.make_node(
            "BatchNormalization",
            ["low.y", "norm.scale", "norm.shift", "norm.mean", "norm.variance"],
            ["low.n"],
        ),
        helper.make_node("Relu", ["low.n"], ["low.r"]),
        helper.make_node(
            "Resize",
            ["low.r", "roi", "scales"],
            ["up"],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        ),
        helper.make_node("Concat", ["first.r", "up"], ["both"], axis=1),
        _conv("join", "both", "join.y"),
        helper.make_node("Add", ["join.y", "first.r"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["sum.r"]),
        _conv("map", "sum.r", "logits"),
        helper.make_node("Sigmoid", ["logits"], ["alpha"]),
        _conv("side", "low.r", "side.y"),
        helper.make_node("Sigmoid", ["side.y"], ["side_alpha"]),
    ]
    half = SIDE // 2
    return _save(
        path,
        nodes,
        constants,
        opset=opset,
        outputs={"alpha": [1, 1, SIDE, SIDE], "side_alpha": [1, 1, half, half]},
        metadata=metadata,
    )


def canceling(path: Path, loud: float = 3000.0) -> Path:
    """A layer whose signal rides on a constant `loud` times as large, which the next one takes off again.

    Harmless in float; with 256 levels for both nothing of the signal is left.
    """
    first = np.zeros((8, 8, 3, 3), np.float32)
    first[0, :3, 1, 1], first[0, 3:6, 1, 1] = 0.5, -0.5
    second = np.zeros((8, 8, 3, 3), np.float32)
    second[0, :2, 1, 1] = 1.0, -1.0
    before = np.zeros((8, 3, 1, 1), np.float32)
    before[:3] = np.eye(3)[:, :, None, None]
    before[3:6] = -np.eye(3)[:, :, None, None]
    constants = {
        "before.w": before,
        "before.b": np.zeros(8, np.float32),
        "first.w": first,
        "first.b": np.array([loud, loud, 0, 0, 0, 0, 0, 0], np.float32),
        "second.w": second,
        "second.b": np.full(8, 0.5, np.float32),
        "map.w": np.full((1, 8, 1, 1), 0.0, np.float32),
        "map.b": np.array([-4.0], np.float32),
    }
    constants["map.w"][0, 0] = 8.0
    nodes = [
        _conv("before", "input", "before.y", 0),
        helper.make_node("Relu", ["before.y"], ["before.r"]),
        _conv("first", "before.r", "first.y"),
        helper.make_node("Relu", ["first.y"], ["first.r"]),
        _conv("second", "first.r", "second.y"),
        helper.make_node("Relu", ["second.y"], ["second.r"]),
        _conv("map", "second.r", "logits", 0),
        helper.make_node("Sigmoid", ["logits"], ["alpha"]),
    ]
    return _save(path, nodes, constants)


def bordered(path: Path, *, value: float = 0.0, shown: bool = False) -> Path:
    """A border before a convolution that has one of its own, as TensorFlow's SAME is exported.

    `value` of the border; `shown`: something other than the convolution reads the bordered map, too.
    """
    random = np.random.default_rng(5)
    constants = {
        "first.w": random.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "first.b": random.normal(0, 0.1, 8).astype(np.float32),
        "around": np.array([0, 0, 0, 1, 0, 0, 2, 1], np.int64),
        "value": np.array(value, np.float32),
        "second.w": random.normal(0, 0.3, (1, 8, 3, 3)).astype(np.float32),
        "second.b": np.zeros(1, np.float32),
    }
    nodes = [
        _conv("first", "input", "first.y"),
        helper.make_node("Relu", ["first.y"], ["first.r"]),
        helper.make_node("Pad", ["first.r", "around", "value"], ["padded"], name="border"),
        _conv("second", "padded", "second.y", strides=[2, 2]),
    ]
    if shown:
        nodes.append(helper.make_node("ReduceMean", ["padded"], ["mean"], axes=[1, 2, 3]))
        nodes.append(helper.make_node("Add", ["second.y", "mean"], ["alpha"]))
    else:
        nodes.append(helper.make_node("Sigmoid", ["second.y"], ["alpha"]))
    return _save(path, nodes, constants, outputs={"alpha": [1, 1, 17, 17]})


def lone(
    path: Path,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    size: tuple[int, int],
    pads: tuple[int, int, int, int] = (1, 1, 1, 1),
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    group: int = 1,
) -> Path:
    """One convolution of a (1, C, H, W) input, float in and out."""
    channels = weight.shape[1] * group
    node = helper.make_node(
        "Conv",
        ["input", "w", "b"],
        ["result"],
        name="lone",
        pads=list(pads),
        strides=list(strides),
        dilations=list(dilations),
        group=group,
    )
    graph = helper.make_graph(
        [node],
        "lone",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, channels, *size])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def convolved(
    x: np.ndarray,
    weight: np.ndarray,
    *,
    pads: tuple[int, int, int, int] = (1, 1, 1, 1),
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    group: int = 1,
) -> np.ndarray:
    """(O, h, w) of (C, H, W) and (O, C / group, kh, kw): plain loops over places, in the inputs' own type."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    out, width, high, wide = weight.shape
    rows = (padded.shape[1] - dilations[0] * (high - 1) - 1) // strides[0] + 1
    columns = (padded.shape[2] - dilations[1] * (wide - 1) - 1) // strides[1] + 1
    result = np.zeros((out, rows, columns), np.result_type(x, weight))
    for channel in range(out):
        begin = channel // (out // group) * width
        for row in range(rows):
            for column in range(columns):
                y, z = row * strides[0], column * strides[1]
                seen = padded[
                    begin : begin + width,
                    y : y + dilations[0] * (high - 1) + 1 : dilations[0],
                    z : z + dilations[1] * (wide - 1) + 1 : dilations[1],
                ]
                result[channel, row, column] = (seen * weight[channel]).sum()
    return result
