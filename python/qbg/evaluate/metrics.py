"""Metrics of one mask against its truth, both 8-bit planes. Must not know files or reports.

Nearly all follow from two histograms, of the levels where the subject is and where it is not, since a mask
has 256 levels only. Masks are taken as they are: no stretching to their own range. A truth is cut at half
(128) where a metric wants two classes; `sad` and `gradient` take it as it is, soft.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from qbg.evaluate.figures import HALF, iou

Plane = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

EPSILON = 2.0**-52
"""Of the published programs, which add it to what they divide by."""

FAVOR_PRECISION = 0.3
"""beta squared of the F-measure."""

RIM = 0.02
"""Width of the boundary, as a share of the picture's diagonal."""

BLUR, SIGMA = 3, 5.0
"""Radius and sigma of the weighted F-measure's filter."""

FADE = math.log(0.5) / 5.0
"""An error's weight outside of the subject, by its distance in pixels."""

SLOPE_SIGMA, SLOPE_CUT = 1.4, 1e-2
"""Of the gradient's filter: sigma, and the height below which it is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Of one mask; 0 to 1 and larger is better, but for `mae`, `sad` and `gradient`.

    Attributes:
        iou: intersection over union of both, cut at half.
        mae: mean absolute difference (Perazzi et al. 2012).
        f_curve: F-measure by threshold, 255 down to 0 (Achanta et al. 2009), beta squared 0.3.
        f_adaptive: F-measure cut at twice the mask's mean.
        f_weighted: (Margolin et al. 2014), beta 1.
        s: structure measure (Fan et al. 2017), alpha 0.5.
        e_curve: enhanced alignment (Fan et al. 2018) by threshold, 255 down to 0.
        e_adaptive: the same, cut at twice the mask's mean.
        boundary_iou: IoU of rims 2 % of the diagonal wide (Cheng et al. 2021).
        sad: sum of absolute differences over 1000 (Rhemann et al. 2009).
        gradient: sum of squared differences of gradient magnitudes over 1000 (the same).
    """

    iou: float
    mae: float
    f_curve: Floats
    f_adaptive: float
    f_weighted: float
    s: float
    e_curve: Floats
    e_adaptive: float
    boundary_iou: float
    sad: float
    gradient: float


NAMES = tuple(field.name for field in fields(Scores))


def score(mask: Plane, truth: Plane) -> Scores:
    """All of them.

    Args:
        mask: (H, W) uint8 alpha.
        truth: (H, W) uint8, with a subject: at least one pixel from 128 on.

    Raises:
        ValueError: shapes differ, or the truth is empty: then nothing but the mean alpha means anything.
    """
    check(mask, truth)
    subject = truth >= HALF
    if not subject.any():
        raise ValueError("the truth has no subject")
    levels = Histograms.of(mask, subject)
    return Scores(
        iou=levels.iou(),
        mae=float(np.abs(mask.astype(np.int16) - truth).mean()) / 255.0,
        f_curve=levels.f_curve(),
        f_adaptive=levels.f_adaptive(),
        f_weighted=f_weighted(mask, subject),
        s=structure(mask, subject, levels),
        e_curve=levels.e_curve(),
        e_adaptive=levels.e_adaptive(),
        boundary_iou=boundary_iou(mask, subject),
        sad=float(np.abs(mask.astype(np.int16) - truth).sum(dtype=np.int64)) / 255.0 / 1000.0,
        gradient=gradient(mask, truth),
    )


def check(mask: Plane, truth: Plane) -> None:
    """ValueError unless both are 8-bit planes of one shape with a pixel at least."""
    for name, plane in (("mask", mask), ("truth", truth)):
        if plane.dtype != np.uint8 or plane.ndim != 2 or not plane.size:
            raise ValueError(f"{name} must be (H, W) uint8, not {plane.shape} {plane.dtype}")
    if mask.shape != truth.shape:
        raise ValueError(f"mask {mask.shape} and truth {truth.shape} differ in shape")


@dataclass(frozen=True, slots=True)
class Histograms:
    """Counts of the mask's levels, (256,) each: where the subject is, and where it is not."""

    inside: Counts
    outside: Counts

    @classmethod
    def of(cls, mask: Plane, subject: npt.NDArray[np.bool_]) -> Histograms:
        """One pass over both planes."""
        both = np.bincount((mask | (subject.astype(np.uint16) << 8)).ravel(), minlength=512)
        return cls(both[256:], both[:256])

    @property
    def size(self) -> int:
        """Pixels in all."""
        return int(self.inside.sum() + self.outside.sum())

    def above(self, level: int) -> tuple[int, int]:
        """Pixels from this level on: of the subject, and of the rest."""
        return int(self.inside[level:].sum()), int(self.outside[level:].sum())

    def iou(self) -> float:
        """Of the mask cut at half."""
        hit, wrong = self.above(HALF)
        return hit / (int(self.inside.sum()) + wrong)

    def _adaptive(self) -> int:
        """The first level that isn't below twice the mean, nor 255."""
        levels = np.arange(256)
        mean = float(((self.inside + self.outside) * (levels / 255.0)).sum()) / self.size
        return int(np.searchsorted(levels / 255.0, min(2.0 * mean, 1.0) - 1e-12))

    def f_adaptive(self) -> float:
        """F-measure at that level."""
        hit, wrong = self.above(self._adaptive())
        return float(_f(np.array([hit]), np.array([hit + wrong]), int(self.inside.sum()))[0])

    def f_curve(self) -> Floats:
        """(256,) F-measures, from level 255 on, from 254 on, .."""
        hits = np.cumsum(self.inside[::-1])
        return _f(hits, hits + np.cumsum(self.outside[::-1]), int(self.inside.sum()))

    def e_adaptive(self) -> float:
        """Enhanced alignment at that level."""
        hit, wrong = self.above(self._adaptive())
        return float(_e(np.array([hit]), np.array([wrong]), int(self.inside.sum()), self.size)[0])

    def e_curve(self) -> Floats:
        """(256,) enhanced alignments, like `f_curve`."""
        hits, wrongs = np.cumsum(self.inside[::-1]), np.cumsum(self.outside[::-1])
        return _e(hits, wrongs, int(self.inside.sum()), self.size)


def _f(hits: Counts, found: Counts, wanted: int) -> Floats:
    precision = hits / np.maximum(found, 1)
    recall = hits / max(wanted, 1)
    top = (1.0 + FAVOR_PRECISION) * precision * recall
    result: Floats = top / np.where(top == 0.0, 1.0, FAVOR_PRECISION * precision + recall)
    return result


def _e(hits: Counts, wrongs: Counts, wanted: int, size: int) -> Floats:
    """Mean over pixels of ((1 + alignment) / 2)^2; a pixel is one of four kinds, by both masks."""
    found = hits + wrongs
    if wanted == size:
        return found / (size - 1 + EPSILON)
    kinds = (hits, wrongs, wanted - hits, size - found - (wanted - hits))
    mean, truth = found / size, wanted / size
    total = np.zeros(len(hits))
    for count, mine, true in zip(
        kinds, (1.0 - mean, 1.0 - mean, -mean, -mean), (1.0 - truth, -truth) * 2, strict=True
    ):
        alignment = 2.0 * mine * true / (mine * mine + true * true + EPSILON)
        total += count * (alignment + 1.0) ** 2 / 4.0
    return total / (size - 1 + EPSILON)


def f_weighted(mask: Plane, subject: npt.NDArray[np.bool_]) -> float:
    """Margolin et al. 2014: errors near others of the subject count less, those far outside of it more."""
    apart = np.abs(mask / 255.0 - subject)
    if subject.all():
        far, nearest = np.zeros(mask.shape), apart
    else:
        far, index = ndimage.distance_transform_edt(~subject, return_indices=True)
        nearest = apart[index[0], index[1]]
    kernel = np.exp(-(np.arange(-BLUR, BLUR + 1) ** 2) / (2.0 * SIGMA * SIGMA))
    kernel /= kernel.sum()
    near = ndimage.convolve1d(nearest, kernel, axis=0, mode="constant")
    near = ndimage.convolve1d(near, kernel, axis=1, mode="constant")
    inside = np.minimum(apart[subject], near[subject])
    outside = apart[~subject] * (2.0 - np.exp(FADE * far[~subject]))
    wanted = int(np.count_nonzero(subject))
    hit = wanted - float(inside.sum())
    recall = 1.0 - float(inside.mean())
    precision = hit / (hit + float(outside.sum()) + EPSILON)
    return 2.0 * recall * precision / (recall + precision + EPSILON)


def structure(mask: Plane, subject: npt.NDArray[np.bool_], levels: Histograms) -> float:
    """Fan et al. 2017: how alike the object is, and the four parts around its center."""
    share = float(levels.inside.sum()) / levels.size
    values = np.arange(256) / 255.0
    if share == 1.0:
        return float((levels.inside * values).sum()) / levels.size
    whole = share * _object(levels.inside, values) + (1.0 - share) * _object(levels.outside, 1.0 - values)
    return max(0.0, 0.5 * whole + 0.5 * _regions(mask, subject))


def _object(counts: Counts, values: Floats) -> float:
    count = int(counts.sum())
    mean = float((counts * values).sum()) / count
    deviation = 0.0
    if count > 1:
        deviation = math.sqrt(float((counts * (values - mean) ** 2).sum()) / (count - 1))
    return 2.0 * mean / (mean * mean + 1.0 + deviation + EPSILON)


def _regions(mask: Plane, subject: npt.NDArray[np.bool_]) -> float:
    height, width = mask.shape
    total = int(np.count_nonzero(subject))
    # The center, rounded to even as NumPy does, and one on: the four parts begin there.
    row = round(float((subject.sum(1) * np.arange(height)).sum()) / total) + 1
    column = round(float((subject.sum(0) * np.arange(width)).sum()) / total) + 1
    result = 0.0
    for rows in (slice(0, row), slice(row, height)):
        for columns in (slice(0, column), slice(column, width)):
            part = mask[rows, columns]
            if part.size:
                result += part.size / mask.size * _alike(part, subject[rows, columns])
    return result


def _alike(mask: Plane, subject: npt.NDArray[np.bool_]) -> float:
    """Structural similarity of a part as a whole, from exact sums."""
    count = mask.size
    sums = int(mask.sum(dtype=np.int64))
    squares = int(np.einsum("ij,ij->", mask, mask, dtype=np.int64))
    trues = int(np.count_nonzero(subject))
    crossed = int(mask.sum(dtype=np.int64, where=subject))
    x, y = sums / 255.0 / count, trues / count
    free = count - 1 + EPSILON
    # Exact integers before the division: differences of large sums lose nothing.
    spread_x = (count * squares - sums * sums) / count / 65025.0 / free
    spread_y = (count * trues - trues * trues) / count / free
    together = (count * crossed - sums * trues) / count / 255.0 / free
    top = 4.0 * x * y * together
    bottom = (x * x + y * y) * (spread_x + spread_y)
    if top != 0.0:
        return top / (bottom + EPSILON)
    return 1.0 if bottom == 0.0 else 0.0


def boundary_iou(mask: Plane, subject: npt.NDArray[np.bool_]) -> float:
    """IoU of what is left of both masks when their inside is taken away; beyond the picture nothing is."""
    width = max(1, round(RIM * math.hypot(*mask.shape)))
    mine, true = (_rim(plane, width) for plane in (mask >= HALF, subject))
    return iou(mine, true)


def _rim(plane: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.bool_]:
    # Eroded `width` times by 3x3 is once by a square: rows, then columns.
    small = plane.astype(np.uint8)
    for axis in (0, 1):
        small = ndimage.minimum_filter1d(small, 2 * width + 1, axis=axis, mode="constant", cval=0)
    found: npt.NDArray[np.bool_] = plane & (small == 0)
    return found


@cache
def _slopes() -> tuple[Floats, Floats]:
    """A Gaussian and its derivative, scaled as the published program scales their product."""
    reach = math.ceil(
        SLOPE_SIGMA * math.sqrt(-2.0 * math.log(math.sqrt(2.0 * math.pi) * SLOPE_SIGMA * SLOPE_CUT))
    )
    x = np.arange(-reach, reach + 1)
    smooth = np.exp(-(x**2) / (2.0 * SLOPE_SIGMA**2)) / (SLOPE_SIGMA * math.sqrt(2.0 * math.pi))
    slope = -x * smooth / SLOPE_SIGMA**2
    size = math.sqrt(float((smooth**2).sum()) * float((slope**2).sum()))
    return smooth, slope / size


def gradient(mask: Plane, truth: Plane) -> float:
    """Rhemann et al. 2009: how far steepness is off."""
    smooth, slope = _slopes()

    def magnitude(plane: Plane) -> Floats:
        values = plane / 255.0
        across = ndimage.convolve1d(values, smooth, axis=0, mode="nearest")
        across = ndimage.convolve1d(across, slope, axis=1, mode="nearest")
        down = ndimage.convolve1d(values, slope, axis=0, mode="nearest")
        down = ndimage.convolve1d(down, smooth, axis=1, mode="nearest")
        found: Floats = np.hypot(across, down)
        return found

    return float(((magnitude(mask) - magnitude(truth)) ** 2).sum()) / 1000.0
