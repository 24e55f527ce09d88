"""Drawn masks and truths for the metrics: the same everywhere. Must not know qbg."""

from __future__ import annotations

import numpy as np

Case = tuple[np.ndarray, np.ndarray]


def cases() -> dict[str, Case]:
    """By name: (mask, truth), both (H, W) uint8, each truth with a subject."""
    found: dict[str, Case] = {}
    for number, (height, width) in enumerate([(33, 47), (64, 64), (90, 40), (120, 160)]):
        random = np.random.default_rng(number)
        truth = _blobs(random, height, width)
        noise = random.normal(0, 70, (height, width))
        soft = np.clip(_smooth(truth.astype(float) + noise), 0, 255).astype(np.uint8)
        found[f"soft-{number}"] = soft, truth
        found[f"noise-{number}"] = random.integers(0, 256, (height, width)).astype(np.uint8), truth
        found[f"moved-{number}"] = np.roll(truth, (3, -2), (0, 1)), truth
    truth = found["soft-1"][1]
    found["empty"] = np.zeros_like(truth), truth
    found["full"] = np.full_like(truth, 255), truth
    found["flat"] = np.full_like(truth, 77), truth
    found["right"] = truth.copy(), truth
    found["inverted"] = 255 - truth, truth
    found["all-subject"] = found["soft-1"][0], np.full_like(truth, 255)
    one = np.zeros_like(truth)
    one[10, 20] = 255
    found["one-pixel"] = found["soft-1"][0], one
    found["line"] = np.array([[0, 30, 140, 255, 200]], np.uint8), np.array([[0, 0, 255, 255, 0]], np.uint8)
    return found


def _blobs(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    plane = np.zeros((height, width), bool)
    for _ in range(3):
        cy, cx = random.uniform(0.2, 0.8) * height, random.uniform(0.2, 0.8) * width
        ry, rx = (random.uniform(0.1, 0.3) * side for side in (height, width))
        plane |= ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
    return plane.astype(np.uint8) * 255


def _smooth(plane: np.ndarray) -> np.ndarray:
    padded = np.pad(plane, 2, mode="edge")
    height, width = plane.shape
    return sum(padded[dy : dy + height, dx : dx + width] for dy in range(5) for dx in range(5)) / 25
