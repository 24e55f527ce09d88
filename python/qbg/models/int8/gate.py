"""Holds the quantized network's masks against the float one's: the very sessions that would run, optimizer
and all, on photos that calibration has not seen. Must not know how it was quantized.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qbg.evaluate.figures import HALF, iou
from qbg.models.int8.photos import Photo, alpha
from qbg.recipe import Recipe

Floats = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint8]

IOU, DIFFERENCE = 0.995, 0.01
"""Mean over the photos: at least and at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How far masks are from the float ones.

    Attributes:
        photos: how many.
        iou: mean, of masks cut at half.
        worst: the smallest.
        difference: mean absolute, of 0 to 1.
    """

    photos: int
    iou: float
    worst: float
    difference: float

    @property
    def passed(self) -> bool:
        """Whether nobody would see the difference."""
        return self.iou >= IOU and self.difference <= DIFFERENCE

    @property
    def words(self) -> str:
        """One line."""
        return (
            f"IoU {self.iou:.4f} (worst {self.worst:.4f}), mean difference {self.difference:.4f}, "
            f"{self.photos} photos"
        )


@dataclass(frozen=True, slots=True)
class Only:
    """A session of which only one output is read: others may be computed, as in a float file."""

    session: Any
    input: str
    output: str


def masks(
    session: Any,
    photos: Sequence[Photo],
    recipe: Recipe,
    on_photo: Callable[[int, int], object] | None = None,
) -> list[Levels]:
    """The alpha plane of each photo."""
    if isinstance(session, Only):
        session, entry, output = session.session, session.input, session.output
    else:
        entry, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    found = []
    for number, photo in enumerate(photos):
        found.append(alpha(session.run([output], {entry: photo.tensor})[0], recipe, photo))
        if on_photo is not None:
            on_photo(number + 1, len(photos))
    return found


def compare(found: Sequence[Levels], expected: Sequence[Levels]) -> Verdict:
    """The verdict on planes (H, W) uint8, pair by pair."""
    ious, differences = [], []
    for one, other in zip(found, expected, strict=True):
        ious.append(iou(one >= HALF, other >= HALF))
        differences.append(float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean()) / 255.0)
    return Verdict(
        photos=len(ious),
        iou=float(np.mean(ious)),
        worst=min(ious),
        difference=float(np.mean(differences)),
    )
