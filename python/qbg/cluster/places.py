"""Inputs and outputs as PyArrow's file systems have them: local folders, S3, GCS, HDFS, by their addresses.

An output's name below OUT is its input's name below IN with another ending, so that it depends on nothing but
the two. Must not know Ray or models.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from qbg import _native
from qbg.errors import InputNotFoundError, OutputError, QbgError
from qbg.naming import Names
from qbg.whole import sweep, write_whole

if TYPE_CHECKING:
    from pyarrow import fs

JOURNAL = "_qbg_journal"
"""The folder in OUT that is no picture's."""

BATCH_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Item:
    """One picture.

    Attributes:
        source: its address below the file system's root, as the file system takes it.
        name: of its output, below OUT.
    """

    source: str
    name: str


class Place:
    """A folder somewhere. Can be sent to other processes: it is an address and nothing else.

    Args:
        address: a path, or an address such as s3://bucket/folder.
    """

    def __init__(self, address: str) -> None:
        # A path is made whole here: other processes have another current folder.
        self.address = address if "://" in address else os.path.abspath(address)  # noqa: PTH100
        self._opened: tuple[fs.FileSystem, str] | None = None

    def __getstate__(self) -> str:
        return self.address

    def __setstate__(self, address: str) -> None:
        self.address = address
        self._opened = None

    @property
    def system(self) -> fs.FileSystem:
        """The file system."""
        return self._open()[0]

    @property
    def root(self) -> str:
        """The folder, as the file system takes it."""
        return self._open()[1]

    def _open(self) -> tuple[fs.FileSystem, str]:
        if self._opened is None:
            from pyarrow import ArrowInvalid, fs

            try:
                self._opened = fs.FileSystem.from_uri(self.address)
            except (ArrowInvalid, OSError) as error:
                raise InputNotFoundError(
                    f"no such kind of address: {error}", stage="discover", path=self.address
                ) from error
        return self._opened

    def read(self, path: str) -> bytes:
        """A file's content. OSError if it can't be had."""
        with self.system.open_input_stream(path) as stream:
            data: bytes = stream.readall()
            return data

    def write(self, name: str, data: bytes, *, again: bool = False) -> None:
        """A file below the folder, whole or not at all.

        Args:
            name: below the folder.
            data: all of it.
            again: somebody who was lost may have begun it; what is left of that is removed.

        Raises:
            OutputError: it can't be written.
        """
        from pathlib import Path

        from pyarrow import fs

        target = f"{self.root}/{name}"
        try:
            if isinstance(self.system, fs.LocalFileSystem):
                path = Path(target)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, data, durable=False)
                if again:
                    sweep(path)
                return
            # Object stores show a file when it is closed, and not before.
            with self.system.open_output_stream(target) as stream:
                stream.write(data)
        except OSError as error:
            raise OutputError(f"can't be written: {error}", stage="write", path=target) from error


def discover(place: Place, extension: str, done: Mapping[str, str] | None = None) -> Iterator[Item]:
    """Every picture below a folder, in the order of names.

    Args:
        place: a folder, or a manifest.
        extension: of outputs.
        done: outputs' names by input, from earlier runs: who has one keeps it, and nobody else gets it.

    Raises:
        InputNotFoundError: there is no such folder.
    """
    from pyarrow import fs

    names = _Kept(extension, done or {})
    root = place.root
    info = place.system.get_file_info(root)
    if info.type == fs.FileType.NotFound:
        raise InputNotFoundError("no such folder", stage="discover", path=place.address)
    if info.type == fs.FileType.File:
        yield from _manifest(place, root, names)
        return
    found = place.system.get_file_info(fs.FileSelector(root, recursive=True))
    for path in sorted(item.path for item in found if item.type == fs.FileType.File):
        below = path[len(root) :].lstrip("/")
        if _native.is_picture(path) and not any(part.startswith(".") for part in below.split("/")):
            yield names.item(path, below)


def _manifest(place: Place, path: str, names: _Kept) -> Iterator[Item]:
    """A Parquet file with a column `input` (or its first one), or a text file with a path per line.

    Paths are addresses of the manifest's own file system; relative ones begin at the manifest's folder.
    """
    home = path.rpartition("/")[0]
    for text in _parquet(place, path) if path.endswith(".parquet") else _lines(place, path):
        source = text if text.startswith("/") or "://" in text or not home else f"{home}/{text}"
        if "://" in text:
            source = text.partition("://")[2]
        # An absolute path has no name below anything: it keeps its last two parts at most.
        below = (
            "/".join(PurePosixPath(text).parts[-2:]).lstrip("/") if source == text or "://" in text else text
        )
        yield names.item(source, below)


def _parquet(place: Place, path: str) -> Iterator[str]:
    from pyarrow import parquet

    with place.system.open_input_file(path) as stream:
        table = parquet.ParquetFile(stream)
        columns = table.schema_arrow.names
        column = "input" if "input" in columns else columns[0]
        for batch in table.iter_batches(BATCH_ROWS, columns=[column]):
            for value in batch.column(0).to_pylist():
                yield str(value)


def _lines(place: Place, path: str) -> Iterator[str]:
    for line in place.read(path).decode("utf-8").splitlines():
        if line.strip():
            yield line.strip()


class _Kept:
    """Names for inputs, among which some have theirs already."""

    def __init__(self, extension: str, done: Mapping[str, str]) -> None:
        self._done = done
        self._names = Names(extension)
        for name in done.values():
            self._names.keep(name)

    def item(self, source: str, below: str) -> Item:
        """The input with its output's name."""
        name = self._done.get(source)
        return Item(source, name if name is not None else self._names.give(below))


def explain(error: BaseException) -> tuple[str, str]:
    """Stage and message of a failure."""
    if isinstance(error, QbgError):
        return error.stage, str(error.args[0])
    return "map" if isinstance(error, OSError) else "", f"{type(error).__name__}: {error}"


Rows = list[dict[str, Any]]
