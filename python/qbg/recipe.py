"""How a network wants its input and what its output means, as data. Must not know any model.

The native side reads these fields once; `qbg.models` fills them from its registry, from a TOML
file, or by a guess from the graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qbg.options import one_of, truth, whole

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

FITS = ("squash", "letterbox", "short", "long")
FILTERS = ("bilinear", "lanczos")
SCALES = ("full", "maximum")
ACTIVATIONS = ("none", "sigmoid", "softmax")
ROUNDINGS = ("truncate", "nearest")
SIDE_LIMIT = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """value = (level / scale - mean) / std, RGB, NCHW float32; then the network; then alpha.

    Attributes:
        fit: `squash`, `letterbox` (both to height x width), `short` or `long` (that side becomes `side`).
        height: of the tensor, for `squash` and `letterbox`.
        width: like `height`.
        fill: grey level 0 to 255 of a letterbox's border.
        side: pixels, for `short` and `long`.
        multiple: both sides are rounded to a multiple of it, for `short` and `long`.
        filter: of the reduction: `bilinear` or `lanczos`.
        scale: `full` (255) or `maximum` (the largest level of the resized picture, rembg's habit).
        mean: per channel, after scaling.
        std: per channel.
        channel: of the output tensor that is the subject.
        activation: `none`, `sigmoid` or `softmax` (over channels).
        min_max: stretch each map to its own minimum and maximum.
        rounding: `truncate` (rembg's habit) or `nearest`, from 0..1 to 0..255.
        output_filter: from the tensor's size to the picture's: `bilinear` or `lanczos`.
        refine: move alpha's edges to the picture's own, unless the caller says otherwise.
    """

    fit: str = "squash"
    height: int = 320
    width: int = 320
    fill: int = 0
    side: int = 0
    multiple: int = 1
    filter: str = "lanczos"
    scale: str = "full"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    channel: int = 0
    activation: str = "none"
    min_max: bool = False
    rounding: str = "nearest"
    output_filter: str = "bilinear"
    refine: bool = False

    def __post_init__(self) -> None:
        one_of("fit", self.fit, FITS)
        one_of("filter", self.filter, FILTERS)
        one_of("scale", self.scale, SCALES)
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("rounding", self.rounding, ROUNDINGS)
        one_of("output_filter", self.output_filter, FILTERS)
        if self.dynamic:
            whole("recipe field", "side", self.side, 1, SIDE_LIMIT)
            whole("recipe field", "multiple", self.multiple, 1, SIDE_LIMIT)
        else:
            whole("recipe field", "height", self.height, 1, SIDE_LIMIT)
            whole("recipe field", "width", self.width, 1, SIDE_LIMIT)
        truth("refine", self.refine)
        whole("recipe field", "fill", self.fill, 0, 255)
        whole("recipe field", "channel", self.channel, 0, 65535)
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise ValueError(f"recipe field `{name}` must be three finite numbers, not {values!r}")
        if 0 in self.std:
            raise ValueError("recipe field `std` must not hold a zero")

    @property
    def dynamic(self) -> bool:
        """Whether the tensor's size depends on the picture."""
        return self.fit in ("short", "long")
