"""One picture through standard input or output: bytes in, bytes out. Must not walk folders."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qbg.cli import STOPS
from qbg.cli.exits import DONE, SOME_FAILED, UsageError, pour, say, tell
from qbg.cli.places import Places
from qbg.errors import OutputError, QbgError
from qbg.remover import Remover
from qbg.summary import Failure, Summary
from qbg.whole import write_whole

if TYPE_CHECKING:
    from qbg._native import Result


def check_stream(places: Places, *, overwrite: bool, as_json: bool) -> None:
    """Raises UsageError for what can't be streamed, before a model is loaded.

    Raises:
        OutputError: standard output is wanted, but closed.
    """
    if places.output == "-":
        if as_json:
            raise UsageError("--json and the picture can't both go to standard output: name OUT")
        if sys.stdout is None:
            raise OutputError("it is closed", stage="write", path="standard output")
        if sys.stdout.isatty():
            raise UsageError("standard output is a terminal: redirect it, or name OUT")
    elif Path(places.output or "").exists() and not overwrite:
        raise UsageError(f"`{places.output}` exists already: use --overwrite")
    if places.inputs == ["-"] and sys.stdin.isatty():
        raise UsageError("standard input is a terminal: redirect it, or name IN")


def run_stream(remover: Remover, places: Places, *, as_json: bool) -> int:
    """Cuts out the one picture. A signal becomes KeyboardInterrupt, so that no half-written file is left."""
    with interruptible():
        source: bytes | str = sys.stdin.buffer.read() if places.inputs == ["-"] else places.inputs[0]
        began = time.monotonic()
        result: Result | None = None
        failure: QbgError | None = None
        try:
            result = remover.process_encoded(source)
            assert result.encoded is not None
            if places.output == "-":
                pour(result.encoded)
            else:
                write_whole(Path(str(places.output)), result.encoded, durable=False)
        except QbgError as error:
            failure = error
            say(str(error))
        if as_json:
            seconds = time.monotonic() - began
            tell(json.dumps(_summary(remover, places, source, result, failure, seconds).to_json(), indent=2))
    return SOME_FAILED if failure else DONE


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM become KeyboardInterrupt."""
    before = [signal.signal(number, signal.default_int_handler) for number in STOPS]
    try:
        yield
    finally:
        for number, handler in zip(STOPS, before, strict=True):
            signal.signal(number, handler)


def _summary(
    remover: Remover,
    places: Places,
    source: bytes | str,
    result: Result | None,
    failure: QbgError | None,
    seconds: float,
) -> Summary:
    """The fields of a batch's summary, for one picture that met no queue."""
    from qbg import _native

    done = 0 if failure else 1
    name = places.inputs[0]
    failed = (
        [
            Failure(
                file=failure.path or name,
                stage=failure.stage,
                message=str(failure.args[0]),
                hint=failure.hint,
            )
        ]
        if failure
        else []
    )
    stage_ns = result.stage_ns if result is not None else {}
    return Summary(
        images=1,
        done=done,
        skipped=0,
        failed=tuple(failed),
        warnings=tuple(f"{name}: {line}" for line in result.warnings) if result is not None else (),
        cancelled=False,
        seconds=seconds,
        images_per_s=done / seconds if seconds > 0 else 0.0,
        stage_seconds={stage: value / 1e9 for stage, value in stage_ns.items()},
        service_s=dict.fromkeys(("p50", "p90", "p95", "p99", "max"), seconds) if done else {},
        steals=dict.fromkeys(("own", "injector", "local", "remote"), 0),
        idle_seconds=0.0,
        pixels=_pixels(source) if done else 0,
        bytes_in=len(source) if done and isinstance(source, bytes) else 0,
        bytes_out=len(result.encoded or b"") if done and result is not None else 0,
        peak_rss_bytes=_native.peak_rss_bytes(),
        workers=remover.workers,
        **remover.facts,
    )


def _pixels(source: bytes | str) -> int:
    """From the picture's header; 0 where Pillow doesn't know the format."""
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return image.width * image.height
    except (OSError, ValueError, Image.DecompressionBombError):
        return 0
