"""Exit codes, and what becomes of an exception that reaches a command. The only place for either."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec

from qbg.errors import EngineError, ModelError, QbgError
from qbg.summary import printable

DONE = 0
SOME_FAILED = 1
USAGE = 2
UNUSABLE = 3
"""Model or engine."""
INTERRUPTED = 130

P = ParamSpec("P")


class UsageError(Exception):
    """Arguments that don't make sense together."""


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
        code = call()
        sys.stdout.flush()
        return code
    except UsageError as error:
        say(f"{error}\nhint: --help tells how")
        return USAGE
    except typer.Exit:
        raise
    except QbgError as error:
        say(str(error))
        return UNUSABLE if isinstance(error, ModelError | EngineError) else SOME_FAILED
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except Exception as error:  # noqa: BLE001  # the last place where it can become a line
        if os.environ.get("QBG_DEBUG"):
            traceback.print_exc()
        say(f"internal error: {type(error).__name__}: {error}")
        say("this is a bug in qbg: please report it; QBG_DEBUG=1 shows where it happened")
        return SOME_FAILED


def say(text: str) -> None:
    """A line on standard error."""
    import typer

    typer.echo(printable(text), err=True)
