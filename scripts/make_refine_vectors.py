"""Writes tests/vectors/refine.bin: what rembg's post-processing makes of small masks.

Run by hand with the versions named in tests/vectors/README.md (pip install numpy scipy scikit-image);
the test only reads the file. rembg 2.0.86 does exactly this in `post_process`:
opening with disk(1) (gray levels), gaussian_filter(sigma=2) in float64, below 127 -> 0, else 255.
Layout, little endian: per case u32 width, u32 height, the input plane, the result plane.
"""

import struct
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.morphology import disk, opening


def post_process(mask: np.ndarray) -> np.ndarray:
    blurred = gaussian_filter(opening(mask, disk(1)).astype(np.float64), sigma=2)
    return np.where(blurred < 127, 0, 255).astype(np.uint8)


def cases() -> list[np.ndarray]:
    rng = np.random.default_rng(20261124)
    planes = []
    for height, width in [(1, 1), (1, 9), (7, 1), (2, 3), (5, 4), (8, 8), (9, 17), (33, 20), (40, 61)]:
        planes.append(rng.integers(0, 256, (height, width), dtype=np.uint8))
        # Blobs: smooth noise stretched until it clips, as masks of networks are.
        smooth = gaussian_filter(rng.standard_normal((height, width)), 3, mode="nearest")
        span = max(float(np.abs(smooth).max()), 1e-9)
        planes.append(np.clip(127.5 + 400 * smooth / span, 0, 255).astype(np.uint8))
        planes.append((rng.random((height, width)) < 0.7).astype(np.uint8) * 255)
    planes += [np.full((20, 21), level, np.uint8) for level in (0, 126, 127, 128, 255)]
    edge = np.zeros((30, 31), np.uint8)
    edge[:, 15:] = 254
    planes.append(edge)
    return planes


def main() -> None:
    out = Path(__file__).resolve().parent.parent / "tests/vectors/refine.bin"
    with out.open("wb") as file:
        for plane in cases():
            file.write(struct.pack("<II", plane.shape[1], plane.shape[0]))
            file.write(plane.tobytes() + post_process(plane).tobytes())


if __name__ == "__main__":
    main()
