"""Draws tests/pictures/odd: one tiny picture per odd way of storing one. Needs Pillow and NumPy.

Everything is drawn from formulas, so that the files can be made again and compared; the same
subject (a disc on a sloping background, with a red corner that shows the orientation) is in all of
them. Files that must be refused are made by tests/bad_files.py instead.

    python scripts/draw_pictures.py [FOLDER]
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

WIDTH, HEIGHT = 96, 64


def subject(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(H, W, 3) uint8: a yellow disc right of the middle, blue slope behind it, red top left corner."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 80 // width, 40 + y * 60 // height, 120 + x * 100 // width], axis=2)
    disc = (x - width * 0.6) ** 2 + (y - height * 0.5) ** 2 < (height * 0.35) ** 2
    picture[disc] = (230, 190, 40)
    picture[: height // 8, : width // 8] = (220, 20, 20)
    return picture.astype(np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png16(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint16 as a 16-bit RGB PNG, which Pillow can't write."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def draw(folder: Path) -> None:
    """Writes all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    rgb = Image.fromarray(subject())
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1)))

    rgb.save(folder / "plain.png", optimize=True)
    (folder / "rgb16.png").write_bytes(png16(subject().astype(np.uint16) * 257))
    Image.fromarray(np.asarray(rgb.convert("L"), np.uint16) * 257).save(folder / "grey16.png")
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    rgba.save(folder / "rgba.png", optimize=True)
    rgb.convert("LA").save(folder / "grey_alpha.png", optimize=True)
    palette = rgb.quantize(16)
    palette.save(folder / "palette.png", optimize=True)
    palette.save(folder / "palette_transparent.png", transparency=0)
    rgb.convert("1").save(folder / "bilevel.png")
    rgb.save(
        folder / "animated.png", save_all=True, append_images=[rgb.transpose(Image.Transpose.ROTATE_180)]
    )

    rgb.save(folder / "baseline.jpg", quality=90)
    rgb.save(folder / "progressive.jpg", quality=90, progressive=True)
    rgb.convert("L").save(folder / "grey.jpg", quality=90)
    rgb.convert("CMYK").save(folder / "cmyk.jpg", quality=90)
    for orientation, back in {
        3: Image.Transpose.ROTATE_180,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270,
    }.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        # Stored so that the viewer's turn brings the red corner back to the top left.
        rgb.transpose(back).save(folder / f"exif{orientation}.jpg", quality=90, exif=exif.tobytes())
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rgb.save(folder / "icc_dpi.jpg", quality=90, icc_profile=profile, dpi=(300, 300))

    rgb.save(folder / "lossless.webp", lossless=True)
    rgba.save(folder / "lossy_alpha.webp", quality=80)
    rgb.save(folder / "lzw.tiff", compression="tiff_lzw")
    rgb.save(folder / "plain.bmp")
    palette.save(folder / "still.gif")
    rgb.save(folder / "plain.ppm")
    Image.fromarray(subject(1, 1)).save(folder / "one_pixel.png")
    Image.fromarray(subject(300, 3)).save(folder / "thin.png")


if __name__ == "__main__":
    target = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "tests/pictures/odd"
    draw(Path(target))
