"""The cases in tests/vectors/inspyrenet, for their generator and for the test. Must not know qbg."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

VECTORS = Path(__file__).parent / "vectors" / "inspyrenet"
STEP = 8
CORNER = 24


@dataclass(frozen=True)
class Case:
    """Weights and picture by `seed`; a picture of size x size, a network trained at base x base."""

    size: int
    base: int
    seed: int
    network: str = "inspyrenet-fast"

    @property
    def name(self) -> str:
        backbone = "" if self.network == "inspyrenet-fast" else "swin-"
        return f"{backbone}{self.size}-of-{self.base}-seed-{self.seed}"


CASES = [Case(size, 384, seed) for size in (128, 256, 384) for seed in (1, 2, 3)]
"""On Res2Net-50. 128 and 256 are resized to the training size inside; 384 isn't."""

SWIN_CASES = [Case(size, 384, seed, "inspyrenet-swin") for size, seed in ((128, 1), (256, 2), (384, 3))]
"""On Swin-B. 128 and 256 aren't whole numbers of windows; 384 is."""


def picture(size: int, seed: int) -> npt.NDArray[np.float32]:
    """A normalized picture (1, 3, size, size): noise of three coarsenesses, about -2 to 2."""
    rng = np.random.default_rng(seed)
    parts = [
        np.kron(rng.standard_normal((3, size // block, size // block)), np.ones((block, block)))
        for block in (1, 8, 32)
    ]
    return (sum(parts) / 2)[None].astype(np.float32)


def sample(logits: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
    """What is kept of (1, 1, H, W)."""
    plane = logits[0, 0]
    return {
        "range": np.array([plane.min(), plane.max()], np.float32),
        "grid": plane[::STEP, ::STEP].copy(),
        "first": plane[:CORNER, :CORNER].copy(),
        "last": plane[-CORNER:, -CORNER:].copy(),
    }
