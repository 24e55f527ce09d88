"""The guided filter of edges by SciPy, from its definition's words. Must not know qbg.

He, Sun and Tang, "Guided image filtering", 2013, with coefficients at the map's size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
Levels = NDArray[np.uint8]


def mean(plane: Floats) -> Floats:
    """Of 5x5 cells; edges repeat."""
    return ndimage.uniform_filter(plane, 5, mode="nearest")


def cells_of(light: Floats, cells: int) -> Floats:
    """(N, L) to (N, cells): the mean of each of so many equal parts, pixel by pixel."""
    length = light.shape[1]
    shares = np.zeros((length, cells))
    for cell in range(cells):
        low, high = cell * length / cells, (cell + 1) * length / cells
        for pixel in range(int(low), min(length, int(np.ceil(high)))):
            shares[pixel, cell] = max(0.0, min(high, pixel + 1) - max(low, pixel)) * cells / length
    return light @ shares


def at_pixels(plane: Floats, size: tuple[int, int]) -> Floats:
    """Bilinear, from cells' middles to pixels' middles; beyond the outermost ones it stays."""
    places = [(np.arange(n) + 0.5) * c / n - 0.5 for n, c in zip(size, plane.shape, strict=True)]
    return ndimage.map_coordinates(plane, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest")


def near(plane: Levels, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels that have a cell in doubt among the four around them."""
    spread = ndimage.maximum_filter(plane, 5).astype(int) - ndimage.minimum_filter(plane, 5)
    doubt = spread > 12
    found = np.zeros(size, bool)
    sides = []
    for n, c in zip(size, plane.shape, strict=True):
        place = np.clip((np.arange(n) + 0.5) * c / n - 0.5, 0, c - 1)
        sides.append((np.floor(place).astype(int), np.minimum(np.floor(place).astype(int) + 1, c - 1)))
    for row in sides[0]:
        for column in sides[1]:
            found |= doubt[np.ix_(row, column)]
    return found


def refined(plane: Levels, colors: Levels, alpha: Levels) -> Levels:
    """`alpha` (H, W), which is `plane` (h, w) at the size of `colors` (H, W, 3), with its edges moved."""
    size = alpha.shape
    red, green, blue = np.moveaxis(colors.astype(np.float64) / 255, -1, 0)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    guide = cells_of(cells_of(light, plane.shape[1]).T, plane.shape[0]).T
    p = plane.astype(np.float64) / 255
    a = (mean(guide * p) - mean(guide) * mean(p)) / (mean(guide**2) - mean(guide) ** 2 + 0.001)
    b = mean(p) - a * mean(guide)
    q = at_pixels(mean(a), size) * light + at_pixels(mean(b), size)
    levels = np.clip(np.floor(255 * ((q - 0.5) * 1.5 + 0.5) + 0.5), 0, 255).astype(np.uint8)
    return np.where(near(plane, size), levels, alpha)
