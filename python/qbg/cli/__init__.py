"""The command line. Only this package and `qbg.report` talk to people.

Must stay light: what a command needs is imported when the command runs, so that `--help` is quick
and Ctrl-C is taken care of before anything else is loaded.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM)

INTERRUPTED = 130
"""Exit code."""

SHOW_CURSOR = b"\x1b[?25h"


def main() -> None:
    """The command `qbg`."""

    def app() -> None:
        from qbg.cli.app import app

        app(prog_name="qbg")

    run(app)


def run(app: Callable[[], None]) -> None:
    """A Typer application, with what has to be seen to before it and around it."""
    for number in STOPS:
        signal.signal(number, _leave)
    _fill_standard_files()
    from qbg.cli.exits import lost_output, settle

    try:
        app()
    except OSError as error:
        # Help and version; what commands print is seen to by `exits`.
        sys.exit(lost_output(error))
    finally:
        settle()


def leave() -> None:
    """Ends the process at once, as a signal asks for; a progress bar may have hidden the cursor."""
    try:
        if os.isatty(2):
            os.write(2, SHOW_CURSOR)
    finally:
        os._exit(INTERRUPTED)


def _leave(number: int, frame: FrameType | None) -> None:
    """Ctrl-C before there is anything to finish. An exception would surface as some import's failure."""
    try:
        os.write(2, b"interrupted\n")
    finally:
        leave()


def _fill_standard_files() -> None:
    """Null devices in place of what the caller closed: otherwise the next file that is opened, an
    output perhaps, gets the number 2, and whatever is said to standard error lands in it.

    `sys.stdout` stays None where it was closed, so that lost output can be told.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
