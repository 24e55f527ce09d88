"""Res2Net-50 v1b, 26w4s: a residual network whose 3x3 convolutions work on a quarter each, in a chain.

Must not know what is built on its five maps. Source: Gao et al., "Res2Net: A New Multi-Scale
Backbone Architecture" (TPAMI 2021); layout and tensor names as in the checkpoints that
InSPyReNet's authors distribute. Traits that a reader wouldn't guess: three 3x3 convolutions as
the stem, average pooling in front of the shortcut's 1x1, and dilation 2 in the third stage and 4,
8, 16 in the fourth, in their first blocks together with stride 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from qbg.models.graphs.builder import Value
from qbg.models.graphs.layers import Layers

QUARTERS = 4
EXPANSION = 4
BASE_WIDTH = 26  # channels of a quarter, per 64 of the stage's width


@dataclass(frozen=True, slots=True)
class Stage:
    """One of the four stages: its width, the stride of its first block, and each block's dilation."""

    planes: int
    stride: int
    dilations: tuple[int, ...]


STAGES = (
    Stage(64, 1, (1, 1, 1)),
    Stage(128, 2, (1, 1, 1, 1)),
    Stage(256, 2, (2, 2, 2, 2, 2, 2)),
    Stage(512, 2, (4, 8, 16)),
)


def res2net50(net: Layers, x: Value, prefix: str = "backbone") -> list[Value]:
    """Five maps of a picture (1, 3, H, W), H and W multiples of 32.

    Their strides are 4, 4, 8, 16, 32 and their channels 64, 256, 512, 1024, 2048.
    """
    x = net.conv(x, f"{prefix}.conv1.0", f"{prefix}.conv1.1", 32, (3, 3), stride=2, relu=True)
    x = net.conv(x, f"{prefix}.conv1.3", f"{prefix}.conv1.4", 32, (3, 3), relu=True)
    x = net.conv(x, f"{prefix}.conv1.6", f"{prefix}.bn1", 64, (3, 3), relu=True)
    x = net.graph.pool("MaxPool", x, 3, 2, 1)
    maps = [x]
    for number, stage in enumerate(STAGES, start=1):
        for index, dilation in enumerate(stage.dilations):
            x = _block(net, x, f"{prefix}.layer{number}.{index}", stage, dilation, first=index == 0)
        maps.append(x)
    return maps


def _block(net: Layers, x: Value, name: str, stage: Stage, dilation: int, *, first: bool) -> Value:
    g = net.graph
    width = stage.planes * BASE_WIDTH // 64
    stride = stage.stride if first else 1
    y = net.conv(x, f"{name}.conv1", f"{name}.bn1", width * QUARTERS, (1, 1), relu=True)
    quarters = g.split(y, [width] * QUARTERS)
    done: list[Value] = []
    for index, quarter in enumerate(quarters[:-1]):
        # A stage's first block works on the quarters alone, the others hand on what they made.
        entry = quarter if first or not done else g.binary("Add", done[-1], quarter)
        done.append(
            net.conv(
                entry,
                f"{name}.convs.{index}",
                f"{name}.bns.{index}",
                width,
                (3, 3),
                stride=stride,
                dilation=dilation,
                relu=True,
            )
        )
    last = quarters[-1]
    if first:
        last = g.pool("AveragePool", last, 3, stride, 1, count_include_pad=1)
    out = stage.planes * EXPANSION
    y = net.conv(g.concat([*done, last]), f"{name}.conv3", f"{name}.bn3", out, (1, 1))
    return g.unary("Relu", g.binary("Add", y, _shortcut(net, x, name, out, stride) if first else x))


def _shortcut(net: Layers, x: Value, name: str, out: int, stride: int) -> Value:
    if stride > 1:
        x = net.graph.pool("AveragePool", x, stride, stride, 0)
    return net.conv(x, f"{name}.downsample.1", f"{name}.downsample.2", out, (1, 1))
