"""`qbg rembg p`: a folder, once or for as long as somebody drops pictures into it.

The work is `qbg remove`'s batch. Must not know how a picture is done.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qbg.cli import INTERRUPTED
from qbg.cli import rembg as flags
from qbg.cli.exits import DONE, SOME_FAILED, UsageError, say
from qbg.cli.stream import interruptible
from qbg.options import FolderOptions

if TYPE_CHECKING:
    from qbg.remover import Remover
    from qbg.summary import Failure

STOP_FILE = "stop.txt"
"""Dropped into a watched folder it ends the watch, and is removed, as rembg has it."""

QUIET_S = 1.0
"""A folder is looked at when nothing in it has changed for so long: who writes a picture slowly isn't met
half way."""

LONGEST_S = 10.0
"""But not later than this after the first change."""

Source = Annotated[Path, typer.Argument(metavar="INPUT", show_default=False, exists=True, file_okay=False)]
Target = Annotated[Path, typer.Argument(metavar="OUTPUT", show_default=False, file_okay=False)]
Watch = Annotated[bool, typer.Option("-w", "--watch", help="Go on with what comes (extra qbg[watch]).")]
DeleteInput = Annotated[
    bool, typer.Option("-d", "--delete_input", help="Delete each input whose output is written.")
]
AcceptCost = Annotated[
    bool, typer.Option("--accept-usage-cost", hidden=True, help="Nothing here costs anything.")
]
Flat = Annotated[bool, typer.Option("--flat", help="All outputs directly in OUTPUT, as rembg puts them.")]
ExitZero = Annotated[bool, typer.Option("--exit-zero", help="Exit code 0 even if pictures failed.")]


def command(
    source: Source,
    target: Target,
    model: flags.ModelName = None,
    alpha_matting: flags.AlphaMatting = False,
    foreground: flags.AboveIsSubject = 240,
    background: flags.BelowIsBackground = 10,
    erode: flags.ErodeSize = 10,
    only_mask: flags.OnlyMask = False,
    post_process: flags.PostProcess = False,
    decontaminate: flags.Decontaminate = False,
    vitmatte: flags.VitMatte = False,
    watch: Watch = False,
    delete_input: DeleteInput = False,
    accept_usage_cost: AcceptCost = False,
    bgcolor: flags.BackgroundColor = (0, 0, 0, 0),
    extras: flags.Extras = None,
    premultiplied: flags.Premultiplied = False,
    flat: Flat = False,
    exit_zero: ExitZero = False,
) -> int:
    """A folder and all below it. Writes PNGs."""
    from qbg.compat import rembg as api

    wish = flags.read_wish(
        model,
        (alpha_matting, foreground, background, erode),
        (only_mask, post_process),
        (decontaminate, vitmatte, premultiplied),
        bgcolor,
        extras,
    )
    flat = flat or api.FLAT in wish.restored
    if watch and flat:
        raise UsageError("--watch keeps folders as they are", hint="leave out --flat")
    if watch:
        _observer()  # tells at once that the extra is missing
    with flags.make_remover(wish, None) as remover:
        task = Task(remover, wish, delete_input)
        code = task.flat(source, target) if flat else task.tree(source, target)
        if watch and code != INTERRUPTED:
            with interruptible():
                code = _watch(task, source, target)
    if code == SOME_FAILED and (exit_zero or api.EXIT_ZERO in wish.restored):
        return DONE
    return code


class Task:
    """What is to be done with each picture that is met, now or later.

    Args:
        remover: has the options.
        wish: of which the alpha matting matters here.
        delete: inputs, when their outputs are there.
    """

    def __init__(self, remover: Remover, wish: flags.Wish, delete: bool) -> None:
        self._remover = remover
        self._wish = wish
        self._delete = delete
        self._told: set[Failure] = set()

    def tree(self, source: Path, target: Path, *, recursive: bool = True, again: bool = False) -> int:
        """A folder, its structure kept. `again`: what was told before isn't told once more."""
        return self._do([str(source)], target, {"recursive": recursive}, again)

    def flat(self, source: Path, target: Path) -> int:
        """All pictures below a folder directly into another one; equal names are a failure of the later."""
        pairs = self._pairs([str(source)], target, {})
        return self._do([picture for picture, _ in pairs], target, {}, False) if pairs else DONE

    def _do(self, inputs: list[Any], target: Path, options: dict[str, Any], again: bool) -> int:
        if self._wish.thresholds is not None:
            return self._matted(inputs, target, options)
        from qbg.cli.work import run_batch
        from qbg.report.console import Console

        # A picture of rembg's at the output's place counts as done, as it does for rembg; but then its
        # input isn't one that may be deleted.
        folder = {"keep_foreign": not self._delete, **options}
        with _journal(self._delete) as journal:
            batch = self._remover.start(inputs, f"{target}/", FolderOptions(journal=journal, **folder))
            if again:
                summary = batch.wait()
                fresh = [failure for failure in summary.failed if failure not in self._told]
                Console().failures(fresh)
                for line in summary.warnings:
                    say(f"warning: {line}")
                if summary.done:
                    say(f"{summary.done} more done")
                code = SOME_FAILED if fresh else DONE
            else:
                summary, code = run_batch(batch, Console())
            self._told.update(summary.failed)
            if journal is not None:
                _delete_done(Path(journal))
        return code

    def _pairs(self, inputs: list[Any], target: Path, options: dict[str, Any]) -> list[tuple[str, str]]:
        from qbg import _native
        from qbg.options import Options

        return _native.plan(inputs, f"{target}/", Options(), FolderOptions(**options))

    def _matted(self, inputs: list[Any], target: Path, options: dict[str, Any]) -> int:
        """One picture after the other: the solver takes all cores and all memory that it can get."""
        from qbg.errors import QbgError
        from qbg.whole import write_whole

        done, failed = 0, 0
        pairs = [pair for pair in self._pairs(inputs, target, options) if not Path(pair[1]).exists()]
        for number, (picture, output) in enumerate(pairs, 1):
            try:
                data = flags.one(self._remover, self._wish, Path(picture).read_bytes())
                Path(output).parent.mkdir(parents=True, exist_ok=True)
                write_whole(Path(output), data, durable=False)
            except (QbgError, OSError, MemoryError) as error:
                say(f"{picture}: {error}")
                failed += 1
                continue
            done += 1
            say(f"{number} of {len(pairs)}: {output}")
            if self._delete:
                Path(picture).unlink()
        say(f"{done} done, {failed} failed")
        return SOME_FAILED if failed else DONE


def _watch(task: Task, source: Path, target: Path) -> int:
    """Until `stop.txt` comes or somebody interrupts."""
    root = source.resolve()
    changes = _Changes(root, target.resolve())
    observer = _observer()
    observer.schedule(changes, str(root), recursive=True)
    observer.start()
    say(f"watching {source}; {STOP_FILE} in it or Ctrl-C ends it")
    code = DONE
    try:
        # What came between the first pass and the watch.
        changes.add(root)
        while not changes.stopped:
            for folder in changes.settled():
                below = target / folder.relative_to(root)
                code = max(code, task.tree(folder, below, recursive=folder == root, again=True))
            time.sleep(0.1)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        observer.stop()
        observer.join()
    (source / STOP_FILE).unlink(missing_ok=True)
    return code


class _Changes:
    """Folders in which something changed, and when. What watchdog calls a handler."""

    def __init__(self, source: Path, target: Path) -> None:
        self._target = target
        self._stop = source / STOP_FILE
        self._lock = threading.Lock()
        self._changed: dict[Path, tuple[float, float]] = {}
        self.stopped = self._stop.exists()

    def dispatch(self, event: Any) -> None:
        """From watchdog's own thread."""
        if event.event_type not in ("created", "modified", "moved", "closed"):
            return
        for text in (event.src_path, getattr(event, "dest_path", "")):
            path = Path(text or "/")
            if path == self._stop and path.exists():
                self.stopped = True
            elif text and not path.is_relative_to(self._target):
                self.add(path if event.is_directory else path.parent)

    def add(self, folder: Path) -> None:
        """Something changed in it now."""
        now = time.monotonic()
        with self._lock:
            first, _ = self._changed.get(folder, (now, now))
            self._changed[folder] = (first, now)

    def settled(self) -> list[Path]:
        """Folders that are quiet now, or have been busy for long. They are forgotten."""
        now = time.monotonic()
        with self._lock:
            ripe = [
                folder
                for folder, (first, last) in self._changed.items()
                if now - last >= QUIET_S or now - first >= LONGEST_S
            ]
            for folder in ripe:
                del self._changed[folder]
        return [folder for folder in ripe if folder.is_dir()]


def _observer() -> Any:
    try:
        from watchdog.observers import Observer
    except ImportError as error:
        raise UsageError("--watch needs watchdog", hint="pip install 'qbg[watch]'") from error
    return Observer()


@contextmanager
def _journal(wanted: bool) -> Iterator[str | None]:
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="qbg-") as folder:
        yield str(Path(folder) / "journal")


def _delete_done(journal: Path) -> None:
    """Inputs whose outputs are there, this time or from a run before."""
    if not journal.exists():
        return
    for line in journal.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["outcome"] in ("done", "skipped"):
            name = entry["input"]
            # A name that isn't UTF-8 is a list of bytes there.
            path = Path(name if isinstance(name, str) else os.fsdecode(bytes(name)))
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                say(f"{path}: can't be deleted: {error.strerror}")
