"""What a caller can ask for, as two frozen records. Must not know who carries it out.

`Options` belongs to one image, `FolderOptions` to a batch. Both are checked when they are made, so
that a mistake is a ValueError at the door, and read once by the native side.
"""

from __future__ import annotations

from dataclasses import dataclass

FORMATS = ("png", "webp", "jpeg", "tiff")
COLLISIONS = ("fail", "rename")
INPUTS = ("paths", "globs", "list")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of one image.

    Attributes:
        only_mask: give the alpha plane instead of the cut-out.
        threshold: alpha of at least this level (1 to 255) becomes 255, the rest 0. None: keep it soft.
        invert: keep the background instead of the subject.
        feather: sigma in pixels of a Gaussian over alpha; 0 for none.
        post_process: smooth the mask's outline as rembg's `-ppm` does.
        decontaminate: estimate the subject's own color in soft edges.
        keep_hidden: keep the colors of fully transparent pixels.
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
    threshold: int | None = None
    invert: bool = False
    feather: float = 0.0
    post_process: bool = False
    decontaminate: bool = True
    keep_hidden: bool = False
    background: tuple[int, int, int, int] | None = None
    background_image: str | None = None
    crop: int | None = None
    format: str = "png"
    png_level: int | None = None
    quality: int | None = None
    max_pixels: int = 250_000_000
    max_metadata_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOptions:
    """Options of a batch.

    Attributes:
        recursive: walk folders below the given ones.
        on_collision: `fail` or `rename`, when two inputs want one output.
        overwrite: redo outputs that are up to date.
        fsync: make each output durable before it is renamed.
        fail_fast: stop at the first failure.
        inputs_are: `paths`, `globs`, or `list` (one file with a path per line; `-` is standard input).
    """

    recursive: bool = True
    on_collision: str = "fail"
    overwrite: bool = False
    fsync: bool = False
    fail_fast: bool = False
    inputs_are: str = "paths"
