"""Other designs that were tried for `qbg-base`, kept so that the table in models/README.md can be made again.

Each gives logits and coarse ones like `network.Network`, and is trained by the same command (`--arch`).
Sources: Tan and Le, "EfficientNetV2", ICML 2021, for plain convolutions in place of the first bottlenecks;
Qin et al., "U2-Net", Pattern Recognition 2020; Li et al., "Pruning filters for efficient ConvNets", ICLR
2017. Must not know data, losses or files that are written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from network import LITE0, Encoder, Network, Step, load_encoder

WIDER, DEEPER = 1.1, 1.2
"""EfficientNet-Lite2's channels and repeats over Lite0's; its first and last groups aren't repeated more."""


def lite2() -> list[tuple[int, int, int, int, int]]:
    """EfficientNet-Lite2: 4.4 million parameters without its head, in place of 3.0. Channels in eights."""
    last = len(LITE0) - 1
    return [
        (
            repeats if number in (0, last) else math.ceil(repeats * DEEPER),
            kernel,
            stride,
            expansion,
            8 * math.floor(out * WIDER / 8 + 0.5),
        )
        for number, (repeats, kernel, stride, expansion, out) in enumerate(LITE0)
    ]


def larger() -> Network:
    """EfficientNet-Lite2 and a decoder half as wide again."""
    return Network(Encoder(lite2()), (24, 36, 48, 72, 144))


class Plain(nn.Module):
    """Plain 3x3 convolutions with shortcuts, four pixels at once: no layer that int8 handles badly."""

    channels = (24, 48, 96, 160, 192)
    repeats = (1, 2, 3, 3, 2)

    def __init__(self) -> None:
        super().__init__()
        entries = 12
        self.down = nn.ModuleList()
        self.same = nn.ModuleList()
        for number, (out, repeats) in enumerate(zip(self.channels, self.repeats, strict=True)):
            self.down.append(Step(entries, out, stride=1 if number == 0 else 2))
            self.same.append(nn.ModuleList(_Shortcut(out) for _ in range(repeats)))
            entries = out

    def forward(self, x: Tensor) -> list[Tensor]:
        x = functional.pixel_unshuffle(x, 2)
        found = []
        for down, same in zip(self.down, self.same, strict=True):
            x = down(x)
            for block in same:  # type: ignore[attr-defined]
                x = block(x)
            found.append(x)
        return found


class _Shortcut(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Step(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


def plain() -> Network:
    """The pilot's design: nothing but plain convolutions, from scratch."""
    return Network(Plain())


class PlainFirst(Encoder):
    """Plain 3x3 convolutions down to stride 4, EfficientNet-Lite0's bottlenecks from there on."""

    FROM = 3
    """Lite0's first block that stays."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Step(3, 16, stride=2)  # type: ignore[assignment]
        plain = (nn.Identity(), Step(16, 24, stride=2), _Shortcut(24))
        self.blocks = nn.ModuleList([*plain, *self.kept()])

    def kept(self) -> nn.ModuleList:
        """The blocks that are Lite0's."""
        return self.blocks[self.FROM :]


def plain_first() -> Network:
    """Lite0 with plain convolutions in place of its first layers."""
    return Network(PlainFirst())


def start_plain_first(network: Network, path: Path) -> None:
    """The blocks that stay, from a checkpoint of EfficientNet-Lite0."""
    whole = Encoder()
    load_encoder(whole, torch.load(path, map_location="cpu", weights_only=True))
    encoder: Any = network.encoder
    encoder.kept().load_state_dict(whole.blocks[PlainFirst.FROM :].state_dict())


class Residual(nn.Module):
    """A U of its own inside a stage of U2-Net (RSU): first features of its input, added to what the U gives.

    `depth` levels of pooling; with 0 of them dilation in place of pooling (RSU-4F).
    """

    def __init__(self, depth: int, entries: int, middle: int, out: int) -> None:
        super().__init__()
        self.pooled = depth > 0
        levels = depth + 1 if self.pooled else 3
        spread = [1] * levels + [2] if self.pooled else [1, 2, 4, 8]
        self.first = _dilated(entries, out)
        self.down = nn.ModuleList(
            _dilated(out if i == 0 else middle, middle, spread[i]) for i in range(levels + 1)
        )
        self.up = nn.ModuleList(
            _dilated(2 * middle, out if i == 0 else middle, 1 if self.pooled else spread[i])
            for i in range(levels)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = whole = self.first(x)
        found: list[Tensor] = []
        for number, step in enumerate(self.down):
            # The last but one isn't pooled: the last is dilated.
            if self.pooled and 0 < number < len(self.down) - 1:
                x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
            x = step(x)
            found.append(x)
        x = found.pop()
        for number in reversed(range(len(self.up))):
            before = found.pop()
            x = self.up[number](torch.cat([_as_large(x, before), before], 1))
        return x + whole


def _as_large(x: Tensor, other: Tensor) -> Tensor:
    if x.shape[2:] == other.shape[2:]:
        return x
    return functional.interpolate(x, other.shape[2:], mode="bilinear", align_corners=False)


def _dilated(entries: int, out: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(entries, out, 3, padding=dilation, dilation=dilation), nn.BatchNorm2d(out), nn.ReLU()
    )


class Narrow(nn.Module):
    """U2-Net's small version, its channels halved or whole."""

    DEPTHS = (5, 4, 3, 2, 0, 0)
    """Of the six stages that go down; the first five come back up."""

    def __init__(self, middle: int = 8, out: int = 32) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            Residual(depth, 3 if i == 0 else out, middle, out) for i, depth in enumerate(self.DEPTHS)
        )
        self.up = nn.ModuleList(Residual(depth, 2 * out, middle, out) for depth in self.DEPTHS[:5])
        self.sides = nn.ModuleList(nn.Conv2d(out, 1, 3, padding=1) for _ in self.DEPTHS)
        self.out = nn.Conv2d(len(self.DEPTHS), 1, 1)
        # The file's norms are folded away: these begin as ones that change nothing.
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_var.fill_(1.0 - module.eps)  # type: ignore[union-attr, operator]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        size, found = x, []
        for number, stage in enumerate(self.down):
            x = stage(functional.max_pool2d(x, 2, 2, ceil_mode=True) if number else x)
            found.append(x)
        x = found.pop()
        sides = [self.sides[5](x)]
        for number in reversed(range(5)):
            x = self.up[number](torch.cat([_as_large(x, found[number]), found[number]], 1))
            sides.insert(0, self.sides[number](x))
        return self.out(torch.cat([_as_large(side, size) for side in sides], 1)), sides[3]


def narrow() -> Narrow:
    """Half of u2netp's channels."""
    return Narrow()


def start_narrow(network: Narrow, path: Path) -> None:
    """From u2netp's ONNX file: of each layer the channels whose weights are largest, in sum of magnitudes."""
    whole = Narrow(16, 64)
    _fill(whole, path)
    kept: list[Any] = []
    x = np.arange(3)
    with torch.no_grad():
        for small, large in zip(network.down, whole.down, strict=True):
            x = _thin(small, large, x)
            kept.append(x)
        ups = {5: kept[5]}
        for number in reversed(range(5)):
            entries = np.concatenate([ups[number + 1], 64 + kept[number]])
            ups[number] = _thin(network.up[number], whole.up[number], entries)
        for number, (side, large) in enumerate(zip(network.sides, whole.sides, strict=True)):
            side.weight.copy_(large.weight[:, ups[number]])  # type: ignore[operator, index]
            side.bias.copy_(large.bias)  # type: ignore[operator]
        network.out.load_state_dict(whole.out.state_dict())


def _thin(small: Any, large: Any, entries: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Fills a stage from a wider one that reads `entries`; gives the outputs that were kept."""

    def most(size: Tensor, count: int) -> npt.NDArray[Any]:
        return np.sort(size.topk(count).indices.numpy())

    def size(step: Any) -> Tensor:
        return step[0].weight.abs().sum((1, 2, 3))

    def take(new: Any, old: Any, entries: npt.NDArray[Any], outs: npt.NDArray[Any] | None) -> Any:
        outs = most(size(old), new[0].out_channels) if outs is None else outs
        new[0].weight.copy_(old[0].weight[outs][:, entries])
        new[0].bias.copy_(old[0].bias[outs])
        return outs

    # What is added must keep the same channels.
    kept = most(size(large.first) + size(large.up[0]), small.first[0].out_channels)
    x = take(small.first, large.first, entries, kept)
    found = []
    for new, old in zip(small.down, large.down, strict=True):
        x = take(new, old, x, None)
        found.append(x)
    middle = large.down[0][0].out_channels
    x = found.pop()
    for number in reversed(range(len(small.up))):
        both = np.concatenate([x, middle + found.pop()])
        x = take(small.up[number], large.up[number], both, kept if number == 0 else None)
    return kept


def _fill(whole: Narrow, path: Path) -> None:
    """u2netp's weights; its file has the norms folded away, and the layers in the order of use."""
    import onnx

    graph = onnx.load(path).graph
    arrays = {one.name: torch.from_numpy(onnx.numpy_helper.to_array(one).copy()) for one in graph.initializer}
    inner = [node for node in graph.node if node.op_type == "Conv" and "side" not in node.input[1]]
    given = [node for node in inner if "outconv" not in node.input[1]]
    with torch.no_grad():
        for step, node in zip(_in_order(whole), given, strict=True):
            step.weight.copy_(arrays[node.input[1]])
            step.bias.copy_(arrays[node.input[2]])
        for number, side in enumerate(whole.sides, 1):
            side.weight.copy_(arrays[f"side{number}.weight"])  # type: ignore[operator]
            side.bias.copy_(arrays[f"side{number}.bias"])  # type: ignore[operator]
        whole.out.weight.copy_(arrays["outconv.weight"])
        whole.out.bias.copy_(arrays["outconv.bias"])


def _in_order(whole: Narrow) -> Iterator[Any]:
    for stage in [*whole.down, *reversed(whole.up)]:
        yield stage.first[0]  # type: ignore[index, union-attr]
        for step in [*stage.down, *reversed(stage.up)]:  # type: ignore[misc, arg-type]
            yield step[0]
