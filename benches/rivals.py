"""The other side of each comparison: bare ONNX Runtime, Pillow and NumPy as rembg uses them, rembg itself.

Written to be as quick as the ordinary way of writing it is, not slower: arrays are made once where
their libraries allow it, and nothing is checked. Must not import qbg.

    python benches/rivals.py big FOLDER    # one JSON line: seconds per picture
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])
SIDE = 320


def preprocess(image: Image.Image) -> np.ndarray:
    """rembg 2.0.86's way: Lanczos, float64, division by the maximum, channel by channel."""
    pixels = np.array(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    pixels = pixels / max(np.max(pixels), 1e-6)
    planes = np.zeros((SIDE, SIDE, 3))
    for channel in range(3):
        planes[:, :, channel] = (pixels[:, :, channel] - MEAN[channel]) / STD[channel]
    return np.expand_dims(planes.transpose((2, 0, 1)), 0).astype(np.float32)


def mask(logits: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Min-max, 8 bits, Lanczos to the picture's size."""
    low, high = logits.min(), logits.max()
    levels = ((logits - low) / (high - low) * 255).astype("uint8")
    return Image.fromarray(levels).resize(size, Image.Resampling.LANCZOS)


def cutout(image: Image.Image, alpha: Image.Image) -> Image.Image:
    """rembg's default composite."""
    return Image.composite(image, Image.new("RGBA", image.size, 0), alpha)


def png(image: Image.Image) -> bytes:
    """Pillow's default PNG."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def ellipse() -> np.ndarray:
    """Network output that is a centered ellipse, as qbg's null engine gives it."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    return ((x * x + y * y) < 0.16).astype(np.float32)


class Callers:
    """Threads that share one single-threaded session and do nothing but run it on inputs made beforehand."""

    def __init__(self, model: Path, feeds: list[np.ndarray]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._feeds = feeds
        self._input = self._session.get_inputs()[0].name
        self._output = [self._session.get_outputs()[0].name]

    def seconds(self, threads: int) -> float:
        """Wall-clock time for all inputs, taken from a shared pile."""
        pile = iter(range(len(self._feeds)))
        lock = threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    number = next(pile, None)
                if number is None:
                    return
                self._session.run(self._output, {self._input: self._feeds[number]})

        workers = [threading.Thread(target=work) for _ in range(threads)]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return time.perf_counter() - start


def big(folder: Path) -> float:
    """Seconds per picture for decode, preprocess, mask, composite and PNG; the network left out."""
    logits = ellipse()
    paths = sorted(folder.iterdir())
    start = time.perf_counter()
    for path in paths:
        image = Image.open(path).convert("RGB")
        preprocess(image)
        png(cutout(image, mask(logits, image.size)))
    return (time.perf_counter() - start) / len(paths)


if __name__ == "__main__":
    if sys.argv[1:2] != ["big"]:
        sys.exit(__doc__)
    print(json.dumps({"seconds_per_picture": big(Path(sys.argv[2]))}))
