"""What a person sees on standard error while a file is downloaded. Must not know where from or what for.

On a terminal one line that changes, elsewhere a line every `LINE_EVERY_S`. The rate is that of the whole
transfer, what an earlier one left not counted.
"""

from __future__ import annotations

import sys
import time

from qbg.summary import printable

DRAW_EVERY_S = 0.1
LINE_EVERY_S = 5.0
WIDTH = 78


class DownloadConsole:
    """A download's listener that talks on standard error.

    Args:
        name: of the file.
        quiet: nothing but errors, which are the caller's.
    """

    def __init__(self, name: str, *, quiet: bool = False) -> None:
        self._name = name
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._began: tuple[float, int] | None = None
        self._next_s = 0.0
        self._shown = False

    def say(self, line: str) -> None:
        """A line that stays."""
        self.close()
        self._began = None
        self._write(f"{line}\n")

    def tick(self, here: int, whole: int | None) -> None:
        """So many bytes are here. Called for each block; says something only now and then."""
        now = time.monotonic()
        if self._began is None:
            self._began = (now, here)
            self._next_s = now + (0 if self._terminal else LINE_EVERY_S)
        if now < self._next_s:
            return
        self._next_s = now + (DRAW_EVERY_S if self._terminal else LINE_EVERY_S)
        seconds = now - self._began[0]
        line = progress_line(self._name, here, whole, here - self._began[1], seconds)
        if self._terminal:
            self._shown = True
            self._write(f"\r{line[:WIDTH]:<{WIDTH}}")
        else:
            self._write(f"{line}\n")

    def close(self) -> None:
        """Takes the changing line away."""
        if self._shown:
            self._shown = False
            self._write(f"\r{'':<{WIDTH}}\r")

    def _write(self, text: str) -> None:
        if self._quiet:
            return
        try:
            sys.stderr.write(printable(text) if text.endswith("\n") else text)
            sys.stderr.flush()
        except OSError:
            # Who closed standard error doesn't want to be told; the work goes on.
            self._quiet = True


def progress_line(name: str, here: int, whole: int | None, fresh: int, seconds: float) -> str:
    """`u2net.onnx: 33.0 of 176.0 MB, 12.1 MB/s, about 12 s left`."""
    text = f"{name}: {here / 1e6:.1f}"
    text += f" of {whole / 1e6:.1f} MB" if whole is not None else " MB"
    if fresh <= 0 or seconds <= 0:
        return text
    rate = fresh / seconds
    text += f", {rate / 1e6:.1f} MB/s"
    if whole is not None:
        text += f", about {max(0, whole - here) / rate:.0f} s left"
    return text
