"""Many pictures in one request, many answers in one stream: zip or multipart, in and out.

A zip is hostile: what it says of sizes is not believed, its names are not used as paths, and its content is
counted as it is unpacked. Must not know models.
"""

from __future__ import annotations

import io
import secrets
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from qbg.serve.problems import ProblemError

BLOCK = 1 << 20
HIDDEN = "."
MACOS_EXTRAS = "__MACOSX/"


def unpacked(data: bytes, most: int, limit: int, total: int) -> Iterator[tuple[str, bytes | ProblemError]]:
    """Name and content of each picture in a zip, or why it can't be had.

    Args:
        data: the zip.
        most: pictures.
        limit: bytes of one.
        total: bytes of all.

    Raises:
        ProblemError: not a zip, too many, or too large together.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise ProblemError(400, "zip", "not a zip that can be read") from error
    with archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir() and _is_wanted(entry.filename)]
        if len(entries) > most:
            raise ProblemError(413, "too many", f"{len(entries)} pictures, more than {most}")
        rest = total
        for entry in entries:
            content = _content(archive, entry, min(limit, rest))
            if isinstance(content, ProblemError) and rest <= limit and content.code == "too large":
                raise ProblemError(413, "too large", f"unpacked it is more than {total >> 20} MiB")
            rest -= 0 if isinstance(content, ProblemError) else len(content)
            yield entry.filename, content


def _is_wanted(name: str) -> bool:
    return not name.startswith(MACOS_EXTRAS) and not name.rpartition("/")[2].startswith(HIDDEN)


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes | ProblemError:
    try:
        found = bytearray()
        with archive.open(entry) as stream:
            while block := stream.read(min(BLOCK, limit + 1 - len(found))):
                found += block
                if len(found) > limit:
                    return ProblemError(413, "too large", f"more than {limit} bytes")
        return bytes(found)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        OSError,
    ) as error:
        return ProblemError(422, "zip", f"can't be unpacked: {error}")


def safe(name: str) -> str:
    """An archive's name as a relative POSIX path, also if it was made on Windows: no drives."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if ":" not in part)


class ZipStream:
    """A zip, written as it grows: stored, since pictures are packed already."""

    media = "application/zip"

    def __init__(self) -> None:
        self._buffer = _Pipe()
        self._zip = zipfile.ZipFile(self._buffer, "w", zipfile.ZIP_STORED)

    def add(self, name: str, data: bytes, media: str) -> bytes:
        """The stream's next piece."""
        self._zip.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
        return self._buffer.take()

    def end(self) -> bytes:
        """Its last piece."""
        self._zip.close()
        return self._buffer.take()


class MultipartStream:
    """multipart/mixed, a part per file."""

    def __init__(self) -> None:
        self._boundary = secrets.token_hex(16)
        self.media = f"multipart/mixed; boundary={self._boundary}"

    def add(self, name: str, data: bytes, media: str) -> bytes:
        """The stream's next piece."""
        safe = name.replace("\\", "_").replace('"', "_").replace("\r", "_").replace("\n", "_")
        head = (
            f"--{self._boundary}\r\nContent-Type: {media}\r\n"
            f'Content-Disposition: attachment; filename="{safe}"\r\n'
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data + b"\r\n"

    def end(self) -> bytes:
        """Its last piece."""
        return f"--{self._boundary}--\r\n".encode()


class _Pipe(io.RawIOBase):
    """Takes bytes that are then taken away; can't seek, so that zipfile writes sizes behind the data."""

    def __init__(self) -> None:
        super().__init__()
        self._data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        block = bytes(data)
        self._data += block
        return len(block)

    def take(self) -> bytes:
        """What was written since the last time."""
        found, self._data = bytes(self._data), bytearray()
        return found
