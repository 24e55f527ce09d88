"""The figures' names, and the one that needs no SciPy: intersection over union. Must not know files."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

HALF = 128
"""The level from which on a pixel counts as subject."""


COLUMNS = (
    ("IoU", "iou", 4),
    ("median", "iou_median", 4),
    ("worst", "iou_worst", 3),
    ("MAE", "mae", 4),
    ("max F", "f_max", 4),
    ("weighted F", "f_weighted", 4),
    ("S", "s", 4),
    ("max E", "e_max", 4),
    ("boundary IoU", "boundary_iou", 4),
    ("SAD", "sad", 2),
    ("gradient", "gradient", 2),
)
"""(heading, name in `qbg.evaluate.run.Row.values`, digits)."""

NOTES = (
    "larger is better, but for MAE, SAD and gradient; cut at half (128) where two classes are meant",
    "SAD, gradient: sums per picture over 1000; max F, max E: the group's mean at its best threshold",
)


def iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Of two masks of one shape; 1 where both are empty."""
    either = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / either if either else 1.0
