"""Metrics against the published package's results, against plain loops, and on what must hold of any mask."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("scipy", reason="SKIPPED: SciPy isn't installed: pip install 'qbg[evaluate]' runs these")

from mask_cases import cases
from qbg.evaluate import metrics
from qbg.evaluate.metrics import Scores, score

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/metrics/scores.json").read_text())["scores"]
CASES = cases()
TOLERANCE = 1e-6

planes = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: st.tuples(arrays.arrays(np.uint8, shape), arrays.arrays(np.uint8, shape))
)


def test_the_vectors_are_of_these_cases() -> None:
    assert set(VECTORS) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_equals_the_published_package(name: str) -> None:
    found = score(*CASES[name])
    for key, wanted in VECTORS[name].items():
        assert np.max(np.abs(np.asarray(getattr(found, key)) - wanted)) < TOLERANCE, key


@pytest.mark.parametrize("name", CASES)
def test_the_others_equal_plain_loops(name: str) -> None:
    mask, truth = CASES[name]
    found = score(mask, truth)
    assert found.iou == pytest.approx(iou(mask >= 128, truth >= 128))
    assert found.sad == pytest.approx(np.abs(mask / 255 - truth / 255).sum() / 1000)
    width = max(1, round(0.02 * math.hypot(*mask.shape)))
    assert found.boundary_iou == pytest.approx(iou(rim(mask >= 128, width), rim(truth >= 128, width)))
    assert found.gradient == pytest.approx(
        ((steepness(mask / 255) - steepness(truth / 255)) ** 2).sum() / 1000, abs=1e-9
    )


def iou(one: np.ndarray, other: np.ndarray) -> float:
    union = (one | other).sum()
    return (one & other).sum() / union if union else 1.0


def rim(plane: np.ndarray, width: int) -> np.ndarray:
    """What is within `width` of a pixel outside, or of the picture's border, by rows and columns."""
    padded = np.pad(plane, width)
    height, across = plane.shape
    inner = np.ones_like(plane)
    for dy in range(2 * width + 1):
        for dx in range(2 * width + 1):
            inner &= padded[dy : dy + height, dx : dx + across]
    return plane & ~inner


def steepness(plane: np.ndarray, sigma: float = 1.4) -> np.ndarray:
    """Magnitude of the Gaussian's gradient, by a two-dimensional kernel as in the published program."""
    reach = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * 1e-2)))

    def height(x: float) -> float:
        return math.exp(-x * x / (2 * sigma * sigma)) / (sigma * math.sqrt(2 * math.pi))

    kernel = np.array(
        [
            [height(y - reach) * -(x - reach) * height(x - reach) / sigma**2 for x in range(2 * reach + 1)]
            for y in range(2 * reach + 1)
        ]
    )
    kernel /= math.sqrt((kernel**2).sum())
    parts = []
    for each in (kernel, kernel.T):
        padded = np.pad(plane, reach, mode="edge")
        total = np.zeros_like(plane)
        for dy in range(2 * reach + 1):
            for dx in range(2 * reach + 1):
                shifted = padded[dy : dy + plane.shape[0], dx : dx + plane.shape[1]]
                total += each[dy, dx] * shifted
        parts.append(total)
    return np.hypot(*parts)


@given(planes)
def test_what_holds_of_any_mask(pair: tuple[np.ndarray, np.ndarray]) -> None:
    mask, truth = pair
    if not (truth >= 128).any():
        with pytest.raises(ValueError, match="no subject"):
            score(mask, truth)
        return
    found = score(mask, truth)
    for name in ("iou", "mae", "f_adaptive", "f_weighted", "s", "boundary_iou"):
        assert -1e-9 <= getattr(found, name) <= 1 + 1e-9, name
    assert np.isfinite(found.e_curve).all()
    assert found.sad >= 0
    assert found.gradient >= 0
    same = score(truth, truth)
    assert (same.iou, same.mae, same.boundary_iou, same.sad, same.gradient) == (1, 0, 1, 0, 0)


@pytest.mark.parametrize(
    ("mask", "truth"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)),
        (np.zeros((4, 4)), np.full((4, 4), 255, np.uint8)),
        (np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 255, np.uint8)),
    ],
)
def test_wrong_shapes_and_types_are_named(mask: np.ndarray, truth: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be \(H, W\) uint8|differ in shape"):
        score(mask, truth)


def test_the_metrics_tell_masks_apart() -> None:
    mask, truth = CASES["soft-3"]
    good, bad = score(mask, truth), score(np.roll(mask, 9, 1), truth)
    for name in ("iou", "f_adaptive", "f_weighted", "s", "e_adaptive", "boundary_iou"):
        assert getattr(good, name) > getattr(bad, name), name
    for name in ("mae", "sad", "gradient"):
        assert getattr(good, name) < getattr(bad, name), name
    assert set(metrics.NAMES) == set(Scores.__dataclass_fields__)
