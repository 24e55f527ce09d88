"""Finds which mask belongs to which truth, reads both, and puts pictures into groups. Must not score.

A mask belongs to the truth of the same relative path without its suffix; `photo.cutout.png` and
`photo.mask.png` belong to `photo` too. A cut-out gives its alpha channel.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from qbg.errors import InputError

Plane = npt.NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
TAGS = (".cutout", ".mask", ".alpha")
PIXELS = 100_000_000
"""Of a mask: more are refused before they are decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A truth and what it is compared with.

    Attributes:
        name: relative path without suffix, with `/`.
        truth: its file.
        found: the mask's or cut-out's file, or the photo that a model shall cut out; None if there is none.
    """

    name: str
    truth: Path
    found: Path | None


def pair(truth: Path, found: Path) -> list[Pair]:
    """All truths below a folder, each with its file below the other one.

    Raises:
        InputError: a folder isn't there, there is no truth in it, or two of its pictures have one name.
    """
    truths, others = _named(truth), _named(found)
    if not truths:
        raise InputError("no picture in it", stage="evaluate", path=str(truth), hint="truths are masks")
    return [Pair(name=name, truth=path, found=others.get(name)) for name, path in sorted(truths.items())]


def _named(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError("no such folder", stage="evaluate", path=str(folder), hint="check the path")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            name = path.relative_to(folder).with_suffix("").as_posix()
            for tag in TAGS:
                name = name.removesuffix(tag)
            other = found.setdefault(name, path)
            if other is not path:
                raise InputError(
                    f"has the name of {other.name}: which of both counts can't be told",
                    stage="evaluate",
                    path=str(path),
                    hint="keep photos, masks and cut-outs in folders of their own",
                )
    return found


def read(path: Path) -> Plane:
    """(H, W) uint8: alpha where the file has it, else its grey levels, upright as the photo is shown.

    Raises:
        InputError: it can't be read, is too large, or is a colored picture without alpha.
    """
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > PIXELS:
                raise InputError(
                    f"{opened.width}x{opened.height} pixels are more than {PIXELS:,}",
                    stage="decode",
                    path=str(path),
                )
            image = ImageOps.exif_transpose(opened)
            if image.mode == "P":
                image = image.convert("RGBA" if "transparency" in image.info else "RGB")
            if image.mode in ("RGBA", "LA", "PA"):
                return np.asarray(image.getchannel("A"))
            if image.mode.startswith("I"):
                return _narrowed(np.asarray(image), path)
            if image.mode in ("L", "1"):
                return np.asarray(image.convert("L"))
            colors = np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"can't be read: {error}", stage="decode", path=str(path)) from error
    # JPEG masks are grey up to rounding.
    if int(np.ptp(colors.astype(np.int16), axis=2).max(initial=0)) > 2:
        raise InputError(
            "has colors and no alpha: it is no mask and no cut-out",
            stage="decode",
            path=str(path),
            hint="name a folder of masks or of cut-outs with transparency",
        )
    return np.ascontiguousarray(colors[:, :, 0])


def _narrowed(levels: npt.NDArray[np.generic], path: Path) -> Plane:
    values = np.asarray(levels, np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise InputError("has levels beyond 16 bits", stage="decode", path=str(path))
    return ((values * 255 + 32767) // 65535).astype(np.uint8)


def fitted(mask: Plane, shape: tuple[int, ...]) -> Plane:
    """A mask at another size, bilinear as masks are brought to a photo's size."""
    if mask.shape == shape:
        return mask
    return np.asarray(Image.fromarray(mask).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def groups(names: Iterable[str], table: Mapping[str, str] | None = None) -> dict[str, str]:
    """The group of each name: of the table, else its folder, else what stands before its first `_`.

    Names without any are in the group ``; prefixes count only where each group of them has two at least, and
    words: numbers before a `_` are mere numbers.
    """
    names = list(names)
    if table is not None:
        return {name: table.get(name, table.get(name.rpartition("/")[2], "")) for name in names}
    if any("/" in name for name in names):
        return {name: name.rpartition("/")[0] for name in names}
    found = {name: name.partition("_")[0] if "_" in name else "" for name in names}
    if any(not re.match(r"[A-Za-z]", group) for group in found.values()):
        return dict.fromkeys(names, "")
    return found


def read_groups(path: Path) -> dict[str, str]:
    """Name to group, of a CSV file with a column for each; names may carry a suffix.

    Raises:
        InputError: it can't be read or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            columns = {name.strip().lower(): name for name in rows.fieldnames or ()}
            if not {"name", "group"} <= set(columns):
                raise InputError(
                    "has no columns `name` and `group`", stage="evaluate", path=str(path), hint="add a header"
                )
            cells = ([str(row[columns[key]]).strip() for key in ("name", "group")] for row in rows)
            return {re.sub(r"\.\w{1,4}$", "", name): group for name, group in cells}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"can't be read: {error}", stage="evaluate", path=str(path)) from error
