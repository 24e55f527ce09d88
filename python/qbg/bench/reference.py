"""The reference path: a picture's alpha by Pillow, NumPy and a plain ONNX Runtime session, in plain
words.

What a bench's outputs are held to. It follows the recipe's definition and shares no code with the native
side. Must not be fast, nor know what it is compared with.

    tensor = (level / scale - mean) / std        on Pillow's resize
    p      = activation(output[channel])          then min-max, over the part that shows the picture
    alpha  = Pillow's resize of floor(255 p [+ 0.5])
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
        tensor, box = self.tensor(rgb)
        names = [self._network.output_name]
        output = self._session.run(names, {self._network.input_name: tensor})[0]
        plane = self.plane(np.asarray(output, np.float32), box, tensor.shape[2:])
        alpha = Image.fromarray(plane).resize(rgb.size, FILTERS[self._recipe.output_filter])
        levels = np.asarray(alpha)
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
