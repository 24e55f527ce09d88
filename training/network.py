"""The network of `qbg-base`: EfficientNet-Lite0 without its head, and a pyramid of plain 3x3 convolutions.

Sources: Tan and Le, "EfficientNet", ICML 2019, and the Lite form of it that Google published for phones (no
squeeze and excitation, ReLU6); Lin et al., "Feature Pyramid Networks", CVPR 2017; Shi et al. (pixel shuffle),
CVPR 2016. ReLU6 is replaced by ReLU, so that int8 steps need no clipping and channels can be evened out.
Stride-2 convolutions pad as TensorFlow's SAME does: one row and column more at the end. Must not know data,
losses or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

LITE0 = (
    # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
EPSILON, MOMENTUM = 1e-3, 0.01
"""Of the encoder's batch norms, as they were trained."""

MEAN, STD = 127.0 / 255.0, 128.0 / 255.0
"""How the encoder's pictures were normalised, every channel alike."""

WIDTHS = (16, 24, 32, 48, 96)
"""The decoder's channels at strides 2, 4, 8, 16, 32."""


class Same(nn.Module):
    """A convolution with TensorFlow's SAME padding, a norm, and a ReLU where asked for."""

    def __init__(
        self, entries: int, out: int, kernel: int, stride: int, *, groups: int = 1, relu: bool = True
    ):
        super().__init__()
        self.stride, self.extra = stride, kernel - stride
        side = 0 if stride == 2 else kernel // 2
        self.conv = nn.Conv2d(entries, out, kernel, stride, side, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out, eps=EPSILON, momentum=MOMENTUM)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2:  # even sides: kernel - 2 in all, the odd one at the end
            before = self.extra // 2
            x = functional.pad(x, (before, self.extra - before, before, self.extra - before))
        x = self.norm(self.conv(x))
        return functional.relu(x) if self.relu else x


class Sum(nn.Module):
    """Two maps added: a place of its own, which `quantized.py` can hook."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Block(nn.Module):
    """An inverted bottleneck: widen, filter each channel, narrow; added to its input where shapes allow."""

    def __init__(self, entries: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = entries * expansion
        self.expand = Same(entries, wide, 1, 1) if expansion > 1 else None
        self.depthwise = Same(wide, wide, kernel, stride, groups=wide)
        self.project = Same(wide, out, 1, 1, relu=False)
        self.sum = Sum() if stride == 1 and entries == out else None

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return y if self.sum is None else self.sum(x, y)


class Encoder(nn.Module):
    """(N, 3, H, W), normalised, to five maps at strides 2 to 32: what each stride ends with.

    Attributes:
        channels: of the five maps.
    """

    def __init__(self, groups: Sequence[tuple[int, int, int, int, int]] = LITE0) -> None:
        super().__init__()
        self.stem = Same(3, 32, 3, 2)
        blocks: list[Block] = []
        entries = 32
        self.channels: list[int] = []
        self.taps: list[int] = []
        for repeats, kernel, stride, expansion, out in groups:
            if stride == 2:
                self._tap(len(blocks), entries)
            for repeat in range(repeats):
                blocks.append(Block(entries, out, kernel, stride if repeat == 0 else 1, expansion))
                entries = out
        self._tap(len(blocks), entries)
        self.blocks = nn.ModuleList(blocks)

    def _tap(self, count: int, channels: int) -> None:
        self.taps.append(count - 1)
        self.channels.append(channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        found = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taps:
                found.append(x)
        return found


class Step(nn.Sequential):
    """A plain 3x3 convolution, norm, ReLU."""

    def __init__(self, entries: int, out: int, kernel: int = 3, stride: int = 1) -> None:
        conv = nn.Conv2d(entries, out, kernel, stride, padding=kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(out), nn.ReLU())


class Network(nn.Module):
    """(N, 3, H, W) normalised pictures to logits (N, 1, H, W) and coarse ones (N, 1, H/8, W/8) for training.

    H and W are multiples of 32. `encoder` gives five maps at strides 2 to 32, of its `channels`.
    """

    def __init__(self, encoder: nn.Module | None = None, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.encoder = Encoder() if encoder is None else encoder
        channels: list[int] = self.encoder.channels  # type: ignore[assignment]
        self.lateral = nn.ModuleList(Step(c, w, 1) for c, w in zip(channels, widths, strict=True))
        self.context = nn.Sequential(nn.Conv2d(widths[4], widths[4], 1), nn.ReLU())
        self.deepest = Step(widths[4], widths[4])
        self.narrow = nn.ModuleList(Step(widths[i + 1], widths[i], 1) for i in range(4))
        self.merge = nn.ModuleList(nn.Sequential(Step(w, w), Step(w, w)) for w in widths[:4])
        self.sums = nn.ModuleList(Sum() for _ in range(5))
        self.coarse = nn.Conv2d(widths[2], 1, 1)
        self.out = nn.Conv2d(widths[0], 4, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = [step(m) for step, m in zip(self.lateral, self.encoder(x), strict=True)]
        top = maps[4]
        top = self.deepest(self.sums[4](top, self.context(top.mean((2, 3), keepdim=True))))
        coarse = top
        for level in (3, 2, 1, 0):
            # Nearest: two integer steps at most; the 3x3 convolutions after it smooth.
            top = functional.interpolate(self.narrow[level](top), scale_factor=2, mode="nearest")
            top = self.merge[level](self.sums[level](top, maps[level]))
            if level == 2:
                coarse = self.coarse(top)
        return functional.pixel_shuffle(self.out(top), 2), coarse


def load_encoder(encoder: Encoder, state: Mapping[str, Tensor]) -> None:
    """Fills it from a checkpoint of EfficientNet-Lite. KeyError or RuntimeError if that doesn't fit."""
    own: dict[str, Tensor] = {}

    def take(target: str, conv: str, norm: str) -> None:
        own[f"{target}.conv.weight"] = state[f"{conv}.weight"]
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            own[f"{target}.norm.{part}"] = state[f"{norm}.{part}"]

    take("stem", "_conv_stem", "_bn0")
    for number, block in enumerate(encoder.blocks):
        name = f"_blocks.{number}"
        if block.expand is not None:
            take(f"blocks.{number}.expand", f"{name}._expand_conv", f"{name}._bn0")
        take(f"blocks.{number}.depthwise", f"{name}._depthwise_conv", f"{name}._bn1")
        take(f"blocks.{number}.project", f"{name}._project_conv", f"{name}._bn2")
    encoder.load_state_dict(own)


class Exported(nn.Module):
    """What the ONNX file holds: logits turned into probabilities."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.network(x)[0])
