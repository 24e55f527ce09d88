"""The command line. Only this package and `qbg.report` talk to people.

Must stay light: what a command needs is imported when the command runs, so that `--help` is quick.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from qbg.cli.exits import INTERRUPTED

STOPS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """The command `qbg`."""
    for number in STOPS:
        signal.signal(number, _leave)
    from qbg.cli.app import app

    app(prog_name="qbg")


def _leave(number: int, frame: FrameType | None) -> None:
    """Ctrl-C before there is anything to finish. An exception would surface as some import's failure."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)
