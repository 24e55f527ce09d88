"""The reference path: a picture's alpha by Pillow, NumPy and a plain ONNX Runtime session, in plain
words.

What a bench's outputs are held to. It follows the recipe's definition and shares no code with the native
side. Must not be fast, nor know what it is compared with.

    tensor = (level / scale - mean) / std        on Pillow's resize
    p      = activation(output[channel])          then min-max, over the part that shows the picture
    alpha  = Pillow's resize of floor(255 p [+ 0.5])
    alpha  = moved to the picture's edges, where the recipe asks for it: see `refined`
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from qbg.network import Network
from qbg.recipe import Recipe

Levels = NDArray[np.uint8]
Floats = NDArray[np.float32]

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}
LONGEST_ASPECT = 8
"""A dynamic recipe's long side is at most so many times its short one."""


class Reference:
    """Gives the alpha that the definition gives.

    Args:
        network: the file to run, in fp32.
        recipe: how to feed and read it.

    Raises:
        ModelError, EngineError: it can't be loaded.
    """

    def __init__(self, network: Network, recipe: Recipe) -> None:
        from qbg.engine.onnx import load_onnxruntime, open_session

        self._network = network
        self._recipe = recipe
        self._session: Any = open_session(load_onnxruntime(), network.path, threads=1)

    def alpha(self, path: Path) -> Levels:
        """(H, W) uint8 of one picture, turned as its EXIF says; the picture's own alpha multiplied in.

        Safe to call from several threads.
        """
        with Image.open(path) as image:
            turned = ImageOps.exif_transpose(image)
            own = turned.convert("RGBA").getchannel("A") if turned.has_transparency_data else None
            rgb = _srgb(turned)
            colors = np.asarray(turned.convert("RGB")) if self._recipe.refine else None
        tensor, box = self.tensor(rgb)
        names = [self._network.output_name]
        output = self._session.run(names, {self._network.input_name: tensor})[0]
        plane = self.plane(np.asarray(output, np.float32), box, tensor.shape[2:])
        alpha = Image.fromarray(plane).resize(rgb.size, FILTERS[self._recipe.output_filter])
        levels = np.asarray(alpha)
        if colors is not None:
            levels = refined(plane, colors, levels)
        if own is not None:
            product = levels.astype(np.uint32) * np.asarray(own)
            levels = ((product + 127) // 255).astype(np.uint8)
        return levels

    def tensor(self, rgb: Image.Image) -> tuple[Floats, tuple[int, int, int, int]]:
        """(1, 3, h, w) float32, and where the picture lies in it: (left, top, right, bottom)."""
        recipe = self._recipe
        (height, width), (inner_height, inner_width) = sizes(recipe, rgb.height, rgb.width)
        small = rgb.resize((inner_width, inner_height), FILTERS[recipe.filter])
        left, top = (width - inner_width) // 2, (height - inner_height) // 2
        frame = np.full((height, width, 3), recipe.fill, np.float64)
        frame[top : top + inner_height, left : left + inner_width] = np.asarray(small, np.float64)
        scale = 255.0 if recipe.scale == "full" else max(float(np.asarray(small).max()), 1e-6)
        values = (frame / scale - np.array(recipe.mean)) / np.array(recipe.std)
        box = (left, top, left + inner_width, top + inner_height)
        return values.transpose(2, 0, 1)[None].astype(np.float32), box

    def plane(self, output: Floats, box: tuple[int, int, int, int], tensor: tuple[int, ...]) -> Levels:
        """(1, C, h, w) output to the 8-bit levels of the part that shows the picture."""
        recipe = self._recipe
        logits = output.reshape(-1, *output.shape[-2:])
        if recipe.activation == "sigmoid":
            map_ = 1.0 / (1.0 + np.exp(-logits[recipe.channel].astype(np.float64)))
        elif recipe.activation == "softmax":
            shifted = np.exp(logits.astype(np.float64) - logits.max(axis=0))
            map_ = shifted[recipe.channel] / shifted.sum(axis=0)
        else:
            map_ = logits[recipe.channel]
        part = map_[_scaled(box, map_.shape, tensor)].astype(np.float32)
        low, high = part.min(), part.max()
        if recipe.min_max and high > low:
            part = (part - low) / (high - low)
        bias = np.float32(0.5 if recipe.rounding == "nearest" else 0.0)
        levels: Levels = np.clip(np.floor(part * np.float32(255) + bias), 0, 255).astype(np.uint8)
        return levels


REACH, DOUBT, EPSILON, CONTRAST = 2, 12, 1e-3, 1.5
"""Cells beside a window's middle; levels that its cells may differ by without doubt; the filter's two."""


def refined(plane: Levels, colors: Levels, alpha: Levels) -> Levels:
    """Alpha whose edges are those of the picture: the fast guided filter (He and Sun 2015), where in doubt.

    Args:
        plane: (h, w) the network's levels, before they were resized.
        colors: (H, W, 3) RGB.
        alpha: (H, W), `plane` at the picture's size.
    """
    light = colors @ np.array([0.299, 0.587, 0.114]) / 255.0
    guide = light
    for axis, cells in enumerate(plane.shape):
        guide = _shares(guide, cells, axis)
    p = plane / 255.0
    light_mean, mean = _windows(guide).mean((2, 3)), _windows(p).mean((2, 3))
    covariance = _windows(guide * p).mean((2, 3)) - light_mean * mean
    a = covariance / (_windows(guide * guide).mean((2, 3)) - light_mean**2 + EPSILON)
    b = mean - a * light_mean
    rows, columns = (_between(cells, length) for cells, length in zip(plane.shape, alpha.shape, strict=True))
    slope, offset = (_at(_windows(each).mean((2, 3)), rows, columns) for each in (a, b))
    found = CONTRAST * (slope * light + offset - 0.5) + 0.5
    levels = np.clip(np.floor(255.0 * found + 0.5), 0, 255).astype(np.uint8)
    windows = _windows(plane)
    doubt = windows.max((2, 3)) - windows.min((2, 3)) > DOUBT
    near = np.zeros(alpha.shape, bool)
    for row in rows[:2]:
        for column in columns[:2]:
            near |= doubt[row[:, None], column[None, :]]
    return np.where(near, levels, alpha)


def _windows(plane: NDArray[Any]) -> NDArray[Any]:
    """(h, w, 5, 5): each cell's window; edges repeat."""
    padded = np.pad(plane, REACH, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (2 * REACH + 1,) * 2)


def _shares(plane: NDArray[Any], cells: int, axis: int) -> NDArray[Any]:
    """Means over `cells` equal parts of an axis, from the integral, which is linear within a pixel."""
    moved = np.moveaxis(plane, axis, -1)
    length = moved.shape[-1]
    integral = np.concatenate([np.zeros((*moved.shape[:-1], 1)), np.cumsum(moved, -1)], -1)
    at = np.arange(cells + 1) * (length / cells)
    low = np.minimum(at.astype(int), length - 1)
    values = integral[..., low] + (integral[..., low + 1] - integral[..., low]) * (at - low)
    return np.moveaxis(np.diff(values, axis=-1) * (cells / length), -1, axis)


def _between(cells: int, length: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """For each pixel the cells before and after it, and how far it is from the first to the second."""
    place = np.clip((np.arange(length) + 0.5) * cells / length - 0.5, 0, cells - 1)
    first = place.astype(int)
    return first, np.minimum(first + 1, cells - 1), place - first


def _at(
    plane: NDArray[Any], rows: tuple[NDArray[Any], ...], columns: tuple[NDArray[Any], ...]
) -> NDArray[Any]:
    """A plane of cells at each pixel, bilinear."""
    down = plane[rows[0]] + (plane[rows[1]] - plane[rows[0]]) * rows[2][:, None]
    found: NDArray[Any] = down[:, columns[0]] + (down[:, columns[1]] - down[:, columns[0]]) * columns[2]
    return found


def sizes(recipe: Recipe, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """((tensor height, width), (height, width) of the picture inside it) for a picture of that size."""
    if recipe.fit == "squash":
        return (recipe.height, recipe.width), (recipe.height, recipe.width)
    if recipe.fit == "letterbox":
        scale = min(recipe.width / width, recipe.height / height)
        inner = (
            min(max(int(height * scale + 0.5), 1), recipe.height),
            min(max(int(width * scale + 0.5), 1), recipe.width),
        )
        return (recipe.height, recipe.width), inner
    shown = min(height, width) if recipe.fit == "short" else max(height, width)
    scale = recipe.side / shown
    most = LONGEST_ASPECT * recipe.side if recipe.fit == "short" else height * scale + width * scale

    def side(length: int) -> int:
        return max(int(min(length * scale, most) / recipe.multiple + 0.5), 1) * recipe.multiple

    both = (side(height), side(width))
    return both, both


def _srgb(image: Image.Image) -> Image.Image:
    """RGB in sRGB, through the picture's profile where it has one that can be used."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image.convert("RGB")
    from io import BytesIO

    from PIL import ImageCms

    source = image.convert("RGB") if image.mode in ("RGBA", "L") else image
    try:
        converted = ImageCms.profileToProfile(
            source,
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")
    return converted if isinstance(converted, Image.Image) else source.convert("RGB")


def _scaled(
    box: tuple[int, int, int, int], shape: tuple[int, ...], tensor: tuple[int, ...]
) -> tuple[slice, slice]:
    """The box of the input tensor in a map of another size."""
    left, top, right, bottom = box

    def span(start: int, end: int, of_map: int, of_tensor: int) -> slice:
        first, last = ((at * of_map + of_tensor // 2) // of_tensor for at in (start, end))
        first = min(first, of_map - 1)
        return slice(first, min(max(last, first + 1), of_map))

    return span(top, bottom, shape[0], tensor[0]), span(left, right, shape[1], tensor[1])
