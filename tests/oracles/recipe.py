"""A recipe by hand: Pillow, NumPy in float64, onnxruntime. As rembg 2.0.86 does it for u2netp.

Source: a script of these steps was compared with rembg itself and was bit-identical on 124 of 124 photos.

Which order Pillow's two passes take is part of it: up to 12 always along rows first; from 13 on whichever
is cheaper. A mask that rembg wrote with an older Pillow is had with `rows_first`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


def load(path: Path) -> Image.Image:
    """The picture as RGB, turned as its EXIF says."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def tensor(image: Image.Image, side: int, *, maximum: bool = True, rows_first: bool = False) -> np.ndarray:
    """(1, 3, side, side) float64: Lanczos squash, over the largest level (or 255), ImageNet mean and std."""
    if rows_first:
        image = image.resize((side, image.height), Image.Resampling.LANCZOS)
    pixels = np.asarray(image.resize((side, side), Image.Resampling.LANCZOS), np.float64)
    scaled = pixels / (max(pixels.max(), 1e-6) if maximum else 255.0)
    return ((scaled - MEAN) / STD).transpose(2, 0, 1)[None]


def alpha(logits: np.ndarray, size: tuple[int, int], *, rows_first: bool = False) -> np.ndarray:
    """(h, w) network output to (H, W) uint8: min-max, truncation, Lanczos. `size` is (width, height)."""
    logits = logits.astype(np.float32)
    low, high = logits.min(), logits.max()
    levels = ((logits - low) / (high - low) * 255).astype(np.uint8)
    small = Image.fromarray(levels)
    if rows_first:
        small = small.resize((size[0], small.height), Image.Resampling.LANCZOS)
    return np.asarray(small.resize(size, Image.Resampling.LANCZOS))


def session(model: Path) -> onnxruntime.InferenceSession:
    """One thread, so that the order of sums is that of a worker."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def mask(
    network: onnxruntime.InferenceSession,
    image: Image.Image,
    side: int = 320,
    *,
    rows_first: bool = False,
) -> np.ndarray:
    """(H, W) uint8: the whole way for one picture."""
    feed = tensor(image, side, rows_first=rows_first).astype(np.float32)
    output = network.run(None, {network.get_inputs()[0].name: feed})[0]
    return alpha(output[0, 0], image.size, rows_first=rows_first)
