"""A folder with every bad file that a batch must survive, each with a line on what is wrong with it.

`make(folder)` writes them and returns the list; a test runs qbg over the folder and compares. All are
made from formulas and from small good pictures drawn here, so none has to be kept in the repository.
No two names share a stem: that would be a collision of outputs, which is another test.
Must not know how qbg finds out: only the stage that should say so, and words that its line must hold.

    python tests/bad_files.py FOLDER      # to look at them, or to run qbg over them by hand
"""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

BOMB_SIDE = 60_000
UNPACKED = 256 * 1024 * 1024  # what a zip bomb would need if it were unpacked


@dataclass(frozen=True)
class Bad:
    """One file.

    Attributes:
        stem: ASCII text that is found in this file's name alone.
        wrong: what is wrong with it.
        stages: the stages that may report it.
        says: words of which one must be in the message (lower case); empty for any message.
        may_pass: whether doing the picture without the bad part is right, too.
    """

    stem: str
    wrong: str
    stages: tuple[str, ...] = ("decode",)
    says: tuple[str, ...] = ()
    may_pass: bool = False


def picture(width: int = 48, height: int = 40) -> Image.Image:
    """A disc on a slope, RGB."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 5 % 256, y * 6 % 256, (x + y) * 3 % 256], axis=2).astype(np.uint8)
    pixels[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 3) ** 2] = (230, 190, 40)
    return Image.fromarray(pixels)


def encoded(kind: str, **options: object) -> bytes:
    """The picture in a format of Pillow's."""
    stream = io.BytesIO()
    picture().save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    """Signature and IHDR of an 8-bit RGB PNG."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def with_png_chunk(extra: bytes) -> bytes:
    """A good PNG with one more chunk right after its header."""
    good = encoded("PNG")
    return good[:33] + extra + good[33:]


def zeros() -> bytes:
    """UNPACKED zero bytes, deflated to a thousandth."""
    packer, block = zlib.compressobj(1), bytes(1024 * 1024)
    return b"".join(packer.compress(block) for _ in range(UNPACKED // len(block))) + packer.flush()


def with_jpeg_segment(marker: int, body: bytes) -> bytes:
    """A good JPEG with one more segment right after its start."""
    good = encoded("JPEG")
    return good[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + good[2:]


def patched_jpeg(offset: int, value: bytes) -> bytes:
    """A JPEG whose frame header (SOF0) was changed `offset` bytes after its marker."""
    good = bytearray(encoded("JPEG"))
    at = good.index(b"\xff\xc0") + offset
    good[at : at + len(value)] = value
    return bytes(good)


def exif_loop() -> bytes:
    """EXIF whose directory is its own successor, and whose first entry claims 4 GB."""
    entry = struct.pack("<HHII", 0x010E, 2, 0xFFFFFFFF, 8)
    tiff = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + struct.pack("<I", 8)
    return b"Exif\0\0" + tiff


def tiff_bomb() -> bytes:
    """A TIFF directory of a huge picture in one strip of which nothing is there."""
    tags = [
        (256, 4, BOMB_SIDE), (257, 4, BOMB_SIDE), (258, 3, 8), (259, 3, 1), (262, 3, 1),
        (273, 4, 8), (277, 3, 1), (278, 4, BOMB_SIDE), (279, 4, 0xFFFFFFF0),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def bmp_bomb() -> bytes:
    """A BMP header of a huge picture."""
    return b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, BOMB_SIDE, BOMB_SIDE, 1, 24, 0, 0, 0, 0, 0, 0
    )


def webp_bomb() -> bytes:
    """A WebP canvas of a huge size."""
    side = struct.pack("<I", BOMB_SIDE - 1)[:3]
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + bytes(4) + side + side
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif_bomb() -> bytes:
    """A GIF screen and frame of a huge size."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, BOMB_SIDE, BOMB_SIDE, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", BOMB_SIDE, BOMB_SIDE, 0x80, 0, 0) + bytes(6) + frame + b";"


def box(brand: bytes) -> bytes:
    """The first box of an ISO media file."""
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1" + brand + bytes(64)


def half(data: bytes) -> bytes:
    """Its first half."""
    return data[: len(data) // 2]


def edited(data: bytes, old: bytes, new: bytes) -> bytes:
    """The first `old` replaced by as many bytes of `new`."""
    assert old in data
    assert len(old) == len(new)
    return data.replace(old, new, 1)


def resized_bmp(width: int, height: int) -> bytes:
    """A BMP whose header claims another size."""
    return edited(encoded("BMP"), struct.pack("<ii", 48, 40), struct.pack("<ii", width, height))


def indexed_png(palette: bytes, *, depth: int = 8, row: bytes = b"\0\0\1\2\3") -> bytes:
    """A PNG of 4x1 pixels with any palette."""
    header = struct.pack(">IIBBBBB", 4, 1, depth, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in parts)


def png_of(*, depth: int = 8, color: int = 2, packing: int = 0, interlace: int = 0) -> bytes:
    """A PNG header of kinds that there are or not, and a little data."""
    header = struct.pack(">IIBBBBB", 4, 4, depth, color, packing, 0, interlace)
    data = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def without_segment(data: bytes, marker: int) -> bytes:
    """A JPEG without its first segment of this kind."""
    at = data.index(bytes([0xFF, marker]))
    length = struct.unpack(">H", data[at + 2 : at + 4])[0]
    return data[:at] + data[at + 2 + length :]


def tiff_loop() -> bytes:
    """A TIFF whose directory says that the next one is itself, without a picture in it."""
    return b"II*\0" + struct.pack("<IHHHIII", 8, 1, 256, 3, 1, 4, 8)


def scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: each costs a walk over the picture."""
    data = encoded("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


BOMB = ("megapixels", "limit", "more than")
FILES: list[tuple[str, Callable[[], bytes], Bad]] = [
    ("truncated_jpg.jpg", lambda: half(encoded("JPEG", quality=95)),
     Bad("truncated_jpg", "a JPEG that ends in the middle", says=("ends before",))),
    ("truncated_png.png", lambda: half(encoded("PNG")),
     Bad("truncated_png", "a PNG that ends in the middle", says=("ends before",))),
    ("truncated_webp.webp", lambda: half(encoded("WEBP")), Bad("truncated_webp", "a WebP that ends early")),
    ("truncated_tiff.tiff", lambda: half(encoded("TIFF")), Bad("truncated_tiff", "a TIFF that ends early")),
    ("truncated_bmp.bmp", lambda: half(encoded("BMP")), Bad("truncated_bmp", "a BMP that ends early")),
    ("truncated_gif.gif", lambda: half(encoded("GIF")), Bad("truncated_gif", "a GIF that ends early")),
    ("truncated_ppm.ppm", lambda: half(encoded("PPM")), Bad("truncated_ppm", "a PPM that ends early")),
    ("header_only.jpg", lambda: encoded("JPEG")[:2], Bad("header_only", "the first two bytes of a JPEG")),
    ("text.png", lambda: b"this was a letter once\n",
     Bad("text.png", "text, renamed", says=("not an image",))),
    ("empty.jpg", lambda: b"", Bad("empty.jpg", "no bytes", ("map", "decode"), ("empty",))),
    ("wrong_crc.png", lambda: encoded("PNG")[:29] + bytes(4) + encoded("PNG")[33:],
     Bad("wrong_crc", "a PNG header with a wrong checksum")),
    ("no_size.png", lambda: png_header(0, 0) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""),
     Bad("no_size", "a PNG of 0x0 pixels")),
    ("twelve_bit.jpg", lambda: patched_jpeg(4, b"\x0c"),
     Bad("twelve_bit", "a JPEG of 12 bits a sample", says=("12", "not supported"))),
    ("phone_heic.heic", lambda: box(b"heic"), Bad("phone_heic", "HEIC, not read by qbg", says=("heic",))),
    ("phone_avif.avif", lambda: box(b"avif"), Bad("phone_avif", "AVIF, not read by qbg", says=("avif",))),
    ("bomb_png.png", lambda: png_header(BOMB_SIDE, BOMB_SIDE) + chunk(b"IDAT", zlib.compress(bytes(100))),
     Bad("bomb_png", "a PNG header of 60000x60000", says=BOMB)),
    ("bomb_jpg.jpg", lambda: patched_jpeg(5, struct.pack(">HH", BOMB_SIDE, BOMB_SIDE)),
     Bad("bomb_jpg", "a JPEG header of 60000x60000", says=BOMB)),
    ("bomb_tiff.tiff", tiff_bomb, Bad("bomb_tiff", "a TIFF header of 60000x60000", says=BOMB)),
    ("bomb_bmp.bmp", bmp_bomb, Bad("bomb_bmp", "a BMP header of 60000x60000", says=BOMB)),
    ("bomb_webp.webp", webp_bomb, Bad("bomb_webp", "a WebP canvas of 60000x60000", says=BOMB)),
    ("bomb_gif.gif", gif_bomb, Bad("bomb_gif", "a GIF screen of 60000x60000", says=BOMB)),
    ("bomb_ppm.ppm", lambda: b"P6\n60000 60000\n255\n", Bad("bomb_ppm", "60000x60000 PPM header", says=BOMB)),
    ("zip_icc.png", lambda: with_png_chunk(chunk(b"iCCP", b"bomb\0\0" + zeros())),
     Bad("zip_icc", "a PNG profile that unpacks to 256 MB", may_pass=True)),
    ("zip_text.png", lambda: with_png_chunk(chunk(b"zTXt", b"Comment\0\0" + zeros())),
     Bad("zip_text", "a PNG comment that unpacks to 256 MB", may_pass=True)),
    ("exif_loop.jpg", lambda: with_jpeg_segment(0xE1, exif_loop()),
     Bad("exif_loop", "EXIF that points at itself and claims 4 GB", may_pass=True)),
    ("icc_part.jpg", lambda: with_jpeg_segment(0xE2, b"ICC_PROFILE\0\x01\xff" + bytes(500)),
     Bad("icc_part", "the first of 255 parts of a profile, the others missing", may_pass=True)),
    ("palette_of_49.png", lambda: indexed_png(bytes(49)),
     Bad("palette_of_49", "a palette of 49 bytes: no list of colors", says=("palette",))),
    ("palette_none.png", lambda: png_of(color=3),
     Bad("palette_none", "a picture of palette entries, and no palette")),
    ("palette_empty.png", lambda: indexed_png(b""), Bad("palette_empty", "a palette without colors")),
    ("palette_huge.png", lambda: indexed_png(bytes(771)), Bad("palette_huge", "a palette of 257 colors")),
    ("palette_short.png", lambda: indexed_png(bytes(3)),
     Bad("palette_short", "pixels that name colors which the palette hasn't got", may_pass=True)),
    ("png_depth_3.png", lambda: png_of(depth=3), Bad("png_depth_3", "3 bits a sample, which there is not")),
    ("png_color_5.png", lambda: png_of(color=5), Bad("png_color_5", "color type 5, which there is not")),
    ("png_packing_1.png", lambda: png_of(packing=1),
     Bad("png_packing_1", "packed in a way that there is not")),
    ("png_interlace_2.png", lambda: png_of(interlace=2),
     Bad("png_interlace_2", "interlaced in an unknown way")),
    ("png_no_data.png", lambda: png_header(4, 4) + chunk(b"IEND", b""),
     Bad("png_no_data", "a PNG without IDAT")),
    ("png_bad_filter.png", lambda: png_header(4, 1) + chunk(b"IDAT", zlib.compress(b"\x09" + bytes(12)))
     + chunk(b"IEND", b""), Bad("png_bad_filter", "a row filter of number 9")),
    ("png_bad_zlib.png", lambda: png_header(4, 4) + chunk(b"IDAT", b"\x78\x9c" + b"\xff" * 60)
     + chunk(b"IEND", b""),
     Bad("png_bad_zlib", "data that isn't deflated")),
    ("png_few_rows.png", lambda: png_header(4, 400) + chunk(b"IDAT", zlib.compress(bytes(13)))
     + chunk(b"IEND", b""),
     Bad("png_few_rows", "one row of four hundred")),
    ("png_two_headers.png", lambda: png_header(4, 4) + png_header(9000, 9000)[8:] + chunk(b"IEND", b""),
     Bad("png_two_headers", "a second, larger header")),
    ("png_long_chunk.png", lambda: encoded("PNG")[:33] + struct.pack(">I", 0xFFFFFFF0) + b"IDAT" + bytes(40),
     Bad("png_long_chunk", "a chunk that claims 4 GB")),
    ("png_signature.png", lambda: b"\x89PNG\r\n\x1a\n", Bad("png_signature", "eight bytes of a PNG")),
    ("png_newlines.png", lambda: encoded("PNG").replace(b"\r\n", b"\n"),
     Bad("png_newlines", "a PNG sent as text, its line ends changed")),
    ("jpeg_no_tables.jpg", lambda: without_segment(encoded("JPEG"), 0xDB),
     Bad("jpeg_no_tables", "a JPEG without a quantization table", may_pass=True)),
    ("jpeg_no_codes.jpg", lambda: without_segment(encoded("JPEG"), 0xC4),
     Bad("jpeg_no_codes", "a JPEG without one of its code tables")),
    ("jpeg_no_frame.jpg", lambda: without_segment(encoded("JPEG"), 0xC0),
     Bad("jpeg_no_frame", "a scan of no frame")),
    ("jpeg_no_scan.jpg", lambda: encoded("JPEG")[: encoded("JPEG").index(b"\xff\xda")] + b"\xff\xd9",
     Bad("jpeg_no_scan", "a JPEG of tables alone")),
    ("jpeg_zero_wide.jpg", lambda: patched_jpeg(5, struct.pack(">HH", 40, 0)),
     Bad("jpeg_zero_wide", "0 pixels wide")),
    ("jpeg_five_parts.jpg", lambda: patched_jpeg(9, b"\x05"),
     Bad("jpeg_five_parts", "five color components")),
    ("jpeg_odd_sampling.jpg", lambda: patched_jpeg(11, b"\x55"),
     Bad("jpeg_odd_sampling", "sampling factors of 5, which there are not")),
    ("jpeg_taller.jpg", lambda: patched_jpeg(5, struct.pack(">H", 4000)),
     Bad("jpeg_taller", "a header that claims a hundred times the rows", may_pass=True)),
    ("jpeg_scans.jpg", lambda: scans(5000),
     Bad("jpeg_scans", "five thousand scans over one picture", may_pass=True)),
    ("jpeg_arithmetic.jpg", lambda: edited(encoded("JPEG"), b"\xff\xc0", b"\xff\xc9"),
     Bad("jpeg_arithmetic", "arithmetic codes, not read by qbg", says=("not supported",))),
    ("jpeg_lossless.jpg", lambda: edited(encoded("JPEG"), b"\xff\xc0", b"\xff\xc3"),
     Bad("jpeg_lossless", "lossless JPEG, not read by qbg", says=("not supported",))),
    ("tiff_loop.tiff", tiff_loop, Bad("tiff_loop", "a directory that follows itself")),
    ("tiff_nowhere.tiff", lambda: b"MM\0*" + struct.pack(">I", 0xFFFFFF00),
     Bad("tiff_nowhere", "a directory far beyond the end")),
    ("bmp_negative.bmp", lambda: resized_bmp(-48, 40),
     Bad("bmp_negative", "-48 pixels wide")),
    ("bmp_lowest.bmp", lambda: resized_bmp(48, -(1 << 31)),
     Bad("bmp_lowest", "a height whose sign can't be turned")),
    ("bmp_seven_bits.bmp", lambda: edited(encoded("BMP"), b"\1\0\x18\0", b"\1\0\7\0"),
     Bad("bmp_seven_bits", "7 bits a pixel, which there are not")),
    ("gif_no_frame.gif", lambda: b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0) + b";",
     Bad("gif_no_frame", "a GIF without a frame")),
    ("gif_no_colors.gif", lambda: b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0, 0, 0) + b","
     + struct.pack("<HHHHB", 0, 0, 4, 4, 0) + b"\x02\x02\x4c\x01\x00;",
     Bad("gif_no_colors", "no table of colors")),
    ("webp_empty.webp", lambda: b"RIFF\x04\0\0\0WEBP", Bad("webp_empty", "a WebP with nothing in it")),
    ("webp_long.webp", lambda: encoded("WEBP")[:4] + b"\xff\xff\xff\xff" + encoded("WEBP")[8:],
     Bad("webp_long", "a WebP that claims 4 GB", may_pass=True)),
    ("pnm_letters.ppm", lambda: b"P6\nwide tall\n255\n" + bytes(48), Bad("pnm_letters", "words for numbers")),
    ("pnm_negative.ppm", lambda: b"P6\n-4 4\n255\n" + bytes(48), Bad("pnm_negative", "-4 pixels wide")),
    ("pnm_overflow.ppm", lambda: b"P6\n99999999999999999999 1\n255\n",
     Bad("pnm_overflow", "numbers over 64 bits")),
    ("pnm_no_levels.pgm", lambda: b"P5\n4 4\n0\n" + bytes(16), Bad("pnm_no_levels", "a largest level of 0")),
    ("zeros.jpg", lambda: bytes(4096),
     Bad("zeros.jpg", "a file that was never filled", says=("not an image",))),
    ("page.jpg", lambda: b"<!DOCTYPE html><title>404</title>",
     Bad("page.jpg", "a web page, saved as a picture")),
    ("drawing.png", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
     Bad("drawing.png", "a drawing, not pixels")),
    ("zip.jpg", lambda: b"PK\x03\x04" + bytes(60), Bad("zip.jpg", "an archive, renamed")),
    ("jxl.jpg", lambda: b"\xff\x0a" + bytes(60), Bad("jxl.jpg", "JPEG XL, not read by qbg")),
    ("line\nbreak_bad.jpg", lambda: b"\xff\xd8\xff\xe0 not a JPEG",
     Bad("break_bad", "a broken file with a newline in its name")),
]  # fmt: skip


def write_good(folder: Path) -> list[str]:
    """Good files beside the bad: odd names, a folder that looks like a picture. Returns their stems."""
    stems = ["good_first", "good_last"]
    (folder / "good_first.jpg").write_bytes(encoded("JPEG"))
    (folder / "zz_good_last.png").write_bytes(encoded("PNG"))
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "inside.png").write_bytes(encoded("PNG"))
    stems.append("inside")
    if os.name == "posix":
        (folder / "line\nbreak_good.png").write_bytes(encoded("PNG"))
        stems.append("break_good")
    if sys.platform == "linux":
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9_latin_good.png")).write_bytes(encoded("PNG"))
        stems.append("_latin_good")
    return stems


def make(folder: Path) -> list[Bad]:
    """Writes the bad files that this system can hold into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, content, bad in FILES:
        if "\n" in name and os.name != "posix":
            continue
        (folder / name).write_bytes(content())
        made.append(bad)
    if os.name == "posix":
        (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
        made.append(Bad("dangling", "a link to nothing", ("discover", "map")))
        os.mkfifo(folder / "pipe.png")
        made.append(Bad("pipe.png", "a named pipe: opening it would wait for ever", ("discover", "map"),
                        ("not a regular file",)))  # fmt: skip
        (folder / "secret.jpg").write_bytes(encoded("JPEG"))
        (folder / "secret.jpg").chmod(0)
        made.append(Bad("secret", "a file that may not be read", ("discover", "map"), ("denied",)))
    if sys.platform == "linux":
        Path(os.fsdecode(os.fsencode(folder) + b"/na\xefve_latin_bad.jpg")).write_bytes(b"\xff\xd8 no")
        made.append(Bad("ve_latin_bad", "a broken file whose name is no UTF-8"))
    return made


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for entry in make(target):
        print(f"{entry.stem:<18}{entry.wrong}")
    write_good(target)
