"""The command line. Only this package and `qbg.report` talk to people.

Must stay light: what a command needs is imported when the command runs, so that `--help` is quick.
"""

from __future__ import annotations


def main() -> None:
    """The command `qbg`."""
    from qbg.cli.app import app

    app(prog_name="qbg")
