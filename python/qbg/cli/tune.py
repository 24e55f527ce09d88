"""`qbg tune`: finds how this machine runs a model fastest, and remembers it. Must not measure or draw."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qbg.cli.exits import DONE, finite, say, tell

if TYPE_CHECKING:
    from qbg.bench.tune import Tuning

ModelName = Annotated[
    str | None, typer.Option("-m", "--model", metavar="MODEL", help="Name or path of an ONNX file.")
]
Images = Annotated[
    str | None, typer.Option(metavar="DIR", help="Folder of photos; default: those that come with qbg.")
]
Seconds = Annotated[
    float | None,
    typer.Option(metavar="S", min=0.1, callback=finite, help="Measured time of each run; default: 2.5."),
]
Budget = Annotated[
    float | None,
    typer.Option(metavar="S", min=0.0, callback=finite, help="No round of runs begins later; default: 45."),
]
Forget = Annotated[bool, typer.Option("--forget", help="Throw away all that was remembered, and do no more.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress; only the table.")]


def command(
    model: ModelName = None,
    images: Images = None,
    seconds: Seconds = None,
    budget: Budget = None,
    forget: Forget = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Measure engines, precisions and threads with a model, and use the fastest from then on.

    Takes about a minute. What gives other masks than fp32 is refused, however fast it is.
    """
    if forget:
        from qbg.tuned import forget as throw_away

        removed = throw_away()
        say("nothing was remembered" if removed is None else f"removed {removed}")
        return DONE
    return _tune(model, images, (seconds, budget), as_json=as_json, quiet=quiet)


def _tune(
    model: str | None,
    images: str | None,
    times: tuple[float | None, float | None],
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    from qbg import _native, tuned
    from qbg.bench import pictures, tune
    from qbg.bench.sections import tuning as report
    from qbg.cli.bench_run import interruptible
    from qbg.models import resolve
    from qbg.report import terminal
    from qbg.report.bench_console import BenchConsole

    resolved, found = resolve(model), pictures.find(images)
    machine = _native.system()
    console = BenchConsole(quiet=quiet)
    try:
        for note in resolved.notes:
            console.says(note)
        with interruptible():
            tuner = tune.Tuner(resolved, model, found, max(1, int(machine["default_workers"])), console)
            done = tuner.run(
                tune.BUDGET_S if times[1] is None else times[1],
                tune.WINDOW_S if times[0] is None else times[0],
            )
    finally:
        console.close()
    kept = tuned.remember(resolved.network.digest, tune.choice(done, resolved), resolved.name)
    if as_json:
        tell(json.dumps(_plain(done), indent=2))
    else:
        terminal.show(report.document(done, Path(resolved.name).name, str(machine["cpu"])))
    console.says(f"remembered in {kept}; `qbg tune --forget` throws it away")
    return DONE


def _plain(done: Tuning) -> dict[str, Any]:
    return asdict(done) | {"results": [asdict(result) for result in done.results]}
