"""Any squashing recipe by hand: Pillow and NumPy in float64, from plain values. Must not know qbg.

Written from the registry's words, step by step and as loops over channels, so that it shares no formula's
form with what it judges:

    picture -> Pillow's resize -> (level / divisor - mean) / std, channel by channel -> network
    -> one plane -> sigmoid -> stretch to 0..1 -> times 255, cut or rounded -> Pillow's resize -> edges
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from oracles import guided

FILTERS = {"lanczos": Image.Resampling.LANCZOS, "bilinear": Image.Resampling.BILINEAR}


def tensor(image: Image.Image, values: dict) -> np.ndarray:
    """(1, 3, height, width) float64 for an RGB picture and a recipe's fields."""
    assert values["fit"] == "squash"
    small = image.resize((values["width"], values["height"]), FILTERS[values["filter"]])
    divisor = 255.0
    if values["scale"] == "maximum":
        divisor = max(float(high) for _, high in small.getextrema()) or 1e-6
    planes = []
    for number, channel in enumerate(small.split()):
        level = np.array(channel, dtype=np.float64)
        planes.append((level / divisor - values["mean"][number]) / values["std"][number])
    return np.array([planes])


def alpha(planes: np.ndarray, image: Image.Image, values: dict) -> np.ndarray:
    """(H, W) uint8 from a network's (C, h, w) output for an RGB picture."""
    plane = planes[values["channel"]].astype(np.float64)
    if values["activation"] == "sigmoid":
        plane = 0.5 * (1.0 + np.tanh(plane / 2.0))
    if values["min_max"]:
        plane = np.interp(plane, (plane.min(), plane.max()), (0.0, 1.0))
    plane = plane * 255.0
    if values["rounding"] == "nearest":
        plane = plane + 0.5
    levels = np.minimum(np.maximum(np.floor(plane), 0), 255).astype(np.uint8)
    whole = np.array(Image.fromarray(levels).resize(image.size, FILTERS[values["output_filter"]]))
    return guided.refined(levels, np.asarray(image), whole) if values["refine"] else whole


def beyond(ours: np.ndarray, expected: np.ndarray, levels: int = 1) -> float:
    """Share of pixels that differ by more than so many levels."""
    assert ours.shape == expected.shape
    return float((np.abs(ours.astype(int) - expected.astype(int)) > levels).mean())


def widest(ours: np.ndarray, expected: np.ndarray) -> int:
    """The largest difference in levels."""
    return int(np.abs(ours.astype(int) - expected.astype(int)).max())


def iou(ours: np.ndarray, expected: np.ndarray, level: int = 127) -> float:
    """Intersection over union of what lies above a level; 1 where both are empty."""
    a, b = ours > level, expected > level
    union = int((a | b).sum())
    return 1.0 if union == 0 else math.fsum([(a & b).sum()]) / union
