"""Calibration and gate photos: found, decoded and made into tensors as qbg does it when it runs.

Must not know what is done with them. A photo that can't be decoded is left out; none at all is an error.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qbg.errors import InputError, ModelError
from qbg.recipe import Recipe

Floats = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One photo as the network sees it.

    Attributes:
        path: of the file.
        tensor: (1, 3, h, w) float32.
        height, width: of the photo in pixels.
    """

    path: Path
    tensor: Floats
    height: int
    width: int


def find(folder: str | os.PathLike[str]) -> list[Path]:
    """The pictures below a folder, by name, as `qbg remove` finds them.

    Raises:
        ModelError: no such folder, or no picture in it.
    """
    from qbg import _native
    from qbg.batch import native_path
    from qbg.options import FolderOptions, Options

    place = Path(folder)
    if not place.is_dir():
        raise ModelError("no such folder", stage="calibrate", path=str(place), hint="give a folder of photos")
    pairs = _native.plan([native_path(str(place))], os.path.join("out", ""), Options(), FolderOptions())
    paths = sorted(Path(source) for source, _target in pairs)
    if not paths:
        raise ModelError(
            "no picture in it",
            stage="calibrate",
            path=str(place),
            hint="give a folder of photos like those that the network will see",
        )
    return paths


def spread(paths: list[Path], count: int) -> list[Path]:
    """At most `count` of them, evenly from the whole."""
    if count >= len(paths):
        return paths
    return [paths[number * len(paths) // count] for number in range(count)]


def read(paths: list[Path], recipe: Recipe) -> list[Photo]:
    """The photos that can be decoded.

    Raises:
        ModelError: none can.
    """
    from qbg import _native

    photos: list[Photo] = []
    broken: InputError | None = None
    for path in paths:
        try:
            pixels = _pixels(path)
        except InputError as error:
            broken = error
            continue
        height, width = pixels[:2]
        tensor = _native.preprocess(pixels, recipe)
        photos.append(Photo(path=path, tensor=np.array(tensor), height=height, width=width))
    if not photos:
        raise ModelError(
            f"none of {len(paths)} pictures can be decoded: {broken}",
            stage="calibrate",
            hint="give a folder of photos",
        )
    return photos


def alpha(output: Floats, recipe: Recipe, photo: Photo) -> Levels:
    """The alpha plane (H, W) of a network's output (1, C, h, w) or (1, h, w), as qbg makes it."""
    from qbg import _native

    planes: Any = output.reshape(-1, *output.shape[-2:]).astype(np.float32)
    channels, rows, columns = planes.shape
    logits = (channels, rows, columns, planes.tobytes())
    # Decoded once more where it is needed: all photos at once would fill the memory.
    image = _pixels(photo.path) if recipe.refine else None
    return np.asarray(_native.mask(logits, recipe, photo.height, photo.width, "auto", image))


def _pixels(path: Path) -> tuple[int, int, int, bytes]:
    """A photo as the native side takes it: height, width, channels, RGB."""
    from qbg import _native
    from qbg.options import Options

    pixels, _alpha = _native.decode(path.read_bytes(), Options())
    height, width = pixels.shape[:2]
    return height, width, 3, pixels.tobytes()
