"""Files that appear complete or not at all: written beside their place, then renamed.

For single files that Python writes; a batch's outputs are the core's. Must not know what is in them.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from glob import escape
from pathlib import Path

from qbg.errors import DiskFullError, OutputError, OutputPermissionError


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Writes a file.

    Args:
        path: of the file.
        data: all of it.
        durable: wait until it is on the disk before it appears.

    Raises:
        OutputError: it can't be written; nothing is left of it, and an older file stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise _kind(error)(f"can't be written: {error.strerror}", stage="write", path=str(path)) from error


def sweep(path: Path) -> None:
    """Removes what others who were killed left of this very file; whoever still writes it then fails."""
    for temporary in path.parent.glob(f".{escape(path.name)}.*.part"):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _kind(error: OSError) -> type[OutputError]:
    if error.errno == errno.ENOSPC:
        return DiskFullError
    return OutputPermissionError if isinstance(error, PermissionError) else OutputError
