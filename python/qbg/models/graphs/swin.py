"""Swin-B: a transformer whose attention stays within windows of 12x12 patches, shifted in every second block.

Must not know what is built on its five maps. Source: Liu et al., "Swin Transformer: Hierarchical
Vision Transformer using Shifted Windows" (ICCV 2021); tensor names as in the checkpoints of
InSPyReNet's authors. Sizes are fixed, so padding, cyclic shift and cutting into windows are one
Gather of patches by a list worked out here, and the way back is another.

Left out: other sizes of Swin, absolute positions, sides that aren't multiples of 32.
"""

from __future__ import annotations

import math

import numpy as np

from qbg.models.graphs.builder import Array, Value
from qbg.models.graphs.layers import EPS, Layers

WIDTH = 128
DEPTHS = (2, 2, 18, 2)
HEAD = 32
"""Channels of an attention head, in every stage."""
WINDOW = 12
SHIFT = WINDOW // 2
PATCH = 4
HIDDEN = 4
"""Width of the two-layer part, in widths of the stage."""
APART = -100.0
"""Added to the score of two patches that only the cyclic shift made neighbors."""


def swin_b(net: Layers, x: Value, prefix: str = "backbone") -> list[Value]:
    """Five maps of a picture (1, 3, H, W), H and W multiples of 32.

    Their strides are 4, 4, 8, 16, 32 and their channels 128, 128, 256, 512, 1024.
    """
    g = net.graph
    name = f"{prefix}.patch_embed"
    kernel = net.weights.take(f"{name}.proj.weight", (WIDTH, 3, PATCH, PATCH))
    x = g.conv(x, kernel, net.weights.take(f"{name}.proj.bias", (WIDTH,)), stride=PATCH)
    height, width = x.shape[2:]
    tokens = g.transpose(g.reshape(x, 1, WIDTH, -1), 0, 2, 1)
    tokens = _norm(net, tokens, f"{name}.norm")
    maps = [_map(net, tokens, height, width)]
    for number, depth in enumerate(DEPTHS):
        layer = f"{prefix}.layers.{number}"
        for index in range(depth):
            shift = SHIFT if index % 2 else 0
            tokens = _block(net, tokens, f"{layer}.blocks.{index}", height, width, shift)
        maps.append(_map(net, _norm(net, tokens, f"{prefix}.norm{number}"), height, width))
        if number + 1 < len(DEPTHS):
            tokens = _merged(net, tokens, f"{layer}.downsample", height, width)
            height, width = height // 2, width // 2
    return maps


def _map(net: Layers, tokens: Value, height: int, width: int) -> Value:
    """(1, H W, C) as (1, C, H, W)."""
    channels = tokens.shape[2]
    return net.graph.reshape(net.graph.transpose(tokens, 0, 2, 1), 1, channels, height, width)


def _norm(net: Layers, x: Value, name: str) -> Value:
    """Layer normalization over channels, the last axis."""
    constants = [
        net.graph.constant(net.weights.take(f"{name}.{kind}", x.shape[-1:])) for kind in ("weight", "bias")
    ]
    return net.graph.add("LayerNormalization", [x, *constants], x.shape, axis=-1, epsilon=EPS)


def _linear(net: Layers, x: Value, name: str, out: int, *, bias: bool = True) -> Value:
    g = net.graph
    y = g.matmul(x, g.constant(net.weights.take(f"{name}.weight", (out, x.shape[-1])).T))
    return g.binary("Add", y, g.constant(net.weights.take(f"{name}.bias", (out,)))) if bias else y


def _block(net: Layers, x: Value, name: str, height: int, width: int, shift: int) -> Value:
    g = net.graph
    x = g.binary(
        "Add", x, _attention(net, _norm(net, x, f"{name}.norm1"), f"{name}.attn", height, width, shift)
    )
    y = _linear(net, _norm(net, x, f"{name}.norm2"), f"{name}.mlp.fc1", HIDDEN * x.shape[2])
    # GELU as runtimes know to recognize it: y (1 + erf(y / sqrt 2)) / 2.
    gate = g.binary("Add", g.unary("Erf", g.binary("Div", y, math.sqrt(2))), 1.0)
    y = g.binary("Mul", g.binary("Mul", y, gate), 0.5)
    return g.binary("Add", x, _linear(net, y, f"{name}.mlp.fc2", x.shape[2]))


def _attention(net: Layers, x: Value, name: str, height: int, width: int, shift: int) -> Value:
    """Attention within windows: (1, H W, C) to the same."""
    g = net.graph
    channels = x.shape[2]
    heads, area = channels // HEAD, WINDOW * WINDOW
    there, back, corners = windows(height, width, shift)
    count = len(corners)
    if len(there) > height * width:  # patches past the border are zeros: one more patch, which is zero
        x = g.concat([x, g.constant(np.zeros((1, 1, channels), np.float32))])
    y = g.add("Gather", [x, g.constant(there)], (1, count * area, channels), axis=1)
    y = _linear(net, g.reshape(y, count, area, channels), f"{name}.qkv", 3 * channels)
    query, key, value = (
        g.transpose(g.reshape(part, count, area, heads, HEAD), *order)
        for part, order in zip(
            g.split(y, [channels] * 3, axis=2), ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)), strict=True
        )
    )
    table = net.weights.take(f"{name}.relative_position_bias_table", ((2 * WINDOW - 1) ** 2, heads))
    places = table[distances()].transpose(2, 0, 1)[None]
    scores = g.matmul(g.binary("Mul", query, HEAD**-0.5), key)
    scores = g.binary("Add", scores, g.constant(places))
    if shift:
        # Four kinds of window, chosen by a list: runtimes work the choice out once, at load.
        kinds = [g.constant(apart()[:, None]), g.constant(corners)]
        scores = g.binary("Add", scores, g.add("Gather", kinds, (count, 1, area, area), axis=0))
    y = g.matmul(g.unary("Softmax", scores, axis=-1), value)
    y = g.reshape(g.transpose(y, 0, 2, 1, 3), 1, count * area, channels)
    y = _linear(net, y, f"{name}.proj", channels)
    return g.add("Gather", [y, g.constant(back)], (1, height * width, channels), axis=1)


def _merged(net: Layers, x: Value, name: str, height: int, width: int) -> Value:
    """Each 2x2 patches as one, of twice the channels; columns vary slower than rows."""
    g = net.graph
    channels = x.shape[2]
    y = g.transpose(g.reshape(x, 1, height // 2, 2, width // 2, 2, channels), 0, 1, 3, 4, 2, 5)
    y = _norm(net, g.reshape(y, 1, height * width // 4, 4 * channels), f"{name}.norm")
    return _linear(net, y, f"{name}.reduction", 2 * channels, bias=False)


def windows(height: int, width: int, shift: int) -> tuple[Array, Array, Array]:
    """How patches are cut into windows, and put together again; int64.

    Returns:
        For each place in each window the number of its patch (H W: none, past the border); for each
        patch its place; for each window 2 if it is in the last row plus 1 if in the last column.
    """
    rows, columns = (math.ceil(size / WINDOW) for size in (height, width))
    patches = np.full((rows * WINDOW, columns * WINDOW), height * width, np.int64)
    patches[:height, :width] = np.arange(height * width).reshape(height, width)
    patches = np.roll(patches, (-shift, -shift), (0, 1))
    there = patches.reshape(rows, WINDOW, columns, WINDOW).transpose(0, 2, 1, 3).reshape(-1)
    back = np.argsort(there, kind="stable")[: height * width]
    corners = 2 * (np.arange(rows) == rows - 1)[:, None] + (np.arange(columns) == columns - 1)[None, :]
    return there, back, corners.reshape(-1).astype(np.int64)


def distances() -> Array:
    """For two places of a window, (144, 144), the row of the table that belongs to their distance."""
    row, column = np.divmod(np.arange(WINDOW * WINDOW), WINDOW)
    down, across = (place[:, None] - place[None, :] + WINDOW - 1 for place in (row, column))
    places: Array = down * (2 * WINDOW - 1) + across
    return places


def apart() -> Array:
    """What is added to scores in the four kinds of window, (4, 144, 144) float32."""
    row, column = np.divmod(np.arange(WINDOW * WINDOW), WINDOW)
    kinds = []
    for last_row in (False, True):
        for last_column in (False, True):
            part = 2 * (last_row & (row >= WINDOW - SHIFT)) + (last_column & (column >= WINDOW - SHIFT))
            kinds.append(np.where(part[:, None] == part[None, :], 0.0, APART))
    return np.stack(kinds).astype(np.float32)
