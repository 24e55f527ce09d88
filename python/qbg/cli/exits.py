"""Exit codes, and what becomes of an exception that reaches a command. The only place for either."""

from __future__ import annotations

import functools
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TextIO

from qbg.cli import INTERRUPTED
from qbg.errors import EngineError, ModelError, OutputError, QbgError
from qbg.summary import printable

DONE = 0
SOME_FAILED = 1
USAGE = 2
UNUSABLE = 3
"""Model or engine."""

P = ParamSpec("P")


class UsageError(Exception):
    """Arguments that don't make sense together, or name what isn't there.

    Attributes:
        hint: what can be done about it.
    """

    def __init__(self, message: str, *, hint: str = "--help tells how") -> None:
        super().__init__(message)
        self.hint = hint


def finite(value: float | None) -> float | None:
    """An option's number as it is; inf and nan are none."""
    if value is not None and not math.isfinite(value):
        import typer

        raise typer.BadParameter(f"{value} is not a number of that kind")
    return value


def guarded(command: Callable[P, int]) -> Callable[P, None]:
    """A command that returns its exit code, made into one that ends by it and never shows a traceback.

    ModelError and EngineError end with 3, other errors of qbg with 1, a mistake in an argument with
    2, Ctrl-C with 130. Anything else is a bug and says so; QBG_DEBUG=1 shows where.
    """

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        import typer

        raise typer.Exit(_code(lambda: command(*arguments, **options)))

    return run


def _code(call: Callable[[], int]) -> int:
    import typer

    try:
        return call()
    except UsageError as error:
        say(f"{error}\nhint: {error.hint}")
        return USAGE
    except typer.Exit:
        raise
    except QbgError as error:
        say(str(error))
        return UNUSABLE if isinstance(error, ModelError | EngineError) else SOME_FAILED
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError as error:
        return lost_output(error)
    except Exception as error:  # noqa: BLE001  # the last place where it can become a line
        if os.environ.get("QBG_DEBUG"):
            traceback.print_exc()
        say(f"internal error: {type(error).__name__}: {error}")
        say("this is a bug in qbg: please report it; QBG_DEBUG=1 shows where it happened")
        return SOME_FAILED


def say(text: str) -> None:
    """A line on standard error. Who closed it doesn't want to be told."""
    import typer

    try:
        typer.echo(printable(text), err=True)
    except OSError:
        _to_nowhere(sys.stderr)


def settle() -> None:
    """To be called last: what standard error still holds goes out, or nowhere where it can't.

    Else Python tries at its end, and leaves with 120.
    """
    try:
        sys.stderr.flush()
    except OSError:
        _to_nowhere(sys.stderr)


def tell(text: str) -> None:
    """Text, with a line's end, on standard output: the result that was asked for.

    Raises:
        BrokenPipeError: the reader has gone, which isn't worth a word.
        OutputError: it can't be written.
    """
    with _standard_output() as stream:
        stream.write(printable(text) + "\n")
        stream.flush()


def pour(data: bytes) -> None:
    """Bytes on standard output. Raises as `tell` does."""
    with _standard_output() as stream:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()


@contextmanager
def _standard_output() -> Iterator[TextIO]:
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise OutputError("it is closed", stage="write", path="standard output")
    try:
        yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        _to_nowhere(stream)
        raise OutputError(str(error.strerror), stage="write", path="standard output") from error


def lost_output(error: OSError) -> int:
    """The exit code when standard output can't be written; a line, unless its reader has just gone."""
    _to_nowhere(sys.stdout)
    if not isinstance(error, BrokenPipeError):
        say(f"write standard output: {error.strerror}")
    return SOME_FAILED


def _to_nowhere(stream: TextIO | None) -> None:
    """Python would complain once more when it flushes at the end."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
