"""Drawn photos with exact masks, in the folders that training reads: for its smoke test. Must not train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

COUNT, SIDE = 18, 128


def draw(root: Path, seed: int) -> Path:
    """Blobs on noisy grounds as people/ (true masks), and a few as general/ with a teacher's."""
    random = np.random.default_rng(seed)
    for images, masks in (
        (root / "people" / "images", root / "people" / "masks"),
        (root / "general" / "images", root / "teacher" / "general"),
    ):
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for number in range(COUNT):
            mask = Image.new("L", (SIDE, SIDE))
            x, y = random.integers(20, 60, 2)
            size = random.integers(30, 60, 2)
            ImageDraw.Draw(mask).ellipse((x, y, x + size[0], y + size[1]), 255)
            ground = random.uniform(0, 120, 3) + random.normal(0, 10, (SIDE, SIDE, 3))
            subject = random.uniform(140, 255, 3) + random.normal(0, 10, (SIDE, SIDE, 3))
            soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(1)), np.float64)[:, :, None] / 255
            photo = ground * (1 - soft) + subject * soft
            Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(images / f"drawn_{number:03}.png")
            mask.save(masks / f"drawn_{number:03}.png")
    return root
