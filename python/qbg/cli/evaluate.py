"""`qbg evaluate`: how good masks are, against their truth. Must not score or draw itself."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qbg.cli.exits import DONE, SOME_FAILED, UsageError, say, tell
from qbg.whole import write_whole

if TYPE_CHECKING:
    from qbg.errors import QbgError
    from qbg.evaluate.metrics import Plane
    from qbg.evaluate.pairs import Pair
    from qbg.evaluate.run import Evaluation, Scored
    from qbg.remover import Remover

Predicted = Annotated[
    str,
    typer.Argument(
        metavar="PRED", help="Folder of masks or cut-outs; or a model's name or path, which is run then."
    ),
]
Truth = Annotated[str, typer.Argument(metavar="TRUTH", help="Folder of true masks, by the same names.")]
Images = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", help="The photos; default: the folder `images` beside TRUTH, if there is one."
    ),
]
Groups = Annotated[
    str | None,
    typer.Option(
        "--groups", metavar="FILE.csv", help="Columns name and group; default: by folder, or by `prefix_`."
    ),
]
Engine = Annotated[str, typer.Option(metavar="NAME", help="Of a model: see `qbg remove`.")]
Precision = Annotated[str, typer.Option(metavar="WORD", help="Of a model: auto, fp32, bf16 or int8.")]
Html = Annotated[
    str | None, typer.Option("--html", metavar="FILE", help="Report with the worst pictures to look at.")
]
Csv = Annotated[str | None, typer.Option("--csv", metavar="FILE", help="A line per picture.")]
Worst = Annotated[int, typer.Option(metavar="N", min=0, help="Pictures shown in the report.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")]

SINGLE = ("iou", "mae", "f_adaptive", "f_weighted", "s", "e_adaptive", "boundary_iou", "sad", "gradient")
"""Of each picture: its scores but for the curves."""


def command(
    predicted: Predicted,
    truth: Truth,
    images: Images = None,
    group_file: Groups = None,
    engine: Engine = "onnxruntime",
    precision: Precision = "auto",
    html: Html = None,
    csv: Csv = None,
    worst: Worst = 12,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Compare masks with true ones: IoU, MAE, F, S and E measures, edges, mattes.

    A mask of another size is resized to its truth. Pictures whose truth is empty count apart, by mean alpha.

    Needs the extra: pip install 'qbg[evaluate]'. Exit code 1 if a mask is missing or can't be read.
    """
    _require_scipy()
    from qbg.evaluate import pairs as found
    from qbg.evaluate import sheet
    from qbg.evaluate.run import evaluate
    from qbg.report import html as page
    from qbg.report import terminal

    for option, name in (("--html", html), ("--csv", csv)):
        if name is not None and not Path(name).absolute().parent.is_dir():
            raise UsageError(f"{option} {name}: no such folder", hint="make it first")
    photos = _photos(images, truth)
    remover: Remover | None = None
    if Path(predicted).is_dir():
        together = found.pair(Path(truth), Path(predicted))
    else:
        if photos is None:
            raise UsageError("a model needs the photos", hint="--images DIR")
        from qbg.remover import Remover

        together = found.pair(Path(truth), photos)
        try:
            remover = Remover(predicted, engine=engine, precision=precision, only_mask=True)
        except ValueError as error:
            raise UsageError(str(error)) from error
    names = [pair.name for pair in together]
    table = None if group_file is None else found.read_groups(Path(group_file))
    try:
        done = evaluate(
            together,
            found.groups(names, table),
            masks=None if remover is None else _masks(remover),
            on_pair=None if quiet else _progress(),
        )
        title = f"qbg evaluate: {Path(predicted).name} against {Path(truth).name}"
        strips = []
        if html is not None and worst:
            strips = sheet.worst(done, _photo_of(photos, together), _mask_of(remover), worst)
        whole = sheet.document(title, done, strips, () if remover is None else remover.notes)
    finally:
        if remover is not None:
            remover.close()
    if html is not None:
        write_whole(Path(html), page.render(whole).encode(), durable=False)
    if csv is not None:
        _write_csv(Path(csv), done)
    if as_json:
        tell(json.dumps(_plain(done), indent=2))
    else:
        terminal.show(whole)
    for failure in done.failures:
        say(failure.line)
    if done.failures:
        say(f"{len(done.failures)} of {len(together)} could not be scored")
    return SOME_FAILED if done.failures else DONE


def _photos(images: str | None, truth: str) -> Path | None:
    if images is not None:
        if not Path(images).is_dir():
            raise UsageError(f"--images {images}: no such folder", hint="check the path")
        return Path(images)
    beside = Path(truth).absolute().parent / "images"
    return beside if beside.is_dir() else None


def _masks(remover: Remover) -> Any:
    def made(photos: Sequence[Path]) -> Iterator[Plane | QbgError]:
        import numpy as np

        from qbg.errors import QbgError

        for result in remover.cutout_many(list(photos), errors="return"):
            if isinstance(result, QbgError):
                yield result
            elif isinstance(result, Exception):
                raise result
            else:
                yield np.asarray(result)

    return made


def _mask_of(remover: Remover | None) -> Any:
    """Reads, or makes once more, a mask that is shown."""
    import numpy as np

    from qbg.evaluate.pairs import read

    def mask(item: Scored) -> Plane:
        path = item.pair.found
        assert path is not None
        return read(path) if remover is None else np.asarray(remover.cutout(path))

    return mask


def _photo_of(photos: Path | None, together: Sequence[Pair]) -> Any:
    from qbg.evaluate.pairs import pair

    if photos is None or not together:
        return lambda _name: None
    known = {item.name: item.found for item in pair(photos, photos)}
    return known.get


def _progress() -> Any:
    """A line on standard error every tenth of the way."""

    def on_pair(done: int, count: int) -> None:
        if done == count or (done * 10 // count) != ((done - 1) * 10 // count):
            say(f"{done} of {count}")

    return on_pair


def _plain(done: Evaluation) -> dict[str, Any]:
    return {
        "groups": [
            {
                "group": row.group,
                "pictures": row.pictures,
                **row.values,
                "empty": row.empty,
                "empty_alpha": row.alpha,
            }
            for row in done.rows
        ],
        "pictures": [_line(item) for item in done.scored],
        "failed": [
            {"file": item.file, "stage": item.stage, "message": item.message} for item in done.failures
        ],
    }


def _line(item: Scored) -> dict[str, Any]:
    scores = {name: None if item.scores is None else getattr(item.scores, name) for name in SINGLE}
    return {"name": item.pair.name, **scores, "alpha": item.alpha, "resized": item.resized}


def _write_csv(path: Path, done: Evaluation) -> None:
    import csv

    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, ["name", *SINGLE, "alpha", "resized"])
    writer.writeheader()
    writer.writerows(_line(item) for item in done.scored)
    write_whole(path, file.getvalue().encode(), durable=False)


def _require_scipy() -> None:
    try:
        import scipy.ndimage  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "evaluating needs SciPy, which isn't installed", hint="pip install 'qbg[evaluate]'"
        ) from error
