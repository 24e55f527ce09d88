"""`qbg cluster run`: from arguments to a run on a Ray cluster, and its report. Must not know how it runs."""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from qbg.cli import arguments as a
from qbg.cli.exits import DONE, SOME_FAILED, UsageError, say, tell
from qbg.cli.stream import interruptible
from qbg.options import make_options

if TYPE_CHECKING:
    from qbg.cluster.run import ClusterSummary

LINE_EVERY_S = 5.0
FAILURES_SHOWN = 50

Source = Annotated[
    str, typer.Argument(metavar="IN", show_default=False, help="Folder or manifest: a path, or s3://...")
]
Target = Annotated[str, typer.Argument(metavar="OUT", show_default=False, help="Folder: a path, or s3://...")]
Address = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Of the cluster's head; default: as ray.init finds it.")
]
Chunk = Annotated[int, typer.Option(metavar="N", min=1, help="Pictures that a node gets, or loses, at once.")]
Again = Annotated[bool, typer.Option("--overwrite", help="Redo what the journal says is done.")]


def run_command(
    source: Source,
    out: Target,
    address: Address = None,
    model: a.ModelName = None,
    only_mask: a.OnlyMask = False,
    refine: a.Refine = None,
    threshold: a.Threshold = None,
    post_process: a.PostProcess = False,
    background: a.Background = None,
    no_decontaminate: a.NoDecontaminate = False,
    form: a.Format = None,
    quality: a.Quality = None,
    max_pixels: a.MaxPixels = None,
    workers: a.Workers = None,
    chunk: Chunk = 64,
    overwrite: Again = False,
    as_json: a.Json = False,
    quiet: a.Quiet = False,
) -> int:
    """Cut subjects out on all nodes of a Ray cluster; what is done is kept in OUT/_qbg_journal.

    IN may be a folder, a Parquet file with a column `input`, or a text file with a path per line.
    """
    try:
        import pyarrow  # noqa: F401
        import ray
    except ImportError as error:
        raise UsageError(
            f"a cluster needs more packages ({error.name})", hint="pip install 'qbg[ray]'"
        ) from error
    from qbg.cluster.run import run

    try:
        options = make_options(
            None,
            **a.image_options(
                decontaminate=not no_decontaminate,
                crop=False,
                margin=None,
                only_mask=only_mask,
                refine=refine,
                threshold=threshold,
                post_process=post_process,
                background=background,
                format=form,
                quality=quality,
                max_pixels=max_pixels,
            ),
        )
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    began = time.monotonic()
    next_line = LINE_EVERY_S

    def line(text: str) -> None:
        if not quiet:
            say(text)

    def progress(now: ClusterSummary) -> None:
        nonlocal next_line
        spent = time.monotonic() - began
        if spent >= next_line:
            next_line = spent + LINE_EVERY_S
            line(f"{now.done} done, {now.skipped} skipped, {now.failed} failed")

    # Ray says on standard output, which is for the result, what becomes of its nodes.
    with interruptible(), redirect_stdout(sys.stderr):
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"no cluster: {error}", hint="ray start --head on one machine begins one"
            ) from error
        try:
            summary = run(
                source,
                out,
                model=model,
                options=options,
                workers=workers,
                chunk=chunk,
                resume=not overwrite,
                say=line,
                on_progress=progress,
            )
        finally:
            ray.shutdown()
    for name, stage, message in summary.failures[:FAILURES_SHOWN]:
        say(f"{stage} {name}: {message}")
    if summary.failed > FAILURES_SHOWN:
        say(f"and {summary.failed - FAILURES_SHOWN} more failures: they are in {out}/_qbg_journal")
    line(
        f"{summary.done} done, {summary.skipped} skipped, {summary.failed} failed "
        f"in {summary.seconds:.1f} s: {summary.images_per_s:.1f} images/s on {summary.nodes} nodes"
    )
    if as_json:
        tell(json.dumps(summary.to_json(), indent=2))
    return SOME_FAILED if summary.failed else DONE
