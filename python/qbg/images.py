"""Pictures in Python's kinds to what the core takes, and results back to the same kind.

A path or encoded bytes are the core's own work (decoding, orientation, profiles); a Pillow image
or an array comes as pixels. Must not know models, engines or files' contents. Pillow and NumPy are
loaded only when one of their objects is met or must be made.
"""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qbg.batch import native_path
from qbg.errors import InputError

if TYPE_CHECKING:
    from qbg._native import Result

NativeImage = str | bytes | tuple[int, int, int, bytes]

ORIENTATION = 0x0112
"""EXIF tag."""

SIDEWAYS = (5, 6, 7, 8)
"""Orientations that swap width and height."""


@dataclass(slots=True)
class Source:
    """One picture on its way into the core.

    Attributes:
        image: what `Core.process` takes.
        is_path: whether `image` is a path.
        kind: of what was given: path, bytes, pillow, array.
        info: Pillow's metadata that the result keeps: density, and a profile if `image` has none.
    """

    image: NativeImage
    is_path: bool
    kind: str
    info: dict[str, Any] = field(default_factory=dict)


def take(x: object, max_pixels: int) -> Source:
    """Any supported picture.

    Raises:
        InputError: pixels in memory that are more than `max_pixels`; they would be copied. Files and encoded
            bytes are the core's to judge.
        TypeError: another kind of object.
        ValueError: an array or a Pillow mode that isn't a picture of 8 or 16 bits.
    """
    if isinstance(x, str | os.PathLike):
        return Source(native_path(os.fspath(x)), True, "path")
    if isinstance(x, bytes | bytearray | memoryview):
        return Source(bytes(x), False, "bytes")
    # Only who has loaded these modules can have one of their objects.
    pillow, numpy = sys.modules.get("PIL.Image"), sys.modules.get("numpy")
    if pillow is not None and isinstance(x, pillow.Image):
        _cap(x.height, x.width, max_pixels)
        return _take_pillow(x)
    if numpy is not None and isinstance(x, numpy.ndarray):
        return _take_array(x, max_pixels)
    raise TypeError(
        "a picture is a path, encoded bytes, a PIL image or a uint8 array (H, W, 3 or 4), "
        f"not {type(x).__name__}"
    )


def give(source: Source, result: Result) -> Any:
    """The result in the source's kind; a path gives a Pillow image."""
    if source.kind == "bytes":
        return result.encoded
    if source.kind == "array":
        import numpy as np

        return np.array(result.pixels)  # a copy: a view of the core's memory can't be written to
    from PIL import Image

    pixels = result.pixels
    assert pixels is not None
    height, width, *channels = pixels.shape
    mode = {0: "L", 1: "L", 3: "RGB", 4: "RGBA"}[channels[0] if channels else 0]
    image = Image.frombytes(mode, (width, height), pixels.tobytes())
    image.info.update(source.info)
    if source.kind == "path" and result.density is not None:
        image.info["dpi"] = result.density
    # An alpha plane has no color, so a color profile would say something untrue about it.
    if result.icc is not None and mode != "L":
        image.info["icc_profile"] = result.icc
    return image


def _take_array(x: Any, max_pixels: int) -> Source:
    import numpy as np

    if x.dtype != np.uint8:
        raise ValueError(f"an array must be uint8 with levels 0 to 255, not {x.dtype}")
    if x.ndim != 3 or x.shape[2] not in (3, 4) or 0 in x.shape:
        raise ValueError(f"an array must be (H, W, 3) or (H, W, 4), not {x.shape}")
    height, width, channels = (int(size) for size in x.shape)
    _cap(height, width, max_pixels)
    # A copy: the caller may write to the array while the core, without the GIL, reads it.
    return Source((height, width, channels, x.tobytes(order="C")), False, "array")


def _cap(height: int, width: int, max_pixels: int) -> None:
    """Before anything is copied, in the core's words."""
    if height * width > max_pixels:
        raise InputError(
            f"{width}x{height} is {width * height} pixels, more than the limit of {max_pixels}",
            stage="decode",
            hint="raise --max-pixels, or skip the file",
        )


def _take_pillow(x: Any) -> Source:
    x.load()
    info = {"dpi": x.info["dpi"]} if "dpi" in x.info else {}
    image = _upright(x)
    if info and x.getexif().get(ORIENTATION, 1) in SIDEWAYS:
        info["dpi"] = tuple(reversed(info["dpi"]))
    profile = x.info.get("icc_profile")
    if image.mode == "CMYK" and profile:
        image, profile = _from_cmyk(image, profile), None
    image = _eight_bits(image)
    if profile:
        # As a stored PNG the pixels keep their profile: the core reads it as it reads that of a file,
        # shows sRGB to the network and gives the colors back as they were.
        memory = io.BytesIO()
        image.save(memory, "PNG", compress_level=0, icc_profile=profile)
        return Source(memory.getvalue(), False, "pillow", info)
    if image.mode == "L":
        image = image.convert("RGB")
    channels = len(image.getbands())
    return Source((image.height, image.width, channels, image.tobytes()), False, "pillow", info)


def _upright(x: Any) -> Any:
    """Turned as EXIF says; once, because Pillow takes the tag away from a turned picture."""
    from PIL import ImageOps

    if x.getexif().get(ORIENTATION, 1) == 1:
        return x
    return ImageOps.exif_transpose(x)


def _eight_bits(image: Any) -> Any:
    """Mode L, RGB or RGBA with the same look. 16 bits are scaled, which Pillow's own convert doesn't do."""
    mode = image.mode
    if mode in ("L", "RGB", "RGBA"):
        if mode != "RGBA" and "transparency" in image.info:
            return image.convert("RGBA")
        return image
    if mode.startswith("I"):
        return _from_sixteen_bits(image)
    if mode in ("LA", "PA", "La", "RGBa") or (mode == "P" and "transparency" in image.info):
        return image.convert("RGBA")
    if mode == "1":
        return image.convert("L")
    if mode in ("P", "CMYK", "YCbCr", "HSV", "RGBX"):
        return image.convert("RGB")
    raise ValueError(f"a PIL image of mode {mode} isn't supported: convert it to RGB or RGBA first")


def _from_sixteen_bits(image: Any) -> Any:
    """0..65535 to 0..255, rounded: level / 257. Mode `I` holds 16-bit levels in Pillow's readers."""
    import numpy as np
    from PIL import Image

    levels = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))


def _from_cmyk(image: Any, profile: bytes) -> Any:
    """To sRGB through the profile; without it where Little CMS is missing or refuses the profile."""
    from PIL import ImageCms

    try:
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, io.BytesIO(profile), target, outputMode="RGB")
    except (ImageCms.PyCMSError, ImportError, OSError):
        return image.convert("RGB")
