"""Lays the held-out pictures out for `qbg evaluate`: images/ and masks/, named so that groups come out.

    python training/heldout.py --data DATA --out HELD
    qbg evaluate qbg-base HELD/masks

Names are `<group>-true_<photo>` where the mask is true, `<group>-teacher_<photo>` where a teacher drew it,
and `empty_<photo>` for parts of held-out photos of people in which the true mask is empty. Must not train.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import data

EMPTY_SHARE = 0.2
"""Least share of each side that an empty part takes."""

FLAT = 50.0
"""Spread of grey levels (standard deviation) above which an empty part is likely to hold another subject."""


def empty_part(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """The largest of the left, right, top and bottom strips without a mask: (left, top, right, bottom)."""
    rows, columns = np.flatnonzero(mask.max(1) > 5), np.flatnonzero(mask.max(0) > 5)
    height, width = mask.shape
    if not len(rows):
        return None
    strips = [
        (0, 0, int(columns[0]), height),
        (int(columns[-1]) + 1, 0, width, height),
        (0, 0, width, int(rows[0])),
        (0, int(rows[-1]) + 1, width, height),
    ]
    able = [
        (left, top, right, bottom)
        for left, top, right, bottom in strips
        if right - left >= EMPTY_SHARE * width and bottom - top >= EMPTY_SHARE * height
    ]
    return max(able, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]), default=None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder as for train.py")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    images, masks = asked.out / "images", asked.out / "masks"
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    count = empty = 0
    for pair in data.find(asked.data):
        if not pair.held:
            continue
        kind = "true" if pair.kind == data.TRUE else "teacher"
        name = f"{pair.group}-{kind}_{pair.name.removeprefix(pair.group + '_')}"
        with Image.open(pair.photo) as opened:
            photo = ImageOps.exif_transpose(opened).convert("RGB")
        with Image.open(pair.mask) as opened:
            mask = opened.convert("L").resize(photo.size, Image.Resampling.BILINEAR)
        (images / f"{name}{pair.photo.suffix}").write_bytes(pair.photo.read_bytes())
        mask.save(masks / f"{name}.png")
        count += 1
        if pair.group != "people":
            continue
        box = empty_part(np.asarray(mask))
        if box is not None:
            part = photo.crop(box)
            if np.asarray(part.convert("L"), np.float64).std() <= FLAT:
                part.save(images / f"empty_{pair.name}.png")
                Image.new("L", part.size).save(masks / f"empty_{pair.name}.png")
                empty += 1
    print(f"{count} held-out pictures and {empty} empty parts in {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
