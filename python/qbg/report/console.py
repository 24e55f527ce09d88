"""What a person sees on standard error during and after a batch. Data never goes here.

On a terminal a progress bar appears once the work lasts longer than `BAR_AFTER_S`; elsewhere a
plain line every `LINE_EVERY_S`. Rich is loaded only for the bar; it honors NO_COLOR by itself.
Must not know the core, models or engines.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qbg.summary import Failure, Progress, Summary, printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

BAR_AFTER_S = 0.5
LINE_EVERY_S = 5.0
RATE_AFTER_S = 0.2
FAILURES_SHOWN = 50
WARNINGS_SHOWN = 10


class Console:
    """Talks on standard error.

    Args:
        quiet: only failures.
        verbose: also what is running, every warning, and times by stage.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._terminal = sys.stderr.isatty()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._next_line_s = LINE_EVERY_S

    def say(self, line: str) -> None:
        """One line, unless quiet."""
        if not self._quiet:
            self._write(line)

    def detail(self, line: str) -> None:
        """One line for who asked for more."""
        if self._verbose and not self._quiet:
            self._write(line)

    def error(self, text: str) -> None:
        """Always."""
        self._write(text)

    def progress(self, now: Progress) -> None:
        """Brings bar or lines up to date; called often."""
        if self._quiet:
            return
        if self._terminal:
            if now.seconds >= BAR_AFTER_S:
                self._draw(now)
        elif now.seconds >= self._next_line_s:
            self._next_line_s = now.seconds + LINE_EVERY_S
            self._write(progress_line(now))

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def summary(self, summary: Summary) -> None:
        """Warnings, failures, and one line of numbers."""
        self.close()
        self._warnings(summary.warnings)
        self.failures(summary.failed)
        if summary.stopped is not None:
            self.error(f"stopped: {summary.stopped}")
        self.say(summary_line(summary))
        for line in stage_lines(summary):
            self.detail(line)

    def failures(self, failed: Sequence[Failure]) -> None:
        """Each as `stage path: what happened` with its hint; a long list is cut."""
        for failure in failed[:FAILURES_SHOWN]:
            self.error(failure.line)
            if failure.hint:
                self.error(f"hint: {failure.hint}")
        if len(failed) > FAILURES_SHOWN:
            self.error(f"and {len(failed) - FAILURES_SHOWN} more failures; --json lists all of them")

    def _warnings(self, warnings: Sequence[str]) -> None:
        shown = len(warnings) if self._verbose else WARNINGS_SHOWN
        for line in warnings[:shown]:
            self.say(f"warning: {line}")
        if len(warnings) > shown:
            self.say(f"and {len(warnings) - shown} more warnings; --verbose shows all of them")

    def _write(self, line: str) -> None:
        text = printable(line)
        if self._bar is not None:
            # Above the bar, and as it is: a path in brackets is no markup.
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
            return
        try:
            print(text, file=sys.stderr, flush=True)
        except OSError:
            # Who closed standard error doesn't want to be told; the work goes on.
            self._quiet = True

    def _draw(self, now: Progress) -> None:
        if self._bar is None:
            self._bar = _make_bar()
            self._task = self._bar.add_task("", total=now.total, failures="", rate="")
            self._bar.start()
        assert self._task is not None
        failures = f"{now.failed} failed" if now.failed else ""
        self._bar.update(
            self._task,
            completed=now.over,
            total=now.total,
            failures=failures,
            rate=f"{rate(now):.1f} images/s",
        )


def _make_bar() -> Bar:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[failures]}", style="red"),
        console=RichConsole(stderr=True),
        transient=True,
        refresh_per_second=5,
    )


def rate(now: Progress) -> float:
    """Images written per second so far; 0 until that means something."""
    return now.done / now.seconds if now.seconds > RATE_AFTER_S else 0.0


def progress_line(now: Progress) -> str:
    """`120/300 images, 2 failed, 8.1 images/s, about 22 s left`; `?` while the total isn't known."""
    parts = [f"{now.over}/{'?' if now.total is None else now.total} images"]
    if now.skipped:
        parts.append(f"{now.skipped} skipped")
    if now.failed:
        parts.append(f"{now.failed} failed")
    speed = rate(now)
    parts.append(f"{speed:.1f} images/s")
    if now.total is not None and speed > 0:
        parts.append(f"about {max(0, now.total - now.over) / speed:.0f} s left")
    return ", ".join(parts)


def summary_line(summary: Summary) -> str:
    """`298 done, 0 skipped, 2 failed in 35.1 s: 8.5 images/s with 2 workers`."""
    text = (
        f"{summary.done} done, {summary.skipped} skipped, {len(summary.failed)} failed "
        f"in {summary.seconds:.1f} s: {summary.images_per_s:.1f} images/s with {summary.workers} "
        f"worker{'' if summary.workers == 1 else 's'}"
    )
    return f"stopped: {text}" if summary.cancelled else text


def stage_lines(summary: Summary) -> list[str]:
    """Each stage's share of the workers' time and its milliseconds per image."""
    total = sum(summary.stage_seconds.values())
    if total <= 0 or not summary.done:
        return []
    return [
        f"  {name:<12}{seconds / total:7.1%}{seconds / summary.done * 1e3:10.2f} ms per image"
        for name, seconds in summary.stage_seconds.items()
    ]
