"""InSPyReNet, here on Res2Net-50: salient objects by a pyramid of saliency and Laplacian maps.

Source: Kim et al., "Revisiting Image Pyramid Structure for High Resolution Salient Object
Detection" (ACCV 2022); tensor names, and the traits below, as in the authors' checkpoints, which
only fit a network that keeps them:

1. Axial attention and the context vectors see a map's memory in another shape, without moving
   axes. Reshape does that; a transpose would be another network.
2. In axial attention queries times keys go into the softmax undivided.
3. The decoder resizes by corner centers, everything else by corners; its convolutions have no
   ReLU and the last one no norm, whereas the last one of each SICA has a norm.
4. SICA's context is taken at the size that the stage has at the training size `base`, so a
   picture of another size is resized there.

Must not know checkpoints' formats or recipes. Leaves out the blend of a low and a high resolution
pass, which the published fast network doesn't use.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qbg.models.graphs.builder import Array, Value
from qbg.models.graphs.layers import Layers
from qbg.models.graphs.res2net import res2net50

DEPTH = 64
REACHES = (3, 5, 7)
"""Of the context modules' three branches: taps of their strips, and dilation."""


Backbone = Callable[[Layers, Value], list[Value]]
"""Makes five maps of a picture; their strides are 4, 4, 8, 16, 32."""


def inspyrenet(net: Layers, picture: Value, base: int, backbone: Backbone = res2net50) -> Value:
    """Saliency logits (1, 1, H, W) of a normalized picture (1, 3, H, W), H and W multiples of 32.

    Args:
        net: graph and weights.
        picture: the input.
        base: height and width of the pictures that the network was trained on.
        backbone: what the head stands on.
    """
    g = net.graph
    height, width = picture.shape[2:]
    maps = [_context(net, x, f"context{number}") for number, x in enumerate(backbone(net, picture), 1)]
    feature, saliency = _decoder(net, maps[2:])

    feature = g.resize(feature, height // 4, width // 4)
    joined = g.concat([maps[1], feature])
    feature, detail = _sica(net, joined, "attention2", saliency, None, base // 4)
    saliency = _reconstruct(net, saliency, detail)

    size = (height // 2, width // 2)
    joined = g.concat([g.resize(maps[0], *size), g.resize(feature, *size)])
    feature, finer = _sica(net, joined, "attention1", saliency, detail, base // 2)
    saliency = _reconstruct(net, saliency, finer)

    feature = g.resize(feature, height, width)
    _, finest = _sica(net, feature, "attention0", saliency, finer, base)
    return _reconstruct(net, saliency, finest)


def _conv(
    net: Layers,
    x: Value,
    name: str,
    out: int,
    kernel: int | tuple[int, int],
    *,
    dilation: int = 1,
    relu: bool = False,
) -> Value:
    """A convolution of the head, with its norm."""
    size = (kernel, kernel) if isinstance(kernel, int) else kernel
    return net.conv(x, f"{name}.conv", f"{name}.bn", out, size, dilation=dilation, relu=relu)


def _context(net: Layers, x: Value, name: str) -> Value:
    """PAA encoder: (1, C, h, w) to (1, 64, h, w), seen through windows of four sizes."""
    g = net.graph
    branches = [_conv(net, x, f"{name}.branch0", DEPTH, 1)]
    for number, reach in enumerate(REACHES, start=1):
        branch = f"{name}.branch{number}"
        y = _conv(net, x, f"{branch}.conv0", DEPTH, 1)
        y = _conv(net, y, f"{branch}.conv1", DEPTH, (1, reach))
        y = _conv(net, y, f"{branch}.conv2", DEPTH, (reach, 1))
        y = _axial_pair(net, y, branch)
        branches.append(_conv(net, y, f"{branch}.conv3", DEPTH, 3, dilation=reach))
    joined = _conv(net, g.concat(branches), f"{name}.conv_cat", DEPTH, 3)
    return g.unary("Relu", g.binary("Add", joined, _conv(net, x, f"{name}.conv_res", DEPTH, 1)))


def _decoder(net: Layers, maps: list[Value]) -> tuple[Value, Value]:
    """PAA decoder: three maps to a feature (1, 64, h, w) and logits (1, 1, h, w) at the first one's size."""
    g = net.graph
    size = maps[0].shape[2:]
    x = g.concat([g.resize(x, *size, corners=True) for x in reversed(maps)])
    x = _conv(net, x, "decoder.conv1", DEPTH, 3)
    x = _axial_pair(net, x, "decoder")
    for name in ("conv2", "conv3", "conv4"):
        x = _conv(net, x, f"decoder.{name}", DEPTH, 3)
    return x, net.conv(x, "decoder.conv5.conv", None, 1, (3, 3))


def _axial_pair(net: Layers, x: Value, name: str) -> Value:
    """The sum of both attentions of a map."""
    height, width = x.shape[2:]
    if net.form.joined_attention:
        return _joined_pair(net, x, name)
    return net.graph.binary(
        "Add", _axial(net, x, f"{name}.Hattn", height), _axial(net, x, f"{name}.Wattn", width)
    )


def _axial(net: Layers, x: Value, name: str, axis: int) -> Value:
    """Attention between the positions of an axis: x + gate * values by softmax of queries by keys."""
    g = net.graph
    parts = [
        _conv(net, x, f"{name}.{kind}_conv", channels, 1)
        for kind, channels in (("query", DEPTH // 8), ("key", DEPTH // 8), ("value", DEPTH))
    ]
    mixed = _mixed(net, parts, x.shape, axis)
    return g.binary("Add", g.binary("Mul", mixed, net.scalar(f"{name}.gamma")), x)


def _joined_pair(net: Layers, x: Value, name: str) -> Value:
    """The same by one 1x1 convolution: queries and keys, and values with their gates inside."""
    g = net.graph
    sizes, kernels, biases = [], [], []
    for mode in ("Hattn", "Wattn"):
        for kind, channels in (("query", DEPTH // 8), ("key", DEPTH // 8), ("value", DEPTH)):
            part = f"{name}.{mode}.{kind}_conv"
            kernel, bias = net.folded(f"{part}.conv", f"{part}.bn", (channels, DEPTH, 1, 1))
            gate = net.weights.take(f"{name}.{mode}.gamma", (1,)) if kind == "value" else np.float32(1)
            sizes.append(channels)
            kernels.append(kernel * gate)
            biases.append(bias * gate)
    parts = g.split(g.conv(x, np.concatenate(kernels), np.concatenate(biases)), sizes)
    mixed = [
        _mixed(net, parts[:3], x.shape, x.shape[2]),
        _mixed(net, parts[3:], x.shape, x.shape[3]),
    ]
    return g.binary("Add", g.binary("Add", *mixed), g.binary("Add", x, x))


def _mixed(net: Layers, parts: list[Value], shape: tuple[int, ...], axis: int) -> Value:
    """Values (1, 64, h, w) mixed along an axis by softmax of queries by keys."""
    g = net.graph
    query, key, value = (g.reshape(part, 1, -1, axis) for part in parts)
    scores = g.unary("Softmax", g.matmul(g.transpose(query, 0, 2, 1), key), axis=-1)
    return g.reshape(g.matmul(value, g.transpose(scores, 0, 2, 1)), *shape)


def _sica(
    net: Layers, x: Value, name: str, saliency: Value, detail: Value | None, stage: int
) -> tuple[Value, Value]:
    """Attention of each pixel to a few context vectors: subject, background, doubt, and edges of both kinds.

    Args:
        net: graph and weights.
        x: feature (1, C, h, w).
        name: of the module.
        saliency: logits of the coarser stage.
        detail: Laplacian logits of the coarser stage, or None.
        stage: height and width at which the context is taken.

    Returns:
        The next feature (1, 64, h, w) and Laplacian logits (1, 1, h, w).
    """
    g = net.graph
    channels, height, width = x.shape[1:]
    regions = _regions(net, name, g.resize(saliency, height, width), detail)
    count = regions.shape[1]
    weights = g.reshape(g.resize(regions, stage, stage), 1, count, stage * stage)
    seen = g.reshape(g.resize(x, stage, stage), 1, stage * stage, channels)
    context = g.reshape(g.transpose(g.matmul(weights, seen), 0, 2, 1), 1, channels, count, 1)

    query, key, value = (
        _conv(net, _conv(net, of, f"{name}.conv_{kind}.0", DEPTH, taps, relu=True), f"{name}.conv_{kind}.1",
              DEPTH, taps, relu=True)
        for kind, of, taps in (("query", x, 3), ("key", context, 1), ("value", context, 1))
    )  # fmt: skip
    refined = (_refined_small if net.form.small_context else _refined)(net, name, query, key, value)
    if net.form.sums_for_concats:
        y = _conv_of_both(net, x, refined, f"{name}.conv_out2")
    else:
        y = _conv(net, g.concat([x, refined]), f"{name}.conv_out2", DEPTH, 3, relu=True)
    y = _conv(net, y, f"{name}.conv_out3", DEPTH, 3, relu=True)
    return y, _conv(net, y, f"{name}.conv_out4", 1, 1)


def _refined(net: Layers, name: str, query: Value, key: Value, value: Value) -> Value:
    """Each pixel's mixture of the values, convolved.

    Args:
        net: graph and weights.
        name: of the module.
        query: (1, 64, h, w).
        key: (1, 64, n, 1) of the n context vectors.
        value: like `key`.
    """
    g = net.graph
    shape, count = query.shape, key.shape[2]
    rows = g.transpose(g.reshape(query, 1, DEPTH, -1), 0, 2, 1)
    scores = g.binary("Mul", g.matmul(rows, g.reshape(key, 1, DEPTH, count)), DEPTH**-0.5)
    scores = g.unary("Softmax", scores, axis=-1)
    values = g.transpose(g.reshape(value, 1, DEPTH, count), 0, 2, 1)
    mixed = g.reshape(g.transpose(g.matmul(scores, values), 0, 2, 1), *shape)
    return _conv(net, mixed, f"{name}.conv_out1", DEPTH, 3, relu=True)


def _refined_small(net: Layers, name: str, query: Value, key: Value, value: Value) -> Value:
    """The same, the values multiplied into the kernel: the picture-sized mixture is never made.

    The mixture is linear in the n scores of a pixel and the convolution is linear in the mixture, so
    kernel times values is a kernel (64, n, 3, 3) on the scores.
    """
    g = net.graph
    _, _, height, width = query.shape
    count = key.shape[2]
    columns = g.binary("Mul", g.transpose(g.reshape(key, DEPTH, count), 1, 0), DEPTH**-0.5)
    scores = g.matmul(columns, g.reshape(query, DEPTH, -1))
    scores = g.reshape(g.unary("Softmax", scores, axis=0), 1, count, height, width)
    part = f"{name}.conv_out1"
    kernel, bias = net.folded(f"{part}.conv", f"{part}.bn", (DEPTH, DEPTH, 3, 3))
    values = g.transpose(g.reshape(value, DEPTH, count), 1, 0)
    mixed = g.matmul(values, g.constant(kernel.reshape(DEPTH, DEPTH, 9)))
    return g.unary("Relu", g.conv(scores, g.reshape(mixed, DEPTH, count, 3, 3), bias, pads=(1, 1)))


def _conv_of_both(net: Layers, a: Value, b: Value, name: str) -> Value:
    """A 3x3 convolution with ReLU of two features side by side, without laying them there."""
    g = net.graph
    channels = a.shape[1]
    kernel, bias = net.folded(f"{name}.conv", f"{name}.bn", (DEPTH, channels + b.shape[1], 3, 3))
    first = g.conv(a, kernel[:, :channels], pads=(1, 1))
    return g.unary("Relu", g.binary("Add", g.conv(b, kernel[:, channels:], bias, pads=(1, 1)), first))


def _regions(net: Layers, name: str, saliency: Value, detail: Value | None) -> Value:
    """How much each pixel belongs to each kind of region: (1, 3 or 5, h, w), all in 0..1."""
    g = net.graph
    threshold = net.scalar(f"{name}.threshold")
    above = g.binary("Sub", g.unary("Sigmoid", saliency), threshold)
    subject = g.clip(above, 0, 1)
    background = g.clip(g.unary("Neg", above), 0, 1)
    doubt = g.binary("Add", g.unary("Neg", g.unary("Abs", above)), threshold)
    kinds = [subject, background, doubt]
    if detail is not None:
        threshold = net.scalar(f"{name}.lthreshold")
        detail = g.resize(detail, *saliency.shape[2:])
        above = g.binary("Sub", g.unary("Sigmoid", detail), threshold)
        kinds += [g.clip(above, 0, 1), g.clip(g.unary("Neg", above), 0, 1)]
    return g.concat(kinds)


def _reconstruct(net: Layers, coarse: Value, detail: Value) -> Value:
    """The next map of the pyramid: the coarser one expanded, and its Laplacian added."""
    expand = _expand_product if net.form.pyramid_products else _expand
    return net.graph.binary("Add", expand(net, coarse), detail)


def _expand(net: Layers, x: Value) -> Value:
    """Burt and Adelson's expansion by two: zeros between pixels, mirrored border, 7x7 Gaussian times 4."""
    g = net.graph
    _, _, height, width = x.shape
    zeros = g.constant(np.zeros((1, 3, height, width), np.float32))
    stuffed = g.add(
        "DepthToSpace", [g.concat([x, zeros])], (1, 1, 2 * height, 2 * width), blocksize=2, mode="CRD"
    )
    reach = TAPS // 2
    pads = g.constant(np.array([0, 0, reach, reach] * 2, np.int64))
    padded = g.add(
        "Pad", [stuffed, pads], (1, 1, 2 * height + 2 * reach, 2 * width + 2 * reach), mode="reflect"
    )
    line = gaussian()
    return g.conv(padded, (4 * np.outer(line, line)).astype(np.float32)[None, None])


def _expand_product(net: Layers, x: Value) -> Value:
    """The same as columns' matrix times map times rows' matrix: all of it is linear and separable."""
    g = net.graph
    down, across = (expansion(size).astype(np.float32) for size in x.shape[2:])
    return g.matmul(g.matmul(g.constant(down), x), g.constant(across.T))


def expansion(size: int) -> Array:
    """The expansion of `size` numbers to twice as many, as a matrix (2 size, size) float64."""
    reach = TAPS // 2
    line = 2 * gaussian()
    matrix = np.zeros((2 * size, size))
    for row in range(2 * size):
        for tap in range(TAPS):
            at = abs(row + tap - reach)  # mirrored at the first number and, below, at the last
            at = min(at, 2 * (2 * size - 1) - at)
            if at % 2 == 0:  # between the numbers are zeros
                matrix[row, at // 2] += line[tap]
    return matrix


TAPS = 7


def gaussian() -> Array:
    """The pyramid's filter along one axis, (7,) float64, sum 1: a sampled Gaussian of deviation 1."""
    line: Array = np.exp(-0.5 * (np.arange(TAPS) - TAPS // 2) ** 2.0)
    line /= line.sum()
    return line
