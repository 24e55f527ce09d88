"""`qbg models quantize`: makes an int8 network of a float one, and says whether its masks still hold."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from qbg.cli.exits import DONE, UsageError, say, tell

if TYPE_CHECKING:
    from qbg.models.quantize import Quantized

REFUSED = 4
"""The gate refuses the masks; nothing was written."""

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model, or path of an ONNX file.")]
Calibrate = Annotated[
    str, typer.Option("--calibrate", metavar="DIR", help="Photos like those that it will see.")
]
Out = Annotated[str, typer.Option("--out", "-o", metavar="FILE.onnx", help="The file to write.")]
Gate = Annotated[
    str | None,
    typer.Option("--gate", metavar="DIR", help="Photos that judge; without it every second one of DIR."),
]
Recipe = Annotated[
    str | None, typer.Option("--recipe", metavar="FILE.toml", help="How the network wants its input.")
]
Photos = Annotated[int, typer.Option("--photos", metavar="N", help="So many calibrate, and as many judge.")]
Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        metavar="FORM",
        help="auto (by this CPU), full, paired, narrow or unsigned: models/README.md.",
    ),
]
Search = Annotated[bool, typer.Option("--search/--no-search", help="Look for layers that must stay float.")]
Force = Annotated[bool, typer.Option("--force", help="Write the file even if its masks stray.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def command(
    model: Model,
    calibrate: Calibrate,
    out: Out,
    gate: Gate = None,
    recipe: Recipe = None,
    photos: Photos = 24,
    weights: Weights = "auto",
    search: Search = True,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Quantize a network to int8, by photos that calibrate it and others that judge it.

    Needs the extra: pip install 'qbg[models]'. Ends with 4, and writes nothing, if the masks stray
    from the float network's.
    """
    from qbg.models.quantize import quantize

    try:
        made = quantize(
            model,
            calibrate,
            out,
            gate=gate,
            recipe=recipe,
            photos=photos,
            weights=weights,
            search=search,
            force=force,
            on_progress=None if quiet else _Shown(),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    if as_json:
        passed = made.verdict.passed if made.verdict is not None else None
        tell(json.dumps(asdict(made) | {"passed": passed}, indent=2))
    else:
        for line in lines(made):
            tell(line)
    if made.path is None:
        say(f"{out} is not written: its masks stray from the float network's")
        say("hint: more and more varied photos, or another --weights; --force writes it all the same")
        return REFUSED
    return DONE


class _Shown:
    """A line on standard error whenever another part begins, and at its end."""

    def __init__(self) -> None:
        self._part = ""

    def __call__(self, part: str, done: int, count: int) -> None:
        if part != self._part:
            self._part = part
            say(f"{part}" + (f": {count}" if count > 1 else ""))


def lines(made: Quantized) -> list[str]:
    """The result for people: a table of the layers that stay float, then the verdict."""
    shown = []
    if made.islands:
        shown.append(f"{'stays float':<24}{'nodes':>6}{'share':>8}{'IoU':>9}{'gain':>9}{'difference':>12}")
    for island in made.islands:
        gain = island.after.iou - island.before.iou
        shown.append(
            f"{island.layer:<24}{len(island.nodes):>6}{island.share:>8.1%}{island.after.iou:>9.4f}"
            f"{gain:>+9.4f}{island.after.difference:>12.5f}"
        )
    shown.append(
        f"{made.integer:.1%} of the multiplications in int8, weights {made.form}, "
        f"{'channels evened, ' if made.equalized else ''}{made.bytes / 1e6:.1f} MB, "
        f"calibrated on {made.photos} photos"
    )
    if made.verdict is None:
        shown.append("masks against float: not measured, the weights are random")
    else:
        word = "passed" if made.verdict.passed else "REFUSED"
        shown.append(f"gate {word}: {made.verdict.words}")
    if made.path is not None:
        shown.append(made.path)
    return shown
