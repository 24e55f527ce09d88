"""Which pictures a bench runs on, and what must be said of them. Must not know what is done with them.

Found as `qbg remove` finds them. A folder of a million names is listed once; only the names are kept.
"""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from qbg.errors import InputError

BUNDLED = "bundled pictures"

SIZES_LOOKED_AT = 200
"""Pictures whose size in pixels is read for the mean: enough for the header of a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The pictures of a bench.

    Attributes:
        name: for reports: the folder's name, never its path.
        folder: where they lie.
        paths: of the pictures, sorted by name.
        total_bytes: of all files.
        mean_pixels: of a picture, over at most `SIZES_LOOKED_AT` of them.
        digest: SHA-256 over relative names and sizes in bytes.
    """

    name: str
    folder: Path
    paths: tuple[Path, ...]
    total_bytes: int
    mean_pixels: float
    digest: str


def find(folder: str | os.PathLike[str] | None) -> Pictures:
    """The pictures below a folder; None: the ones that come with qbg.

    Raises:
        InputError: the folder isn't there, or holds no picture.
    """
    from qbg import _native
    from qbg.batch import native_path
    from qbg.options import FolderOptions, Options

    place = Path(folder) if folder is not None else Path(__file__).parent / "samples"
    name = BUNDLED if folder is None else place.resolve().name
    if not place.is_dir():
        raise InputError("no such folder", stage="discover", path=str(place), hint="check the path")
    pairs = _native.plan([native_path(str(place))], os.path.join("out", ""), Options(), FolderOptions())
    paths = tuple(sorted(Path(source) for source, _target in pairs))
    if not paths:
        raise InputError(
            "no picture in it", stage="discover", path=str(place), hint="name a folder of photos"
        )
    lengths = [path.stat().st_size for path in paths]
    named = sha256()
    for path, length in zip(paths, lengths, strict=True):
        named.update(f"{os.path.relpath(path, place)}\0{length}\n".encode("utf-8", "surrogateescape"))
    return Pictures(
        name=name,
        folder=place,
        paths=paths,
        total_bytes=sum(lengths),
        mean_pixels=_mean_pixels(paths),
        digest=named.hexdigest(),
    )


def _mean_pixels(paths: tuple[Path, ...]) -> float:
    from PIL import Image

    step = max(1, len(paths) // SIZES_LOOKED_AT)
    sizes = []
    for path in paths[::step]:
        try:
            with Image.open(path) as image:
                sizes.append(image.width * image.height)
        except (OSError, ValueError, Image.DecompressionBombError):
            # Broken on purpose, perhaps: the run will say so, this is only a header's figure.
            continue
    return statistics.fmean(sizes) if sizes else 0.0
