"""Makes a folder of N distinct JPEGs, about the size of COCO's, from any folder of photos.

python scripts/make_dataset.py PHOTOS OUT [--count 38418] [--processes N] [--bad SHARE] [--link]

Picture number i is a crop of source i mod S, perhaps mirrored, with its tones moved a little, encoded anew.
All choices come from SHA-256 of (seed, i): they depend on no library, on no other picture and on no number of
processes. The bytes depend on Pillow and its JPEG encoder, so their versions are kept in OUT/dataset.json.
Work goes on by source, not by number, so that each source is decoded a few times and not N/S times.

OUT holds the pictures, `dataset.json`, and `manifest.jsonl` with a row each: name, source, seed, sha256,
bytes, bad, expect. Each file appears under its name when it is whole; a second call makes what is missing.
With `--bad SHARE` that share is broken in the ways of `BAD`; `expect` says what a reader should do with each.
Must not know qbg. Left out: likeness to COCO's subjects; crops of few photos don't replace many photos.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import PIL
from PIL import Image, ImageOps, features

COUNT = 38_418
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
# (width, height) and weight: the commonest shapes among COCO's pictures, upright ones turned.
SHAPES = (((640, 480), 5), ((640, 427), 3), ((640, 426), 2), ((640, 360), 1), ((500, 375), 1))
EXPECTED_BYTES = 200_000  # no less than the mean of such JPEGs, for the look at the free space

CHUNK = 64  # pictures of one source that one process makes in one go
ROWS, PARTIAL, ABOUT = "manifest.jsonl", ".manifest.jsonl.part", "dataset.json"


@dataclass(frozen=True)
class Settings:
    """What decides every byte; kept in dataset.json, and compared when a call finds that file.

    Attributes:
        seed: of all choices.
        bad_per_million: share of broken files.
        link: hard links (or copies) of the sources instead of new pictures.
        sources: how many.
        sources_digest: SHA-256 over their names and sizes.
        pillow, jpeg: versions of Pillow and of its JPEG library; empty with `link`.
    """

    seed: int
    bad_per_million: int
    link: bool
    sources: int
    sources_digest: str
    pillow: str
    jpeg: str


@dataclass(frozen=True)
class Row:
    """One line of the manifest.

    Attributes:
        name: of the file in the folder.
        source: the photo it was made from, relative to the folder of photos.
        seed: hexadecimal: the first eight bytes that its choices come from.
        sha256: of the file's bytes.
        bytes: its size.
        bad: key of `BAD`, or None for a good picture.
        expect: `pass` or `fail`: what a reader that looks at contents, not at names, should do.
    """

    name: str
    source: str
    seed: str
    sha256: str
    bytes: int
    bad: str | None = None
    expect: str = "pass"


# ---------------------------------------------------------------- choices


def seeds(seed: int, index: int) -> Iterator[bytes]:
    """Blocks of 32 bytes that (seed, index) decides, on every machine."""
    block = 0
    while True:
        yield hashlib.sha256(f"{seed}/{index}/{block}".encode()).digest()
        block += 1


def draws(seed: int, index: int) -> Iterator[float]:
    """Numbers in [0, 1) out of those blocks."""
    for block in seeds(seed, index):
        yield from (word / 2**32 for word in struct.unpack(">8I", block))


def is_bad(index: int, per_million: int) -> bool:
    """Spread evenly: among the first n files there are floor(n * share), for every n."""
    return (index + 1) * per_million // 1_000_000 > index * per_million // 1_000_000


def file_name(index: int) -> str:
    return f"{index:012d}.jpg"


# ---------------------------------------------------------------- pictures


@functools.lru_cache(maxsize=1)
def decoded(path: str) -> Image.Image:
    """The photo, upright, RGB. One is kept, since a chunk takes them from one source."""
    with Image.open(path) as image:
        # A large JPEG is decoded at a half or less: a crop of it still has more pixels than asked for.
        image.draft("RGB", (1280, 1280))
        return ImageOps.exif_transpose(image).convert("RGB")


def picture(path: str, seed: int, index: int) -> bytes:
    """JPEG number `index`, a crop of the photo at `path`."""
    photo, draw = decoded(path), draws(seed, index)
    pick = next(draw) * sum(weight for _, weight in SHAPES)
    shape = SHAPES[-1][0]
    for candidate, weight in SHAPES:
        if pick < weight:
            shape = candidate
            break
        pick -= weight
    width, height = shape if photo.width >= photo.height else shape[::-1]
    largest = min(photo.width / width, photo.height / height)
    scale = largest * (0.6 + 0.4 * next(draw))
    left = next(draw) * (photo.width - scale * width)
    top = next(draw) * (photo.height - scale * height)
    right, bottom = min(left + scale * width, photo.width), min(top + scale * height, photo.height)
    image = photo.resize(
        (width, height), Image.Resampling.BICUBIC, box=(left, top, right, bottom), reducing_gap=3.0
    )
    if next(draw) < 0.5:
        image = ImageOps.mirror(image)
    table: list[int] = []
    for _ in range(3):  # each channel: up to 8 % more or less contrast, up to 6 levels lighter or darker
        gain, lift = 0.92 + 0.16 * next(draw), 12 * next(draw) - 6
        table += [min(255, max(0, int((level - 128) * gain + 128 + lift + 0.5))) for level in range(256)]
    stream = io.BytesIO()
    image.point(table).save(stream, "JPEG", quality=90 + int(7 * next(draw)))
    return stream.getvalue()


# ---------------------------------------------------------------- broken files


def patched(good: bytes, offset: int, value: bytes) -> bytes:
    """The JPEG with its frame header (SOF0) changed `offset` bytes after the marker."""
    at = good.index(b"\xff\xc0") + offset
    return good[:at] + value + good[at + len(value) :]


def as_png(good: bytes) -> bytes:
    """The same picture as PNG."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(good)) as image:
        image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def noise(good: bytes) -> bytes:
    """As many bytes without sense, behind the first ones of a JPEG."""
    blocks = (hashlib.sha256(good + struct.pack(">I", n)).digest() for n in range(len(good) // 32 + 1))
    return good[:4] + b"".join(blocks)[: len(good) - 4]


BAD: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "truncated": ("fail", lambda good: good[: len(good) // 2]),
    "empty": ("fail", lambda good: b""),
    "not_an_image": ("fail", lambda good: b"this was a letter once: " + good[-16:].hex().encode() + b"\n"),
    "wrong_extension": ("pass", as_png),
    "huge_header": ("fail", lambda good: patched(good, 5, struct.pack(">HH", 60_000, 60_000))),
    "zero_bytes": ("fail", lambda good: bytes(len(good))),
    "header_only": ("fail", lambda good: good[:2]),
    "cut_tables": ("fail", lambda good: good[:100]),
    "twelve_bit": ("fail", lambda good: patched(good, 4, b"\x0c")),
    "no_size": ("fail", lambda good: patched(good, 5, bytes(4))),
    "noise": ("fail", noise),
}
"""How a file may be broken: what a reader should do with it, and how it is made from a good JPEG.

truncated        its first half
empty            nothing
not_an_image     text
wrong_extension  a good PNG: nothing is wrong for a reader that looks at the contents
huge_header      says that it has 60000x60000 pixels
zero_bytes       as many zeros
header_only      its first two bytes
cut_tables       its first hundred bytes
twelve_bit       says that it has 12 bits a sample
no_size          says that it has 0x0 pixels
noise            four bytes of a JPEG, then bytes without sense
"""
MAY_REPEAT = {"empty", "header_only", "cut_tables"}  # kinds whose files can't or needn't be distinct


# ---------------------------------------------------------------- one file, one chunk


@dataclass(frozen=True)
class Chunk:
    """Some pictures of one source.

    Attributes:
        root: folder of photos.
        source: relative to it.
        out: folder to write to.
        settings: see there.
        indices: which pictures.
    """

    root: str
    source: str
    out: str
    settings: Settings
    indices: tuple[int, ...]


def put(path: Path, data: bytes) -> None:
    """Under its name when it is whole."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(data)
    partial.replace(path)


def place(source: Path, path: Path) -> None:
    """A hard link, or a copy where links can't be."""
    partial = path.with_name(f".{path.name}.part")
    partial.unlink(missing_ok=True)
    try:
        partial.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, partial)
    partial.replace(path)
    # rename(2) does nothing, and leaves both, when the two are links to one file already.
    partial.unlink(missing_ok=True)


def make_chunk(chunk: Chunk) -> list[Row]:
    """Makes the pictures of one chunk. Runs in a process of its own.

    Raises:
        DatasetError: the source can't be decoded, or a file not written; names the source.
    """
    try:
        return [make_one(chunk, index) for index in chunk.indices]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"from {chunk.source}: {error}") from error


def make_one(chunk: Chunk, index: int) -> Row:
    """Makes one file."""
    settings, source = chunk.settings, Path(chunk.root) / chunk.source
    target = Path(chunk.out) / file_name(index)
    seed = next(seeds(settings.seed, index)).hex()[:16]
    bad, expect = None, "pass"
    if is_bad(index, settings.bad_per_million):
        # The k-th broken file is of the k-th kind, in turn, so that each kind occurs.
        bad = list(BAD)[index * settings.bad_per_million // 1_000_000 % len(BAD)]
    elif settings.link:
        place(source, target)
        data = target.read_bytes()
        return Row(target.name, chunk.source, seed, hashlib.sha256(data).hexdigest(), len(data))
    data = picture(str(source), settings.seed, index)
    if bad is not None:
        expect, spoil = BAD[bad]
        data = spoil(data)
    put(target, data)
    return Row(target.name, chunk.source, seed, hashlib.sha256(data).hexdigest(), len(data), bad, expect)


# ---------------------------------------------------------------- the whole


class DatasetError(Exception):
    """Something that a person has to put right; the text says what."""


def find_sources(root: Path) -> list[str]:
    """The photos below `root`, sorted, relative to it; each can at least be opened."""
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder")
    found = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not found:
        raise DatasetError(f"there are no photos in {root}")
    broken = []
    for name in found:
        try:
            with Image.open(root / name):
                pass
        except (OSError, Image.DecompressionBombError) as error:
            broken.append(f"{name} ({error})")
    if broken:
        raise DatasetError("these photos can't be opened, take them away: " + ", ".join(broken[:10]))
    return found


def settings_of(asked: argparse.Namespace, sources: list[str]) -> Settings:
    """What decides every byte."""
    digest = hashlib.sha256()
    for name in sources:
        digest.update(f"{name}\0{(asked.photos / name).stat().st_size}\n".encode(errors="surrogateescape"))
    pillow, jpeg = PIL.__version__, f"{features.version('jpg')}"
    return Settings(
        seed=asked.seed,
        bad_per_million=round(asked.bad * 1_000_000),
        link=asked.link,
        sources=len(sources),
        sources_digest=digest.hexdigest(),
        pillow="" if asked.link else pillow,
        jpeg="" if asked.link else jpeg,
    )


def agree(out: Path, settings: Settings, count: int) -> None:
    """Compares with dataset.json, if it is there. A larger count goes on from a smaller one."""
    about = out / ABOUT
    if about.exists():
        try:
            before = json.loads(about.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DatasetError(f"{about} is damaged: {error}") from error
        had = before.pop("count", 0)
        differ = [name for name, value in asdict(settings).items() if before.get(name) != value]
        if differ:
            raise DatasetError(
                f"{out} was made with another {', '.join(differ)}: take an empty folder, or the same settings"
            )
        if had > count:
            raise DatasetError(
                f"{out} has {had} pictures, more than {count}: take an empty folder, or --count {had}"
            )
    elif any(out.iterdir()):
        raise DatasetError(f"{out} isn't empty, and no {ABOUT} says what is in it: take an empty folder")


def finished_rows(out: Path, count: int) -> dict[str, Row]:
    """Rows of an earlier call whose files are there with the size that they should have."""
    rows: dict[str, Row] = {}
    for name in (ROWS, PARTIAL):
        path = out / name
        if not path.exists():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = Row(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the last line of a call that was killed while it wrote
            if row.name < file_name(count):  # names have one length, so that they sort as their numbers do
                rows[row.name] = row
    kept = {}
    for name, row in rows.items():
        path = out / name
        if path.is_file() and path.stat().st_size == row.bytes:
            kept[name] = row
    return kept


def plan(asked: argparse.Namespace, settings: Settings, sources: list[str], have: set[str]) -> list[Chunk]:
    """What is missing, by source, in pieces."""
    by_source: dict[int, list[int]] = {}
    for index in range(asked.count):
        if file_name(index) not in have:
            by_source.setdefault(index % len(sources), []).append(index)
    return [
        Chunk(str(asked.photos), sources[number], str(asked.out), settings, tuple(indices[at : at + CHUNK]))
        for number, indices in by_source.items()
        for at in range(0, len(indices), CHUNK)
    ]


def check_space(out: Path, missing: int, settings: Settings) -> None:
    """Raises where the disk can't hold what is missing."""
    share = settings.bad_per_million / 1_000_000 if settings.link else 1.0
    need, free = int(missing * share * EXPECTED_BYTES), shutil.disk_usage(out).free
    if need > free:
        raise DatasetError(
            f"{missing} pictures need about {need / 1e9:.1f} GB, but {out} has {free / 1e9:.1f} GB free"
        )


class Progress:
    """Lines on standard error: often on a terminal, rarely into a file."""

    def __init__(self, done: int, total: int) -> None:
        self.begun, self.start, self.done, self.total = time.monotonic(), done, done, total
        self.terminal = sys.stderr.isatty()
        self.shown = self.begun

    def add(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.shown < (0.5 if self.terminal else 10.0) and self.done < self.total:
            return
        self.shown = now
        rate = (self.done - self.start) / max(now - self.begun, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        text = f"{self.done} of {self.total} pictures, {rate:.0f} per second, {left:.0f} s to go"
        if self.terminal:
            print(f"\r{text:<79}", end="\n" if self.done == self.total else "", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


def work(chunks: list[Chunk], processes: int) -> Iterator[list[Row]]:
    """The chunks' rows, as they end."""
    if processes == 1:
        yield from map(make_chunk, chunks)
        return
    # spawn: alike on every system, and forking a process that has threads may hang.
    with multiprocessing.get_context("spawn").Pool(min(processes, len(chunks))) as pool:
        yield from pool.imap_unordered(make_chunk, chunks)


def check_distinct(rows: list[Row], settings: Settings) -> None:
    """Raises where two pictures are the same file. Links are not meant to be distinct."""
    seen: dict[str, str] = {}
    for row in rows:
        if row.bad in MAY_REPEAT or (settings.link and row.bad is None):
            continue
        if row.sha256 in seen:
            raise DatasetError(
                f"{seen[row.sha256]} and {row.name} are equal: {row.source} is too plain for this"
            )
        seen[row.sha256] = row.name


def make(asked: argparse.Namespace) -> list[Row]:
    """Does what was asked for; returns the manifest's rows."""
    sources = find_sources(asked.photos)
    if asked.out.resolve().is_relative_to(asked.photos.resolve()):
        raise DatasetError(
            f"{asked.out} lies in {asked.photos}: its pictures would be the next call's photos"
        )
    asked.out.mkdir(parents=True, exist_ok=True)
    settings = settings_of(asked, sources)
    agree(asked.out, settings, asked.count)
    rows = finished_rows(asked.out, asked.count)
    missing = asked.count - len(rows)
    check_space(asked.out, missing, settings)
    about = {"count": asked.count, **asdict(settings)}
    put(asked.out / ABOUT, (json.dumps(about, indent=1) + "\n").encode())
    if missing:
        chunks, progress = plan(asked, settings, sources, set(rows)), Progress(len(rows), asked.count)
        with (asked.out / PARTIAL).open("a", encoding="utf-8") as log:
            log.write("\n")  # ends a line that a killed call may have left open
            for made in work(chunks, asked.processes):
                rows.update((row.name, row) for row in made)
                log.writelines(json.dumps(asdict(row)) + "\n" for row in made)
                log.flush()
                progress.add(len(made))
    ordered = [rows[file_name(index)] for index in range(asked.count)]
    check_distinct(ordered, settings)
    put(asked.out / ROWS, "".join(json.dumps(asdict(row)) + "\n" for row in ordered).encode())
    (asked.out / PARTIAL).unlink(missing_ok=True)
    return ordered


def arguments() -> argparse.Namespace:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="make_dataset.py",
        description=about,
        epilog=more.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=Path, help="folder of photos, walked with everything below it")
    parser.add_argument("out", type=Path, help="folder to make; empty, or an earlier call's")
    parser.add_argument("--count", type=int, default=COUNT, help=f"pictures (default {COUNT})")
    parser.add_argument("--processes", type=int, default=0, help="default: one for each CPU that is allowed")
    parser.add_argument("--seed", type=int, default=1, help="another one gives other pictures (default 1)")
    parser.add_argument(
        "--bad", type=float, default=0.0, metavar="SHARE", help="0 to 1: share of broken files"
    )
    parser.add_argument(
        "--link", action="store_true", help="hard links of the photos, or copies; not distinct"
    )
    asked = parser.parse_args()
    if not 1 <= asked.count < 10**12:
        parser.error("--count must be at least 1")
    if not 0.0 <= asked.bad <= 1.0:
        parser.error("--bad must be from 0 to 1")
    if asked.processes < 0:
        parser.error("--processes must be at least 1")
    if not asked.processes:
        affinity = getattr(os, "sched_getaffinity", None)
        asked.processes = len(affinity(0)) if affinity else os.cpu_count() or 1
    return asked


def main() -> int:
    asked = arguments()
    try:
        rows = make(asked)
    except KeyboardInterrupt:
        print("\ninterrupted: the same call goes on where this one stopped", file=sys.stderr)
        return 130
    except (DatasetError, OSError) as error:
        print(f"make_dataset.py: {error}", file=sys.stderr)
        return 1
    bad = [row for row in rows if row.bad]
    size = sum(row.bytes for row in rows)
    broken = f", {len(bad)} of them broken on purpose" if bad else ""
    print(f"{len(rows)} files{broken}, {size / 1e6:.1f} MB, in {asked.out}; list: {asked.out / ROWS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
