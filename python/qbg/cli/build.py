"""`qbg models build`: writes the ONNX file of a network that qbg knows how to make."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from qbg.cli.exits import DONE, UsageError, tell

Name = Annotated[str, typer.Argument(metavar="NAME", help="Network: inspyrenet-fast, -swin or -base.")]
Weights = Annotated[
    str,
    typer.Option("--weights", metavar="random|PATH", help="Checkpoint (.pth, .safetensors), or `random`."),
]
Out = Annotated[str, typer.Option("--out", "-o", metavar="FILE.onnx", help="The file to write.")]
Size = Annotated[
    int | None,
    typer.Option(
        "--size", metavar="N", help="Height and width of the picture, a multiple of 32.", show_default="384"
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of random weights.")]
Plain = Annotated[
    bool, typer.Option("--plain", help="The graph as its authors draw it: slower, for comparisons.")
]
Precision = Annotated[str, typer.Option("--precision", metavar="WORD", help="fp32, or int8.")]
Calibrate = Annotated[
    str | None,
    typer.Option(
        "--calibrate", metavar="DIR", help="For int8: photos like those that it will see.", show_default=False
    ),
]


def command(
    name: Name,
    weights: Weights,
    out: Out,
    size: Size = None,
    seed: Seed = 0,
    plain: Plain = False,
    precision: Precision = "fp32",
    calibrate: Calibrate = None,
) -> int:
    """Build a network's ONNX file, from a checkpoint or with random weights.

    Needs the extra: pip install 'qbg[models]'. int8 ends with 4 if the masks stray from fp32.
    """
    from qbg.models.build import RANDOM, build

    if precision not in ("fp32", "int8"):
        raise UsageError(f"--precision must be fp32 or int8, not `{precision}`")
    if (precision == "int8") != (calibrate is not None):
        raise UsageError(
            "int8 and photos to calibrate on go together", hint="--precision int8 --calibrate DIR"
        )
    with tempfile.TemporaryDirectory(prefix="qbg-build-") as folder:
        target = out if calibrate is None else str(Path(folder) / f"{name}.onnx")
        try:
            built = build(name, weights, target, size=size, seed=seed, plain=plain)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if calibrate is not None:
            from qbg.cli.quantize import command as quantize

            return quantize(target, calibrate, out)
    source = f"random weights, seed {seed}" if weights == RANDOM else f"weights of {weights}"
    tell(
        f"{built.path}: {name}, {built.side}x{built.side}, {built.parameters:,} parameters, "
        f"{built.bytes / 1e6:.1f} MB, {source}"
    )
    return DONE
