"""Runs a planned bench in front of a person and gives its reports. Must not know how anything is measured."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from qbg import engine as engines
from qbg.cli import STOPS, leave
from qbg.cli.bench_options import Reports, Wish
from qbg.cli.choice import Asked, Chosen, choose
from qbg.cli.exits import DONE, SOME_FAILED, UsageError, tell
from qbg.errors import OutputError
from qbg.summary import readable

if TYPE_CHECKING:
    from qbg.bench.pictures import Pictures
    from qbg.bench.plan import Plan
    from qbg.models import Resolved
    from qbg.report.document import Document
    from qbg.report.record import Case, Record

COMPARED_ROUNDS = 5


def measure(wish: Wish, planned: Plan, title: str, *, full: bool = False) -> int:
    """Runs a plan and reports it, with `full` all tables; 1 for a run that isn't valid."""
    from qbg.bench.run import Bench, Setting
    from qbg.report.bench_console import BenchConsole

    how = choose(Asked(model=wish.model, engine=wish.engine, precision=wish.precision))
    start, resolved, found = _begin(wish, how, planned.cases, title)
    save = _save_to(wish)
    setting = Setting(
        resolved=resolved,
        model=wish.model,
        engine=how.engine,
        precision=how.precision,
        pictures=found,
        only_mask=wish.only_mask,
        work=Path(wish.work) if wish.work is not None else None,
        save=save,
    )
    console = BenchConsole(quiet=wish.quiet)
    for note in (*how.notes, *resolved.notes):
        console.says(note)
    try:
        with interruptible():
            record = Bench(setting, planned, start, console).run()
    except KeyboardInterrupt:
        console.close()
        if save is not None and save.exists():
            console.says(
                f"what is done is kept: the same command with --resume {readable(str(save))} goes on"
            )
        raise
    finally:
        console.close()
    return report(record, wish.reports, full=full)


def against_rembg(wish: Wish, count: int, repeats: int | None, python: str | None) -> int:
    """`qbg bench compare rembg`: both on `count` pictures, in turns."""
    import itertools
    import time

    from qbg.bench.compare import compare, find_rembg
    from qbg.report.bench_console import BenchConsole

    if (wish.model, wish.engine, wish.precision) != (None, None, None) or wish.only_mask:
        raise UsageError(
            "`bench compare` runs both programs with u2netp", hint="leave out --model and others"
        )
    rembg = find_rembg(python)
    how = choose(Asked(model=None, engine=engines.DEFAULT))
    blank, _resolved, found = _begin(wish, how, (), "qbg bench compare rembg")
    console = BenchConsole(quiet=wish.quiet)
    began = time.monotonic()
    photos = list(itertools.islice(itertools.cycle(found.paths), count))
    with interruptible():
        rival = compare(
            rembg,
            photos,
            rounds=repeats or COMPARED_ROUNDS,
            workers=wish.workers,
            on_turn=lambda name, seconds: console.says(f"{name}: {len(photos)} pictures in {seconds:.1f} s"),
        )
    record = replace(blank, rivals=(rival,), finished=True, seconds=time.monotonic() - began)
    return report(record, wish.reports)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt, so that processes are ended and folders removed; the second
    one leaves at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in STOPS:
            signal.signal(each, lambda *_ignored: leave())
        raise KeyboardInterrupt

    before = [signal.signal(number, stop) for number in STOPS]
    try:
        yield
    finally:
        for number, handler in zip(STOPS, before, strict=True):
            signal.signal(number, handler)


def _begin(wish: Wish, how: Chosen, cases: tuple[Case, ...], title: str) -> tuple[Record, Resolved, Pictures]:
    """The record to begin with, the float model that masks are held to, the pictures."""
    from qbg.bench import header, pictures
    from qbg.models import resolve
    from qbg.models.sibling import quantized

    resolved, found = resolve(wish.model), pictures.find(wish.images)
    runs = quantized(resolved) if how.precision == "int8" else resolved
    try:
        precision = engines.precision_of(how.engine, runs.network, how.precision)
    except ValueError as error:
        raise UsageError(str(error)) from error
    subject = header.subject(runs, how.engine, precision, found, only_mask=wish.only_mask)
    blank = header.blank(
        title,
        ["qbg", *sys.argv[1:]],
        cases,
        subject,
        price_per_hour=wish.price_per_hour,
        watts=wish.watts,
    )
    return _resumed(wish.resume, blank) if wish.resume is not None else blank, resolved, found


def report(record: Record, reports: Reports, *, full: bool = False) -> int:
    """Writes the reports that were asked for and prints the tables; 1 for a run that isn't valid.

    Args:
        full: print all tables, those too that only reports hold otherwise.
    """
    from qbg.bench import document
    from qbg.report import record as records

    whole = document.build(records.as_saved(record))
    if reports.json is not None:
        _write(reports.json, records.dumps(record))
    if reports.histogram is not None:
        from qbg.bench.sections.latency import hdr_histogram

        _write(reports.histogram, hdr_histogram(record))
    _render(whole, reports, full=full)
    return DONE if whole.valid else SOME_FAILED


def show_difference(before: Record, after: Record, reports: Reports) -> int:
    """`qbg bench diff`."""
    from qbg.bench import difference

    if reports.json is not None or reports.histogram is not None:
        raise UsageError("`bench diff` gives tables only", hint="use --markdown or --html")
    _render(difference.document(before, after), reports, full=True)
    return DONE


def read(path: str) -> Record:
    """A record from a file."""
    from qbg.report import record as records

    try:
        return records.load(path)
    except OSError as error:
        raise UsageError(f"{readable(path)}: {error.strerror}", hint="check the path") from error
    except ValueError as error:
        raise UsageError(str(error), hint="name a file that `qbg bench --json` wrote") from error


def _render(whole: Document, reports: Reports, *, full: bool) -> None:
    from qbg.report import html, markdown, terminal

    if reports.html is not None:
        _write(reports.html, html.render(whole))
    if reports.markdown is not None:
        _write(reports.markdown, markdown.render(whole))
    if all(name != "-" for _option, name in reports.named()):
        terminal.show(whole, brief=not full)


def _resumed(path: str, blank: Record) -> Record:
    """The partial record, if it is of the same bench."""
    partial = read(path)
    for name in ("title", "machine", "software", "subject"):
        if getattr(partial, name) != getattr(blank, name):
            raise UsageError(
                f"--resume {readable(path)}: the record of `{readable(partial.command)}` has another {name}",
                hint="give that command on the same machine, or begin anew",
            )
    # An open loop's rate and length are filled in while it runs.
    plans = [
        [
            replace(case, rate_per_s=None, seconds=None) if case.kind == "open-loop" else case
            for case in record.cases
        ]
        for record in (partial, blank)
    ]
    if plans[0] != plans[1]:
        raise UsageError(
            f"--resume {readable(path)}: it was planned otherwise", hint="give the same options as then"
        )
    return partial


def _save_to(wish: Wish) -> Path | None:
    """Where the record is kept while it grows: the file that was asked for, or the one that is resumed."""
    for name in (wish.reports.json, wish.resume):
        if name is not None and name != "-":
            return Path(name)
    return None


def _write(name: str, text: str) -> None:
    if name == "-":
        tell(text.rstrip("\n"))
        return
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(str(error.strerror), stage="write", path=name) from error
