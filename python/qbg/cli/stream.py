"""One picture through standard input or output: bytes in, bytes out. Must not walk folders."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from qbg.cli import STOPS
from qbg.cli.exits import DONE, SOME_FAILED, UsageError, say
from qbg.cli.places import Places
from qbg.errors import OutputError, OutputPermissionError, QbgError
from qbg.remover import Remover


def check_stream(places: Places, *, overwrite: bool, as_json: bool) -> None:
    """Raises UsageError for what can't be streamed, before a model is loaded."""
    if as_json:
        raise UsageError("--json needs files or folders")
    if places.output == "-":
        if sys.stdout.isatty():
            raise UsageError("standard output is a terminal: redirect it, or name OUT")
    elif Path(places.output or "").exists() and not overwrite:
        raise UsageError(f"`{places.output}` exists already: use --overwrite")
    if places.inputs == ["-"] and sys.stdin.isatty():
        raise UsageError("standard input is a terminal: redirect it, or name IN")


def run_stream(remover: Remover, places: Places) -> int:
    """Cuts out the one picture. A signal becomes KeyboardInterrupt, so that no half-written file is left."""
    for number in STOPS:
        signal.signal(number, signal.default_int_handler)
    source: bytes | str = sys.stdin.buffer.read() if places.inputs == ["-"] else places.inputs[0]
    try:
        encoded = remover.encoded(source)
        if places.output == "-":
            sys.stdout.buffer.write(encoded)
            sys.stdout.buffer.flush()
        else:
            write_whole(str(places.output), encoded)
    except QbgError as error:
        say(str(error))
        return SOME_FAILED
    return DONE


def write_whole(path: str, data: bytes) -> None:
    """The file with all its bytes, or none: a sibling is written and renamed.

    Raises:
        OutputError: it can't be written.
    """
    sibling = Path(f"{path}.{os.getpid()}.tmp")
    try:
        try:
            sibling.write_bytes(data)
            sibling.replace(path)
        except BaseException:
            sibling.unlink(missing_ok=True)
            raise
    except PermissionError as error:
        raise OutputPermissionError(str(error.strerror), stage="write", path=path) from error
    except OSError as error:
        raise OutputError(str(error.strerror), stage="write", path=path) from error
