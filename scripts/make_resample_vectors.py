"""Writes tests/vectors/resample.txt and resample.bin: what Pillow makes of small pictures.

Run it with Pillow installed, from anywhere: python scripts/make_resample_vectors.py
The inputs are formulas that the Rust test repeats (rust/core/src/resample/tests.rs), so only
outputs are stored: whole where they are small, as a 64-bit FNV-1a digest where they are not.
"""

from pathlib import Path

import PIL
from PIL import Image

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "vectors"
MODES = {1: "L", 3: "RGB", 4: "RGBX"}  # RGBX: four independent channels
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}

# (input width, input height, output width, output height)
SMALL = [
    (1, 1, 5, 3),
    (1, 9, 4, 2),
    (2, 3, 3, 2),
    (5, 7, 5, 20),
    (7, 5, 20, 5),
    (16, 16, 16, 16),
    (17, 33, 8, 8),
    (33, 17, 16, 40),
    (31, 64, 31, 15),
    (64, 31, 15, 31),
    (97, 101, 13, 11),
    (13, 11, 37, 29),
    (20, 30, 19, 31),
    (251, 3, 3, 9),
    (1000, 2, 3, 1),
]
LARGE = [
    (640, 480, 320, 320),
    (320, 320, 640, 480),
    (550, 830, 320, 320),
    (1025, 769, 320, 213),
    (320, 320, 550, 830),
    (333, 4000, 320, 100),
]


def pixels(kind: str, seed: int, count: int) -> bytes:
    """The input: `noise`, `extremes` (0 or 255), or `steps` of period 251."""
    if kind == "steps":
        return bytes((seed + i) % 251 for i in range(count))
    out = bytearray(count)
    state = seed
    for i in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = state >> 24 if kind == "noise" else 255 * (state >> 31)
    return bytes(out)


def digest(data: bytes) -> int:
    """64-bit FNV-1a."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def main() -> None:
    """Writes both files."""
    lines = [f"# Pillow {PIL.__version__}: channels filter kind seed in-size out-size bytes|digest"]
    whole = bytearray()
    seed = 0
    cases = [(size, True) for size in SMALL] + [(size, False) for size in LARGE]
    for size, small in cases:
        in_w, in_h, out_w, out_h = size
        for channels, mode in MODES.items():
            if not small and channels == 4:
                continue
            for name, resampling in FILTERS.items():
                seed += 1
                kind = ("noise", "extremes", "steps")[seed % 3]
                data = pixels(kind, seed, in_w * in_h * channels)
                picture = Image.frombytes(mode, (in_w, in_h), data)
                out = picture.resize((out_w, out_h), resampling).tobytes()
                if small:
                    whole += out
                result = str(len(out)) if small else f"{digest(out):016x}"
                sizes = f"{in_w} {in_h} {out_w} {out_h}"
                lines.append(f"{channels} {name} {kind} {seed} {sizes} {result}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "resample.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (FOLDER / "resample.bin").write_bytes(whole)


if __name__ == "__main__":
    main()
