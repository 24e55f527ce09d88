"""Makes tests/vectors/decode/: small pictures in every variant, with the pixels to expect.

Run it with Pillow and NumPy: `python scripts/make_decode_vectors.py`. The outside witness is
Pillow (libjpeg-turbo, libwebp, libtiff, LittleCMS); where our definition differs from Pillow's
on purpose (16-bit samples are rounded, associated alpha is divided out with rounding) NumPy
states the definition. The files are committed; tests never run this script.

Each case is a file plus `<file>.raw` (8-bit RGB or RGBA, rows from the top, deflated) and a
line in index.txt: file, width, height, channels, greatest difference allowed per sample.
`<file>.srgb.raw` holds the same picture converted to sRGB through its profile, by LittleCMS.
"""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageCms, ImageDraw, ImageOps, features

OUT = Path(__file__).resolve().parent.parent / "tests/vectors/decode"
WIDTH, HEIGHT = 23, 19
index = []


def scene(width=WIDTH, height=HEIGHT):
    """A gradient with hard edges and saturated colors: chroma upsampling shows on it."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    rgb = np.stack([255 * x / (width - 1), 255 * y / (height - 1), 255 * (x + y) % 256], -1)
    picture = Image.fromarray(rgb.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((3, 3, width // 2, height - 5), fill=(220, 20, 30))
    draw.rectangle((width // 2, 4, width - 4, height // 2), fill=(10, 60, 230))
    draw.line((0, height - 1, width - 1, 0), fill=(250, 250, 240))
    return picture


def scene_alpha(width=WIDTH, height=HEIGHT):
    picture = scene(width, height)
    y, x = np.mgrid[0:height, 0:width]
    alpha = Image.fromarray(((x * 37 + y * 11) % 256).astype(np.uint8))
    picture.putalpha(alpha)
    return picture


def keep(name, array):
    (OUT / name).write_bytes(zlib.compress(array.tobytes(), 9))


def add(name, data, expected, tolerance=0):
    """`expected`: an image (RGB or RGBA) or an array; None means what Pillow sees."""
    (OUT / name).write_bytes(data)
    if expected is None:
        with Image.open(io.BytesIO(data)) as seen:
            seen.load()
            alpha = "A" in seen.mode or "transparency" in seen.info
            expected = seen.convert("RGBA" if alpha else "RGB")
    array = np.asarray(expected)
    assert array.dtype == np.uint8, name
    assert array.ndim == 3, name
    keep(f"{name}.raw", array)
    height, width, channels = array.shape
    index.append(f"{name} {width} {height} {channels} {tolerance}")


def saved(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation):
    block = Image.Exif()
    block[274] = orientation
    block[282], block[283], block[296] = 150.0, 75.0, 2
    return block.tobytes()


# --- ICC profiles, written by hand (ICC.1:2001-04) ------------------------------------------


def s15(value):
    return struct.pack(">i", round(value * 65536))


def profile(space, pcs, tags, device=b"mntr"):
    body, table = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags:
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = start + len(body)
    head = struct.pack(">I", size) + bytes(4) + struct.pack(">I", 0x02400000)
    head += device + space + pcs + struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(24)
    head += struct.pack(">I", 0) + s15(0.9642) + s15(1) + s15(0.8249) + bytes(48)
    assert len(head) == 128
    return head + struct.pack(">I", len(tags)) + table + body


def xyz(x, y, z):
    return b"XYZ " + bytes(4) + s15(x) + s15(y) + s15(z)


def gamma(value):
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def text(value):
    line = value.encode() + b"\0"
    return b"desc" + bytes(4) + struct.pack(">I", len(line)) + line + bytes(12 + 67)


COMMON = [(b"cprt", b"text" + bytes(4) + b"CC0\0"), (b"wtpt", xyz(0.9642, 1, 0.8249))]


def wide_gamut():
    """Primaries of Adobe RGB (1998), adapted to D50, and a gamma of 2.2."""
    tags = [
        (b"desc", text("wide gamut for tests")),
        *COMMON,
        (b"rXYZ", xyz(0.60974, 0.31111, 0.01947)),
        (b"gXYZ", xyz(0.20528, 0.62567, 0.06087)),
        (b"bXYZ", xyz(0.14919, 0.06322, 0.74457)),
        (b"rTRC", gamma(2.2)),
        (b"gTRC", gamma(2.2)),
        (b"bTRC", gamma(2.2)),
    ]
    return profile(b"RGB ", b"XYZ ", tags)


def gray_gamma():
    return profile(b"GRAY", b"XYZ ", [(b"desc", text("gray 1.4")), *COMMON, (b"kTRC", gamma(1.4))])


def ink():
    """CMYK to Lab over 3 grid points per ink, with dull inks."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    grid = np.array(np.meshgrid(*[[0.0, 0.5, 1.0]] * 4, indexing="ij")).reshape(4, -1)
    c, m, y, k = grid
    light = np.stack([(1 - 0.9 * c), (1 - 0.85 * m), (1 - 0.8 * y)], -1) * (1 - 0.92 * k[:, None])
    rgb = np.round(light * 255).astype(np.uint8)[None]
    corners = np.asarray(ImageCms.applyTransform(Image.fromarray(rgb), to_lab)).astype(np.uint8)
    # Pillow's LAB holds a and b as signed bytes; lut8 wants them with an offset of 128.
    corners = corners.reshape(-1, 3) ^ np.array([0, 128, 128], np.uint8)
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 3, 0])
    lut += b"".join(s15(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    lut += ramp * 4 + corners.tobytes() + ramp * 3
    tags = [(b"desc", text("ink for tests")), *COMMON, (b"A2B0", lut)]
    return profile(b"CMYK", b"Lab ", tags, b"prtr")


def to_srgb(picture, data):
    source = ImageCms.ImageCmsProfile(io.BytesIO(data))
    return ImageCms.profileToProfile(
        picture, source, ImageCms.createProfile("sRGB"), renderingIntent=1, outputMode="RGB"
    )


# --- formats --------------------------------------------------------------------------------


def patched(data, marker, offset, value):
    """Sets a byte of the first segment with this marker."""
    at = data.index(bytes([0xFF, marker])) + offset
    return data[:at] + bytes([value]) + data[at + 1 :]


def jpeg():
    base = scene()
    for name, options in {
        "444": {"subsampling": 0},
        "422": {"subsampling": 1},
        "420": {"subsampling": 2},
        "411": {"subsampling": "4:1:1"},
        "rgb": {"keep_rgb": True},
        "restart": {"subsampling": 2, "restart_marker_blocks": 1},
        "progressive-420": {"subsampling": 2, "progressive": True},
        "progressive-444": {"subsampling": 0, "progressive": True},
        "low-quality": {"subsampling": 2, "quality": 8},
        "high-quality": {"subsampling": 0, "quality": 100},
    }.items():
        add(f"jpeg-{name}.jpg", saved(base, "JPEG", **{"quality": 88, **options}), None)
    # A stream of 2x1 blocks is also one of 1x2 blocks if both cut the picture into as many.
    tall = saved(scene(30, 28), "JPEG", quality=90, subsampling=1)
    add("jpeg-440.jpg", patched(tall, 0xC0, 11, 0x12), None)
    for width, height in [(1, 1), (2, 3), (3, 2), (4, 4), (5, 33), (17, 16), (33, 5)]:
        name = f"jpeg-420-{width}x{height}.jpg"
        add(name, saved(scene(64, 64).resize((width, height)), "JPEG", subsampling=2), None)
    gray = base.convert("L")
    add("jpeg-gray.jpg", saved(gray, "JPEG", quality=90), None)
    add("jpeg-gray-progressive.jpg", saved(gray, "JPEG", quality=90, progressive=True), None)
    data = gray_gamma()
    file = saved(gray, "JPEG", quality=95, icc_profile=data)
    add("jpeg-gray-icc.jpg", file, to_srgb(Image.open(io.BytesIO(file)), data), 1)

    cmyk = Image.merge("CMYK", [*base.split(), gray.point(lambda v: v // 3)])
    file = saved(cmyk, "JPEG", quality=92)
    add("jpeg-cmyk.jpg", file, None)
    # Adobe's transform byte decides whether the same four planes are CMYK or YCCK.
    add("jpeg-ycck.jpg", patched(file, 0xEE, 15, 2), None)
    data = ink()
    file = saved(cmyk, "JPEG", quality=92, icc_profile=data)
    # Color engines interpolate four inks differently, which a grid of three points shows most.
    add("jpeg-cmyk-icc.jpg", file, to_srgb(Image.open(io.BytesIO(file)), data), 10)

    data = wide_gamut()
    file = saved(base, "JPEG", quality=95, subsampling=0, icc_profile=data)
    add("jpeg-wide.jpg", file, None)
    converted = to_srgb(Image.open(io.BytesIO(file)), data)
    keep("jpeg-wide.jpg.srgb.raw", np.asarray(converted))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    add("jpeg-srgb.jpg", saved(base, "JPEG", quality=95, icc_profile=srgb), None)

    for orientation in range(1, 9):
        file = saved(base, "JPEG", quality=90, subsampling=0, exif=exif(orientation))
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
        add(f"jpeg-orientation-{orientation}.jpg", file, upright)
    add("jpeg-dpi.jpg", saved(base, "JPEG", quality=70, dpi=(300, 200)), None)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_file(width, height, depth, color, rows, extra=b"", interlace=0):
    raw = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def adam7(array):
    """The rows of a picture of whole bytes per pixel, in Adam7 order."""
    for x0, y0, dx, dy in [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]:
        part = array[y0::dy, x0::dx]
        if part.size:
            yield from (row.tobytes() for row in part)


def rounded(array):
    return np.round(array.astype(np.float64) * 255 / 65535).astype(np.uint8)


def png():
    base, alpha = scene(), scene_alpha()
    add("png-rgb.png", saved(base, "PNG"), None)
    add("png-rgba.png", saved(alpha, "PNG"), None)
    add("png-gray.png", saved(base.convert("L"), "PNG"), None)
    add("png-gray-alpha.png", saved(alpha.convert("LA"), "PNG"), None)
    add("png-1bit.png", saved(base.convert("1"), "PNG"), None)
    palette = base.quantize(13)
    add("png-palette.png", saved(palette, "PNG"), None)
    add("png-palette-2bit.png", saved(base.quantize(4), "PNG", bits=2), None)
    add("png-palette-trns.png", saved(palette, "PNG", transparency=bytes([0, 128, 200])), None)
    add("png-rgb-trns.png", saved(base, "PNG", transparency=(220, 20, 30)), None)
    random = np.random.default_rng(7)
    wide = random.integers(0, 65536, (11, 13, 4), dtype=np.uint16)
    rows = [row.astype(">u2").tobytes() for row in wide[..., :3]]
    add("png-rgb16.png", png_file(13, 11, 16, 2, rows), rounded(wide[..., :3]))
    rows = [row.astype(">u2").tobytes() for row in wide]
    add("png-rgba16.png", png_file(13, 11, 16, 6, rows), rounded(wide))
    rows = [row.astype(">u2").tobytes() for row in wide[..., 0]]
    gray = np.repeat(rounded(wide[..., :1]), 3, -1)
    add("png-gray16.png", png_file(13, 11, 16, 0, rows), gray)
    rows = list(adam7(np.asarray(base)))
    add("png-interlaced.png", png_file(WIDTH, HEIGHT, 8, 2, rows, interlace=1), base)
    frames = [base, ImageOps.mirror(base)]
    file = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100)
    add("png-animated.png", file, base)
    file = saved(base, "PNG", exif=exif(6))
    add("png-orientation-6.png", file, ImageOps.exif_transpose(Image.open(io.BytesIO(file))))
    data = wide_gamut()
    file = saved(base, "PNG", icc_profile=data, dpi=(300, 150))
    add("png-wide-dpi.png", file, None)
    keep("png-wide-dpi.png.srgb.raw", np.asarray(to_srgb(base, data)))


def webp():
    base, alpha = scene(), scene_alpha()
    add("webp-lossless.webp", saved(base, "WEBP", lossless=True), None)
    add("webp-lossless-alpha.webp", saved(alpha, "WEBP", lossless=True, exact=True), None)
    add("webp-lossy.webp", saved(base, "WEBP", quality=80), None)
    add("webp-lossy-alpha.webp", saved(alpha, "WEBP", quality=80, exact=True), None)
    frames = [base, ImageOps.mirror(base)]
    file = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    add("webp-animated.webp", file, base)
    file = saved(base, "WEBP", lossless=True, exif=exif(8), icc_profile=wide_gamut())
    add("webp-orientation-8.webp", file, ImageOps.exif_transpose(Image.open(io.BytesIO(file))))


def tiff_file(little, entries, blobs):
    """A TIFF of one directory; `blobs` maps a tag to bytes that its value field points to."""
    order = "<" if little else ">"
    at = 8 + 2 + 12 * len(entries) + 4
    body, table = b"", b""
    for tag, kind, count, value in sorted(entries):
        content = value
        if tag in blobs:
            content = at + len(body)
            body += blobs[tag] + bytes(len(blobs[tag]) % 2)
        packed = struct.pack(order + ("H2x" if kind == 3 and count == 1 else "I"), content)
        table += struct.pack(order + "HHI", tag, kind, count) + packed
    head = (b"II*\0" if little else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + table + bytes(4) + body


def raw_tiff(array, photometric, little=True, extra=(), planar=1):
    height, width, channels = array.shape
    bits = array.dtype.itemsize * 8
    order = "<" if little else ">"
    data = (array if planar == 1 else array.transpose(2, 0, 1)).astype(f"{order}u{bits // 8}")
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (277, 3, 1, channels),
        (278, 3, 1, height),
        (284, 3, 1, planar),
        *extra,
    ]
    blobs = {258: struct.pack(f"{order}{channels}H", *[bits] * channels)}
    if channels < 3:
        value = bits if channels == 1 else bits | bits << 16
        entries.append((258, 3, 1, bits) if channels == 1 else (258, 3, 2, value))
        blobs = {}
    else:
        entries.append((258, 3, channels, 0))
    if planar == 1:
        entries += [(273, 4, 1, 0), (279, 4, 1, data.nbytes)]
        return tiff_file(
            little,
            entries,
            {**blobs, 273: data.tobytes()},
        )
    raise ValueError("planar is written by Pillow's libtiff only")


def tiff():
    base, alpha = scene(), scene_alpha()
    for name, compression in [
        ("raw", None),
        ("lzw", "tiff_lzw"),
        ("deflate", "tiff_adobe_deflate"),
        ("packbits", "packbits"),
    ]:
        add(f"tiff-rgb-{name}.tif", saved(base, "TIFF", compression=compression), None)
    add("tiff-rgba.tif", saved(alpha, "TIFF"), None)
    add("tiff-gray.tif", saved(base.convert("L"), "TIFF", compression="tiff_lzw"), None)
    add("tiff-1bit.tif", saved(base.convert("1"), "TIFF"), None)
    add("tiff-1bit-g4.tif", saved(base.convert("1"), "TIFF", compression="group4"), None)
    add("tiff-palette.tif", saved(base.quantize(21), "TIFF", compression="tiff_lzw"), None)
    cmyk = Image.merge("CMYK", [*base.split(), base.convert("L").point(lambda v: v // 3)])
    add("tiff-cmyk.tif", saved(cmyk, "TIFF"), None)
    data = ink()
    file = saved(cmyk, "TIFF", icc_profile=data)
    add("tiff-cmyk-icc.tif", file, to_srgb(cmyk, data), 10)
    random = np.random.default_rng(8)
    wide = random.integers(0, 65536, (9, 10, 3), dtype=np.uint16)
    add("tiff-rgb16-be.tif", raw_tiff(wide, 2, little=False), rounded(wide))
    add("tiff-rgb16-le.tif", raw_tiff(wide, 2), rounded(wide))
    gray = np.repeat(rounded(wide[..., :1]), 3, -1)
    add("tiff-gray16.tif", raw_tiff(np.ascontiguousarray(wide[..., :1]), 1), gray)
    inverted = np.asarray(base.convert("L"))[..., None]
    add("tiff-white-is-zero.tif", raw_tiff(inverted, 0), np.repeat(255 - inverted, 3, -1))
    straight = np.array(alpha)
    a = straight[..., 3:].astype(np.int64)
    multiplied = straight.copy()
    multiplied[..., :3] = (straight[..., :3] * a + 127) // 255
    divided = straight.copy()
    divided[..., :3] = np.where(
        a > 0, np.minimum((multiplied[..., :3].astype(np.int64) * 255 + a // 2) // np.maximum(a, 1), 255), 0
    )
    add("tiff-associated.tif", raw_tiff(multiplied, 2, extra=[(338, 3, 1, 1)]), divided)
    ignored = raw_tiff(straight, 2, extra=[(338, 3, 1, 0)])
    add("tiff-unspecified-extra.tif", ignored, straight[..., :3])
    gray_alpha = np.stack([inverted[..., 0], straight[..., 3]], -1)
    expected = np.concatenate([np.repeat(inverted, 3, -1), straight[..., 3:]], -1)
    add("tiff-gray-alpha.tif", raw_tiff(gray_alpha, 1, extra=[(338, 3, 1, 2)]), expected)
    file = raw_tiff(np.asarray(base), 2, extra=[(274, 3, 1, 5)])
    add("tiff-orientation-5.tif", file, base.transpose(Image.Transpose.TRANSPOSE))
    pages = saved(base, "TIFF", save_all=True, append_images=[ImageOps.mirror(base)], dpi=(72, 96))
    add("tiff-pages-dpi.tif", pages, base)
    add("tiff-jpeg.tif", saved(base, "TIFF", compression="jpeg", quality=95), None, 8)


def bmp_file(width, height, bits, coding, body, palette=b"", masks=b""):
    at = 14 + 40 + len(masks) + len(palette)
    colors = len(palette) // 4
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, coding, len(body), 3780, 3780, colors, 0)
    return b"BM" + struct.pack("<IHHI", at + len(body), 0, 0, at) + info + masks + palette + body


def bmp():
    base = scene()
    add("bmp-24.bmp", saved(base, "BMP", dpi=(120, 120)), None)
    add("bmp-1.bmp", saved(base.convert("1"), "BMP"), None)
    add("bmp-gray.bmp", saved(base.convert("L"), "BMP"), None)
    add("bmp-palette.bmp", saved(base.quantize(200), "BMP"), None)
    array = np.asarray(base)
    bgrx = np.concatenate([array[..., ::-1], np.zeros((HEIGHT, WIDTH, 1), np.uint8)], -1)
    add("bmp-32-top-down.bmp", bmp_file(WIDTH, -HEIGHT, 32, 0, bgrx.tobytes()), base)
    alpha = np.asarray(scene_alpha())
    bgra = alpha[..., [2, 1, 0, 3]]
    add("bmp-32-alpha.bmp", bmp_file(WIDTH, -HEIGHT, 32, 0, bgra.tobytes()), alpha)
    masks = struct.pack("<4I", 0xFF000000, 0xFF0000, 0xFF00, 0xFF)
    abgr = alpha[..., [3, 2, 1, 0]]
    add("bmp-32-masks.bmp", bmp_file(WIDTH, -HEIGHT, 32, 6, abgr.tobytes(), masks=masks), alpha)
    five = array.astype(np.uint16)
    packed = (five[..., 0] >> 3) << 11 | (five[..., 1] >> 2) << 5 | five[..., 2] >> 3
    packed = np.pad(packed, ((0, 0), (0, 1))).astype("<u2")
    masks = struct.pack("<3I", 0xF800, 0x7E0, 0x1F)
    expected = np.stack(
        [
            np.round((five[..., 0] >> 3) * 255 / 31),
            np.round((five[..., 1] >> 2) * 255 / 63),
            np.round((five[..., 2] >> 3) * 255 / 31),
        ],
        -1,
    ).astype(np.uint8)
    add("bmp-16-565.bmp", bmp_file(WIDTH, -HEIGHT, 16, 3, packed.tobytes(), masks=masks), expected)
    colors = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    palette = b"".join(bytes([b, g, r, 0]) for r, g, b in colors)
    indices = np.array([[1, 1, 1, 2, 3, 1], [0, 0, 0, 3, 3, 3]], np.uint8)
    # From the bottom: 0 0 0 | 3 3 3, end of line; 1 1 1 | literal 2 3 1 (padded), end.
    body = bytes([3, 0, 3, 3, 0, 0, 3, 1, 0, 3, 2, 3, 1, 0, 0, 1])
    add("bmp-rle8.bmp", bmp_file(6, 2, 8, 1, body, palette), colors[indices])
    body = bytes([3, 0x00, 3, 0x33, 0, 0, 3, 0x11, 0, 3, 0x23, 0x10, 0, 1])
    add("bmp-rle4.bmp", bmp_file(6, 2, 4, 2, body, palette), colors[indices])


def gif():
    base = scene()
    palette = base.quantize(31)
    add("gif-plain.gif", saved(palette, "GIF"), None)
    add("gif-transparent.gif", saved(palette, "GIF", transparency=palette.getpixel((8, 8))), None)
    frames = [palette, ImageOps.mirror(base).quantize(31)]
    animated = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    add("gif-animated.gif", animated, palette.convert("RGB"))
    add("gif-interlaced.gif", saved(palette, "GIF", interlace=1), None)
    # The same frame on a larger screen: the screen's size is patched and the frame moved.
    file = bytearray(saved(palette, "GIF", interlace=0))
    file[6:10] = struct.pack("<HH", 36, 30)
    at = bytes(file).index(b"\x2c\0\0\0\0" + struct.pack("<HH", WIDTH, HEIGHT))
    file[at + 1 : at + 5] = struct.pack("<HH", 4, 5)
    canvas = np.zeros((30, 36, 4), np.uint8)
    canvas[5 : 5 + HEIGHT, 4 : 4 + WIDTH] = np.asarray(palette.convert("RGBA"))
    add("gif-offset.gif", bytes(file), canvas)


def pnm():
    base = scene().crop((6, 2, 17, 9))
    gray = np.asarray(base.convert("L"))
    bits = np.asarray(base.convert("1"))
    rgb = np.asarray(base)
    three = lambda plane: np.repeat(plane[..., None], 3, -1).astype(np.uint8)  # noqa: E731
    words = lambda a: " ".join(map(str, a.reshape(-1))).encode()  # noqa: E731
    flags = b"".join(b"0" if v else b"1" for v in bits.reshape(-1))
    add("pnm-p1.pbm", b"P1\n# bits without spaces\n11 7\n" + flags + b"\n", three(bits * 255))
    add("pnm-p2.pgm", b"P2 11 7 255\n" + words(gray), three(gray))
    add("pnm-p3.ppm", b"P3\n11 7\n# comment\n255\n" + words(rgb), rgb)
    add("pnm-p4.pbm", saved(base.convert("1"), "PPM"), None)
    add("pnm-p5.pgm", saved(base.convert("L"), "PPM"), None)
    add("pnm-p6.ppm", saved(base, "PPM"), None)
    small = (rgb // 17).astype(np.uint8)
    add("pnm-p6-max15.ppm", b"P6 11 7 15\n" + small.tobytes(), (small * 17).astype(np.uint8))
    wide = np.random.default_rng(9).integers(0, 65536, (7, 11), dtype=np.uint16)
    file = b"P5 11 7 65535\n" + wide.astype(">u2").tobytes()
    add("pnm-p5-16.pgm", file, three(rounded(wide)))


def main():
    for old in OUT.glob("*"):
        if old.name != "README.md":
            old.unlink()
    for make in (jpeg, png, webp, tiff, bmp, gif, pnm):
        make()
    (OUT / "index.txt").write_text("\n".join(index) + "\n")
    total = sum(path.stat().st_size for path in OUT.glob("*"))
    turbo = features.version("libjpeg_turbo")
    print(f"{len(index)} cases, {total} bytes, Pillow {PIL.__version__}, libjpeg-turbo {turbo}")
    if total > 200_000:
        sys.exit("too large")


if __name__ == "__main__":
    main()
