"""What a person sees on standard error while a bench runs. Must not know how anything is measured.

On a terminal one line that changes, elsewhere a line per run. The time left is taken from the runs so far.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from qbg.summary import printable

if TYPE_CHECKING:
    from qbg.report.record import Case, Outcome

WIDTH = 78


class BenchConsole:
    """A bench's listener that talks on standard error.

    Args:
        quiet: only what went wrong.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._began = time.monotonic()
        self._over = 0
        self._left = 0
        self._name = ""
        self._shown = False

    def begins(self, case: Case, repeat: int, left: int) -> None:
        """A run begins."""
        self._left = left + 1
        self._name = f"{case.name} #{repeat + 1}"
        self._draw(f"{self._name}: starting")

    def goes_on(self, done: int, total: int | None, seconds: float) -> None:
        """A run goes on."""
        of = f"{done:,}" if total is None else f"{done:,}/{total:,}"
        eta = ""
        if total is not None and done:
            eta = f", about {_time((total - done) * seconds / done)} left of it"
        self._draw(f"{self._name}: {of} pictures in {seconds:.0f} s{eta}{self._whole()}")

    def ends(self, outcome: Outcome) -> None:
        """A run is over."""
        self._over += 1
        self.says(
            f"{self._name}: {outcome.images_per_s:.2f} images/s over {outcome.window_s:.1f} s"
            f"{f', {outcome.failed} failed' if outcome.failed else ''}{self._whole(self._left - 1)}"
        )

    def says(self, line: str) -> None:
        """A line that stays."""
        self.close()
        if not self._quiet:
            self._write(printable(line) + "\n")

    def close(self) -> None:
        """Takes the changing line away."""
        if self._shown:
            self._write("\r" + " " * WIDTH + "\r")
            self._shown = False

    def _whole(self, left: int | None = None) -> str:
        left = self._left if left is None else left
        if not self._over or not left:
            return ""
        each = (time.monotonic() - self._began) / self._over
        return f" (about {_time(each * left)} to go)"

    def _draw(self, line: str) -> None:
        if self._terminal and not self._quiet:
            self._write("\r" + printable(line)[:WIDTH].ljust(WIDTH))
            self._shown = True

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            # Who closed standard error doesn't want to be told; the work goes on.
            self._quiet = True


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
