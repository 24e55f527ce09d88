"""What a caller can ask for, as two frozen records. Must not know who carries it out.

`Options` belongs to one image, `FolderOptions` to a batch. Both are checked when they are made, so
that a mistake is a ValueError at the door, and read once by the native side.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

FORMATS = ("png", "webp", "jpeg", "tiff")
COLLISIONS = ("fail", "rename")
INPUTS = ("paths", "globs", "list")

Color = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of one image.

    Attributes:
        only_mask: give the alpha plane instead of the cut-out.
        refine: move alpha's edges to those of the picture, by a guided filter where the network's map is in
            doubt. None: as the model's recipe has it.
        threshold: alpha of at least this level (1 to 255) becomes 255, the rest 0. None: keep it soft.
        invert: keep the background instead of the subject.
        feather: sigma in pixels of a Gaussian over alpha; 0 for none.
        post_process: smooth the mask's outline as rembg's `-ppm` does.
        decontaminate: estimate the subject's own color in soft edges.
        keep_hidden: keep the colors of fully transparent pixels.
        premultiply: multiply colors by alpha, for programs that want it so; a PNG's are straight by its
            definition.
        background: (red, green, blue, alpha), 0 to 255 each, behind the subject. None: transparent.
        background_image: path of a picture that fills the background. None: none.
        crop: cut to the subject plus this many pixels. None: the whole picture.
        format: one of `FORMATS`.
        png_level: 0 (stored) to 9 (smallest). None: fast.
        quality: 1 to 100. None: lossless for WebP, 90 for JPEG.
        max_pixels: larger pictures are refused before they are decoded.
        max_metadata_bytes: larger profiles or EXIF blocks are refused or ignored.
    """

    only_mask: bool = False
    refine: bool | None = None
    threshold: int | None = None
    invert: bool = False
    feather: float = 0.0
    post_process: bool = False
    decontaminate: bool = True
    keep_hidden: bool = False
    premultiply: bool = False
    background: tuple[int, int, int, int] | None = None
    background_image: str | None = None
    crop: int | None = None
    format: str = "png"
    png_level: int | None = None
    quality: int | None = None
    max_pixels: int = 250_000_000
    max_metadata_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("only_mask", "invert", "post_process", "decontaminate", "keep_hidden", "premultiply"):
            truth(name, getattr(self, name))
        if self.refine is not None:
            truth("refine", self.refine)
        one_of("format", self.format, FORMATS)
        for name, low, high in (("threshold", 1, 255), ("png_level", 0, 9), ("quality", 1, 100)):
            value = getattr(self, name)
            if value is not None:
                whole("option", name, value, low, high)
        number("feather", self.feather)
        if not 0.0 <= self.feather <= 1000.0:
            raise ValueError(f"option `feather` is {self.feather}, but must be from 0 to 1000 pixels")
        if self.crop is not None:
            whole("option", "crop", self.crop, 0, 1 << 31)
        whole("option", "max_pixels", self.max_pixels, 1, 1 << 48)
        whole("option", "max_metadata_bytes", self.max_metadata_bytes, 0, 1 << 40)
        if self.background is not None:
            if len(self.background) != 4:
                raise ValueError("option `background` must be (red, green, blue, alpha)")
            for level in self.background:
                whole("option", "background", level, 0, 255)
        if self.background is not None and self.background_image is not None:
            raise ValueError("options `background` and `background_image` exclude each other")
        opaque = self.background_image is not None or (
            self.background is not None and self.background[3] == 255
        )
        if self.format == "jpeg" and not self.only_mask and not opaque:
            raise ValueError(
                "JPEG can't be transparent: give an opaque `background` or a `background_image`, "
                "or choose png, webp or tiff"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOptions:
    """Options of a batch.

    Attributes:
        recursive: walk folders below the given ones.
        on_collision: `fail` or `rename`, when two inputs want one output.
        overwrite: redo outputs that are up to date.
        keep_foreign: pass over inputs whose output is a picture that qbg didn't make; else they fail.
        shard: (i, n): only the i-th of n parts, from 0 on, into which names divide the pictures. None: all.
        fsync: make each output durable before it is renamed.
        fail_fast: stop at the first failure.
        journal: path of a file to which a line of JSON is appended for each finished image. None: none.
        resume: skip what the journal says is done, without a look at time stamps.
        inputs_are: `paths`, `globs`, or `list` (one file with a path per line; `-` is standard input).
    """

    recursive: bool = True
    on_collision: str = "fail"
    overwrite: bool = False
    keep_foreign: bool = False
    shard: tuple[int, int] | None = None
    fsync: bool = False
    fail_fast: bool = False
    journal: str | bytes | None = None
    resume: bool = False
    inputs_are: str = "paths"

    def __post_init__(self) -> None:
        for name in ("recursive", "overwrite", "keep_foreign", "fsync", "fail_fast", "resume"):
            truth(name, getattr(self, name))
        if self.journal is not None and not isinstance(self.journal, str | bytes):
            raise TypeError(f"option `journal` is {self.journal!r}, but must be a path")
        if self.resume and self.journal is None:
            raise ValueError("`resume` needs a `journal`: the file that says what is done")
        if self.resume and self.overwrite:
            raise ValueError("`resume` and `overwrite` exclude each other")
        if self.shard is not None:
            index, count = self.shard
            whole("option", "shard", count, 1, 1 << 32)
            if not 0 <= index < count:
                raise ValueError(
                    f"option `shard` is {index}/{count}, but parts are counted from 0 to {count - 1}"
                )
        one_of("on_collision", self.on_collision, COLLISIONS)
        one_of("inputs_are", self.inputs_are, INPUTS)


def one_of(name: str, value: object, valid: tuple[str, ...]) -> None:
    """Raises ValueError that lists the valid words."""
    if value not in valid:
        raise ValueError(f"`{name}` is {value!r}, but must be one of: {', '.join(valid)}")


def truth(name: str, value: object) -> None:
    """Raises TypeError unless `value` is True or False: the word "no" would count as yes."""
    if not isinstance(value, bool):
        raise TypeError(f"option `{name}` is {value!r}, but must be True or False")


def number(name: str, value: object) -> None:
    """Raises TypeError unless `value` is a number. NumPy's count."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"option `{name}` is {value!r}, but must be a number")


def path_text(name: str, value: object) -> str:
    """The path as text. Raises TypeError that names the option."""
    try:
        return os.fsdecode(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"option `{name}` is {value!r}, but must be a path") from None


def whole(kind: str, name: str, value: object, low: int, high: int) -> None:
    """Raises unless `value` is an integer from `low` to `high`: TypeError or ValueError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{kind} `{name}` is {value!r}, but must be an integer")
    if not low <= value <= high:
        raise ValueError(f"{kind} `{name}` is {value}, but must be from {low} to {high}")


def make_options(defaults: Options | None = None, **changes: Any) -> Options:
    """Options from what people write: colors as text, paths as objects, `crop` as True.

    Args:
        defaults: what holds where `changes` says nothing.
        changes: fields of `Options`. `background` may also be text for `parse_color` or
            (red, green, blue); `background_image` any path; `crop` True (no margin) or False.

    Raises:
        TypeError: an option of that name doesn't exist, or is of another type.
        ValueError: a value is out of range, or options contradict each other.
    """
    valid = [field.name for field in fields(Options)]
    for name in changes:
        if name not in valid:
            raise TypeError(f"no option `{name}`; there are: {', '.join(valid)}")
    values = {name: getattr(defaults, name) for name in valid} if defaults is not None else {}
    # Whoever now asks for one kind of background doesn't want the other kind from the defaults.
    if changes.get("background") is not None:
        values["background_image"] = None
    if changes.get("background_image") is not None:
        values["background"] = None
    values |= changes
    background = values.get("background")
    if isinstance(background, str):
        values["background"] = parse_color(background)
    elif background is not None:
        if not isinstance(background, Iterable):
            raise TypeError(
                f"option `background` is {background!r}, but must be a color: a name, `#rrggbb` or "
                "(red, green, blue)"
            )
        levels = tuple(background)
        values["background"] = (*levels, 255) if len(levels) == 3 else levels
    if values.get("background_image") is not None:
        values["background_image"] = path_text("background_image", values["background_image"])
    if isinstance(values.get("crop"), bool):
        values["crop"] = 0 if values["crop"] else None
    if values.get("format") == "jpg":
        values["format"] = "jpeg"
    elif values.get("format") == "tif":
        values["format"] = "tiff"
    return Options(**values)


def parse_color(text: str) -> Color:
    """`white`, `#rgb`, `#rrggbb`, `#rrggbbaa` (# is optional), `r,g,b` or `r,g,b,a`, to RGBA.

    Names are those of CSS. Raises ValueError for anything else.
    """
    word = text.strip().lower()
    if word == "transparent":
        return (0, 0, 0, 0)
    parts = [part.strip() for part in word.split(",")]
    if len(parts) in (3, 4) and all(part.isdecimal() and int(part) <= 255 for part in parts):
        red, green, blue, *alpha = (int(part) for part in parts)
        return (red, green, blue, alpha[0] if alpha else 255)
    if re.fullmatch(r"#?([0-9a-f]{3}|[0-9a-f]{6}|[0-9a-f]{8})", word):
        digits = word.lstrip("#")
        if len(digits) == 3:
            digits = "".join(digit * 2 for digit in digits)
        red, green, blue, *alpha = bytes.fromhex(digits)
        return (red, green, blue, alpha[0] if alpha else 255)
    from PIL.ImageColor import getrgb

    try:
        red, green, blue, *alpha = getrgb(word)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a color: give a CSS name, `#rrggbb`, `r,g,b` or `r,g,b,a`"
        ) from None
    return (red, green, blue, alpha[0] if alpha else 255)
