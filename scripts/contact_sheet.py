"""Draws docs/cutouts.jpg: photos of this repository and what the built-in network cuts out, good or bad.

python scripts/contact_sheet.py [--out docs/cutouts.jpg] [-m MODEL] [PHOTO...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from qbg import Remover

ROOT = Path(__file__).resolve().parents[1]
CELL, COLUMNS, CHECK = 200, 3, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="*", type=Path, help="default: those of the repository")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "cutouts.jpg")
    parser.add_argument("-m", "--model", help="default: the built-in one")
    asked = parser.parse_args()
    photos = asked.photos or [
        *sorted((ROOT / "python/qbg/bench/samples").glob("*.jpg")),
        *sorted((ROOT / "docs/photos").glob("*.jpg")),
    ]
    rows = -(-len(photos) // COLUMNS)
    sheet = Image.new("RGB", (2 * CELL * COLUMNS, CELL * rows), "white")
    with Remover(asked.model) as remover:
        for number, cutout in enumerate(remover.cutout_many(photos)):
            left, top = number % COLUMNS * 2 * CELL, number // COLUMNS * CELL
            with Image.open(photos[number]) as opened:
                photo = opened.convert("RGB")
            for place, picture in enumerate((photo, over_checks(cutout))):
                picture.thumbnail((CELL - 4, CELL - 4))
                sheet.paste(picture, (left + place * CELL + (CELL - picture.width) // 2, top + 2))
    sheet.save(asked.out, quality=82, optimize=True)
    print(f"{asked.out}: {len(photos)} photos")


def over_checks(cutout: Image.Image) -> Image.Image:
    """A cut-out on a checkerboard, which shows what is transparent."""
    scale = max(1, max(cutout.size) // CELL)
    y, x = np.mgrid[0 : cutout.height, 0 : cutout.width] // (CHECK * scale)
    board = Image.fromarray(np.where((x + y) % 2, 235, 190).astype(np.uint8)).convert("RGB")
    board.paste(cutout, mask=cutout.getchannel("A"))
    return board


if __name__ == "__main__":
    main()
